"""Mistakes of stage 11, Parse Query Parameters."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=11,
        rule="test_parameters_are_listed_in_order",
        title="The parameters are sorted by name",
        changes=(("in pairs)", "in sorted(pairs))"),),
        words="for the query",
    ),
    Mistake(
        stage=11,
        rule="test_a_name_given_twice_is_listed_twice",
        title="A dictionary keeps only the last of two values",
        changes=(("in pairs)", "in dict(pairs).items())"),),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_no_query_is_an_empty_body",
        title="A query that is not there is split all the same",
        changes=(
            (
                'parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape")',
                '[pair.partition("=")[::2] for pair in request.query.split("&")]',
            ),
        ),
        words="gave 1 lines, not 0",
    ),
    Mistake(
        stage=11,
        rule="test_plus_and_escape_are_spaces",
        title="The query is decoded like a path, which leaves + as it is",
        changes=(
            (
                'parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape")',
                '[map(unquote, pair.split("=")) for pair in request.query.split("&")]',
            ),
        ),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_escapes_are_decoded_after_the_split",
        title="The query is decoded before it is split",
        changes=(("parse_qsl(request.query,", "parse_qsl(unquote(request.query),"),),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_a_name_without_a_value",
        title=("Each parameter is split at = into two, without a look at how many parts there are"),
        changes=(
            (
                'parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape")',
                'dict(pair.split("=") for pair in request.query.split("&")).items()',
            ),
        ),
        words="closed the connection",
        row=53,
    ),
    Mistake(
        stage=11,
        rule="test_a_name_without_a_value",
        title="Parameters without a value are left out, as parse_qsl does by itself",
        changes=(("keep_blank_values=True, ", ""),),
        words="gave 0 lines, not 1",
        row=54,
    ),
    Mistake(
        stage=11,
        rule="test_broken_escapes_in_a_query",
        title="Bytes in a query that are no UTF-8 are an error that nobody catches",
        changes=(('keep_blank_values=True, errors="surrogateescape"', 'errors="strict"'),),
        words="closed the connection",
    ),
    Mistake(
        stage=11,
        rule="test_parameters_in_utf_8",
        title="The query is decoded as Latin-1, not as UTF-8",
        changes=(
            (
                'keep_blank_values=True, errors="surrogateescape"',
                'keep_blank_values=True, encoding="latin-1"',
            ),
        ),
        words="line 1",
    ),
)

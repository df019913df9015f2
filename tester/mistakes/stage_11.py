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
    Mistake(
        stage=11,
        rule="test_white_space_at_the_ends",
        title="Names and values are stripped of white space",
        changes=(('f"{name}: {value}\\n"', 'f"{name.strip()}: {value.strip()}\\n"'),),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_question_marks_in_a_query",
        title="The target is split at every question mark, and its second piece is the query",
        changes=(("parse_qsl(request.query,", 'parse_qsl(request.query.split("?")[0],'),),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_search_is_a_whole_name",
        title="Every path that begins with /search lists the parameters",
        changes=(
            (
                "    if handler:\n",
                '    if path.startswith("/search"):\n'
                "        handler = list_parameters\n"
                "    if handler:\n",
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=11,
        rule="test_signs_in_a_value",
        title="Parameters are split at semicolons, too",
        changes=(("parse_qsl(request.query,", 'parse_qsl(request.query.replace(";", "&"),'),),
        words="line 1",
    ),
    Mistake(
        stage=11,
        rule="test_queries_in_every_form_of_a_request",
        title="The query of a whole URL is lost",
        changes=(
            (
                "parse_qsl(request.query,",
                'parse_qsl(request.query if request.target[0] == "/" else "",',
            ),
        ),
        words="gave 0 lines",
    ),
    Mistake(
        stage=11,
        rule="test_text_says_its_charset",
        title="The type of a list of parameters says nothing about its charset",
        changes=(
            (
                'lines.encode("utf-8", "surrogateescape")',
                'lines.encode("utf-8", "surrogateescape"), content_type="text/plain"',
            ),
        ),
        words="charset=utf-8",
    ),
    Mistake(
        stage=11,
        rule="test_signs_in_a_value",
        title="Values are decoded twice",
        changes=(
            (
                'f"{name}: {value}\\n" for name, value in pairs',
                'f"{name}: {unquote(value)}\\n" for name, value in pairs',
            ),
        ),
        words="line 1",
    ),
)

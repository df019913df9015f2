"""Mistakes of stage 7, Respond with Content."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="Content-Length is missing",
        changes=(('        "Content-Length": str(len(response.body)),\n', ""),),
        words="no field Content-Length",
    ),
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="Content-Length counts a line end that is not sent",
        changes=(("len(response.body)", "len(response.body) + 2"),),
        words="bytes had come",
        row=38,
    ),
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="Content-Length counts the status line as well",
        changes=(("len(response.body)", "len(response.body) + len(lines[0])"),),
        words="bytes had come",
        row=38,
    ),
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="A line end is sent after the body",
        changes=(
            (
                "build_head(response) + response.body",
                r'build_head(response) + response.body + b"\r\n"',
            ),
        ),
        words="2 extra bytes",
        row=39,
    ),
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="A space stands before the colon of each field",
        changes=(('f"{name}: {value}"', 'f"{name} : {value}"'),),
        words="space before the colon",
        row=48,
    ),
    Mistake(
        stage=7,
        rule="test_pages_have_a_length",
        title="The lines of the head are indented, as they are in the program",
        changes=(('f"{name}: {value}"', 'f"    {name}: {value}"'),),
        words="white space",
        row=20,
    ),
    Mistake(
        stage=7,
        rule="test_echo_has_a_length",
        title="Content-Length is a fixed number",
        changes=(("str(len(response.body))", '"12"'),),
        words="of 12 bytes had come",
    ),
    Mistake(
        stage=7,
        rule="test_length_counts_bytes",
        title="Content-Length counts letters, not bytes",
        changes=(("len(response.body)", "len(response.body.decode())"),),
        words="extra bytes",
        row=37,
    ),
    Mistake(
        stage=7,
        rule="test_not_found_has_a_length",
        title="An error is sent without Content-Length",
        changes=(
            (
                '    lines += [f"{name}: {value}" for name, value in fields.items()]\n',
                (
                    '    if response.status == "200 OK":\n'
                    '        lines += [f"{name}: {value}" for name, value in fields.items()]\n'
                ),
            ),
        ),
        words="no field Content-Length",
        row=26,
    ),
    Mistake(
        stage=7,
        rule="test_empty_echo_has_length_zero",
        title="Content-Length is left out where the body is empty",
        changes=(
            (
                '    lines += [f"{name}: {value}" for name, value in fields.items()]',
                (
                    '    lines += [f"{name}: {value}" for name, value in fields.items() if '
                    'value != "0"]'
                ),
            ),
        ),
        words="no field Content-Length",
    ),
    Mistake(
        stage=7,
        rule="test_connection_ends_after_the_answer",
        title="The connection is kept, but only its first request is read",
        changes=(("        hang_up(connection)", "        pass"),),
        words="a second request",
    ),
    Mistake(
        stage=7,
        rule="test_pages_are_html",
        title="Pages are sent as plain text",
        changes=((", content_type=HTML)", ")"),),
        words="not text/html",
    ),
    Mistake(
        stage=7,
        rule="test_echo_is_plain_text",
        title="What a client sent comes back as HTML",
        changes=(("content_type: str = TEXT", "content_type: str = HTML"),),
        words="not text/plain",
    ),
    Mistake(
        stage=7,
        rule="test_text_says_its_charset",
        title="The type of a page says nothing about its charset",
        changes=(('"text/html; charset=utf-8"', '"text/html"'),),
        words="charset=utf-8",
    ),
    Mistake(
        stage=7,
        rule="test_echo_is_plain_text",
        title="The type of an echo is guessed from the end of its value",
        changes=(
            (
                '"surrogateescape"))\n\n\nGET_ROUTES',
                '"surrogateescape"), content_type=HTML if request.path.endswith(".html") else TEXT)'
                "\n\n\nGET_ROUTES",
            ),
        ),
        words="not text/plain",
    ),
    Mistake(
        stage=7,
        rule="test_echo_is_plain_text",
        title="The type of an echo is guessed from what is in it",
        changes=(
            (
                '"surrogateescape"))\n\n\nGET_ROUTES',
                '"surrogateescape"), content_type=HTML if "<" in request.path else TEXT)'
                "\n\n\nGET_ROUTES",
            ),
        ),
        words="not text/plain",
    ),
    Mistake(
        stage=7,
        rule="test_echo_has_a_length",
        title="Content-Length goes no further than the buffer has room",
        changes=(("str(len(response.body))", "str(min(len(response.body), 1024))"),),
        words="extra bytes",
    ),
)

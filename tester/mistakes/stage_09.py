"""Mistakes of stage 9, Send Response Headers."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_date",
        title="Date is missing",
        changes=(('        "Date": http_date(int(time.time()), usegmt=True),\n', ""),),
        words="no field Date",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_date",
        title="Date ends in -0000, not in GMT",
        changes=(("time()), usegmt=True)", "time()))"),),
        words="not in the one form",
        row=46,
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_date",
        title="Date is the local time, and calls it GMT",
        changes=(
            (
                "http_date(int(time.time()), usegmt=True)",
                'time.strftime("%a, %d %b %Y %H:%M:%S GMT")',
            ),
        ),
        words="s off",
        row=46,
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_date",
        title="Date is written as Python writes a date",
        changes=(
            ("http_date(int(time.time()), usegmt=True)", 'time.strftime("%Y-%m-%d %H:%M:%S")'),
        ),
        words="not in the one form",
        row=46,
    ),
    Mistake(
        stage=9,
        rule="test_date_goes_on",
        title="Date is made once, when the server starts",
        changes=(
            ("http_date(int(time.time()), usegmt=True)", "STARTED"),
            ("# --- Responses: from", "STARTED = formatdate(usegmt=True)\n\n# --- Responses: from"),
        ),
        words="Date stood still",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_names_the_server",
        title="Server is missing",
        changes=(('        "Server": "eighteen-stages",\n', ""),),
        words="no field Server",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_length",
        title="A malformed request is answered by hand, without a single field",
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    '        connection.sendall(f"HTTP/1.1 {error}\\r\\n\\r\\n".encode())\n'
                    "        return\n"
                ),
            ),
        ),
        words="no field Content-Length",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_says_close",
        title="The answer says keep-alive, but the connection ends",
        changes=(('"Connection": "close"', '"Connection": "keep-alive"'),),
        words="not close",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_says_close",
        title="The answer does not say that the connection ends",
        changes=(('        "Connection": "close",\n', ""),),
        words="no field Connection",
    ),
    Mistake(
        stage=9,
        rule="test_no_field_comes_twice",
        title="A field is written by hand, and comes from the table once more",
        changes=(
            (
                'lines = [f"HTTP/1.1 {response.status}"]',
                'lines = [f"HTTP/1.1 {response.status}", "Connection: close"]',
            ),
        ),
        words="comes twice",
    ),
)

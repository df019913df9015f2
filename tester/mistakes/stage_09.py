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
        rule="test_date_has_two_digits_each",
        title="Day and hour are written with one digit where one is enough",
        changes=(  # It is always the same early morning here, so that this shows on any day.
            (
                "http_date(int(time.time()), usegmt=True)",
                'f"Tue, {MORNING.tm_mday} Mar 2026 {MORNING.tm_hour}:04:05 GMT"',
            ),
            (
                "# --- Responses: from",
                "MORNING = time.gmtime(1772510645)\n\n# --- Responses: from",
            ),
        ),
        words="has one digit, not two",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_names_the_server",
        title="An error does not name the server",
        changes=(
            (
                "    lines += [f",
                '    if response.content_type == TEXT and response.status[:3] == "404":\n'
                '        del fields["Server"]\n'
                "    lines += [f",
            ),
        ),
        words="no field Server",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_has_a_date",
        title="The User-Agent is answered by hand, with a length but without a date",
        changes=(
            (
                "    lines += [f",
                '    if response.content_type == "text/plain":\n'
                '        del fields["Date"]\n'
                "    lines += [f",
            ),
            (
                'request.fields.get("user-agent", "").encode("latin-1")',
                'request.fields.get("user-agent", "").encode("latin-1"), content_type="text/plain"',
            ),
        ),
        words="no field Date",
    ),
    Mistake(
        stage=9,
        rule="test_old_clients_get_the_usual_fields",
        title="A client that speaks HTTP/1.0 gets the body without its length",
        changes=(
            (
                "        response = respond(parse_request(read_head(Reader(connection))))\n",
                "        request = parse_request(read_head(Reader(connection)))\n"
                "        response = respond(request)\n"
                "        if not request.minor:\n"
                '            head = build_head(response).replace(b"Content-Length", b"X-Length")\n'
                "            connection.sendall(head + response.body)\n"
                "            return\n",
            ),
        ),
        words="no field Content-Length",
    ),
    Mistake(
        stage=9,
        rule="test_every_answer_says_close",
        title="An error does not say that the connection ends",
        changes=(
            (
                "    lines += [f",
                '    if response.body.startswith(b"404"):\n'
                '        del fields["Connection"]\n'
                "    lines += [f",
            ),
        ),
        words="no field Connection",
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
                'lines = [f"HTTP/1.1 {response.status}", "Server: eighteen-stages"]',
            ),
        ),
        words="more than one Server field",
    ),
    Mistake(
        stage=9,
        rule="test_refusals_bear_the_usual_fields",
        title="A target that is too long is answered by hand, with a status line and no more",
        changes=(
            (
                "        response = error_page(str(error))\n",
                "        response = error_page(str(error))\n"
                '        if response.status[:3] == "414":\n'
                '            connection.sendall(f"HTTP/1.1 {error}\\r\\n\\r\\n".encode())\n'
                "            return\n",
            ),
        ),
        words="a target of 80 KB: the response has no field Date",
    ),
    Mistake(
        stage=9,
        rule="test_refusals_bear_the_usual_fields",
        title="An answer 400 to a malformed field does not name the server",
        changes=(
            (
                "    lines += [f",
                '    if response.status == "400 Bad Request":\n'
                '        del fields["Server"]\n'
                "    lines += [f",
            ),
        ),
        words="no field Server",
    ),
)

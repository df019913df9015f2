"""Mistakes of stage 3, Respond with 200 OK."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=3,
        rule="test_waits_for_the_request",
        title="The answer is sent before the request has been read",
        changes=(
            ("response = respond(read_head(connection))", 'response = respond("")'),
            (
                "send_response(connection, response)\n",
                "send_response(connection, response)\n    read_head(connection)\n",
            ),
        ),
        words="answered before it was asked",
        row=11,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="recv is called until the client hangs up, but the client waits for the answer",
        changes=(
            (
                'head = receive(connection).decode("latin-1")',
                'head = b"".join(iter(lambda: connection.recv(PIECE), b"")).decode("latin-1")',
            ),
        ),
        words="sent nothing",
        row=13,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="The answer is a triple-quoted text that begins with a line end",
        changes=(('lines = [f"HTTP', 'lines = ["", f"HTTP'),),
        words="does not begin with the status line",
        row=20,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="The words stand before the status code",
        changes=(('"200 OK"', '"OK 200"'),),
        words="does not begin with the status line",
        row=21,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="The space between the status code and the words is missing",
        changes=(('"200 OK"', '"200OK"'),),
        words="does not begin with the status line",
        row=21,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="The status line names no version",
        changes=(('f"HTTP/1.1 {', 'f"HTTP {'),),
        words="does not begin with the status line",
        row=21,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="Text is sent, where the socket wants bytes",
        changes=(
            (
                "connection.sendall(build_head(response) + response.body)",
                r'connection.sendall("HTTP/1.1 200 OK\r\n\r\nHello World!")',
            ),
        ),
        words="without a response",
        row=22,
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="Only the body is sent, without a head",
        changes=(("build_head(response) + ", ""),),
        words="does not begin with the status line",
    ),
    Mistake(
        stage=3,
        rule="test_answer_begins_with_the_status_line",
        title="The space after the status code is missing, as there are no words",
        changes=(('"200 OK"', '"200"'),),
        words="does not begin with the status line",
    ),
    Mistake(
        stage=3,
        rule="test_usual_words_for_200",
        title="The words after the status code 200 are not the usual ones",
        changes=(('"200 OK"', '"200 Success"'),),
        words="not 'OK'",
    ),
    Mistake(
        stage=3,
        rule="test_head_ends_with_an_empty_line",
        title="Lines end in LF alone",
        changes=((r'"\r\n".join', r'"\n".join'),),
        words="LF alone",
        row=18,
    ),
    Mistake(
        stage=3,
        rule="test_head_ends_with_an_empty_line",
        title="The empty line after the head is missing",
        changes=(('[*lines, "", ""]', '[*lines, ""]'),),
        words="before an empty line came",
        row=19,
    ),
    Mistake(
        stage=3,
        rule="test_one_empty_line_is_enough",
        title="Two empty lines end the head, so that the second one begins the body",
        changes=(('Response(body=b"Hello World!")', 'Response(body=b"\\r\\nHello World!")'),),
        words="one empty line too many",
    ),
    Mistake(
        stage=3,
        rule="test_says_hello_on_any_path",
        title="The answer has no body",
        changes=(('Response(body=b"Hello World!")', "Response()"),),
        words="has no body",
    ),
    Mistake(
        stage=3,
        rule="test_says_hello_on_any_path",
        title="The greeting is written in other letters than Hello World!",
        changes=(('b"Hello World!"', 'b"Hello, world!"'),),
        words="does not say Hello World!",
    ),
    Mistake(
        stage=3,
        rule="test_says_hello_on_any_path",
        title="A path with a query gets an answer without a body",
        changes=(
            (
                'Response(body=b"Hello World!")',
                'Response(body=b"" if "?" in request.split("\\r\\n")[0] else b"Hello World!")',
            ),
        ),
        words="has no body",
    ),
    Mistake(
        stage=3,
        rule="test_connection_ends_after_the_answer",
        title="The connection is not closed after the answer",
        changes=(("        hang_up(connection)", "        pass"),),
        words="sent nothing",
        row=23,
    ),
    Mistake(
        stage=3,
        rule="test_connection_ends_after_the_answer",
        title="The server answers and closes before it has read all of the request",
        changes=(
            ("data := connection.recv(PIECE)", "data := connection.recv(1)"),
            ("        hang_up(connection)", "        connection.close()"),
        ),
        words="reset",
        row=11,
    ),
)

"""Mistakes of stage 17, HTTP Pipelining."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=17,
        rule="test_answers_three_requests_sent_together",
        title="One recv is taken for one request, and what comes after it is thrown away",
        changes=(
            (
                (
                    "            reader = Reader(connection)\n"
                    "            while serve_request(reader):\n"
                ),
                "            while serve_request(Reader(connection)):\n",
            ),
        ),
        words="request 2 of 3",
        row=66,
    ),
    Mistake(
        stage=17,
        rule="test_answers_a_hundred_requests_in_order",
        title="Each request has a thread of its own, so that short answers overtake long ones",
        changes=(
            (
                "    send_response(reader.connection, response)\n",
                (
                    "    delay = response.length / 1_000_000\n"
                    "    threading.Timer(delay, send_response, (reader.connection, "
                    "response)).start()\n"
                ),
            ),
        ),
        words="it got the response to request",
        row=66,
    ),
    Mistake(
        stage=17,
        rule="test_answers_a_hundred_requests_in_order",
        title="A connection ends after fifty requests",
        changes=(
            (
                (
                    "            while serve_request(reader):\n"
                    "                busy.discard(threading.current_thread())  # The next one is"
                    " not yet in hand.\n"
                ),
                (
                    "            for _ in range(50):\n"
                    "                if not serve_request(reader):\n"
                    "                    break\n"
                ),
            ),
        ),
        words="request 51 of 100",
    ),
    Mistake(
        stage=17,
        rule="test_requests_may_be_cut_at_any_byte",
        title="The end of the head is looked for only in what came last",
        changes=(("searched = max(0, len(self.buffer) - 3)", "searched = len(self.buffer)"),),
        words="not 200",
    ),
    Mistake(
        stage=17,
        rule="test_answers_what_follows_a_body",
        title="All that has come is taken for the body, the next request too",
        changes=(
            (
                "piece, self.buffer = self.buffer[:length], self.buffer[length:]",
                'piece, self.buffer = self.buffer, b""',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=17,
        rule="test_nothing_after_connection_close_is_answered",
        title="After Connection: close, what is in the buffer is answered all the same",
        changes=(
            ("while serve_request(reader):", "while serve_request(reader) or reader.buffer:"),
        ),
        words="went on answering",
    ),
    Mistake(
        stage=17,
        rule="test_nothing_after_connection_close_is_answered",
        title=(
            "After a POST with Connection: close, what is in the buffer is answered all the same"
        ),
        changes=(
            (
                "    return response.keep\n",
                (
                    '    again = request and request.method == "POST" and reader.buffer\n'
                    "    return response.keep or bool(again)\n"
                ),
            ),
        ),
        words="went on answering",
    ),
    Mistake(
        stage=17,
        rule="test_nothing_after_connection_close_is_answered",
        title=("After a request in HTTP/1.0, what is in the buffer is answered all the same"),
        changes=(
            (
                "    return response.keep\n",
                (
                    "    return response.keep or bool(request and request.minor == 0 "
                    "and reader.buffer)\n"
                ),
            ),
        ),
        words="went on answering",
    ),
    Mistake(
        stage=17,
        rule="test_bad_request_in_the_middle",
        title="A malformed request ends the connection without a word",
        changes=(("        response = error_page(str(error))\n", "        return False\n"),),
        words="closed the connection",
    ),
    Mistake(
        stage=17,
        rule="test_bad_request_in_the_middle",
        title="What comes after a malformed request is answered",
        changes=(("    return response.keep\n", "    return response.keep or request is None\n"),),
        words="went on answering",
    ),
    Mistake(
        stage=17,
        rule="test_skips_an_empty_line_before_a_request",
        title="An empty line before a request is taken for a malformed one",
        changes=((r'.lstrip("\r\n")', ""),),
        words="not 200",
    ),
    Mistake(
        stage=17,
        rule="test_body_of_a_refused_request_is_no_request",
        title="The body of a refused request is not read, and taken for the next request",
        changes=(
            ("    for _ in request.body if response.keep else ():\n        pass", "    pass"),
        ),
        words="the body of POST",
        row=63,
    ),
    Mistake(
        stage=17,
        rule="test_body_of_a_refused_request_is_no_request",
        title="What is left of a body is read away after a POST only",
        changes=(
            (
                "in request.body if response.keep else",
                'in request.body if response.keep and request.method == "POST" else',
            ),
        ),
        words="the body of GET",
    ),
    Mistake(
        stage=17,
        rule="test_body_of_a_refused_request_is_no_request",
        title="After 501 the connection stays, and the body is read as a request",
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    "        response = error_page(str(error))\n"
                    '        response.keep = str(error).startswith("501")\n'
                ),
            ),
            (
                "in request.body if response.keep else",
                'in request.body if response.keep and response.status < "5" else',
            ),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=17,
        rule="test_sees_what_the_request_before_has_done",
        title="A file is stored after the response, by a thread of its own",
        changes=(
            (
                "        upload.replace(path)  # In",
                (
                    "        threading.Timer(0.05, os.replace, (upload, path)).start()\n"
                    "        time.sleep(0.01)\n"
                    '        folder = ""  # In'
                ),
            ),
        ),
        words="POST",
    ),
    Mistake(
        stage=17,
        rule="test_every_kind_of_request_may_be_sent_together",
        title="What came together with an upload is thrown away",
        changes=(
            (
                "        upload.replace(path)  # In",
                ('        request.reader.buffer = b""\n        upload.replace(path)  # In'),
            ),
            (
                "        request.body = read_body(",
                "        request.reader = reader\n        request.body = read_body(",
            ),
        ),
        words="sent together with others",
    ),
    Mistake(
        stage=17,
        rule="test_head_and_other_methods_may_be_sent_together",
        title="After HEAD, what came with it is thrown away",
        changes=(
            (
                "        response.body = iter(())  # All",
                '        reader.buffer = b""\n        response.body = iter(())  # All',
            ),
        ),
        words="sent together with others",
    ),
)

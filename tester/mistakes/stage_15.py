"""Mistakes of stage 15, Connection Keep-Alive."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=15,
        rule="test_answers_many_requests_on_one_connection",
        title="The connection is closed after each answer",
        changes=(
            (
                (
                    "            while serve_request(connection):\n"
                    "                busy.discard(threading.current_thread())  # The next one is"
                    " not yet in hand.\n"
                ),
                "            serve_request(connection)\n",
            ),
        ),
        words="request 2 on this connection",
    ),
    Mistake(
        stage=15,
        rule="test_answers_many_requests_on_one_connection",
        title="Each answer says close, though the connection stays open",
        changes=(('"keep-alive" if response.keep else "close"', '"close"'),),
        words="the answer says Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_reads_each_body_to_its_end",
        title=("What came with the head is taken for the whole body, and the rest for a request"),
        changes=(
            (
                "            self.buffer = self.buffer or receive(self.connection)",
                "            if not self.buffer:\n                return",
            ),
        ),
        words="the body has",
        row=60,
    ),
    Mistake(
        stage=15,
        rule="test_serves_several_connections_in_turn",
        title="One connection is served to its end before the next has its turn",
        changes=(("daemon=True).start()", "daemon=True).run()"),),
        words="silent",
        row=17,
    ),
    Mistake(
        stage=15,
        rule="test_obeys_connection_close",
        title="Connection: close is ignored",
        changes=(('unasked or "close" in options or', "unasked or"),),
        words="does not say Connection: close",
        row=64,
    ),
    Mistake(
        stage=15,
        rule="test_obeys_connection_close",
        title="The last answer on a connection does not say close",
        changes=(('"keep-alive" if response.keep else "close"', '"keep-alive"'),),
        words="does not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_http_1_0_closes_by_default",
        title="HTTP/1.0 is treated like HTTP/1.1",
        changes=(('stays = request.minor > 0 or "keep-alive" in options', "stays = True"),),
        words="went on answering",
        row=64,
    ),
    Mistake(
        stage=15,
        rule="test_closes_an_idle_connection",
        title="There is no timeout while nothing comes",
        changes=(
            (
                (
                    "                connection.setsockopt(socket.SOL_SOCKET, option,"
                    ' struct.pack("ll", *limit))\n'
                ),
                "                pass\n",
            ),
        ),
        words="did not close the connection",
    ),
    Mistake(
        stage=15,
        rule="test_closes_an_idle_connection",
        title="An idle connection gets 500 before it ends",
        changes=(("(ConnectionError, BlockingIOError, TimeoutError)", "ConnectionError"),),
        words="bytes too many",
    ),
    Mistake(
        stage=15,
        rule="test_busy_connection_stays_open",
        title="A connection ends after the idle timeout, busy or not",
        changes=(
            (
                "while serve_request(connection):",
                (
                    "began = time.monotonic()\n"
                    "            while serve_request(connection) and time.monotonic() - began <"
                    " settings.idle_timeout:"
                ),
            ),
        ),
        words="a busy connection was closed",
    ),
    Mistake(
        stage=15,
        rule="test_connection_field_is_a_list",
        title="Connection is compared as a whole, though it is a list",
        changes=(
            (
                'request.fields.get("connection", "").lower().replace(",", " ").split()',
                '[request.fields.get("connection", "").lower()]',
            ),
        ),
        words="does not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_connection_field_is_a_list",
        title="close is understood in small letters only",
        changes=(
            (
                'request.fields.get("connection", "").lower().replace',
                'request.fields.get("connection", "").replace',
            ),
        ),
        words="does not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_http_1_0_can_ask_to_stay",
        title="HTTP/1.0 is always closed, even if it asks to stay",
        changes=(
            ('stays = request.minor > 0 or "keep-alive" in options', "stays = request.minor > 0"),
        ),
        words="not keep-alive",
    ),
    Mistake(
        stage=15,
        rule="test_closes_after_400",
        title="After 400, the next request is waited for",
        changes=(("    return response.keep\n", "    return response.keep or request is None\n"),),
        words="went on answering",
    ),
    Mistake(
        stage=15,
        rule="test_closes_after_400",
        title="An answer 400 says keep-alive, but the connection ends",
        changes=(
            (
                '"keep-alive" if response.keep else "close"',
                '"keep-alive" if response.keep or response.status[:3] == "400" else "close"',
            ),
        ),
        words="the answer 400 says keep-alive",
    ),
    Mistake(
        stage=15,
        rule="test_no_continue_after_the_answer",
        title="The rest of a refused body is read, and asked for",
        changes=(("not (unasked or ", "not ("),),
        words="bytes too many",
    ),
    Mistake(
        stage=15,
        rule="test_no_stall_between_requests",
        title="Head and body are sent by two calls, and the second is held back",
        changes=(
            (
                "            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)",
                "            pass",
            ),
            (
                'connection.sendall(build_head(response) + next(response.body, b""))',
                "connection.sendall(build_head(response))",
            ),
        ),
        words="each answer for",
    ),
)

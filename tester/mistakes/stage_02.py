"""Mistakes of stage 2, Read Connection Data."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=2,
        rule="test_prints_the_request",
        title="Nothing is printed",
        changes=(('print(head.encode("ascii", "backslashreplace").decode(), flush=True)', "pass"),),
        words="the request line",
    ),
    Mistake(
        stage=2,
        rule="test_prints_the_request",
        title="Only the first line of the request is printed",
        changes=(
            (
                'print(head.encode("ascii", "backslashreplace").decode(), flush=True)',
                r'print(head.split("\r\n")[0], flush=True)',
            ),
        ),
        words="not in what the server printed",
    ),
    Mistake(
        stage=2,
        rule="test_prints_the_request",
        title="Only the first request is printed",
        changes=(
            (
                '        print(head.encode("ascii", "backslashreplace").decode(), flush=True)\n',
                (
                    '        if settings.__dict__.setdefault("first", head) is head:\n'
                    '            print(head.encode("ascii", "backslashreplace").decode(),'
                    " flush=True)\n"
                ),
            ),
        ),
        words="not in what the server printed",
    ),
    Mistake(
        stage=2,
        rule="test_hangs_up_cleanly_after_the_request",
        title="The connection is closed while most of the request is still unread",
        changes=(
            ("data := connection.recv(PIECE)", "data := connection.recv(10)"),
            ("        hang_up(connection)", "        connection.close()"),
        ),
        words="reset",
        row=11,
    ),
    Mistake(
        stage=2,
        rule="test_hangs_up_cleanly_after_the_request",
        title="The connection stays open when the request has been read",
        changes=(("        hang_up(connection)", "        pass"),),
        words="sent nothing",
    ),
    Mistake(
        stage=2,
        rule="test_survives_a_client_that_leaves_without_a_word",
        title="An empty recv is an error that nobody catches",
        changes=(("raise ConnectionError(", "raise ValueError("),),
        words="the server exited",
        row=16,
    ),
    Mistake(
        stage=2,
        rule="test_a_client_that_stays_keeps_nobody_waiting",
        title="The end of a client that never hangs up is waited for without limit",
        changes=(("        connection.settimeout(LINGER)\n", ""),),
        words="sent nothing",
    ),
    Mistake(
        stage=2,
        rule="test_survives_bytes_that_are_no_text",
        title="Whatever comes is decoded as UTF-8",
        changes=(('.decode("latin-1")', ".decode()"),),
        words="the server exited",
        row=15,
    ),
    Mistake(
        stage=2,
        rule="test_survives_a_client_that_resets",
        title="A reset by the client is an error that nobody catches",
        changes=(
            ("contextlib.suppress(OSError):  # The", "contextlib.suppress(TimeoutError):  # The"),
        ),
        words="the server exited",
    ),
    Mistake(
        stage=2,
        rule="test_can_be_restarted_at_once",
        title="SO_REUSEADDR is not set",
        changes=(
            (
                (
                    "    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # "
                    "Let a restart have it back.\n"
                ),
                "",
            ),
        ),
        words="could not be started again",
        row=1,
    ),
    Mistake(
        stage=2,
        rule="test_can_be_restarted_at_once",
        title="SO_REUSEADDR is set only after bind",
        changes=(
            (
                (
                    "    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # "
                    "Let a restart have it back.\n"
                ),
                "",
            ),
            (
                "    listener.listen()\n",
                (
                    "    listener.listen()\n"
                    "    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
                ),
            ),
        ),
        words="could not be started again",
        row=3,
    ),
)

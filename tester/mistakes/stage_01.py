"""Mistakes of stage 1, Bind to a Port."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=1,
        rule="test_accepts_a_connection",
        title="The socket is bound, but listen is never called",
        changes=(("    listener.listen()\n", ""),),
        words="before it listened",
        row=5,
    ),
    Mistake(
        stage=1,
        rule="test_accepts_a_connection",
        title="The port stays text, and is never made a number",
        changes=(("type=int, ", ""),),
        words="TypeError",
        row=6,
    ),
    Mistake(
        stage=1,
        rule="test_accepts_again_and_again",
        title="accept is called only once, without a loop",
        changes=(("while True:", "for _ in range(1):"),),
        words="exited (code 0)",
        row=9,
    ),
    Mistake(
        stage=1,
        rule="test_accepts_again_and_again",
        title="The loop ends after a hundred clients",
        changes=(("while True:", "for _ in range(100):"),),
        words="exited (code 0)",
    ),
    Mistake(
        stage=1,
        rule="test_accepts_again_and_again",
        title="The listening socket is closed instead of the connection",
        changes=(("        serve_connection(connection)", "        listener.close()"),),
        words="the server exited",
    ),
    Mistake(
        stage=1,
        rule="test_hangs_up_by_itself",
        title="The connection is never closed",
        changes=(("    connection.close()", "    pass"),),
        words="sent nothing",
    ),
    Mistake(
        stage=1,
        rule="test_hangs_up_by_itself",
        title="The server greets the client, which nobody asked for",
        changes=(
            ("    connection.close()", '    connection.sendall(b"Hello!")\n    connection.close()'),
        ),
        words="the server sent 6 bytes",
    ),
    Mistake(
        stage=1,
        rule="test_can_be_restarted_at_once",
        title="SO_REUSEADDR is not set, and the old connections keep the port",
        changes=(
            (
                (
                    "    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Let a "
                    "restart have it back.\n"
                ),
                "",
            ),
        ),
        words="could not be started again",
    ),
    Mistake(
        stage=1,
        rule="test_listens_on_the_loopback_address_only",
        title="The server listens on every address of the machine",
        changes=(('HOST = "127.0.0.1"', 'HOST = "0.0.0.0"'),),
        words="other machines can reach",
    ),
)

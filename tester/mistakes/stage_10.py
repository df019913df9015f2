"""Mistakes of stage 10, Handle Concurrent Connections."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=10,
        rule="test_silent_clients_hold_nobody_up",
        title="No thread is started, so that clients are served one after the other",
        changes=(
            (
                "threading.Thread(target=serve_connection, args=(connection,), daemon=True)"
                ".start()",
                "serve_connection(connection)",
            ),
        ),
        words="sent nothing",
    ),
    Mistake(
        stage=10,
        rule="test_silent_clients_hold_nobody_up",
        title="run is called instead of start, so that clients are served one after the other",
        changes=(("daemon=True).start()", "daemon=True).run()"),),
        words="sent nothing",
        row=17,
    ),
    Mistake(
        stage=10,
        rule="test_silent_clients_hold_nobody_up",
        title="The function is called, and only its result is given to the thread",
        changes=(
            ("target=serve_connection, args=(connection,)", "target=serve_connection(connection)"),
        ),
        words="sent nothing",
        row=49,
    ),
    Mistake(
        stage=10,
        rule="test_half_a_request_holds_nobody_up",
        title="Each thread is waited for with join before the next begins",
        changes=(
            ("threading.Thread(target", "thread = threading.Thread(target"),
            (
                "daemon=True).start()",
                "daemon=True)\n            thread.start()\n            thread.join()",
            ),
        ),
        words="sent nothing",
        row=49,
    ),
    Mistake(
        stage=10,
        rule="test_fifty_clients_at_once",
        title="Only ten clients are served at a time",
        changes=(("MAX_CONNECTIONS = 1500", "MAX_CONNECTIONS = 10"),),
        words="hung up on a silent one before it",
    ),
    Mistake(
        stage=10,
        rule="test_fifty_clients_at_once",
        title="All clients share one buffer, as it is a default argument",
        changes=(
            (
                "def serve_request(connection: socket.socket) ->",
                "def serve_request(connection: socket.socket, reader: Reader = Reader(None)) ->",
            ),
            ("    reader = Reader(connection)\n", "    reader.connection = connection\n"),
        ),
        words="the server hung up on a slow client / not 200 / meant for another one",
    ),
    Mistake(
        stage=10,
        rule="test_silent_client_is_cut_off",
        title="No timeout is set",
        changes=(
            (
                (
                    "                connection.setsockopt(socket.SOL_SOCKET, option,"
                    ' struct.pack("ll", *limit))\n'
                ),
                "                pass\n",
            ),
        ),
        words="was still connected",
    ),
    Mistake(
        stage=10,
        rule="test_silent_client_is_cut_off",
        title="A client that is cut off in mid-request gets 400",
        changes=(
            (
                ("    except HTTPError as error:\n        response = error_page(str(error))\n"),
                (
                    "    except (HTTPError, BlockingIOError):\n"
                    '        response = error_page("400 Bad Request")\n'
                ),
            ),
        ),
        words="has not finished its request",
    ),
    Mistake(
        stage=10,
        rule="test_dripping_client_is_cut_off",
        title="The timeout begins anew with each byte",
        changes=(
            ('            require(time.monotonic() < deadline, "408 Request Timeout")\n', ""),
        ),
        words="was still connected",
    ),
    Mistake(
        stage=10,
        rule="test_idle_connections_do_not_stop_service",
        title="Only a hundred clients are served at a time",
        changes=(("MAX_CONNECTIONS = 1500", "MAX_CONNECTIONS = 100"),),
        words="hung up on a silent one before it",
    ),
    Mistake(
        stage=10,
        rule="test_fifty_clients_at_once",
        title="Nobody may wait in line for accept: listen(0)",
        changes=(("listener.listen(MAX_CONNECTIONS)", "listener.listen(0)"),),
        words="one other was in line before it",
        row=50,
    ),
    Mistake(
        stage=10,
        rule="test_clients_that_do_not_read_hold_nobody_up",
        title="A lock for all clients is held while an answer is sent",
        changes=(
            (
                "    connection.sendall(build_head(response) + response.body)",
                "    with log_lock:\n"
                "        connection.sendall(build_head(response) + response.body)",
            ),
        ),
        words="sent nothing",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="Each connection is kept in a list, and never closed",
        changes=(
            (
                "            pass\n    connection.close()\n",
                "            pass\n    KEPT.append(connection)\n",
            ),
            ("# --- Connections: who", "KEPT = []\n# --- Connections: who"),
        ),
        words="descriptors were left behind",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="The descriptor of a connection is copied, and the copy is never closed",
        changes=(
            (
                "            serve_request(connection)\n",
                "            os.dup(connection.fileno())\n            serve_request(connection)\n",
            ),
        ),
        words="descriptors were left behind",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="The connection of each malformed request is copied, and the copy is never closed",
        changes=(
            (
                "        response = error_page(str(error))\n",
                "        response = error_page(str(error))\n        os.dup(connection.fileno())\n",
            ),
        ),
        words="descriptors were left behind",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="The thread of a client that broke off waits for ever",
        changes=(
            (
                "        with contextlib.suppress(OSError):  # The client has left",
                "        with waiting_for_ever():  # The client has left",
            ),
            (
                "def serve_connection(",
                "@contextlib.contextmanager\n"
                "def waiting_for_ever():\n"
                "    try:\n"
                "        yield\n"
                "    except OSError:\n"
                "        threading.Event().wait()\n\n\n"
                "def serve_connection(",
            ),
        ),
        words="were left behind",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="The thread of a client that says nothing and leaves asks on and on for its bytes",
        changes=(
            (
                "            serve_request(connection)\n",
                "            while not connection.recv(1, socket.MSG_PEEK):\n"
                "                time.sleep(0.01)\n"
                "            serve_request(connection)\n",
            ),
        ),
        words="were left behind",
    ),
    Mistake(
        stage=10,
        rule="test_nothing_leaks",
        title="One thread asks again and again whether there is anything to do",
        changes=(
            (
                "def serve_forever(listener: socket.socket) -> None:\n",
                "def tidy_up():\n"
                "    while True:\n"
                "        list(busy)\n\n\n"
                "def serve_forever(listener: socket.socket) -> None:\n",
            ),
            (
                "    while True:\n        slots.acquire()\n",
                "    threading.Thread(target=tidy_up, daemon=True).start()\n"
                "    while True:\n        slots.acquire()\n",
            ),
        ),
        words="is busy though",
    ),
)

"""Mistakes of stage 15, Connection Keep-Alive."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=15,
        rule="test_safety_on_a_kept_connection",
        title="Where a name leads is checked for the first request of a connection only",
        changes=(
            (
                """    if {"", ".", ".."} & {*name.split("/")} or "%2f" in""",
                """    checked = threading.current_thread().__dict__.setdefault("checked", [])
    checked.append(name)
    if len(checked) > 1:
        return settings.directory / name
    if {"", ".", ".."} & {*name.split("/")} or "%2f" in""",
            ),
        ),
        words="outside the folder",
    ),
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
        words="the response says Connection: close",
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
        words="sent nothing",
        row=17,
    ),
    Mistake(
        stage=15,
        rule="test_serves_several_connections_in_turn",
        title=("Once a client has said Connection: close, no connection is kept any more"),
        changes=(
            (
                '    unasked = "expect" in request.fields',
                (
                    '    if "close" in options:\n'
                    "        stopping.set()\n"
                    '    unasked = "expect" in request.fields'
                ),
            ),
        ),
        words="request 2 on this connection",
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
        rule="test_http_1_0_closes_by_default",
        title="A POST in HTTP/1.0 keeps the connection open",
        changes=(
            (
                'request.minor > 0 or "keep-alive" in options',
                ('request.minor > 0 or "keep-alive" in options or request.method == "POST"'),
            ),
        ),
        words="went on answering",
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
        words="kept the connection open",
    ),
    Mistake(
        stage=15,
        rule="test_closes_an_idle_connection",
        title="An idle connection gets 500 before it ends",
        changes=(("(ConnectionError, BlockingIOError, TimeoutError)", "(ConnectionError,)"),),
        words="one more response came",
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
        words="the response says Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_http_1_0_can_ask_to_stay",
        title=("A POST in HTTP/1.0 ends the connection, even if the client asks to stay"),
        changes=(
            (
                'request.minor > 0 or "keep-alive" in options',
                ('request.minor > 0 or ("keep-alive" in options and request.method != "POST")'),
            ),
        ),
        words="Connection: close",
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
        words="the 400 response says keep-alive",
    ),
    Mistake(
        stage=15,
        rule="test_no_continue_after_the_answer",
        title="The rest of a refused body is read, and asked for",
        changes=(("not (unasked or ", "not ("),),
        words="one more response came",
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
        words="each response to",
    ),
    Mistake(
        stage=15,
        rule="test_no_stall_between_requests",
        title="The echo of a body is sent by two calls, and the second is held back",
        changes=(
            (
                ("            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)"),
                "            pass",
            ),
            (
                'connection.sendall(build_head(response) + next(response.body, b""))',
                (
                    'first = b"" if response.content_type == BINARY else '
                    'next(response.body, b"")\n'
                    "    connection.sendall(build_head(response) + first)"
                ),
            ),
        ),
        words="each response to POST",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title="An upload ends the connection",
        changes=(
            (
                (
                    'response.keep = stays and not (unasked or "close" in options or '
                    "stopping.is_set())"
                ),
                (
                    'response.keep = stays and response.status[:3] != "201" and not '
                    '(unasked or "close" in options or stopping.is_set())'
                ),
            ),
        ),
        words="says Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title="A query ends the connection",
        changes=(
            (
                (
                    'response.keep = stays and not (unasked or "close" in options or '
                    "stopping.is_set())"
                ),
                (
                    "response.keep = stays and not request.query and not (unasked or "
                    '"close" in options or stopping.is_set())'
                ),
            ),
        ),
        words="says Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title=("The first User-Agent on a connection is taken for that of all its requests"),
        changes=(
            (
                "        request = parse_request(head)\n",
                (
                    "        request = parse_request(head)\n"
                    '        agent = request.fields.get("user-agent", "")\n'
                    '        request.fields["user-agent"] = '
                    'vars(kept).setdefault("agent", agent)\n'
                ),
            ),
            (
                "log_lock = threading.Lock()",
                "kept = threading.local()\nlog_lock = threading.Lock()",
            ),
        ),
        words="the body",
    ),
    Mistake(
        stage=15,
        rule="test_sees_what_changed_between_two_requests",
        title="A file is read once, and what it held then is sent from then on",
        changes=(
            (
                (
                    "    content_type = CONTENT_TYPES.get(path.suffix.lower(), BINARY)\n"
                    "    return Response(body=read_file(file, size)"
                ),
                (
                    "    content_type = CONTENT_TYPES.get(path.suffix.lower(), BINARY)\n"
                    "    pieces, size = KEPT.setdefault(path, ([*read_file(file, "
                    "size)], size))\n"
                    "    return Response(body=iter(pieces)"
                ),
            ),
            ("log_lock = threading.Lock()", "KEPT: dict = {}\nlog_lock = threading.Lock()"),
        ),
        words="version 2 of a file",
    ),
    Mistake(
        stage=15,
        rule="test_obeys_connection_close_everywhere",
        title="A response that is an error ignores Connection: close",
        changes=(('"close" in options or', '("close" in options and response.status < "4") or'),),
        words="does not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_obeys_connection_close_everywhere",
        title="Connection: close is obeyed for GET only",
        changes=(('"close" in options or', '("close" in options and request.method == "GET") or'),),
        words="does not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_says_whether_the_connection_stays",
        title="The connection ends after an error, and the response does not say so",
        changes=(
            ("    return response.keep\n", '    return response.keep and response.status < "4"\n'),
        ),
        words="did not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_says_whether_the_connection_stays",
        title="HEAD ends the connection, and its response does not say so",
        changes=(
            (
                "    return response.keep\n",
                '    return response.keep and not head.startswith("HEAD")\n',
            ),
        ),
        words="did not say Connection: close",
    ),
    Mistake(
        stage=15,
        rule="test_five_hundredth_request_is_like_the_first",
        title="A connection ends after two hundred requests, and no response says so",
        changes=(
            (
                "            while serve_request(connection):\n",
                (
                    "            for _ in range(200):\n"
                    "                if not serve_request(connection):\n"
                    "                    break\n"
                ),
            ),
        ),
        words="request 201 on one connection",
    ),
    Mistake(
        stage=15,
        rule="test_five_hundredth_request_is_like_the_first",
        title=(
            "A function calls itself for the next request, until it has called itself too often"
        ),
        changes=(
            (
                (
                    "            while serve_request(connection):\n"
                    "                busy.discard(threading.current_thread())  # The "
                    "next one is not yet in hand.\n"
                ),
                "            serve_request(connection)\n",
            ),
            (
                "    return response.keep\n",
                (
                    "    busy.discard(threading.current_thread())\n"
                    "    return response.keep and call_again(serve_request, connection)\n"
                ),
            ),
            (
                "def serve_connection(",
                (
                    "def call_again(function: Callable, connection: socket.socket) "
                    "-> bool:\n"
                    '    """Call it."""\n'
                    "    return (lambda: function(connection))()\n"
                    "\n"
                    "\n"
                    "def serve_connection("
                ),
            ),
        ),
        words="on one connection",
    ),
    Mistake(
        stage=15,
        rule="test_client_that_hangs_up_ends_the_connection",
        title="The end of a connection is read again and again",
        changes=(
            (
                (
                    "    if data := connection.recv(PIECE):\n"
                    "        return data\n"
                    '    raise ConnectionError("the client has left")\n'
                ),
                (
                    "    while not (data := connection.recv(PIECE)):\n"
                    "        pass\n"
                    "    return data\n"
                ),
            ),
        ),
        words="keeps the connection open",
    ),
    Mistake(
        stage=15,
        rule="test_rest_of_what_is_too_long_is_no_request",
        title="After 413 the connection stays, and the body is read as a request",
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    "        response = error_page(str(error))\n"
                    '        response.keep = str(error).startswith("413")\n'
                ),
            ),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=15,
        rule="test_rest_of_what_is_too_long_is_no_request",
        title=("After 431 the connection stays, and the rest of the head is read as a request"),
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    "        response = error_page(str(error))\n"
                    '        response.keep = str(error).startswith("431")\n'
                ),
            ),
            (
                "in request.body if response.keep else",
                "in request.body if response.keep and request else",
            ),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=15,
        rule="test_head_has_its_time_from_its_first_byte",
        title="The time for a head counts from the response before it",
        changes=(
            (
                (
                    "        self.buffer = self.buffer or receive(self.connection)\n"
                    "        deadline = time.monotonic() + settings.idle_timeout"
                ),
                (
                    "        deadline = time.monotonic() + settings.idle_timeout\n"
                    "        self.buffer = self.buffer or receive(self.connection)"
                ),
            ),
        ),
        words="was cut off, because the client had paused",
    ),
    Mistake(
        stage=15,
        rule="test_dripping_client_is_cut_off",
        title="Only the first head on a connection has a deadline",
        changes=(
            ('    buffer: bytes = b""\n', '    buffer: bytes = b""\n    later: bool = False\n'),
            (
                "require(time.monotonic() < deadline, ",
                "require(self.later or time.monotonic() < deadline, ",
            ),
            (
                "def serve_request(connection: socket.socket) -> bool:",
                "def serve_request(connection: socket.socket, later: bool) -> bool:",
            ),
            ("    reader = Reader(connection)\n", "    reader = Reader(connection, later=later)\n"),
            (
                "            while serve_request(connection):\n",
                "            later = False\n            while serve_request(connection, later):\n"
                "                later = True\n",
            ),
        ),
        words="on a connection that has had a response",
    ),
    Mistake(
        stage=15,
        rule="test_date_goes_on_on_a_kept_connection",
        title="Date is made when a connection begins, for all responses on it",
        changes=(
            (
                "http_date(int(time.time()), usegmt=True)",
                "http_date(int(threading.current_thread().began), usegmt=True)",
            ),
            (
                "    try:\n        with contextlib.suppress(*CLIENT_GONE)",
                "    threading.current_thread().began = time.time()\n"
                "    try:\n        with contextlib.suppress(*CLIENT_GONE)",
            ),
        ),
        words="Date stood still for 8 s on a kept connection",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title="Date is left out from the second response on a connection on",
        changes=(
            (
                '    lines += [f"{name}: {value}" for name, value in fields.items()]\n',
                '    if threading.current_thread().__dict__.setdefault("first", response) is not'
                ' response:\n        del fields["Date"]\n'
                '    lines += [f"{name}: {value}" for name, value in fields.items()]\n',
            ),
        ),
        words="no field Date",
    ),
    Mistake(
        stage=15,
        rule="test_closes_an_idle_connection",
        title="After an upload there is no timeout any more",
        changes=(
            (
                "    log(request, response)\n    send_response(connection, response)\n",
                "    log(request, response)\n    send_response(connection, response)\n"
                '    if request and request.method == "POST":\n'
                "        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, bytes(16))\n",
            ),
        ),
        words="kept the connection open",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title="The fields of all requests on a connection are collected in one dictionary",
        changes=(
            (
                "    fields: dict[str, str] = {}\n    for line in lines:",
                '    fields = threading.current_thread().__dict__.setdefault("fields", {})\n'
                '    for name in {line.split(":")[0].lower() for line in lines}:\n'
                "        fields.pop(name, None)\n"
                '    for name in ("connection", "content-length", "expect"):\n'
                "        fields.pop(name, None)\n"
                "    for line in lines:",
            ),
        ),
        words="the User-Agent of the request before it",
    ),
    Mistake(
        stage=15,
        rule="test_keeps_the_connection_on_every_path",
        title="From the second request on, a header line is split at every colon",
        changes=(
            (
                'return Response(body=request.fields.get("user-agent", "").encode("latin-1"))',
                'agent, state = request.fields.get("user-agent", ""), threading.current_thread()'
                '\n    agent = agent if state.__dict__.setdefault("first", request) is request else'
                ' agent.split(":")[0]\n    return Response(body=agent.encode("latin-1"))',
            ),
        ),
        words="bytes, not",
    ),
)

"""Mistakes of stage 18, Chunked Transfer Encoding."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The last chunk is missing",
        changes=(('    yield b"0\\r\\n\\r\\n"\n', ""),),
        words="the last chunk",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The last chunk is sent without its empty line",
        changes=(('    yield b"0\\r\\n\\r\\n"\n', '    yield b"0\\r\\n"\n'),),
        words="the last chunk",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The line end after the data of a chunk is missing",
        changes=((r'b"%x\r\n%b\r\n"', r'b"%x\r\n%b"'),),
        words="not followed by CR LF",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="An empty chunk is sent in mid-stream",
        changes=(
            ("        if piece:  # A", "        if True:  # A"),
            (
                r'yield f"tick {number}\n".encode()',
                r'yield f"tick {number}\n".encode() * (number != 3)',
            ),
        ),
        words="extra bytes",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The size of a chunk counts the line end after it",
        changes=(("(len(piece), piece)", "(len(piece) + 2, piece)"),),
        words="not followed by CR LF",
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The head says chunked, but the body is plain",
        changes=(("        response.body = make_chunks(response.body)\n", ""),),
        words="chunk framing",
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="The head has both Content-Length and Transfer-Encoding",
        changes=(
            (
                '    if response.length is not None:\n        fields["Content-Length"]',
                '    if True:\n        fields["Content-Length"]',
            ),
        ),
        words="both Content-Length and Transfer-Encoding",
    ),
    Mistake(
        stage=18,
        rule="test_stream_sends_chunks",
        title="All lines are collected, and sent in one chunk",
        changes=(
            (
                "response.body = make_chunks(response.body)",
                'response.body = make_chunks(iter([b"".join(response.body)]))',
            ),
        ),
        words="the five lines did not come in one chunk each",
    ),
    Mistake(
        stage=18,
        rule="test_first_line_comes_well_before_the_last",
        title="All chunks are collected before the first is sent",
        changes=(
            (
                "response.body = make_chunks(response.body)",
                'response.body = iter([b"".join(make_chunks(response.body))])',
            ),
        ),
        words="the lines were held back",
    ),
    Mistake(
        stage=18,
        rule="test_connection_is_usable_after_a_stream",
        title="A line end too many is sent after the last chunk",
        changes=(('    yield b"0\\r\\n\\r\\n"\n', '    yield b"0\\r\\n\\r\\n\\r\\n"\n'),),
        words="2 extra bytes",
    ),
    Mistake(
        stage=18,
        rule="test_connection_is_usable_after_a_stream",
        title="The connection is closed after a stream",
        changes=(
            (
                "response.body = make_chunks(response.body)",
                "response.body = make_chunks(response.body)\n        response.keep = False",
            ),
        ),
        words="request 2 on this connection",
    ),
    Mistake(
        stage=18,
        rule="test_connection_is_usable_after_a_stream",
        title="What came together with the request for a stream is thrown away",
        changes=(
            (
                "    send_response(reader.connection, response)\n",
                (
                    "    if response.length is None:\n"
                    '        reader.buffer = b""\n'
                    "    send_response(reader.connection, response)\n"
                ),
            ),
        ),
        words="asked for together",
    ),
    Mistake(
        stage=18,
        rule="test_http_1_0_gets_no_chunks",
        title="HTTP/1.0 clients are sent chunks, too",
        changes=(
            ("if response.length is None and request.minor > 0:", "if response.length is None:"),
        ),
        words="the response has Transfer-Encoding",
    ),
    Mistake(
        stage=18,
        rule="test_stream_for_http_1_0_ends_the_connection",
        title="HTTP/1.0 with keep-alive gets a stream whose end nothing tells",
        changes=((" and response.length is not None)", ")"),),
        words="went on answering",
    ),
    Mistake(
        stage=18,
        rule="test_decodes_a_chunked_body",
        title="What has come is taken for the body, sizes and all",
        changes=(
            (
                "read_chunks(reader) if length is None",
                "reader.read_pieces(len(reader.buffer)) if length is None",
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=18,
        rule="test_decodes_a_chunked_body",
        title="Only the first chunk is read",
        changes=(("    while size != 0:\n", "    while size == -1:\n"),),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_decodes_a_chunked_body",
        title="The line end after the data of a chunk is not read, and taken for the next size",
        changes=(
            (
                r'        require(size == 0 or b"".join(reader.read_pieces(2)) == b"\r\n")' "\n",
                "",
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_stores_a_chunked_body",
        title="A chunked body may have 64 KB at most",
        changes=(
            ("total, around, size = 0, 0, -1", "total, around, size = MAX_BODY - PIECE, 0, -1"),
        ),
        words="not 201",
    ),
    Mistake(
        stage=18,
        rule="test_size_is_hexadecimal",
        title="The size of a chunk is read as a decimal number",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                "size = int(require(CHUNK_LINE.fullmatch(line))[1])",
            ),
        ),
        words="not 200",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_size_is_hexadecimal",
        title="Only small letters are understood in the size of a chunk",
        changes=(('rf"([0-9A-Fa-f]+)', 'rf"([0-9a-f]+)'),),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_chunks_may_be_cut_at_any_byte",
        title="One recv is taken for one chunk",
        changes=(
            (
                "        yield from reader.read_pieces(size)\n",
                '        yield next(reader.read_pieces(size), b"")\n',
            ),
        ),
        words="not 200",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_chunks_may_be_cut_at_any_byte",
        title="What came after the last chunk is thrown away",
        changes=(
            (
                "    while line := reader.",
                '    reader.buffer = b"\\r\\n"\n    while line := reader.',
            ),
        ),
        words="closed the connection",
    ),
    Mistake(
        stage=18,
        rule="test_zeros_before_a_size",
        title="The size of a chunk must not begin with 0, unless it is 0",
        changes=(('rf"([0-9A-Fa-f]+)', 'rf"(0|[1-9A-Fa-f][0-9A-Fa-f]*)'),),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_a_size_that_is_no_number_ends_the_connection",
        title="After chunks that can't be read, the next request is waited for",
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    "        response = error_page(str(error))\n"
                    '        chunks = request and "transfer-encoding" in request.fields\n'
                    '        response.keep = bool(chunks) and response.status[:3] == "400"\n'
                ),
            ),
        ),
        words="went on answering",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_a_size_that_is_no_number",
        title="Whatever int takes is the size of a chunk",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                (
                    "try:\n"
                    '            size = int(line.partition(";")[0], 16)\n'
                    "        except ValueError:\n"
                    '            raise HTTPError("400 Bad Request") from None'
                ),
            ),
        ),
        words="not 400",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_refuses_a_size_that_is_no_number",
        title="A size that is no number is an error that nobody catches",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                'size = int(line.partition(";")[0], 16)',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_a_size_that_is_no_number",
        title="The digits up to the first bad letter are taken for the size",
        changes=(("CHUNK_LINE.fullmatch", "CHUNK_LINE.match"),),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_ignores_extensions_and_trailers",
        title="Chunk extensions are refused",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                'size = int(require(re.fullmatch("([0-9A-Fa-f]+)", line))[1], 16)',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_ignores_extensions_and_trailers",
        title="Trailers are taken for the beginning of the next request",
        changes=(("while line := reader.", "if line := reader."),),
        words="a body with trailers",
    ),
    Mistake(
        stage=18,
        rule="test_trailers_change_nothing",
        title="Trailers are put among the fields of the head",
        changes=(
            ("def read_chunks(reader: Reader)", "def read_chunks(reader: Reader, fields: dict)"),
            ("        parse_fields([line])  #", "        fields.update(parse_fields([line]))  #"),
            (
                "yield from read_chunks(reader) if",
                "yield from read_chunks(reader, request.fields) if",
            ),
        ),
        words="a trailer connection: close",
    ),
    Mistake(
        stage=18,
        rule="test_stalled_chunks_are_cut_off",
        title="For a chunked body, the timeout is lifted",
        changes=(
            (
                "    total, around, size = 0, 0, -1",
                '    never = struct.pack("ll", 0, 0)\n'
                "    reader.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, never)\n"
                "    total, around, size = 0, 0, -1",
            ),
        ),
        words="still waiting for",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_a_size_that_is_no_number",
        title="A chunk size that can't be read is taken for the last chunk",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                'size = int((CHUNK_LINE.fullmatch(line) or "00")[1], 16)',
            ),
        ),
        words="a last chunk with the size",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_malformed_extensions",
        title="All that stands after the size of a chunk is ignored",
        changes=(
            (
                "size = int(require(CHUNK_LINE.fullmatch(line))[1], 16)",
                'size = int(require(re.match("([0-9A-Fa-f]+) *(;|$)", line))[1], 16)',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_chunk_lines_without_crlf",
        title="A chunk line is read on and on until CR LF comes",
        changes=(('rb"\\r\\n|\\r[^\\n]|\\n(?<!\\r\\n)")\nWORD', 'rb"\\r\\n")\nWORD'),),
        words="closed the connection",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_chunk_lines_without_crlf",
        title="The line with a chunk's size may end in LF alone, the rest of the body not",
        changes=(
            ('\\n(?<!\\r\\n)")\nWORD', '\\n")\nWORD'),
            (
                '        require(match[0].startswith(b"\\r\\n"))\n',
                (
                    '        require(match[0].startswith(b"\\r\\n") or ending is END_OF_LINE and'
                    ' match[0] == b"\\n")\n'
                ),
            ),
        ),
        words="LF alone after a size got 201",
    ),
    Mistake(
        stage=18,
        rule="test_limits_the_lines_between_chunks",
        title="There is no limit to the lines between the chunks",
        changes=(
            ("searched, MAX_HEAD)", "searched)"),
            ("< MAX_HEAD,", "< MAX_HEAD or ending is END_OF_LINE,"),
        ),
        words="closed the connection",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_malformed_trailers",
        title="Trailers are skipped without a look at them",
        changes=(("        parse_fields([line])", "        pass"),),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_both_lengths",
        title="Transfer-Encoding wins over Content-Length",
        changes=(
            ('"content-length" not in request.fields and request.minor > 0', "request.minor > 0"),
        ),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_chunks_in_http_1_0_end_the_connection",
        title="Chunks are taken from an HTTP/1.0 client, too",
        changes=((" and request.minor > 0)  # Else", ")  # Else"),),
        words="went on answering",
    ),
    Mistake(
        stage=18,
        rule="test_chunks_in_http_1_0_end_the_connection",
        title="HTTP/1.0 knows no Transfer-Encoding, so that its chunks are read as a request",
        changes=(
            (
                '("transfer-encoding")) is not None:',
                '("transfer-encoding")) is not None and request.minor > 0:',
            ),
        ),
        words="went on answering",
    ),
    Mistake(
        stage=18,
        rule="test_other_codings_are_not_implemented",
        title="It is enough that chunked is somewhere in Transfer-Encoding",
        changes=(
            (
                '        require(codings == ["chunked"], "501 Not Implemented")\n',
                '        require("chunked" in coding, "501 Not Implemented")\n',
            ),
        ),
        words="not 501",
    ),
    Mistake(
        stage=18,
        rule="test_other_codings_are_not_implemented",
        title="It is enough that the last transfer coding is chunked",
        changes=(
            (
                '        require(codings == ["chunked"], "501 Not Implemented")\n',
                '        require(codings[-1] == "chunked", "501 Not Implemented")\n',
            ),
        ),
        words="not 501",
    ),
    Mistake(
        stage=18,
        rule="test_other_codings_are_not_implemented",
        title="After 501 for a transfer coding, the body is read as a request",
        changes=(
            (
                "        response = error_page(str(error))\n",
                (
                    "        response = error_page(str(error))\n"
                    '        response.keep = str(error).startswith("501")\n'
                ),
            ),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=18,
        rule="test_chunked_comes_last_and_once",
        title="A transfer coding that is named twice is taken once, so chunked twice is chunked",
        changes=(
            (
                r'codings = [name.strip(" \t") for name in coding.lower().split(",")]',
                r'codings = [*{name.strip(" \t"): 1 for name in coding.lower().split(",")}]',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_coding_in_any_letter_case",
        title="Chunked with a capital letter is not understood",
        changes=(("coding.lower().split", "coding.split"),),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_huge_chunk_is_too_large",
        title="The chunks of a body may be as many and as large as they like",
        changes=(("total += size", "pass"),),
        words="a chunk size of 10 GB",
    ),
    Mistake(
        stage=18,
        rule="test_huge_chunk_is_too_large",
        title="After 413 for a chunk, what follows is read as a request",
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
        stage=18,
        rule="test_many_chunks_are_too_large",
        title="The limit for a body holds for each chunk alone",
        changes=(("total += size", "total = size"),),
        words="chunks that add up to 114 MB",
    ),
    Mistake(
        stage=18,
        rule="test_refuses_a_chunk_without_its_end",
        title="Two bytes after the data of a chunk are skipped unread",
        changes=(
            (
                r'require(size == 0 or b"".join(reader.read_pieces(2)) == b"\r\n")',
                'b"".join(reader.read_pieces(2 if size else 0))',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=18,
        rule="test_stores_nothing_without_the_last_chunk",
        title="The end of the connection is taken for the end of the chunks",
        changes=(
            (
                '        line = reader.read_until(END_OF_LINE, "400 Bad Request")\n',
                (
                    "        try:\n"
                    '            line = reader.read_until(END_OF_LINE, "400 Bad Request")\n'
                    "        except ConnectionError:\n"
                    "            return\n"
                ),
            ),
        ),
        words="without its last chunk",
        row=66,
    ),
    Mistake(
        stage=18,
        rule="test_head_of_a_stream_has_no_body",
        title="HEAD brings the last chunk",
        changes=(
            (
                "        response.body = iter(())  # All",
                "        response.body = make_chunks(iter(()))  # All",
            ),
        ),
        words="the response to HEAD has a body",
    ),
    Mistake(
        stage=18,
        rule="test_refused_chunks_are_no_request",
        title="The chunks of a refused request are not read, and taken for the next request",
        changes=(
            ("    for _ in request.body if response.keep else ():\n        pass", "    pass"),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=18,
        rule="test_refused_chunks_are_no_request",
        title="Chunks are read away after a POST only",
        changes=(
            (
                "in request.body if response.keep else",
                'in request.body if response.keep and request.method == "POST" else',
            ),
        ),
        words="was read as the next request",
    ),
    Mistake(
        stage=18,
        rule="test_stream_is_one_path",
        title="/stream with a query is not found",
        changes=(
            (
                "    routes = ROUTES.get(request.method, {})\n",
                (
                    "    routes = ROUTES.get(request.method, {})\n"
                    '    require(not request.query or path != "/stream", "404 Not Found")\n'
                ),
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=18,
        rule="test_stream_is_one_path",
        title="All that begins with /stream is the stream",
        changes=(
            (
                "if handler := routes.get(path) or routes.get(prefix)",
                (
                    'found = path.startswith("/stream") and routes.get("/stream")\n'
                    "    if handler := routes.get(path) or routes.get(prefix) or found"
                ),
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=18,
        rule="test_stream_has_no_other_methods",
        title="POST for /stream is answered like GET",
        changes=(
            (
                'POST_ROUTES: dict[str, Callable] = {"/echo": echo_body,',
                (
                    'POST_ROUTES: dict[str, Callable] = {"/stream": '
                    'GET_ROUTES["/stream"], "/echo": echo_body,'
                ),
            ),
        ),
        words="not 405",
    ),
    Mistake(
        stage=18,
        rule="test_stream_has_no_other_methods",
        title="DELETE for /stream is answered like GET",
        changes=(
            (
                "    routes = ROUTES.get(request.method, {})\n",
                (
                    "    routes = ROUTES.get(request.method, {})\n"
                    '    if path == "/stream" and request.method == "DELETE":\n'
                    "        routes = GET_ROUTES\n"
                ),
            ),
        ),
        words="not 405",
    ),
    Mistake(
        stage=18,
        rule="test_stream_is_what_its_coding_says",
        title="A stream says gzip, but is plain",
        changes=(
            (
                "        response.body = make_chunks(response.body)\n",
                (
                    '        if "gzip" in request.fields.get("accept-encoding", ""):\n'
                    '            response.fields["Content-Encoding"] = "gzip"\n'
                    "        response.body = make_chunks(response.body)\n"
                ),
            ),
        ),
        words="not in gzip format",
    ),
    Mistake(
        stage=18,
        rule="test_stream_is_what_its_coding_says",
        title="What a compressor returns is sent as a chunk, even if it is nothing",
        changes=(
            (
                "        response.body = make_chunks(response.body)\n",
                (
                    '        if "gzip" in request.fields.get("accept-encoding", ""):\n'
                    '            response.fields["Content-Encoding"] = "gzip"\n'
                    "            packer = zlib.compressobj(wbits=31)\n"
                    "            packed = [packer.compress(piece) for piece in "
                    "response.body]\n"
                    "            response.body = iter([*packed, packer.flush()])\n"
                    "        response.body = make_chunks(response.body)\n"
                ),
            ),
            ("import traceback\n", "import traceback\nimport zlib\n"),
            ("        if piece:  # A chunk", "        if True:  # A chunk"),
        ),
        words="breaks off",
    ),
    Mistake(
        stage=18,
        rule="test_connection_is_usable_after_chunks",
        title="A chunked upload ends the connection",
        changes=(
            (
                "    return response.keep\n",
                (
                    '    chunks = request and "transfer-encoding" in request.fields\n'
                    "    return response.keep and not (chunks and "
                    'response.status[:3] == "201")\n'
                ),
            ),
        ),
        words="the request after POST /files/",
    ),
    Mistake(
        stage=18,
        rule="test_limits_the_number_of_trailers",
        title="There is no limit to the number of trailers",
        changes=(
            (
                ('        require(trailers <= MAX_HEAD, "431 Request Header Fields Too Large")\n'),
                "",
            ),
        ),
        words="trailers of 8 MB",
    ),
    Mistake(
        stage=18,
        rule="test_expect_continue_before_chunks",
        title="Chunks are waited for, though the client waits for 100 Continue",
        changes=(
            (
                ".lower() and request.minor > 0:\n        reader",
                ".lower() and length is not None:\n        reader",
            ),
        ),
        words="no 100 Continue came",
    ),
    Mistake(
        stage=18,
        rule="test_others_are_served_while_a_stream_runs",
        title="One lock is held while a response is sent, a stream too",
        changes=(
            (
                "    send_response(reader.connection, response)\n",
                ("    with log_lock:\n        send_response(reader.connection, response)\n"),
            ),
        ),
        words="before the stream of another client had ended / while a stream ran",
    ),
    Mistake(
        stage=18,
        rule="test_stream_bears_the_usual_fields",
        title="A response of unknown length is sent without Date",
        changes=(
            (
                '        fields["Content-Length"] = str(response.length)\n',
                '        fields["Content-Length"] = str(response.length)\n'
                '    else:\n        del fields["Date"]\n',
            ),
        ),
        words="no field Date",
    ),
    Mistake(
        stage=18,
        rule="test_stores_a_chunked_body",
        title="Where a name leads is not checked for a chunked body",
        changes=(
            (
                '    path = require(find_file(request), "404 Not Found")\n',
                '    path = find_file(request) if "content-length" in request.fields else Path(\n'
                '        settings.directory, request.path.removeprefix("/files/")\n'
                '    )\n    require(path, "404 Not Found")\n',
            ),
        ),
        words="was stored outside the folder",
    ),
)

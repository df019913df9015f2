"""Mistakes of stage 14, Handle POST Requests."""

from tester.mistakes import Mistake
from tester.mistakes.stage_12 import ANY_NAME

MISTAKES = (
    Mistake(
        stage=14,
        rule="test_echo_gives_the_body_back",
        title="The body is decoded and encoded again, which spoils what is no text",
        changes=(
            (
                "copy.writelines(request.body)",
                (
                    'copy.writelines(piece.decode("utf-8", "replace").encode() for piece in '
                    "request.body)"
                ),
            ),
        ),
        words="the body",
    ),
    Mistake(
        stage=14,
        rule="test_echo_gives_the_body_back",
        title="What POST /echo sends back is called plain text",
        changes=(("content_type=BINARY, length=copy", "content_type=TEXT, length=copy"),),
        words="not application/octet-stream",
    ),
    Mistake(
        stage=14,
        rule="test_body_may_hold_anything",
        title="White space at the ends of a body is cut off",
        changes=(("copy.writelines(request.body)", 'copy.write(b"".join(request.body).strip())'),),
        words="the body has",
        row=60,
    ),
    Mistake(
        stage=14,
        rule="test_body_may_hold_anything",
        title="The body is cut at its first empty line",
        changes=(
            (
                "copy.writelines(request.body)",
                r'copy.write(b"".join(request.body).split(b"\r\n\r\n")[0])',
            ),
        ),
        words="the body has",
        row=60,
    ),
    Mistake(
        stage=14,
        rule="test_empty_body",
        title="One byte more is waited for than the body has",
        changes=(("while length > 0:", "while length >= 0:"),),
        words="closed the connection",
    ),
    Mistake(
        stage=14,
        rule="test_length_in_any_letter_case",
        title="Content-Length is looked up with its capital letters",
        changes=(
            ("match[1].lower()", "match[1]"),
            ('"host" in fields', '"Host" in fields'),
            ('fields.get("host"', 'fields.get("Host"'),
            ('request.fields.get("content-length"', 'request.fields.get("Content-Length"'),
        ),
        words="the body has 0 bytes",
        row=41,
    ),
    Mistake(
        stage=14,
        rule="test_body_in_several_packets",
        title="Only what came together with the head is taken for the body",
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
        stage=14,
        rule="test_echo_gives_the_body_back",
        title="What of the body came together with the head is thrown away",
        changes=(
            (
                "self.buffer[: match.start()], self.buffer[match.end() :]",
                'self.buffer[: match.start()], b""',
            ),
        ),
        words="then closed the connection",
    ),
    Mistake(
        stage=14,
        rule="test_body_in_several_packets",
        title="The body is read until nothing more comes, whatever Content-Length says",
        changes=(
            ("while length > 0:", "while length:"),
            (
                "            self.buffer = self.buffer or receive(self.connection)",
                (
                    "            self.connection.settimeout(0.3)\n"
                    "            try:\n"
                    "                self.buffer = self.buffer or receive(self.connection)\n"
                    "            except TimeoutError:\n"
                    "                return"
                ),
            ),
            ("self.buffer[length:]\n            length -= len(piece)", "self.buffer[length:]"),
        ),
        words="the body has",
    ),
    Mistake(
        stage=14,
        rule="test_upload_in_several_packets",
        title="Only the first piece of an upload is stored",
        changes=(("file.writelines(request.body)", 'file.write(next(iter(request.body), b""))'),),
        words="the body has",
        row=60,
    ),
    Mistake(
        stage=14,
        rule="test_stores_a_file",
        title="What has been created is answered with 200",
        changes=(('Response("201 Created")', "Response()"),),
        words="not 201",
    ),
    Mistake(
        stage=14,
        rule="test_usual_words_for_201",
        title="201 comes with words of its own",
        changes=(('Response("201 Created")', 'Response("201 Stored")'),),
        words="not 'Created'",
    ),
    Mistake(
        stage=14,
        rule="test_stores_a_file",
        title="The name of an upload is not decoded",
        changes=(
            (
                'path = require(find_file(request), "404 Not Found")',
                (
                    "request.path = request.target\n"
                    '    path = require(find_file(request), "404 Not Found")'
                ),
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=14,
        rule="test_stores_a_file",
        title="An upload is stored under its name in small letters",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.lower().removeprefix("/files/")',
            ),
        ),
        words="is not in the file",
    ),
    Mistake(
        stage=14,
        rule="test_stores_large_and_empty_files",
        title="Only the first 64 KB of an upload are stored",
        changes=(("file.writelines(request.body)", 'file.write(b"".join(request.body)[:PIECE])'),),
        words="the body has 65536 bytes",
    ),
    Mistake(
        stage=14,
        rule="test_stores_large_and_empty_files",
        title="An empty body makes no file",
        changes=(("upload.replace(path)", "upload.stat().st_size and upload.replace(path)"),),
        words="not 200",
    ),
    Mistake(
        stage=14,
        rule="test_replaces_a_file",
        title="The body is added after the old file",
        changes=(("upload.replace(path)", 'path.open("ab").write(upload.read_bytes())'),),
        words="the body has 320 bytes, not 20",
    ),
    Mistake(
        stage=14,
        rule="test_replaces_a_file",
        title="The new file is written over the old one, whose end stays where it was longer",
        changes=(
            (
                "upload.replace(path)",
                'path.touch()\n        path.open("r+b").write(upload.read_bytes())',
            ),
        ),
        words="the body has 300 bytes, not 20",
    ),
    Mistake(
        stage=14,
        rule="test_replaces_a_file",
        title="A file that is there already is not replaced",
        changes=(("path.parent.is_dir() and", "not path.exists() and"),),
        words="not 200 or 201 or 204",
    ),
    Mistake(
        stage=14,
        rule="test_writes_nothing_outside",
        title="An upload is stored wherever its name leads",
        changes=(
            (
                'path = require(find_file(request), "404 Not Found")',
                'path = settings.directory / request.path.removeprefix("/files/")',
            ),
        ),
        words="outside the folder",
        row=55,
    ),
    Mistake(
        stage=14,
        rule="test_writes_nothing_outside",
        title="The folder for uploads is compared letter by letter, with startswith",
        changes=(
            ANY_NAME,
            (
                "path.is_relative_to(settings.directory)",
                "str(path).startswith(str(settings.directory))",
            ),
        ),
        words="outside the folder",
        row=56,
    ),
    Mistake(
        stage=14,
        rule="test_path_makes_no_field",
        title="Location holds the path as it was decoded, line ends and all",
        changes=(
            (
                'Response("201 Created")',
                'Response("201 Created", fields={"Location": request.path})',
            ),
        ),
        words="only a part of the path",
        row=47,
    ),
    Mistake(
        stage=14,
        rule="test_length_that_is_no_number",
        title="Content-Length is given to int, and its error is not caught",
        changes=(
            ('require(re.fullmatch("[0-9]+", digits))', "pass"),
            ('length = int(digits.lstrip("0")[:15] or "0")', "length = int(digits)"),
        ),
        words="not 400",
        row=62,
    ),
    Mistake(
        stage=14,
        rule="test_length_that_is_no_number",
        title="A negative Content-Length is taken for a length",
        changes=(
            ('"[0-9]+", digits', '"-?[0-9]+", digits'),
            ('length = int(digits.lstrip("0")[:15] or "0")', "length = int(digits)"),
        ),
        words="not 400",
        row=62,
    ),
    Mistake(
        stage=14,
        rule="test_length_that_is_no_number",
        title="A Content-Length that is no number counts as 0",
        changes=(
            (
                'require(re.fullmatch("[0-9]+", digits))',
                'digits = digits if re.fullmatch("[0-9]+", digits) else "0"',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=14,
        rule="test_length_in_digits_only",
        title="Whatever int takes is a Content-Length",
        changes=(
            (
                'require(re.fullmatch("[0-9]+", digits))',
                (
                    "try:\n"
                    "        int(digits)\n"
                    "    except ValueError:\n"
                    '        raise HTTPError("400 Bad Request") from None'
                ),
            ),
            ('length = int(digits.lstrip("0")[:15] or "0")', "length = int(digits)"),
        ),
        words="not 400",
    ),
    Mistake(
        stage=14,
        rule="test_length_in_digits_only",
        title="isdigit is asked, which is true for ² as well",
        changes=(('re.fullmatch("[0-9]+", digits)', "digits.isdigit()"),),
        words="not 400",
    ),
    Mistake(
        stage=14,
        rule="test_zeros_before_a_length",
        title="The first fifteen digits of a length are taken for all, zeros or not",
        changes=(('digits.lstrip("0")[:15]', "digits[:15]"),),
        words="the body has",
    ),
    Mistake(
        stage=14,
        rule="test_chunks_are_understood_or_refused",
        title="A body without Content-Length is taken for none, chunks or not",
        changes=(
            ('    require("transfer-encoding" not in request.fields, "501 Not Implemented")\n', ""),
        ),
        words="the body has",
    ),
    Mistake(
        stage=14,
        rule="test_leaving_in_mid_body_stores_nothing",
        title="The end of the connection is taken for the end of the body",
        changes=(
            (
                "            self.buffer = self.buffer or receive(self.connection)",
                (
                    "            try:\n"
                    "                self.buffer = self.buffer or receive(self.connection)\n"
                    "            except ConnectionError:\n"
                    "                return"
                ),
            ),
        ),
        words="as if they were the file",
    ),
    Mistake(
        stage=14,
        rule="test_leaving_in_mid_body_changes_nothing",
        title="The old file is opened for writing, which empties it at once",
        changes=(
            ('upload.open("xb")', 'path.open("wb")'),
            ("upload.replace(path)", "pass"),
        ),
        words="the body",
    ),
    Mistake(
        stage=14,
        rule="test_method_that_the_path_does_not_have",
        title="The method is ignored",
        changes=(("ROUTES.get(request.method, {})", "GET_ROUTES"),),
        words="not 405",
        row=36,
    ),
    Mistake(
        stage=14,
        rule="test_method_that_the_path_does_not_have",
        title="An answer 405 does not say what is allowed",
        changes=(
            (
                'return Response(status, fields={"Allow": f"OPTIONS, {allowed}"})',
                "return Response(status)",
            ),
        ),
        words="no field Allow",
        row=36,
    ),
    Mistake(
        stage=14,
        rule="test_method_that_the_path_does_not_have",
        title="Allow names methods that the path does not have",
        changes=(('f"OPTIONS, {allowed}"', '"GET, HEAD, POST, OPTIONS"'),),
        words="which the server has just refused",
    ),
    Mistake(
        stage=14,
        rule="test_echo_has_no_get",
        title="A path that has only POST is not found for GET",
        changes=(
            (
                "    require(request.method in KNOWN",
                (
                    '    if path != "*" and not {path, prefix} & {*GET_ROUTES}:\n'
                    '        return error_page("404 Not Found")\n'
                    "    require(request.method in KNOWN"
                ),
            ),
        ),
        words="not 405",
    ),
    Mistake(
        stage=14,
        rule="test_head_is_get_without_the_body",
        title="HEAD is answered with a body",
        changes=(("        response.body = iter(())  # All", "        pass  # All"),),
        words="the response to HEAD has a body",
        row=40,
    ),
    Mistake(
        stage=14,
        rule="test_head_is_get_without_the_body",
        title="HEAD says that the length is 0",
        changes=(("response.body = iter(())", "response.body, response.length = iter(()), 0"),),
        words="Content-Length is",
    ),
    Mistake(
        stage=14,
        rule="test_head_is_get_without_the_body",
        title="HEAD is refused",
        changes=(
            ('"HEAD": GET_ROUTES, ', ""),
            ("{*ROUTES,", '{*ROUTES, "HEAD",'),
        ),
        words="not 200",
    ),
    Mistake(
        stage=14,
        rule="test_unknown_method",
        title="A method that nobody knows gets 405",
        changes=(('    require(request.method in KNOWN_METHODS, "501 Not Implemented")\n', ""),),
        words="not 501",
    ),
    Mistake(
        stage=14,
        rule="test_body_over_the_limit",
        title="A body may be as long as it likes",
        changes=(('    require(length <= MAX_BODY, "413 Content Too Large")\n', ""),),
        words="waited for them instead of refusing",
    ),
    Mistake(
        stage=14,
        rule="test_different_lengths",
        title="Of two Content-Length, the last one counts",
        changes=(('f"{fields[name]}, {value}" if name in fields else value', "value"),),
        words="not 400",
        row=45,
    ),
    Mistake(
        stage=14,
        rule="test_post_without_a_length",
        title="A POST without Content-Length is refused",
        changes=(
            (
                'fields.get("content-length", "0")',
                'fields.get("content-length", "0" if request.method == "GET" else "")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=14,
        rule="test_options_of_a_path",
        title="OPTIONS is refused like a method that the path does not have",
        changes=(
            (
                '"200 OK" if request.method == "OPTIONS" else "405 Method Not Allowed"',
                '"405 Method Not Allowed"',
            ),
        ),
        words="not 200 or 204",
    ),
    Mistake(
        stage=14,
        rule="test_options_of_the_server",
        title="The target * is refused, for OPTIONS too",
        changes=((r'|OPTIONS \*")', '")'),),
        words="not 200 or 204",
    ),
    Mistake(
        stage=14,
        rule="test_post_to_a_folder",
        title="Nobody asks whether the name of an upload is a folder",
        changes=((" and not path.is_dir() else", " else"),),
        words="not a 4xx",
    ),
    Mistake(
        stage=14,
        rule="test_post_into_a_missing_folder",
        title="Nobody asks whether the folder of an upload is there",
        changes=(
            (
                (
                    '    require(path.parent.is_dir() and os.access(path.parent, os.W_OK), "404'
                    ' Not Found")\n'
                ),
                "",
            ),
        ),
        words="not a 4xx",
    ),
    Mistake(
        stage=14,
        rule="test_large_upload_needs_little_memory",
        title="An upload is held in memory before it is stored",
        changes=(("file.writelines(request.body)", 'file.write(b"".join(request.body))'),),
        words="while it took an upload",
    ),
    Mistake(
        stage=14,
        rule="test_writes_through_no_link",
        title="An upload follows a link out of the folder",
        changes=(("os.path.realpath(s", "os.path.normpath(s"),),
        words="wrote through a link",
    ),
    Mistake(
        stage=14,
        rule="test_writes_nothing_outside",
        title="Missing folders are made before it is checked where the name leads",
        changes=(
            (
                'path = require(find_file(request), "404 Not Found")\n    require(',
                'asked = settings.directory / request.path.removeprefix("/files/")\n'
                "    with contextlib.suppress(OSError, ValueError):\n"
                "        asked.parent.mkdir(parents=True, exist_ok=True)\n"
                '    path = require(find_file(request), "404 Not Found")\n    require(',
            ),
        ),
        words="created a folder outside",
    ),
    Mistake(
        stage=14,
        rule="test_broken_upload_leaves_nothing_behind",
        title="The temporary file of a broken upload stays",
        changes=(
            (
                'with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:',
                "with contextlib.nullcontext(path.parent) as folder:",
            ),
            ('Path(folder, "upload")', 'Path(folder, f".{os.urandom(8).hex()}")'),
        ),
        words="left files behind in the folder",
    ),
    Mistake(
        stage=14,
        rule="test_expect_continue",
        title="100 Continue is never sent",
        changes=(
            (
                r'        reader.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")',
                "        pass",
            ),
        ),
        words="no 100 Continue came",
        row=61,
    ),
    Mistake(
        stage=14,
        rule="test_expect_continue",
        title=("100-Continue is compared letter by letter, so that a capital C is not understood"),
        changes=(('.pop("expect", "").lower()', '.pop("expect", "")'),),
        words="no 100 Continue came",
    ),
    Mistake(
        stage=14,
        rule="test_no_continue_for_old_clients",
        title="100 Continue is sent to an HTTP/1.0 client, too",
        changes=((".lower() and request.minor > 0:", ".lower():"),),
        words="100 Continue, not 201",
    ),
    Mistake(
        stage=14,
        rule="test_refused_body_costs_no_answer",
        title="The connection is closed with the body of a refused request still unread",
        changes=(("        hang_up(connection)", "        connection.close()"),),
        words="reset",
        row=63,
    ),
    Mistake(
        stage=14,
        rule="test_readers_never_see_half_a_file",
        title="The old file is deleted before the new one has come",
        changes=(
            (
                'upload = Path(folder, "upload")',
                'path.unlink(missing_ok=True)\n        upload = Path(folder, "upload")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=14,
        rule="test_readers_never_see_half_a_file",
        title="The body is written into the file while others may read it",
        changes=(
            ('upload.open("xb")', 'path.open("wb", buffering=0)'),
            ("upload.replace(path)", "pass"),
        ),
        words="a reader got",
    ),
    Mistake(
        stage=14,
        rule="test_slow_upload_is_stored",
        title="One timeout holds for the whole body, however large",
        changes=(
            (
                "        while length > 0:\n",
                (
                    "        deadline = time.monotonic() + settings.idle_timeout\n"
                    "        while length > 0:\n"
                    "            if time.monotonic() > deadline:\n"
                    "                raise TimeoutError\n"
                ),
            ),
        ),
        words="was cut off after",
    ),
    Mistake(
        stage=14,
        rule="test_stalled_body_is_cut_off",
        title="At the timeout, what has come of the body is stored",
        changes=(
            (
                "            file.writelines(request.body)\n",
                (
                    "            with contextlib.suppress(BlockingIOError):\n"
                    "                file.writelines(request.body)\n"
                ),
            ),
        ),
        words="of the body that stalled",
    ),
    Mistake(
        stage=14,
        rule="test_type_of_a_body_does_not_matter",
        title="A body that is called a form is taken apart as one",
        changes=(
            (
                "copy.writelines(request.body)",
                (
                    'form = "form" in request.fields.get("content-type", "")\n'
                    '    body = b"".join(request.body)\n'
                    '    copy.write(unquote(body.decode("latin-1")).encode("latin-1") if '
                    "form else body)"
                ),
            ),
        ),
        words="the body",
    ),
    Mistake(
        stage=14,
        rule="test_stored_body_may_hold_anything",
        title="The line ends of an upload are changed, as text mode does",
        changes=(
            (
                "file.writelines(request.body)",
                'file.writelines(piece.replace(b"\\r\\n", b"\\n") for piece in request.body)',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=14,
        rule="test_stores_under_the_very_name",
        title="A file is stored under its name and the query",
        changes=(
            (
                "    with tempfile.TemporaryDirectory(",
                (
                    "    path = "
                    'path.with_name(f"{path.name}?{request.query}".rstrip("?").replace("/", ""))\n'
                    "    with tempfile.TemporaryDirectory("
                ),
            ),
        ),
        words="did not store",
    ),
    Mistake(
        stage=14,
        rule="test_signs_in_the_name_of_an_upload",
        title="The path of an upload is cut at ; as if parameters came after it",
        changes=(
            (
                'path = require(find_file(request), "404 Not Found")',
                (
                    'request.path = request.path.partition(";")[0]\n'
                    '    path = require(find_file(request), "404 Not Found")'
                ),
            ),
        ),
        words="did not store / not 200",
    ),
    Mistake(
        stage=14,
        rule="test_stores_under_the_very_name",
        title="White space at the ends of an upload's name is cut off",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.removeprefix("/files/").strip()',
            ),
        ),
        words="did not store",
    ),
    Mistake(
        stage=14,
        rule="test_old_clients_send_bodies",
        title="A body is read in HTTP/1.1 only",
        changes=(
            (
                "read_body(reader, request, body_length(request))",
                "read_body(reader, request, body_length(request) * request.minor)",
            ),
        ),
        words="the body has 0 bytes",
    ),
    Mistake(
        stage=14,
        rule="test_method_that_the_path_does_not_have",
        title="PATCH is answered like GET",
        changes=(('"HEAD": GET_ROUTES, ', '"HEAD": GET_ROUTES, "PATCH": GET_ROUTES, '),),
        words="not 405",
    ),
    Mistake(
        stage=14,
        rule="test_method_that_the_path_does_not_have",
        title="With a query, any method is answered like GET",
        changes=(
            (
                "ROUTES.get(request.method, {})",
                "ROUTES.get(request.method, {}) if not request.query else GET_ROUTES",
            ),
        ),
        words="not 405",
    ),
    Mistake(
        stage=14,
        rule="test_file_is_not_sent_for_other_methods",
        title="DELETE of a file sends the file, and deletes nothing",
        changes=(
            ('"POST": POST_ROUTES}', '"POST": POST_ROUTES, "DELETE": {"/files/": show_file}}'),
        ),
        words="not 405",
    ),
    Mistake(
        stage=14,
        rule="test_length_counts_for_every_method",
        title="Content-Length is only looked at for POST",
        changes=(
            (
                "read_body(reader, request, body_length(request))",
                (
                    "read_body(reader, request, body_length(request) if request.method "
                    '== "POST" else 0)'
                ),
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=14,
        rule="test_head_is_get_without_the_body",
        title="HEAD of what is not found is answered with a body",
        changes=(
            (
                "        response.body = iter(())  # All",
                (
                    '        if response.status == "200 OK":\n'
                    "            response.body = iter(())\n"
                    "        pass  # All"
                ),
            ),
        ),
        words="the response to HEAD has a body",
    ),
    Mistake(
        stage=14,
        rule="test_head_is_get_without_the_body",
        title="HEAD of a file says that its length is 0",
        changes=(
            (
                "        response.body = iter(())  # All",
                (
                    '        if "/files/" in head:\n'
                    "            response.length = 0\n"
                    "        response.body = iter(())  # All"
                ),
            ),
        ),
        words="Content-Length is",
    ),
    Mistake(
        stage=14,
        rule="test_head_sees_what_post_has_stored",
        title="HEAD keeps the length of a file from the first time on",
        changes=(
            (
                "    content_type = CONTENT_TYPES",
                (
                    '    if request.method == "HEAD":\n'
                    "        size = settings.__dict__.setdefault(str(path), size)\n"
                    "    content_type = CONTENT_TYPES"
                ),
            ),
        ),
        words="Content-Length is",
    ),
    Mistake(
        stage=14,
        rule="test_unknown_method",
        title="On files, a method that nobody knows gets 405",
        changes=(
            (
                "require(request.method in KNOWN_METHODS,",
                'require(request.method in KNOWN_METHODS or prefix == "/files/",',
            ),
        ),
        words="not 501",
    ),
    Mistake(
        stage=14,
        rule="test_methods_have_letter_case",
        title="A method is turned to capital letters, so that get is GET",
        changes=(("return Request(method, target,", "return Request(method.upper(), target,"),),
        words="not 501",
    ),
    Mistake(
        stage=14,
        rule="test_length_beyond_all_numbers",
        title="A length that is too large for 32 bits becomes a small one",
        changes=(('int(digits.lstrip("0")[:15] or "0")', "int(digits) % 2**32"),),
        words="not 413",
    ),
    Mistake(
        stage=14,
        rule="test_options_of_a_path",
        title="OPTIONS of a file is refused",
        changes=(
            (
                'if request.method == "OPTIONS" else',
                'if request.method == "OPTIONS" and prefix != "/files/" else',
            ),
        ),
        words="not 200 or 204",
    ),
    Mistake(
        stage=14,
        rule="test_expect_continue",
        title="100 Continue is sent for files only",
        changes=(("and request.minor > 0:", 'and request.minor > 0 and request.path != "/echo":'),),
        words="no 100 Continue came",
    ),
    Mistake(
        stage=14,
        rule="test_refuses_before_the_body_is_sent",
        title="A body that is not wanted is waited for all the same, and not asked for",
        changes=(
            (
                "    require(request.method in KNOWN",
                (
                    '    request.fields.pop("expect", None)\n'
                    "    for _ in request.body:\n"
                    "        pass\n"
                    "    require(request.method in KNOWN"
                ),
            ),
        ),
        words="closed the connection / sent nothing",
    ),
    Mistake(
        stage=14,
        rule="test_no_length_where_no_body_can_be",
        title="A response 204 says that its length is 0",
        changes=(
            (
                '"200 OK" if request.method == "OPTIONS"',
                '"204 No Content" if request.method == "OPTIONS"',
            ),
        ),
        words="has Content-Length, but a 204 never has a body",
    ),
    Mistake(
        stage=14,
        rule="test_no_length_where_no_body_can_be",
        title="100 Continue says that its length is 0",
        changes=(("100 Continue\\r\\n\\r\\n", "100 Continue\\r\\nContent-Length: 0\\r\\n\\r\\n"),),
        words="has Content-Length, but a 100 never has a body",
    ),
    Mistake(
        stage=14,
        rule="test_responses_to_other_methods_bear_the_usual_fields",
        title="A response 201 does not name the server",
        changes=(
            (
                '    lines += [f"{name}',
                (
                    '    if response.status == "201 Created":\n'
                    '        del fields["Server"]\n'
                    '    lines += [f"{name}'
                ),
            ),
        ),
        words="no field Server",
    ),
    Mistake(
        stage=14,
        rule="test_responses_to_rare_methods_bear_the_usual_fields",
        title="A response 413 does not name the server",
        changes=(
            (
                '    lines += [f"{name}',
                (
                    '    if response.status[:3] == "413":\n'
                    '        del fields["Server"]\n'
                    '    lines += [f"{name}'
                ),
            ),
        ),
        words="no field Server",
    ),
    Mistake(
        stage=14,
        rule="test_responses_to_other_methods_say_close",
        title="A response 405 does not say that the connection ends",
        changes=(
            (
                '    lines += [f"{name}',
                (
                    '    if "Allow" in fields:\n'
                    '        del fields["Connection"]\n'
                    '    lines += [f"{name}'
                ),
            ),
        ),
        words="no field Connection",
    ),
    Mistake(
        stage=14,
        rule="test_refused_body_is_no_request",
        title="After a refusal, the connection stays open, and the body is read as a request",
        changes=(
            (
                "def serve_request(connection: socket.socket) -> None:",
                'def serve_request(connection: socket.socket, rest: bytes = b"") -> None:',
            ),
            ("    reader = Reader(connection)\n", "    reader = Reader(connection, rest)\n"),
            (
                "    send_response(connection, response)\n\n",
                (
                    "    send_response(connection, response)\n"
                    '    if reader.buffer and response.status[:3] in ("404", "405", "501"):\n'
                    "        serve_request(connection, reader.buffer)\n"
                    "\n"
                ),
            ),
        ),
        words="was answered as the next request",
    ),
    Mistake(
        stage=14,
        rule="test_refused_body_is_no_request",
        title="After 413, the connection stays open, and the body is read as a request",
        changes=(
            (
                "def serve_request(connection: socket.socket) -> None:",
                'def serve_request(connection: socket.socket, rest: bytes = b"") -> None:',
            ),
            ("    reader = Reader(connection)\n", "    reader = Reader(connection, rest)\n"),
            (
                "    send_response(connection, response)\n\n",
                (
                    "    send_response(connection, response)\n"
                    '    if reader.buffer and response.status[:3] == "413":\n'
                    "        serve_request(connection, reader.buffer)\n"
                    "\n"
                ),
            ),
        ),
        words="was answered as the next request",
    ),
    Mistake(
        stage=14,
        rule="test_uploads_at_once",
        title="All uploads share one temporary file",
        changes=(
            (
                'with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:',
                "with contextlib.nullcontext(path.parent) as folder:",
            ),
            ('Path(folder, "upload")', 'Path(folder, ".upload")'),
            ('upload.open("xb")', 'upload.open("wb")'),
        ),
        words="an upload, one of / a reader got",
    ),
    Mistake(
        stage=14,
        rule="test_uploads_at_once",
        title="Uploads to one name share a temporary file that is called like it",
        changes=(
            (
                'with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:',
                "with contextlib.nullcontext(path.parent) as folder:",
            ),
            ('Path(folder, "upload")', 'Path(folder, f".{path.name}")'),
            ('upload.open("xb")', 'upload.open("wb")'),
        ),
        words="an upload, one of / a reader got",
    ),
    Mistake(
        stage=14,
        rule="test_file_is_replaced_in_one_step",
        title="A body that is whole is written into the old file, which is emptied first",
        changes=(("upload.replace(path)", "path.write_bytes(upload.read_bytes())"),),
        words="while the file was replaced",
    ),
    Mistake(
        stage=14,
        rule="test_one_file_has_one_name_for_uploads",
        title="Uploads are stored wherever the parts of a path lead inside the folder",
        changes=(
            (
                'if {"", ".", ".."} & {*name.split("/")} or',
                'if request.method != "POST" and {"", ".", ".."} & {*name.split("/")} or',
            ),
        ),
        words="not a 4xx",
    ),
    Mistake(
        stage=14,
        rule="test_no_field_comes_twice_in_response_to_other_methods",
        title="405 writes its Content-Type by hand, beside the one that each response has",
        changes=(
            (
                'fields={"Allow": f"OPTIONS, {allowed}"}',
                'fields={"Allow": f"OPTIONS, {allowed}", "content-type": TEXT}',
            ),
        ),
        words="more than one Content-Type field",
    ),
    Mistake(
        stage=14,
        rule="test_half_a_body_holds_nobody_up",
        title="A lock is held while a body is read, so that others wait for it",
        changes=(
            (
                "    copy.writelines(request.body)\n",
                "    with log_lock:\n        copy.writelines(request.body)\n",
            ),
        ),
        words="while others were served / while two others are half sent",
    ),
)

"""Mistakes of stage 12, Serve Files from a Directory."""

from tester.mistakes import Mistake

ANY_NAME = (
    'if {"", ".", ".."} & {*name.split("/")} or "%2f" in request.target.lower().partition("?")[0]:',
    "if False:",
)
"""Without the guard that gives a file one name alone, names with dots in them may lead outside."""

MISTAKES = (
    Mistake(
        stage=12,
        rule="test_survives_clients_that_leave_in_mid_answer",
        title="The place of a client that breaks off is never given to another",
        changes=(
            ("MAX_CONNECTIONS = 1500", "MAX_CONNECTIONS = 9"),
            (
                "            serve_request(connection)\n",
                "            serve_request(connection)\n            slots.release()\n",
            ),
            (
                "        busy.discard(threading.current_thread())\n        slots.release()\n",
                "        busy.discard(threading.current_thread())\n",
            ),
        ),
        words="sent nothing",
        row=51,
    ),
    Mistake(
        stage=12,
        rule="test_file_arrives_byte_for_byte",
        title="The file is opened as text",
        changes=(('path.open("rb")', 'path.open("r")'),),
        words="closed the connection",
        row=57,
    ),
    Mistake(
        stage=12,
        rule="test_file_arrives_byte_for_byte",
        title="White space at the ends of a file is cut off",
        changes=(("yield piece\n", "yield piece.strip()\n"),),
        words="bytes had come",
    ),
    Mistake(
        stage=12,
        rule="test_file_arrives_byte_for_byte",
        title="The name of a file is turned to small letters",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.lower().removeprefix("/files/")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_large_file_arrives_whole",
        title="send is called instead of sendall, and what it could not take is lost",
        changes=(
            (
                'connection.sendall(build_head(response) + next(response.body, b""))',
                (
                    "connection.settimeout(9)\n"
                    '    connection.send(build_head(response) + next(response.body, b""))'
                ),
            ),
            ("PIECE = 64 * 1024", "PIECE = 64 * 1024 * 1024"),
        ),
        words="bytes had come",
        row=24,
    ),
    Mistake(
        stage=12,
        rule="test_large_file_arrives_whole",
        title="Only the first piece of a file is sent",
        changes=(("while piece := file.read(", "if piece := file.read("),),
        words="65536 of 5242880 bytes had come",
    ),
    Mistake(
        stage=12,
        rule="test_files_in_subfolders",
        title="Only the last part of the path is looked for",
        changes=(
            (
                'name = request.path.removeprefix("/files/")',
                'name = request.path.rpartition("/")[2]',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_names_are_decoded",
        title="The name of a file is not decoded",
        changes=(
            (
                'name = request.path.removeprefix("/files/")',
                'name = request.target.removeprefix("/files/")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_missing_file_is_not_found",
        title="A file is opened without a look whether it is there",
        changes=(("not path.is_file() or not os.access(path, os.R_OK)", "path.is_dir()"),),
        words="not 404",
    ),
    Mistake(
        stage=12,
        rule="test_missing_file_is_not_found",
        title="The beginning /files is compared without the slash after it",
        changes=(
            ("GET_ROUTES.get(prefix)", '(path.startswith("/files") and show_file)'),
            ('removeprefix("/files/")', 'removeprefix("/files").lstrip("/")'),
        ),
        words="not 404",
    ),
    Mistake(
        stage=12,
        rule="test_every_file_is_octet_stream",
        title="Files are sent as plain text",
        changes=(("content_type=BINARY", "content_type=TEXT"),),
        words="not application/octet-stream",
    ),
    Mistake(
        stage=12,
        rule="test_dots_do_not_lead_outside",
        title="Folder and name are joined, and nobody looks where that leads",
        changes=(
            ANY_NAME,
            (
                (
                    "return path if path.is_relative_to(settings.directory) and not"
                    " path.is_dir() else None"
                ),
                "return path",
            ),
        ),
        words="outside the folder",
        row=55,
    ),
    Mistake(
        stage=12,
        rule="test_dots_do_not_lead_outside",
        title="Where a name leads is not checked if a whole URL is the target",
        changes=(
            (
                '    name = request.path.removeprefix("/files/")\n',
                '    name = request.path.removeprefix("/files/")\n'
                '    if request.target[0] != "/":\n'
                "        return settings.directory / name\n",
            ),
        ),
        words="outside the folder",
    ),
    Mistake(
        stage=12,
        rule="test_encoded_dots_do_not_lead_outside",
        title="The path is searched for .. before it is decoded",
        changes=(
            ANY_NAME,
            ("path.is_relative_to(settings.directory)", '".." not in request.target'),
        ),
        words="outside the folder",
        row=55,
    ),
    Mistake(
        stage=12,
        rule="test_absolute_paths_do_not_lead_outside",
        title="Only .. is forbidden, but the name of a file may be a whole path",
        changes=(
            ANY_NAME,
            ("path.is_relative_to(settings.directory)", '".." not in request.path'),
        ),
        words="outside the folder",
        row=55,
    ),
    Mistake(
        stage=12,
        rule="test_sibling_folder_is_outside",
        title="Folders are compared letter by letter, with startswith",
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
        stage=12,
        rule="test_folder_is_no_file",
        title="A folder is opened as if it were a file",
        changes=(
            ("not path.is_file() or not os.access(path, os.R_OK)", "not path.exists()"),
            (" and not path.is_dir() else", " else"),
        ),
        words="not a 4xx",
        row=57,
    ),
    Mistake(
        stage=12,
        rule="test_empty_file",
        title="An empty file is taken for none",
        changes=(
            (
                "not path.is_file() or not os.access(path, os.R_OK)",
                "not path.is_file() or not path.stat().st_size",
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_dots_inside_a_name",
        title="A name with two dots in it is forbidden",
        changes=(
            (
                "path.is_relative_to(settings.directory)",
                'path.is_relative_to(settings.directory) and ".." not in request.path',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_letter_case_of_a_name_counts",
        title="A file is found by its name in any letter case",
        changes=(
            (
                "        return path if path.is_relative_to(settings.directory)",
                (
                    "        for other in path.parent.iterdir():\n"
                    "            if other.name.lower() == path.name.lower():\n"
                    "                path = other\n"
                    "        return path if path.is_relative_to(settings.directory)"
                ),
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=12,
        rule="test_names_that_no_file_can_have",
        title="A name that is too long for the system is an error that nobody catches",
        changes=(("except (OSError, ValueError)", "except ValueError"),),
        words="not a 4xx",
    ),
    Mistake(
        stage=12,
        rule="test_nul_in_a_name",
        title="A NUL in a name is an error that nobody catches",
        changes=(("except (OSError, ValueError)", "except OSError"),),
        words="not a 4xx",
    ),
    Mistake(
        stage=12,
        rule="test_nul_in_a_name",
        title="A name ends at its first NUL, as in C",
        changes=(('removeprefix("/files/")', r'removeprefix("/files/").split("\0")[0]'),),
        words="not a 4xx",
    ),
    Mistake(
        stage=12,
        rule="test_link_that_leads_outside",
        title="A link is followed, wherever it leads",
        changes=(("os.path.realpath(s", "os.path.normpath(s"),),
        words="outside the folder",
    ),
    Mistake(
        stage=12,
        rule="test_huge_file_needs_little_memory",
        title="A file is read whole before it is sent",
        changes=(("body=read_file(file, size)", "body=file.read()"),),
        words="the server grew by",
    ),
    Mistake(
        stage=12,
        rule="test_ends_of_a_name",
        title="White space at the ends of a file's name is cut off",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.removeprefix("/files/").strip()',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_signs_in_the_name_of_a_file",
        title="A path is cut at ; as if parameters came after it",
        changes=(('return unquote(path or "/",', 'return unquote(path.partition(";")[0] or "/",'),),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_signs_in_the_name_of_a_file",
        title="A + in a file's name is taken for a space",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.removeprefix("/files/").replace("+", " ")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_names_are_decoded_once",
        title="A file's name is decoded once more",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'unquote(request.path.removeprefix("/files/"))',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_all_of_the_path_is_the_name",
        title="A file's path is cut at every /files/, and the second part is taken",
        changes=(
            ('request.path.removeprefix("/files/")', '(request.path.split("/files/") + [""])[1]'),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_all_of_the_path_is_the_name",
        title="Every /files/ in a path is taken away, not only the first",
        changes=(('request.path.removeprefix("/files/")', 'request.path.replace("/files/", "")'),),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_all_of_the_path_is_the_name",
        title="lstrip is given /files/, and takes away its characters from the name as well",
        changes=(('request.path.removeprefix("/files/")', 'request.path.lstrip("/files/")'),),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_query_is_no_part_of_a_name",
        title="A file is looked for under the whole target, with its query",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'unquote(request.target).removeprefix("/files/")',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_query_is_no_part_of_a_name",
        title="A query with .. in it is taken for an attack",
        changes=(
            (
                'if {"", ".", ".."} & {*name',
                'if ".." in request.query or {"", ".", ".."} & {*name',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_files_are_read_anew",
        title="A file is kept from its first request on, and never read again",
        changes=(
            (
                "return Response(body=read_file(file, size), content_type=BINARY, length=size)",
                (
                    "kept = settings.__dict__.setdefault(str(path), file.read())\n"
                    "    return Response(body=kept, content_type=BINARY)"
                ),
            ),
        ),
        words="the body",
    ),
    Mistake(
        stage=12,
        rule="test_old_clients_get_files",
        title="A client that speaks HTTP/1.0 gets no files",
        changes=(
            (
                '    file = path.open("rb")\n',
                (
                    '    require(request.minor > 0, "505 HTTP Version Not Supported")\n'
                    '    file = path.open("rb")\n'
                ),
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_responses_with_files_bear_the_usual_fields",
        title="A response with a file has no Date",
        changes=(
            (
                '    lines += [f"{name}',
                (
                    "    if response.content_type == BINARY:\n"
                    '        del fields["Date"]\n'
                    '    lines += [f"{name}'
                ),
            ),
        ),
        words="no field Date",
    ),
    Mistake(
        stage=12,
        rule="test_responses_with_files_say_close",
        title="A response with a file does not say that the connection ends",
        changes=(
            (
                '    lines += [f"{name}',
                (
                    "    if response.content_type == BINARY:\n"
                    '        del fields["Connection"]\n'
                    '    lines += [f"{name}'
                ),
            ),
        ),
        words="no field Connection",
    ),
    Mistake(
        stage=12,
        rule="test_one_file_has_one_name",
        title="A slash at the end of a file's name is passed over",
        changes=(
            (
                'request.path.removeprefix("/files/")',
                'request.path.removeprefix("/files/").rstrip("/")',
            ),
            (' or "%2f" in request.target.lower().partition("?")[0]', ""),
        ),
        words="not a 4xx",
    ),
    Mistake(
        stage=12,
        rule="test_one_file_has_one_name",
        title="Nobody looks at the parts of a path, only at where it leads",
        changes=(
            (
                (
                    '    if {"", ".", ".."} & {*name.split("/")} or "%2f" in '
                    'request.target.lower().partition("?")[0]:\n'
                    "        return None\n"
                ),
                "",
            ),
        ),
        words="not a 4xx",
    ),
    Mistake(
        stage=12,
        rule="test_length_and_bytes_are_of_one_file",
        title="The length is asked before the file is opened, and may be another's",
        changes=(
            (
                ('    file = path.open("rb")\n    size = os.fstat(file.fileno()).st_size'),
                '    size = path.stat().st_size\n    file = path.open("rb")',
            ),
        ),
        words="of a file that changed just before",
    ),
    Mistake(
        stage=12,
        rule="test_length_and_bytes_are_of_one_file",
        title="A file is sent up to its end, though it has grown since its length was asked",
        changes=(("file.read(min(length, PIECE))", "file.read(PIECE)"),),
        words="a file that grows",
    ),
    Mistake(
        stage=12,
        rule="test_sibling_folder_is_outside",
        title="Folder and name are joined as texts, so that the name may go on the folder's",
        changes=(
            ("GET_ROUTES.get(prefix)", '(path.startswith("/files") and show_file)'),
            ('request.path.removeprefix("/files/")', 'request.path[6:].lstrip("/")'),
            ("settings.directory / name", 'f"{settings.directory}{request.path[6:]}"'),
            ("path.is_relative_to(settings.directory)", '".." not in request.path'),
        ),
        words="outside the folder",
    ),
    Mistake(
        stage=12,
        rule="test_escapes_in_front_of_a_name",
        title="Files are routed by the target as it was sent, before it is decoded",
        changes=(
            (
                "GET_ROUTES.get(prefix)",
                'GET_ROUTES.get(request.target[: request.target.find("/", 1) + 1])',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=12,
        rule="test_every_file_is_octet_stream",
        title="Files whose names end in .html are sent as pages",
        changes=(
            (
                "content_type=BINARY, length=size",
                'content_type=HTML if path.suffix == ".html" else BINARY, length=size',
            ),
        ),
        words="not application/octet-stream",
    ),
)

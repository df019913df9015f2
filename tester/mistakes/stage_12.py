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
        words="silent",
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
)

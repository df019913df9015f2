"""Mistakes of stage 13, Detect Content Types."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=13,
        rule="test_text_types",
        title="Every file is just bytes",
        changes=(("CONTENT_TYPES.get(path.suffix.lower(), BINARY)", "BINARY"),),
        words="not text/html",
    ),
    Mistake(
        stage=13,
        rule="test_text_types",
        title="JavaScript is not in the table",
        changes=(
            (', ".js": "text/javascript; charset=utf-8"', ""),
            ('".mjs": CONTENT_TYPES[".js"], ', ""),
        ),
        words="not text/javascript",
    ),
    Mistake(
        stage=13,
        rule="test_image_and_document_types",
        title="A .jpg file is sent as image/jpg, which does not exist",
        changes=(('".jpg": "image/jpeg"', '".jpg": "image/jpg"'),),
        words="not image/jpeg",
    ),
    Mistake(
        stage=13,
        rule="test_extension_in_any_letter_case",
        title="The extension is compared with its capital letters",
        changes=(("path.suffix.lower()", "path.suffix"),),
        words="not text/html",
    ),
    Mistake(
        stage=13,
        rule="test_unknown_extension",
        title="Where no type is known, the word None is sent",
        changes=(
            (
                "CONTENT_TYPES.get(path.suffix.lower(), BINARY)",
                "CONTENT_TYPES.get(path.suffix.lower())",
            ),
        ),
        words="not application/octet-stream",
        row=59,
    ),
    Mistake(
        stage=13,
        rule="test_unknown_extension",
        title="Where no type is known, text/plain is sent",
        changes=(
            (
                "CONTENT_TYPES.get(path.suffix.lower(), BINARY)",
                "CONTENT_TYPES.get(path.suffix.lower(), TEXT)",
            ),
        ),
        words="not application/octet-stream",
    ),
    Mistake(
        stage=13,
        rule="test_no_extension",
        title="The type is told by the last letters of the name, dot or not",
        changes=(
            (
                "CONTENT_TYPES.get(path.suffix.lower(), BINARY)",
                (
                    "next((t for end, t in CONTENT_TYPES.items() if "
                    "path.name.endswith(end[1:])), BINARY)"
                ),
            ),
        ),
        words="not application/octet-stream",
    ),
    Mistake(
        stage=13,
        rule="test_no_extension",
        title="The extension is looked for in the whole path, folders and all",
        changes=(
            ("path.suffix.lower()", '"." + request.path.partition(".")[2].partition("/")[0]'),
        ),
        words="not application/octet-stream",
    ),
    Mistake(
        stage=13,
        rule="test_last_extension_counts",
        title="The name is split at dots, and the second part is taken",
        changes=(("path.suffix.lower()", '"." + f"{path.name}.".split(".")[1].lower()'),),
        words="Content-Type is",
        row=59,
    ),
    Mistake(
        stage=13,
        rule="test_packed_archive_is_no_plain_tar",
        title="Of what guess_type returns, only the type is used, and not the encoding",
        changes=(
            (
                "CONTENT_TYPES.get(path.suffix.lower(), BINARY)",
                '__import__("mimetypes").guess_type(path.name)[0] or BINARY',
            ),
        ),
        words="but its bytes are gzip",
        row=59,
    ),
    Mistake(
        stage=13,
        rule="test_text_files_say_their_charset",
        title="The charset of a style sheet is not told",
        changes=(('"text/css; charset=utf-8"', '"text/css"'),),
        words="charset=utf-8",
    ),
    Mistake(
        stage=13,
        rule="test_browsers_must_not_guess",
        title="Browsers may guess the type of a file",
        changes=(('"X-Content-Type-Options": "nosniff",', ""),),
        words="no field X-Content-Type-Options",
    ),
    Mistake(
        stage=13,
        rule="test_type_is_told_by_the_name_alone",
        title="The type is told by the end of the whole target, with its query",
        changes=(("path.suffix.lower()", "Path(request.target).suffix.lower()"),),
        words="Content-Type is",
    ),
    Mistake(
        stage=13,
        rule="test_type_is_told_by_the_name_alone",
        title="A file that looks like a page is sent as one, whatever its name",
        changes=(
            (
                "    content_type = CONTENT_TYPES",
                (
                    '    if os.pread(file.fileno(), 9, 0).lower() == b"<!doctype":\n'
                    "        return Response(body=read_file(file, size), "
                    "content_type=HTML, length=size)\n"
                    "    content_type = CONTENT_TYPES"
                ),
            ),
        ),
        words="Content-Type is",
    ),
)

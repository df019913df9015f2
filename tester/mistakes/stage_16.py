"""Mistakes of stage 16, Support HTTP Compression."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="Nothing is ever compressed",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                "if False",
            ),
        ),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="The head says gzip, but the body is plain",
        changes=(('gzip.open(packed, "wb", compresslevel=6)', "contextlib.nullcontext(packed)"),),
        words="not in gzip format",
        row=65,
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="The body is compressed by zlib, whose format is another",
        changes=(
            ("import gzip\n", "import gzip\nimport zlib\n"),
            ('gzip.open(packed, "wb", compresslevel=6)', "contextlib.nullcontext(packed)"),
            (
                "packer.writelines(response.body)",
                'packer.write(zlib.compress(b"".join(response.body)))',
            ),
        ),
        words="zlib format",
        row=65,
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="The body is compressed, but the head does not say so",
        changes=(('            response.fields["Content-Encoding"] = "gzip"\n', ""),),
        words="no Content-Encoding says so",
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="The body is compressed twice",
        changes=(
            (
                "packer.writelines(response.body)",
                'packer.write(gzip.compress(b"".join(response.body)))',
            ),
        ),
        words="compressed twice",
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="Only files and echoes are compressed",
        changes=(
            (
                ("    if response.length and response.content_type.startswith(COMPRESSIBLE):\n"),
                (
                    '    if request.path.startswith(("/echo/", "/files/")) and '
                    "response.length and response.content_type.startswith(COMPRESSIBLE):\n"
                ),
            ),
        ),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_compresses_when_gzip_is_accepted",
        title="What is asked for with a query is never compressed",
        changes=(
            (
                ("    if response.length and response.content_type.startswith(COMPRESSIBLE):\n"),
                (
                    "    if not request.query and response.length and "
                    "response.content_type.startswith(COMPRESSIBLE):\n"
                ),
            ),
        ),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_does_not_compress_unless_it_is_accepted",
        title="Text is compressed for everybody",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                "if True",
            ),
        ),
        words="is compressed",
    ),
    Mistake(
        stage=16,
        rule="test_does_not_compress_unless_it_is_accepted",
        title="Text is compressed for whoever sends Accept-Encoding, whatever is in it",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                'if "accept-encoding" in request.fields',
            ),
        ),
        words="is compressed",
    ),
    Mistake(
        stage=16,
        rule="test_finds_gzip_in_a_list",
        title="Accept-Encoding is compared as a whole, though it is a list",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                'if request.fields.get("accept-encoding", "") == "gzip"',
            ),
        ),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_finds_gzip_in_a_list",
        title="The list is split at commas, but the spaces stay",
        changes=((r'coding.strip(" \t")', "coding"),),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_content_length_is_the_compressed_length",
        title="Content-Length is the length before compression",
        changes=(
            ("response.body, response.length = read_file", "response.body = read_file"),
            ("packed.tell()), packed.tell()", "packed.tell())"),
        ),
        words="Content-Length counts the",
        row=65,
    ),
    Mistake(
        stage=16,
        rule="test_unpacks_to_the_same_bytes",
        title="Only the first piece of a long body is compressed",
        changes=(("packer.writelines(response.body)", "packer.write(next(response.body))"),),
        words="the body has 65536 bytes",
    ),
    Mistake(
        stage=16,
        rule="test_unpacks_to_the_same_bytes",
        title="A file is decoded before it is compressed, which spoils what is no text",
        changes=(
            (
                "packer.writelines(response.body)",
                'packer.write(b"".join(response.body).decode("utf-8", "replace").encode())',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=16,
        rule="test_unpacks_to_the_same_bytes",
        title="The echo of a body says gzip, but is plain",
        changes=(
            (
                ("    if response.length and response.content_type.startswith(COMPRESSIBLE):\n"),
                (
                    '    if request.method == "POST" and "gzip" in '
                    'request.fields.get("accept-encoding", ""):\n'
                    '        response.fields["Content-Encoding"] = "gzip"\n'
                    "    elif response.length and "
                    "response.content_type.startswith(COMPRESSIBLE):\n"
                ),
            ),
        ),
        words="not in gzip format",
    ),
    Mistake(
        stage=16,
        rule="test_unpacks_to_the_same_bytes",
        title="An error says gzip, but is plain",
        changes=(
            (
                ("    if response.length and response.content_type.startswith(COMPRESSIBLE):\n"),
                (
                    '    if response.status > "4" and "gzip" in '
                    'request.fields.get("accept-encoding", ""):\n'
                    '        response.fields["Content-Encoding"] = "gzip"\n'
                    "    elif response.length and "
                    "response.content_type.startswith(COMPRESSIBLE):\n"
                ),
            ),
        ),
        words="not in gzip format",
    ),
    Mistake(
        stage=16,
        rule="test_weight_zero_is_a_no",
        title="gzip is looked for anywhere in Accept-Encoding, and q=0 is overlooked",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                'if "gzip" in request.fields.get("accept-encoding", "")',
            ),
        ),
        words="is compressed",
        row=65,
    ),
    Mistake(
        stage=16,
        rule="test_weight_zero_is_a_no",
        title="A weight is compared letter by letter, so that q=0.0 is a yes",
        changes=(("float(number[1]) if number else 1.0", 'float(weight.strip() != "q=0")'),),
        words="is compressed",
    ),
    Mistake(
        stage=16,
        rule="test_star_is_a_yes",
        title="The star in Accept-Encoding is not understood",
        changes=(('weights.get("*", 0.0)', "0.0"),),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_names_compare_whole",
        title="Whatever ends in gzip is taken for gzip",
        changes=(
            (
                'weights.get("gzip", weights.get("x-gzip", others))',
                "next((weights[name] for name in weights if name.endswith('gzip')), others)",
            ),
        ),
        words="is compressed",
        row=65,
    ),
    Mistake(
        stage=16,
        rule="test_names_compare_whole",
        title="GZIP in capital letters is not understood",
        changes=(("accepted.lower().split", "accepted.split"),),
        words="the text is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_says_vary",
        title="Caches are not told that the answer depends on Accept-Encoding",
        changes=(('response.fields["Vary"] = "Accept-Encoding"  # Ca', "pass  # Ca"),),
        words="does not say Vary",
    ),
    Mistake(
        stage=16,
        rule="test_says_vary",
        title="Vary is sent only with compressed answers",
        changes=(
            ('response.fields["Vary"] = "Accept-Encoding"  # Ca', "pass  # Ca"),
            (
                '            response.fields["Content-Encoding"] = "gzip"\n',
                (
                    '            response.fields["Vary"] = "Accept-Encoding"\n'
                    '            response.fields["Content-Encoding"] = "gzip"\n'
                ),
            ),
        ),
        words="does not say Vary",
    ),
    Mistake(
        stage=16,
        rule="test_says_vary",
        title="Vary is missing where the request has a query",
        changes=(
            (
                '        response.fields["Vary"] = "Accept-Encoding"  # Ca',
                (
                    "        if not request.query:\n"
                    '            response.fields["Vary"] = "Accept-Encoding"\n'
                    "        pass  # Ca"
                ),
            ),
        ),
        words="does not say Vary",
    ),
    Mistake(
        stage=16,
        rule="test_does_not_compress_what_is_packed",
        title="Images and archives are compressed once more",
        changes=((" and response.content_type.startswith(COMPRESSIBLE)", ""),),
        words="was compressed again",
    ),
    Mistake(
        stage=16,
        rule="test_head_says_the_same_as_get",
        title="HEAD is answered as if gzip were not accepted",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                (
                    'if request.method != "HEAD" and '
                    'accepts_gzip(request.fields.get("accept-encoding", ""))'
                ),
            ),
        ),
        words="for HEAD",
    ),
    Mistake(
        stage=16,
        rule="test_head_says_the_same_as_get",
        title="HEAD with a query is answered as if gzip were not accepted",
        changes=(
            (
                '        if (accepted := request.fields.get("accept-encoding")) and',
                (
                    '        accepted = request.fields.get("accept-encoding")\n'
                    '        if (request.method == "GET" or not request.query) and '
                    "accepted and"
                ),
            ),
        ),
        words="for HEAD",
    ),
    Mistake(
        stage=16,
        rule="test_each_request_says_anew_what_it_accepts",
        title="The first Accept-Encoding on a connection holds for all its requests",
        changes=(
            (
                '        if (accepted := request.fields.get("accept-encoding")) and',
                (
                    '        accepted = vars(kept).setdefault("accepted", '
                    'request.fields.get("accept-encoding"))\n'
                    "        if accepted and"
                ),
            ),
            (
                "log_lock = threading.Lock()",
                "kept = threading.local()\nlog_lock = threading.Lock()",
            ),
        ),
        words="request 2 without Accept-Encoding",
    ),
    Mistake(
        stage=16,
        rule="test_each_request_says_anew_what_it_accepts",
        title="What was compressed for one client is sent compressed to all",
        changes=(
            (
                (
                    '        if (accepted := request.fields.get("accept-encoding")) '
                    "and accepts_gzip(accepted)"
                ),
                (
                    '        accepted = request.fields.get("accept-encoding", "")\n'
                    "        if request.target in PACKED or (accepted and "
                    "accepts_gzip(accepted))"
                ),
            ),
            (
                '            response.fields["Content-Encoding"] = "gzip"\n',
                (
                    '            response.fields["Content-Encoding"] = "gzip"\n'
                    "            PACKED.add(request.target)\n"
                ),
            ),
            ("log_lock = threading.Lock()", "PACKED: set = set()\nlog_lock = threading.Lock()"),
        ),
        words="request 2 without Accept-Encoding",
    ),
    Mistake(
        stage=16,
        rule="test_each_request_says_anew_what_it_accepts",
        title="A compressed file is kept, and sent again when the file has changed",
        changes=(
            (
                (
                    "            response.body, response.length = read_file(packed, "
                    "packed.tell()), packed.tell()\n"
                ),
                (
                    "            pieces = [*read_file(packed, packed.tell())]\n"
                    "            pieces = PACKED.setdefault(request.target, pieces)\n"
                    "            response.body, response.length = iter(pieces), "
                    "sum(map(len, pieces))\n"
                ),
            ),
            ("log_lock = threading.Lock()", "PACKED: dict = {}\nlog_lock = threading.Lock()"),
        ),
        words="a file that has changed since",
    ),
    Mistake(
        stage=16,
        rule="test_highest_weight_wins",
        title="The weight of identity is not looked at",
        changes=(("    return packed > 0 and packed >= plain", "    return packed > 0"),),
        words="is compressed",
    ),
    Mistake(
        stage=16,
        rule="test_highest_weight_wins",
        title="Where identity has a weight, nothing is compressed",
        changes=(
            (
                "    return packed > 0 and packed >= plain",
                '    return packed > 0 and "identity" not in weights',
            ),
        ),
        words="is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_list_may_come_in_several_lines",
        title="Of several lines of a field the last one counts",
        changes=(
            (
                'fields[name] = f"{fields[name]}, {value}" if name in fields else value',
                "fields[name] = value",
            ),
        ),
        words="is not compressed",
    ),
    Mistake(
        stage=16,
        rule="test_safety_on_a_kept_connection",
        title="Where a name leads is not checked if the client accepts a coding",
        changes=(
            (
                '    name = request.path.removeprefix("/files/")\n',
                '    name = request.path.removeprefix("/files/")\n'
                '    if "accept-encoding" in request.fields:\n'
                "        return settings.directory / name\n",
            ),
        ),
        words="outside the folder",
    ),
    Mistake(
        stage=16,
        rule="test_does_not_compress_unless_it_is_accepted",
        title="Text is compressed for every client that speaks HTTP/1.0",
        changes=(
            (
                'if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted)',
                'if request.minor == 0 or accepts_gzip(request.fields.get("accept-encoding", "x"))',
            ),
        ),
        words="is compressed",
    ),
)

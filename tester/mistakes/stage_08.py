"""Mistakes of stage 8, Parse Request Headers."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=8,
        rule="test_answers_with_the_user_agent",
        title="A header line is split at every colon",
        changes=((r'match[2].strip(" \t")', r'line.split(":")[1].strip(" \t")'),),
        words="the body has",
        row=42,
    ),
    Mistake(
        stage=8,
        rule="test_answers_with_the_user_agent",
        title="Quotation marks around a value are cut off with the white space",
        changes=((r'match[2].strip(" \t")', r"""match[2].strip(" \t\"'")"""),),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_answers_with_the_user_agent",
        title="Escapes in the value of a field are decoded",
        changes=(
            (
                'request.fields.get("user-agent", "").encode("latin-1")',
                'unquote(request.fields.get("user-agent", "")).encode("latin-1")',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_name_in_any_letter_case",
        title="The names of fields are compared with their capital letters",
        changes=(
            ("match[1].lower()", "match[1]"),
            ('"host" in fields', '"Host" in fields'),
            ('fields.get("host"', 'fields.get("Host"'),
            ('fields.get("user-agent"', 'fields.get("User-Agent"'),
        ),
        words="the body has",
        row=41,
    ),
    Mistake(
        stage=8,
        rule="test_white_space_around_the_value",
        title="A space after the colon is demanded",
        changes=(("({TOKEN}):([", "({TOKEN}): (["),),
        words="not 200",
        row=43,
    ),
    Mistake(
        stage=8,
        rule="test_white_space_around_the_value",
        title="One letter after the colon is dropped, whatever it is",
        changes=((r'match[2].strip(" \t")', "match[2][1:]"),),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_bytes_above_127_in_a_value",
        title="The User-Agent is sent back in another encoding than it came in",
        changes=(('.get("user-agent", "").encode("latin-1")', '.get("user-agent", "").encode()'),),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_bytes_above_127_in_a_value",
        title="A value is stripped of all that Python calls white space, half of an à too",
        changes=(('match[2].strip(" \\t")', "match[2].strip()"),),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_field_is_found_by_its_name",
        title="The second header line is taken for the User-Agent",
        changes=(('request.fields.get("user-agent", "")', "list(request.fields.values())[1]"),),
        words="the body",
        row=44,
    ),
    Mistake(
        stage=8,
        rule="test_field_is_found_by_its_name",
        title="The whole head is searched for the words User-Agent",
        changes=(
            (
                "    fields = parse_fields(lines)\n",
                (
                    "    fields = parse_fields(lines)\n"
                    '    _, _, rest = head.partition("User-Agent: ")\n'
                    '    fields["user-agent"] = rest.split("\\r\\n")[0]\n'
                ),
            ),
        ),
        words="the body",
    ),
    Mistake(
        stage=8,
        rule="test_no_user_agent_is_no_crash",
        title="A field that may be missing is looked up without a default",
        changes=(('request.fields.get("user-agent", "")', 'request.fields["user-agent"]'),),
        words="the server exited",
    ),
    Mistake(
        stage=8,
        rule="test_head_in_two_packets",
        title="What one recv returns is taken for the whole request",
        changes=(
            (
                'head = reader.read_until(END_OF_HEAD, "431 Request Header Fields Too Large")',
                r'head = receive(reader.connection).decode("latin-1").partition("\r\n\r\n")[0]',
            ),
        ),
        words="the server answered when only",
        row=12,
    ),
    Mistake(
        stage=8,
        rule="test_head_byte_by_byte",
        title="recv is called twice if need be, and not more often",
        changes=(
            (
                'head = reader.read_until(END_OF_HEAD, "431 Request Header Fields Too Large")',
                (
                    "data = receive(reader.connection)\n"
                    '    data += b"" if b"\\r\\n\\r\\n" in data else receive(reader.connection)\n'
                    r'    head = data.decode("latin-1").partition("\r\n\r\n")[0]'
                ),
            ),
        ),
        words="the server answered when only",
    ),
    Mistake(
        stage=8,
        rule="test_head_of_8_kb",
        title="The head is read with recv(1024), once",
        changes=(
            (
                'head = reader.read_until(END_OF_HEAD, "431 Request Header Fields Too Large")',
                (
                    "head = "
                    r'reader.connection.recv(1024).decode("latin-1").partition("\r\n\r\n")[0]'
                ),
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=8,
        rule="test_head_of_8_kb",
        title="Reading ends when recv returns less than it was asked for",
        changes=(
            ("        self.buffer = self.buffer or receive(self.connection)\n", ""),
            (
                "            self.buffer += receive(self.connection)\n",
                (
                    "            piece = bytes(1024)\n"
                    "            while len(piece) == 1024:\n"
                    "                piece = self.connection.recv(1024)\n"
                    "                self.buffer += piece\n"
                ),
            ),
        ),
        words="sent nothing",
        row=14,
    ),
    Mistake(
        stage=8,
        rule="test_head_of_8_kb",
        title="The limit for a head is 4 KB",
        changes=(("MAX_HEAD = 64 * 1024", "MAX_HEAD = 4 * 1024"),),
        words="not 200",
    ),
    Mistake(
        stage=8,
        rule="test_malformed_request_line_gets_400",
        title="A malformed request line is not answered: the connection just ends",
        changes=(("response = error_page(str(error))", "return"),),
        words="closed the connection",
        row=34,
    ),
    Mistake(
        stage=8,
        rule="test_malformed_request_line_gets_400",
        title="The first three parts of the request line are enough",
        changes=(("REQUEST_LINE.fullmatch(line)", "REQUEST_LINE.match(line)"),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_malformed_request_line_gets_400",
        title="A malformed request line gets 404",
        changes=(('status: str = "400 Bad Request"', 'status: str = "404 Not Found"'),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_signs_in_a_name",
        title="The name of a field holds letters, digits and - only",
        changes=(('rf"({TOKEN}):', 'rf"([A-Za-z0-9-]+):'),),
        words="not 200",
    ),
    Mistake(
        stage=8,
        rule="test_line_without_a_colon",
        title="A header line without a colon is skipped",
        changes=(
            (
                "        match = require(FIELD_LINE.fullmatch(line))\n",
                (
                    '        if ":" not in line:\n'
                    "            continue\n"
                    "        match = require(FIELD_LINE.fullmatch(line))\n"
                ),
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_white_space_before_the_colon",
        title="White space before the colon is allowed",
        changes=(("({TOKEN}):([", r"({TOKEN})[ \t]*:(["),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_folded_line",
        title="White space at the beginning of a header line is cut off",
        changes=(("FIELD_LINE.fullmatch(line)", "FIELD_LINE.fullmatch(line.strip())"),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_control_characters_in_a_field",
        title="A value may hold any character",
        changes=(
            (
                r'FIELD_LINE = re.compile(rf"({TOKEN}):([\t -~\x80-\xff]*)")',
                'FIELD_LINE = re.compile(rf"({TOKEN}):(.*)")',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_control_characters_in_a_field",
        title="The head is cut with splitlines, which knows more line ends than HTTP",
        changes=((r'head.split("\r\n")', "head.splitlines()"),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_no_host",
        title="Nobody asks whether there is a Host",
        changes=(('require("host" in fields or minor == "0")', "pass"),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_no_host",
        title="A Host is demanded of HTTP/1.0, too",
        changes=(('"host" in fields or minor == "0"', '"host" in fields'),),
        words="not 200",
    ),
    Mistake(
        stage=8,
        rule="test_two_hosts",
        title="The last of two fields with the same name overwrites the first",
        changes=(('f"{fields[name]}, {value}" if name in fields else value', "value"),),
        words="not 400",
        row=45,
    ),
    Mistake(
        stage=8,
        rule="test_bare_line_feed",
        title="A line may end in LF alone",
        changes=(
            (r'rb"\r\n\r\n|\r[^\n]|\n(?<!\r\n)"', r'rb"\r?\n\r?\n"'),
            ('        require(match[0].startswith(b"\\r\\n"))\n', ""),
            (r'head.split("\r\n")', r're.split("\r?\n", head)'),
        ),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_bare_carriage_return",
        title="A value may hold a lone CR",
        changes=(
            (r'rb"\r\n\r\n|\r[^\n]|\n(?<!\r\n)"', r'rb"\r\n\r\n"'),
            (
                r'FIELD_LINE = re.compile(rf"({TOKEN}):([\t -~\x80-\xff]*)")',
                'FIELD_LINE = re.compile(rf"({TOKEN}):(.*)")',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_version_that_is_not_http_1",
        title="Nobody looks at the version",
        changes=(('    require(major == "1", "505 HTTP Version Not Supported")\n', ""),),
        words="not 400 or 505",
    ),
    Mistake(
        stage=8,
        rule="test_version_that_is_not_http_1",
        title="Only HTTP/1.0 and HTTP/1.1 are known",
        changes=((r'HTTP/([0-9])\.([0-9])"', r'HTTP/([0-9])\.([01])"'),),
        words="not 200",
    ),
    Mistake(
        stage=8,
        rule="test_target_of_an_unknown_form",
        title="Nobody asks whether the target begins with a slash",
        changes=(('    require(TARGET.fullmatch(f"{method} {target}"))\n', ""),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_target_with_forbidden_bytes",
        title="A target may hold anything but white space",
        changes=(("({VISIBLE}+) HTTP", r"(\S+) HTTP"),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_host_that_is_no_host",
        title="Only the beginning of Host is checked",
        changes=(("HOST_VALUE.fullmatch(", 're.match(rf"{AUTHORITY}|$", '),),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_host_that_is_no_host",
        title="A Host with a port is refused",
        changes=(('{2})+)(:[0-9]*)?"', '{2})+)"'),),
        words="not 200",
    ),
    Mistake(
        stage=8,
        rule="test_huge_head_gets_431",
        title="A head may be as long as it likes",
        changes=(("MAX_HEAD = 64 * 1024", "MAX_HEAD = 2**30"),),
        words="not 431",
    ),
    Mistake(
        stage=8,
        rule="test_huge_target_gets_414",
        title="A target that is too long is called a head that is too long",
        changes=(('"414 URI Too Long" if in_target else too_long', "too_long"),),
        words="not 414",
    ),
    Mistake(
        stage=8,
        rule="test_survives_a_client_that_leaves_without_a_word",
        title="An empty recv is not taken for the end: the loop goes on for ever",
        changes=(
            (
                (
                    "    if data := connection.recv(PIECE):\n"
                    "        return data\n"
                    '    raise ConnectionError("the client has left")\n'
                ),
                "    return connection.recv(PIECE)\n",
            ),
        ),
        words="sent nothing",
        row=64,
    ),
    Mistake(
        stage=8,
        rule="test_query_is_no_part_of_the_path",
        title="The User-Agent is shown only where no query follows the path",
        changes=(
            ('    "/user-agent": show_user_agent,\n', ""),
            (
                "    if handler:\n",
                '    if request.target == "/user-agent":\n'
                "        handler = show_user_agent\n"
                "    if handler:\n",
            ),
        ),
        words="/user-agent?",
    ),
    Mistake(
        stage=8,
        rule="test_absolute_form",
        title="A whole URL is understood on pages and echoes only",
        changes=(
            ('    "/user-agent": show_user_agent,\n', ""),
            (
                "    if handler:\n",
                '    if request.target.split("?")[0] == "/user-agent":\n'
                "        handler = show_user_agent\n"
                "    if handler:\n",
            ),
        ),
        words="http://localhost/user-agent",
    ),
    Mistake(
        stage=8,
        rule="test_user_agent_is_a_whole_name",
        title="Every path that begins with /user-agent shows the User-Agent",
        changes=(
            (
                "    if handler:\n",
                '    if path.startswith("/user-agent"):\n'
                "        handler = show_user_agent\n"
                "    if handler:\n",
            ),
        ),
        words="not 404",
    ),
    Mistake(
        stage=8,
        rule="test_user_agent_is_no_page",
        title="The User-Agent is sent as text that does not say its charset",
        changes=(
            (
                'request.fields.get("user-agent", "").encode("latin-1")',
                'request.fields.get("user-agent", "").encode("latin-1"), content_type="text/plain"',
            ),
        ),
        words="charset",
    ),
    Mistake(
        stage=8,
        rule="test_user_agent_is_no_page",
        title="The User-Agent is sent back as HTML",
        changes=(
            (
                'request.fields.get("user-agent", "").encode("latin-1")',
                'request.fields.get("user-agent", "").encode("latin-1"), content_type=HTML',
            ),
        ),
        words="Content-Type is",
    ),
    Mistake(
        stage=8,
        rule="test_other_versions_on_every_path",
        title="Only the pages are there for a client that speaks HTTP/1.0",
        changes=(
            (
                "    if handler:\n",
                "    if handler and (request.minor or request.path in PAGES):\n",
            ),
        ),
        words="in HTTP/1.0: the status is 404",
    ),
    Mistake(
        stage=8,
        rule="test_malformed_heads_on_every_path",
        title="The fields are looked at only when the path is known",
        changes=(
            (
                "    fields = parse_fields(lines)\n",
                "    known = GET_ROUTES.get(split_target(target)[0])\n"
                '    fields = parse_fields(lines) if known else {"host": ""}\n',
            ),
        ),
        words="not 400",
    ),
    Mistake(
        stage=8,
        rule="test_answers_without_a_pause",
        title="The server waits until nothing has come for 0.2 seconds",
        changes=(
            (
                "    with contextlib.suppress(OSError):  # Nobody reads what we print",
                "    with contextlib.suppress(TimeoutError):\n"
                "        reader.connection.settimeout(0.2)\n"
                "        while reader.connection.recv(PIECE):\n"
                "            pass\n"
                "    reader.connection.settimeout(None)\n"
                "    with contextlib.suppress(OSError):  # Nobody reads what we print",
            ),
        ),
        words="came late",
    ),
    Mistake(
        stage=8,
        rule="test_client_that_half_closes_gets_its_answer",
        title="A client that sends no more is taken for one that has left",
        changes=(
            (
                "    with contextlib.suppress(OSError):  # Nobody reads what we print",
                "    flags = socket.MSG_PEEK | socket.MSG_DONTWAIT\n"
                "    with contextlib.suppress(BlockingIOError):\n"
                "        if not reader.connection.recv(1, flags):\n"
                '            raise ConnectionError("the client has left")\n'
                "    with contextlib.suppress(OSError):  # Nobody reads what we print",
            ),
        ),
        words="closed the connection",
    ),
    Mistake(
        stage=8,
        rule="test_no_answer_before_the_last_byte",
        title="The head is over at the CR of its empty line, and the LF is not waited for",
        changes=((r'rb"\r\n\r\n|\r[^\n]|', r'rb"\r\n\r\n?|\r[^\n]|'),),
        words="answered when only",
    ),
    Mistake(
        stage=8,
        rule="test_usual_words_for_400",
        title="The words after 400 are not the usual ones",
        changes=(('status: str = "400 Bad Request"', 'status: str = "400 No Request"'),),
        words="not 400 Bad Request",
    ),
    Mistake(
        stage=8,
        rule="test_rest_of_a_huge_head_is_no_request",
        title="After a head that is too long, what is left of it is read as the next request",
        changes=(
            (
                "        response = error_page(str(error))\n",
                "        send_response(connection, error_page(str(error)))\n"
                "        return serve_request(connection)\n",
            ),
        ),
        words="answered as a request",
    ),
    Mistake(
        stage=8,
        rule="test_what_can_not_become_a_request",
        title="The request line is looked at only when the whole head is there",
        changes=(
            (
                "            judged = judged or self.judge_request_line()"
                "  # Never wait for what is wrong already.\n",
                "",
            ),
        ),
        words="sent nothing",
    ),
    Mistake(
        stage=8,
        rule="test_what_can_not_become_a_request",
        title="A TLS hello is waited for like the beginning of a request line",
        changes=(("        require(BEGINNING.match(line[:100]))\n", ""),),
        words="sent nothing",
    ),
)

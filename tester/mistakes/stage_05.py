"""Mistakes of stage 5, Extract the URL Path."""

from tester.mistakes import Mistake

MISTAKES = (
    Mistake(
        stage=5,
        rule="test_query_is_no_part_of_the_path",
        title="The path is compared with the query still on it",
        changes=(
            (
                'path, _, query = re.sub("(?i)^http://[^/?#@]+", "", target).partition("?")',
                'path, query = re.sub("(?i)^http://[^/?#@]+", "", target), ""',
            ),
        ),
        words="not 200",
        row=52,
    ),
    Mistake(
        stage=5,
        rule="test_further_question_marks_belong_to_the_query",
        title="The target is split at every question mark into two, however many there are",
        changes=(
            (
                "    path, _ = split_target(target)\n",
                '    path, query = target.split("?") if "?" in target else (target, "")\n'
                "    path, _ = split_target(path)\n",
            ),
        ),
        words="the server exited",
    ),
    Mistake(
        stage=5,
        rule="test_further_question_marks_belong_to_the_query",
        title="The target is cut at the last question mark, not at the first",
        changes=(
            (
                "    path, _ = split_target(target)\n",
                '    path, _ = split_target(target.rsplit("?", 1)[0].replace("?", "%3F"))\n',
            ),
        ),
        words="not 200",
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="The path is split at each /echo/, and what follows the second is lost",
        changes=(('request.path.removeprefix("/echo/")', 'request.path.split("/echo/")[1]'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="Each /echo/ is taken out of the path, not the first one alone",
        changes=(('request.path.removeprefix("/echo/")', 'request.path.replace("/echo/", "")'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_white_space_belongs_to_the_value",
        title="What is echoed is stripped of white space",
        changes=(('removeprefix("/echo/")', 'removeprefix("/echo/").strip()'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="A slash at the end of the path is cut off",
        changes=(('removeprefix("/echo/")', 'removeprefix("/echo/").rstrip("/")'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="What follows a semicolon is taken for a parameter of the path",
        changes=(('removeprefix("/echo/")', 'removeprefix("/echo/").split(";")[0]'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_segments_are_split_before_they_are_decoded",
        title="The whole path is decoded first, so that an escaped slash is one like any other",
        changes=(('    path = re.sub("(?i)%2f", "%252F", first) + path[len(first) :]\n', ""),),
        words="not a 4xx",
    ),
    Mistake(
        stage=5,
        rule="test_segments_are_split_before_they_are_decoded",
        title="The name /echo/ is looked for in the target, which is not decoded",
        changes=(('request.path.startswith("/echo/")', 'request.target.startswith("/echo/")'),),
        words="not 200",
    ),
    Mistake(
        stage=5,
        rule="test_answers_do_not_depend_on_earlier_ones",
        title="The head is kept in a default argument, and grows with each request",
        changes=(
            ("def read_head(connection: socket.socket)", "def read_head(connection, seen=[])"),
            (
                '    head = receive(connection).decode("latin-1")\n',
                '    seen.append(receive(connection).decode("latin-1"))\n'
                '    head = "".join(seen[-1:] if len(seen) < 20 else seen[19:])\n',
            ),
        ),
        words="of 100: ",
    ),
    Mistake(
        stage=5,
        rule="test_echoes_the_rest_of_the_path",
        title="The head ends in one line end too many",
        changes=(('[*lines, "", ""]', '[*lines, "", "", ""]'),),
        words="the body has",
        row=25,
    ),
    Mistake(
        stage=5,
        rule="test_echoes_the_rest_of_the_path",
        title="A line end is added to what is echoed",
        changes=(
            (
                'request.path.removeprefix("/echo/").encode(',
                '(request.path.removeprefix("/echo/") + "\\n").encode(',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_echoes_the_rest_of_the_path",
        title="The prefix is cut off with lstrip, which takes letters and not a word",
        changes=(('removeprefix("/echo/")', 'lstrip("/echo/")'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_escapes_are_decoded",
        title="Escapes are not decoded",
        changes=(('unquote(path or "/", errors="surrogateescape")', 'path or "/"'),),
        words="the body has",
        row=28,
    ),
    Mistake(
        stage=5,
        rule="test_escapes_are_decoded",
        title="Escapes are decoded as Latin-1, not as UTF-8",
        changes=(('errors="surrogateescape")', 'encoding="latin-1")'),),
        words="the body has",
        row=32,
    ),
    Mistake(
        stage=5,
        rule="test_target_is_cut_before_it_is_decoded",
        title="The target is decoded before it is cut at the question mark",
        changes=(
            (
                're.sub("(?i)^http://[^/?#@]+", "", target).partition',
                'unquote(re.sub("(?i)^http://[^/?#@]+", "", target)).partition',
            ),
            ('unquote(path or "/", errors="surrogateescape")', 'path or "/"'),
        ),
        words="the body has",
        row=29,
    ),
    Mistake(
        stage=5,
        rule="test_decodes_once_only",
        title="Escapes are decoded twice",
        changes=(
            ('unquote(path or "/", errors="surrogateescape")', 'unquote(unquote(path or "/"))'),
        ),
        words="the body has",
        row=30,
    ),
    Mistake(
        stage=5,
        rule="test_plus_stays_plus",
        title="A plus in the path becomes a space",
        changes=(("import unquote", "import unquote_plus as unquote"),),
        words="the body is wrong",
        row=31,
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="The path is split at slashes, and only one part is echoed",
        changes=(('request.path.removeprefix("/echo/")', 'request.path.split("/")[2]'),),
        words="the body has",
        row=33,
    ),
    Mistake(
        stage=5,
        rule="test_signs_belong_to_the_value",
        title="A whole address is cut off wherever it stands in the path",
        changes=(("(?i)^http:", "(?i)http:"),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_echo_is_a_whole_name",
        title="A path that only begins with /echo is echoed, too",
        changes=(('startswith("/echo/")', 'startswith("/echo")'),),
        words="not 404",
    ),
    Mistake(
        stage=5,
        rule="test_survives_a_broken_escape",
        title="Escapes are decoded by hand, and %zz is an error that nobody catches",
        changes=(
            (
                'unquote(path or "/", errors="surrogateescape")',
                're.sub("%(..)", lambda digits: chr(int(digits[1], 16)), path or "/")',
            ),
        ),
        words="the server exited",
    ),
    Mistake(
        stage=5,
        rule="test_survives_a_broken_escape",
        title="Bytes that are no UTF-8 are an error that nobody catches",
        changes=(('errors="surrogateescape")', 'errors="strict")'),),
        words="the server exited",
    ),
    Mistake(
        stage=5,
        rule="test_absolute_form",
        title="A whole URL is taken for a path",
        changes=(('re.sub("(?i)^http://[^/?#@]+", "", target).partition', "target.partition"),),
        words="not 200",
    ),
    Mistake(
        stage=5,
        rule="test_absolute_form",
        title="Only http in small letters is cut off a URL",
        changes=(('"(?i)^http:', '"^http:'),),
        words="not 200",
    ),
    Mistake(
        stage=5,
        rule="test_slashes_belong_to_the_value",
        title="What follows an ampersand is taken for a parameter of the path",
        changes=(('removeprefix("/echo/")', 'removeprefix("/echo/").split("&")[0]'),),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_escapes_are_decoded",
        title="What is echoed is written as if it stood in a page: < becomes &lt;",
        changes=(
            (
                'request.path.removeprefix("/echo/")',
                '__import__("html").escape(request.path.removeprefix("/echo/"))',
            ),
        ),
        words="the body has",
    ),
    Mistake(
        stage=5,
        rule="test_escapes_are_decoded",
        title="A path is cut at #, though that was escaped",
        changes=(('removeprefix("/echo/")', 'removeprefix("/echo/").split("#")[0]'),),
        words="the body has",
    ),
)

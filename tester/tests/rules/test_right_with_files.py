"""Right servers that store and send files in ways of their own are not refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tester.attempt.locate import Attempt, locate
from tester.attempt.server import Server
from tester.grading.check import call
from tester.grading.client import Client
from tester.grading.words import Words
from tester.ladder.rule import all_checks
from tester.mistakes import Mistake, source
from tester.tests.helpers import WriteAttempt

MEMORY = ("test_huge_file_needs_little_memory", "test_large_upload_needs_little_memory")
SAFETY = (
    "test_dots_do_not_lead_outside",
    "test_encoded_dots_do_not_lead_outside",
    "test_absolute_paths_do_not_lead_outside",
    "test_sibling_folder_is_outside",
    "test_writes_nothing_outside",
)
GARBAGE = 25 * 16  # Pieces of 64 KB: 25 MB of them wait to be collected.


def right(title: str, *changes: tuple[str, str]) -> Mistake:
    """Return a change to stage 14's server that is no mistake."""
    return Mistake(14, "", title, changes, "")


RIGHT = (
    (
        right(
            "No name is decoded, so that %2e%2e is a name like any other",
            ('unquote(path or "/", errors="surrogateescape")', '(path or "/")'),
            (' or "%2f" in request.target.lower().partition("?")[0]', ""),
        ),
        SAFETY,
    ),
    (
        right(
            "Where a name that is not decoded lies in folders, these are made",
            ('unquote(path or "/", errors="surrogateescape")', '(path or "/")'),
            (' or "%2f" in request.target.lower().partition("?")[0]', ""),
            (
                "    require(path.parent.is_dir() and",
                "    path.parent.mkdir(parents=True, exist_ok=True)\n    require(",
            ),
        ),
        SAFETY,
    ),
    (
        right(
            "The response to HEAD has no Content-Length",
            (
                "        response.body = iter(())  # All",
                '        response.fields["Content-Length"] = ""\n'
                "        response.body = iter(())  # All",
            ),
            ("name, value in fields.items()]", "name, value in fields.items() if value]"),
        ),
        (
            "test_head_is_get_without_the_body",
            "test_head_sees_what_post_has_stored",
            "test_responses_to_other_methods_bear_the_usual_fields",
            "test_responses_to_rare_methods_bear_the_usual_fields",
        ),
    ),
    (
        right(
            "A process is forked for each connection",
            (
                "            threading.Thread(target=serve_connection, args=(connection,),"
                " daemon=True).start()\n",
                "            if os.fork() == 0:\n"
                "                serve_connection(connection)\n"
                "                os._exit(0)\n"
                "            connection.close()\n"
                "            slots.release()\n",
            ),
            (
                "        serve_forever(",
                "        signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n        serve_forever(",
            ),
        ),
        MEMORY * 3,
    ),
    (
        right(
            "What has been sent and stored is forgotten now and then, as garbage collectors do",
            ("settings = argparse", "garbage: list[bytes] = []\nsettings = argparse"),
            (
                "            length -= len(piece)\n            yield piece\n    if length",
                "            length -= len(piece)\n"
                "            garbage.append(piece)\n"
                f"            if len(garbage) > {GARBAGE}:\n"
                "                garbage.clear()\n"
                "            yield piece\n"
                "    if length",
            ),
            (
                "            file.writelines(request.body)\n",
                "            for piece in request.body:\n"
                "                file.write(piece)\n"
                "                garbage.append(piece)\n"
                f"                if len(garbage) > {GARBAGE}:\n"
                "                    garbage.clear()\n",
            ),
        ),
        MEMORY * 3,
    ),
    (
        right(
            "Files can be stored by PUT and removed by DELETE as well",
            (
                '"POST": POST_ROUTES}',
                '"POST": POST_ROUTES, "PUT": {"/files/": store_file}, "DELETE": {"/files/":\n'
                "    lambda request: find_file(request).unlink() or Response()}}",
            ),
        ),
        (
            "test_method_that_the_path_does_not_have",
            "test_file_is_not_sent_for_other_methods",
            "test_options_of_a_path",
        ),
    ),
    (
        right(
            "PATCH, which RFC 9110 does not have, is a method that nobody knows",
            (' "PATCH",', ""),
        ),
        (
            "test_method_that_the_path_does_not_have",
            "test_file_is_not_sent_for_other_methods",
            "test_unknown_method",
        ),
    ),
    (
        right(
            "204 and no length are the response to OPTIONS, and to a POST that replaces a file",
            (
                '"200 OK" if request.method == "OPTIONS"',
                '"204 No Content" if request.method == "OPTIONS"',
            ),
            (
                "    with tempfile.TemporaryDirectory(",
                '    status = "204 No Content" if path.is_file() else "201 Created"\n'
                "    with tempfile.TemporaryDirectory(",
            ),
            ('return Response("201 Created")', "return Response(status)"),
            (
                "    lines += [",
                '    if response.status[:3] == "204":\n'
                '        del fields["Content-Length"]\n'
                "    lines += [",
            ),
        ),
        (
            "test_no_length_where_no_body_can_be",
            "test_options_of_a_path",
            "test_options_of_the_server",
            "test_replaces_a_file",
            "test_uploads_at_once",
            "test_file_is_replaced_in_one_step",
            "test_responses_to_other_methods_bear_the_usual_fields",
            "test_responses_to_rare_methods_bear_the_usual_fields",
        ),
    ),
)

PIPES = """
const fs = require("node:fs"), http = require("node:http"), path = require("node:path");
const folder = process.argv[process.argv.indexOf("--directory") + 1];
http.createServer((request, response) => {
  const file = path.join(folder, path.basename(request.url));
  if (request.method === "POST") {
    const upload = fs.createWriteStream(file);
    request.pipe(upload);
    upload.on("finish", () => response.writeHead(201, { "Content-Length": 0 }).end());
    return;
  }
  response.writeHead(200, { "Content-Length": fs.statSync(file).size });
  fs.createReadStream(file).pipe(response);
}).listen(process.env.PORT, "127.0.0.1");
"""


def expect_passes(attempt: Attempt, rules: tuple[str, ...]) -> None:
    """Fail unless all `rules` hold for the attempt, one after the other on one process."""
    with Server(attempt, with_directory=True) as server:
        for rule in rules:
            client = Client(server, Words(f"1:{rule}"))
            error = call(all_checks()[rule], client)
            client.close()
            assert error is None, f"{rule}: {error}"


@pytest.mark.parametrize(("change", "rules"), RIGHT, ids=[change.title for change, _ in RIGHT])
def test_a_right_server_is_not_refused(
    change: Mistake, rules: tuple[str, ...], write_attempt: WriteAttempt
) -> None:
    """However it does it."""
    expect_passes(locate(str(write_attempt(source(change)))), rules)


def test_pipes_of_node_need_little_memory(tmp_path: Path) -> None:
    """They leave 25 MB to the garbage collector, whatever they carry."""
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    (tmp_path / "server.js").write_text(PIPES, encoding="utf-8")
    expect_passes(locate(str(tmp_path), "node server.js"), MEMORY * 2)

"""Servers of early stages that do what HTTP leaves open in another way than ours: they pass.

Each is a stage's server with changes, as in `tester/mistakes/`, but none of them is a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.grading.client import LATE_ANSWERS, Client
from tester.grading.words import Words
from tester.ladder.stages import get_stage
from tester.ladder.steps import read_server
from tester.tests.helpers import WriteAttempt, grade


@dataclass(frozen=True)
class Variant:
    """A right server: the server of `stage` with `changes`."""

    stage: int
    title: str
    changes: tuple[tuple[str, str], ...]
    loses: set[str] = field(default_factory=set)
    """The edge cases that it does not hold; no requirement is among them."""


# From "one request, then the end" to "as many as come", for a server whose responses say how
# long they are. What the client says of its connection is not looked at.
KEEPING = (
    "            serve_request(connection)\n",
    "            connection.settimeout(1)\n"
    "            while True:\n"
    "                serve_request(connection)\n",
)

DATE = '        "Date": http_date(int(time.time()), usegmt=True),\n'

VARIANTS = (
    Variant(
        3,
        "the connection is kept, as each response says its length",
        (
            KEEPING,
            (
                'lines = [f"HTTP/1.1 {response.status}"]',
                'lines = [f"HTTP/1.1 {response.status}", f"Content-Length: {len(response.body)}"]',
            ),
        ),
    ),
    Variant(
        3,
        "the words after 200 are not the usual ones",
        (('"200 OK"', '"200 Ok"'),),
        {"test_usual_words_for_200"},
    ),
    Variant(
        4,
        "the words after 404 are not the usual ones",
        (('"404 Not Found")', '"404 Nothing here")'),),
        {"test_usual_words_for_404"},
    ),
    Variant(7, "the connection is kept", (KEEPING,)),
    Variant(
        8,
        "a reader of lines takes CR for their end, and skips the LF when it reads on",
        ((r'rb"\r\n\r\n|', r'rb"\r\n\r\n?|'),),
        {"test_no_answer_before_the_last_byte"},
    ),
    Variant(
        9,
        "two cookies, and two lines of a list",
        (
            (
                'lines = [f"HTTP/1.1 {response.status}"]',
                'lines = [f"HTTP/1.1 {response.status}", "Set-Cookie: a=1", "Set-Cookie: b=2"]\n'
                '    lines += ["Cache-Control: no-store", "Cache-Control: no-transform"]',
            ),
        ),
    ),
    Variant(
        9,
        "Date is made anew every five seconds",
        ((DATE, DATE.replace("int(time.time())", "int(time.time()) // 5 * 5")),),
    ),
    Variant(
        10,
        "a pool of threads, which stay when their clients have gone",
        (
            (
                "threading.Thread(target=serve_connection, args=(connection,), daemon=True)"
                ".start()",
                "POOL.submit(serve_connection, connection)",
            ),
            (
                "# --- Connections: who",
                "from concurrent.futures import ThreadPoolExecutor\n"
                "POOL = ThreadPoolExecutor(400)\n# --- Connections: who",
            ),
        ),
    ),
    Variant(
        9,
        "the connection is kept, and nothing is said of it",
        (
            KEEPING,
            ('        "Connection": "close",\n', ""),
            (
                "        response = error_page(str(error))\n",
                "        send_response(connection, error_page(str(error)))\n"
                '        raise ConnectionError("nobody knows where the next request begins")\n',
            ),
        ),
    ),
)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda one: f"{one.stage:02}: {one.title}")
def test_a_right_server_passes(variant: Variant, write_attempt: WriteAttempt) -> None:
    """With every star, but for those that it is known to lose."""
    text = read_server(variant.stage)
    for old, new in variant.changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    result = grade(write_attempt(text), stage=variant.stage)
    failures = {test["id"].split("::")[-1]: test for test in result["tests"]}
    failures = {name: test for name, test in failures.items() if test["outcome"] != "passed"}
    assert failures.keys() == variant.loses, [test["message"] for test in failures.values()]
    assert result["passed"]


SILENCE = (
    '    head = receive(connection).decode("latin-1")\n',
    "    data = receive(connection)\n"
    "    with contextlib.suppress(TimeoutError):\n"
    "        connection.settimeout(0.2)\n"
    "        while more := connection.recv(PIECE):\n"
    "            data += more\n"
    '    head = data.decode("latin-1")\n',
)


@pytest.mark.parametrize("waits", [True, False])
def test_a_server_that_waits_for_a_silence_is_told_that_there_is_one(
    waits: bool, write_attempt: WriteAttempt
) -> None:
    """Else each of some hundred questions would take 0.2 s; any other server is left in peace."""
    text = read_server(7)
    assert text.count(SILENCE[0]) == 1
    path = write_attempt(text.replace(*SILENCE)) if waits else get_stage(7).server
    with Server(locate(str(path))) as server:
        client = Client(server, Words(1))
        for _ in range(LATE_ANSWERS):
            assert client.ask("/").status == 200
        assert server.waits_for_silence == waits
        for target in ("/", "/about", "/echo/hello"):
            assert client.ask(target).status == 200
            client.expect_serving()
        client.close()

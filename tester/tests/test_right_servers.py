"""Servers of early stages that do what HTTP leaves open in another way than ours: they pass.

Each is a stage's server with changes, as in `tester/mistakes/`, but none of them is a mistake.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from tester.ladder import read_server
from tester.tests.conftest import WriteAttempt, grade


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

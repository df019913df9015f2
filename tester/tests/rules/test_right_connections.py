"""Right servers that compress, end connections and work at once in ways of their own: they pass."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tester.ladder.steps import read_server
from tester.tests.helpers import TESTS, WriteAttempt, failed, grade

SERVERS = TESTS / "servers"
MAIN = 'if __name__ == "__main__":\n'

# Put into the server of stage 18: it knows one more coding, and says so where nothing will do.
CODING = '''
import zlib

fit_plainly, on_this_connection = fit_to_client, threading.local()


def fit_to_client(request: Request, response: Response) -> Response:
    """Use {coding} where the client likes it as much as gzip; 406 where nothing will do."""
    weights: dict[str, float] = {{}}
    for item in request.fields.get("accept-encoding", "").lower().split(","):
        name, _, weight = item.partition(";")
        weights[name.strip(" \\t")] = float(weight.strip(" \\t").removeprefix("q=") or 1)
    others = weights.get("*", 0)
    ours, packed = weights.get("{coding}", others), weights.get("gzip", others)
    plain = weights.get("identity", weights.get("*", 1))
    if max(ours, packed, plain) == 0 and {refuses}:
        response = error_page("406 Not Acceptable")
        del request.fields["accept-encoding"]
    elif ours and ours >= max(packed, weights.get("identity", 0)):
        request.fields["accept-encoding"] = "identity"
        if response.length and response.content_type.startswith(COMPRESSIBLE):
            data = zlib.compress(b"".join(response.body))
            response.fields["Content-Encoding"] = "{coding}"
            response.body, response.length = iter([data]), len(data)
    response = fit_plainly(request, response)
    on_this_connection.requests = vars(on_this_connection).get("requests", 0) + 1
    response.keep = response.keep and on_this_connection.requests < {most}
    response.keep = response.keep and response.status < "{kept}"
    return response


'''
RIGHT = {
    "deflate is known, nothing acceptable is 406, and HEAD says no length": (
        (MAIN, CODING.format(coding="deflate", refuses="True", most=10**9, kept="9") + MAIN),
        (
            "        response.body = iter(())  # All",
            "        response.length = None\n        response.body = iter(())  # All",
        ),
    ),
    "br is known, an error ends the connection, and so does the hundredth request": (
        (MAIN, CODING.format(coding="br", refuses="False", most=100, kept="4") + MAIN),
    ),
}


@pytest.mark.parametrize("title", RIGHT)
def test_a_right_server_holds_every_rule(title: str, write_attempt: WriteAttempt) -> None:
    """Requirements and edge cases: HTTP leaves this open."""
    text = read_server(18)
    for old, new in RIGHT[title]:
        assert text.count(old) == 1
        text = text.replace(old, new)
    result = grade(write_attempt(text), stage=18)
    assert not failed(result)
    assert result["passed"]


def test_a_server_that_works_on_several_requests_at_once_passes(tmp_path: Path) -> None:
    """With Node's own http, handlers of one connection run beside each other: the usual way.

    A GET that comes together with a POST does not see yet what that stores: a star, and no more.
    """
    if shutil.which("node") is None:
        pytest.skip("there is no node on this machine")
    text = (SERVERS / "node_server.js").read_text(encoding="utf-8")
    waiting = "done: before.then(work)"
    assert waiting in text
    (tmp_path / "server.js").write_text(
        text.replace(waiting, "done: Promise.resolve().then(work)"), encoding="utf-8"
    )
    result = grade(tmp_path, "--command", "node server.js", stage=18)
    lost = {test["id"].split("::")[-1]: test for test in result["tests"] if test["stage"] >= 15}
    lost = {name: test for name, test in lost.items() if test["outcome"] != "passed"}
    assert "test_sees_what_the_request_before_has_done" in lost
    assert {test["kind"] for test in lost.values()} == {"edge"}

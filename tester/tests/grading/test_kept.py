"""One request after the other on a kept connection: `Kept`, against a server with whims."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tester.attempt.locate import locate
from tester.attempt.server import Server
from tester.grading.client import Client, Kept
from tester.grading.expect import CheckFailed
from tester.grading.words import Words

PROGRAM = """
import itertools, os, socket

listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
for number in itertools.count(1):
    connection, _ = listener.accept()
    while data := connection.recv(65536):
        path, body = data.split()[1], b"%d" % number
        end = b"Connection: close\\r\\n" if path == b"/says-close" else b""
        head = b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n%b\\r\\n" % (len(body), end)
        connection.sendall(head + body + (b"more" if path == b"/sends-more" else b""))
        if end or path == b"/closes" or b"Connection: close" in data:
            break
    connection.close()
"""
# It serves one client at a time, and answers with the number of the connection.


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """Talks to the server."""
    path = tmp_path / "server.py"
    path.write_text(PROGRAM)
    with Server(locate(str(path))) as server:
        talking = Client(server, Words(1))
        yield talking
        talking.close()


def ask_all(client: Client, *targets: str) -> list[int]:
    """Ask in turn; return the number of the connection on which each answer came."""
    kept = Kept(client)
    return [int(kept.ask(target).body) for target in targets]


def test_goes_on_where_the_connection_stays(client: Client) -> None:
    """And begins another where the server has said that it ends."""
    assert ask_all(client, "/", "/", "/says-close", "/", "/") == [1, 1, 1, 2, 2]


def test_asks_again_where_the_connection_has_ended(client: Client) -> None:
    """From then on each request has a connection of its own: that none stays is another rule."""
    assert ask_all(client, "/", "/closes", "/", "/") == [1, 1, 2, 3]


def test_shows_one_request(client: Client) -> None:
    """What was sent and received before the last request stands apart from it."""
    ask_all(client, "/", "/last")
    last = client.record.connections
    shown = [each.data for each in client.record.messages if each.connection == last]
    assert len(shown) == 2
    assert shown[0].startswith(b"GET /last ")


def test_bytes_that_nobody_asked_for_fail_the_check(client: Client) -> None:
    """Also where no request follows."""
    with pytest.raises(CheckFailed, match="4 extra bytes"):
        ask_all(client, "/", "/sends-more")

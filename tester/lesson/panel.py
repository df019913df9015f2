"""The strictness panel: shows how several clients judge the same response, byte for byte."""

from __future__ import annotations

import contextlib
import html
import http.client
import shutil
import socket
import subprocess
import textwrap
import threading
from collections.abc import Iterator, Mapping

import h11

from tester.lesson.servers import check_kind
from tester.lesson.views import GREEN, RED, View, ink, span
from tester.report.bytes_view import visible_line
from tester.wire.response import Malformed, ResponseReader

TIMEOUT = 1.0  # Seconds that a client waits for the rest of a response.
LEFT = 'style="text-align:left"'


@contextlib.contextmanager
def _answering(answer: bytes) -> Iterator[int]:
    """Answer the next client with these bytes, whatever it asks for; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT)

        def serve() -> None:
            """Read the request, send the response, and let the client read it to the end."""
            with contextlib.suppress(OSError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    data = b""
                    while b"\r\n\r\n" not in data:
                        data += connection.recv(4096) or b"\r\n\r\n"
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    connection.recv(4096)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        thread.join(2 * TIMEOUT)


def ask_curl(answer: bytes) -> str:
    """Return how curl reads a response: `body …` or `refuses: …`."""
    if not shutil.which("curl"):
        return "(curl is not on this machine)"
    with _answering(answer) as port:
        command = ["curl", "-sS", "--max-time", "3", f"http://127.0.0.1:{port}/"]
        done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        return f"refuses: exit code {done.returncode}"
    return _accepts(done.stdout)


def ask_http_client(answer: bytes) -> str:
    """Return how Python's own http.client reads a response."""
    with _answering(answer) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        try:
            connection.request("GET", "/")
            return _accepts(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"refuses: {type(error).__name__}"
        finally:
            connection.close()


def ask_h11(answer: bytes) -> str:
    """Return how h11, the parser behind many Python clients, reads a response."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "localhost")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(answer)
    connection.receive_data(b"")
    body = b""
    try:
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            if isinstance(event, h11.ConnectionClosed):
                return "refuses: closed too early"
            body += bytes(event.data) if isinstance(event, h11.Data) else b""
    except h11.RemoteProtocolError as error:
        return _refuses(str(error).partition(": ")[0])
    return _accepts(body, connection.trailing_data[0])


def ask_tester(answer: bytes) -> str:
    """Return how our tester reads a response."""
    reader = ResponseReader()
    try:
        reader.feed(answer)
    except Malformed as error:
        return _refuses(error.message)
    if not reader.end():
        what = f"{reader.missing} bytes are" if reader.missing else "the end is"
        return f"refuses: {what} missing" if reader.response else "refuses"
    if reader.extra:
        return f"refuses: {len(reader.extra)} extra bytes"
    return _accepts(reader.whole.body)


def _refuses(reason: str) -> str:
    """Return a refusal, with its reason in a few words."""
    return f"refuses: {textwrap.shorten(reason, 52, placeholder='…')}"


def _accepts(body: bytes, extra: bytes = b"") -> str:
    """Return what the body is, and whether the client noticed bytes after it."""
    after = f", {len(extra)} left over" if extra else ""
    return f"body {visible_line(body)!r}{after}".replace("\\\\", "\\")


JUDGES = {
    "curl": ask_curl,
    "http.client": ask_http_client,
    "h11": ask_h11,
    "our tester": ask_tester,
}


def panel(answers: Mapping[str, bytes]) -> View:
    """Show how curl, http.client, h11 and our tester judge each response, side by side.

    Raises LessonError if a response is not bytes.
    """
    check_kind(answers, Mapping, 'a dictionary, such as {"right": b"HTTP/1.1 200 OK"}')
    for answer in answers.values():
        check_kind(answer, bytes, 'bytes, such as b"HTTP/1.1 200 OK"')
    rows = {name: [ask(answer) for ask in JUDGES.values()] for name, answer in answers.items()}
    head = "".join(f"<th {LEFT}>{name}</th>" for name in ("", *JUDGES))
    lines, texts = [f"<tr>{head}</tr>"], []
    for name, verdicts in rows.items():
        cells = "".join(map(_cell, verdicts))
        lines.append(f"<tr><td {LEFT}><strong>{html.escape(name)}</strong></td>{cells}</tr>")
        told = "; ".join(f"{who}: {words}" for who, words in zip(JUDGES, verdicts, strict=True))
        texts.append(f"{name} | {told}")
    return View(f"<table>{''.join(lines)}</table>", "\n".join(texts))


def _cell(words: str) -> str:
    """Return a verdict as a table cell."""
    refused = words.startswith("refuses")
    colour, mark = (RED, "✗") if refused else (GREEN, "✓")
    return f"<td {LEFT}>{span(f'{mark} {html.escape(words)}', ink(colour))}</td>"

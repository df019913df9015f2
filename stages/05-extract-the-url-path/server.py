"""Stage 5: Extract the URL Path.

Can:     take the path out of the request target, decode it, and echo a part of it.
Cannot:  read the query (it is cut off), or grow to many pages without many ifs.
New:     `split_target`: first the target is cut at `?`, then escapes are decoded, once.
RFC:     9112 section 3.2 (request target), 3986 section 2.1 (percent-encoding)
"""

import argparse
import contextlib
import os
import re
import socket
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

# --- Settings -------------------------------------------------------------------------------------

HOST = "127.0.0.1"  # The loopback address: only programs on this machine can connect.
PIECE = 64 * 1024  # Bytes handled at a time: large enough to be fast, small enough to forget.
LINGER = 1.0  # Seconds that we wait for a client to hang up when we are done. nginx: 5.
settings = argparse.Namespace()  # Filled in by `read_settings`

# --- Requests: from bytes to a Request ------------------------------------------------------------

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2: the letters of a name
VISIBLE = "[!-~]"  # All that a target may hold: no space, no control character, no byte above 127
REQUEST_LINE = re.compile(rf"({TOKEN}) ({VISIBLE}+) HTTP/([0-9])\.([0-9])")  # RFC 9112 section 3


class HTTPError(Exception):
    """A request that can't be served: it gets this status, and then the connection ends."""


def require(condition: Any, status: str = "400 Bad Request") -> Any:
    """Return `condition` if it holds, or else raise HTTPError with `status`."""
    if not condition:
        raise HTTPError(status)
    return condition


@dataclass
class Request:
    """What the client asks for."""

    method: str
    target: str
    path: str


def receive(connection: socket.socket) -> bytes:
    """Return the bytes that come next. Raises ConnectionError if the client has left."""
    if data := connection.recv(PIECE):
        return data
    raise ConnectionError("the client has left")


def split_target(target: str) -> tuple[str, str]:
    """`"/echo/a%20b?x=1"` -> `("/echo/a b", "x=1")`. What is no escape stays as it is."""
    path, _, query = re.sub("(?i)^http://[^/?#@]+", "", target).partition("?")  # %3F is no `?`
    # The first segment names the page. An escaped `/` in it divides nothing, so it stays escaped.
    first = re.match("/?[^/]*", path)[0]
    path = re.sub("(?i)%2f", "%252F", first) + path[len(first) :]
    return unquote(path or "/", errors="surrogateescape"), query


def parse_request(head: str) -> Request:
    """`"GET /cats HTTP/1.1\\r\\n…"` -> `Request("GET", "/cats", …)`. Raises HTTPError."""
    line = head.split("\r\n")[0]
    method, target = require(REQUEST_LINE.fullmatch(line)).group(1, 2)
    path, _ = split_target(target)
    return Request(method, target, path)


def read_head(connection: socket.socket) -> str:
    """Return all that the client says before the body, and print it."""
    head = receive(connection).decode("latin-1")
    with contextlib.suppress(OSError):  # Nobody reads what we print any more? Serve on.
        print(head.encode("ascii", "backslashreplace").decode(), flush=True)
    return head


# --- Responses: from a Request to a Response, and to bytes ----------------------------------------


@dataclass
class Response:
    """What the client gets."""

    status: str = "200 OK"
    body: bytes = b""


def error_page(status: str) -> Response:
    """`"404 Not Found"` -> an answer that says so."""
    return Response(status, f"{status}\n".encode())


def echo_path(request: Request) -> Response:
    """`/echo/hello` -> `hello`."""
    return Response(body=request.path.removeprefix("/echo/").encode("utf-8", "surrogateescape"))


def respond(request: Request) -> Response:
    """Choose the answer to `request`."""
    if request.path == "/":
        return Response(body=b"Hello World!")
    if request.path.startswith("/echo/"):
        return echo_path(request)
    return error_page("404 Not Found")


def build_head(response: Response) -> bytes:
    """Return all that comes before the body, down to the empty line that ends it."""
    lines = [f"HTTP/1.1 {response.status}"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send_response(connection: socket.socket, response: Response) -> None:
    """Send the head, then the body."""
    connection.sendall(build_head(response) + response.body)


# --- Connections: who is served, and how long -----------------------------------------------------


def hang_up(connection: socket.socket) -> None:
    """Close, but let the client read to the end first: bytes left unread would make it a reset."""
    deadline = time.monotonic() + LINGER
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER)
        while time.monotonic() < deadline and connection.recv(PIECE):
            pass
    connection.close()


def serve_request(connection: socket.socket) -> None:
    """Read one request and answer it."""
    try:
        response = respond(parse_request(read_head(connection)))
    except HTTPError as error:
        response = error_page(str(error))
    send_response(connection, response)


def serve_connection(connection: socket.socket) -> None:
    """Serve one client, whatever it does, and hang up."""
    try:
        with contextlib.suppress(OSError):  # The client has left: there is nobody to tell.
            serve_request(connection)
    finally:
        hang_up(connection)


def serve_forever(listener: socket.socket) -> None:
    """Serve one client after the other."""
    while True:
        connection, _ = listener.accept()
        serve_connection(connection)


def read_settings(arguments: list[str]) -> None:
    """Fill in `settings` from the command line and the environment."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "4221"))
    parser.parse_known_args(arguments, settings)


def open_listener() -> socket.socket:
    """Return a socket that waits for clients on our port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Let a restart have it back.
    try:
        listener.bind((HOST, settings.port))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Can't use port {settings.port}: {error}. Free it, or set PORT.\n")
        raise SystemExit(2) from None
    listener.listen()
    return listener


if __name__ == "__main__":
    read_settings(sys.argv[1:])
    with contextlib.suppress(KeyboardInterrupt), open_listener() as listener:
        print(f"Listening on http://{HOST}:{listener.getsockname()[1]}", file=sys.stderr)
        serve_forever(listener)

"""The floor: a thread per connection that reads some bytes and writes fixed ones.

It understands nothing of HTTP, so no server that has a thread per connection can be faster.
"""

from __future__ import annotations

import contextlib
import socket
import threading

from common import BACKLOG, BINARY, FILE, HOST, HTML, PAGE, POST_SIZE, read_settings

PIECE = 64 * 1024  # Bytes: whatever has come. Requests are small, and come whole on one machine.


def build_head(content_type: str, length: int) -> bytes:
    """Return the head of a response with a body of `length` bytes."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {content_type}", f"Content-Length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


PAGE_ANSWER = build_head(HTML, len(PAGE)) + PAGE
FILE_ANSWER = build_head(BINARY, len(FILE)) + FILE
ECHO_HEAD = build_head(BINARY, POST_SIZE)


def serve(connection: socket.socket) -> None:
    """Answer by the first letters of what comes, until the client leaves."""
    with connection, contextlib.suppress(OSError):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := connection.recv(PIECE):
            if data.startswith(b"GET / "):
                connection.sendall(PAGE_ANSWER)
            elif data.startswith(b"GET "):
                connection.sendall(FILE_ANSWER)
            else:
                connection.sendall(ECHO_HEAD + data[-POST_SIZE:])


if __name__ == "__main__":
    with socket.create_server((HOST, read_settings().port), backlog=BACKLOG) as listener:
        while True:
            client, _ = listener.accept()
            threading.Thread(target=serve, args=(client,), daemon=True).start()

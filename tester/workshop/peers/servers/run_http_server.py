"""http.server, as Python brings it: a thread per connection.

Two of its settings are not its defaults: connections stay open (HTTP/1.1), and TCP_NODELAY is on,
as it sends head and body apart, and a client may wait 40 ms for the second of them without it.
"""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

from common import BACKLOG, BINARY, HOST, HTML, PAGE, read_settings


class Handler(SimpleHTTPRequestHandler):
    """Answers the three requests; the file is sent by the class that it comes from."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        """Send the page or a file."""
        if self.path == "/":
            self.send(HTML, PAGE)
        else:
            self.path = self.path.removeprefix("/files")
            super().do_GET()

    def do_POST(self) -> None:
        """Send the body back."""
        self.send(BINARY, self.rfile.read(int(self.headers["Content-Length"])))

    def send(self, content_type: str, body: bytes) -> None:
        """Send a whole response."""
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print no line."""


class Server(ThreadingHTTPServer):
    """Lets more clients wait than the five that are its default."""

    request_queue_size = BACKLOG


if __name__ == "__main__":
    settings = read_settings()
    handler = functools.partial(Handler, directory=settings.directory)
    Server((HOST, settings.port), handler).serve_forever()

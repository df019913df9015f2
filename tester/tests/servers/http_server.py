"""A correct server of another make, on http.server: a fixture of the tester's own tests.

The standard library brings the threads, the sending of heads and the log; the reading of heads
and bodies is added, as the library's own is too lenient. It keeps every rule of stage 18 and,
where the contract leaves a choice, chooses unlike the stages: HTML error pages, head and body sent
apart, refused bodies skipped after the answer, everything but images and archives compressed, 408
even to a client that never said a word.
"""

from __future__ import annotations

import argparse
import contextlib
import html
import io
import os
import re
import socket
import socketserver
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from http.client import HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import BinaryIO, cast
from urllib.parse import SplitResult, parse_qsl, unquote_to_bytes, urlsplit

IDLE_TIMEOUT = float(os.environ.get("IDLE_TIMEOUT", "5"))
SEND_TIMEOUT = max(IDLE_TIMEOUT, 10.0)
DRAIN_SECONDS = 2.0
LONGEST_HEAD = 64 << 10
LONGEST_CHUNK_LINE = 2 << 10
LARGEST_BODY = 100 << 20
LARGEST_SKIPPED_BODY = 1 << 20
BLOCK = 64 << 10

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rf"({TOKEN}) ([!-~]+) (HTTP/[0-9]\.[0-9])")
FIELD = re.compile(rf"({TOKEN}):([\t\x20-\x7e\x80-\xff]*)")
QUOTED = r'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
EXTENSION = rf";[ \t]*{TOKEN}(?:[ \t]*=[ \t]*(?:{TOKEN}|{QUOTED}))?"
CHUNK = re.compile(rf"([0-9a-fA-F]+)(?:{EXTENSION}(?:[ \t]*{EXTENSION})*)?")
HOST = re.compile(r"(?:[\w.~%!$&'()*+;=-]*|\[[0-9a-fA-F:.]+\])(?::[0-9]*)?", re.ASCII)
GZIP_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
TYPES = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".json": "application/json",
    ".txt": "text/plain",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".pdf": "application/pdf",
}
PACKED = {".gz", ".tgz", ".zip", ".bz2", ".xz", ".zst", ".7z", ".png", ".jpg", ".pdf"}
PAGE = "<!doctype html>\n<html lang=en>\n<title>{0}</title>\n<h1>{0}</h1>\n<p>{1}</p>\n</html>\n"
PAGES = {
    b"/": PAGE.format("Welcome", "Hello World!"),
    b"/about": PAGE.format("About", "Batteries included, and some more put in."),
    b"/blog": PAGE.format("Blog", "Under construction since 1995. ☕"),
}


class Refused(Exception):
    """An answer that is an error; with `close` if the next request cannot be found."""

    def __init__(self, status: int, why: str, *, allow: str = "", close: bool = True) -> None:
        """Keep what the answer will say."""
        super().__init__(why)
        self.status, self.why, self.allow, self.close = status, why, allow, close


def scratch() -> BinaryIO:
    """Return a file without a name."""
    return cast(BinaryIO, tempfile.TemporaryFile())


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "BatteriesIncluded/2.0", ""
    disable_nagle_algorithm = True
    server: Server
    unread: int | None  # bytes of the body that are still to come, None if it is in chunks

    # The connection

    def handle(self) -> None:
        """Answer requests until one is the last, and close without a reset."""
        self.buffer, self.close_connection = bytearray(), False
        with contextlib.suppress(OSError, EOFError):
            while not self.close_connection:
                self.handle_one_request()
        with contextlib.suppress(OSError, EOFError):
            self.connection.shutdown(socket.SHUT_WR)
            deadline = time.monotonic() + DRAIN_SECONDS
            while True:
                self.buffer.clear()
                self.fill(deadline)

    def handle_one_request(self) -> None:
        """Read one request and answer it."""
        self.command = self.path = self.requestline = ""
        self.request_version, self.headers = "HTTP/1.1", HTTPMessage()
        self.close_connection, self.unread = True, 0
        try:
            self.read_head()
            self.unread = self.body_length()
            self.close_connection = not self.wants_more()
            self.dispatch()
        except Refused as refused:
            self.close_connection |= refused.close
            self.refuse(refused)
        except TimeoutError:
            self.close_connection = True
            self.refuse(Refused(408, "You have been silent for too long."))
        if self.unread and not self.close_connection:
            for _ in self.body():
                pass

    def fill(self, deadline: float | None = None) -> None:
        """Receive more into the buffer, before the deadline or else within the idle timeout."""
        left = IDLE_TIMEOUT if deadline is None else deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.connection.settimeout(left)
        data = self.connection.recv(BLOCK)
        self.connection.settimeout(SEND_TIMEOUT)
        if not data:
            raise EOFError
        self.buffer += data

    def line(self, limit: int, status: int, deadline: float | None = None) -> str:
        """Receive a line that ends in CRLF; a longer one than the limit is refused."""
        while True:
            found = re.search(rb"[\r\n]", self.buffer)
            end = found.start() if found else len(self.buffer)
            if end > limit:
                raise Refused(status, "That line is far too long.")
            if self.buffer.startswith(b"\r\n", end):
                text = self.buffer[:end].decode("latin-1")
                del self.buffer[: end + 2]
                return text
            if self.buffer[end : end + 2] not in (b"", b"\r"):
                raise Refused(400, "Lines end in CR and LF.")
            self.fill(deadline)

    # The head

    def read_head(self) -> None:
        """Receive the head, and set what the library's parse_request would set."""
        if not self.buffer:
            self.fill()
        deadline, left = time.monotonic() + IDLE_TIMEOUT, LONGEST_HEAD
        if not re.match(rf"{TOKEN}|[\r\n]".encode(), self.buffer):
            raise Refused(400, "That is another protocol.")
        while not (line := self.line(left, 414, deadline)):
            left -= 2
            if left <= 0:
                raise Refused(400, "A request is more than empty lines.")
        self.parse_request_line(line)
        left -= len(line) + 2
        while line := self.line(max(left - 2, 0), 431, deadline):
            left -= len(line) + 2
            field = FIELD.fullmatch(line)
            if not field:
                raise Refused(400, "That header line is none.")
            self.headers.add_header(field[1], field[2].strip(" \t"))
        hosts = self.headers.get_all("Host", [] if self.request_version > "HTTP/1.0" else [""])
        if len(hosts) != 1 or not HOST.fullmatch(hosts[0]):
            raise Refused(400, "A request names one host.")

    def parse_request_line(self, line: str) -> None:
        """Take the request line apart."""
        self.requestline = line
        match = REQUEST_LINE.fullmatch(line)
        if not match:
            raise Refused(400, "That is not a request.")
        self.command, self.path, version = match.groups()
        if not version.startswith("HTTP/1."):
            raise Refused(505, "That is for another server.")
        self.request_version = version
        self.url = self.split_target()
        if re.search(r"%(?![0-9a-fA-F]{2})", self.url.path):
            raise Refused(400, "That is a broken escape.")
        if re.match("/[^/]*%2f", self.url.path, re.IGNORECASE):
            raise Refused(404, "There is no such name.")
        self.route = unquote_to_bytes(self.url.path)

    def split_target(self) -> SplitResult:
        """Split the target, in whatever form it came."""
        if self.path.startswith("/"):
            path, _, query = self.path.partition("?")
            return SplitResult("", "", path, query, "")
        if self.path == "*" and self.command == "OPTIONS":
            return SplitResult("", "", "*", "", "")
        with contextlib.suppress(ValueError):
            url = urlsplit(self.path)
            if url.scheme in ("http", "https") and url.hostname and HOST.fullmatch(url.netloc):
                whole = "*" if self.command == "OPTIONS" and not url.query else "/"
                return url._replace(path=url.path or whole)
        raise Refused(400, "That target is of no known form.")

    def tokens(self, name: str) -> list[str]:
        """Return the members of a field that is a list, in lower case."""
        members = ",".join(self.headers.get_all(name, [])).lower().split(",")
        return [member.strip(" \t") for member in members if member.strip(" \t")]

    def wants_more(self) -> bool:
        """Say whether the connection stays open after this request."""
        options, old = self.tokens("Connection"), self.request_version == "HTTP/1.0"
        faulty = old and "Transfer-Encoding" in self.headers
        return "close" not in options and not faulty and (not old or "keep-alive" in options)

    # The body

    def body_length(self) -> int | None:
        """Return the length of the body, or None if it is in chunks."""
        lengths = self.headers.get_all("Content-Length", [])
        if "Transfer-Encoding" in self.headers:
            if lengths:
                raise Refused(400, "There are two ways to frame a body, and one is enough.")
            self.check_codings(self.tokens("Transfer-Encoding"))
            return None
        if not lengths:
            return 0
        if len(set(lengths)) > 1 or not re.fullmatch("[0-9]+", lengths[0]):
            raise Refused(400, "Content-Length is one number.")
        digits = lengths[0].lstrip("0").rjust(1, "0")
        if len(digits) > 15 or int(digits) > LARGEST_BODY:
            raise Refused(413, "100 MB is all that fits.")
        return int(digits)

    @staticmethod
    def check_codings(codings: list[str]) -> None:
        """Refuse all transfer codings but chunked."""
        if not codings or "chunked" in codings[:-1]:
            raise Refused(400, "chunked is the last coding, and there once.")
        if codings != ["chunked"]:
            raise Refused(501, "Only chunked is understood.")

    def body(self) -> Iterator[bytes]:
        """Yield the body in pieces, after 100 Continue where the client expects that."""
        if self.expects_continue():
            self.send_response_only(100)
            self.end_headers()
        if self.unread is None:
            yield from self.chunks()
        else:
            yield from self.exactly(self.unread)
        self.unread = 0

    def expects_continue(self) -> bool:
        """Say whether the client waits with a body until it is told to send it."""
        modern = self.request_version != "HTTP/1.0"
        return modern and self.unread != 0 and "100-continue" in self.tokens("Expect")

    def exactly(self, count: int) -> Iterator[bytes]:
        """Yield so many bytes."""
        while count:
            if not self.buffer:
                self.fill()
            piece = bytes(self.buffer[:count])
            del self.buffer[:count]
            count -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        """Yield the data of chunks up to the last one and its trailers."""
        left = LARGEST_BODY
        while True:
            match = CHUNK.fullmatch(self.line(LONGEST_CHUNK_LINE, 400))
            if not match:
                raise Refused(400, "A chunk begins with its size.")
            size = int(match[1], 16)
            left -= size
            if left < 0:
                raise Refused(413, "100 MB is all that fits.")
            if not size:
                break
            yield from self.exactly(size)
            self.line(0, 400)
        left = LONGEST_HEAD
        while line := self.line(left, 431):
            left = max(left - len(line), 0)
            if not FIELD.fullmatch(line):
                raise Refused(400, "That trailer is none.")

    # The routes

    def allowed(self) -> list[str]:
        """Return the methods of the path."""
        if self.route in (*PAGES, b"/user-agent", b"/search", b"/stream"):
            return ["GET", "HEAD", "OPTIONS"]
        if self.route.startswith(b"/echo/"):
            return ["GET", "HEAD", "OPTIONS"]
        if self.route.startswith(b"/files/") or self.route == b"*":
            return ["GET", "HEAD", "POST", "OPTIONS"]
        return ["POST", "OPTIONS"] if self.route == b"/echo" else []

    def dispatch(self) -> None:
        """Answer the request, if it is one that can be answered."""
        if self.command not in METHODS:
            raise Refused(501, "That method is unknown.", close=False)
        allow = self.allowed()
        if not allow:
            raise Refused(404, "There is no such page.", close=False)
        if self.command not in allow:
            message = "That cannot be done here."
            raise Refused(405, message, allow=", ".join(allow), close=False)
        if self.command == "OPTIONS":
            self.answer(200, "", io.BytesIO(), Allow=", ".join(allow))
        elif self.command == "POST" and self.route == b"/echo":
            self.answer(200, "application/octet-stream", self.spool(self.body()))
        elif self.command == "POST":
            self.upload(self.locate())
        else:
            self.show()

    def show(self) -> None:
        """Answer a GET or a HEAD."""
        if self.route in PAGES:
            self.answer(200, "text/html", io.BytesIO(PAGES[self.route].encode()))
        elif self.route.startswith(b"/files/"):
            self.download(self.locate())
        elif self.route == b"/stream":
            self.stream()
        elif self.route == b"/search":
            pairs = parse_qsl(self.url.query, keep_blank_values=True)
            lines = (f"{name}: {value}\r\n" for name, value in pairs)
            self.answer(200, "text/plain", io.BytesIO("".join(lines).encode()))
        elif self.route == b"/user-agent":
            agent = self.headers.get("User-Agent", "")
            self.answer(200, "text/plain", io.BytesIO(agent.encode("latin-1")))
        else:
            self.answer(200, "text/plain", io.BytesIO(self.route[len(b"/echo/") :]))

    def locate(self) -> str:
        """Return the real path of the file that the request names, inside the folder."""
        name = os.fsdecode(self.route[len(b"/files/") :])
        if "\0" in name:
            raise Refused(400, "That is no name.", close=False)
        for variant in (name.replace("\\", "/"), name):
            path = os.path.realpath(os.path.join(self.server.root, variant))
            if not path.startswith(os.path.join(self.server.root, "")):
                raise Refused(403, "That is out of bounds.", close=False)
        if len(os.path.basename(os.fsencode(path))) > 255:
            raise Refused(404, "No file has so long a name.", close=False)
        if os.path.isdir(path):
            raise Refused(403, "That is a folder.", close=False)
        if {"", ".", ".."} & {*name.split("/")}:
            raise Refused(404, "A file has one name only.", close=False)
        return path

    def download(self, path: str) -> None:
        """Answer with a file."""
        if not os.path.isfile(path) or not os.access(path, os.R_OK):
            raise Refused(404, "There is no such file.", close=False)
        extension = os.path.splitext(path)[1].lower()
        fields = {"Last-Modified": self.date_time_string(int(os.path.getmtime(path)))}
        if extension in PACKED:
            fields["Cache-Control"] = "no-transform"
        with open(path, "rb") as file:
            kind = TYPES.get(extension, "application/octet-stream")
            self.answer(200, kind, file, **fields)

    def upload(self, path: str) -> None:
        """Store the body under a temporary name, and rename it when it is whole."""
        folder = os.path.dirname(path)
        if not os.path.isdir(folder):
            raise Refused(409, "There is no such folder.", close=False)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".incoming.")
        try:
            with open(handle, "wb") as file:
                file.writelines(self.body())
            os.chmod(temporary, 0o644)
            try:
                os.replace(temporary, path)
            except OSError as error:
                message = error.strerror or "That cannot be stored."
                raise Refused(409, message, close=False) from None
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.remove(temporary)
        self.answer(201, "text/html", io.BytesIO(PAGE.format("Created", "Thanks.").encode()))

    def stream(self) -> None:
        """Send five lines, in chunks or, to an HTTP/1.0 client, up to the end."""
        chunked = self.request_version != "HTTP/1.0"
        self.close_connection |= not chunked
        length = {"Transfer-Encoding": "chunked"} if chunked else {}
        self.send_head(200, "text/plain", **length)
        if self.command == "HEAD":
            return
        for number in range(1, 6):
            line = b"tick %d\n" % number
            if chunked:
                self.wfile.write(b"%X\r\n" % len(line))
            self.wfile.write(line + b"\r\n" if chunked else line)
            time.sleep(0.1)
        if chunked:
            self.wfile.write(b"0\r\n\r\n")

    # The answers

    def send_head(self, status: int, kind: str, **fields: str) -> None:
        """Send the head of an answer, in which it is decided if the connection ends."""
        skipped = self.unread is not None and self.unread <= LARGEST_SKIPPED_BODY
        if not skipped or self.expects_continue():
            self.close_connection = True
        self.send_response(status)
        self.send_header("X-Content-Type-Options", "nosniff")
        if kind:
            charset = '; charset="utf-8"' if kind.startswith("text/") else ""
            self.send_header("Content-Type", kind + charset)
        for name, value in fields.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        elif self.request_version == "HTTP/1.0":
            self.send_header("Connection", "Keep-Alive")
            self.send_header("Keep-Alive", f"timeout={IDLE_TIMEOUT:.0f}")
        self.end_headers()

    def answer(self, status: int, kind: str, content: BinaryIO, **fields: str) -> None:
        """Send a whole answer, compressed if it is worth while and wanted."""
        size = content.seek(0, os.SEEK_END)
        content.seek(0)
        if kind and "Cache-Control" not in fields and not kind.startswith("image/"):
            fields["Vary"] = "Accept-Encoding"
            if size and self.accepts_gzip():
                content = self.spool(self.compress(content))
                size = content.seek(0, os.SEEK_END)
                content.seek(0)
                fields["Content-Encoding"] = "gzip"
        self.send_head(status, kind, **fields, **{"Content-Length": str(size)})
        with content:
            while size and self.command != "HEAD":
                block = content.read(min(size, BLOCK))
                if not block:
                    raise EOFError("the file has become shorter")
                self.wfile.write(block)
                size -= len(block)

    def refuse(self, refused: Refused) -> None:
        """Send an error as a page."""
        title = f"{refused.status} {self.responses[refused.status][0]}"
        page = PAGE.format(title, html.escape(refused.why)).encode()
        allow = {"Allow": refused.allow} if refused.allow else {}
        self.answer(refused.status, "text/html", io.BytesIO(page), **allow)

    def accepts_gzip(self) -> bool:
        """Say whether the client accepts gzip."""
        accepted = {}
        for member in self.tokens("Accept-Encoding"):
            name, *parameters = (part.strip(" \t") for part in member.split(";"))
            weight = GZIP_WEIGHT.fullmatch(parameters[0]) if parameters else None
            accepted[name] = float(weight[1]) if weight else float(not parameters)
        gzip = accepted.get("gzip", accepted.get("*", 0.0))
        return gzip > accepted.get("identity", 0.0)

    @staticmethod
    def compress(content: BinaryIO) -> Iterator[bytes]:
        """Yield the content compressed."""
        packer = zlib.compressobj(4, wbits=31)
        with content:
            while block := content.read(BLOCK):
                yield packer.compress(block)
        yield packer.flush()

    @staticmethod
    def spool(pieces: Iterator[bytes]) -> BinaryIO:
        """Return a temporary file of all the pieces."""
        file = scratch()
        file.writelines(pieces)
        return file


class Server(ThreadingHTTPServer):
    """A thread for each connection, on the loopback address."""

    request_queue_size = 512
    root = ""  # the real path of the folder that is served

    def server_bind(self) -> None:
        """Bind, without the library's look-up of the host's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """Log a fault in one line."""
        sys.stderr.write(f"fault: {sys.exc_info()[1]!r}\n")


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default="public")
    Server.root = os.path.realpath(parser.parse_args().directory)
    with (
        Server(("127.0.0.1", int(os.environ.get("PORT", "4221"))), Handler) as server,
        contextlib.suppress(KeyboardInterrupt),
    ):
        server.serve_forever()


if __name__ == "__main__":
    main()

"""A correct server of another make, on socketserver: a fixture of the tester's own tests.

It reads lines from a buffered file and takes them apart by hand. It keeps every rule of stage 18
and, where the contract leaves a choice, chooses unlike the stages: errors are JSON, a small body is
read before it is refused and a large one ends the connection, OPTIONS gets 204, a slow client is
left without a word, an upload waits in the system's folder for temporary files.

`odd_server.py` and `dripping_server.py` are this server with other ways of writing its answers.
"""

from __future__ import annotations

import argparse
import contextlib
import gzip
import http
import io
import json
import os
import shutil
import socket
import socketserver
import string
import tempfile
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import BinaryIO, cast
from urllib.parse import quote, unquote_to_bytes

IDLE_SECONDS = float(os.environ.get("IDLE_TIMEOUT", "5"))
HEAD_BYTES, LINE_BYTES, BODY_BYTES = 65_536, 3_000, 104_857_600
SKIPPED_BYTES = 20_000  # A refused body up to this length is read all the same.
PIECE_BYTES = 50_000

TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
DIGITS, HEX = frozenset(string.digits), frozenset(string.hexdigits)
HOST = frozenset(string.ascii_letters + string.digits + "-._~!$&'()*+;=%")
KNOWN = frozenset("GET HEAD POST PUT DELETE PATCH OPTIONS TRACE CONNECT".split())
BINARY, TEXT, PAGE = "application/octet-stream", "text/plain", "text/html"
TYPES = dict(
    pair.split(":")
    for pair in """
    html:text/html css:text/css js:text/javascript txt:text/plain json:application/json
    svg:image/svg+xml png:image/png jpg:image/jpeg pdf:application/pdf
""".split()
)
PAGES = {
    b"/": b"<!doctype html><html lang=en><title>Hello World!</title></html>",
    b"/about": "<!doctype html><html lang=de><title>Über diesen Server</title></html>".encode(),
    b"/blog": b"<!doctype html><html lang=en><title>No entry yet</title></html>",
}


class Refusal(Exception):
    """A request that gets an error, after which the next one may still be found, or not."""

    def __init__(self, status: int, *, ends: bool = True, **fields: str) -> None:
        """Keep what the answer says."""
        super().__init__(status)
        self.status, self.ends, self.fields = status, ends, fields


class Source(io.RawIOBase):
    """The bytes of a connection, up to a moment that can be moved."""

    def __init__(self, connection: socket.socket) -> None:
        """Read from `connection`, at no time yet."""
        self.connection, self.end = connection, 0.0

    def readable(self) -> bool:
        """It is for reading."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Wait for bytes. Raises TimeoutError at the end of the time."""
        self.connection.settimeout(max(self.end - time.monotonic(), 0.001))
        return self.connection.recv_into(buffer)

    def allow(self, seconds: float) -> None:
        """Set the moment, from now."""
        self.end = time.monotonic() + seconds


def split_list(value: str) -> list[str]:
    """`"a , B,"` -> `["a", "b"]`."""
    return [item for item in (part.strip(" \t") for part in value.lower().split(",")) if item]


def is_token(text: str) -> bool:
    """Return whether this is a name."""
    return bool(text) and TOKEN.issuperset(text)


def is_text(value: str) -> bool:
    """Return whether this may be a field's value."""
    return all(letter == "\t" or letter >= " " and letter != "\x7f" for letter in value)


def is_host(value: str) -> bool:
    """Return whether this is a host, with or without a port."""
    if value.startswith("["):
        address, _, port = value[1:].partition("]")
        return set(address) <= HEX | {":", "."} and (not port or is_port(port[:1], port[1:]))
    name, colon, digits = value.partition(":")
    return HOST.issuperset(name) and (not colon or is_port(colon, digits))


def is_port(colon: str, digits: str) -> bool:
    """Return whether this is how a port is written."""
    return colon == ":" and DIGITS.issuperset(digits)


def skip_extensions(rest: str) -> bool:
    """Return whether what follows a chunk's size is well-formed: `;name`, `; name="value"`, ..."""
    while rest:
        rest = rest.lstrip(" \t")
        if not rest.startswith(";"):
            return False
        name, rest = cut_token(rest[1:].lstrip(" \t"))
        if not name:
            return False
        after = rest.lstrip(" \t")
        if after.startswith("="):
            after = after[1:].lstrip(" \t")
            value, rest = cut_quoted(after) if after.startswith('"') else cut_token(after)
            if not value:
                return False
    return True


def cut_token(text: str) -> tuple[str, str]:
    """`"ab;c"` -> `("ab", ";c")`."""
    length = next((i for i, letter in enumerate(text) if letter not in TOKEN), len(text))
    return text[:length], text[length:]


def cut_quoted(text: str) -> tuple[str, str]:
    """`'"a";c'` -> `('"a"', ";c")`, or nothing if it has no end."""
    index = 1
    while index < len(text) and text[index] != '"':
        index += 2 if text[index] == "\\" else 1
    whole = index < len(text) and is_text(text[:index])
    return (text[: index + 1], text[index + 1 :]) if whole else ("", text)


class Handler(socketserver.StreamRequestHandler):
    """One connection."""

    disable_nagle_algorithm = True
    server: Server

    def setup(self) -> None:
        """Read through a file that knows when to stop."""
        super().setup()
        self.source = Source(self.connection)
        self.rfile = io.BufferedReader(self.source, PIECE_BYTES)

    def handle(self) -> None:
        """Answer requests up to the last one."""
        with contextlib.suppress(OSError, EOFError):
            self.stays = True
            while self.stays:
                self.handle_request()

    def finish(self) -> None:
        """Say goodbye and wait until the client has left too, lest it lose what we said."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_WR)
            self.source.allow(2)
            while self.rfile.read1(PIECE_BYTES):
                pass

    def handle_request(self) -> None:
        """Read one request and answer it."""
        self.stays, self.method, self.minor = False, "", 1
        self.fields: dict[str, str] = {}
        self.unread: int | None = 0
        try:
            self.read_head()
            self.unread = self.find_length()
            options = split_list(self.fields.get("connection", ""))
            self.stays = "close" not in options and (self.minor > 0 or "keep-alive" in options)
            self.route()
        except Refusal as refusal:
            self.refuse(refusal)

    def refuse(self, refusal: Refusal) -> None:
        """Answer with an error."""
        small = self.unread is not None and self.unread <= SKIPPED_BYTES
        self.stays &= small and not refusal.ends and "expect" not in self.fields
        if self.stays:
            self.copy_body(io.BytesIO())
        content = json.dumps({"error": http.HTTPStatus(refusal.status).phrase}).encode()
        kind = "application/problem+json"
        self.answer(io.BytesIO(content), kind, refusal.status, **refusal.fields)

    # Reading

    def read_line(self, room: int, status: int) -> str:
        """Return a line without its end, or refuse one that is longer than `room`."""
        line = b""
        while not line.endswith(b"\r\n"):
            ready = self.rfile.peek()[: room + 2 - len(line)]
            if not ready:
                raise Refusal(status) if len(line) == room + 2 else EOFError
            line += self.rfile.read(ready.find(b"\n") + 1 or len(ready))
            text = line.removesuffix(b"\r\n")
            if b"\n" in text or b"\r" in text[:-1]:
                raise Refusal(400)
        return text.decode("latin-1")

    def read_head(self) -> None:
        """Read a request up to the empty line."""
        self.source.allow(IDLE_SECONDS)
        if self.rfile.peek(1)[:1].decode("latin-1") not in TOKEN | {"\r", "\n", ""}:
            raise Refusal(400)
        self.source.allow(IDLE_SECONDS)  # A head's time begins with its first byte.
        line, room = "", HEAD_BYTES
        while not line:
            line = self.read_line(room, 414)
            room -= len(line) + 2
            if room <= 0:
                raise Refusal(400)
        self.method = line.partition(" ")[0]
        self.read_request_line(line)
        while field := self.read_line(max(room, 0), 431):
            room -= len(field) + 2
            self.add_field(self.fields, field)
        if not is_host(self.fields.get("host", "," if self.minor else "")):
            raise Refusal(400)

    @staticmethod
    def add_field(fields: dict[str, str], line: str) -> None:
        """Add a field to those before it."""
        name, colon, value = line.partition(":")
        if not colon or not is_token(name) or not is_text(value):
            raise Refusal(400)
        name, value = name.lower(), value.strip(" \t")
        fields[name] = f"{fields[name]},{value}" if name in fields else value

    def read_request_line(self, line: str) -> None:
        """Take the first line apart."""
        parts = line.split(" ")
        if len(parts) != 3 or not is_token(parts[0]) or not parts[1]:
            raise Refusal(400)
        self.method, target, version = parts
        if len(version) != 8 or version[:5] != "HTTP/" or version[6] != ".":
            raise Refusal(400)
        if not DIGITS.issuperset(version[5] + version[7]):
            raise Refusal(400)
        if not all("!" <= letter <= "~" for letter in target):
            raise Refusal(400)
        if version[5] != "1":
            raise Refusal(505)
        self.minor = int(version[7])
        self.path, self.query = self.split_target(target)

    def split_target(self, target: str) -> tuple[bytes, str]:
        """Return the path, decoded, and the query, as it is."""
        scheme, _, rest = target.partition("://")
        if scheme.lower() in ("http", "https"):
            end = min((rest.find(mark) for mark in "/?" if mark in rest), default=len(rest))
            if not rest[:end] or not is_host(rest[:end]):
                raise Refusal(400)
            nothing = "*" if self.method == "OPTIONS" else "/"
            target = rest[end:] or nothing
            target = "/" + target if target.startswith("?") else target
        elif not target.startswith("/") and (self.method, target) != ("OPTIONS", "*"):
            raise Refusal(400)
        path, _, query = target.partition("?")
        if "%2F" in path[1:].partition("/")[0].upper():
            raise Refusal(404)
        return unquote_to_bytes(path), query

    def find_length(self) -> int | None:
        """Return the length of the body, None if it comes in chunks."""
        length, codings = self.fields.get("content-length"), self.fields.get("transfer-encoding")
        if codings is not None:
            names = split_list(codings)
            if length is not None or self.minor == 0 or not names or "chunked" in names[:-1]:
                raise Refusal(400)
            if names != ["chunked"]:
                raise Refusal(501)
            return None
        if length is None:
            return 0
        if not length or not DIGITS.issuperset(length):
            raise Refusal(400)
        if len(length.lstrip("0")) > 12 or int(length) > BODY_BYTES:
            raise Refusal(413)
        return int(length)

    def copy_body(self, target: BinaryIO) -> None:
        """Write the body into `target`, having asked for it if that is wanted."""
        expected = "100-continue" in split_list(self.fields.get("expect", ""))
        if expected and self.minor and self.unread != 0:
            self.transmit(b"HTTP/1.1 100 Continue\r\n\r\n")
        for piece in self.chunks() if self.unread is None else self.pieces(self.unread):
            target.write(piece)
        self.unread = 0

    def pieces(self, count: int) -> Iterator[bytes]:
        """Yield the next bytes as they come."""
        while count:
            self.source.allow(IDLE_SECONDS)
            piece = self.rfile.read1(min(count, PIECE_BYTES))
            if not piece:
                raise EOFError
            count -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        """Yield what is in the chunks."""
        total = 0
        while True:
            self.source.allow(IDLE_SECONDS)
            line = self.read_line(LINE_BYTES, 400)
            digits = line[: len(line) - len(line.lstrip(string.hexdigits))]
            if not digits or not skip_extensions(line[len(digits) :]):
                raise Refusal(400)
            size = int(digits, 16)
            total += size
            if total > BODY_BYTES:
                raise Refusal(413)
            if not size:
                break
            yield from self.pieces(size)
            self.read_line(0, 400)
        room = HEAD_BYTES
        while line := self.read_line(min(room, LINE_BYTES), 431):
            self.add_field({}, line)
            room = max(room - len(line) - 2, 0)

    # Choosing

    def route(self) -> None:
        """Answer the request, or refuse it."""
        if self.method not in KNOWN:
            raise Refusal(501, ends=False)
        routes = self.find_routes()
        if not routes and self.path != b"*":
            raise Refusal(404, ends=False)
        allow = ",".join(sorted({*routes, "OPTIONS"} if routes else KNOWN - {"TRACE", "CONNECT"}))
        if self.method == "OPTIONS":
            self.skip_body()
            self.answer(io.BytesIO(), "", 204, Allow=allow)
        elif self.method in routes:
            if self.method != "POST":
                self.skip_body()
            routes[self.method]()
        else:
            raise Refusal(405, ends=False, Allow=allow)

    def skip_body(self) -> None:
        """Read a body that nobody wants."""
        with tempfile.TemporaryFile() as nowhere:
            self.copy_body(cast(BinaryIO, nowhere))

    def find_routes(self) -> dict[str, Callable[[], None]]:
        """Return what can be done with the path, by methods."""
        show: Callable[[], None] | None = None
        if self.path in PAGES:
            show = lambda: self.answer(io.BytesIO(PAGES[self.path]), PAGE)  # noqa: E731
        elif self.path.startswith(b"/files/"):
            return {"GET": self.show_file, "HEAD": self.show_file, "POST": self.store_file}
        elif self.path.startswith(b"/echo/"):
            show = lambda: self.answer(io.BytesIO(self.path[6:]), TEXT)  # noqa: E731
        elif self.path == b"/echo":
            return {"POST": self.echo_body}
        else:
            others = {b"/user-agent": self.show_agent, b"/search": self.show_query}
            show = (others | {b"/stream": self.show_ticks}).get(self.path)
        return {"GET": show, "HEAD": show} if show else {}

    def show_agent(self) -> None:
        """Answer with the User-Agent."""
        agent = self.fields.get("user-agent", "")
        self.answer(io.BytesIO(agent.encode("latin-1")), TEXT)

    def show_query(self) -> None:
        """Answer with a line for each parameter."""
        text = b""
        for pair in filter(None, self.query.replace("+", "%20").split("&")):
            name, _, value = pair.partition("=")
            text += unquote_to_bytes(name) + b": " + unquote_to_bytes(value) + b"\n"
        self.answer(io.BytesIO(text), TEXT)

    def show_ticks(self) -> None:
        """Answer with five lines, one after the other."""
        self.stays &= self.minor > 0
        fields = {"Content-Type": write_type(TEXT)}
        if self.minor:
            fields["Transfer-Encoding"] = "chunked"
        self.transmit(self.make_head(200, fields))
        for number in range(1, 6) if self.method != "HEAD" else ():
            line = f"tick {number}\n".encode()
            self.transmit(self.make_chunk(line) if self.minor else line)
            time.sleep(0.1)
        if self.minor and self.method != "HEAD":
            self.transmit(self.make_chunk(b""))

    def echo_body(self) -> None:
        """Answer with the body that came."""
        copy = cast(BinaryIO, tempfile.TemporaryFile())
        self.copy_body(copy)
        self.answer(copy, BINARY)

    def find_file(self) -> str:
        """Return the real path of the file that is meant."""
        name = os.fsdecode(self.path[len(b"/files/") :])
        root = self.server.root
        parts = name.split("/")
        odd = {"", ".", ".."} & {*parts} or "\0" in name or ".." in name.split("\\")
        path = "" if odd else os.path.realpath(os.path.join(root, name))
        if os.path.commonprefix([path, root + os.sep]) != root + os.sep:
            raise Refusal(400, ends=False)
        if os.path.isdir(path):
            raise Refusal(409, ends=False)
        return path

    def show_file(self) -> None:
        """Answer with a file."""
        path = self.find_file()
        if not os.path.isfile(path):
            raise Refusal(404, ends=False)
        try:
            file = open(path, "rb")
        except OSError:
            raise Refusal(403, ends=False) from None
        kind = TYPES.get(path.rpartition(".")[2].lower(), BINARY)
        changed = formatdate(os.fstat(file.fileno()).st_mtime, usegmt=True)
        self.answer(file, kind, **{"Last-Modified": changed})

    def store_file(self) -> None:
        """Store the body, when all of it has come."""
        path = self.find_file()
        if not os.path.isdir(os.path.dirname(path)) or len(os.fsencode(path).split(b"/")[-1]) > 255:
            raise Refusal(404, ends=False)
        with tempfile.TemporaryDirectory() as waiting:
            parcel = os.path.join(waiting, "parcel")
            with open(parcel, "wb") as file:
                self.copy_body(file)
            final = f"{os.path.dirname(path)}/.{os.urandom(9).hex()}"
            shutil.copyfile(parcel, final)
            os.rename(final, path)
        place = quote(self.path)
        self.answer(io.BytesIO(b"null"), "application/json", 201, Location=place)

    # Writing

    def make_head(self, status: int, fields: dict[str, str]) -> bytes:
        """Return the head of an answer."""
        fields = {"Date": formatdate(usegmt=True), "Server": "lines", **fields}
        fields["X-Content-Type-Options"] = "nosniff"
        if not self.stays or self.minor == 0:
            fields["Connection"] = "keep-alive" if self.stays else "close"
        lines = [f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def make_chunk(self, data: bytes) -> bytes:
        """Return `data` as a chunk, the last one if there is nothing in it."""
        return b"%x\r\n%b\r\n" % (len(data), data)

    def transmit(self, data: bytes) -> None:
        """Send all of it."""
        self.connection.settimeout(10)
        self.connection.sendall(data)

    def answer(self, content: BinaryIO, kind: str, status: int = 200, **fields: str) -> None:
        """Send an answer of known length, compressed if that helps and is wanted."""
        length = content.seek(0, os.SEEK_END)
        if kind.startswith("text/") or kind.endswith(("json", "svg+xml")):
            fields["Vary"] = "Accept-Encoding"
            if length and self.accepts_gzip():
                content = compress(content)
                length = content.tell()
                fields["Content-Encoding"] = "gzip"
        content.seek(0)
        fields |= {"Content-Length": str(length)} if status != 204 else {}
        if kind:
            fields["Content-Type"] = write_type(kind)
        left = 0 if self.method == "HEAD" else length
        with content:
            first = content.read(min(left, PIECE_BYTES))
            self.transmit(self.make_head(status, fields) + first)
            left -= len(first)
            while left and (piece := content.read(min(left, PIECE_BYTES))):
                self.transmit(piece)
                left -= len(piece)

    def accepts_gzip(self) -> bool:
        """Return whether the client takes gzip."""
        weights = {"*": 0.0}
        for item in split_list(self.fields.get("accept-encoding", "")):
            name, _, weight = item.replace(" ", "").replace("\t", "").partition(";q=")
            with contextlib.suppress(ValueError):
                weights[name] = float(weight or 1)
        return weights.get("gzip", weights["*"]) > weights.get("identity", 0)


def write_type(kind: str) -> str:
    """Return a media type as it is sent."""
    return f"{kind};charset=UTF-8" if kind.startswith("text/") else kind


def compress(content: BinaryIO) -> BinaryIO:
    """Return the content compressed, in a file whose end has been reached."""
    packed = cast(BinaryIO, tempfile.TemporaryFile())
    content.seek(0)
    with content, gzip.GzipFile("", "wb", 3, packed, 0) as packer:
        shutil.copyfileobj(content, packer, PIECE_BYTES)
    return packed


class Server(socketserver.ThreadingTCPServer):
    """A thread for each connection, on the loopback address."""

    allow_reuse_address, daemon_threads, request_queue_size = True, True, 400
    root = ""  # The real path of the folder that is served.

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        """Close; the handler has said goodbye."""
        self.close_request(request)


def main(handler: type[Handler] = Handler) -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default="public")
    Server.root = os.path.realpath(parser.parse_args().directory)
    port = int(os.environ.get("PORT", "4221"))
    with Server(("127.0.0.1", port), handler) as server, contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


if __name__ == "__main__":
    main()

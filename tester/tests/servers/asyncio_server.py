"""A correct server of another make, on asyncio streams: a fixture of the tester's own tests.

It keeps every rule of stage 18 and, where the contract leaves a choice, chooses unlike the stages:
lower-case field names, a refused body ends the connection, chunk sizes with leading zeros and
extensions, 403 for what is outside, folders made for an upload, ETag, 408 and 400 said aloud.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import io
import os
import re
import stat
import tempfile
import time
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import BinaryIO, cast
from urllib.parse import parse_qsl, unquote_to_bytes

IDLE = float(os.environ.get("IDLE_TIMEOUT", "5"))
STALL = max(IDLE, 10.0)  # seconds that a client may leave an answer unread
LINGER = 3.0  # seconds that a closed connection is still drained
HEAD_LIMIT = 64 * 1024
LINE_LIMIT = 4 * 1024  # of a line between chunks
BODY_LIMIT = 100 * 1024 * 1024
BLOCK = 64 * 1024

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
TEXT = rb"[\t\x20-\x7e\x80-\xff]*"
QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t\x20-\x7e\x80-\xff])*"'
EXTENSION = rb";[ \t]*%b(?:[ \t]*=[ \t]*(?:%b|%b))?" % (TOKEN, TOKEN, QUOTED)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:%b(?:[ \t]*%b)*)?" % (EXTENSION, EXTENSION))
REQUEST_LINE = re.compile(rb"(%b) ([\x21-\x7e]+) HTTP/([0-9])\.([0-9])" % TOKEN)
FIELD_LINE = re.compile(rb"(%b):(%b)" % (TOKEN, TEXT))
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?#]+)([/?].*)?")
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
QVALUE = re.compile(rb"(?i:q)=([01](?:\.[0-9]{0,3})?)")

METHODS = {b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT"}
HTML, PLAIN, BINARY = (
    "text/html; charset=utf-8",
    "text/plain; charset=utf-8",
    "application/octet-stream",
)
TYPES = {
    b".html": HTML,
    b".css": "text/css; charset=utf-8",
    b".js": "text/javascript; charset=utf-8",
    b".json": "application/json",
    b".txt": PLAIN,
    b".svg": "image/svg+xml",
    b".png": "image/png",
    b".jpg": "image/jpeg",
    b".pdf": "application/pdf",
}
PAGES = {
    b"/": b"<!doctype html><title>Home</title><h1>Hello World!</h1>\n",
    b"/about": b"<!doctype html><title>About</title><p>A server made of coroutines.\n",
    b"/blog": b"<!doctype html><title>Blog</title><p>Nothing has been awaited yet.\n",
}

root = b""  # the real path of the folder that is served, set by main()


class Refusal(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, why: str = "", **fields: str) -> None:
        """Keep the status, a sentence for the client, and fields of the answer."""
        super().__init__(why)
        self.status, self.why, self.fields = status, why, fields


@dataclass
class Request:
    """The head of a request."""

    method: bytes
    target: bytes
    minor: int
    fields: list[tuple[bytes, bytes]]
    path: bytes = b""
    query: bytes = b""

    def all(self, name: bytes) -> list[bytes]:
        """Return the values of every field of this lower-case name."""
        return [value for key, value in self.fields if key == name]

    def items(self, name: bytes) -> list[bytes]:
        """Return the members of a field that is a list, in lower case."""
        members = b",".join(self.all(name)).lower().split(b",")
        return [member.strip(b" \t") for member in members if member.strip(b" \t")]

    def persistent(self) -> bool:
        """Say whether the client wants to go on after this request."""
        options = self.items(b"connection")
        return b"close" not in options and (self.minor > 0 or b"keep-alive" in options)


@dataclass
class Answer:
    """The answer to a request; its content is a file in memory or on disk."""

    status: int
    kind: str = PLAIN
    content: BinaryIO = field(default_factory=io.BytesIO)
    fields: dict[str, str] = field(default_factory=dict)
    ticks: bool = False


class Wire:
    """A connection, with the bytes that were received and are not used yet."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Wrap the two streams; drain() is to wait until all is with the kernel."""
        self.reader, self.writer, self.buffer = reader, writer, bytearray()
        self.bodiless = False  # the request is a HEAD, well-formed or not
        writer.transport.set_write_buffer_limits(high=0)

    async def fill(self, deadline: float | None = None) -> None:
        """Receive more bytes, before the deadline or else within the idle timeout."""
        seconds = IDLE if deadline is None else deadline - time.monotonic()
        data = await asyncio.wait_for(self.reader.read(BLOCK), seconds)
        if not data:
            raise EOFError
        self.buffer += data

    async def line(self, limit: int, status: int, deadline: float | None = None) -> bytes:
        """Receive a line and return it without its CRLF; a longer one is refused."""
        while True:
            found = re.search(rb"[\r\n]", self.buffer)
            end = found.start() if found else len(self.buffer)
            if end > limit:
                raise Refusal(status, "That line is too long.")
            if found and self.buffer.startswith(b"\r\n", end):
                line = bytes(self.buffer[:end])
                del self.buffer[: end + 2]
                return line
            if found and (self.buffer[end] == 10 or end + 1 < len(self.buffer)):
                raise Refusal(400, "A line ends in CR LF, in nothing less.")
            await self.fill(deadline)

    async def send(self, data: bytes) -> None:
        """Send bytes and wait until they are on their way."""
        self.writer.write(data)
        await asyncio.wait_for(self.writer.drain(), STALL)

    async def linger(self) -> None:
        """Close our half and drain the other one, lest a reset overtake the answer."""
        deadline = time.monotonic() + LINGER
        with contextlib.suppress(OSError, EOFError, asyncio.TimeoutError):
            self.writer.write_eof()
            while True:
                self.buffer.clear()
                await self.fill(deadline)


class Body:
    """The body of a request, to be iterated over once; `done` when nothing of it is to come."""

    def __init__(self, wire: Wire, request: Request) -> None:
        """Find out how the body is framed."""
        self.wire = wire
        self.length = body_length(request)  # None: in chunks
        self.done = self.length == 0
        self.awaited = request.minor > 0 and b"100-continue" in request.items(b"expect")

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the body in pieces, after a 100 Continue if the client waits for one."""
        if self.awaited and not self.done and not self.wire.buffer:
            await self.wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self.length is None:
            async for piece in self.chunks():
                yield piece
        else:
            async for piece in self.exactly(self.length):
                yield piece
        self.done = True

    async def exactly(self, count: int) -> AsyncIterator[bytes]:
        """Yield so many bytes, in pieces."""
        buffer = self.wire.buffer
        while count:
            if not buffer:
                await self.wire.fill()
            piece = bytes(buffer[:count])
            del buffer[:count]
            count -= len(piece)
            yield piece

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the data of the chunks, and read the trailers."""
        total = 0
        while True:
            match = CHUNK_LINE.fullmatch(await self.wire.line(LINE_LIMIT, 400))
            if not match:
                raise Refusal(400, "That is not the size of a chunk.")
            digits = match[1].lstrip(b"0")
            size = int(digits[:16] or b"0", 16)
            total += size
            if len(digits) > 16 or total > BODY_LIMIT:
                raise Refusal(413, "The chunks are too much.")
            if size == 0:
                break
            async for piece in self.exactly(size):
                yield piece
            await self.wire.line(0, 400)
        room = HEAD_LIMIT
        while line := await self.wire.line(room, 431):
            room = max(room - len(line), 0)
            if not FIELD_LINE.fullmatch(line):
                raise Refusal(400, "That is no trailer field.")


def body_length(request: Request) -> int | None:
    """Return the length of the request's body, None if it is chunked."""
    codings, lengths = request.all(b"transfer-encoding"), request.all(b"content-length")
    if codings and (lengths or request.minor == 0):
        raise Refusal(400, "Transfer-Encoding is out of place here.")
    if codings:
        names = request.items(b"transfer-encoding")
        if not names or b"chunked" in names[:-1]:
            raise Refusal(400, "chunked comes last, and once.")
        if names != [b"chunked"]:
            raise Refusal(501, "Of transfer codings there is only chunked.")
        return None
    if not lengths:
        return 0
    members = [member.strip(b" \t") for member in b",".join(lengths).split(b",")]
    if len(set(members)) > 1 or not re.fullmatch(rb"[0-9]+", members[0]):
        raise Refusal(400, "That is no Content-Length.")
    digits = members[0].lstrip(b"0") or b"0"
    if len(digits) > 18 or int(digits) > BODY_LIMIT:
        raise Refusal(413, "That is too much.")
    return int(digits)


async def read_head(wire: Wire) -> Request:
    """Receive the head of a request: it has a deadline and a limit as a whole."""
    deadline, room = time.monotonic() + 2 * IDLE, HEAD_LIMIT
    lines: list[bytes] = []
    if not wire.buffer:
        await wire.fill(deadline)
    if not re.match(TOKEN + rb"|[\r\n]", wire.buffer):
        raise Refusal(400, "That is another protocol.")
    while True:
        line = await wire.line(max(room - 2, 0), 431 if lines else 414, deadline)
        room -= len(line) + 2
        if line and not lines and not REQUEST_LINE.fullmatch(line):
            raise Refusal(400, "That is no request line.")
        if line:
            lines.append(line)
        elif lines:
            wire.bodiless = lines[0].startswith(b"HEAD ")
            return parse_head(lines)
        elif room <= 0:
            raise Refusal(400, "Empty lines are no request.")


def parse_head(lines: list[bytes]) -> Request:
    """Make a request of its lines."""
    match = REQUEST_LINE.fullmatch(lines[0])
    if not match:
        raise Refusal(400, "That is no request line.")
    if match[3] != b"1":
        raise Refusal(505, "HTTP/1.1 is spoken here.")
    fields = []
    for line in lines[1:]:
        pair = FIELD_LINE.fullmatch(line)
        if not pair:
            raise Refusal(400, "That is no header field.")
        fields.append((pair[1].lower(), pair[2].strip(b" \t")))
    request = Request(match[1], match[2], int(match[4]), fields)
    hosts = request.all(b"host")
    if len(hosts) > 1 or (request.minor and not hosts):
        raise Refusal(400, "A request has one Host.")
    if hosts and not HOST.fullmatch(hosts[0]):
        raise Refusal(400, "That is no host.")
    request.path, request.query = split_target(request.method, request.target)
    return request


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the decoded path and the raw query of a target in any of its forms."""
    absolute = ABSOLUTE.fullmatch(target)
    if absolute and HOST.fullmatch(absolute[1]):
        rest = absolute[2] or (b"*" if method == b"OPTIONS" else b"/")
        target = b"/" + rest if rest.startswith(b"?") else rest
    if not target.startswith(b"/") and (method, target) != (b"OPTIONS", b"*"):
        raise Refusal(400, "That target is of no form known here.")
    path, _, query = target.partition(b"?")
    if b"%2f" in path[1:].partition(b"/")[0].lower():
        raise Refusal(404, "No name here has a slash in it.")
    return unquote_to_bytes(path), query


def accepts_gzip(request: Request) -> bool:
    """Say whether the client accepts gzip, and does not like the plain body better."""
    weights: dict[bytes, float] = {}
    for member in request.items(b"accept-encoding"):
        name, *parameters = [part.strip(b" \t") for part in member.split(b";")]
        match = QVALUE.fullmatch(parameters[0]) if parameters else None
        weights[name] = float(match[1]) if match else 0.0 if parameters else 1.0
    gzip = weights.get(b"gzip", weights.get(b"x-gzip", weights.get(b"*", 0.0)))
    return gzip > 0 and gzip >= weights.get(b"identity", 0.0)


def locate(name: bytes) -> bytes:
    """Return the real path of a name under the root, or refuse it."""
    parts = re.split(rb"[/\\]", name)
    if len(parts[-1]) > 255:
        raise Refusal(404, "No file has so long a name.")
    real = b"" if b"\0" in name else os.path.realpath(os.path.join(root, name.lstrip(b"/")))
    if {b".", b".."} & {*parts} or not real.startswith(root.rstrip(b"/") + b"/"):
        raise Refusal(403, "There is nothing for you out there.")
    if b"" in name.split(b"/"):
        raise Refusal(404, "A name has no empty part.")
    return real


def allowed(path: bytes) -> str:
    """Return the methods of a path as Allow lists them, nothing for an unknown path."""
    if path == b"*" or path.startswith(b"/files/"):
        return "GET, HEAD, OPTIONS, POST"
    if path == b"/echo":
        return "OPTIONS, POST"
    known = path in PAGES or path in (b"/user-agent", b"/search", b"/stream")
    return "GET, HEAD, OPTIONS" if known or path.startswith(b"/echo/") else ""


def open_plain(path: bytes) -> BinaryIO:
    """Open a file that is neither a folder nor a device."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise Refusal(403, "That is no plain file.")
        return open(path, "rb")
    except OSError:
        raise Refusal(404, "There is no such file.") from None


def download(name: bytes) -> Answer:
    """Return a file of the folder, open."""
    path = locate(name)
    file = open_plain(path)
    status = os.fstat(file.fileno())
    tag = f'W/"{status.st_mtime_ns:x}-{status.st_size:x}"'
    kind = TYPES.get(os.path.splitext(path)[1].lower(), BINARY)
    return Answer(200, kind, file, {"etag": tag, "cache-control": "no-cache"})


async def upload(body: Body, name: bytes) -> Answer:
    """Store the body as a file, all of it or nothing."""
    path = locate(name)
    if os.path.isdir(path):
        raise Refusal(409, "That is a folder.")
    handle, temporary = tempfile.mkstemp(prefix=b".upload-", dir=root)
    try:
        with open(handle, "wb") as file:
            async for piece in body:
                file.write(piece)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.chmod(temporary, 0o644)
            os.replace(temporary, path)
        except OSError:
            raise Refusal(409, "No file can have that name.") from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
    return Answer(201, content=io.BytesIO(b"stored\n"))


def scratch() -> BinaryIO:
    """Return a file without a name, in memory while it is small."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(1 << 20))


async def echo(body: Body) -> Answer:
    """Return the very body that was sent."""
    content = scratch()
    async for piece in body:
        content.write(piece)
    return Answer(200, BINARY, content)


async def respond(request: Request, body: Body) -> Answer:
    """Find the answer to a request; what of its body is left unread ends the connection."""
    path, method, allow = request.path, request.method, allowed(request.path)
    if method not in METHODS:
        raise Refusal(501, "Nobody knows that method.")
    if not allow:
        raise Refusal(404, "There is nothing here.")
    if method.decode() not in allow.split(", "):
        raise Refusal(405, "Not with that method.", allow=allow)
    if method == b"POST":
        return await (echo(body) if path == b"/echo" else upload(body, path[len(b"/files/") :]))
    if not body.awaited:
        async for _ in body:
            pass
    return Answer(200, fields={"allow": allow}) if method == b"OPTIONS" else look_up(request)


def look_up(request: Request) -> Answer:
    """Find the answer to a GET or a HEAD."""
    path, text = request.path, b""
    if path in PAGES:
        return Answer(200, HTML, io.BytesIO(PAGES[path]))
    if path.startswith(b"/files/"):
        return download(path[len(b"/files/") :])
    if path.startswith(b"/echo/"):
        text = path[len(b"/echo/") :]
    elif path == b"/user-agent":
        text = b"".join(request.all(b"user-agent")[:1])
    elif path == b"/search":
        pairs = parse_qsl(request.query.decode("ascii"), keep_blank_values=True)
        text = "".join(f"{name}: {value}\n" for name, value in pairs).encode()
    return Answer(200, PLAIN, io.BytesIO(text), ticks=path == b"/stream")


async def compress(source: BinaryIO) -> BinaryIO:
    """Return the content compressed, giving way to others at every block."""
    packer, target = zlib.compressobj(6, wbits=31), scratch()
    with source:
        while block := source.read(BLOCK):
            target.write(packer.compress(block))
            await asyncio.sleep(0)
    target.write(packer.flush())
    return target


def size_of(content: BinaryIO) -> int:
    """Return the size of a file, and go to its beginning."""
    content.seek(0, os.SEEK_END)
    size = content.tell()
    content.seek(0)
    return size


def make_head(status: int, fields: dict[str, str]) -> bytes:
    """Write the head of an answer."""
    fields = fields | {"date": formatdate(usegmt=True), "server": "coroutine/1.0"}
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def connection_fields(request: Request | None, keep: bool) -> dict[str, str]:
    """Return the Connection field, where the version does not say it already."""
    if not keep:
        return {"connection": "close"}
    return {"connection": "keep-alive"} if request and request.minor == 0 else {}


async def send_answer(wire: Wire, request: Request | None, answer: Answer, keep: bool) -> None:
    """Send an answer, compressed if that is wanted."""
    status, fields, length = answer.status, dict(answer.fields), size_of(answer.content)
    if answer.kind.startswith("text/") or answer.kind in ("application/json", "image/svg+xml"):
        fields["vary"] = "accept-encoding"
        if length and request and accepts_gzip(request):
            answer.content = await compress(answer.content)
            length = size_of(answer.content)
            fields["content-encoding"] = "gzip"
    if length or status == 200:
        fields["content-type"] = answer.kind
    tags = request.items(b"if-none-match") if request and "etag" in fields else []
    if b"*" in tags or fields.get("etag", "").lower().encode() in tags:
        status = 304
    fields |= {"content-length": str(length), "x-content-type-options": "nosniff"}
    await wire.send(make_head(status, fields | connection_fields(request, keep)))
    if status == 304 or wire.bodiless:
        length = 0
    while length:
        block = answer.content.read(min(length, BLOCK))
        if not block:
            raise EOFError("the file has become shorter")
        length -= len(block)
        await wire.send(block)


async def send_ticks(wire: Wire, request: Request, keep: bool) -> None:
    """Send the five lines of /stream as they come, in chunks if the client knows chunks."""
    fields = {"content-type": PLAIN, "x-content-type-options": "nosniff"}
    if request.minor:
        fields["transfer-encoding"] = "chunked"
    await wire.send(make_head(200, fields | connection_fields(request, keep)))
    if wire.bodiless:
        return
    for number in range(1, 6):
        line = b"tick %d\n" % number
        chunk = b'%04X;n=%d;by="a; \\"b\\""\r\n%b\r\n' % (len(line), number, line)
        await wire.send(chunk if request.minor else line)
        await asyncio.sleep(0.1)
    if request.minor:
        await wire.send(b"000;last\r\nX-Ticks: 5\r\n\r\n")


async def one_request(wire: Wire) -> bool:
    """Answer one request, and say whether the connection can go on."""
    request, body, wire.bodiless = None, None, False
    try:
        if not wire.buffer:
            await wire.fill()
    except (EOFError, asyncio.TimeoutError):
        return False
    try:
        request = await read_head(wire)
        body = Body(wire, request)
        answer = await respond(request, body)
    except Refusal as refusal:
        page = io.BytesIO(f"{refusal.status}: {refusal}\n".encode())
        answer = Answer(refusal.status, PLAIN, page, refusal.fields)
    except EOFError:
        answer = Answer(400, PLAIN, io.BytesIO(b"400: The end came too soon.\n"))
    except asyncio.TimeoutError:
        answer = Answer(408, PLAIN, io.BytesIO(b"408: That took too long.\n"))
    keep = request is not None and body is not None and body.done and request.persistent()
    log(request, answer.status)
    try:
        if request and answer.ticks:
            keep = keep and (request.minor > 0 or wire.bodiless)
            await send_ticks(wire, request, keep)
        else:
            await send_answer(wire, request, answer, keep)
    finally:
        answer.content.close()
    return keep


def log(request: Request | None, status: int) -> None:
    """Print the one line of a request."""
    what = f"{request.method.decode()} {request.target.decode()}" if request else "(no request)"
    print(f"{what} -> {status}", flush=True)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer the requests of a connection, one after another."""
    wire = Wire(reader, writer)
    try:
        while await one_request(wire):
            pass
    except (OSError, EOFError, asyncio.TimeoutError):
        pass  # the client is gone, or takes nothing
    except Exception as error:
        print(f"(a fault) {error!r}", flush=True)
    finally:
        await wire.linger()
        writer.transport.abort()


async def run() -> None:
    """Listen for ever."""
    port = int(os.environ.get("PORT", "4221"))
    server = await asyncio.start_server(
        serve, "127.0.0.1", port, backlog=512, reuse_address=True, limit=BLOCK
    )
    async with server:
        await server.serve_forever()


def main() -> None:
    """Read the command line and run."""
    global root
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default="public")
    root = os.fsencode(os.path.realpath(parser.parse_args().directory))
    os.makedirs(root, exist_ok=True)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run())


if __name__ == "__main__":
    main()

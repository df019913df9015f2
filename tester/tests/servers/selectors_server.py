"""A correct server of another make, one thread on `selectors`: a fixture of the tester's own tests.

Every connection is a generator that yields a Wait when it can do no more, and the loop resumes it.
It keeps every rule of stage 18 and, where the contract leaves a choice, chooses unlike the stages:
upper-case field names without a space after the colon, reason phrases of its own, no body on
errors, 404 for what is outside, refused bodies read to their end, silence on a timeout.
"""

import argparse
import contextlib
import io
import os
import re
import selectors
import socket
import tempfile
import time
import zlib
from collections.abc import Callable, Generator
from email.utils import formatdate
from typing import BinaryIO, NamedTuple, TypeVar, cast
from urllib.parse import quote, unquote_to_bytes

IDLE = float(os.environ.get("IDLE_TIMEOUT", "5"))
STALL = max(IDLE, 8.0)  # seconds that a client may leave an answer unread
LINGER = 2.0  # seconds that a closed connection is still drained
MAX_HEAD, MAX_LINE, MAX_BODY = 65536, 1024, 100_000_000
BLOCK = 65536

TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~]+) HTTP/1\.([0-9])")
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):([\t -~\x80-\xff]*)")
QUOTED = rb'"(?:[^"\\\0-\x08\n-\x1f\x7f]|\\[\t -~\x80-\xff])*"'
VALUE = rb"(?:" + TOKEN + rb"|" + QUOTED + rb")"
EXTENSION = rb";[\t ]*" + TOKEN + rb"(?:[\t ]*=[\t ]*" + VALUE + rb")?"
CHUNK_LINE = re.compile(rb"([0-9a-fA-F]+)(?:" + EXTENSION + rb"(?:[\t ]*" + EXTENSION + rb")*)?")
HOST = rb"(?:[A-Za-z0-9._~%-]*|\[[0-9A-Fa-f:.]*\])(?::[0-9]*)?"
ABSOLUTE = re.compile(rb"(?i:https?)://(?=[^:/?])" + HOST + rb"((?:/[^?]*)?)(\?.*)?")

STANDARD = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]
READ_ONLY, FILE_METHODS = "OPTIONS, HEAD, GET", "POST, OPTIONS, HEAD, GET"
REASONS = {200: "OK", 201: "Created", 400: "Bad Request", 404: "Not Found"}
REASONS |= {405: "Wrong Verb", 413: "Too Big", 414: "Target Too Long", 431: "Head Too Long"}
REASONS |= {417: "Unexpected Expectation", 500: "Own Fault", 501: "Never Heard Of It"}
TYPES = {
    b"html": "text/html;charset=UTF-8",
    b"css": "text/css;charset=UTF-8",
    b"js": "application/javascript;charset=UTF-8",
    b"json": "application/json",
    b"txt": "text/plain;charset=UTF-8",
    b"svg": "image/svg+xml",
    b"png": "image/png",
    b"jpg": "image/jpeg",
    b"pdf": "application/pdf",
}
PLAIN, BINARY = TYPES[b"txt"], "application/octet-stream"
PAGES = {
    b"/": b"<!DOCTYPE html><html lang=en><title>.</title><p>Hello World! One thread does it all.",
    b"/about": b"<!DOCTYPE html><html lang=en><title>?</title><p>select, resume, repeat",
    b"/blog": b"<!DOCTYPE html><html lang=en><title>!</title><p>Day 1: nothing ever blocked.",
}


class Wait(NamedTuple):
    """What a connection waits for: events (0: none) or a moment on the monotonic clock."""

    events: int
    until: float


T = TypeVar("T")
Steps = Generator[Wait, bool, T]  # is sent True when ready, False when the time has come
now = time.monotonic


class Problem(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, **fields: str) -> None:
        """Keep the status and the fields of the answer."""
        super().__init__(status)
        self.status, self.fields = status, fields


class Request(NamedTuple):
    """The head of a request, its target taken apart."""

    method: str
    target: str
    minor: int
    headers: dict[bytes, bytes]  # lower-case names; fields of one name joined by commas
    path: bytes
    query: bytes

    def members(self, name: bytes) -> list[bytes]:
        """Return a field that is a list as its members, in lower case."""
        parts = (part.strip(b" \t") for part in self.headers.get(name, b"").lower().split(b","))
        return [part for part in parts if part]

    def keeps(self) -> bool:
        """Say whether the client keeps the connection."""
        options = self.members(b"connection")
        return b"close" not in options and (self.minor >= 1 or b"keep-alive" in options)


class Answer(NamedTuple):
    """The answer to a request; without a file it is the one of /stream."""

    status: int
    kind: str
    file: BinaryIO | None
    fields: dict[str, str]


class Connection:
    """A socket and what was received from it; its methods are generators of Waits."""

    def __init__(self, sock: socket.socket) -> None:
        """Make the socket ready for the loop."""
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock, self.buffer = sock, bytearray()
        self.final = True  # no request can follow: so it is until a body has been read to its end

    def fill(self, until: float) -> Steps[None]:
        """Receive something into the buffer."""
        if not (yield Wait(selectors.EVENT_READ, until)):
            raise TimeoutError
        with contextlib.suppress(BlockingIOError):
            data = self.sock.recv(BLOCK)
            if not data:
                raise EOFError
            self.buffer += data

    def send(self, data: bytes) -> Steps[None]:
        """Send all of the data."""
        while data:
            if not (yield Wait(selectors.EVENT_WRITE, now() + STALL)):
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                data = data[self.sock.send(data) :]

    def line(self, room: int, status: int, until: float = 0) -> Steps[bytes]:
        """Receive a line of at most so many bytes, or raise this status."""
        while (end := self.line_end(room, status)) < 0:
            yield from self.fill(until or now() + IDLE)
        line = bytes(self.buffer[:end])
        del self.buffer[: end + 2]
        return line

    def line_end(self, room: int, status: int) -> int:
        """Find the CRLF that ends the first line, -1 if it has not arrived yet."""
        found = [at for at in (self.buffer.find(b"\r"), self.buffer.find(b"\n")) if at >= 0]
        end = min(found, default=len(self.buffer))
        if end > room:
            raise Problem(status)
        if self.buffer[end : end + 2] in (b"", b"\r"):
            return -1
        if self.buffer[end : end + 2] != b"\r\n":
            raise Problem(400)
        return end

    def finish(self) -> Steps[None]:
        """Close our half and read the other, so that no reset destroys what we sent."""
        until = now() + LINGER
        with contextlib.suppress(OSError, EOFError):
            self.sock.shutdown(socket.SHUT_WR)
            while True:
                self.buffer.clear()
                yield from self.fill(until)


def read_head(conn: Connection) -> Steps[Request]:
    """Receive the head of a request, which has a deadline and a limit as a whole."""
    if not conn.buffer:
        yield from conn.fill(now() + IDLE)
    until, room, lines = now() + 3 * IDLE, MAX_HEAD, list[bytes]()
    if not re.match(TOKEN + rb"|[\r\n]", conn.buffer):
        raise Problem(400)
    while True:
        line = yield from conn.line(max(room - 2, 0), 431 if lines else 414, until)
        room -= len(line) + 2
        if line and not lines and not REQUEST_LINE.fullmatch(line):
            raise Problem(400)
        if not line and lines:
            return parse_head(lines)
        if not line and room <= 0:
            raise Problem(400)
        lines += [line] if line else []


def parse_head(lines: list[bytes]) -> Request:
    """Take a head apart: b"GET /?q HTTP/1.1" ... -> Request(path=b"/", query=b"q", ...)."""
    first = REQUEST_LINE.fullmatch(lines[0])
    if not first:
        raise Problem(400)
    headers: dict[bytes, bytes] = {}
    for line in lines[1:]:
        match = FIELD_LINE.fullmatch(line)
        if not match:
            raise Problem(400)
        name, value = match[1].lower(), match[2].strip(b" \t")
        headers[name] = headers[name] + b"," + value if name in headers else value
    minor = int(first[3])
    if not re.fullmatch(HOST, headers.get(b"host", b"" if minor == 0 else b"//")):
        raise Problem(400)
    path, query = split_target(first[1], first[2])
    return Request(first[1].decode(), first[2].decode(), minor, headers, path, query)


def split_target(method: bytes, target: bytes) -> tuple[bytes, bytes]:
    """Return the path, decoded, and the query of a target, as it is."""
    if match := ABSOLUTE.fullmatch(target):
        target = (match[1] or (b"*" if method == b"OPTIONS" else b"/")) + (match[2] or b"")
    elif not target.startswith(b"/") and (method, target) != (b"OPTIONS", b"*"):
        raise Problem(400)
    path, _, query = target.partition(b"?")
    first, slash, rest = path.removeprefix(b"/").partition(b"/")
    first = path[:1] * path.startswith(b"/") + unquote_to_bytes(first).replace(b"/", b"%2F")
    return first + slash + unquote_to_bytes(rest), query


def body_size(request: Request) -> int:
    """Return the declared length of the body, -1 if it comes in chunks."""
    length = request.headers.get(b"content-length")
    if b"transfer-encoding" in request.headers:
        codings = request.members(b"transfer-encoding")
        if length is not None or request.minor == 0 or not codings or b"chunked" in codings[:-1]:
            raise Problem(400)
        if codings != [b"chunked"]:
            raise Problem(501)
        return -1
    if length is None:
        return 0
    if not re.fullmatch(rb"[0-9]+", length):
        raise Problem(400)
    digits = length.lstrip(b"0")[:20] or b"0"
    if int(digits) > MAX_BODY:
        raise Problem(413)
    return int(digits)


def read_bytes(conn: Connection, count: int, write: Callable[[bytes], object]) -> Steps[None]:
    """Receive so many bytes and write them."""
    while count:
        if not conn.buffer:
            yield from conn.fill(now() + IDLE)
        data = bytes(conn.buffer[:count])
        del conn.buffer[:count]
        count -= len(data)
        write(data)


def read_chunks(conn: Connection, write: Callable[[bytes], object]) -> Steps[None]:
    """Receive chunks and trailers, and write the data of the chunks."""
    total = 0
    while True:
        match = CHUNK_LINE.fullmatch((yield from conn.line(MAX_LINE, 400)))
        if not match:
            raise Problem(400)
        size = int(match[1], 16)
        total += size
        if total > MAX_BODY:
            raise Problem(413)
        if size == 0:
            break
        yield from read_bytes(conn, size, write)
        yield from conn.line(0, 400)
    room = MAX_HEAD
    while trailer := (yield from conn.line(room, 431)):
        room = max(room - len(trailer), 0)
        if not FIELD_LINE.fullmatch(trailer):
            raise Problem(400)


def read_body(
    conn: Connection, request: Request, size: int, write: Callable[[bytes], object] | None
) -> Steps[None]:
    """Read the body to its end, or leave it if nobody wants it and the client would rather ask."""
    if size and request.minor > 0 and b"expect" in request.headers:
        if write is None:
            return
        yield from conn.send(b"HTTP/1.1 100 Go On\r\n\r\n")
    if size < 0:
        yield from read_chunks(conn, write or len)
    else:
        yield from read_bytes(conn, size, write or len)
    conn.final = not request.keeps()


def find_problem(request: Request) -> Problem | None:
    """Return what is wrong with a request apart from its body; OPTIONS is answered here too."""
    path = request.path
    if request.method not in STANDARD:
        return Problem(501)
    if request.minor and any(word != b"100-continue" for word in request.members(b"expect")):
        return Problem(417)
    if path.startswith(b"/files/") or path == b"*":
        allow = FILE_METHODS
    elif path == b"/echo":
        allow = "POST, OPTIONS"
    elif path.startswith(b"/echo/") or path in (*PAGES, b"/user-agent", b"/search", b"/stream"):
        allow = READ_ONLY
    else:
        return Problem(404)
    if request.method == "OPTIONS":
        return Problem(200, ALLOW=allow)
    return None if request.method in allow.split(", ") else Problem(405, ALLOW=allow)


def locate(name: bytes) -> bytes:
    """Return the real path of a name in the folder; what is outside is as good as absent."""
    if b"\0" in name or not {b"", b"."}.isdisjoint(name.split(b"/")):
        raise Problem(404)
    path = os.path.realpath(os.path.join(root, name))
    outside = os.path.commonpath([root, path]) != root or path == root
    too_long = len(os.path.basename(path)) > 255
    if outside or too_long or b".." in name.replace(b"\\", b"/").split(b"/"):
        raise Problem(404)
    return path


def open_file(path: bytes) -> BinaryIO:
    """Open a file that can be read."""
    if not os.path.isfile(path) or not os.access(path, os.R_OK):
        raise Problem(404)
    return open(path, "rb")


def store(conn: Connection, request: Request, size: int) -> Steps[Answer]:
    """Write the body into a temporary file, and give it its name when all of it is there."""
    try:
        path = locate(request.path[len(b"/files/") :])
        if os.path.isdir(path) or not os.path.isdir(os.path.dirname(path)):
            raise Problem(404)
    except Problem:
        yield from read_body(conn, request, size, None)
        raise
    handle, temporary = tempfile.mkstemp(b".part", b".", os.path.dirname(path))
    try:
        with open(handle, "wb") as file:
            yield from read_body(conn, request, size, file.write)
        os.chmod(temporary, 0o644)
        try:
            os.rename(temporary, path)
        except OSError:
            raise Problem(404) from None
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
    return Answer(201, "", io.BytesIO(), {"LOCATION": quote(request.path)})


def answer_request(conn: Connection, request: Request) -> Steps[Answer]:
    """Read the body of a request and find the answer."""
    size, path, problem = body_size(request), request.path, find_problem(request)
    if request.method == "POST" and not problem:
        if path != b"/echo":
            return (yield from store(conn, request, size))
        file = scratch()
        yield from read_body(conn, request, size, file.write)
        return Answer(200, BINARY, file, {})
    yield from read_body(conn, request, size, None)
    if problem:
        raise problem
    if path in PAGES:
        return Answer(200, TYPES[b"html"], io.BytesIO(PAGES[path]), {})
    if path == b"/stream":
        return Answer(200, PLAIN, None, {"CACHE-CONTROL": "no-store"})
    if path.startswith(b"/files/"):
        real = locate(path[len(b"/files/") :])
        kind = TYPES.get(os.path.splitext(real)[1][1:].lower(), BINARY)
        return Answer(200, kind, open_file(real), {"ACCEPT-RANGES": "none"})
    text = request.headers.get(b"user-agent", b"(none)")
    if path == b"/search":
        text = b"\n".join(search_line(piece) for piece in request.query.split(b"&") if piece)
    elif path.startswith(b"/echo/"):
        text = path[len(b"/echo/") :]
    return Answer(200, PLAIN, io.BytesIO(text), {})


def search_line(piece: bytes) -> bytes:
    """Decode a parameter: b"q=a+b%26c" -> b"q: a b&c"."""
    name, _, value = piece.replace(b"+", b" ").partition(b"=")
    return unquote_to_bytes(name) + b": " + unquote_to_bytes(value)


def wants_gzip(request: Request) -> bool:
    """Say whether the client takes gzip, by name or by `*`."""
    answer = {}
    for member in request.members(b"accept-encoding"):
        coding, _, weight = member.replace(b" ", b"").replace(b"\t", b"").partition(b";")
        match = re.fullmatch(rb"q=(0?\.\d+|[01](?:\.0*)?)", weight)
        answer[coding] = float(match[1]) if match else float(not weight)
    gzip = answer.get(b"gzip", answer.get(b"*", 0.0))
    return gzip > 0 and gzip >= answer.get(b"identity", 0.0)


def scratch() -> BinaryIO:
    """Return a file without a name."""
    return cast(BinaryIO, tempfile.SpooledTemporaryFile(1 << 18))


def pack(source: BinaryIO) -> Steps[BinaryIO]:
    """Compress a file, a block each time that the loop comes round."""
    packer, target = zlib.compressobj(1, wbits=31), scratch()
    with source:
        while block := source.read(BLOCK):
            target.write(packer.compress(block))
            yield Wait(0, 0)
    target.write(packer.flush())
    return target


def write_head(status: int, fields: dict[str, str], final: bool) -> bytes:
    """Write the head of an answer, which always says what becomes of the connection."""
    fields = {"SERVER": "one-thread", "DATE": formatdate(usegmt=True), **fields}
    fields["X-CONTENT-TYPE-OPTIONS"] = "nosniff"
    fields["CONNECTION"] = "Close" if final else "Keep-Alive"
    lines = [f"HTTP/1.1 {status} {REASONS[status]}", *map(":".join, fields.items()), "", ""]
    return "\r\n".join(lines).encode("latin-1")


def send_answer(conn: Connection, request: Request | None, answer: Answer) -> Steps[None]:
    """Send an answer that has a length."""
    file, fields = cast(BinaryIO, answer.file), dict(answer.fields)
    if answer.kind:
        fields["CONTENT-TYPE"] = answer.kind
    if answer.kind.startswith(("text/", "application/j")):
        fields["VARY"] = "Origin, Accept-Encoding"
        if request and wants_gzip(request) and file_size(file):
            file = yield from pack(file)
            fields["CONTENT-ENCODING"] = "GZIP"
    size = file_size(file)
    fields["CONTENT-LENGTH"] = str(size)
    head = write_head(answer.status, fields, conn.final)
    if request and request.method == "HEAD":
        size = 0
    with file:
        first = file.read(min(size, BLOCK))
        yield from conn.send(head + first)
        size -= len(first)
        while size and (block := file.read(min(size, BLOCK))):
            yield from conn.send(block)
            size -= len(block)
    conn.final |= size > 0  # the file has become shorter


def file_size(file: BinaryIO) -> int:
    """Return the size of a file and rewind it."""
    file.seek(0, os.SEEK_END)
    size = file.tell()
    file.seek(0)
    return size


def send_ticks(conn: Connection, request: Request, answer: Answer) -> Steps[None]:
    """Send /stream in chunks; HEAD does not say how, and HTTP/1.0 gets it whole."""
    lines = [b"tick %d\n" % number for number in range(1, 6)]
    if request.minor == 0:
        whole = answer._replace(file=io.BytesIO(b"".join(lines)))
        return (yield from send_answer(conn, request, whole))
    fields = {"CONTENT-TYPE": answer.kind, **answer.fields}
    if request.method == "HEAD":
        return (yield from conn.send(write_head(200, fields, conn.final)))
    fields["TRANSFER-ENCODING"] = "Chunked"
    yield from conn.send(write_head(200, fields, conn.final))
    for line in lines:
        yield from conn.send(b"%x\r\n%b\r\n" % (len(line), line))
        yield Wait(0, now() + 0.1)
    yield from conn.send(b"0\r\n\r\n")
    return None


def one_request(conn: Connection) -> Steps[None]:
    """Read one request and answer it."""
    request, conn.final = None, True
    try:
        request = yield from read_head(conn)
        answer = yield from answer_request(conn, request)
    except Problem as problem:
        answer = Answer(problem.status, "", io.BytesIO(), problem.fields)
    print(f"{answer.status} {request.method} {request.target}" if request else answer.status)
    if request and not answer.file:
        yield from send_ticks(conn, request, answer)
    else:
        yield from send_answer(conn, request, answer)


def serve(conn: Connection) -> Steps[None]:
    """Live the life of a connection."""
    try:
        conn.final = False
        while not conn.final:
            yield from one_request(conn)
    except (OSError, EOFError):
        pass  # the client is gone, silent, or takes nothing
    except Exception as fault:
        print("fault:", repr(fault))
    yield from conn.finish()


class Loop:
    """The loop that resumes every connection when what it waits for has come."""

    def __init__(self, port: int) -> None:
        """Listen."""
        self.selector = selectors.DefaultSelector()
        self.tasks: dict[socket.socket, tuple[Steps[None], Wait]] = {}
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", port))
        self.listener.listen(1024)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)

    def run(self) -> None:
        """Run for ever."""
        while True:
            first = min((wait.until for _, wait in self.tasks.values()), default=now() + 60)
            ready = {key.fileobj for key, _ in self.selector.select(max(0, first - now()))}
            if self.listener in ready:
                self.accept()
            for sock, (steps, wait) in list(self.tasks.items()):
                if sock in ready or wait.until <= now():
                    self.resume(sock, steps, wait.events, sock in ready)

    def accept(self) -> None:
        """Take in a client that has connected."""
        with contextlib.suppress(OSError):
            sock, _ = self.listener.accept()
            self.resume(sock, serve(Connection(sock)), 0, None)

    def resume(self, sock: socket.socket, steps: Steps[None], old: int, ready: bool | None) -> None:
        """Run a connection up to its next Wait, or to its end."""
        try:
            wait = steps.send(cast(bool, ready))
        except StopIteration:
            wait = None
        new = wait.events if wait else 0
        if new != old:
            if not old:
                self.selector.register(sock, new)
            elif new:
                self.selector.modify(sock, new)
            else:
                self.selector.unregister(sock)
        if wait:
            self.tasks[sock] = steps, wait
        else:
            del self.tasks[sock]
            sock.close()


def main() -> None:
    """Read the command line and run."""
    global root
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--directory", default="public")
    root = os.fsencode(os.path.realpath(parser.parse_args().directory))
    with contextlib.suppress(KeyboardInterrupt):
        Loop(int(os.environ.get("PORT", "4221"))).run()


root = b""  # the real path of the folder that is served
if __name__ == "__main__":
    main()

"""Stage 16: Support HTTP Compression.

Can:     send text compressed to clients that can unpack it.
Cannot:  take a request that comes before the last one is answered.
New:     `accepts_gzip`, and the fields `Content-Encoding` and `Vary`.
RFC:     9110 sections 8.4 (Content-Encoding), 12.5.3 (Accept-Encoding), 12.5.5 (Vary)
"""

import argparse
import contextlib
import gzip
import os
import re
import resource
import signal
import socket
import struct
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import parse_qsl, unquote

# --- Settings -------------------------------------------------------------------------------------

HOST = "127.0.0.1"  # The loopback address: only programs on this machine can connect.
PIECE = 64 * 1024  # Bytes handled at a time: large enough to be fast, small enough to forget.
LINGER = 1.0  # Seconds that we wait for a client to hang up when we are done. nginx: 5.
MAX_LINGER = 5.0  # Seconds in all, while it still sends a body that we have refused. nginx: 30.
MAX_HEAD = 64 * 1024  # Bytes. Browsers send 1 to 8 KB; Node's limit is 16 KB, nginx's 32 KB.
MAX_CONNECTIONS = 1500  # Each costs a thread, some 30 KB, and three descriptors at most.
MAX_BODY = 100 * 1024 * 1024  # Bytes. nginx allows 1 MB unless told otherwise.
settings = argparse.Namespace()  # Filled in by `read_settings`
CLIENT_GONE = (ConnectionError, BlockingIOError, TimeoutError)  # It has left, or says nothing.
slots = threading.Semaphore(MAX_CONNECTIONS)
log_lock = threading.Lock()  # One line at a time
busy: set[threading.Thread] = set()  # Those that have a request in hand
stopping = threading.Event()  # Set when no connection is to be kept any more

# --- Requests: from bytes to a Request ------------------------------------------------------------

TOKEN = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"  # RFC 9110 section 5.6.2: the letters of a name
VISIBLE = "[!-~]"  # All that a target may hold: no space, no control character, no byte above 127
REQUEST_LINE = re.compile(rf"({TOKEN}) ({VISIBLE}+) HTTP/([0-9])\.([0-9])")  # RFC 9112 section 3
AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|([!$&'()*+\-.;=_~0-9A-Za-z]|%[0-9A-Fa-f]{2})+)(:[0-9]*)?"
TARGET = re.compile(rf"\S+ (/[^#]*|(?i:http)://{AUTHORITY}([/?][^#]*)?)|OPTIONS \*")
HOST_VALUE = re.compile(rf"({AUTHORITY})?")  # Section 3.2: it may be empty.
FIELD_LINE = re.compile(rf"({TOKEN}):([\t -~\x80-\xff]*)")  # Section 5: no control characters
BEGINNING = re.compile(rf"{TOKEN}( |\Z)|\Z".encode())  # A method, as far as it has come
END_OF_HEAD = re.compile(rb"\r\n\r\n|\r[^\n]|\n(?<!\r\n)")  # Or a wrong line end: never wait then.


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
    query: str
    minor: int  # The version is HTTP/1 and this.
    fields: dict[str, str]  # By their names in lower case
    body: Iterable[bytes] = ()


def receive(connection: socket.socket) -> bytes:
    """Return the bytes that come next. Raises ConnectionError if the client has left."""
    if data := connection.recv(PIECE):
        return data
    raise ConnectionError("the client has left")


@dataclass
class Reader:
    """Reads from a connection; `buffer` holds what has come and nobody has used yet."""

    connection: socket.socket
    buffer: bytes = b""

    def read_until(self, ending: re.Pattern[bytes], too_long: str) -> str:
        """Return the text before `ending`. Raises HTTPError where there is none."""
        searched, judged = 0, False
        self.buffer = self.buffer or receive(self.connection)
        deadline = time.monotonic() + settings.idle_timeout  # From its first byte, drip or not
        while not (match := ending.search(self.buffer, searched, MAX_HEAD)):
            judged = judged or self.judge_request_line()  # Never wait for what is wrong already.
            in_target = b"\n" not in self.buffer[:MAX_HEAD]
            require(len(self.buffer) < MAX_HEAD, "414 URI Too Long" if in_target else too_long)
            searched = max(0, len(self.buffer) - 3)  # The ending may have come in part.
            require(time.monotonic() < deadline, "408 Request Timeout")
            self.buffer += receive(self.connection)
        if not judged and not match[0].startswith(b"\r\n"):
            self.judge_request_line()  # Of two mistakes, the first one counts.
        require(match[0].startswith(b"\r\n"))
        taken, self.buffer = self.buffer[: match.start()], self.buffer[match.end() :]
        return taken.decode("latin-1")

    def judge_request_line(self) -> bool:
        """Return whether it is there. Raises HTTPError if it is wrong, or can only become wrong."""
        line, end, _ = self.buffer.partition(b"\r\n")
        require(BEGINNING.match(line[:100]))
        if end:
            parse_request_line(line.decode("latin-1"))
        return bool(end)

    def read_pieces(self, length: int) -> Iterator[bytes]:
        """Yield the next `length` bytes in pieces, each as soon as it is there."""
        while length > 0:
            self.buffer = self.buffer or receive(self.connection)
            piece, self.buffer = self.buffer[:length], self.buffer[length:]
            length -= len(piece)
            yield piece


def split_target(target: str) -> tuple[str, str]:
    """`"/echo/a%20b?x=1"` -> `("/echo/a b", "x=1")`. What is no escape stays as it is."""
    path, _, query = re.sub("(?i)^http://[^/?#@]+", "", target).partition("?")  # %3F is no `?`
    # The first segment names the page. An escaped `/` in it divides nothing, so it stays escaped.
    first = re.match("/?[^/]*", path)[0]
    path = re.sub("(?i)%2f", "%252F", first) + path[len(first) :]
    return unquote(path or "/", errors="surrogateescape"), query


def parse_fields(lines: list[str]) -> dict[str, str]:
    """`["Host: here", "X: 1", "x: 2"]` -> `{"host": "here", "x": "1, 2"}`. Raises HTTPError."""
    fields: dict[str, str] = {}
    for line in lines:
        match = require(FIELD_LINE.fullmatch(line))
        name, value = match[1].lower(), match[2].strip(" \t")
        fields[name] = f"{fields[name]}, {value}" if name in fields else value
    return fields


def parse_request_line(line: str) -> tuple[str, str, str]:
    """`"GET /cats HTTP/1.1"` -> `("GET", "/cats", "1")`. Raises HTTPError."""
    method, target, major, minor = require(REQUEST_LINE.fullmatch(line)).groups()
    require(major == "1", "505 HTTP Version Not Supported")
    require(TARGET.fullmatch(f"{method} {target}"))
    return method, target, minor


def parse_request(head: str) -> Request:
    """`"GET /cats HTTP/1.1\\r\\n…"` -> `Request("GET", "/cats", …)`. Raises HTTPError."""
    line, *lines = head.split("\r\n")
    method, target, minor = parse_request_line(line)
    fields = parse_fields(lines)
    require("host" in fields or minor == "0")
    require(HOST_VALUE.fullmatch(fields.get("host", "")))  # Two, joined: none.
    return Request(method, target, *split_target(target), int(minor), fields)


def body_length(request: Request) -> int:
    """Return the bytes in the body (RFC 9112 section 6.3). Raises HTTPError."""
    require("transfer-encoding" not in request.fields, "501 Not Implemented")
    digits = request.fields.get("content-length", "0")
    require(re.fullmatch("[0-9]+", digits))  # Two of them, joined by a comma, are no number either.
    length = int(digits.lstrip("0")[:15] or "0")  # Fifteen digits are enough to be too large.
    require(length <= MAX_BODY, "413 Content Too Large")
    return length


def read_body(reader: Reader, request: Request, length: int) -> Iterator[bytes]:
    """Yield the body; ask for it first if the client waits for that (RFC 9110 section 10.1.1)."""
    if "100-continue" in request.fields.pop("expect", "").lower() and request.minor > 0:
        reader.connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    yield from reader.read_pieces(length)


# --- Responses: from a Request to a Response, and to bytes ----------------------------------------

TEXT, HTML = "text/plain; charset=utf-8", "text/html; charset=utf-8"
BINARY = "application/octet-stream"
CONTENT_TYPES = {".html": HTML, ".txt": TEXT, ".jpg": "image/jpeg", ".pdf": "application/pdf"}
CONTENT_TYPES |= {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
CONTENT_TYPES |= {".json": "application/json", ".svg": "image/svg+xml", ".png": "image/png"}
CONTENT_TYPES |= {".jpeg": "image/jpeg", ".gif": "image/gif", ".ico": "image/vnd.microsoft.icon"}
CONTENT_TYPES |= {".mjs": CONTENT_TYPES[".js"], ".wasm": "application/wasm", ".woff2": "font/woff2"}
COMPRESSIBLE = ("text/", "application/json", "image/svg+xml")  # The others are packed already.
http_date = lru_cache(maxsize=1)(formatdate)  # All responses of one second share it.
PAGES = {"/": "Hello World!", "/about": "A server in one file", "/blog": "Today I learned to route"}


@dataclass
class Response:
    """What the client gets."""

    status: str = "200 OK"
    body: bytes | Iterator[bytes] = b""
    content_type: str = TEXT
    fields: dict[str, str] = field(default_factory=dict)  # Those that not every response has
    keep: bool = False  # Whether the connection stays open
    length: int | None = None  # Bytes in the body

    def __post_init__(self) -> None:
        """Count the bytes that are at hand; everywhere else a body is an iterator of pieces."""
        if isinstance(self.body, bytes):
            self.body, self.length = iter([self.body]), len(self.body)


def error_page(status: str) -> Response:
    """`"404 Not Found"` -> an answer that says so."""
    return Response(status, f"{status}\n".encode())


def show_page(request: Request) -> Response:
    """Answer with one of our own pages."""
    html = f"<!doctype html><title>{PAGES[request.path]}</title><h1>{PAGES[request.path]}</h1>"
    return Response(body=html.encode(), content_type=HTML)


def echo_path(request: Request) -> Response:
    """`/echo/hello` -> `hello`."""
    return Response(body=request.path.removeprefix("/echo/").encode("utf-8", "surrogateescape"))


def show_user_agent(request: Request) -> Response:
    """Answer with the name of the client's program."""
    return Response(body=request.fields.get("user-agent", "").encode("latin-1"))


def list_parameters(request: Request) -> Response:
    """`/search?q=a%26b&n=1` -> the lines `q: a&b` and `n: 1`."""
    pairs = parse_qsl(request.query, keep_blank_values=True, errors="surrogateescape")
    lines = "".join(f"{name}: {value}\n" for name, value in pairs)
    return Response(body=lines.encode("utf-8", "surrogateescape"))


def read_file(file: BinaryIO, length: int) -> Iterator[bytes]:
    """Yield a file in pieces: a large one needs no more memory than a small one."""
    with file:
        file.seek(0)
        while piece := file.read(min(length, PIECE)):
            length -= len(piece)
            yield piece
    if length:
        raise OSError("the file has become shorter than we promised")


def find_file(request: Request) -> Path | None:
    """`/files/a/b.txt` -> the Path of that file, though there may be none; None: no such place."""
    name = request.path.removeprefix("/files/")
    # One file has one name: no empty segment, no `.` or `..`, and no `/` that is escaped.
    if {"", ".", ".."} & {*name.split("/")} or "%2f" in request.target.lower().partition("?")[0]:
        return None
    try:  # realpath follows links: what is compared is where the file really is.
        path = Path(os.path.realpath(settings.directory / name))
        with contextlib.suppress(FileNotFoundError):
            path.stat()  # It raises if a name is too long. From Python 3.14 on, is_dir does not.
        return path if path.is_relative_to(settings.directory) and not path.is_dir() else None
    except (OSError, ValueError):  # A name that is too long, or that holds a NUL
        return None


def show_file(request: Request) -> Response:
    """Answer with the file that the path names."""
    if not (path := find_file(request)) or not path.is_file() or not os.access(path, os.R_OK):
        return error_page("404 Not Found")
    file = path.open("rb")
    size = os.fstat(file.fileno()).st_size  # Of this very file, whatever has its name by now
    content_type = CONTENT_TYPES.get(path.suffix.lower(), BINARY)
    return Response(body=read_file(file, size), content_type=content_type, length=size)


def echo_body(request: Request) -> Response:
    """Answer with the very body that was sent."""
    copy = tempfile.SpooledTemporaryFile(PIECE)  # A file, once it is large
    copy.writelines(request.body)
    return Response(body=read_file(copy, copy.tell()), content_type=BINARY, length=copy.tell())


def store_file(request: Request) -> Response:
    """Store the body under the name in the path: the whole of it, or nothing."""
    path = require(find_file(request), "404 Not Found")
    require(path.parent.is_dir() and os.access(path.parent, os.W_OK), "404 Not Found")
    with tempfile.TemporaryDirectory(prefix=".", dir=path.parent) as folder:
        upload = Path(folder, "upload")
        with upload.open("xb") as file:
            file.writelines(request.body)
        upload.replace(path)  # In one step: a reader gets the old file or the new one, never half.
    return Response("201 Created")


GET_ROUTES: dict[str, Callable] = {
    **dict.fromkeys(PAGES, show_page),
    "/echo/": echo_path,
    "/user-agent": show_user_agent,
    "/search": list_parameters,
    "/files/": show_file,
}
POST_ROUTES: dict[str, Callable] = {"/echo": echo_body, "/files/": store_file}
ROUTES = {"GET": GET_ROUTES, "HEAD": GET_ROUTES, "POST": POST_ROUTES}
KNOWN_METHODS = {*ROUTES, "OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "CONNECT"}


def respond(request: Request) -> Response:
    """Choose the answer to `request`."""
    path, prefix = request.path, request.path[: request.path.find("/", 1) + 1]  # Or ""
    routes = ROUTES.get(request.method, {})
    if handler := routes.get(path) or routes.get(prefix):
        return handler(request)
    require(request.method in KNOWN_METHODS, "501 Not Implemented")
    if allowed := ", ".join(name for name in ROUTES if {path, prefix} & {"*", *ROUTES[name]}):
        status = "200 OK" if request.method == "OPTIONS" else "405 Method Not Allowed"
        return Response(status, fields={"Allow": f"OPTIONS, {allowed}"})
    return error_page("404 Not Found")


def accepts_gzip(accepted: str) -> bool:
    """`"br, gzip;q=0.8"` -> `True`, `"gzip;q=0, *"` -> `False` (RFC 9110 section 12.5.3)."""
    weights = {}
    for coding, _, weight in (item.partition(";") for item in accepted.lower().split(",")):
        number = re.fullmatch(r"[ \t]*q=([01](\.[0-9]*)?)[ \t]*", weight)
        weights[coding.strip(" \t")] = float(number[1]) if number else 1.0
    others = weights.get("*", 0.0)  # Those that have no weight of their own
    packed = weights.get("gzip", weights.get("x-gzip", others))  # Two names for one coding
    plain = weights.get("identity", others)
    return packed > 0 and packed >= plain  # Where both are as welcome, the shorter one


def fit_to_client(request: Request, response: Response) -> Response:
    """Adapt the response to what this client can take and wants."""
    options = request.fields.get("connection", "").lower().replace(",", " ").split()
    stays = request.minor > 0 or "keep-alive" in options
    unasked = "expect" in request.fields  # It waits to be asked for a body: one may come, or not.
    response.keep = stays and not (unasked or "close" in options or stopping.is_set())
    if response.length and response.content_type.startswith(COMPRESSIBLE):
        response.fields["Vary"] = "Accept-Encoding"  # Caches, this is not for every client.
        if (accepted := request.fields.get("accept-encoding")) and accepts_gzip(accepted):
            response.fields["Content-Encoding"] = "gzip"
            packed = tempfile.SpooledTemporaryFile(PIECE)
            with gzip.open(packed, "wb", compresslevel=6) as packer:
                packer.writelines(response.body)
            response.body, response.length = read_file(packed, packed.tell()), packed.tell()
    return response


def build_head(response: Response) -> bytes:
    """Return all that comes before the body, down to the empty line that ends it."""
    lines = [f"HTTP/1.1 {response.status}"]
    fields = {
        "Date": http_date(int(time.time()), usegmt=True),
        "Server": "eighteen-stages",
        "Connection": "keep-alive" if response.keep else "close",
        "Content-Type": response.content_type,
        "X-Content-Type-Options": "nosniff",  # Browsers, do not guess another type.
        "Content-Length": str(response.length),
        **response.fields,
    }
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def send_response(connection: socket.socket, response: Response) -> None:
    """Send the head, then the body."""
    connection.sendall(build_head(response) + next(response.body, b""))  # Both in one go
    for piece in response.body:
        connection.sendall(piece)


# --- Connections: who is served, and how long -----------------------------------------------------


def log(request: Request | None, response: Response) -> None:
    """Print one line for a request, in the Common Log Format that most servers share."""
    what = "-"
    if request:
        target = request.target.replace('"', "%22")  # A quote would seem to end the request.
        what = f'"{request.method} {target} HTTP/1.{request.minor}"'
    now = time.strftime("[%d/%b/%Y:%H:%M:%S %z]")  # HOST: all clients are on this machine.
    with log_lock, contextlib.suppress(OSError):  # Nobody reads the log any more? Serve on.
        print(f"{HOST} - - {now} {what} {response.status[:3]} {response.length or '-'}", flush=True)


def hang_up(connection: socket.socket) -> None:
    """Close, but let the client read to the end first: bytes left unread would make it a reset."""
    deadline = time.monotonic() + MAX_LINGER
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(LINGER)
        while time.monotonic() < deadline and connection.recv(PIECE):
            pass
    connection.close()


def serve_request(connection: socket.socket) -> bool:
    """Read one request and answer it; return whether there may be another."""
    head, request = "", None
    reader = Reader(connection)
    try:
        head = reader.read_until(END_OF_HEAD, "431 Request Header Fields Too Large")
        busy.add(threading.current_thread())
        request = parse_request(head)
        request.body = read_body(reader, request, body_length(request))
        response = fit_to_client(request, respond(request))
    except HTTPError as error:
        response = error_page(str(error))
    except CLIENT_GONE:
        raise
    except Exception:  # A mistake of ours: the client gets an answer all the same.
        traceback.print_exc()
        response = error_page("500 Internal Server Error")
    if re.match(r"(\r\n)*HEAD ", head or reader.buffer.decode("latin-1")):  # It may be unread.
        response.body = iter(())  # All else stays as it would be for GET.
    if not settings.quiet:
        log(request, response)
    send_response(connection, response)
    for _ in request.body if response.keep else ():
        pass  # What the handler left of it must not be taken for the next request.
    return response.keep


def serve_connection(connection: socket.socket) -> None:
    """Serve one client, whatever it does, and hang up."""
    try:
        with contextlib.suppress(*CLIENT_GONE):  # There is nobody to tell.
            for option, times in ((socket.SO_RCVTIMEO, 1), (socket.SO_SNDTIMEO, 12)):
                limit = divmod(int(times * settings.idle_timeout * 10**6), 10**6)  # s, and µs
                connection.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", *limit))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # Hold nothing back.
            while serve_request(connection):
                busy.discard(threading.current_thread())  # The next one is not yet in hand.
    except Exception:  # A file can't be read any more: it is too late for another status.
        traceback.print_exc()
    finally:
        hang_up(connection)
        busy.discard(threading.current_thread())
        slots.release()


def serve_forever(listener: socket.socket) -> None:
    """Serve each client in a thread of its own, so that nobody waits for somebody slow."""
    while True:
        slots.acquire()
        try:
            connection, _ = listener.accept()
            threading.Thread(target=serve_connection, args=(connection,), daemon=True).start()
        except RuntimeError:  # No thread is left. Do not let this client wait for nothing.
            connection.close()
            slots.release()
        except OSError:  # No descriptor is left: others will end soon.
            slots.release()
            time.sleep(0.1)


def finish_requests() -> None:
    """Wait until the requests in hand are answered, but not for long."""
    stopping.set()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)  # Once more, and it ends at once.
    deadline = time.monotonic() + 1.8  # Seconds
    for thread in list(busy):
        thread.join(max(0, deadline - time.monotonic()))


def seconds(text: str) -> float:
    """`"2.5"` -> `2.5`. Raises ArgumentTypeError or ValueError for what nobody can wait for."""
    number = float(text)
    if not 0.001 <= number <= 10**9:  # Nor is `nan`, which compares as False.
        raise argparse.ArgumentTypeError(f"{text} is not between 0.001 and 10**9 seconds")
    return number


def read_settings(arguments: list[str]) -> None:
    """Fill in `settings` from the command line and the environment."""
    parser = argparse.ArgumentParser(usage=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "4221"))
    parser.add_argument("--idle-timeout", type=seconds, default=os.environ.get("IDLE_TIMEOUT", "5"))
    parser.add_argument("--directory", type=lambda text: Path(text).resolve(), default="public")
    parser.add_argument("--quiet", action="store_true", help="print no line for each request")
    parser.parse_known_args(arguments, settings)
    if settings.directory != Path("public").resolve() and not settings.directory.is_dir():
        parser.error(f"there is no folder {settings.directory}")


def open_listener() -> socket.socket:
    """Return a socket that waits for clients on our port."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # Let a restart have it back.
    try:
        listener.bind((HOST, settings.port))
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"Can't use port {settings.port}: {error}. Free it, or set PORT.\n")
        raise SystemExit(2) from None
    now, most = resource.getrlimit(resource.RLIMIT_NOFILE)  # Descriptors: ours, and if we ask
    if now < 4 * MAX_CONNECTIONS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 4 * MAX_CONNECTIONS), most))
    listener.listen(MAX_CONNECTIONS)  # So many may wait to be accepted.
    return listener


if __name__ == "__main__":
    read_settings(sys.argv[1:])
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # As Ctrl-C
    with contextlib.suppress(KeyboardInterrupt), open_listener() as listener:
        print(f"Listening on http://{HOST}:{listener.getsockname()[1]}", file=sys.stderr)
        serve_forever(listener)
    finish_requests()

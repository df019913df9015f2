"""Fuzzes how our last server reads requests, beside h11 and llhttp (Node's parser): `make fuzz`.

`python -m tester.fuzz [SECONDS] [--seed N]`. Requests are made up, well-formed ones and broken
ones, and read by all three in this process, whole and in pieces, and by the running server over a
real socket. Where the readers differ, either EXPLAINED knows why, or it is a finding: its bytes and
its seed are printed, and the exit code is 1.
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import random
import re
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import h11
import httptools

from tester.arguments import OneLineParser
from tester.attempt import Address, Attempt, Server
from tester.ladder import get_stage
from tester.masks import hide_fields
from tester.response import Malformed, Response, ResponseReader
from tester.wire import Connection, WireError

SECONDS = 30.0
LONG = 70 * 1024  # Bytes: more than our server takes as a head.
PATIENCE = 20.0  # Seconds for the server to answer and close; only a hang takes so long.
INCOMPLETE = "incomplete"
MOST_FINDINGS = 10  # More of them tell no more.

# --- Making requests up ---------------------------------------------------------------------------

METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "get", "M-SEARCH", "X!#$%&'*+.^_`|~")
TARGETS = (
    *("/", "/about", "/echo/a%20b", "/echo/", "/echo/%2e%2E/%00%zz%", "/user-agent", "//a//b"),
    *("/search?q=a%26b&n=1", "/search?a?b=/;c&&=", "/echo/%3F?x", "/~!$&'()*+,;=:@[]{}|\\^`<>"),
    *("http://a/echo/b", "HTTP://a:80?q=1", "https://[::1]:8/", "http://a", "*", "a:80", "a"),
    *(
        "http://u@a/",
        "http:///",
        "http://:80/",
        "ftp://a/",
        "/a#b",
        '/"',
        "/\xe9",
        "/\x7f",
        "?",
        "",
    ),
)
VERSIONS = ("HTTP/1.1",) * 8 + ("HTTP/1.0",) * 3 + ("HTTP/1.2",)
ODD_VERSIONS = (
    *("HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "HTTP/1.10", "HTTP/1", "http/1.1", "HTTP/ 1.1", ""),
    *("HTTPS/1.1", "HTTP/11", "HTTP/\xb9.1"),
)
HOSTS = (
    "a",
    "a:80",
    "[::1]:80",
    "localhost",
    "",
    "a%20b",
    "a/b",
    "u@a",
    "a, b",
    "a:b",
    "a b",
    "\xe9",
)
FIELDS = (
    *(
        "User-Agent: x/1",
        "X: a \t b",
        "x:",
        "X: \xe9\xff",
        "x: y",
        "Accept: */*;q=0.5, a/b",
        "~: 1",
    ),
    *(
        "Connection: keep-alive",
        "Connection: a, b",
        "Expect: 100-continue",
        "expect: other",
        "Te: x",
    ),
)
ODD_FIELDS = (
    *(
        "X : 1",
        "X\t: 1",
        " X: 1",
        "\tfolded",
        "X",
        ": 1",
        "X: a\0b",
        "X: a\rb",
        "X: a\nY: b",
        "\0: 1",
    ),
    *(
        "X: \x01",
        "X: \x7f",
        "X\xe9: 1",
        "X(: 1",
        "Host: a",
        "Host: b",
        "Host:",
        "X: \x0b",
        "\xa0X: 1",
    ),
    *("Content-Length: 1", "Content-Length: +1", "Content-Length: 1_0", "Content-Length: 0x1"),
    *("Content-Length:", "Content-Length: 1, 1", "Content-Length: 1 1", "Content-Length: \xa01"),
    *("Content-Length: -1", "Content-Length: 1.0", "content-length: 5", "Content-Length: 1,"),
    *("Content-Length: " + "9" * 18, "Content-Length: " + "9" * 5000, "Content-Length: 0"),
    *("Content-Length: " + "0" * 30, "Content_Length: 5", "Content-Length : 5"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked"),
    *("Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked, chunked"),
    *("Transfer-Encoding:", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked;q=1"),
    *("Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\xa0", "Transfer-Encoding : x"),
    *("transfer-encoding: CHUNKED", "Transfer-Encoding: chunked,", 'Transfer-Encoding: "chunked"'),
    *("Transfer-Encoding: identity", "X: " + "a" * LONG, "Transfer-Encoding:\tchunked \t"),
)
EXTENSIONS = ("", "", "", ";a", ";a=b", "; a = b", ';a="b;\\"c"', ';a="\xe9\t\\\xff";b')
ODD_EXTENSIONS = (
    *(
        " ",
        "\t",
        ";a ;b",
        ";",
        ";;",
        ";=",
        ";a=",
        ';a="',
        ';a="b',
        " ;a",
        ";a b",
        ";\0",
        ";a\rb",
        ";a\nb",
    ),
    *(";a=b=c", ";\xe9", ';a="\x01"', ';a="b"c', ";a ", ";a=b ", ";" + "a" * LONG, "\x0b", ","),
)
SIZES = ("%x", "%X", "0%x", "00%x")
ODD_SIZES = (
    "0x%x",
    "+%x",
    "-%x",
    " %x",
    "%x_0",
    "%x0",
    "g%x",
    "0_%x",
    "0" * 30 + "%x",
    "f" * 20,
    "",
)
TRAILERS = ("X-Sum: 1", "x:", "Y: \xe9", "Content-Type: a/b")
LINE_ENDS = (
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r ",
    b" \r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"",
    b"\0\r\n",
)
BYTES = tuple(
    bytes([byte]) for byte in b'\r\n \t:;,0+-_x/?#%\0\x01\x0b\x0c\x1f\x7f\x80\x85\xa0\xff"\\'
)


def now_and_then(chance: random.Random, usual: Sequence[str], odd: Sequence[str]) -> str:
    """Return one of the usual things; rarely, an odd one."""
    return chance.choice(odd if chance.random() < 0.05 else usual)


def make_chunks(chance: random.Random, body: bytes) -> bytes:
    """Write `body` in chunks with extensions, and trailers after them."""
    data = b""
    while True:
        size = chance.randint(1, len(body)) if body else 0
        line = now_and_then(chance, SIZES, ODD_SIZES).replace("%", "%%").replace("%%", "%", 1)
        line = line % size if "%" in line else line
        line += now_and_then(chance, EXTENSIONS, ODD_EXTENSIONS)
        data += line.encode("latin-1") + b"\r\n" + body[:size]
        if not size:
            break
        data += b"\r\n"
        body = body[size:]
    for _ in range(chance.choice((0, 0, 1, 2))):
        data += now_and_then(chance, TRAILERS, ODD_FIELDS).encode("latin-1") + b"\r\n"
    return data + b"\r\n"


def make_body(chance: random.Random) -> tuple[list[str], bytes]:
    """Return the fields that frame a body, and the bytes that follow the head."""
    body = chance.choice((b"", b"hello", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0\xff" * 9))
    kind = chance.random()
    if kind < 0.4:
        return [], b""
    if kind < 0.7:
        digits = chance.choice(("%d", "%d", "0%d", "00%d")) % len(body)
        return [chance.choice(("Content-Length: ", "content-length:\t")) + digits], body
    name = chance.choice(("Transfer-Encoding: ", "transfer-encoding:"))
    return [name + chance.choice(("chunked", "Chunked"))], make_chunks(chance, body)


def make_request(chance: random.Random) -> bytes:
    """Make a request: often well-formed, and nearly so otherwise."""
    echo = chance.random() < 0.3
    method = "POST" if echo else chance.choice(METHODS[:4] if chance.random() < 0.8 else METHODS)
    target = "/echo" if echo else chance.choice(TARGETS[:14] if chance.random() < 0.9 else TARGETS)
    version = now_and_then(chance, VERSIONS, ODD_VERSIONS)
    fields = [chance.choice(FIELDS) for _ in range(chance.choice((0, 0, 1, 2, 3)))]
    if chance.random() < 0.97:
        hosts = HOSTS[:4] if chance.random() < 0.95 else HOSTS
        fields.append(f"{chance.choice(('Host', 'HOST'))}: {chance.choice(hosts)}")
    framing, body = make_body(chance)
    fields += framing
    if chance.random() < 0.1:
        fields.append(chance.choice(ODD_FIELDS))
    chance.shuffle(fields)
    space = now_and_then(chance, (" ",), ("  ", "\t", "", " \t", "\x0b"))
    lines = [f"{method}{space}{target} {version}", *fields, "", ""]
    before = chance.choice(("\r\n", "\r\n\r\n", "\n", " ")) if chance.random() < 0.04 else ""
    return (before + "\r\n".join(lines)).encode("latin-1") + body


def mutate_byte(chance: random.Random, data: bytes) -> bytes:
    """Drop, double, replace or insert one byte."""
    index = chance.randint(0, len(data))
    before, byte, after = data[:index], data[index : index + 1], data[index + 1 :]
    other = chance.choice(BYTES)
    return before + chance.choice((b"", byte * 2, other, byte + other, other + byte)) + after


def mutate_line(chance: random.Random, data: bytes) -> bytes:
    """Drop, double or fold a line, or put an odd one beside it."""
    lines = data.split(b"\r\n")
    index = chance.randrange(len(lines))
    one, odd = lines[index], chance.choice(ODD_FIELDS).encode("latin-1")
    changed = chance.choice(([], [one, one], [b" " + one], [odd], [one, odd], [odd, one]))
    return b"\r\n".join([*lines[:index], *changed, *lines[index + 1 :]])


def mutate_end(chance: random.Random, data: bytes) -> bytes:
    """Change a line's end."""
    ends = [found.start() for found in re.finditer(rb"\r\n", data)] or [len(data)]
    index = chance.choice(ends)
    return data[:index] + chance.choice(LINE_ENDS) + data[index + 2 :]


def mutate_number(chance: random.Random, data: bytes) -> bytes:
    """Change the last digit of a length or size by one."""
    places = [found.end() - 1 for found in re.finditer(rb"(?<=[ \n])[0-9]+(?=[\r;])", data)]
    if not places:
        return data
    index = chance.choice(places)
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def cut_short(chance: random.Random, data: bytes) -> bytes:
    """End in the middle."""
    return data[: chance.randint(0, len(data))]


MUTATIONS = (mutate_byte, mutate_line, mutate_end, mutate_number, cut_short)


def make_stream(chance: random.Random) -> bytes:
    """Make what one client sends: a few requests, half of the time with mistakes in them."""
    data = b"".join(make_request(chance) for _ in range(chance.choice((1, 1, 2, 3))))
    for _ in range(chance.choice((0, 0, 1, 2))):
        data = chance.choice(MUTATIONS)(chance, data)
    return data


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` at up to six places."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(1, 6)))
    starts, ends = [0, *places], [*places, len(data)]
    return [data[a:b] for a, b in zip(starts, ends, strict=True) if a < b]


# --- Three readers, with the same result ----------------------------------------------------------


@dataclass(frozen=True)
class Seen:
    """A request, as a reader understood it."""

    method: str
    target: str
    fields: dict[str, str]
    """By their names in lower case; several values of a name joined by a comma."""
    body: bytes


@dataclass
class Reading:
    """What a reader made of a stream: whole requests, and why there are no more."""

    requests: list[Seen] = field(default_factory=list)
    starts: list[int] = field(default_factory=list)
    """Where each request begins, and where the first begins that is not whole (our server only)."""
    error: str = ""
    """INCOMPLETE, or why the reader refused to go on."""
    left: bool = False
    """Whether the reader went over to another protocol, and has nothing more to say."""


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """`[(b"A", b"1 "), (b"a", b"2")]` -> `{"a": "1, 2"}`; the name of a coding in lower case."""
    joined: dict[str, str] = {}
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip(" \t")
        value = value.lower() if name == "transfer-encoding" else value
        joined[name] = f"{joined[name]}, {value}" if name in joined else value
    return joined


def load_server() -> ModuleType:
    """Return stage 18's server as a module: its own code, without its socket."""
    path = get_stage(18).server
    module = ModuleType("stage_18")
    sys.modules[module.__name__] = module  # Its dataclasses look there for their own module.
    exec(compile(path.read_text(encoding="utf-8"), path, "exec"), module.__dict__)
    module.read_settings(["--quiet", "--port", "0", "--idle-timeout", "5"])
    return module


class Packets:
    """Stands in for a socket: each piece comes as a packet of its own, then the client leaves."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        """Hold the pieces until they are read."""
        self.waiting = deque(piece for piece in pieces if piece)
        self.sent = b""

    def settimeout(self, seconds: float) -> None:
        """Nobody waits here."""

    def recv(self, size: int) -> bytes:
        """Return the next packet, or as much of it as was asked for."""
        piece = self.waiting.popleft() if self.waiting else b""
        self.waiting.extendleft(filter(None, [piece[size:]]))
        return piece[:size]

    def sendall(self, data: bytes) -> None:
        """Keep what the server answers."""
        self.sent += data


def read_with_ours(server: ModuleType, pieces: Sequence[bytes]) -> Reading:
    """Read with the server's own functions, as if every request were answered and kept alive."""
    packets, reading = Packets(pieces), Reading()
    reader = server.Reader(packets)
    size = sum(map(len, pieces))
    while True:
        left = reader.buffer + b"".join(packets.waiting)
        reading.starts.append(size - len(left))
        if not left:
            return reading
        try:
            head = reader.read_until(server.END_OF_HEAD, "431 Request Header Fields Too Large")
            request = server.parse_request(head.lstrip("\r\n"))
            fields = dict(request.fields)
            length = server.body_length(request)
            body = b"".join(server.read_body(reader, request, length))
        except (server.HTTPError, ConnectionError) as error:
            reading.error = str(error) if isinstance(error, server.HTTPError) else INCOMPLETE
            return reading
        if "transfer-encoding" in fields:
            fields["transfer-encoding"] = "chunked"
        reading.requests.append(Seen(request.method, request.target, fields, body))


def read_with_h11(pieces: Sequence[bytes]) -> Reading:
    """Read with h11: one of its connections for each request."""
    reading, waiting = Reading(), deque(filter(None, pieces))
    while waiting:
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
        body = b""
        try:
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(waiting.popleft() if waiting else b"")
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
        except h11.RemoteProtocolError as error:
            reading.error = INCOMPLETE if "closed connection" in str(error) else str(error)
            return reading
        waiting.extendleft(filter(None, [connection.trailing_data[0]]))
        method, target = request.method.decode(), request.target.decode("latin-1")
        seen = Seen(method, target, join_fields(request.headers.raw_items()), body)
        reading.requests.append(seen)
    return reading


class Collector:
    """Takes what llhttp finds in a stream, by the names that httptools calls."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.reading = Reading()
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_keep_alive=True)  # As if all were kept alive
        self.in_head = False

    def on_message_begin(self) -> None:
        """Forget the request before."""
        self.url, self.body, self.fields, self.in_head = b"", b"", [], True

    def on_url(self, url: bytes) -> None:
        """Add to the target, which may come in pieces."""
        self.url += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        """Add a field; trailers are left out."""
        if self.in_head:
            self.fields.append((name, value or b""))

    def on_headers_complete(self) -> None:
        """End the head."""
        self.in_head = False

    def on_body(self, data: bytes) -> None:
        """Add to the body."""
        self.body += data

    def on_message_complete(self) -> None:
        """Keep the request."""
        method, target = self.parser.get_method().decode(), self.url.decode("latin-1")
        seen = Seen(method, target, join_fields(self.fields), self.body)
        self.reading.requests.append(seen)


def read_with_llhttp(pieces: Sequence[bytes]) -> Reading:
    """Read with llhttp, through httptools."""
    collector = Collector()
    reading = collector.reading
    try:
        for piece in pieces:
            collector.parser.feed_data(piece)
    except httptools.HttpParserUpgrade:
        reading.left = True
        del reading.requests[-1:]  # What was asked for was the other protocol.
    except httptools.HttpParserError as error:
        reading.error = str(error)
    else:
        reading.error = INCOMPLETE
    return reading


PEERS: dict[str, Callable[[Sequence[bytes]], Reading]] = {
    "h11": read_with_h11,
    "llhttp": read_with_llhttp,
}

# --- Where they may differ ------------------------------------------------------------------------


@dataclass(frozen=True)
class Explained:
    """A difference that is known: `who` refuses what the other takes, and may, or must."""

    who: str
    """`ours`, `h11`, `llhttp`, or `h11|llhttp`."""
    name: str
    why: str
    """The RFC's section, and what it says."""
    error: str
    """A pattern for what is said by the one that refuses."""
    where: str
    """A pattern for what is to be seen in the request: in its `part`."""
    example: bytes
    part: str = "head"
    """`head` or `body`."""


BAD = "400 Bad Request"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|([0-9A-Za-z\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(:[0-9]*)?"
CONTROL = r"[\x01-\x08\x0e-\x1f\x7f]"

# What we refuse though h11 or llhttp takes it: each is an ambiguity that has been used for attacks,
# or a rule of the RFC that they leave to their user. Then what only they refuse.
EXPLAINED: tuple[Explained, ...] = (
    Explained(
        "ours",
        "LF alone in a head",
        "RFC 9112 2.2: a server may take it for a line end; we need not",
        BAD,
        r"(?<!\r)\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    Explained(
        "ours",
        "a version that is not 1.x",
        "RFC 9110 15.6.6: 505 says that we don't speak it",
        "505 .*",
        r"\A[\r\n]*\S+ \S+ HTTP/[02-9]\.[0-9]\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "no version, as in HTTP/0.9",
        "RFC 9112 3: a request line has three parts",
        BAD,
        r"\A[\r\n]*\S+ +\S+ *\r\n",
        b"GET /\r\n\r\n",
    ),
    Explained(
        "ours",
        "no single spaces in the request line",
        "RFC 9112 3: a server may split at any white space; we need not",
        BAD,
        r"\A(?![\r\n]*[^ \r\n]+ [^ \r\n]+ [^ \r\n]+\r\n)",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "a target of no known form",
        "RFC 9112 3.2: a path, an http URI without user or fragment, or * for OPTIONS",
        BAD,
        r"\A[\r\n]*(\S+ (?!/|(?i:http)://|\*)|\S+ \S*[#\"\x7f-\xff]|(?!OPTIONS )\S+ \* |"
        rf"\S+ \*\S|\S+ (?i:http)://(?!{AUTHORITY}[/? ]))",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "no Host",
        "RFC 9112 3.2: 400, from HTTP/1.1 on; llhttp leaves it to its user, h11 from 1.2 on",
        BAD,
        r"\A(?![\r\n]*[^\n]* HTTP/1\.0\r)(?![\s\S]*\n(?i:host):)",
        b"GET / HTTP/1.1\r\n\r\n",
    ),
    Explained(
        "ours",
        "two Hosts",
        "RFC 9112 3.2: 400; llhttp leaves it to its user",
        BAD,
        r"(?i)\nhost:[\s\S]*\nhost:",
        GET + b"Host: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "a Host that is none",
        "RFC 9112 3.2: 400; both leave it to their users",
        BAD,
        rf"(?im)^host:(?![ \t]*({AUTHORITY})?[ \t]*\r$)",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ),
    Explained(
        "ours",
        "a folded line",
        "RFC 9112 5.2: 400, or unfold it",
        BAD,
        r"\n[ \t]",
        GET + b"X: a\r\n b\r\n\r\n",
    ),
    Explained(
        "ours",
        "a control character in a value",
        "RFC 9110 5.5: invalid; h11 allows it, as some cookies hold one",
        BAD,
        CONTROL,
        GET + b"X: \x01\r\n\r\n",
    ),
    Explained(
        "ours",
        "a body of HTTP/1.0 in chunks",
        "RFC 9112 6.1: the framing is faulty",
        BAD,
        r"(?i) HTTP/1\.0\r(?=[\s\S]*\ntransfer-encoding:)",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "Content-Length with Transfer-Encoding",
        "RFC 9112 6.1: a server may refuse it; it may be smuggling",
        BAD,
        r"(?i)\A(?=[\s\S]*\ncontent-length:)[\s\S]*\ntransfer-encoding:",
        GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "Content-Length more than once",
        "RFC 9112 6.3: a server may take the same number twice; we need not",
        BAD,
        r"(?i)\ncontent-length:([^\n]*,|[\s\S]*\ncontent-length:)",
        GET + b"Content-Length: 1, 1\r\n\r\nx",
    ),
    Explained(
        "ours",
        "a head that is too long",
        "RFC 9110 5.4: a server sets its limit; ours is 64 KB",
        "431 .*|414 .*",
        r"\A[\s\S]{65000}",
        GET + b"X: " + b"a" * LONG + b"\r\n\r\n",
    ),
    Explained(
        "ours",
        "a transfer coding that we don't know",
        "RFC 9112 6.1: 501; llhttp leaves all but the last one to its user",
        "501 .*",
        r"(?i)\ntransfer-encoding:(?![ \t]*chunked[ \t]*\r\n)",
        GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "h11|llhttp",
        "blanks before an extension",
        "RFC 9112 7.1.1: a server must take them, though nobody may send them",
        "illegal chunk header.*|Invalid character in chunk.*",
        r"(?m)^[0-9A-Fa-f]+(;[^\n]*)?[ \t]+;",
        CHUNKED + b"0;a ;b\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a malformed extension",
        "RFC 9112 7.1.1 has a grammar for it; h11 takes anything, llhttp a value that is empty",
        BAD,
        r"(?m)^[0-9A-Fa-f]+(?=[;\t ])"
        r"(?!([\t ]*;[\t ]*TOKEN([\t ]*=[\t ]*(TOKEN|QUOTED))?)*\r$)".replace(
            "TOKEN", r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
        ).replace("QUOTED", r'"([\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'),
        CHUNKED + b"0;a=\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "LF alone in trailers",
        "RFC 9112 2.2: a server may take it for a line end; we need not",
        BAD,
        r"(?<!\r)\n",
        CHUNKED + b"0\r\nX: a\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a folded trailer",
        "RFC 9112 5.2: 400, or unfold it",
        BAD,
        r"\n[ \t]",
        CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a control character in a trailer",
        "RFC 9110 5.5: invalid; h11 allows it",
        BAD,
        r"\n[^:\n]+:[^\n]*" + CONTROL,
        CHUNKED + b"0\r\nX: \x01\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a line among the chunks that is too long",
        "RFC 9112 7.1.1: a server ought to set a limit; ours is 64 KB",
        BAD,
        r"[^\n]{65000}",
        CHUNKED + b"0\r\nX: " + b"a" * LONG + b"\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "chunked twice",
        "RFC 9112 6.1: a sender must not do that; llhttp overlooks one with a tab",
        BAD,
        r"(?i)\ntransfer-encoding:[^\n]*\r[\s\S]*\ntransfer-encoding:",
        CHUNKED[:-4] + b" \t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "CR alone before the request",
        "RFC 9112 2.2: an empty line there is CR LF; llhttp skips any of the two",
        BAD,
        r"\A[\r\n]*\r[^\n]",
        b"\r" + GET + b"\r\n",
    ),
    Explained(
        "h11",
        "an empty line before the request",
        "RFC 9112 2.2: a server should skip one; h11 leaves that to its user",
        "no request line received|illegal request line.*",
        r"\A\r\n",
        b"\r\n" + GET + b"\r\n",
    ),
    Explained(
        "h11",
        "a length of more than 20 digits",
        "RFC 9110 8.6: leading zeros are allowed, however many",
        "bad Content-Length",
        r"(?i)\ncontent-length:[ \t]*0[0-9]{20}",
        GET + b"Content-Length: " + b"0" * 21 + b"\r\n\r\n",
    ),
    Explained(
        "h11",
        "a chunk's size of more than 20 digits",
        "RFC 9112 7.1: the same",
        "illegal chunk header.*",
        r"(?m)^0[0-9A-Fa-f]{20}",
        CHUNKED + b"0" * 21 + b"\r\n\r\n",
        "body",
    ),
    Explained(
        "h11|llhttp",
        "a framing field among the trailers",
        "RFC 9110 6.5.1: it means nothing there; we leave all trailers out",
        ".*Transfer-Encoding.*|.*Content-Length.*",
        r"(?i)\n(transfer-encoding|content-length):",
        CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
        "body",
    ),
    Explained(
        "llhttp",
        "a version from 1.2 to 1.9",
        "RFC 9110 2.5: to be read as the highest that we know",
        "Invalid HTTP version",
        r" HTTP/1\.[2-9]\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "a method that it does not know",
        "RFC 9110 9.1: any token may be one; we answer 501",
        "Invalid method encountered|Expected space after method",
        r"\A(?![\r\n]*(GET|POST|HEAD|OPTIONS|PUT|DELETE) )",
        b"GOT / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "a tab after the coding",
        "RFC 9112 5.1: blanks and tabs around a value are no part of it",
        "Request has invalid `Transfer-Encoding`",
        r"(?i)\ntransfer-encoding:[ \t]*chunked *\t",
        CHUNKED[:-4] + b"\t\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "blanks inside an extension",
        "RFC 9112 7.1.1: a server must take them, though nobody may send them",
        "Invalid character in chunk extensions.*",
        r"(?m)^[0-9A-Fa-f]+;([^\n]*;)?([ \t]|[^\n]*[ \t]=|[^\n]*=[ \t])",
        CHUNKED + b"0; a = b\r\n\r\n",
        "body",
    ),
)


@dataclass(frozen=True)
class Difference:
    """Where two readers part."""

    who: str
    """Who refuses: `ours`, `h11` or `llhttp`; empty where both read, but not the same."""
    error: str
    message: bytes
    """The bytes from the request on that is read differently."""


def find_difference(ours: Reading, theirs: Reading, peer: str, data: bytes) -> Difference | None:
    """Return where the two part, None if they agree or if the peer has left."""
    for index, (own, other) in enumerate(itertools.zip_longest(ours.requests, theirs.requests)):
        message = data[ours.starts[index] :]
        if own == other or (other is None and theirs.left):
            continue
        if other is None:
            return Difference(peer, theirs.error, message)
        if own is None:
            return Difference("ours", ours.error, message)
        return Difference("", f"ours {own}, {peer} {other}", message)
    return None


def explain(difference: Difference) -> str | None:
    """Return the name of the explained difference that this is, None if it is none."""
    text = difference.message.decode("latin-1")
    end = re.search(r"(?<=[^\r\n])\r?\n\r?\n", text)
    parts = {"head": text[: end.end()] if end else text, "body": text[end.end() :] if end else ""}
    for case in EXPLAINED:
        if difference.who not in case.who.split("|") or not re.fullmatch(
            case.error, difference.error
        ):
            continue
        if re.search(case.where, parts[case.part]):
            return case.name
    return None


# --- Over the wire --------------------------------------------------------------------------------

REFUSALS = ("400", "413", "414", "431", "505")


def predict(server: ModuleType, pieces: Sequence[bytes]) -> bytes:
    """Return what the server's code answers, without a socket."""
    packets = Packets(pieces)
    reader = server.Reader(packets)
    with contextlib.suppress(OSError, server.HTTPError):
        while server.serve_request(reader):
            pass
    return packets.sent


def ask(address: Address, pieces: Sequence[bytes]) -> bytes:
    """Return what the running server answers until it closes. Raises WireError."""
    with Connection(address, patience=PATIENCE) as connection:
        for piece in pieces:
            connection.send(piece)
        connection.half_close()
        return connection.read_end(PATIENCE)


def read_answers(data: bytes, methods: Iterable[str]) -> list[Response]:
    """Return the final answers to requests with these methods. Raises Malformed."""
    answers, waiting = [], iter(methods)
    method = next(waiting, "GET")
    while data:
        reader = ResponseReader(method)
        reader.feed(data)
        if not reader.complete:
            raise Malformed("an answer is not whole", "all of it", data, 0)
        data = reader.extra
        if reader.response.status >= 200:
            answers.append(reader.response)
            method = next(waiting, "GET")
    return answers


def judge_answers(ours: Reading, data: bytes, answered: bytes) -> str:
    """Return what is wrong with the answers, given what was understood; empty if nothing is."""
    methods = [seen.method for seen in ours.requests]
    rest = data[ours.starts[-1] :].lstrip(b"\r\n")
    try:
        try:
            answers = read_answers(answered, methods)
        except Malformed:  # The last one is to a HEAD whose head was fine and whose body was not.
            if not rest.startswith(b"HEAD "):
                raise
            answers = read_answers(answered, [*methods, "HEAD"])
    except Malformed as error:
        return f"the answer is malformed: {error.message}"
    if len(answers) > len(ours.requests) + (ours.error != ""):
        return "there are more answers than requests"
    if not answers and (ours.requests or ours.error not in ("", INCOMPLETE)):
        return "there is no answer"
    for seen, answer in zip(ours.requests, answers, strict=False):
        if str(answer.status) in REFUSALS:
            return f"a request that was understood is answered by {answer.status}"
        if (seen.method, seen.target) == ("POST", "/echo") and answer.body != seen.body:
            return "POST /echo answers with another body than was understood"
    if len(answers) > len(ours.requests):
        status = str(answers[-1].status)
        if status in REFUSALS and status != ours.error[:3]:
            return f"what is refused as {ours.error} is answered by {status}"
    return ""


# --- The hunt -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Finding:
    """Something that nobody can explain."""

    what: str
    data: bytes
    seed: int

    def __str__(self) -> str:
        """Show what it is, the bytes, and how to see it again."""
        repeat = f"repeat it with: python -m tester.fuzz --seed {self.seed}"
        return f"{self.what}\n    {self.data!r}\n    {repeat}"


@dataclass
class Hunt:
    """Makes streams up and judges them; counts what it sees."""

    server: ModuleType
    address: Address | None = None
    """Where stage 18's server runs; without it, nothing goes over the wire."""
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def try_seed(self, seed: int) -> Finding | None:
        """Make up one stream and return what is wrong, if anything is."""
        chance = random.Random(seed)
        data = make_stream(chance)
        what = self.judge(data, cut(chance, data))
        return Finding(what, data, seed) if what else None

    def judge(self, data: bytes, pieces: Sequence[bytes]) -> str:
        """Return what is wrong with how our server reads `data`; empty if nothing is."""
        ours = read_with_ours(self.server, [data])
        singly = [data[index : index + 1] for index in range(len(data))] if len(data) < 500 else []
        for other in filter(None, (pieces, singly)):
            if read_with_ours(self.server, other) != ours:
                return f"in pieces it is read otherwise than whole: {other}"
        self.counts["streams"] += 1
        self.counts["requests understood"] += len(ours.requests)
        self.counts["streams that ended in a refusal"] += ours.error not in ("", INCOMPLETE)
        return self.compare(ours, data) or self.serve(ours, data, pieces)

    def compare(self, ours: Reading, data: bytes) -> str:
        """Return where a peer reads otherwise for no reason that is known."""
        for peer, read in PEERS.items():
            difference = find_difference(ours, read([data]), peer, data)
            if difference is None:
                self.counts[f"streams read the same as {peer}"] += 1
                continue
            name = explain(difference)
            if name is None:
                who = f"{difference.who} refuses" if difference.who else "both read"
                return f"{peer} differs, {who}: {difference.error}"
            by_whom = (
                f"{peer} takes and we refuse" if difference.who == "ours" else f"{peer} refuses"
            )
            self.counts[f"{by_whom}: {name}"] += 1
        return ""

    def serve(self, ours: Reading, data: bytes, pieces: Sequence[bytes]) -> str:
        """Return what is wrong with the answers of the running server, whole and in pieces."""
        expected = hide_fields(predict(self.server, pieces))
        if wrong := judge_answers(ours, data, expected):
            return wrong
        if self.address is None:
            return ""
        for packets in ([data], pieces):
            try:
                answered = hide_fields(ask(self.address, packets))
            except WireError as error:
                return f"over the wire: {error}"
            if answered != expected:
                return f"over the wire the answer is {answered!r}, by the code it is {expected!r}"
            self.counts["streams sent over the wire"] += 1
        return ""


def start_server() -> Server:
    """Return stage 18's server, ready to be started."""
    path = get_stage(18).server
    return Server(Attempt("stage 18", (sys.executable, "-u", str(path), "--quiet")))


def main() -> int:
    """Hunt for a while, print what was seen, and return 1 if anything was found."""
    parser = OneLineParser(prog="python -m tester.fuzz", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, help="begin with this one, and go on with the next")
    options = parser.parse_args()
    seed = random.randrange(10**9) if options.seed is None else options.seed
    print(f"from seed {seed} on, for {options.seconds:g} s", flush=True)
    findings: list[Finding] = []
    hunt = Hunt(load_server())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # However we end, so does the server.
    with contextlib.suppress(KeyboardInterrupt), start_server() as server:
        hunt.address = server.address
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline and len(findings) < MOST_FINDINGS:
            if finding := hunt.try_seed(seed):
                findings.append(finding)
                print(f"FOUND: {finding}", flush=True)
            seed += 1
    for name, count in sorted(hunt.counts.items()):
        print(f"{count:8} {name}")
    print(f"{len(findings):8} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

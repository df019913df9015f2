"""Reads streams of requests: with our server's reader, with h11, and with llhttp."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

import h11
import httptools

from tester.ladder.stages import get_stage

INCOMPLETE = "incomplete"


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
        self.url, self.body, self.in_head = b"", b"", True
        self.fields: list[tuple[bytes, bytes]] = []

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

"""The wire: connections that send raw bytes, read strictly, and record all that went both ways."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from tester.results import Direction, Message
from tester.wire.response import Malformed, Response, ResponseReader

IDLE_TIMEOUT = 1  # Seconds a client may stay silent, as the attempts are told.
MOST_READ = 16 * 1024 * 1024  # Bytes of an answer whose length is not told: a check asks for 12 MB.
PATIENCE = 5.0  # Seconds until an answer must have come; long, so that load is no failure.
ANSWER_TIMEOUT = PATIENCE
END_TIMEOUT = 2.0  # Seconds until a connection must end that has nothing more to say.
CONNECT_TIMEOUT = 5.0  # Seconds.
SMALLEST_SEGMENT = 88  # Bytes, on Linux
PIECE = 256 * 1024  # Bytes that one recv brings at most.
MEGABYTE = 1024 * 1024
MOST = 128 * MEGABYTE  # Bytes of one connection: a server that sends more will not end any more.
LIFETIME = 25.0  # Seconds of one connection, for the same reason: a drip is endless too.
LONGEST_DRIP = 8.0  # Seconds of an answer that brings less than
LEAST = 256 * 1024  # bytes in that time; it is another answer
DRIP_PAUSE = 2.0  # after so many seconds in which nothing came.
DRIP = 0.5  # Seconds: bytes that came so shortly before the deadline make it a drip, no silence.
CLOSE_WAIT = 8  # Linux's number for the state of a connection that the other side has closed.
KEPT_CUTS = 8  # Of one message's packets: who wants to see more of them does not want to see any.
KEPT = 64 * 1024  # Bytes of one message that are kept in the record; of more, head and end.
NO_END = ("silent", "endless", "flood")  # Kinds of WireError: what was waited for never came.


@dataclass(frozen=True)
class Address:
    """Where an attempt listens."""

    host: str
    """What to connect to: a wildcard address is replaced by its loopback address."""
    port: int
    bound: str
    """The address as the attempt bound it, such as `0.0.0.0`."""


class WireError(Exception):
    """The conversation did not go on as it must; `kind` names how."""

    def __init__(self, kind: str, connection: Connection, doing: str, most: int = 0) -> None:
        """Say what happened, and what for.

        `kind` is refused, silent, endless, flood (more came than `most` bytes), closed or reset.
        """
        super().__init__(f"{kind} while {doing}")
        self.kind = kind
        self.connection = connection
        self.doing = doing
        self.most = most
        self.seconds = connection.seconds
        """How long the connection had been open."""


class BadResponse(Exception):
    """The bytes that came are no HTTP response."""

    def __init__(self, connection: Connection, cause: Malformed) -> None:
        """Keep where it was seen and what is wrong."""
        super().__init__(cause.message)
        self.connection = connection
        self.cause = cause


class _Growing:
    """A message that may grow: to add to it costs no more, however long it is already."""

    def __init__(self, direction: Direction, seconds: float, connection: int) -> None:
        """Begin with no bytes."""
        self.direction: Direction = direction
        self.connection = connection
        self._seconds = seconds
        self._data = bytearray()
        self._size = 0
        self._cuts: list[int] = []
        self._message: Message | None = None

    def add(self, data: bytes) -> None:
        """Add a packet; of a long message, only its head and its end are kept."""
        if self._size and len(self._cuts) < KEPT_CUTS:
            self._cuts.append(self._size)
        self._message = None
        self._data += data
        self._size += len(data)
        if len(self._data) > 4 * KEPT:
            del self._data[KEPT:-KEPT]

    def message(self) -> Message:
        """Return it as it is now."""
        if self._message is None:
            data, cuts = bytes(self._data), tuple(self._cuts)
            if self._size > 2 * KEPT:
                data, cuts = data[:KEPT] + data[-KEPT:], ()
            self._message = Message(self.direction, data, self._seconds, self.connection, cuts)
        return self._message


@dataclass
class Record:
    """What went over the connections of one check, in order."""

    endings: dict[int, str] = field(default_factory=dict)
    """By connection, counted from 1: how it ended, in words."""
    connections: int = 0
    _growing: list[_Growing] = field(default_factory=list)

    @property
    def messages(self) -> list[Message]:
        """What was sent and received so far."""
        return [each.message() for each in self._growing]

    def add(self, direction: Direction, data: bytes, seconds: float, connection: int) -> None:
        """Add bytes; those that follow others the same way are one message."""
        last = self._growing[-1] if self._growing else None
        if not last or (last.direction, last.connection) != (direction, connection):
            last = _Growing(direction, seconds, connection)
            self._growing.append(last)
        last.add(data)


def begin_connecting(address: Address, count: int) -> list[socket.socket]:
    """Return sockets that all ask for a connection now, one directly after the other.

    Not one is waited for: that is left to `Connection`.
    """
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    begun = [socket.socket(family) for _ in range(count)]
    for each in begun:
        each.setblocking(False)
    for each in begun:
        each.connect_ex((address.host, address.port))
    return begun


def begin_narrow(address: Address) -> socket.socket:
    """Return a socket that asks for a connection with buffers as small as the system allows.

    The server's are small too then: how much it may have under way depends on the segments.
    """
    begun = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
    begun.setblocking(False)
    begun.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    with contextlib.suppress(AttributeError, OSError):
        begun.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SMALLEST_SEGMENT)
    begun.connect_ex((address.host, address.port))
    return begun


def _connect(address: Address, begun: socket.socket | None) -> socket.socket:
    """Return a connected socket: `begun`, if there is one. Raises OSError."""
    if begun is None:
        # Not create_connection: it looks the address up, though there are no names here.
        made = socket.socket(socket.AF_INET6 if ":" in address.host else socket.AF_INET)
        made.settimeout(CONNECT_TIMEOUT)
        try:
            made.connect((address.host, address.port))
        except OSError:
            made.close()
            raise
        return made
    waiting = select.poll()
    waiting.register(begun, select.POLLOUT)
    if not waiting.poll(CONNECT_TIMEOUT * 1000):  # Milliseconds
        raise TimeoutError
    if error := begun.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, os.strerror(error))
    return begun


class Connection:
    """A TCP connection to the attempt."""

    def __init__(
        self,
        address: Address,
        record: Record | None = None,
        patience: float = ANSWER_TIMEOUT,
        begun: socket.socket | None = None,
        most_read: int = MOST_READ,
    ) -> None:
        """Connect. `patience` is how many seconds to wait for an answer, unless told otherwise.

        Of an answer whose length is not told, `most_read` bytes are read, and a few more at most.
        A socket that has `begun` to connect is taken over. Raises WireError where nobody listens.
        """
        self.address = address
        self.patience = patience
        self.record = record if record is not None else Record()
        self.record.connections += 1
        self.number = self.record.connections
        self.ended = False
        self.arrivals: list[tuple[float, bytes]] = []
        """What came, and when: seconds since the connection was opened."""
        self._extra = b""
        self._received = 0
        self._before = 0
        """How many bytes had come when the last answer had been read to its end."""
        self._drip = (0.0, 0)
        """When the first of those bytes came that are still coming, and how many had before."""
        self._most_read = most_read
        self._opened = time.monotonic()
        self._ended_after: float | None = None
        """Seconds after which one of both sides ended the connection."""
        self._busy = 0.0
        """When anything was last sent or received, in seconds since the connection was opened."""
        self.silence = 0.0
        """Seconds for which nothing had been sent or received when the server hung up."""
        try:
            self.socket = _connect(address, begun)
        except OSError as error:
            kinds = {TimeoutError: "silent", ConnectionResetError: "reset"}
            kind = kinds.get(type(error), "refused")
            self._end("the connection was refused" if kind == "refused" else "nobody accepted")
            raise WireError(kind, self, "connecting") from None
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def seconds(self) -> float:
        """How long the connection has been open."""
        return time.monotonic() - self._opened

    @property
    def open_seconds(self) -> float:
        """For how long it was open, or has been until now."""
        return self.seconds if self._ended_after is None else self._ended_after

    def _end(self, how: str) -> None:
        """Remember how the connection ended, the first time."""
        self.ended = True
        self._note_end()
        self.record.endings.setdefault(self.number, how)

    def turn_page(self) -> None:
        """Keep what follows apart from what was before, as if it went over another connection."""
        self.record.connections += 1
        self.number = self.record.connections

    def _note_end(self) -> None:
        """Remember when the connection ended, the first time."""
        if self._ended_after is None:
            self._ended_after = self.seconds

    def send(self, data: bytes) -> None:
        """Send all of `data`. Raises WireError if the server has hung up."""
        self.record.add("sent", data, self.seconds, self.number)
        self._busy = self.seconds
        self.socket.settimeout(self.patience)
        try:
            self.socket.sendall(data)
        except TimeoutError:
            raise WireError("silent", self, "taking what we send") from None
        except OSError:
            self._end("the server reset the connection")
            raise WireError("reset", self, "taking what we send") from None

    def send_pieces(self, pieces: Iterable[bytes], pause: float = 0.02) -> None:
        """Send each piece as a packet of its own, `pause` seconds apart."""
        for number, piece in enumerate(pieces):
            if number:
                time.sleep(pause)  # Not a wait for anything: the gap is what is being tested.
            self.send(piece)

    def receive(
        self, seconds: float | None = None, doing: str = "answering", *, tells_length: bool = False
    ) -> bytes:
        """Return the next bytes, b"" at the end. Raises WireError after `seconds` or at a reset.

        And where the answer does not end: a long one is only right if it `tells_length`.
        """
        seconds = self.patience if seconds is None else seconds
        if self._extra:
            data, self._extra = self._extra, b""
            return data
        most = MOST if tells_length else min(MOST, self._before + self._most_read)
        if self._received > most:
            self._fail_endless(doing, MOST if most == MOST else self._most_read)
        if self.seconds > LIFETIME or self._drips():
            self._fail_endless(doing)
        self.socket.settimeout(max(seconds, 0.001))
        try:
            data = self.socket.recv(PIECE)
        except TimeoutError:
            if self.arrivals and self.seconds - self.arrivals[-1][0] < DRIP:
                raise WireError("endless", self, doing) from None
            self.record.endings.setdefault(
                self.number, "the connection stayed open, and nothing more came"
            )
            raise WireError("silent", self, doing) from None
        except OSError:
            self._end("the server reset the connection")
            raise WireError("reset", self, doing) from None
        if data:
            self._busy = self.seconds
            if not self.arrivals or self._busy - self.arrivals[-1][0] > DRIP_PAUSE:
                self._drip = (self._busy, self._received)
            self._received += len(data)
            self.record.add("received", data, self._busy, self.number)
            self.arrivals.append((self._busy, data))
        else:
            self.silence = self.silence or self.seconds - self._busy
            self._end("the server closed the connection")
        return data

    def read_response(
        self, method: str = "GET", seconds: float | None = None, *, interim: bool = False
    ) -> Response:
        """Read one response within `seconds`; keep what comes after it for the next call.

        Interim responses (1xx) are skipped unless `interim`. Raises WireError and BadResponse.
        """
        deadline = time.monotonic() + (self.patience if seconds is None else seconds)
        reader = ResponseReader(method)
        while not reader.complete:
            tells = reader.response is not None and reader.response.framing == "length"
            if not tells and self._received > self._before + self._most_read:
                self._fail_endless("ending its answer", self._most_read)
            seconds = self._time_left(deadline, "ending its answer")
            data = self.receive(seconds, tells_length=tells)
            try:
                if data:
                    reader.feed(data)
                elif not reader.end():
                    raise WireError("closed", self, _describe_missing(reader))
                if not interim:
                    reader.skip_interim()
            except Malformed as cause:
                raise BadResponse(self, cause) from None
        self._extra = reader.extra
        self._note_answer()
        return reader.whole

    def _note_answer(self) -> None:
        """Note that an answer has been read to its end: what comes from now on is another one."""
        self._before = self._received - len(self._extra)
        self._drip = (self.seconds, self._before)

    def _drips(self) -> bool:
        """Return whether bytes come all the time, and yet too few for an answer that ever ends."""
        since, before = self._drip
        if not self.arrivals or self.arrivals[-1][0] - since < LONGEST_DRIP:
            return False
        return self._received - before < LEAST

    def read_end(self, seconds: float = END_TIMEOUT, doing: str = "hanging up") -> bytes:
        """Return all that still comes until the server closes. Raises WireError if it does not."""
        deadline = time.monotonic() + seconds
        self._note_answer()
        rest = []
        while data := self.receive(self._time_left(deadline, doing), doing):
            rest.append(data)
        return b"".join(rest)

    def _fail_endless(self, doing: str, most: int = 0) -> None:
        """Raise WireError: the server went on for too long, or sent more than `most` bytes."""
        self._end("the server went on sending, so we hung up")
        raise WireError("flood" if most else "endless", self, doing, most)

    def _time_left(self, deadline: float, doing: str) -> float:
        """Return the seconds until `deadline`. Raises WireError if it has passed amid bytes."""
        left = deadline - time.monotonic()
        if left <= 0 and self._received:
            self._fail_endless(doing)
        return left

    def has_pending(self) -> bool:
        """Return whether bytes are here that nobody has read."""
        if self._extra:
            return True
        self.socket.settimeout(0)
        try:
            return bool(self.socket.recv(1, socket.MSG_PEEK))
        except OSError:
            return False

    def wait_for_data(self) -> None:
        """Wait until there is something to read, and leave it there. Raises WireError."""
        waiting = select.poll()
        waiting.register(self.socket, select.POLLIN)
        if not waiting.poll(self.patience * 1000):  # Milliseconds
            raise WireError("silent", self, "answering")

    def half_close(self) -> None:
        """Say that we send no more, and go on reading; needless if the server has closed."""
        with contextlib.suppress(OSError):
            if not self._server_has_closed():
                self.socket.shutdown(socket.SHUT_WR)

    def send_last(self, data: bytes) -> None:
        """Send `data` and half-close: both in one packet, where the system can do that."""
        with contextlib.suppress(AttributeError, OSError):
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        self.send(data)
        self.half_close()

    def _server_has_closed(self) -> bool:
        """Return whether the server's end has come, read or not, as far as the system tells."""
        if not hasattr(socket, "TCP_INFO"):
            return False
        return self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == CLOSE_WAIT

    def close(self) -> None:
        """Close in good order, and let a server that has closed forget the connection at once.

        A server that closes first remembers the connection for a minute (TIME_WAIT), and without
        SO_REUSEADDR can't have its port again so long. Bytes for a socket that is closed are
        answered by a reset, which ends the memory; a server that still reads gets an empty line.
        """
        self._note_end()
        with contextlib.suppress(OSError):
            self.socket.settimeout(0)
            if self._server_has_closed():
                self.socket.send(b"\r\n")
        with contextlib.suppress(OSError):
            self.socket.close()

    def reset(self) -> None:
        """Leave without a word: the server sees a reset instead of an end."""
        self._note_end()
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()

    def __enter__(self) -> Connection:
        """Use as a context: closed at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def _describe_missing(reader: ResponseReader) -> str:
    """Say what was missing when the connection ended too early."""
    if reader.response is None:
        return "sending the head of its answer"
    if reader.response.framing == "length":
        whole = reader.received + reader.missing
        return f"sending the body: {reader.received} of {whole} bytes had come"
    return "sending the body: the last chunk (0 CR LF CR LF) had not come"

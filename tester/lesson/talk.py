"""Conversations with a server over real sockets, which record the time of every byte."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tester.lesson.servers import LessonError, Running, check_kind, find_running
from tester.lesson.views import bundle, exchange_rows
from tester.wire.connection import Connection, WireError
from tester.wire.response import Malformed, Response, ResponseReader

PATIENCE = 5.0  # Seconds to wait for a response: only a server that is stuck needs that long.
PAUSE = 0.05  # Seconds between two pieces, so that they arrive separately.
REQUEST_START = re.compile(rb"(?:^|\r\n\r\n)([A-Z]+) [^\r\n]* HTTP/1\.")
Kind = Literal["connects", "sent", "received", "ended"]
ENDINGS = {
    "reset": "the server reset the connection",
    "refused": "the connection was refused: nothing is listening there",
    "open": "nothing more came, so the client hung up",
    "closed": "the server closed the connection",
    "left": "the client hung up",
}


@dataclass(frozen=True)
class Event:
    """Something that happened on a connection."""

    seconds: float
    """Since the conversation began."""
    client: str
    kind: Kind
    data: bytes = b""
    how: str = ""
    """How it ended, for an event of this kind: a key of ENDINGS."""


class Client:
    """A client in a scene. It notes what it receives at the moment when it arrives."""

    def __init__(self, scene: Scene, name: str) -> None:
        """Connect. A refused connection is not an error, but one way for a conversation to end."""
        self.name = name
        self.answers: list[Response] = []
        """The complete, well-formed responses that have come so far."""
        self.sent = self.received = b""
        self.ending = ""
        self._scene = scene
        self._changed = threading.Condition()
        self._cuts: list[int] = []
        self._taken = self._given = 0
        self._reader: ResponseReader | None = ResponseReader()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        try:
            self._connection = Connection(scene.server.address)
        except WireError as error:
            self._connection = error.connection
            self._end("refused")
            return
        scene.note(name, "connects")
        self._thread.start()

    def send(self, data: bytes) -> None:
        """Send bytes; does nothing if the server has hung up. Raises LessonError."""
        if not isinstance(data, bytes):
            raise LessonError('only bytes can be sent, such as b"GET / HTTP/1.1\\r\\n\\r\\n"')
        if self.ending:
            return
        self.sent += data
        self._scene.note(self.name, "sent", data)
        with contextlib.suppress(WireError):
            self._connection.send(data)

    def _listen(self) -> None:
        """Note everything that comes, until the end."""
        while not self.ending:
            try:
                data = self._connection.receive(3600)
            except WireError as error:
                self._end("open" if error.kind == "silent" else "reset")
                return
            except (OSError, ValueError):  # We hung up ourselves.
                return
            if not data:
                self._end("closed")
                self._connection.close()  # As any client does: the server may wait for that.
                return
            with self._changed:
                if self.ending:
                    return
                self.received += data
                self._scene.note(self.name, "received", data)
                self._read(data)
                self._changed.notify_all()

    def _read(self, data: bytes) -> None:
        """Add the responses that are complete now."""
        while data and self._reader is not None:
            methods = REQUEST_START.findall(self.sent)
            number = min(len(self.answers), len(methods) - 1)
            self._reader.method = methods[number].decode() if methods else "GET"
            try:
                self._reader.feed(data)
            except Malformed:
                self._reader = None  # From here on, only the end of the connection ends a response.
                return
            if not self._reader.complete:
                return
            data = self._reader.extra
            self.answers.append(self._reader.whole)
            self._cuts.append(len(self.received) - len(data))
            self._reader = ResponseReader()

    def _end(self, how: str) -> None:
        """Note how the connection ended; only the first end counts."""
        with self._changed:
            if self.ending:
                return
            self.ending = how
            if how == "closed" and self._reader is not None and self._reader.end():
                self.answers.append(self._reader.whole)
                self._cuts.append(len(self.received))
            self._scene.note(self.name, "ended", how=how)
            self._changed.notify_all()

    def _wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Wait until `condition` holds, or the connection has ended; return whether it holds."""
        with self._changed:
            self._changed.wait_for(lambda: condition() or bool(self.ending), seconds)
            return condition()

    def receive(self, seconds: float = PATIENCE) -> bytes:
        """Wait for the next complete response, or for the end, and return its bytes.

        After `seconds`, return what there is, perhaps nothing.
        """
        number, self._given = self._given, self._given + 1
        whole = self._wait(lambda: len(self._cuts) > number, seconds)
        stop = self._cuts[number] if whole else len(self.received)
        piece, self._taken = self.received[self._taken : stop], stop
        return piece

    def wait_for(self, words: bytes, seconds: float = PATIENCE) -> bool:
        """Wait until `words` have come; return whether they have. Raises LessonError."""
        check_kind(words, bytes, 'bytes, such as b"200 OK"')
        return self._wait(lambda: words in self.received, seconds)

    def wait_end(self, seconds: float = PATIENCE) -> bool:
        """Wait, at most `seconds`, until the server hangs up; return whether it has."""
        return self._wait(lambda: bool(self.ending), seconds)

    def close(self, how: str = "left") -> None:
        """Hang up."""
        self._end(how)
        if how == "refused" or not hasattr(self._connection, "socket"):
            return
        with contextlib.suppress(OSError):
            self._connection.socket.shutdown(socket.SHUT_RDWR)  # Wakes the thread that listens.
        if self._thread.is_alive():
            self._thread.join(1)
        self._connection.close()


class Scene:
    """Several clients that talk to one server. At the end of its `with` block, all hang up."""

    def __init__(self, server: Running | None = None) -> None:
        """Talk to `server`, or to the one that runs. Raises LessonError if none does."""
        self.server = find_running(server)
        self.clients: list[Client] = []
        self._began = time.monotonic()
        self._events: list[Event] = []
        self._lock = threading.Lock()

    def client(self, name: str) -> Client:
        """Connect a new client and return it. Raises LessonError."""
        check_kind(name, str, 'a name, such as "Anna"')
        client = Client(self, name)
        self.clients.append(client)
        return client

    def note(self, client: str, kind: Kind, data: bytes = b"", how: str = "") -> None:
        """Add an event that happens now."""
        with self._lock:
            seconds = time.monotonic() - self._began
            self._events.append(Event(seconds, client, kind, data, how))

    @property
    def events(self) -> list[Event]:
        """What happened, in order. Bytes that came at once, even in two reads, are one event."""
        joined: list[Event] = []
        with self._lock:
            events = list(self._events)
        for event in events:
            last = joined[-1] if joined else None
            if (
                last is not None
                and event.seconds - last.seconds < PAUSE / 2
                and (last.kind, last.client) == (event.kind, event.client)
            ):
                joined.pop()
                event = Event(last.seconds, last.client, last.kind, last.data + event.data)
            joined.append(event)
        return joined

    @property
    def seconds(self) -> float:
        """How many seconds passed until the last event."""
        return self.events[-1].seconds if self.events else 0.0

    def wait(self, seconds: float) -> None:
        """Let time pass, while the clients keep listening."""
        time.sleep(seconds)

    def __enter__(self) -> Scene:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let all clients hang up, unless the server is about to."""
        for client in self.clients:
            if client.answers:
                client.wait_end(PAUSE)
            client.close()


class Talk:
    """A finished conversation of one client; a notebook shows it byte by byte."""

    def __init__(self, scene: Scene) -> None:
        """Keep what the first client of `scene` sent and received."""
        client = scene.clients[0]
        self.sent: bytes = client.sent
        self.received: bytes = client.received
        self.answers: list[Response] = client.answers
        self.ending: str = ENDINGS[client.ending]
        self.closed: bool = client.ending == "closed"
        """Whether the server closed the connection cleanly."""
        self.events = scene.events
        self.seconds = scene.seconds

    @property
    def answer(self) -> Response | None:
        """The first complete response, or None."""
        return self.answers[0] if self.answers else None

    @property
    def body(self) -> bytes:
        """The body of the first response, or b""."""
        return self.answers[0].body if self.answers else b""

    def __repr__(self) -> str:
        """Return how much was sent and received."""
        return f"<{len(self.sent)} bytes sent, {len(self.received)} received; {self.ending}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Show the exchange, in colour and as text."""
        return bundle(exchange_rows(self.events, self.ending))


def talk(
    *pieces: bytes,
    answers: int | None = None,
    seconds: float = 3.0,
    server: Running | None = None,
) -> Talk:
    """Connect to the server that runs, send `pieces`, and return the whole conversation.

    Waits until the server hangs up, or until this many `answers` (responses) are complete, but at
    most `seconds`. Pieces are sent 0.05 s apart, to arrive separately. Raises LessonError.
    """
    with Scene(server) as scene:
        client = scene.client("client")
        for number, piece in enumerate(pieces):
            if number:
                scene.wait(PAUSE)
            client.send(piece)
        if answers is None:
            client.wait_end(seconds)
        for _ in range(answers or 0):
            client.receive(seconds)
        client.close("left" if answers is not None else "open")
    return Talk(scene)


def scene(server: Running | None = None) -> Scene:
    """Return a scene in which several clients talk to the server that runs. Raises LessonError.

    ```
    with scene() as play:
        anna, ben = play.client("Anna"), play.client("Ben")
        ben.send(b"GET / HTTP/1.1…")
        ben.receive()
    timeline(play)
    ```
    """
    return Scene(server)

"""The client that a check talks with."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Any
from urllib.parse import quote

from tester.attempt.server import Server
from tester.grading.expect import (
    CheckFailed,
    expect_no_rest,
    expect_nothing_left,
    naming,
    says_close,
    show_text,
)
from tester.grading.words import Words
from tester.results import Pointer
from tester.wire.connection import (
    END_TIMEOUT,
    IDLE_TIMEOUT,
    NO_END,
    BadResponse,
    Connection,
    Record,
    WireError,
    begin_connecting,
    begin_narrow,
)
from tester.wire.request import Fields, request_bytes
from tester.wire.response import Response

LATE_END = 0.5  # Seconds after which an end is late: we wait less long for the next ones.
TRIES = 6  # How often a scene is played again when the machine was too slow for it.
LATE_ANSWER = 0.1  # Seconds after which a response is late.
LATE_ANSWERS = 6  # After this many late ones in a row: perhaps the server waits for a silence.
SPINS_AFTER = 0.3  # Seconds of waiting after which we look whether the server runs idle in a loop.
LONGEST_UNUSED = 0.3 * IDLE_TIMEOUT  # Seconds after which a kept connection is not used again.
KEPT_PATIENCE = 1.0  # Seconds to wait for a response on a kept connection: we ask again.
SHORT_END_TIMEOUT = 0.1  # Seconds to wait for an end that did not come last time,
SHORTEST_END_TIMEOUT = 0.01  # and for one that has not come MISSED_ENDS times.
MISSED_ENDS = 10


def put_file(server: Server, name: str, content: bytes) -> str:
    """Put a file into the folder that the attempt serves; return the target that asks for it."""
    path = server.public / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"/files/{quote(name)}"


def list_targets(client: Client) -> list[str]:
    """Return a target of each kind, of all stages: to an earlier stage, it is just one more 404.

    With these, a check tries a rule that holds for every target. `/search` and `/stream` are left
    out, because their responses depend on the query and on the version.
    """
    word, server = client.words.word, client.server
    files = [put_file(server, f"{word()}/{word()} {word()}.txt", client.words.text(300))]
    return [
        *("/", "/about", "/blog", "/user-agent", f"/echo/{word()}%20{word()}/{word()}"),
        *(f"/{word()}", f"/about/{word()}", f"/user-agent/{word()}"),
        *(files if server.with_directory else ()),
    ]


class Client:
    """What a check uses to talk to the attempt. It records every byte."""

    def __init__(self, server: Server, words: Words) -> None:
        """Talk to `server`; nothing is sent yet."""
        self.server = server
        self.words = words
        self.record = Record()
        self.beside: bytes | None = None
        """What another client, which waits meanwhile, has sent; None if no other client matters."""
        self._output_before = (server.output, server.output.written) if server.has_begun else None
        self._connections: list[Connection] = []

    @functools.cached_property
    def kept(self) -> Kept:
        """Asks in the same way, but on a kept connection."""
        return Kept(self)

    def output(self) -> str:
        """Return the end of what the server has printed since this check began."""
        if not self.server.has_begun:
            return ""
        now = self.server.output
        output, before = self._output_before or (now, 0)
        now.catch_up()
        return now.tail(since=before if now is output else 0)

    def connect(self) -> Connection:
        """Open a connection, which is closed when the check is over. Raises WireError."""
        connection = Connection(
            self.server.address,
            self.record,
            self.server.patience,
            most_read=self.server.most_read,
        )
        self._connections.append(connection)
        return connection

    def connect_together(self, count: int) -> list[Connection]:
        """Open `count` connections at the same moment. Raises WireError."""
        address, patience = self.server.address, self.server.patience
        with ExitStack() as begun:
            sockets = begin_connecting(address, count)
            for each in sockets:
                begun.callback(each.close)
            made = [Connection(address, self.record, patience, each) for each in sockets]
            begun.pop_all()
        self._connections += made
        return made

    def connect_narrow(self) -> Connection:
        """Open a connection with small buffers: few unread bytes fit in. Raises WireError."""
        address, begun = self.server.address, begin_narrow(self.server.address)
        self._connections.append(Connection(address, self.record, self.server.patience, begun))
        return self._connections[-1]

    @property
    def longest(self) -> float:
        """For how many seconds the connection was open that was open for longest."""
        return max((connection.open_seconds for connection in self._connections), default=0.0)

    def close(self) -> None:
        """Close every connection of this check."""
        for connection in self._connections:
            connection.close()

    def ask(
        self,
        target: str = "/",
        method: str = "GET",
        fields: Fields = (),
        body: bytes | None = None,
        **options: Any,
    ) -> Response:
        """Send a request on a connection of its own and return the response.

        The request says `Connection: close`, so that stray bytes after the response are seen: they
        fail the check. `options` are those of `request_bytes`.
        Raises CheckFailed, WireError and BadResponse.
        """
        return self.ask_raw(request_bytes(target, method, tuple(fields), body, **options), method)

    def ask_raw(
        self, data: bytes, method: str = "GET", *, seconds: float | None = None
    ) -> Response:
        """Send `data` as it is on a connection of its own and return the response."""
        connection = self.connect()
        self.send_all(connection, data)
        sent = connection.seconds
        response = connection.read_response(method, seconds)
        self.expect_nothing_more(connection, method)
        connection.close()
        self._notice_silence(data, connection.arrivals[0][0] - sent)
        return response

    def expect_nothing_more(self, connection: Connection, method: str = "GET") -> None:
        """Raise CheckFailed if bytes come after the last response, which answered `method`.

        Waits for the end of the connection. It may be late here: that is a rule of its own.
        """
        rest = b""
        try:
            rest = self._await_end(connection)
        except WireError as error:  # Another rule is about resets.
            if error.kind == "flood":
                raise
        expect_no_rest(rest, connection, method)

    def await_end(self, connection: Connection) -> None:
        """Wait for the end of the connection; give up early if the server never rests meanwhile.

        A loop that goes on after a client has left does not end by itself. Raises WireError.
        """
        try:
            connection.read_end(min(SPINS_AFTER, connection.patience))
        except WireError as error:
            left = connection.patience - SPINS_AFTER
            late = error.kind in ("silent", "endless")
            if not late or left <= 0 or self.server.spins():
                raise
            connection.read_end(left)

    def expect_serving(self) -> None:
        """Raise WireError unless the server takes a client: it gets a response, or an end.

        How the connection ends does not matter here: other rules are about that.
        """
        connection = self.connect()
        waited = 0.0
        try:
            waited = self.expect_served(connection)
            self._await_end(connection)
        except WireError as error:
            # A reset does not matter here, unless the server died with it.
            if error.kind != "reset" or self.server.wait_for_exit() is not None:
                raise
        connection.close()
        self._notice_silence(request_bytes("/"), waited)

    def expect_served(self, connection: Connection) -> float:
        """Ask for `/`. Raise WireError unless a response begins, or the connection ends.

        Return how many seconds that took.
        """
        self.send_all(connection, request_bytes("/"))
        sent = connection.seconds
        connection.receive(doing="serving the next client")
        return connection.seconds - sent

    def _await_end(self, connection: Connection) -> bytes:
        """Return what comes until the connection ends; it may stay open.

        The wait is short if an earlier connection stayed open, and shorter if many did. Raises
        WireError for a reset or a flood.
        """
        began, rest = connection.seconds, b""
        short = self.server.missed_ends < MISSED_ENDS
        if self.server.keeps_open:
            connection.half_close()  # Perhaps it ends when it sees that nothing more will come.
        try:
            seconds = SHORT_END_TIMEOUT if short else SHORTEST_END_TIMEOUT
            rest = connection.read_end(seconds if self.server.keeps_open else END_TIMEOUT)
        except WireError as error:
            self.server.missed_ends += 1
            if error.kind in ("reset", "flood"):
                raise
        finally:
            if connection.seconds - began > LATE_END:
                self.server.keeps_open = True
        return rest

    def send_all(self, connection: Connection, data: bytes) -> None:
        """Send `data`, and half-close the connection if the server waits for a silence.

        A server that answers only after a silence does so every time. Where a half-close spares us
        the wait, it gets one: a single fault must not cost a minute.
        """
        connection.send(data)
        if self.server.waits_for_silence:
            connection.half_close()

    def _notice_silence(self, data: bytes, waited: float) -> None:
        """Find out whether the server waits for a silence, once many responses have come late."""
        server = self.server
        server.late_answers = server.late_answers + 1 if waited > LATE_ANSWER else 0
        if server.late_answers != LATE_ANSWERS or not data.startswith(b"GET "):
            return
        with suppress(WireError), Connection(server.address) as connection:
            connection.send(data)
            connection.half_close()
            server.waits_for_silence = bool(connection.receive(waited / 2))


def ask_on(
    connection: Connection,
    /,
    target: str = "/",
    method: str = "GET",
    fields: Fields = (),
    body: bytes | None = None,
    **options: Any,
) -> Response:
    """Send a request on `connection`, which is to stay open, and return the response.

    Raises CheckFailed for bytes that came before the request was sent, WireError, with the number
    of the request on this connection, and BadResponse.
    """
    if connection.has_pending():
        expect_nothing_left(connection.receive(), connection)
    options = {"connection": None} | options
    try:
        connection.send(request_bytes(target, method, tuple(fields), body, **options))
        return connection.read_response(method)
    except WireError as error:
        with naming(f"answering request {_count_requests(connection)} on this connection"):
            raise error
    except BadResponse as error:
        line, number = error.cause.line, _count_requests(connection)
        if number == 1 or line.startswith(b"HTTP/"):
            raise
        raise CheckFailed(
            f"between responses {number - 1} and {number} came bytes that belong to neither",
            f"response {number} directly after the last byte of response {number - 1}",
            show_text(line[:80]),
            Pointer(line[:80], 0),
            connection,
        ) from None


class Kept:
    """Sends one request after the other, on one connection for as long as the server keeps it.

    For checks of stages at which servers keep their connections. That they do is a rule of its
    own. So if a request gets no response, it is sent once more, on a connection of its own, and
    from then on all others are too. Stray bytes fail the check, as they do for `Client.ask`.
    """

    def __init__(self, client: Client) -> None:
        """Ask as `client` does; nothing is sent yet."""
        self._client = client
        self._connection: Connection | None = None
        self._used_at = 0.0
        self._trusts = not client.server.waits_for_silence

    def ask(
        self,
        target: str = "/",
        method: str = "GET",
        fields: Fields = (),
        body: bytes | None = None,
        **options: Any,
    ) -> Response:
        """Send a request and return the response. Raises CheckFailed, WireError and BadResponse."""
        if self._trusts and not options:
            try:
                response = self._ask_on(self._choose(), target, method, fields, body)
                if response.status != 408:  # We waited, and it lost patience.
                    return response
            except WireError as error:
                if error.kind == "flood":
                    raise
                self._trusts = False
            self._connection = None
        return self._client.ask(target, method, fields, body, **options)

    def _choose(self) -> Connection:
        """Return the connection to ask on. Raises CheckFailed if unrequested bytes came on it."""
        connection, unused = self._connection, time.monotonic() - self._used_at
        if connection and unused < LONGEST_UNUSED:
            if connection.has_pending():
                expect_nothing_left(connection.receive(), connection)
            connection.turn_page()  # So that only what fails is shown, and can be repeated.
            return connection
        if connection:  # The server may close it at any moment, and rightly so.
            connection.close()
        self._connection = connection = self._client.connect()
        # A short wait will do: what does not come is asked for again.
        connection.patience = min(connection.patience, KEPT_PATIENCE)
        return connection

    def _ask_on(
        self,
        connection: Connection,
        target: str,
        method: str,
        fields: Fields,
        body: bytes | None,
    ) -> Response:
        """Ask on `connection`, and see to it that nothing comes after the response."""
        connection.send(request_bytes(target, method, tuple(fields), body, connection=None))
        response = connection.read_response(method)
        self._used_at = time.monotonic()
        if connection.has_pending():
            expect_no_rest(connection.receive(), connection, method)
        if connection.ended or says_close(response):
            self._client.expect_nothing_more(connection, method)
            self._connection = None
        return response


def _count_requests(connection: Connection) -> int:
    """Return how many requests were sent on `connection`, provided that each had its response."""
    sent = [message for message in connection.record.messages if message.direction == "sent"]
    return sum(message.connection == connection.number for message in sent)


def repeat_if_slow(
    scene: Callable[[], None],
    patience: float = 0.7 * IDLE_TIMEOUT,
    server: Server | None = None,
) -> None:
    """Play `scene`, in which a client is slow on purpose; play it again if we were too slow.

    A server may hang up on a client after IDLE_TIMEOUT. So a failure proves nothing if the machine
    was so busy that the scene took longer than `patience`. It counts if it comes TRIES times in a
    row, or if it is the `server` that keeps the machine busy, which would only get worse.
    """
    for tries_left in reversed(range(TRIES)):
        began = time.monotonic()
        try:
            scene()
            return
        except (CheckFailed, WireError, BadResponse) as error:
            hopeless = isinstance(error, WireError) and error.kind in NO_END
            if hopeless or not tries_left or time.monotonic() - began < patience:
                raise
            if server is not None and server.spins():
                raise

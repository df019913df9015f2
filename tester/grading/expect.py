"""Facts about answers, one a function: each passes in silence, or raises CheckFailed and says why.

And the means to get answers: `Client`, which asks, and `Words`, which makes up what it says.
"""

from __future__ import annotations

import difflib
import functools
import itertools
import random
import re
import string
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any
from urllib.parse import quote

from tester.attempt import IDLE_TIMEOUT, Server
from tester.response import Response
from tester.results import Pointer
from tester.wire import (
    END_TIMEOUT,
    MEGABYTE,
    NO_END,
    BadResponse,
    Connection,
    Record,
    WireError,
    begin_connecting,
    begin_narrow,
)

MOST_NAMES = 200  # Of the fields of a response, among which one with a similar name is looked for.
ALIKE = 0.8  # From 0 to 1: names that are so like each other are one name, mistyped.
LATE_END = 0.5  # Seconds after which an end is late: the next ones are not waited for as long.
TRIES = 6  # Times that a scene is played for which the machine was too slow.
GZIP = 31  # How zlib is told that data is in gzip format.
MOST_UNPACKED = 16 * MEGABYTE  # Bytes of a body once it is unpacked: no check asks for so many.
MOST_MEMBERS = 1000  # Parts of a body in gzip format: any number is legal, one is usual.
LETTERS = (string.ascii_lowercase * 10)[:256].encode()  # Of each byte, the letter that it becomes.
VOCABULARY = 256  # Different words in a random text: a byte chooses one.
SHORTEST_WORD = 4  # Bytes that a word takes at least, with the space after it.
LATE_ANSWER = 0.1  # Seconds after which an answer is late, and
LATE_ANSWERS = 6  # so many in a row that are late: perhaps the server waits for a silence.
SPINS_AFTER = 0.3  # Seconds of waiting after which we look whether the server computes in vain.
LONGEST_UNUSED = 0.3 * IDLE_TIMEOUT  # Seconds after which a kept connection is not used again.
KEPT_PATIENCE = 1.0  # Seconds to wait for an answer on a kept connection: it is asked for again.
KEPT = 0.3  # Seconds after which a connection that has not ended is being kept.
SHORTEST_END_TIMEOUT = 0.01  # The same where it has not come MISSED_ENDS times.
MISSED_ENDS = 10
SHORT_END_TIMEOUT = 0.1  # Seconds: how long to wait for an end that did not come last time.
Fields = Iterable[tuple[str, str]]


class CheckFailed(AssertionError):
    """A rule does not hold."""

    def __init__(
        self,
        message: str,
        expected: str = "",
        got: str = "",
        pointer: Pointer | None = None,
        connection: Connection | None = None,
        likely: str = "",
    ) -> None:
        """Say what went wrong in one sentence, and show it; `likely` asks for the likely cause."""
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.got = got
        self.pointer = pointer
        self.connection = connection
        self.likely = likely


class Words(random.Random):
    """Random words for paths, names and values: nobody can pass by knowing them beforehand."""

    def word(self, length: int = 8) -> str:
        """Return lower-case letters."""
        return self.randbytes(length).translate(LETTERS).decode("ascii")

    def mixed(self, length: int = 8) -> str:
        """Return letters, capital ones among them: a server must not change them."""
        return self.word(length).capitalize() + self.word(2).upper()

    def data(self, size: int) -> bytes:
        """Return `size` bytes of every value."""
        return self.randbytes(size)

    def text(self, size: int) -> bytes:
        """Return `size` bytes of readable text that gzip can make smaller."""
        ends = itertools.accumulate(3 + byte % 7 for byte in self.randbytes(VOCABULARY))
        letters = self.randbytes(9 * VOCABULARY).translate(LETTERS)
        vocabulary = [letters[start:end] for start, end in itertools.pairwise([0, *ends])]
        words = [vocabulary[byte] for byte in self.randbytes(size // SHORTEST_WORD + 1)]
        lines = (b" ".join(words[i : i + 12]) for i in range(0, len(words), 12))
        return b"\n".join(lines)[:size]


def request_bytes(
    target: str = "/",
    method: str = "GET",
    fields: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
    host: str | None = "localhost",
    connection: str | None = "close",
) -> bytes:
    """Write a request; with a `body`, its Content-Length too unless `fields` frame it.

    >>> request_bytes("/a", connection=None)
    b'GET /a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'
    """
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{name}: {value}" for name, value in fields]
    names = {name.lower() for name, _ in fields}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    if connection is not None and "connection" not in names:
        lines.append(f"Connection: {connection}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Write `chunks` as a chunked body, and the last chunk.

    >>> chunked(b"hello")
    b'5\\r\\nhello\\r\\n0\\r\\n\\r\\n'
    """
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end


def put_file(server: Server, name: str, content: bytes) -> str:
    """Put a file into the folder that the attempt serves; return the target that asks for it."""
    path = server.public / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"/files/{quote(name)}"


def list_targets(client: Client) -> list[str]:
    """Return a target of each kind that is found at any stage; before it, it is one more 404.

    So a rule that holds everywhere is asked for everywhere. `/search` and `/stream`, whose answers
    differ with the query and with the version, are not among them.
    """
    word, server = client.words.word, client.server
    files = [put_file(server, f"{word()}/{word()} {word()}.txt", client.words.text(300))]
    return [
        *("/", "/about", "/blog", "/user-agent", f"/echo/{word()}%20{word()}/{word()}"),
        *(f"/{word()}", f"/about/{word()}", f"/user-agent/{word()}"),
        *(files if server.with_directory else ()),
    ]


class Client:
    """What a check talks to the attempt with; remembers every byte."""

    def __init__(self, server: Server, words: Words) -> None:
        """Talk to `server`; nothing is sent yet."""
        self.server = server
        self.words = words
        self.record = Record()
        self.beside: bytes | None = None
        """What another client has sent that waits meanwhile; None: there is none that matters."""
        self._output_before = (server.output, server.output.written if server.output else 0)
        self._connections: list[Connection] = []

    @functools.cached_property
    def kept(self) -> Kept:
        """Asks as well, on a connection that is kept."""
        return Kept(self)

    def output(self) -> str:
        """Return the end of what the server has printed since this check began."""
        output, before = self._output_before
        now = self.server.output
        if not now:
            return ""
        now.catch_up()
        return now.tail(since=before if now is output else 0)

    def connect(self) -> Connection:
        """Open a connection; it is closed when the check is over. Raises WireError."""
        connection = Connection(
            self.server.address,
            self.record,
            self.server.patience,
            most_read=self.server.most_read,
        )
        self._connections.append(connection)
        return connection

    def connect_together(self, count: int) -> list[Connection]:
        """Open so many connections at the same moment. Raises WireError."""
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
        """Open a connection that holds little of what is not read. Raises WireError."""
        address, begun = self.server.address, begin_narrow(self.server.address)
        self._connections.append(Connection(address, self.record, self.server.patience, begun))
        return self._connections[-1]

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
        """Send a request on a connection of its own and return the answer.

        The connection is asked to end (`Connection: close`), so that stray bytes after the answer
        are seen: they fail the check. `options` are those of `request_bytes`.
        Raises CheckFailed, WireError and BadResponse.
        """
        return self.ask_raw(request_bytes(target, method, tuple(fields), body, **options), method)

    def ask_raw(
        self, data: bytes, method: str = "GET", *, seconds: float | None = None
    ) -> Response:
        """Send `data` as it is on a connection of its own and return the answer."""
        connection = self.connect()
        self.send_all(connection, data)
        sent = connection.seconds
        response = connection.read_response(method, seconds)
        self.expect_nothing_more(connection, method)
        connection.close()
        self._notice_silence(data, connection.arrivals[0][0] - sent)
        return response

    def expect_nothing_more(self, connection: Connection, method: str = "GET") -> None:
        """Raise CheckFailed if bytes come after the last answer that was read, one to `method`.

        Waits for the end of the connection, which a rule of its own demands: here it may be late.
        """
        rest = b""
        try:
            rest = self._await_end(connection)
        except WireError as error:  # A reset is a matter of another rule.
            if error.kind == "flood":
                raise
        expect_no_rest(rest, connection, method)

    def await_end(self, connection: Connection) -> None:
        """Wait for the end of the connection: not to the last if the server never rests meanwhile.

        A loop that goes on when a client has left will not end by itself. Raises WireError.
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
        """Raise WireError unless the server takes a client: it gets an answer, or an end.

        How the connection ends does not matter here: other rules ask for that.
        """
        connection = self.connect()
        waited = 0.0
        try:
            waited = self.expect_served(connection)
            self._await_end(connection)
        except WireError as error:
            # A reset is no matter here, unless it was the server's last breath.
            if error.kind != "reset" or self.server.wait_for_exit() is not None:
                raise
        connection.close()
        self._notice_silence(request_bytes("/"), waited)

    def expect_served(self, connection: Connection) -> float:
        """Ask for `/`. Raise WireError unless an answer begins, or the connection ends.

        Return after how many seconds it did.
        """
        self.send_all(connection, request_bytes("/"))
        sent = connection.seconds
        connection.receive(doing="serving the next client")
        return connection.seconds - sent

    def _await_end(self, connection: Connection) -> bytes:
        """Return what comes until the connection ends; it may stay open. Raises WireError: reset.

        It is not waited for long if one before it stayed open, and less if many did.
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
        """Send all that there is to send, and say so if the server waits for that.

        A server that answers only when nothing came for a while does so each time. It is told that
        nothing more will come, if that helps: one fault must not cost a minute.
        """
        connection.send(data)
        if self.server.waits_for_silence:
            connection.half_close()

    def _notice_silence(self, data: bytes, waited: float) -> None:
        """Find out whether the server waits for a silence, if answers came late again and again."""
        server = self.server
        server.late_answers = server.late_answers + 1 if waited > LATE_ANSWER else 0
        if server.late_answers != LATE_ANSWERS or not data.startswith(b"GET "):
            return
        with suppress(WireError), Connection(server.address) as connection:
            connection.send(data)
            connection.half_close()
            server.waits_for_silence = bool(connection.receive(waited / 2))


@contextmanager
def naming(doing: str) -> Iterator[None]:
    """Let a WireError say what the answer was for that did not come: "answering request 2".

    One that says more already, as when a body breaks off, is left as it is.
    """
    try:
        yield
    except WireError as error:
        if error.doing.startswith("sending the body"):
            raise
        raise WireError(error.kind, error.connection, doing, error.most) from None


@contextmanager
def about(what: str, connection: Connection | None = None) -> Iterator[None]:
    """Let all that fails say what it is about: "request 2 of 3: the status is …"."""
    try:
        with naming(f"answering {what}"):
            yield
    except CheckFailed as error:
        error.message = f"{what}: {error.message}"
        error.connection = error.connection or connection
        raise


def ask_on(
    connection: Connection,
    /,
    target: str = "/",
    method: str = "GET",
    fields: Fields = (),
    body: bytes | None = None,
    **options: Any,
) -> Response:
    """Send a request on `connection`, which is to stay open, and return the answer.

    Raises CheckFailed for bytes that came before it was sent, WireError, which counts the requests
    on this connection, and BadResponse.
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
            f"between answers {number - 1} and {number} came bytes that belong to neither",
            f"answer {number} directly after the last byte of answer {number - 1}",
            _show(line[:80]),
            Pointer(line[:80], 0),
            connection,
        ) from None


class Kept:
    """Asks one request after the other, on one connection for as long as the server keeps it.

    For checks of stages at which servers keep their connections. That they do is a rule of its
    own: so where none comes of a request, it is sent once more, on a connection of its own, and so
    are all after it. Stray bytes fail the check, as they do for `Client.ask`.
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
        """Send a request and return the answer. Raises CheckFailed, WireError and BadResponse."""
        if self._trusts and not options:
            try:
                response = self._ask_on(self._choose(), target, method, fields, body)
                if response.status != 408:  # It has waited for too long while we did.
                    return response
            except WireError as error:
                if error.kind == "flood":
                    raise
                self._trusts = False
            self._connection = None
        return self._client.ask(target, method, fields, body, **options)

    def _choose(self) -> Connection:
        """Return the connection to ask on. Raises CheckFailed if more came than was asked for."""
        connection, unused = self._connection, time.monotonic() - self._used_at
        if connection and unused < LONGEST_UNUSED:
            if connection.has_pending():
                expect_nothing_left(connection.receive(), connection)
            connection.turn_page()  # Only what fails is shown then, and can be repeated.
            return connection
        if connection:  # It may be cut off at any moment, and that would be right.
            connection.close()
        self._connection = connection = self._client.connect()
        # Nothing is waited for long: it would be asked for again.
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
        """Ask on `connection`, and see that nothing comes after the answer."""
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
    """Return how many requests have been sent on `connection`, if each had its response."""
    sent = [message for message in connection.record.messages if message.direction == "sent"]
    return sum(message.connection == connection.number for message in sent)


def fail(message: str, expected: str = "", got: str = "", **more: Any) -> None:
    """Raise CheckFailed."""
    raise CheckFailed(message, expected, got, **more)


def expect(condition: object, message: str, expected: str = "", got: str = "") -> None:
    """Raise CheckFailed unless `condition` holds."""
    if not condition:
        raise CheckFailed(message, expected, got)


def expect_no_rest(rest: bytes, connection: Connection, method: str) -> None:
    """Fail if bytes came after the end of an answer to `method`."""
    if rest and method == "HEAD":
        raise CheckFailed(
            f"the answer to HEAD has a body of {len(rest)} bytes",
            "the head that GET would get, and no body",
            f"{len(rest)} bytes after the head",
            Pointer(rest[:80], 0),
            connection,
        )
    expect_nothing_left(rest, connection)


def expect_nothing_left(rest: bytes, connection: Connection | None = None) -> None:
    """Fail if bytes came after the end of an answer."""
    if rest.startswith(b"HTTP/"):
        raise CheckFailed(
            "one more response came than there were requests",
            "a response to each request, and no more",
            _show(rest[:60]),
            Pointer(rest[:60], 0),
            connection,
            "Is a response sent twice? Or is a part of the request, such as its body, taken for"
            " another request?",
        )
    if rest:
        raise CheckFailed(
            f"{len(rest)} bytes too many came after the end of the answer",
            "nothing after the body's last byte",
            f"{len(rest)} more bytes",
            Pointer(rest[:80], 0),
            connection,
            "Does Content-Length count all of the body, in bytes? `len(text)` counts letters.",
        )


def expect_status(response: Response, *statuses: int, reason: str | None = None) -> None:
    """Fail unless the status code is one of `statuses`, and the reason is `reason` if given."""
    wanted = " or ".join(map(str, statuses)) + (f" {reason}" if reason else "")
    got = f"{response.status} {response.reason}"
    if response.status not in statuses:
        message = f"the status is {got}, not {wanted}"
        raise CheckFailed(message, f"status {wanted}", got, Pointer(response.status_line, 9))
    if reason is not None and response.reason != reason:
        message = f"the words after the status code are {response.reason!r}, not {reason!r}"
        raise CheckFailed(message, wanted, got, Pointer(response.status_line, 13))


def expect_refused(response: Response) -> None:
    """Fail unless the status is a 4xx."""
    if not 400 <= response.status < 500:
        got = f"{response.status} {response.reason}"
        pointer = Pointer(response.status_line, 9)
        raise CheckFailed(f"the status is {got}, not a 4xx", "a 4xx status", got, pointer)


def expect_body(response: Response, expected: bytes) -> None:
    """Fail unless the body is exactly `expected`."""
    if response.body == expected:
        return
    index = _first_difference(response.body, expected)
    if len(response.body) != len(expected):
        message = f"the body has {len(response.body)} bytes, not {len(expected)}"
    else:
        message = f"the body is wrong from byte {index + 1} on"
    start = max(0, index - 30)
    raise CheckFailed(
        message,
        _show(expected[start : index + 50]),
        _show(response.body[start : index + 50]) or "an empty body",
        Pointer(response.body[start : index + 50], index - start),
    )


def unpack(body: bytes, asked: int | None = None, wbits: int = GZIP) -> bytes:
    """Return what a compressed body holds; `asked` is how many bytes were asked for, if known.

    A few bytes may unpack to gigabytes: it is never unpacked further than to MOST_UNPACKED. Raises
    CheckFailed if it is more, zlib.error if it can't be unpacked, and EOFError if it breaks off.
    """
    parts, room = [], MOST_UNPACKED
    for _ in range(MOST_MEMBERS):
        member = zlib.decompressobj(wbits)
        parts.append(member.decompress(body, room + 1))
        room -= len(parts[-1])
        if room < 0:
            raise CheckFailed(
                f"the body unpacks to more than {MOST_UNPACKED // MEGABYTE} MB"
                + (f", where {asked:,} bytes were asked for" if asked is not None else ""),
                f"{asked:,} bytes" if asked is not None else "",
                f"{len(body):,} compressed bytes, which unpack to more and more",
            )
        if not member.eof:
            raise EOFError
        body = member.unused_data.lstrip(b"\0") if wbits == GZIP else b""
        if not body:
            return b"".join(parts)
    raise CheckFailed(
        f"the body consists of more than {MOST_MEMBERS:,} parts, each in gzip format",
        "one part",
    )


def expect_same(response: Response, plain: Response, what: str) -> None:
    """Fail unless `what` was answered as the `plain` request for the same was.

    A page that says that there is nothing here may say more about it: of that, the status is all.
    """
    with about(what):
        expect_status(response, plain.status)
        if plain.status == 200:
            expect_body(response, plain.body)


def expect_field(
    response: Response,
    name: str,
    wanted: str | re.Pattern[str] | Callable[[str], object],
    words: str = "",
) -> None:
    """Fail unless the field is there once and its value is `wanted`.

    `wanted` is the value, a pattern for the whole of it, or a function; `words` say it for people.
    """
    words = words or (wanted if isinstance(wanted, str) else getattr(wanted, "pattern", ""))
    _expect_presence(response, name, words)
    values = response.values(name)
    if len(values) > 1:
        message = f"the field {name} comes {len(values)} times"
        raise CheckFailed(message, f"{name} once", f"{len(values)} lines of {name}")
    value = values[0]
    if isinstance(wanted, str):
        good: object = value == wanted
    elif isinstance(wanted, re.Pattern):
        good = wanted.fullmatch(value)
    else:
        good = wanted(value)
    if not good:
        line = response.field_line(name)
        index = line.index(b":") + 1
        index += len(line[index:]) - len(line[index:].lstrip(b" \t"))
        message = f"{name} is {value!r}, not {words}"
        raise CheckFailed(message, f"{name}: {words}", f"{name}: {value}", Pointer(line, index))


def expect_said(response: Response, name: str, words: str) -> None:
    """Fail unless the field is there and says something; that it comes once is another rule."""
    _expect_presence(response, name, words)
    said = (response.field(name) or "").strip(" \t,")
    expect(said, f"the field {name} is empty", f"{name}: {words}", f"{name}:")


def _expect_presence(response: Response, name: str, words: str) -> None:
    """Fail unless the field is there, whatever its value; `words` say what it should be."""
    if not response.values(name):
        message = f"the answer has no field {name}"
        got, pointer = f"no field {name} in the head", None
        names = {other.lower(): other for other, _ in response.fields[:MOST_NAMES]}
        names = {other: names[other] for other in names if len(other) < 2 * len(name)}
        if near := difflib.get_close_matches(name.lower(), names, 1, ALIKE):
            got += f", but one that is called {names[near[0]]}"
            pointer = Pointer(response.field_line(near[0]), 0)
        raise CheckFailed(message, f"{name}: {words}", got, pointer)


def expect_no_field(response: Response, name: str, why: str) -> None:
    """Fail if the field is there; `why` ends the sentence "the answer has Content-Length, …"."""
    if response.values(name):
        line = response.field_line(name)
        message = f"the answer has {name}, {why}"
        raise CheckFailed(
            message, f"no field {name}", line.decode("latin-1").strip(), Pointer(line, 0)
        )


def expect_media_type(response: Response, *types: str) -> None:
    """Fail unless the Content-Type is one of `types`, whatever its parameters and letter case."""
    expect_field(
        response,
        "Content-Type",
        lambda value: value.split(";")[0].strip().lower() in types,
        " or ".join(types),
    )


def expect_option(response: Response, option: str) -> None:
    """Fail unless the list in the field Connection has `option` in it, in any letter case."""
    expect_field(
        response,
        "Connection",
        lambda value: option in [one.strip().lower() for one in value.split(",")],
        option,
    )


def expect_length(response: Response, length: int) -> None:
    """Fail unless Content-Length is there once and says `length`; zeros before it do not matter."""
    expect_field(response, "Content-Length", re.compile(f"0*{length}"), str(length))


def expect_length_field(response: Response) -> None:
    """Fail unless the end of the body is told by Content-Length."""
    if response.framing == "end" or response.field("Content-Length") is None:
        expect_length(response, len(response.body))


def expect_end(connection: Connection, seconds: float = END_TIMEOUT) -> None:
    """Fail unless the server closes the connection now, in good order, without another byte."""
    expect_nothing_left(connection.read_end(seconds), connection)


def says_close(response: Response) -> bool:
    """Return whether a response says that the connection ends after it."""
    options = (response.field("Connection") or "").lower().split(",")
    return "close" in [option.strip(" \t") for option in options]


def expect_end_or_second(connection: Connection, request: bytes) -> None:
    """Fail unless the connection ends in good order after the answer, or serves a second request.

    The second, if the answer says its length and not that the connection ends.
    """
    doing = "closing the connection after its answer"
    connection.send(request)
    try:
        with naming(doing):
            response = connection.read_response()
    except BadResponse:  # Other rules ask for its form.
        connection.read_end(connection.patience, doing)
        return
    except WireError as error:
        if error.kind != "closed":
            raise
        return
    try:
        kept = response.framing != "end" and not says_close(response)
        connection.read_end(KEPT if kept else connection.patience, doing)
    except WireError as error:
        if not kept or error.kind == "reset":
            raise
        expect_second(connection, request)


def expect_second(connection: Connection, request: bytes) -> None:
    """Fail unless a connection that was kept answers `request` once more; it may end meanwhile."""
    try:
        with naming("closing the connection, or answering a second request on it"):
            connection.send(request)
            connection.read_response()
    except WireError as error:
        if error.kind not in ("closed", "reset"):
            raise


def expect_no_more_answers(connection: Connection, why: str) -> None:
    """Fail if another answer comes, or the connection stays open. A reset is an end too.

    `why` ends the sentence "the server went on answering, although …".
    """
    try:
        rest = connection.read_end()
    except WireError as error:
        if error.kind != "reset":
            raise
        return
    if rest.startswith(b"HTTP/"):
        raise CheckFailed(
            f"the server went on answering, although {why}",
            "the end of the connection",
            _show(rest[:60]),
            Pointer(rest[:60], 0),
            connection,
        )
    expect_nothing_left(rest, connection)


def expect_body_is_no_request(
    connection: Connection, words: Words, what: str, *, may_wait: bool = False
) -> None:
    """Fail if `what`, the body of a refused request, is read as the next one; the end will do.

    With `may_wait` silence will do as well: not all of the body has come.
    """
    word = words.word()
    try:
        connection.send(request_bytes(f"/echo/{word}", connection=None))
        response = connection.read_response()
    except WireError as error:
        if error.kind not in ("closed", "reset") and not (may_wait and error.kind == "silent"):
            raise
        return
    if response.status != 200 or response.body != word.encode():
        raise CheckFailed(
            f"{what} was read as the next request",
            f"the answer to GET /echo/{word}, or the end of the connection",
            f"{response.status} {response.reason}, with the body {_show(response.body[:60])}",
            connection=connection,
        )


def repeat_if_slow(
    scene: Callable[[], None],
    patience: float = 0.7 * IDLE_TIMEOUT,
    server: Server | None = None,
) -> None:
    """Play `scene`, in which a client is slow on purpose: again, if it fails as we were too slow.

    A server may hang up on a client after IDLE_TIMEOUT: if the machine is so busy that the scene
    took longer than `patience`, its failure proves nothing, unless it comes TRIES times in a row;
    or if it is the `server` that keeps the machine busy, which only gets worse.
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


def _first_difference(one: bytes, other: bytes) -> int:
    """Return the first index at which the two differ."""
    low, high = 0, min(len(one), len(other))
    while low < high:  # Up to `low` they agree; each time, half of the rest is compared.
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _show(data: bytes) -> str:
    """Return bytes as one line of text, the way Python writes them."""
    return repr(data)[1:] if data else ""

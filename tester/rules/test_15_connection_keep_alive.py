"""Stage 15, Connection Keep-Alive: one connection carries many requests."""

import contextlib
import time
from collections.abc import Iterable
from statistics import median

from tester.attempt.server import Server
from tester.grading.client import Client, ask_on, put_file, repeat_if_slow
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_field,
    expect_nothing_left,
    expect_refused,
    expect_status,
    fail,
    says_close,
)
from tester.grading.follow import expect_body_is_no_request, expect_no_more_answers
from tester.grading.words import Words
from tester.ladder.rule import edge, waits
from tester.rules.kinds import Kind, make_gets, make_posts, make_rare, make_refused
from tester.wire.connection import IDLE_TIMEOUT, NO_END, Connection, WireError
from tester.wire.request import request_bytes
from tester.wire.response import Response

STAGE = 15
IDLE_DEADLINE = 11.0  # Seconds within which an idle connection must end; README.md says 10.
BUSY = 1.3 * IDLE_TIMEOUT  # Seconds for which a busy connection must last,
BUSY_PAUSE = 0.2 * IDLE_TIMEOUT  # with pauses of this length: far shorter than the idle timeout.
CUT_PAUSE = 0.03  # Seconds between two pieces, so that the first is read before the second comes.
QUIET = 0.3  # Seconds for which nothing may come to a client that has its response.
THOUGHT = 0.6 * IDLE_TIMEOUT  # Seconds before a head: less than the idle timeout.
HEAD_PAUSES = (0.45 * IDLE_TIMEOUT, 0.25 * IDLE_TIMEOUT)  # Seconds within it; with THOUGHT, more.
MANY = 500  # Requests on one connection.
LEAST = 100  # Requests after which a server may end the connection, as it may have a limit.
LONG_HEAD = 80 * 1024  # Bytes: over the limit of 64 KB.
USUAL = "Date", "Server", "Content-Length", "Content-Type"  # Fields of every response.
STANDSTILL = 8.0  # Seconds for which Date may stay the same, as at stage 9.
LOOK = 0.1  # Seconds between two looks at it: far shorter than the idle timeout.
STALL = 0.03  # Seconds: a held-back packet costs 0.04, a healthy response less than 0.001.


def test_answers_many_requests_on_one_connection(client: Client, words: Words) -> None:
    """One connection carries many requests, each answered before the next is sent.

    Why: A new connection for each request costs time. In HTTP/1.1 a connection stays open until one
        side says `Connection: close` (RFC 9112 section 9.3).
    Hint: Put a loop around "read a request, answer it". Do not close after a response, and do not
        say `Connection: close` in it, unless the client asked for that.
    """
    connection = client.connect()
    expect_status(ask_on(connection, "/"), 200)
    for _ in range(20):
        word = words.word()
        response = ask_on(connection, f"/echo/{word}")
        expect_status(response, 200)
        expect_body(response, word.encode())
        expect_staying(response)


def test_safety_on_a_kept_connection(client: Client, words: Words, server: Server) -> None:
    """Every request on a connection is kept inside the folder, not only the first one.

    Why: A check of one request says nothing about the next. Each of them may be an attack (RFC 9110
        section 17.3).
    Hint: Find the file and check where it lies for every request, in the function that serves it.
    """
    name, secret = f"{words.word()}.txt", words.word(30).encode()
    (server.scratch / name).write_bytes(secret)
    inside = put_file(server, f"{words.word()}.txt", words.data(10))
    connection = client.connect()
    outside = f"/files/../{name}", f"/files/%2e%2e/{name}"
    gzip = [("Accept-Encoding", "gzip")]  # From stage 16 on, files may be found differently.
    plain: list[tuple[str, list[tuple[str, str]]]]
    plain = [(target, []) for target in (inside, outside[0], inside, outside[1])]
    for target, fields in (*plain, *((one, gzip) for one in outside)):
        response = ask_on(connection, target, fields=fields)
        if secret in response.body or (target in outside and response.status == 200):
            fail(
                f"{target}, on a kept connection, returned a file from outside the folder",
                "a 4xx status, and nothing of the file",
                f"{response.status} {response.reason}, with the contents of the file",
                connection=connection,
            )
        if says_close(response):
            connection = client.connect()


def test_keeps_the_connection_on_every_path(client: Client, words: Words, server: Server) -> None:
    """On every path, with GET and POST, the connection stays open and the response is the same.

    Why: A page, its style sheet and its images come over one connection, and so does the form that
        is sent back. Each request must be answered as if it were the first (RFC 9112 section 9.3).
    Hint: Put the loop around everything that serves a request. Start each request with a new
        object, so that no path, field or body of an earlier one is left over.
    """
    kinds = [*make_gets(words, server), *make_posts(words)]
    words.shuffle(kinds)
    walk(client, kinds)
    connection, agent = client.connect(), words.mixed()
    with about("/user-agent without a User-Agent, after one that had it", connection):
        ask_on(connection, "/user-agent", fields=[("User-Agent", agent)])
        expect(
            agent.encode() not in ask_on(connection, "/user-agent").body,
            "the response has the User-Agent of the request before it",
            "nothing from an earlier request",
            agent,
        )


def test_sees_what_changed_between_two_requests(
    client: Client, words: Words, server: Server
) -> None:
    """A file that changes between two requests on one connection is sent as it is now.

    Why: A connection may stay open for hours. A client that asks again wants to see what is new.
    Hint: Read the file for each request. If you keep what you have read, check that the file has
        not changed since: `path.stat()` gives its size and the time of its last change.
    """
    connection, name = client.connect(), f"{words.word()}.txt"
    for number, size in enumerate((300, 300, 40, 900), 1):
        with about(f"version {number} of a file that changes on disk", connection):
            text = words.text(size)
            target = put_file(server, name, text)
            expect_body(ask_on(connection, target), text)
    text = words.text(500)
    with about("a file that was replaced by a POST on the same connection", connection):
        response = ask_on(connection, target, "POST", body=text)
        if response.status < 400:
            expect_body(ask_on(connection, target), text)
    (server.public / name).unlink()
    with about("a file that was deleted on disk", connection):
        expect_status(ask_on(connection, target), 404)


def test_reads_each_body_to_its_end(client: Client, words: Words) -> None:
    """Requests with bodies follow each other on one connection.

    Why: The next request begins right after a body's last byte. With one byte too few or too many,
        the next request is nonsense (RFC 9112 section 6.3).
    Hint: Read exactly as many bytes as Content-Length says. Those that came with the head count,
        too.
    """
    connection = client.connect()
    text = words.text(40)
    for body in (text, b"", b"\r\n\r\n" + words.text(9) + b"\r\n", words.data(70_000)):
        response = ask_on(connection, "/echo", "POST", body=body)
        expect_status(response, 200)
        expect_body(response, body)
        word = words.word()
        expect_body(ask_on(connection, f"/echo/{word}"), word.encode())


def test_serves_several_connections_in_turn(client: Client, words: Words) -> None:
    """Several connections are open at once, and are used in turn.

    Why: A browser keeps about six connections to a server open. One that is open but idle must not
        hold up the others, and what belongs to one must not appear on another.
    Hint: Give each connection its own thread and its own variables. None of them may be global, or
        an attribute of an object that all connections share.
    """

    def scene() -> None:
        """Ask on four connections, three times on each, while others are half sent, or end."""
        connections = [client.connect() for _ in range(4)]
        for ending in ("1.1", "1.0", "1.1"):
            body, half = words.text(60), client.connect()
            data = request_bytes("/echo", "POST", body=body, connection=None)
            half.send(data[:-30])
            ask_on(client.connect(), "/", version=ending, connection="close")
            for connection in words.sample(connections, len(connections)):
                word = words.word()
                response = ask_on(connection, f"/echo/{word}")
                expect_status(response, 200)
                expect_body(response, word.encode())
            half.send(data[-30:])
            with about("a POST whose body came in two pieces, while others asked", half):
                expect_body(half.read_response("POST"), body)

    repeat_if_slow(scene)


def test_obeys_connection_close(client: Client, words: Words) -> None:
    """After a request with `Connection: close` the response says so too, and is the last one.

    Why: The client says that it will send nothing more. A server that goes on waiting keeps the
        connection open for nothing (RFC 9112 section 9.6).
    Hint: Look for `close` in the Connection field of each request. If it is there, add
        `Connection: close` to the response and leave the loop.
    """
    for earlier in (0, 2):
        connection = client.connect()
        for _ in range(earlier):
            expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        word = words.word()
        response = ask_on(connection, f"/echo/{word}", connection="close")
        expect_status(response, 200)
        expect_body(response, word.encode())
        expect_closing(response)
        expect_last_answer(connection, words, "the request said Connection: close")


def test_obeys_connection_close_everywhere(client: Client, words: Words, server: Server) -> None:
    """`Connection: close` is obeyed on every path, for POST and for errors too.

    Why: A client that sends it may wait for the end of the connection, whatever it has asked for
        (RFC 9112 section 9.6).
    Hint: Decide in one place whether the connection stays open: where all responses pass through,
        not in the functions that make them.
    """
    for kind in (*make_gets(words, server), *make_posts(words), *make_refused(words)):
        connection = client.connect()
        with about(f"{kind} with Connection: close", connection):
            expect_closing(kind.ask_on(connection, connection="close"))
            expect_last_answer(connection, words, "the request said Connection: close")


def test_http_1_0_closes_by_default(client: Client, words: Words, server: Server) -> None:
    """After a request in HTTP/1.0 the server closes the connection.

    Why: In HTTP/1.0 the end of the connection was the end of the response. Such a client may wait
        for it forever (RFC 9112 section 9.3).
    Hint: Keep the version from the request line. Treat HTTP/1.0 without `Connection: keep-alive`
        like `Connection: close`.
    """
    kinds = (*make_gets(words, server), *make_posts(words), *make_refused(words))
    for kind in (Kind(f"/echo/{words.word()}"), *kinds):
        connection = client.connect()
        with about(f"{kind} in HTTP/1.0", connection):
            try:
                kind.ask_on(connection, version="1.0")
            except WireError as error:
                if kind.method == "GET" or error.kind not in ("closed", "reset"):
                    raise
                continue  # It has ended, and that is what this rule asks for.
            expect_last_answer(
                connection, words, "the request came in HTTP/1.0, without keep-alive"
            )


@waits
def test_closes_an_idle_connection(client: Client, words: Words) -> None:
    """A connection on which no further request comes is closed after the idle timeout.

    Why: Clients forget connections, or vanish without a goodbye. Each open connection costs memory,
        and a server can have only a limited number of them (RFC 9112 section 9.5).
    Hint: Call `connection.settimeout(seconds)` before the second request, too, and close when
        `recv` raises TimeoutError. The seconds are in the environment variable IDLE_TIMEOUT; use 5
        if it is not set.
    """
    idle = []
    for kind in (Kind(f"/echo/{words.word()}"), *make_posts(words)[:2], Kind(f"/{words.word()}")):
        connection = client.connect()
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        kind.ask_on(connection)
        idle.append(connection)
    deadline = time.monotonic() + IDLE_DEADLINE
    for connection in idle:  # They all wait at the same time.
        try:
            rest = connection.read_end(max(LOOK, deadline - time.monotonic()))
        except WireError as error:
            if error.kind == "reset":
                continue
            raise
        if not rest.startswith(b"HTTP/1.1 408"):
            expect_nothing_left(rest, connection)


@edge
@waits
def test_busy_connection_stays_open(client: Client, words: Words) -> None:
    """A connection that is in use may last longer than the idle timeout.

    Why: The idle timeout is there for connections that nobody uses (RFC 9112 section 9.5).
        Otherwise a client that goes on asking is cut off in the middle of its work.
    Hint: Start the idle timeout again for each request. Do not count it once for the whole
        connection.
    """

    def scene() -> None:
        """Ask again and again, with a short pause after each response."""
        connection, asked = client.connect(), 0.0
        while asked < BUSY:  # So the last request comes when that time is over.
            word, asked = words.word(), connection.seconds
            try:
                response = ask_on(connection, f"/echo/{word}")
            except WireError as error:
                if error.kind in NO_END:
                    raise
                fail(
                    f"a busy connection was closed after {connection.seconds:.1f} s",
                    f"a response: no pause was longer than {BUSY_PAUSE:.1f} s, and IDLE_TIMEOUT is"
                    f" {IDLE_TIMEOUT} s",
                    "the end of the connection",
                    connection=connection,
                )
            expect_status(response, 200)
            expect_body(response, word.encode())
            time.sleep(BUSY_PAUSE)  # Not a wait for anything: the gap is what is being tested.

    repeat_if_slow(scene, BUSY + 0.7 * IDLE_TIMEOUT)


@edge
@waits
def test_date_goes_on_on_a_kept_connection(client: Client) -> None:
    """`Date` keeps up with the clock on a connection that stays open, too.

    Why: A connection may stay open for hours. If `Date` stood still, the last response on it would
        look as old as the first, and a cache would throw it away at once (RFC 9110 section 6.6.1).
    Hint: Make `Date` where the head of each response is written, not where the connection begins.
    """
    first, connection = client.ask("/"), client.connect()
    kept = ask_on(connection, "/")
    deadline = time.monotonic() + STANDSTILL
    while (now := ask_on(connection, "/")).field("Date") == kept.field("Date"):
        if says_close(now):
            connection = client.connect()
            kept = ask_on(connection, "/")
        if time.monotonic() > deadline:
            new = client.ask("/").field("Date")
            expect(
                new == first.field("Date"),  # Still everywhere? Another rule is about that.
                f"Date stood still for {STANDSTILL:g} s on a kept connection",
                f"the time of each response, as on a new connection: {new}",
                f"the same time again and again: {now.field('Date')}",
            )
            return
        time.sleep(LOOK)  # Not a wait for the server: the clock has to move on.


@edge
def test_connection_field_is_a_list(client: Client, words: Words) -> None:
    """`Connection` is a list: `close` counts anywhere in it, in any letter case.

    Why: `Connection: Foo, CLOSE` says `close` as well. The field may also come twice, which means
        the same as one list (RFC 9110 sections 5.3 and 7.6.1).
    Hint: Join the lines with a comma, convert them to lower case, split at commas, and strip each
        part.
    """
    name = words.word()
    for lines in (
        ["CLOSE"],
        [f"{name}, Close"],
        [f"close ,{name}"],
        [f"{name},\tclOse,{words.word()}"],
        [name, "close"],
    ):
        connection = client.connect()
        fields = [("Connection", line) for line in lines]
        response = ask_on(connection, f"/echo/{words.word()}", fields=fields)
        expect_status(response, 200)
        said = " and ".join(f"Connection: {line}" for line in lines)
        expect_closing(response, said)
        expect_last_answer(connection, words, f"the request said {said}")


@edge
def test_http_1_0_can_ask_to_stay(client: Client, words: Words, server: Server) -> None:
    """An HTTP/1.0 connection stays open with `Connection: keep-alive`, and the response says so.

    Why: Old clients and load testers ask this way. They believe that the connection stays open only
        if the response says `Connection: keep-alive` (RFC 9112 sections 9.3 and C.2.2).
    Hint: If `keep-alive` is in the request's Connection list, in any letter case, do not close, and
        send `Connection: keep-alive`.
    """
    connection = client.connect()
    for value in ("keep-alive", "Keep-Alive", f"{words.word()}, keep-alive"):
        word = words.word()
        response = ask_on(connection, f"/echo/{word}", version="1.0", connection=value)
        expect_status(response, 200)
        expect_body(response, word.encode())
        expect_staying(response, "1.0")
    walk(client, [*make_gets(words, server), *make_posts(words)], version="1.0")


@edge
def test_says_whether_the_connection_stays(client: Client, words: Words, server: Server) -> None:
    """A response says `Connection: close` if the connection ends after it, for errors and HEAD too.

    Why: Otherwise a client sends its next request into a connection that ends, and does not know
        whether it was read (RFC 9112 section 9.6).
    Hint: Let one variable decide both: what the field Connection says, and whether the loop goes
        on.
    """
    refused = [kind for kind in make_refused(words) if kind.body is None]
    for kind in (*refused, *make_rare(words, server)):
        if kind.method == "HEAD":
            kind.ask(client)  # Fails here if it has a body: what follows would prove nothing.
        connection, word = client.connect(), words.word()
        response = kind.ask_on(connection)
        with about(f"{kind} and the request after it", connection):
            if "close" in list_connection(response):
                expect_last_answer(connection, words, "the response said Connection: close")
                continue
            try:
                after = ask_on(connection, f"/echo/{word}")
            except WireError as error:
                if error.kind == "silent":
                    raise
                fail(
                    "the connection ended, but the response did not say Connection: close",
                    "Connection: close, or a connection that stays open",
                    f"Connection: {response.field('Connection')}",
                )
            expect_status(after, 200)
            expect_body(after, word.encode())
            response = kind.ask_on(connection, connection="close")
            expect_closing(response)
            expect_last_answer(connection, words, "the request said Connection: close")


@edge
def test_five_hundredth_request_is_like_the_first(
    client: Client, words: Words, server: Server
) -> None:
    """Five hundred requests on one connection are all answered, the last one like the first.

    Why: Load testers and proxies send thousands of requests over one connection. A server may end
        it after a hundred or more, but must say so: `Connection: close` (RFC 9112 section 9.6).
    Hint: What you keep from one request to the next must not grow: no list of requests, no buffer
        that is never cut, no file that stays open, no function that calls itself for the next
        request.
    """
    file = put_file(server, f"{words.word()}.txt", text := words.text(600))
    connection, number = client.connect(), 0
    for _ in range(MANY):
        number += 1
        word = words.word()
        kind, wanted = {
            0: (Kind(file), text),
            1: (Kind("/echo", "POST", body=word.encode()), word.encode()),
        }.get(number % 10, (Kind(f"/echo/{word}"), word.encode()))
        with about(f"request {number} on one connection", connection):
            response = kind.ask_on(connection)
            expect_status(response, 200)
            expect_body(response, wanted)
            if "close" in list_connection(response):
                expect(
                    number >= LEAST,
                    "the response says Connection: close, but the client wants to go on",
                    f"no Connection: close before request {LEAST}",
                    f"Connection: {response.field('Connection')}",
                )
                connection, number = client.connect(), 0


@edge
@waits
def test_head_has_its_time_from_its_first_byte(client: Client, words: Words) -> None:
    """The time for a head starts with its first byte, not with the response before it.

    Why: A client may pause before it asks. If the pause counts as time for the head, a client that
        was quick enough is cut off (RFC 9112 section 9.5).
    Hint: There are two waits: one for the first byte of the next request, and one for the rest of
        its head. Give each its own time limit.
    """

    needed = sum(HEAD_PAUSES)

    def scene() -> None:
        """Ask, pause, and send a head in three pieces."""
        connection, word = client.connect(), words.word()
        expect_status(ask_on(connection, f"/echo/{word}"), 200)
        data = request_bytes(f"/echo/{word}", connection=None)
        try:
            for pause, piece in zip(
                (THOUGHT, *HEAD_PAUSES), (data[:9], data[9:30], data[30:]), strict=True
            ):
                time.sleep(pause)  # Not a wait for anything: the gap is what is being tested.
                connection.send(piece)
            response: Response | None = connection.read_response()
        except WireError as error:
            if error.kind in NO_END:
                raise
            response = None
        if response is None or response.status == 408:
            fail(
                f"a request whose head took {needed:.2f} s was cut off, because the client had"
                f" paused for {THOUGHT:.2f} s before it",
                f"a response: neither was longer than IDLE_TIMEOUT, {IDLE_TIMEOUT} s",
                "408 Request Timeout" if response else "the end of the connection",
                connection=connection,
            )
        expect_status(response, 200)
        expect_body(response, word.encode())

    repeat_if_slow(scene, THOUGHT + needed + 0.2 * IDLE_TIMEOUT)


@edge
@waits
def test_client_that_hangs_up_ends_the_connection(client: Client, words: Words) -> None:
    """When a client closes its side after a response, the server closes the connection at once.

    Why: Nothing more will come. A server that does not notice waits for nothing, or reads the end
        again and again without a pause, and takes the processor from everybody else.
    Hint: When the client has closed, `recv` returns `b""`: leave the loop then. Do not go on with
        `continue`, and do not wait for more.
    """
    for sent in (b"", b"GET /echo/", request_bytes(f"/echo/{words.word()}", connection=None)):
        connection = client.connect()
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        began = time.monotonic()
        if sent:
            connection.send(sent)
        connection.half_close()
        try:
            connection.read_end(connection.patience)
        except WireError as error:
            if error.kind != "reset":
                fail(
                    "the client has closed its side, but the server keeps the connection open",
                    "the end of the connection",
                    f"nothing for {time.monotonic() - began:.1f} s",
                    connection=connection,
                )


@edge
def test_body_of_a_refused_request_is_no_request(
    client: Client, words: Words, server: Server
) -> None:
    """The body of a request that is refused (404, 405, 501) is not taken for the next request.

    Why: The body comes even if nobody wants it. If it is left in the connection, the server reads
        it as a request: an attacker can hide requests in bodies (RFC 9112 sections 9.3 and 11.2).
    Hint: Before the next request, read the rest of the body and throw it away; or say
        `Connection: close` and close.
    """
    file = put_file(server, f"{words.word()}.txt", words.text(20))
    asked = (
        *(("POST", path) for path in (f"/{words.word()}", "/about", "/files/", "/user-agent")),
        *(("GET", path) for path in ("/", f"/echo/{words.word()}", file, f"/{words.word()}")),
        *(("PUT", path) for path in ("/search", f"/{words.word()}")),
        *((method, "/blog") for method in ("DELETE", "OPTIONS", "HEAD", words.word().upper())),
    )
    hidden = request_bytes(f"/echo/{words.word()}", connection=None)
    word = words.word(30).encode()
    whole = [(method, path, word) for method, path in asked if method == "POST"]
    whole += [(method, path, hidden) for method, path in asked]
    kinds = [Kind(path, method, body=body) for method, path, body in whole]
    kinds += kinds[-len(asked) :]

    def scene() -> None:
        """Send each on its own connection; the last ones in two pieces, head and body."""
        connections = [client.connect() for _ in kinds]
        pairs = list(zip(kinds, connections, strict=True))
        late = pairs[-len(asked) :]
        for number, (kind, connection) in enumerate(pairs):
            cut = len(kind.data) - (len(hidden) if number >= len(whole) else 0)
            connection.send(kind.data[:cut])
        time.sleep(CUT_PAUSE)  # Not a wait for anything: the gap is what is being tested.
        for _, connection in late:
            with contextlib.suppress(WireError):  # It may have hung up, which is as good.
                connection.send(hidden)
        time.sleep(CUT_PAUSE)  # So that the next request comes in a packet of its own.
        for kind, connection in pairs:
            response = connection.read_response(kind.method)
            if kind.method == "POST":
                expect_refused(response)
            expect_body_is_no_request(connection, words, f"the body of {kind}")

    repeat_if_slow(scene)


@edge
@waits
def test_rest_of_what_is_too_long_is_no_request(client: Client, words: Words) -> None:
    """After 413, 414 or 431, the rest of the request is not taken for the next one.

    Why: The server has stopped reading in the middle. What comes next is the rest of that request,
        and an attacker chooses what it says (RFC 9112 sections 9.6 and 11.2).
    Hint: Close the connection after such a response: say `Connection: close`, and leave the loop.
    """
    long = words.word(LONG_HEAD)
    for what, data in (
        ("a body of 10 GB", upload_head("/echo", 10**10)),
        ("an upload of 10 GB", upload_head(f"/files/{words.word()}", 10**10)),
        ("a target of 80 KB", request_bytes(f"/echo/{long}", connection=None)),
        ("a field of 80 KB", request_bytes("/", fields=[("X-Long", long)], connection=None)),
    ):
        connection = client.connect()
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        try:
            connection.send(data)
            response = connection.read_response()
            if response.status == 413:  # What comes now is a part of the body.
                connection.send(request_bytes(f"/echo/{words.word()}", connection=None))
        except WireError:
            continue  # It hangs up, or waits for the rest: other rules ask for a response.
        if response.status in (413, 414, 431):
            expect_body_is_no_request(connection, words, f"the rest of {what}", may_wait=True)


def upload_head(target: str, length: int) -> bytes:
    """Return the head of a POST with a body of `length` bytes, which is still to come."""
    return request_bytes(target, "POST", [("Content-Length", str(length))], connection=None)


@edge
def test_closes_after_400(client: Client, words: Words) -> None:
    """After a 400 response the server closes the connection, and does not say that it stays open.

    Why: Nobody can know where a malformed request ends: whatever comes next may be a part of it
        (RFC 9112 section 9.6).
    Hint: Treat a malformed request like `Connection: close`: answer, then leave the loop.
    """
    length, name = [("Content-Length", words.word())], words.word()
    sure = (
        f"{words.word()}\r\n\r\n".encode(),
        request_bytes("/echo", "POST", length, b"", connection=None),
    )
    rare = (
        request_bytes(
            "/echo", "POST", [("Content-Length", "5"), ("Content-Length", "6")], b"12345"
        ),
        request_bytes("/", fields=[(f"{name} ", name)], connection=None),
        request_bytes("/", connection=None).replace(b"Host:", b"Host"),
        request_bytes("/", host=None, connection=None),
        request_bytes("/", version="1.1\n", connection=None),
    )
    for bad in (*sure, *rare):
        connection = client.connect()
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        connection.send(bad)
        response = connection.read_response()
        if bad in rare and response.status != 400:
            continue  # Whether it must be refused is another rule.
        expect_status(response, 400)
        expect(
            "keep-alive" not in list_connection(response),
            "the 400 response says keep-alive, but the connection must end after it",
            "Connection: close",
            f"Connection: {response.field('Connection')}",
        )
        expect_last_answer(connection, words, "the request before it got 400")


@edge
@waits
def test_no_continue_after_the_answer(client: Client, words: Words) -> None:
    """After the response no `100 Continue` follows: it is too late to ask for the body.

    Why: A client that sends `Expect: 100-continue` keeps its body back if it gets a 404 instead. It
        would take what comes then for its next response (RFC 9110 section 10.1.1).
    Hint: Close the connection after such a response: nobody knows whether the body will come.
    """
    connection = client.connect()
    fields = [("Expect", "100-continue"), ("Content-Length", "20")]
    connection.send(request_bytes(f"/{words.word()}", "POST", fields, connection=None))
    response = connection.read_response("POST", interim=True)
    if response.status == 100:
        return  # It asks for the body first, which is as good.
    expect_refused(response)
    try:
        rest = connection.receive(QUIET)
    except WireError:
        return  # It waits for the body, or has hung up.
    expect_nothing_left(rest, connection)


@edge
def test_no_stall_between_requests(client: Client, words: Words, server: Server) -> None:
    """No response on a kept connection is held back for 40 ms.

    Why: If head and body are sent by two calls, the system holds the second back until the client
        has confirmed the first, and the client's system takes 40 ms for that (Nagle's algorithm).
    Hint: Send head and body with one `sendall`; or call, once for each connection,
        `connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)`.
    """
    file = put_file(server, f"{words.word()}.txt", words.text(3000))
    gets = [Kind(path) for path in (f"/echo/{words.word()}", file)]
    for kind in (*gets, Kind("/echo", "POST", body=words.text(300))):
        for _ in range(2):  # Only a delay that comes again is the server's doing.
            first, later = time_answers(client, kind)
            if later < STALL or later < first + STALL:
                break
        else:
            fail(
                f"on a kept connection each response to {kind} takes {later * 1000:.0f} ms, but on"
                f" a new one the first takes {first * 1000:.1f} ms",
                "every response at once",
                "a packet that is held back for 40 ms",
            )


def time_answers(client: Client, kind: Kind) -> tuple[float, float]:
    """Return how many seconds the first response on a connection takes, and the fastest later one.

    A packet that is held back is late each time. So the best time shows it, whatever the load.
    """
    firsts = []
    for count in (1, 1, 24):
        connection, seconds = client.connect(), []
        for _ in range(count):
            began = time.monotonic()
            expect_status(kind.ask_on(connection), 200)
            seconds.append(time.monotonic() - began)
        firsts.append(seconds[0])
    return median(firsts), min(seconds[-8:])


def walk(client: Client, kinds: Iterable[Kind], version: str = "1.1") -> None:
    """Send all on one connection; fail unless it stays open, and each gets its usual response.

    A request that is refused on its own connection as well is a matter for other rules. The
    connection may then end, if the response says so.
    """
    connection, before = client.connect(), ""
    wish = "keep-alive" if version == "1.0" else None
    for kind in kinds:
        alone = kind.ask(client, version=version) if kind.repeats else None
        with about(f"{kind}{before}", connection):
            response = kind.ask_on(connection, version=version, connection=wish)
            if alone:
                expect_status(response, alone.status)
            if alone and alone.status == 200:
                expect_body(response, alone.body)
            for name in USUAL:
                expect(
                    response.values(name) or not (alone and alone.values(name)),
                    f"the response has no field {name}, but the same request on a connection of"
                    " its own gets one",
                    f"{name}, as in every response",
                    f"no field {name} in the head",
                )
            if response.status < 400:
                expect_staying(response, version)
        before = f", after {kind} on the same connection"
        if "close" in list_connection(response):
            connection, before = client.connect(), ""


def expect_staying(response: Response, version: str = "1.1") -> None:
    """Fail if the response says close or, in HTTP/1.0, does not say keep-alive."""
    said = list_connection(response)
    expect(
        "close" not in said,
        "the response says Connection: close, but the client wants to go on",
        "Connection: keep-alive, or no Connection field",
        f"Connection: {response.field('Connection')}",
    )
    if version == "1.0":
        expect_field(response, "Connection", lambda _: "keep-alive" in said, "keep-alive")


def list_connection(response: Response) -> list[str]:
    """Return the members of the Connection field, in lower case."""
    return [part.strip() for part in (response.field("Connection") or "").lower().split(",")]


def expect_closing(response: Response, said: str = "Connection: close") -> None:
    """Fail unless the response says `Connection: close`."""
    value = response.field("Connection")
    expect(
        "close" in list_connection(response),
        f"the request said {said}, but the response does not say Connection: close",
        "Connection: close",
        "no Connection field" if value is None else f"Connection: {value}",
    )


def expect_last_answer(connection: Connection, words: Words, why: str) -> None:
    """Fail if the server answers another request, or does not close; `why` says why it must not.

    A server that closes only by its idle timeout still answers the other request.
    """
    with contextlib.suppress(WireError):  # It may have hung up already.
        connection.send(request_bytes(f"/echo/{words.word()}", connection=None))
    expect_no_more_answers(connection, why)

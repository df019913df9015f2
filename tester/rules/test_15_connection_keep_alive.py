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
IDLE_DEADLINE = 11.0  # Seconds until an idle connection must have ended; 10 are promised.
BUSY = 1.3 * IDLE_TIMEOUT  # Seconds that a busy connection lasts at least,
BUSY_PAUSE = 0.2 * IDLE_TIMEOUT  # with such pauses: far shorter than the idle timeout.
CUT_PAUSE = 0.03  # Seconds between two pieces, so that the first is read before the second comes.
QUIET = 0.3  # Seconds in which nothing may come to a client that has its answer.
THOUGHT = 0.6 * IDLE_TIMEOUT  # Seconds before a head, and within it: less than it may be idle,
HEAD_PAUSES = (0.45 * IDLE_TIMEOUT, 0.25 * IDLE_TIMEOUT)  # but more than that together.
MANY = 500  # Requests on one connection; 100 of them at least, as a server may have a limit.
LEAST = 100
LONG_HEAD = 80 * 1024  # Bytes: over the limit of 64 KB.
USUAL = "Date", "Server", "Content-Length", "Content-Type"  # What every response says.
STANDSTILL = 8.0  # Seconds that a Date may stay the same, as at stage 9,
LOOK = 0.1  # and between two looks at it: far less than a connection may be idle.
STALL = 0.03  # Seconds: a held-back packet costs 0.04, a healthy answer less than 0.001.


def test_answers_many_requests_on_one_connection(client: Client, words: Words) -> None:
    """One connection carries many requests, each answered before the next is sent.

    Why: A new connection for each request costs time. In HTTP/1.1 a connection stays open until one
        side says `Connection: close` (RFC 9112 section 9.3).
    Hint: Put a loop around "read a request, answer it". Do not close after an answer, and do not
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
    """A later request on a connection leads out of the folder as little as the first one.

    Why: What was checked for one request says nothing about the next. Each may be an attack
        (RFC 9110 section 17.3).
    Hint: Find and check the file for every request, in the function that serves it.
    """
    name, secret = f"{words.word()}.txt", words.word(30).encode()
    (server.scratch / name).write_bytes(secret)
    inside = put_file(server, f"{words.word()}.txt", words.data(10))
    connection = client.connect()
    outside = f"/files/../{name}", f"/files/%2e%2e/{name}"
    gzip = [("Accept-Encoding", "gzip")]  # From stage 16 on, a file may be found in another way.
    plain = [(target, []) for target in (inside, outside[0], inside, outside[1])]
    for target, fields in (*plain, *((one, gzip) for one in outside)):
        response = ask_on(connection, target, fields=fields)
        if secret in response.body or (target in outside and response.status == 200):
            fail(
                f"{target}, on a kept connection, brought a file that lies outside the folder",
                "a 4xx status, and nothing of the file",
                f"{response.status} {response.reason}, with what is in the file",
                connection=connection,
            )
        if says_close(response):
            connection = client.connect()


def test_keeps_the_connection_on_every_path(client: Client, words: Words, server: Server) -> None:
    """The connection stays on every path, with GET and POST, and each response is what it was.

    Why: A page, its style and its pictures come over one connection, and so does the form that is
        sent back. Each request must be answered as if it were the first (RFC 9112 section 9.3).
    Hint: The loop belongs around all of it. Forget what belongs to a request (its path, its fields,
        its body) before you read the next one: make a new object for each.
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
            "nothing of the request before",
            agent,
        )


def test_sees_what_changed_between_two_requests(
    client: Client, words: Words, server: Server
) -> None:
    """A file that changes between two requests on one connection is sent as it is now.

    Why: A connection may stay open for hours. A client that asks again wants to see what is new.
    Hint: Read the file for each request. If you keep what you have read, see whether the file is
        still the same: `path.stat()` tells its size and the time of its last change.
    """
    connection, name = client.connect(), f"{words.word()}.txt"
    for number, size in enumerate((300, 300, 40, 900), 1):
        with about(f"a file that was changed {number - 1} times on disk", connection):
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

    Why: Behind a body's last byte the next request begins. A byte too few or too many, and the next
        request is nonsense (RFC 9112 section 6.3).
    Hint: Read exactly as many bytes as Content-Length says: those that came with the head count.
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

    Why: A browser keeps some six connections to a server open. A connection that is only kept must
        not hold up the others, and what belongs to one must not be found on another.
    Hint: Give each connection a thread and variables of its own; none may be global, and none may
        be an attribute of an object that all connections share.
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
    """After a request with `Connection: close` the answer says so too, and is the last one.

    Why: The client says that it sends nothing more. If the server goes on waiting, the connection
        is open for nothing (RFC 9112 section 9.6).
    Hint: Look for `close` in the Connection field of each request. If it is there, add `Connection:
        close` to the answer and leave the loop.
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
    """`Connection: close` is obeyed on every path, with POST too, and if the response is an error.

    Why: A client that says it may wait for the end of the connection, whatever it has asked for
        (RFC 9112 section 9.6).
    Hint: Decide in one place whether the connection stays: where all responses pass through, and
        not in the function that answers.
    """
    for kind in (*make_gets(words, server), *make_posts(words), *make_refused(words)):
        connection = client.connect()
        with about(f"{kind} with Connection: close", connection):
            expect_closing(kind.ask_on(connection, connection="close"))
            expect_last_answer(connection, words, "the request said Connection: close")


def test_http_1_0_closes_by_default(client: Client, words: Words, server: Server) -> None:
    """After a request in HTTP/1.0 the server closes the connection.

    Why: In HTTP/1.0 the end of the connection was the end of the answer. Such a client may wait for
        it for ever (RFC 9112 section 9.3).
    Hint: Keep the version from the request line: HTTP/1.0 without `Connection: keep-alive` is as
        good as `Connection: close`.
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

    Why: Clients forget connections, and vanish without a goodbye. Each open connection costs
        memory, and a server can only have so many (RFC 9112 section 9.5).
    Hint: `connection.settimeout(seconds)` also before the second request; close when `recv` raises
        TimeoutError. The seconds are in the environment variable IDLE_TIMEOUT, 5 if it is not set.
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

    Why: The idle timeout is there for connections that nobody uses (RFC 9112 section 9.5). A client
        that goes on asking would be cut off in the middle of its work.
    Hint: Count the idle timeout anew for each request, not once for the connection.
    """

    def scene() -> None:
        """Ask again and again."""
        connection, asked = client.connect(), 0.0
        while asked < BUSY:  # So the last question comes when that time is over.
            word, asked = words.word(), connection.seconds
            try:
                response = ask_on(connection, f"/echo/{word}")
            except WireError as error:
                if error.kind in NO_END:
                    raise
                fail(
                    f"a busy connection was closed after {connection.seconds:.1f} s",
                    f"an answer: no pause was longer than {BUSY_PAUSE:.1f} s, and IDLE_TIMEOUT is"
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
    """`Date` goes on with the clock on a connection that stays open, too.

    Why: A connection may stay open for hours. The last response on it would look as old as the
        first, and a cache would throw it away at once (RFC 9110 section 6.6.1).
    Hint: Make `Date` where the head of a response is written, not where the connection begins.
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
                new == first.field("Date"),  # Nowhere does it go on: a rule of its own asks for it.
                f"Date stood still for {STANDSTILL:g} s on a kept connection",
                f"the time of each response, as on a new connection: {new}",
                f"the same time again and again: {now.field('Date')}",
            )
            return
        time.sleep(LOOK)  # Not a wait for the server: it is the clock that must go on.


@edge
def test_connection_field_is_a_list(client: Client, words: Words) -> None:
    """`Connection` is a list: `close` counts anywhere in it, in any letter case.

    Why: `Connection: Foo, CLOSE` says `close` as well. The field may also come twice, which is the
        same as one list (RFC 9110 sections 5.3 and 7.6.1).
    Hint: Join the lines with a comma, turn them to lower case, split at commas, strip each part.
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
    """In HTTP/1.0 with `Connection: keep-alive` the connection stays open, and the answer says so.

    Why: Old clients and load testers ask this way. They believe that the connection stays only if
        the answer says `Connection: keep-alive` (RFC 9112 sections 9.3 and C.2.2).
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
    """A response says `Connection: close` if the connection ends after it, errors and HEAD too.

    Why: A client that is not told sends its next request into a connection that ends, and does not
        know whether it was read (RFC 9112 section 9.6).
    Hint: Let one variable decide both: what the field Connection says, and whether the loop goes
        on.
    """
    refused = [kind for kind in make_refused(words) if kind.body is None]
    for kind in (*refused, *make_rare(words, server)):
        if kind.method == "HEAD":
            kind.ask(client)  # If it has a body, what follows it proves nothing.
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
        that is never cut, no file that stays open, no function that calls itself for the next one.
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
    """The time for a head counts from its first byte, not from the response before it.

    Why: A client may think before it asks. If that time is taken off the time for the head, a
        client is cut off that was quick enough (RFC 9112 section 9.5).
    Hint: There are two waits: one for the first byte of the next request, and one for the rest of
        its head. Each has a time of its own.
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
            response = connection.read_response()
        except WireError as error:
            if error.kind in NO_END:
                raise
            response = None
        if response is None or response.status == 408:
            fail(
                f"a request was cut off whose head took {needed:.2f} s, as the client had paused"
                f" for {THOUGHT:.2f} s before it",
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
    """When a client closes its side after a response, the server closes the connection, at once.

    Why: Nothing more will come. A server that does not see it waits for nothing, or reads the end
        again and again without a pause, and takes the processor from everybody else.
    Hint: `recv` returns `b""` when the client has closed: leave the loop then. Do not go on with
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

    Why: The body comes even if nobody wants it. If it stays in the connection, the server reads it
        as a request: an attacker can hide requests in bodies (RFC 9112 sections 9.3 and 11.2).
    Hint: Before the next request, read what is left of the body and forget it; or say `Connection:
        close` and close.
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
        """Send each on a connection of its own; the last ones in two pieces: head, and body."""
        connections = [client.connect() for _ in kinds]
        pairs = list(zip(kinds, connections, strict=True))
        late = pairs[-len(asked) :]
        for number, (kind, connection) in enumerate(pairs):
            cut = len(kind.data) - (len(hidden) if number >= len(whole) else 0)
            connection.send(kind.data[:cut])
        time.sleep(CUT_PAUSE)  # Not a wait for anything: the gap is what is being tested.
        for _, connection in late:
            with contextlib.suppress(WireError):  # It may have hung up: as good.
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
    """After 413, 414 or 431, what is left of the request is not taken for the next one.

    Why: The server has stopped reading in the middle. What comes then is the rest of that request,
        and an attacker chooses what stands in it (RFC 9112 sections 9.6 and 11.2).
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
    """Return the head of a POST with a body of `length` bytes, which has yet to come."""
    return request_bytes(target, "POST", [("Content-Length", str(length))], connection=None)


@edge
def test_closes_after_400(client: Client, words: Words) -> None:
    """After an answer 400 the server closes the connection, and does not say that it stays open.

    Why: A request that can't be understood has no end that can be trusted: whatever comes next may
        be a part of it (RFC 9112 section 9.6).
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
            continue  # That it must be refused is a rule of its own.
        expect_status(response, 400)
        expect(
            "keep-alive" not in list_connection(response),
            "the answer 400 says keep-alive, but the connection must end after it",
            "Connection: close",
            f"Connection: {response.field('Connection')}",
        )
        expect_last_answer(connection, words, "the request before it got 400")


@edge
@waits
def test_no_continue_after_the_answer(client: Client, words: Words) -> None:
    """When a request has its answer, no `100 Continue` follows: it is too late to ask for the body.

    Why: A client that sends `Expect: 100-continue` keeps its body back if it hears a 404 instead.
        It would take what comes then for its next answer (RFC 9110 section 10.1.1).
    Hint: Close the connection after such an answer: nobody knows whether the body will come.
    """
    connection = client.connect()
    fields = [("Expect", "100-continue"), ("Content-Length", "20")]
    connection.send(request_bytes(f"/{words.word()}", "POST", fields, connection=None))
    response = connection.read_response("POST", interim=True)
    if response.status == 100:
        return  # It asks before it answers: that is as good.
    expect_refused(response)
    try:
        rest = connection.receive(QUIET)
    except WireError:
        return  # It waits for the body, or has hung up.
    expect_nothing_left(rest, connection)


@edge
def test_no_stall_between_requests(client: Client, words: Words, server: Server) -> None:
    """On a kept connection no answer is held back for 40 ms.

    Why: If head and body go out by two calls, the system holds the second back until the client has
        confirmed the first, and the client's system takes 40 ms for that (Nagle's algorithm).
    Hint: Send head and body by one `sendall`; or call, once for each connection,
        `connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)`.
    """
    file = put_file(server, f"{words.word()}.txt", words.text(3000))
    gets = [Kind(path) for path in (f"/echo/{words.word()}", file)]
    for kind in (*gets, Kind("/echo", "POST", body=words.text(300))):
        for _ in range(2):  # Only what happens again and again is the server's doing.
            first, later = time_answers(client, kind)
            if later < STALL or later < first + STALL:
                break
        else:
            fail(
                f"on a kept connection each response to {kind} takes {later * 1000:.0f} ms, but on"
                f" a new one the first takes {first * 1000:.1f} ms",
                "every answer at once",
                "a packet that is held back for 40 ms",
            )


def time_answers(client: Client, kind: Kind) -> tuple[float, float]:
    """Return the seconds until the first response on a connection, and at best until later ones.

    A packet that is held back is late each time, so the best time tells, and load does not matter.
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
    """Send all on one connection; fail unless it stays, and each gets what it gets elsewhere.

    What is refused on a connection of its own as well is a matter of other rules: the connection
    may then end, if the response says so.
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
            for name in USUAL if alone else ():
                expect(
                    response.values(name) or not alone.values(name),
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
    """Fail if the response says close; in HTTP/1.0, unless it says keep-alive."""
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
    """Fail unless the answer says `Connection: close`."""
    value = response.field("Connection")
    expect(
        "close" in list_connection(response),
        f"the request said {said}, but the answer does not say Connection: close",
        "Connection: close",
        "no Connection field" if value is None else f"Connection: {value}",
    )


def expect_last_answer(connection: Connection, words: Words, why: str) -> None:
    """Fail if the server answers another request, or does not close; `why` it must not.

    That another request gets no answer tells an end at once from one by the idle timeout.
    """
    with contextlib.suppress(WireError):  # It may have hung up already.
        connection.send(request_bytes(f"/echo/{words.word()}", connection=None))
    expect_no_more_answers(connection, why)

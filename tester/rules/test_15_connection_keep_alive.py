"""Stage 15, Connection Keep-Alive: one connection carries many requests."""

import contextlib
import time
from statistics import median

from tester.attempt import IDLE_TIMEOUT, Server
from tester.facts import (
    Client,
    Words,
    ask_on,
    expect,
    expect_body,
    expect_body_is_no_request,
    expect_field,
    expect_no_more_answers,
    expect_nothing_left,
    expect_refused,
    expect_status,
    fail,
    put_file,
    repeat_if_slow,
    request_bytes,
)
from tester.response import Response
from tester.suite import edge, waits
from tester.wire import Connection, WireError

STAGE = 15
IDLE_DEADLINE = 11.0  # Seconds until an idle connection must have ended; 10 are promised.
BUSY = 1.3 * IDLE_TIMEOUT  # Seconds that a busy connection lasts at least,
BUSY_PAUSE = 0.2 * IDLE_TIMEOUT  # with such pauses: far shorter than the idle timeout.
QUIET = 0.3  # Seconds in which nothing may come to a client that has its answer.
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
        expect(
            "close" not in list_connection(response),
            "the answer says Connection: close, but the client wants to go on",
            "Connection: keep-alive, or no Connection field",
            f"Connection: {response.field('Connection')}",
        )


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
    Hint: Give each connection a thread and variables of its own; none may be global.
    """

    def scene() -> None:
        """Ask on four connections, three times on each."""
        connections = [client.connect() for _ in range(4)]
        for _ in range(3):
            for connection in words.sample(connections, len(connections)):
                word = words.word()
                response = ask_on(connection, f"/echo/{word}")
                expect_status(response, 200)
                expect_body(response, word.encode())

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


def test_http_1_0_closes_by_default(client: Client, words: Words) -> None:
    """After a request in HTTP/1.0 the server closes the connection.

    Why: In HTTP/1.0 the end of the connection was the end of the answer. Such a client may wait for
        it for ever (RFC 9112 section 9.3).
    Hint: Keep the version from the request line: HTTP/1.0 without `Connection: keep-alive` is as
        good as `Connection: close`.
    """
    connection = client.connect()
    word = words.word()
    response = ask_on(connection, f"/echo/{word}", version="1.0")
    expect_status(response, 200)
    expect_body(response, word.encode())
    expect_last_answer(connection, words, "the request came in HTTP/1.0, without keep-alive")


@waits
def test_closes_an_idle_connection(client: Client, words: Words) -> None:
    """A connection on which no further request comes is closed after the idle timeout.

    Why: Clients forget connections, and vanish without a goodbye. Each open connection costs
        memory, and a server can only have so many (RFC 9112 section 9.5).
    Hint: `connection.settimeout(seconds)` also before the second request; close when `recv` raises
        TimeoutError. The seconds are in the environment variable IDLE_TIMEOUT, 5 if it is not set.
    """
    connection = client.connect()
    for _ in range(2):
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
    try:
        rest = connection.read_end(IDLE_DEADLINE)
    except WireError as error:
        if error.kind == "reset":
            return
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
                if error.kind == "silent":
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
def test_http_1_0_can_ask_to_stay(client: Client, words: Words) -> None:
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
        expect_field(
            response,
            "Connection",
            lambda _, response=response: "keep-alive" in list_connection(response),
            "keep-alive",
        )


@edge
def test_body_of_a_refused_request_is_no_request(client: Client, words: Words) -> None:
    """The body of a request that is refused (404, 405) is not taken for the next request.

    Why: The body comes even if nobody wants it. If it stays in the connection, the server reads it
        as a request: an attacker can hide requests in bodies (RFC 9112 sections 9.3 and 11.2).
    Hint: Before the next request, read what is left of the body and forget it; or say `Connection:
        close` and close.
    """
    for method, path in (("POST", f"/{words.word()}"), ("POST", "/about"), ("GET", "/")):
        hidden = request_bytes(f"/echo/{words.word()}", connection=None)
        for body in (hidden, words.word(30).encode()):
            connection = client.connect()
            response = ask_on(connection, path, method, body=body)
            if method == "POST":
                expect_status(response, 404, 405)
            expect_body_is_no_request(connection, words, f"the body of {method} {path}")


@edge
def test_closes_after_400(client: Client, words: Words) -> None:
    """After an answer 400 the server closes the connection, and does not say that it stays open.

    Why: A request that can't be understood has no end that can be trusted: whatever comes next may
        be a part of it (RFC 9112 section 9.6).
    Hint: Treat a malformed request like `Connection: close`: answer, then leave the loop.
    """
    length = [("Content-Length", words.word())]
    for bad in (
        f"{words.word()}\r\n\r\n".encode(),
        request_bytes("/echo", "POST", length, b"", connection=None),
    ):
        connection = client.connect()
        expect_status(ask_on(connection, f"/echo/{words.word()}"), 200)
        connection.send(bad)
        response = connection.read_response()
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
    for path in (f"/echo/{words.word()}", file):
        for _ in range(2):  # Only what happens again and again is the server's doing.
            first, later = time_answers(client, path)
            if later < STALL or later < first + STALL:
                break
        else:
            fail(
                f"on a kept connection each answer for {path} takes {later * 1000:.0f} ms, but on a"
                f" new one the first takes {first * 1000:.1f} ms",
                "every answer at once",
                "a packet that is held back for 40 ms",
            )


def time_answers(client: Client, path: str) -> tuple[float, float]:
    """Return the seconds until the first answer on a connection, and at best until the later ones.

    A packet that is held back is late each time, so the best time tells, and load does not matter.
    """
    firsts = []
    for count in (1, 1, 24):
        connection, seconds = client.connect(), []
        for _ in range(count):
            began = time.monotonic()
            expect_status(ask_on(connection, path), 200)
            seconds.append(time.monotonic() - began)
        firsts.append(seconds[0])
    return median(firsts), min(seconds[-8:])


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

"""Stage 17, HTTP Pipelining: requests that come together are answered one by one, in order."""

import contextlib
import time

from tester.attempt.server import Server
from tester.grading.client import Client, put_file, repeat_if_slow
from tester.grading.expect import about, expect_body, expect_status, fail, says_close
from tester.grading.follow import expect_no_more_answers
from tester.grading.words import Words
from tester.ladder.rule import edge
from tester.rules.kinds import Kind, make_gets, make_posts, make_rare, make_refused
from tester.wire.connection import Connection, WireError
from tester.wire.request import request_bytes

STAGE = 17
CUT_PAUSE = 0.03  # Seconds between two pieces, so that the first is read before the second comes.


def test_answers_three_requests_sent_together(client: Client, words: Words) -> None:
    """Three requests that come in one packet get three responses, in order.

    Why: A client need not wait for a response before it sends the next request. One `recv` may then
        bring several requests (RFC 9112 section 9.3.2).
    Hint: Keep one buffer for each connection. Take one request out of it, and leave there what
        comes after it: that is the beginning of the next. Call `recv` only if the buffer does not
        hold a whole request.
    """
    texts = [words.word() for _ in range(3)]
    connection = client.connect()
    connection.send(join_requests([f"/echo/{text}" for text in texts]))
    expect_answers(connection, [text.encode() for text in texts])
    client.expect_nothing_more(connection)
    connection = client.connect()
    connection.send(join_requests([f"/{texts[0]}", f"/echo/{texts[1]}"]))
    with about("an unknown path, and a request after it", connection):
        response = connection.read_response()
        expect_status(response, 404)
        if not says_close(response):
            expect_answers(connection, [texts[1].encode()])


def test_answers_a_hundred_requests_in_order(client: Client, words: Words, server: Server) -> None:
    """A hundred requests sent together get a hundred responses, in the order of the requests.

    Why: Nothing in a response says which request it belongs to: only the order does. A short
        response must wait for a long one before it (RFC 9112 section 9.3.2).
    Hint: Answer the requests of one connection one after the other, in one thread. Do not start a
        thread for each request. Lose no request when `recv` ends in the middle of one.
    """
    targets, bodies = [], []
    for number in range(100):
        if number % 25 == 0:
            body = words.data(60_000)
            targets.append(put_file(server, f"{words.word()}.bin", body))
        else:
            word = words.word(words.randint(1, 60))
            body = word.encode()
            targets.append(f"/echo/{word}")
        bodies.append(body)
    connection = client.connect()
    connection.send(join_requests(targets))
    expect_answers(connection, bodies)
    client.expect_nothing_more(connection)


def test_requests_may_be_cut_at_any_byte(client: Client, words: Words) -> None:
    """It does not matter where the bytes of the requests are cut into packets.

    Why: TCP carries a stream of bytes, not messages. A packet may end inside a line, between CR and
        LF, or in a body; the next one may then hold the rest and half of the next request (RFC 9112
        section 2.2).
    Hint: Add what `recv` returns to the buffer, then search the whole buffer. Never look only at
        the bytes that came last.
    """
    one, other, body = words.word(), words.word(), b"\r\n" + words.text(12) + b"\r\n\r\n"
    first = request_bytes(f"/echo/{one}", connection=None)
    second = request_bytes("/echo", "POST", body=body, connection=None)
    third = request_bytes(f"/echo/{other}")
    data = first + second + third
    ends = (len(first), len(first + second) - len(body), len(first + second), len(data))
    cuts = {end - back for end in ends for back in (3, 2, 1, 0)} | {6, ends[0] + 1, ends[2] + 9}
    cuts |= {ends[1] - 5, ends[2] - 7} | set(words.sample(range(1, len(data)), 4))
    cuts.discard(len(data))
    wanted = [one.encode(), body, other.encode()]

    def scene() -> None:
        """Send them in two pieces, cut at another place on each connection."""
        connections = {cut: client.connect() for cut in sorted(cuts)}
        for cut, connection in connections.items():
            connection.send(data[:cut])
        time.sleep(CUT_PAUSE)  # Not a wait for anything: the gap is what is being tested.
        for cut, connection in connections.items():
            connection.send(data[cut:])
        for cut, connection in connections.items():
            expect_answers(connection, wanted, f"sent in two pieces, cut after byte {cut}")
            client.expect_nothing_more(connection)

    repeat_if_slow(scene)
    connection = client.connect()
    for index in range(len(data)):
        connection.send(data[index : index + 1])
    expect_answers(connection, wanted, "sent byte by byte")
    client.expect_nothing_more(connection)


def test_answers_what_follows_a_body(client: Client, words: Words) -> None:
    """A POST with its body and the GET right after it are both answered.

    Why: The body ends after as many bytes as Content-Length says, and the very next byte begins the
        next request (RFC 9112 sections 6.3 and 9.3.2).
    Hint: Take the body out of the same buffer as the head: exactly as many bytes as Content-Length
        says.
    """
    body = words.text(40) + request_bytes(f"/echo/{words.word()}", connection=None)
    one, other, name = words.word(), words.word(), f"{words.word()}.txt"
    connection = client.connect()
    connection.send(
        request_bytes("/echo", "POST", body=body, connection=None)
        + request_bytes(f"/echo/{one}", connection=None)
        + request_bytes(f"/files/{name}", "POST", body=body, connection=None)
        + request_bytes("/echo", "POST", body=b"", connection=None)
        + request_bytes(f"/echo/{other}")
    )
    answers = (200, body), (200, one.encode()), (201, None), (200, b""), (200, other.encode())
    for number, (status, wanted) in enumerate(answers, 1):
        with about(f"request {number} of {len(answers)}, sent together", connection):
            response = connection.read_response()
            expect_status(response, status)
            if wanted is not None:
                expect_body(response, wanted)
    client.expect_nothing_more(connection)
    expect_body(client.ask(f"/files/{name}"), body)


@edge
def test_sees_what_the_request_before_has_done(client: Client, words: Words) -> None:
    """A GET right after a POST sees what the POST has stored.

    Why: Only requests that change nothing may be worked on at the same time. What follows a POST
        has to wait until the POST is done (RFC 9112 section 9.3.2).
    Hint: Answer a request before you begin the next one. A server that works on several at once
        must wait until each POST is done.
    """
    connection, name = client.connect(), f"{words.word()}.txt"
    bodies = [words.text(30), words.text(70_000), words.text(20)]
    pairs = [
        request_bytes(f"/files/{name}", "POST", body=body, connection=None)
        + request_bytes(f"/files/{name}", connection=None)
        for body in bodies
    ]
    connection.send(b"".join(pairs))
    for number, body in enumerate(bodies, 1):
        with about(f"POST {number} of {len(bodies)} and the GET after it", connection):
            expect_status(connection.read_response("POST"), 200, 201, 204)
            response = connection.read_response()
            expect_status(response, 200)
            expect_body(response, body)


def test_every_kind_of_request_may_be_sent_together(
    client: Client, words: Words, server: Server
) -> None:
    """Requests for all paths, with GET and POST, are answered in order when they come together.

    Why: A proxy sends the requests of many clients over one connection. Where one request ends and
        the next begins does not depend on what it asks for (RFC 9112 section 9.3.2).
    Hint: Read every request in one place, before you look at its path: first the head, then as many
        bytes as its Content-Length says.
    """
    kinds = [*make_gets(words, server), *make_posts(words)]
    words.shuffle(kinds)
    check_together(client, kinds)


@edge
def test_head_and_other_methods_may_be_sent_together(
    client: Client, words: Words, server: Server
) -> None:
    """HEAD, OPTIONS and requests that are refused are answered in order, too.

    Why: A response to HEAD has no body, so the next response begins right after its head. If client
        and server disagree about that, everything after it is lost (RFC 9112 section 6.3).
    Hint: Leave out the body for HEAD in the place where all responses are sent, errors too. A
        request that is refused ends the connection only if its response says so.
    """
    rare = [*make_rare(words, server), *make_refused(words)]
    kinds = [kind for one in rare for kind in (one, Kind(f"/echo/{words.word()}"))]
    check_together(client, kinds)


def test_nothing_after_connection_close_is_answered(
    client: Client, words: Words, server: Server
) -> None:
    """Requests after one with `Connection: close` are neither answered nor carried out.

    Why: Such a request is the last one. What follows it does not count, and the client could not
        know whether it was carried out (RFC 9112 section 9.6).
    Hint: Leave the loop after that response, and throw the rest of the buffer away.
    """
    for method, path, options in (
        ("GET", f"/echo/{words.word()}", {"connection": "close"}),
        ("GET", f"/{words.word()}", {"connection": "close"}),
        ("POST", "/echo", {"connection": "close", "body": words.text(20)}),
        ("POST", f"/files/{words.word()}.txt", {"connection": "close", "body": words.text(20)}),
        ("GET", f"/echo/{words.word()}", {"connection": None, "version": "1.0"}),
        ("POST", "/echo", {"connection": None, "version": "1.0", "body": words.text(20)}),
    ):
        one, name, connection = words.word(), f"{words.word()}.txt", client.connect()
        last = request_bytes(path, method, **options)
        connection.send(
            request_bytes(f"/echo/{one}", connection=None)
            + last
            + request_bytes(f"/files/{name}", "POST", body=b"late", connection=None)
            + request_bytes(f"/echo/{words.word()}", connection=None)
        )
        expect_answers(connection, [one.encode()])
        old = "version" in options
        why = "a request came in HTTP/1.0" if old else "a request said Connection: close"
        with about(f"{method} {path}, the last request", connection):
            connection.read_response()  # It may be 400, as more comes than the client announced.
            expect_no_more_answers(connection, why)
        if (server.public / name).exists():
            fail(
                f"{why}, but the POST after it was carried out: {name} exists",
                "no such file",
                connection=connection,
            )


@edge
def test_bad_request_in_the_middle(client: Client, words: Words) -> None:
    """Requests before a malformed one are answered. Then it gets 400, and the connection ends.

    Why: The requests before it are in order, and must not be lost. Nobody knows where the malformed
        one ends, so nothing after it can be trusted (RFC 9112 sections 2.2 and 9.6).
    Hint: Answer each request before you look at the next. After 400, close.
    """
    one, other = words.word(), words.word()
    for bad in (
        f"{words.word()}\r\n\r\n".encode(),
        request_bytes("/", fields=[("Content-Length", words.word())], connection=None),
    ):
        connection = client.connect()
        connection.send(
            request_bytes(f"/echo/{one}", connection=None)
            + request_bytes(f"/echo/{other}", connection=None)
            + bad
            + request_bytes(f"/echo/{words.word()}", connection=None)
        )
        expect_answers(connection, [one.encode(), other.encode()])
        with about("the malformed request after two good ones", connection):
            expect_status(connection.read_response(), 400)
        expect_no_more_answers(connection, "a malformed request had got 400")


@edge
def test_skips_an_empty_line_before_a_request(client: Client, words: Words) -> None:
    """An empty line before a request is skipped.

    Why: Some old clients send an extra CR LF after the body of a POST. It does not belong to any
        request (RFC 9112 section 2.2).
    Hint: If a request begins with `\\r\\n`, drop those two bytes before you look for its end.
    """
    one, other, body = words.word(), words.word(), words.text(20)
    connection = client.connect()
    connection.send(
        b"\r\n"
        + request_bytes(f"/echo/{one}", connection=None)
        + request_bytes("/echo", "POST", body=body, connection=None)
        + b"\r\n"
        + request_bytes(f"/echo/{other}")
    )
    expect_answers(connection, [one.encode(), body, other.encode()])
    client.expect_nothing_more(connection)


def join_requests(targets: list[str]) -> bytes:
    """Return GET requests for `targets`; the last one says `Connection: close`."""
    requests = [request_bytes(target, connection=None) for target in targets[:-1]]
    return b"".join([*requests, request_bytes(targets[-1])])


def check_together(client: Client, kinds: list[Kind]) -> None:
    """Send all at once; fail unless each gets, in order, what it gets on its own connection.

    After a response that says close, the rest is sent again on another connection.
    """
    alone = [kind.ask(client) for kind in kinds]
    start = 0
    while start < len(kinds):
        connection = client.connect()
        with contextlib.suppress(WireError):  # It may end the connection after the first.
            connection.send(b"".join(kind.data for kind in kinds[start:]))
        for number, kind in enumerate(kinds[start:], start):
            with about(f"{kind}, sent together with others", connection):
                response = connection.read_response(kind.method)
                if kind.repeats or alone[number].status >= 400:
                    expect_status(response, alone[number].status)
                if kind.repeats and response.status == 200:
                    expect_body(response, alone[number].body)
            start = number + 1
            if says_close(response):
                break


def expect_answers(connection: Connection, wanted: list[bytes], how: str = "sent together") -> None:
    """Fail unless the next responses are 200, with these bodies, in this order."""
    for number, body in enumerate(wanted, 1):
        with about(f"request {number} of {len(wanted)}, {how}", connection):
            response = connection.read_response()
            if response.body != body and response.body in wanted:
                other = wanted.index(response.body) + 1
                fail(
                    f"it got the response to request {other}, but responses must keep the order of"
                    " the requests",
                    f"{body[:60]!r}",
                    f"{response.body[:60]!r}",
                )
            expect_status(response, 200)
            expect_body(response, body)

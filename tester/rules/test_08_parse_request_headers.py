"""Stage 8, Parse Request Headers: the server reads the whole head, and understands its fields."""

import contextlib
import re
import time
from collections.abc import Iterable, Iterator

from tester.grading.client import LATE_ANSWER, TRIES, Client, list_targets, repeat_if_slow
from tester.grading.expect import (
    CheckFailed,
    about,
    expect,
    expect_body,
    expect_field,
    expect_same,
    expect_status,
    fail,
    naming,
)
from tester.grading.follow import expect_body_is_no_request
from tester.grading.words import Words
from tester.ladder.rule import edge
from tester.results import Pointer
from tester.rules.test_07_respond_with_content import UTF_8
from tester.wire.connection import IDLE_TIMEOUT, Connection, WireError
from tester.wire.request import request_bytes
from tester.wire.response import Response

STAGE = 8
HUGE = 80 * 1024  # Bytes of a head that is too large for every server: the limit is 64 KB.
SOON = 0.5 * IDLE_TIMEOUT  # Seconds: a server that waits for its idle timeout is later.
QUIET = 0.3  # Seconds in which nothing may come, as nobody has asked.
CONTROLS = "\x01\x02\x05\x07\x08\x0b\x0c\x0e\x1a\x1b\x1f"  # Some; never NUL, tab, CR, LF or DEL.


def make_agent(words: Words) -> str:
    """Make up a User-Agent like those that browsers send, with colons and escapes in it."""
    version = f"{words.randint(1, 99)}.{words.randint(0, 9)}"
    url = f"http://{words.word()}.example:{words.randint(1024, 9999)}/%2F+{words.word()}"
    return f"{words.word()}/{version} ({words.word()}: {words.word()}; {url})"


def expect_agent(client: Client, head: str, agent: str) -> None:
    """Fail unless the request with this head gets 200 and `agent` as the body."""
    response = client.ask_raw(head.encode("latin-1"))
    expect_status(response, 200)
    expect_body(response, agent.encode("latin-1"))


def write_head(*lines: str, target: str = "/user-agent") -> str:
    """Write the head of a request with these lines between Host and Connection.

    >>> write_head("X: y")
    'GET /user-agent HTTP/1.1\\r\\nHost: localhost\\r\\nX: y\\r\\nConnection: close\\r\\n\\r\\n'
    """
    first = (f"GET {target} HTTP/1.1", "Host: localhost")
    return "\r\n".join([*first, *lines, "Connection: close", "", ""])


def expect_answers(
    client: Client,
    requests: Iterable[tuple[str, str]],
    *statuses: int,
    reason: str | None = None,
) -> None:
    """Fail unless each request gets one of `statuses` at once, and the server goes on serving.

    A request comes with the words that say what is wrong with it.
    """
    wanted = " or ".join(map(str, statuses))
    for what, head in requests:
        try:
            with naming(f"answering {what}"):
                response = client.ask_raw(head.encode("latin-1"))
        except WireError as error:
            if error.kind != "silent":
                raise
            error.connection.close()
            client.expect_serving()  # Does it still serve other clients?
            fail(
                f"{what} got no response: the server went on waiting",
                f"status {wanted} at once",
                "nothing at all",
                connection=error.connection,
                likely="Is it waiting for an end of the head that never comes?",
            )
        expect_one_of(response, what, statuses, reason)
    client.expect_serving()


def expect_one_of(
    response: Response, what: str, statuses: tuple[int, ...], reason: str | None = None
) -> None:
    """Fail unless the response to `what` has one of `statuses`."""
    wanted = " or ".join(map(str, statuses)) + (f" {reason}" if reason else "")
    got = f"{response.status} {response.reason}"
    if response.status not in statuses or (reason and response.reason != reason):
        message = f"{what} got {got}, not {wanted}"
        raise CheckFailed(message, f"status {wanted}", got, Pointer(response.status_line, 9))


def send_in_packets(connection: Connection, pieces: list[bytes], pause: float) -> Response:
    """Send the pieces one after another and return the response, which must not come earlier."""
    sent, whole = 0, sum(map(len, pieces))
    for piece in pieces:
        if sent:
            time.sleep(pause)  # This waits for nothing: the gap itself is what is tested.
            if connection.has_pending():
                fail(
                    f"the server answered when only {sent} of the head's {whole} bytes had come",
                    "no response before the empty line that ends the head",
                    "a response that came too early",
                    connection=connection,
                    likely="Does it take what one `recv` returns for the whole request?",
                )
        connection.send(piece)
        sent += len(piece)
    return connection.read_response()


def test_answers_with_the_user_agent(client: Client, words: Words) -> None:
    """`/user-agent` gets the value of the field User-Agent, character for character.

    Why: Each line after the request line is a field: a name, a colon, a value. User-Agent names the
        client's program (RFC 9110 section 10.1.5). A value may contain colons, too.
    Hint: Cut at the first colon only: `name, _, value = line.partition(":")`. Do not decode
        anything.
    """
    word = words.word()
    signs = f"!{word}::{words.word()}~:", f'"{word}"', f"'<b>{word}, {word};={word}&amp;'"
    for agent in (word, make_agent(words), *signs):
        expect_agent(client, write_head(f"User-Agent: {agent}"), agent)


def test_name_in_any_letter_case(client: Client, words: Words) -> None:
    """A field's name is the same in any letter case: `user-agent` is `User-Agent`.

    Why: Letter case does not matter in the names of fields (RFC 9110 section 5.1). curl writes
        `User-Agent`, but many programs and proxies write `user-agent`.
    Hint: Keep the names in lower case: `fields[name.lower()] = value`.
    """
    mixed = "".join(words.choice((letter.lower(), letter.upper())) for letter in "user-agent")
    for name in ("user-agent", "USER-AGENT", mixed):
        agent = words.word()
        expect_agent(client, write_head(f"{name}: {agent}"), agent)


def test_white_space_around_the_value(client: Client, words: Words) -> None:
    """Spaces and tabs around a value do not belong to it, and there need not be any.

    Why: `User-Agent:curl`, `User-Agent: curl` and `User-Agent:   curl  ` mean the same: white space
        before and after a value is there only for people (RFC 9112 section 5.1).
    Hint: Cut at `":"`, not at `": "`, then call `value.strip(" \\t")`. White space inside stays.
    """
    for before, after in (("", ""), ("   ", ""), ("\t", " \t "), ("", "  "), (" \t ", "\t")):
        agent = f"{words.word()}  {words.word()}\t{words.word()}"
        line = f"User-Agent:{before}{agent}{after}"
        expect_agent(client, write_head("X-Empty:", line), agent)


@edge
def test_bytes_above_127_in_a_value(client: Client, words: Words) -> None:
    """Bytes above 127 in a value are kept as they are: `é` in UTF-8 or in Latin-1, anywhere in it.

    Why: HTTP does not say which characters such bytes are. Only the sender knows what they mean, so
        a server must not change them (RFC 9110 section 5.5).
    Hint: Decode the head as Latin-1, where each byte is one character, and encode what you send
        back in the same way. `strip()` takes the last byte of `à` for white space: use
        `strip(" \\t")`.
    """
    for letters in (b"\xc3\xa9\xe2\x9c\x93", b"\xe9", b"\x80\xff", "voilà".encode()):
        agent = words.word() + letters.decode("latin-1")
        expect_agent(client, write_head(f"User-Agent: {agent}"), agent)


def test_field_is_found_by_its_name(client: Client, words: Words) -> None:
    """A field is found by its name, wherever it stands, and whatever else looks like it.

    Why: Fields come in any order (RFC 9110 section 5.3), and each client sends different ones.
    Hint: Split the head into lines, and put each field into a dictionary. Do not count lines, and
        do not search the whole head for the words `User-Agent`.
    """
    others = [f"X-{words.word()}: {words.word()}" for _ in range(words.randint(3, 8))]
    others += [f"X-User-Agent: {words.word()}", f"X-Note: User-Agent: {words.word()}"]
    words.shuffle(others)
    for place in (0, len(others) // 2, len(others)):
        agent = words.word()
        lines = [*others[:place], f"User-Agent: {agent}", *others[place:]]
        expect_agent(client, write_head(*lines), agent)
    agent = words.word()
    head = f"GET /user-agent HTTP/1.1\r\nUser-Agent: {agent}\r\n{others[0]}\r\nHost: localhost"
    expect_agent(client, f"{head}\r\nConnection: close\r\n\r\n", agent)
    head = f"GET /user-agent HTTP/1.1\r\nConnection: close\r\n{others[0]}\r\nHost: localhost"
    expect_agent(client, f"{head}\r\nUser-Agent: {agent}\r\n\r\n", agent)


def test_no_user_agent_is_no_crash(client: Client, words: Words) -> None:
    """A request for `/user-agent` without a User-Agent gets a response, and does no harm.

    Why: A client may leave this field out. `fields["user-agent"]` then raises KeyError.
    Hint: Use `fields.get("user-agent", "")`.
    """
    for lines in ((), (f"X-{words.word()}: {words.word()}",)):
        response = client.ask_raw(write_head(*lines).encode())
        got = f"{response.status} {response.reason}"
        expect(response.status < 500, f"the status is {got}: a server error", "200 OK", got)
    client.expect_serving()


def test_head_in_two_packets(client: Client, words: Words) -> None:
    """The head may come in two packets, cut almost anywhere.

    Why: TCP carries a stream of bytes and knows nothing of requests. What was sent at once may come
        in parts: one `recv` is not one request (RFC 9112 section 2.2).
    Hint: Collect what `recv` returns until `b"\\r\\n\\r\\n"` is in everything that has come so far.
        It may come in two parts itself, so do not search only the last part.
    """
    for mark, inside in ((b"GET", 2), (b"/user", 3), (b"\r\n", 1), (b"\r\n", 2), (b"Agent", 2)):
        expect_packets(client, words, mark, inside)
    for inside in (1, 2):
        expect_packets(client, words, b"\r\n\r\n", inside)
    expect_last_byte_apart(client, words)
    for target in list_targets(client):
        expect_packets(client, words, b"Host", 2, target)


@edge
def test_no_answer_before_the_last_byte(client: Client, words: Words) -> None:
    """The response comes only after the last byte of the head, its last LF.

    Why: A server that responds when it sees the last CR leaves one byte unread. If it closes the
        connection then, the client gets a reset; if not, the next request begins with a stray LF.
    Hint: Some functions that read lines return at the CR, and skip the LF at their next call. Look
        for `b"\\r\\n\\r\\n"` instead.
    """
    expect_packets(client, words, b"\r\n\r\n", 3)


def expect_packets(
    client: Client, words: Words, mark: bytes, inside: int, target: str = "/user-agent"
) -> None:
    """Fail unless a head is read whole that is cut `inside` bytes after the beginning of `mark`."""

    def scene() -> None:
        """Send the two packets."""
        agent = words.word()
        head = request_bytes(target, fields=[("User-Agent", agent)])
        cut = head.index(mark) + inside
        with client.connect() as connection:
            response = send_in_packets(connection, [head[:cut], head[cut:]], 0.01)
            if target == "/user-agent":
                expect_status(response, 200)
                expect_body(response, agent.encode())
            else:
                expect_status(response, 200, 404)

    repeat_if_slow(scene)


def expect_last_byte_apart(client: Client, words: Words) -> None:
    """Fail unless a head is read whose last LF comes in a packet of its own.

    A server that responds one byte too early, at the last CR, breaks another rule.
    """
    agent = words.word()
    head = request_bytes("/user-agent", fields=[("User-Agent", agent)])
    connection = client.connect()
    connection.send(head[:-1])
    time.sleep(0.01)  # This waits for nothing: the gap itself is what is tested.
    with contextlib.suppress(WireError):  # It may have responded already, and hung up.
        connection.send(head[-1:])
    response = connection.read_response()
    expect_status(response, 200)
    expect_body(response, agent.encode())


def test_head_byte_by_byte(client: Client, words: Words) -> None:
    """The head may come byte by byte.

    Why: A slow network, or a person who types into `nc`, sends a little at a time. The request is
        complete when the empty line has come, not before (RFC 9112 section 2.1).
    Hint: `while b"\\r\\n\\r\\n" not in data: data += connection.recv(65536)`, and stop when `recv`
        returns `b""`: then the client has left.
    """
    pauses = iter([0.001] + [0.0] * TRIES)  # Seconds; none when a slow machine tries again.

    def scene() -> None:
        """Send each byte on its own."""
        agent = words.word()
        head = request_bytes("/user-agent", fields=[("User-Agent", agent)])
        pieces = [head[index : index + 1] for index in range(len(head) - 2)] + [head[-2:]]
        with client.connect() as connection:
            response = send_in_packets(connection, pieces, next(pauses))
            expect_status(response, 200)
            expect_body(response, agent.encode())

    repeat_if_slow(scene)


def test_head_of_8_kb(client: Client, words: Words) -> None:
    """A head of up to 8 KB is read whole, whatever its size.

    Why: Cookies alone may take 4 KB. A server that reads 1,024 bytes and takes them for the whole
        head loses the rest. One that reads until `recv` returns fewer than 1,024 waits forever when
        the head has exactly 1,024.
    Hint: Only the empty line says that the head is over, never the size of what `recv` returned.
    """
    for size in (1000, 1024, 2048, 4096, 8192):
        agent = words.word()
        lines = ["X-Long: ", f"User-Agent: {agent}"]
        lines[0] += words.word(size - len(write_head(*lines)))
        expect_agent(client, write_head(*lines), agent)
    agent = words.word()
    fields = [f"X-{words.word()}: {words.word(87)}" for _ in range(80)]
    expect_agent(client, write_head(*fields, f"User-Agent: {agent}"), agent)
    agent = words.word(8100)
    expect_agent(client, write_head(f"User-Agent: {agent}"), agent)
    word = words.word(7900)
    expect_agent(client, write_head(target=f"/echo/{word}"), word)


def test_malformed_request_line_gets_400(client: Client, words: Words) -> None:
    """A request line with too few or too many parts gets 400.

    Why: The client has to know that its request was wrong. A connection that just ends tells it
        nothing (RFC 9110 section 15.5.1, RFC 9112 section 3).
    Hint: If there are not exactly three parts, send `HTTP/1.1 400 Bad Request`, and go on serving.
    """
    expect_answers(client, list_malformed_lines(words), 400)


@edge
def test_usual_words_for_400(client: Client, words: Words) -> None:
    """The reason phrase after the status code 400 is `Bad Request`.

    Why: Any phrase is legal, as programs read only the number (RFC 9112 section 4). But people look
        for the usual one (RFC 9110 section 15.5.1).
    Hint: Write it exactly like this: `HTTP/1.1 400 Bad Request`.
    """
    expect_answers(client, list_malformed_lines(words)[:1], 400, reason="Bad Request")


def list_malformed_lines(words: Words) -> list[tuple[str, str]]:
    """Return requests whose first line is wrong, each with the words that say so."""
    lines = (  # Not `GET /x`: in HTTP/0.9, that is a whole request.
        words.word(),
        f"/{words.word()} HTTP/1.1",
        f"GET /{words.word()} {words.word()} HTTP/1.1",
        f"GET / HTTP/1.1 {words.word()}",
        " ".join(words.word() for _ in range(7)),
    )
    return [
        (f"the request line {line!r}", f"{line}\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        for line in lines
    ]


@edge
def test_what_can_not_become_a_request(client: Client, words: Words) -> None:
    """What can never become a request gets 400 at once, not after a timeout.

    Why: A browser that was told to use HTTPS sends a TLS hello, and other programs greet each other
        in their own way. Nothing that follows can make a request of that, so there is nothing to
        wait for (RFC 9112 section 3).
    Hint: Check the request line as soon as its CR LF is there. Before that, check whether what has
        come can be the beginning of one: a method, which contains no control characters.
    """
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + words.data(300)
    for what, data in (
        (f"GET /{words.word()} without a version", f"GET /{words.word()}\r\n".encode()),
        ("a head without a version", f"GET /{words.word()}\r\nHost: localhost\r\n\r\n".encode()),
        ("the greeting of an SSH client", f"SSH-2.0-{words.word()}_9.6\r\n".encode()),
        ("a TLS hello", hello.translate(None, b"\r\n")),
    ):
        expect_refused_at_once(client, what, data)
    client.expect_serving()


def expect_refused_at_once(client: Client, what: str, data: bytes) -> None:
    """Fail unless `data`, with nothing after it, gets 400 long before the idle timeout."""
    for tries_left in reversed(range(TRIES)):
        with client.connect() as connection, naming(f"answering {what} at once"):
            connection.send(data)
            sent = connection.seconds
            response = connection.read_response()
            waited = connection.arrivals[0][0] - sent
        expect_one_of(response, what, (400,))
        if waited < SOON:
            return
        if not tries_left:
            fail(
                f"{what} got its 400 only after {waited:.1f} s",
                "400 at once",
                f"400 after {waited:.1f} s of silence",
                connection=connection,
                likely="Does it wait for the end of the head before it looks at the first line?",
            )


@edge
def test_answers_without_a_pause(client: Client, words: Words) -> None:
    """The response comes as soon as the request is complete, not after a pause.

    Why: The empty line says that the head is over. A server that waits until nothing has come for a
        while makes every client wait, and takes a slow client's pause for the end.
    Hint: Do not call `recv` again when `b"\\r\\n\\r\\n"` is there, and do not use a short timeout
        to find the end of a request.
    """
    requests = {repr(target): request_bytes(target) for target in list_targets(client)}
    requests["a malformed request"] = f"{words.word()}\r\nHost: localhost\r\n\r\n".encode()
    for what, data in requests.items():
        fastest = min(measure_answers(client, what, data))
        expect(
            fastest < LATE_ANSWER,
            f"each response to {what} came late: {fastest:.1f} s after the request, or later",
            "a response at once",
            f"the first byte after {fastest:.1f} s, again and again",
        )


def measure_answers(client: Client, what: str, data: bytes) -> Iterator[float]:
    """Yield after how many seconds the response began, and ask again if it was late.

    However busy the machine is, it is not late 2 * TRIES times in a row, unless the server makes
    each client wait.
    """
    for _ in range(2 * TRIES):
        with client.connect() as connection, naming(f"answering {what}"):
            connection.send(data)
            sent = connection.seconds
            connection.read_response()
        waited = connection.arrivals[0][0] - sent
        yield waited
        if waited < LATE_ANSWER:
            return


@edge
def test_client_that_half_closes_gets_its_answer(client: Client, words: Words) -> None:
    """A client that closes its sending side after its request (half-close) still gets a response.

    Why: A client may say at once that it will send no other request. It has not left: it goes on
        reading (RFC 9112 section 9.6).
    Hint: When `recv` returns `b""`, the client sends no more. If a whole request has come before,
        answer it first, and then close.
    """
    for target in list_targets(client):
        agent = words.word()
        with client.connect() as connection, about(f"{target!r} and a half-close", connection):
            connection.send_last(request_bytes(target, fields=[("User-Agent", agent)]))
            response = connection.read_response()
            expect_status(response, 200, 404)
            if target == "/user-agent":
                expect_body(response, agent.encode())


@edge
def test_other_versions_on_every_path(client: Client, words: Words) -> None:
    """A request in HTTP/1.0, or in a later HTTP/1.x, gets the same response on every path.

    Why: The version of a request says what the client can do, not what it wants
        (RFC 9110 section 2.5). Simple programs still send HTTP/1.0.
    Hint: Compare only the first digit of the version, and route by the path alone.
    """
    agent = [("User-Agent", words.word())]
    for target in list_targets(client):
        plain = client.ask(target, fields=agent)
        for version in ("1.0", "1.2"):
            response = client.ask(target, fields=agent, version=version)
            expect_same(response, plain, f"{target!r} in HTTP/{version}")


@edge
def test_malformed_heads_on_every_path(client: Client, words: Words) -> None:
    """A malformed head gets 400 on every path, even where there is nothing.

    Why: What is wrong with the head comes before what is asked for: a server that can't read a
        request can't know what it asks for (RFC 9112 sections 2.2 and 5).
    Hint: Check the whole head before you look at the path.
    """
    requests = []
    for target in list_targets(client):
        requests += [
            (f"a line without a colon, on {target!r},", write_head(words.word(), target=target)),
            (f"a second Host, on {target!r},", write_head("Host: localhost", target=target)),
        ]
    expect_answers(client, requests, 400)


def test_user_agent_is_a_whole_name(client: Client, words: Words) -> None:
    """A path that only resembles `/user-agent` gets 404: `/user-agents`, `/user-agent/x`.

    Why: A path names one thing and no other (RFC 9110 section 4.2.3).
    Hint: Compare the whole path with `==`, or look it up in the table.
    """
    for path in (
        "/user-agents",
        "/user",
        f"/user-agent/{words.word()}",
        f"/user-agent{words.word()}",
    ):
        expect_status(client.ask(path, fields=[("User-Agent", words.word())]), 404)


@edge
def test_user_agent_is_no_page(client: Client, words: Words) -> None:
    """`/user-agent` says its type, which is not HTML; if it is text, it says `charset=utf-8`.

    Why: What a client sent must never come back as HTML: a browser would run the scripts in it
        (RFC 9110 sections 8.3 and 17).
    Hint: Send `Content-Type: text/plain; charset=utf-8`, as for `/echo/…`.
    """
    response = client.ask("/user-agent", fields=[("User-Agent", f"<b>{words.word()}</b>")])
    expect_field(
        response,
        "Content-Type",
        lambda value: not re.match("text/html|.*[/+]xml", value.strip(), re.IGNORECASE),
        "text/plain",
    )
    if (response.field("Content-Type") or "").strip().lower().startswith("text/"):
        expect_field(response, "Content-Type", UTF_8, "a text type with charset=utf-8")


@edge
def test_signs_in_a_name(client: Client, words: Words) -> None:
    """A field's name may contain digits and signs such as `!` and `~`, not only letters.

    Why: Most names are made of letters and `-`, but HTTP allows fifteen signs. A server that knows
        fewer turns honest clients away (RFC 9110 section 5.6.2).
    Hint: That section lists them. Put all of them into the regular expression for a name; in
        `[...]`, put the `-` last.
    """
    agent = words.word()
    field = f"X09azAZ!#$%&'*+-.^_`|~{words.word()}: {words.word()}"
    expect_agent(client, write_head(field, f"User-Agent: {agent}"), agent)


@edge
def test_line_without_a_colon(client: Client, words: Words) -> None:
    """A header line without a colon gets 400.

    Why: It has no name and no value. A server that guesses what was meant may guess differently
        from the program that passed it on (RFC 9112 section 5).
    Hint: After `name, colon, value = line.partition(":")`, `colon` is empty if there was none.
    """
    bad = words.word()
    requests = [
        ("a line without a colon", write_head(bad)),
        ("a line of two words without a colon", write_head(f"{bad} {words.word()}")),
        (
            "a last line without a colon",
            f"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{bad}\r\n\r\n",
        ),
    ]
    expect_answers(client, requests, 400)


@edge
def test_white_space_before_the_colon(client: Client, words: Words) -> None:
    """White space between a field's name and its colon gets 400.

    Why: Some programs would ignore `Host : a`, others would read it as `Host: a`. Attackers use
        that to get past a proxy, so it must be refused (RFC 9112 section 5.1).
    Hint: Do not `strip()` the name. Check it: a name contains letters, digits, `-` and a few other
        signs.
    """
    name, value = f"X-{words.word()}", words.word()
    requests = [
        ("a field without a name", write_head(f": {value}")),
        ("a field with a space before its colon", write_head(f"{name} : {value}")),
        ("a field with a tab before its colon", write_head(f"{name}\t: {value}")),
        (
            "Host with a space before its colon",
            "GET / HTTP/1.1\r\nHost : localhost\r\nConnection: close\r\n\r\n",
        ),
    ]
    expect_answers(client, requests, 400)


@edge
def test_folded_line(client: Client, words: Words) -> None:
    """A header line that begins with white space (a folded line) gets 400.

    Why: Long ago a value could go on in the next line, if that line began with a space. Programs
        read such lines in different ways, so servers refuse them (RFC 9112 section 5.2).
    Hint: Do not `strip()` the lines of the head. One that begins with a space or a tab is not a
        field.
    """
    field = f"X-{words.word()}: {words.word()}"
    requests = [
        ("a value that goes on in a line after a space", write_head(field, f" {words.word()}")),
        ("a value that goes on in a line after a tab", write_head(field, f"\t{words.word()}")),
        ("a field with a space before its name", write_head(field, f" X-{field}")),
        (
            "a space before the first field's name",
            f"GET / HTTP/1.1\r\n {field}\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
    ]
    expect_answers(client, requests, 400)


@edge
def test_control_characters_in_a_field(client: Client, words: Words) -> None:
    """A control character, such as NUL, in a field's name or value gets 400.

    Why: No honest client sends them. C programs take NUL for the end of a text, and others take
        some of them for the end of a line: they would see a different request
        (RFC 9110 section 5.5).
    Hint: Write a regular expression for what a name and a value may contain. Do not use
        `splitlines()`: it also cuts at eight other characters. `split("\\r\\n")` does not.
    """
    requests = []
    for character in ("\0", words.choice(CONTROLS), "\x0b", "\x7f"):
        one, other = words.word(), words.word()
        what = f"the character \\x{ord(character):02x}"
        requests.append((f"{what} in a value", write_head(f"X-{one}: {one}{character}{other}")))
        requests.append((f"{what} in a name", write_head(f"X-{one}{character}{other}: {one}")))
    # A line that is cut at such a character may look like two good ones.
    character = words.choice("\x0b\x0c\x1c\x1d\x1e")
    line = f"X-{words.word()}: {words.word()}{character}Y-{words.word()}: {words.word()}"
    requests.append((f"the character \\x{ord(character):02x} in a value", write_head(line)))
    expect_answers(client, requests, 400)


@edge
def test_no_host(client: Client, words: Words) -> None:
    """An HTTP/1.1 request without Host gets 400; an HTTP/1.0 request needs no Host.

    Why: One server may serve many sites, and Host says which one is meant. HTTP/1.1 demands it;
        HTTP/1.0 did not know it yet (RFC 9112 section 3.2).
    Hint: If the version is HTTP/1.1 and `"host"` is not among the fields, answer 400.
    """
    field = f"X-{words.word()}: {words.word()}"
    head = "GET / HTTP/1.1\r\n{}Connection: close\r\n\r\n"
    requests = [
        ("HTTP/1.1 without Host", head.format("")),
        ("HTTP/1.1 without Host, but another field", head.format(f"{field}\r\n")),
    ]
    expect_answers(client, requests, 400)
    old = "GET / HTTP/1.0\r\n\r\n"
    expect_one_of(client.ask_raw(old.encode()), "HTTP/1.0 without Host", (200,))


@edge
def test_two_hosts(client: Client, words: Words) -> None:
    """A request with two Host fields gets 400.

    Why: Which of the two is meant? A proxy may look at the first one and the server at the last
        (RFC 9112 section 3.2).
    Hint: A dictionary keeps only the last of the two. Notice when a name comes a second time.
    """
    one, other = words.word(), words.word()
    requests = [
        ("a request with two different Hosts", write_head(f"Host: {one}.example")),
        ("a request with the same Host twice", write_head("Host: localhost")),
        ("a request with Host and, later, host", write_head(f"X-{one}: {other}", f"host: {one}")),
    ]
    expect_answers(client, requests, 400)


@edge
def test_bare_line_feed(client: Client, words: Words) -> None:
    """A line that ends in LF alone, without CR, gets 400.

    Why: If one program takes LF for the end of a line and the next one does not, they see two
        different requests. That is how requests are smuggled (RFC 9112 sections 2.2 and 11.2).
    Hint: Split the head at `"\\r\\n"` only. Refuse what still contains `"\\n"` as soon as it has
        come: an empty line with CR LF may never follow.
    """
    word = words.word()
    whole = write_head(f"X-{word}: {word}")
    line = f"X-{word}: {word}\nY-{word}: {word}"
    requests = [
        ("a request line that ends in LF alone", whole.replace("\r\n", "\n", 1)),
        ("a header line that ends in LF alone", write_head(line)),
        ("an empty line that is LF alone", whole[:-2] + "\n"),
        ("a head with LF alone everywhere", whole.replace("\r\n", "\n")),
    ]
    expect_answers(client, requests, 400)


@edge
def test_bare_carriage_return(client: Client, words: Words) -> None:
    """A CR without LF after it gets 400.

    Why: Some programs take a lone CR for the end of a line, others for a part of the value, so they
        see two different requests (RFC 9112 section 2.2).
    Hint: CR is a control character like any other: neither a name nor a value may contain it.
    """
    word = words.word()
    whole = write_head(f"X-{word}: {word}")
    requests = [
        ("a value with CR in it", write_head(f"X-{word}: {word}\r{words.word()}")),
        ("a header line that ends in CR alone", write_head(f"X-{word}: {word}\rY-{word}: {word}")),
        ("a header line that ends in CR CR LF", write_head(f"X-{word}: {word}\r")),
        ("a request line that ends in CR alone", whole.replace("\r\n", "\r", 1)),
        ("a head with CR alone everywhere", whole.replace("\r\n", "\r")),
    ]
    expect_answers(client, requests, 400)


@edge
def test_version_that_is_not_http_1(client: Client, words: Words) -> None:
    """A version other than `HTTP/1.0`, `HTTP/1.1` and the like (`HTTP/1.9`) gets 400 or 505.

    Why: Another major version has other rules: a client that speaks it would not understand the
        response (RFC 9112 section 2.3, RFC 9110 section 15.6.6). `HTTP` is written in capital
        letters. The digit after the dot says only what more a client can do: it is not a reason to
        refuse.
    Hint: Match the whole third part of the request line with the regular expression
        `HTTP/1\\.[0-9]`.
    """
    versions = (f"HTTP/{words.randint(2, 9)}.0", "HTTP/0.9", "http/1.1", "HTTP/1", "HTTP/1.1.1")
    other = f"{words.word(4).upper()}/1.1"
    requests = [
        (
            f"the version {version}",
            f"GET / {version}\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        )
        for version in (*versions, "HTTP/11", "HTTP/1.x", other)
    ]
    expect_answers(client, requests, 400, 505)
    expect_status(client.ask("/", version="1.9"), 200)


@edge
def test_target_of_an_unknown_form(client: Client, words: Words) -> None:
    """A request target that does not begin with `/`, and is not a URL with a host, gets 400.

    Why: A target is a path, which begins with `/`, or a whole URL; a `*` goes only with the method
        OPTIONS (RFC 9112 section 3.2). Anything else names nothing.
    Hint: After you have cut off `http://` and the host, check `target.startswith("/")`.
    """
    word = words.word()
    targets = [word, f"{word}/{words.word()}", f"?{word}={word}", "*", f"../{word}", f"\\{word}"]
    targets += [f"http:///{word}", f"http://?{word}"]
    requests = [(f"the target {target}", write_head(target=target)) for target in targets]
    expect_answers(client, requests, 400)


@edge
def test_target_with_forbidden_bytes(client: Client, words: Words) -> None:
    """A request target with a control character, or a byte above 127, gets 400.

    Why: A target contains only visible ASCII characters. All others must be escaped, as in `%C3%A9`
        (RFC 9112 section 3.2, RFC 3986 section 2).
    Hint: Check the target before it is decoded, for example with the regular expression `[!-~]+`.
    """
    accent = "é".encode().decode("latin-1")  # Its two UTF-8 bytes, as they would be sent.
    requests = []
    for text in ("\0", words.choice(CONTROLS), "\x7f", accent, "\xff"):
        target = f"/echo/{words.word()}{text}{words.word()}"
        what = "".join(f"\\x{ord(letter):02x}" for letter in text)
        requests.append((f"a target with {what} in it", write_head(target=target)))
    expect_answers(client, requests, 400)


@edge
def test_host_that_is_no_host(client: Client, words: Words) -> None:
    """A Host with a path, a user or a list in it gets 400; a name or an address is fine.

    Why: Host is a name or an address, with or without a colon and a port. A program that makes a
        link from anything else sends people to the wrong place (RFC 9112 section 3.2).
    Hint: Write a regular expression for what a host may contain: letters, digits, `.`, `-` and a
        few other signs, or an IPv6 address in square brackets; then perhaps a colon and digits.
    """
    word, other = words.word(), words.word()
    port = words.randint(1024, 9999)
    head = "GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n"
    good = [f"{word}.example", f"LocalHost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}", ""]
    good += ["azAZ09-a_b.example:8090", "localhost:", "[09:af:AF::127.0.0.1]"]
    for host in good:
        response = client.ask_raw(head.format(host).encode())
        expect_one_of(response, f"the Host {host!r}", (200,))
    hosts = (f"{word}/{other}", f"{word}@{other}", f"{word}, {other}", f"http://{word}/")
    requests = [(f"the Host {host}", head.format(host)) for host in hosts]
    expect_answers(client, requests, 400)


@edge
def test_huge_head_gets_431(client: Client, words: Words) -> None:
    """A head of more than 64 KB gets 431, and is not read forever.

    Why: The server keeps every byte until the head is over. Without a limit, one client can fill
        its memory with a head that never ends (RFC 6585 section 5).
    Hint: Each time round the loop that reads, look at how much has come. Over 64 KB, answer
        `431 Request Header Fields Too Large` without waiting for the rest.
    """
    many = "".join(f"X-{words.word()}: {words.word(1000)}\r\n" for _ in range(HUGE // 1000))
    start = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    requests = [
        ("a value of 80 KB", f"{start}X-Long: {words.word(HUGE)}\r\n\r\n"),
        ("80 fields of 1 KB each", f"{start}{many}\r\n"),
        ("a head of 80 KB that does not end", f"{start}{many}"),
        ("a value of 80 KB that does not end", f"{start}X-Long: {words.word(HUGE)}"),
    ]
    expect_refused_early(client, requests, 431)


@edge
def test_huge_target_gets_414(client: Client, words: Words) -> None:
    """A request target of more than 64 KB gets 414, and is not read forever.

    Why: The limit on the head holds for its first line too. 414 tells the client that the target is
        too long, not a field (RFC 9110 section 15.5.15, RFC 9112 section 3).
    Hint: If more than 64 KB have come without a line end, answer `414 URI Too Long`.
    """
    start = f"GET /echo/{words.word(HUGE)}"
    rest = " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    requests = [
        ("a target of 80 KB", start + rest),
        ("a target of 80 KB that does not end", start),
    ]
    expect_refused_early(client, requests, 414)


@edge
def test_rest_of_a_huge_head_is_no_request(client: Client, words: Words) -> None:
    """The rest of a head that was refused (414, 431) is not taken for the next request.

    Why: It belongs to the same head. An attacker who can choose where the server stops reading
        could sneak in a request that no proxy in front of it has seen (RFC 9112 section 11.2).
    Hint: After 414 or 431, close the connection: nobody knows where the next request begins.
    """
    inside = f"GET /echo/{words.word()} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for what, head, status in (
        ("a head of 80 KB", f"GET / HTTP/1.1\r\nX-Long: {words.word(HUGE)}\r\n{inside}", 431),
        ("a target of 80 KB", f"GET /{words.word(HUGE)} HTTP/1.1\r\n{inside}", 414),
    ):
        with client.connect() as connection:
            with contextlib.suppress(WireError):  # It may have read enough and hung up.
                connection.send(head.encode())
            with about(what, connection):
                expect_one_of(connection.read_response(), what, (status,))
            rest = b""
            try:
                rest = connection.receive(QUIET)
            except WireError as error:
                if error.kind in ("silent", "endless"):  # It may have skipped the rest of it.
                    expect_body_is_no_request(connection, words, f"the rest of {what}")
            expect(
                not rest,
                f"after {what} was refused, its rest was answered as a request",
                "the end of the connection",
                repr(rest[:60])[1:],
            )


def expect_refused_early(client: Client, requests: Iterable[tuple[str, str]], status: int) -> None:
    """Fail unless each request gets `status`, even if the server does not read all of it."""
    for what, head in requests:
        with client.connect() as connection:
            try:
                connection.send(head.encode())
            except WireError:
                pass  # It has read enough and hung up: the response should be here all the same.
            try:
                with naming(f"answering {what}"):
                    response = connection.read_response()
            except WireError as error:
                if error.kind != "silent":
                    raise
                fail(
                    f"{what} got no response: the server went on waiting for more",
                    f"status {status} as soon as more than 64 KB have come",
                    "nothing at all",
                    connection=connection,
                    likely="Is there no limit to how much the loop reads?",
                )
        expect_one_of(response, what, (status,))
    client.expect_serving()

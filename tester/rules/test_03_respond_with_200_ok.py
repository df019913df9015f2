"""Stage 3, Respond with 200 OK: the server responds to a request."""

import re

from tester.grading.client import Client
from tester.grading.expect import CheckFailed, expect, expect_status
from tester.grading.follow import expect_end_or_second
from tester.grading.words import Words
from tester.ladder.rule import edge, until, waits
from tester.results import Pointer
from tester.wire.connection import WireError
from tester.wire.request import request_bytes
from tester.wire.response import MAX_HEAD

STAGE = 3
BEGINNING = b"HTTP/1.1 200 "
STATUS_LINE = re.compile(re.escape(BEGINNING) + rb"[\t -~\x80-\xff]*\r\n")
BARE_LF = re.compile(re.escape(BEGINNING) + rb"[^\r\n]*\n")
OTHER_STATUS = re.compile(rb"HTTP/1\.1 ((?!200)[1-5][0-9]{2} [ -~]*)\r\n")
QUIET = 0.3  # Seconds in which nothing may come to a client that has not sent a request yet.


def test_answer_begins_with_the_status_line(client: Client) -> None:
    """The response to `GET /` begins with `HTTP/1.1 200`, a space, a reason phrase, and CR LF.

    Why: The first line tells the client how its request went: the version, a status code, and a
        short text for people, the reason phrase. Clients compare it character by character
        (RFC 9112 section 4).
    Hint: `connection.sendall(b"HTTP/1.1 200 OK\\r\\n\\r\\n")`: bytes, with no space before them.
    """
    connection = client.connect()
    connection.send(request_bytes("/"))
    usual, data = b"HTTP/1.1 200 OK\r\n", b""
    while not STATUS_LINE.match(data) and may_become_one(data):
        piece = connection.receive()
        expect(
            piece or data, "the server closed the connection without a response", repr(usual)[1:]
        )
        data += piece
        if not piece:
            break
    if STATUS_LINE.match(data):
        return
    got = data[: len(usual)]
    pairs = zip(got, usual, strict=False)
    index = next((i for i, (a, b) in enumerate(pairs) if a != b), len(got))
    message = "the response does not begin with the status line"
    if line := BARE_LF.match(data):
        message = "the status line ends in LF alone (\\n), not in CR LF (\\r\\n)"
        index = line.end() - 1
    elif other := OTHER_STATUS.match(data):
        message = f"the status is {other[1].decode()}, not 200 OK"
    raise CheckFailed(
        message,
        repr(usual)[1:],
        repr(data[:60])[1:],
        Pointer(data[:60], index),
    )


def may_become_one(data: bytes) -> bool:
    """Return whether `data` may still become a whole status line when more bytes come."""
    begun = data[: len(BEGINNING)] == BEGINNING[: len(data)]
    return begun and b"\n" not in data and len(data) < MAX_HEAD


@edge
def test_usual_words_for_200(client: Client) -> None:
    """The reason phrase after the status code 200 is `OK`.

    Why: The reason phrase is for people. Programs read only the number, and any phrase is legal
        (RFC 9112 section 4). But people look for the usual one.
    Hint: Write `OK` in capital letters: `HTTP/1.1 200 OK`.
    """
    expect_status(client.ask("/"), 200, reason="OK")


def test_head_ends_with_an_empty_line(client: Client) -> None:
    """The head ends with an empty line, and every line of it ends in CR LF.

    Why: The empty line tells a client that the head is over and the body begins. Different programs
        read a line that ends in LF alone in different ways (RFC 9112 section 2.2).
    Hint: Write `\\r\\n`, never `\\n` alone. The head ends in `\\r\\n\\r\\n`: the end of its last
        line, then an empty line. Beware of triple-quoted strings: their line ends are `\\n`.
    """
    expect_status(client.ask("/"), 200)


@waits
def test_waits_for_the_request(client: Client) -> None:
    """The server waits for a request before it responds or hangs up.

    Why: A response belongs to a request. Bytes that are sent before the request was read respond to
        nothing, and a server that then closes the connection breaks it off (a reset).
    Hint: Call `recv` first, then `sendall`, then `close`.
    """
    connection = client.connect()
    try:
        data = connection.receive(QUIET)
    except WireError as error:
        if error.kind != "silent":
            raise
        return
    message = (
        "the server answered before it was asked"
        if data
        else "the server hung up before a request came"
    )
    raise CheckFailed(message, "nothing, until a request comes", repr(data[:60])[1:])


@until(3)
def test_says_hello_on_any_path(client: Client, words: Words) -> None:
    """Every path gets 200, and the body says `Hello World!`.

    Why: The body is what the client asked for; it comes after the empty line. (From stage 4 on,
        each path has a body of its own.)
    Hint: Add `b"Hello World!"` after the head, and send both with one `sendall`.
    """
    word, other = words.word(), words.word()
    for path in ("/", f"/{word}", f"/{word}/{other}", f"/?{word}={other}", f"/%20{word}.{other}?"):
        response = client.ask(path)
        expect_status(response, 200)
        expect(
            response.body, f"the response for {path} has no body", "Hello World!", "an empty body"
        )
        expect(
            b"Hello World!" in response.body,
            f"the body for {path} does not say Hello World!",
            "Hello World!",
            repr(response.body[:60])[1:],
        )


@until(3)
@edge
def test_one_empty_line_is_enough(client: Client) -> None:
    """The body begins directly after the empty line that ends the head: there is no second one.

    Why: A second empty line is legal, but it belongs to the body: it is sent as part of the page,
        and each client gets two bytes that nobody meant to send (RFC 9112 section 2.1).
    Hint: Join the lines of the head with `\\r\\n`, and end it with `\\r\\n\\r\\n`, no more than
        that.
    """
    response = client.ask("/")
    expect(
        not response.body.startswith(b"\r\n"),
        "one empty line too many: the body begins with CR LF",
        "Hello World!",
        repr(response.body[:60])[1:],
    )


@until(14)
@waits
def test_connection_ends_after_the_answer(client: Client, words: Words) -> None:
    """After its response the server closes the connection cleanly (no reset).

    Why: Nothing says yet how long the body is: it ends where the connection ends. A reset would
        tell the client that something was lost (RFC 9112 sections 6.3 and 9.6). A server may also
        keep the connection, if the response says its length and a second request is answered.
    Hint: Read the request, `sendall` the response, then `close()`.
    """
    fields = [("User-Agent", words.word()), ("Accept", "*/*")]
    request = request_bytes("/", fields=fields, connection=None)
    expect_end_or_second(client.connect(), request)

"""Stage 7, Respond with Content: responses say how long their body is, and of which type."""

import re
from urllib.parse import quote

from tester.grading.client import Client
from tester.grading.expect import (
    about,
    expect_body,
    expect_field,
    expect_length,
    expect_media_type,
    expect_status,
)
from tester.grading.words import Words
from tester.ladder.rule import edge
from tester.wire.connection import WireError
from tester.wire.request import request_bytes

STAGE = 7
LONG = 1500, 3000  # Bytes of a long value: at least, at most.
UTF_8 = re.compile(r'[^;]+(;[^;]*)*;\s*charset="?utf-8"?\s*(;.*)?', re.IGNORECASE)


def test_pages_have_a_length(client: Client) -> None:
    """`Content-Length` says how many bytes the body of a page has.

    Why: With it the client knows where the body ends, and whether all of it has arrived. Without
        it, only the end of the connection tells (RFC 9110 section 8.6, RFC 9112 section 6.3).
    Hint: Encode the body first, then write `Content-Length: {len(body)}` into the head. Send
        nothing after the body, not even a line end.
    """
    for path in ("/", "/about", "/blog"):
        response = client.ask(path)
        expect_status(response, 200)
        expect_length(response, len(response.body))


def test_echo_has_a_length(client: Client, words: Words) -> None:
    """`Content-Length` is right for `/echo/…` too, where every response has a different length.

    Why: A length that is too large keeps the client waiting for bytes that never come; one that is
        too small cuts the body off.
    Hint: Count the bytes of the body that you are about to send, each time.
    """
    for size in (1, 10, words.randint(100, 900)):
        word = words.word(size)
        response = client.ask(f"/echo/{word}")
        expect_length(response, size)
        expect_body(response, word.encode())
    with client.connect() as connection:
        connection.send(request_bytes(f"/echo/{words.word(words.randint(*LONG))}"))
        try:  # Reading such a long head whole is a rule of stage 8.
            response = connection.read_response()
        except WireError as error:
            if connection.arrivals and error.kind != "reset":
                raise
            return
        client.expect_nothing_more(connection)
        expect_length(response, len(response.body))


def test_length_counts_bytes(client: Client, words: Words) -> None:
    """`Content-Length` counts bytes, not characters: `é` has two bytes, `✓` three.

    Why: Bytes are what travels. `len("é")` is 1, but two bytes are sent: the last ones would be cut
        off, or taken for the beginning of the next response (RFC 9110 section 8.6).
    Hint: `body = text.encode()` first, then `len(body)`.
    """
    text = f"h{words.word()}é✓"
    response = client.ask(f"/echo/{quote(text)}")
    expect_length(response, len(text.encode()))
    expect_body(response, text.encode())


def test_not_found_has_a_length(client: Client, words: Words) -> None:
    """A 404 has a `Content-Length` too.

    Why: An error is a response like any other: the client must know where it ends.
    Hint: Build every response in one function, so that none can be forgotten.
    """
    response = client.ask(f"/{words.word()}")
    expect_status(response, 404)
    expect_length(response, len(response.body))


def test_empty_echo_has_length_zero(client: Client) -> None:
    """`/echo/` gets an empty body, and its `Content-Length` is 0.

    Why: No body and a body of no bytes look the same; only the 0 says that nothing will come.
    Hint: Do not leave the field out when the body is empty, as `if body:` would do.
    """
    response = client.ask("/echo/")
    expect_status(response, 200)
    expect_length(response, 0)


def test_pages_are_html(client: Client) -> None:
    """The pages have the field `Content-Type: text/html`.

    Why: From the bytes alone a browser can't know whether to show them as a page, as text, or as a
        picture: the server must say so (RFC 9110 section 8.3).
    Hint: Send `Content-Type: text/html; charset=utf-8`.
    """
    for path in ("/", "/about", "/blog"):
        expect_media_type(client.ask(path), "text/html")


def test_echo_is_plain_text(client: Client, words: Words) -> None:
    """`/echo/…` has the field `Content-Type: text/plain`.

    Why: What a client sent must never come back as HTML: a browser would run the scripts in it.
        That attack is called cross-site scripting.
    Hint: Send `Content-Type: text/plain; charset=utf-8`.
    """
    word = words.word()
    for value in (word, f"{word}.html", f"{word}.json", f"%3Cp%3E{word}", f"%3Chtml%3E{word}", ""):
        with about(f"/echo/{value}"):
            expect_media_type(client.ask(f"/echo/{value}"), "text/plain")


@edge
def test_text_says_its_charset(client: Client, words: Words) -> None:
    """Text types say `charset=utf-8`.

    Why: Without it, many clients guess, and show `cafÃ©` instead of `café`
        (RFC 9110 section 8.3.2).
    Hint: Put `; charset=utf-8` after `text/html` and `text/plain`.
    """
    for path in ("/", "/about", "/blog", f"/echo/{words.word()}", f"/search?{words.word()}"):
        response = client.ask(path)
        if response.status == 200:
            expect_field(response, "Content-Type", UTF_8, "a text type with charset=utf-8")

"""Stage 4, Return 404 Not Found: the server looks at what the client asks for."""

from tester.grading.client import Client
from tester.grading.expect import about, expect_refused, expect_status
from tester.grading.words import Words
from tester.ladder.rule import edge

STAGE = 4


def test_root_is_ok(client: Client) -> None:
    """The path `/` gets 200.

    Why: The path `/` is the front page: a browser asks for it when you type only a host name.
    Hint: The request line has three parts, with a space between them: method, request target,
        version. Look at the second one.
    """
    expect_status(client.ask("/"), 200)


def test_unknown_path_is_not_found(client: Client, words: Words) -> None:
    """A path that the server does not know gets 404.

    Why: A client must be told that there is nothing here, so that it can say so or look elsewhere.
        A 200 would mean: here it is (RFC 9110 section 15.5.5).
    Hint: Compare the whole path with `==`: every path begins with `/`, so `startswith("/")` is
        always true. `//` is not the same path as `/`.
    """
    word = words.word()
    for path in (f"/{word}", f"/{word}/{words.word()}", f"/{word}.html"):
        expect_status(client.ask(path), 404)
    for path in ("//", "///"):
        with about(path):
            expect_refused(client.ask(path))


@edge
def test_usual_words_for_404(client: Client, words: Words) -> None:
    """The reason phrase after the status code 404 is `Not Found`.

    Why: Any phrase is legal, as programs read only the number (RFC 9112 section 4). But people look
        for the usual one (RFC 9110 section 15.5.5).
    Hint: Write it exactly like this: `HTTP/1.1 404 Not Found`.
    """
    expect_status(client.ask(f"/{words.word()}"), 404, reason="Not Found")


@edge
def test_survives_a_malformed_request_line(client: Client, words: Words) -> None:
    """A request line with too few or too many parts does not stop the server.

    Why: Programs that speak another protocol connect too, and so do people who try things out.
        `method, target, version = line.split(" ")` raises ValueError unless there are three parts.
    Hint: Count the parts (or use a regular expression) before you take them apart.
    """
    for line in (words.word(), f"GET /{words.word()}", f"GET / {words.word()} HTTP/1.1 x", ""):
        with client.connect() as connection:
            connection.send(f"{line}\r\nHost: localhost\r\n\r\n".encode())
            connection.half_close()
        client.expect_serving()

"""Stage 5, Extract the URL Path: the request target is taken apart and decoded."""

from urllib.parse import quote

from tester.facts import Client, Words, expect_body, expect_status
from tester.suite import edge

STAGE = 5


def expect_echo(client: Client, target: str, body: bytes) -> None:
    """Fail unless `target` is answered with 200 and exactly `body`."""
    response = client.ask(target)
    expect_status(response, 200)
    expect_body(response, body)


def test_query_is_no_part_of_the_path(client: Client, words: Words) -> None:
    """The query, from `?` on, is not part of the path: `/?page=2` is `/`.

    Why: A request target is a path and, after a `?`, a query: which page, and what about it
        (RFC 9112 section 3.2.1). Only the path says which page is meant.
    Hint: `path, _, query = target.partition("?")`
    """
    expect_status(client.ask(f"/?{words.word()}={words.randint(1, 99)}"), 200)
    expect_status(client.ask("/?"), 200)
    word = words.word()
    expect_echo(client, f"/echo/{word}?{words.word()}=/{words.word()}", word.encode())


def test_echoes_the_rest_of_the_path(client: Client, words: Words) -> None:
    """`/echo/hello` is answered with the body `hello`, and nothing else.

    Why: A part of the path can be a value, chosen by the client: the server answers accordingly.
    Hint: `path.removeprefix("/echo/")`, and send it as the body, without a line end after it.
    """
    for size in (1, 8, 200):
        word = words.mixed(size)
        expect_echo(client, f"/echo/{word}", word.encode())
    word = words.word()
    expect_echo(client, f"/echo/echo{word}", f"echo{word}".encode())


def test_escapes_are_decoded(client: Client, words: Words) -> None:
    """`%20` is a space, and `caf%C3%A9` is `café`: escapes stand for bytes, and those are UTF-8.

    Why: A request target can't hold every letter. All others are written as `%` and two
        hexadecimal digits for each of their bytes (RFC 3986 section 2.1). An `é` has two.
    Hint: `urllib.parse.unquote(path)`, and encode what you send back with `"utf-8"`.
    """
    text = f"{words.word()} {words.word()}é ✓"
    expect_echo(client, f"/echo/{quote(text)}", text.encode())
    expect_echo(client, f"/echo/{quote(text).lower()}", text.encode())
    word = words.word()
    escaped = "".join(f"%{byte:02X}" for byte in word.encode())
    expect_echo(client, f"/echo/{escaped}", word.encode())


def test_target_is_cut_before_it_is_decoded(client: Client, words: Words) -> None:
    """The target is cut at `?` before it is decoded: `/echo/what%3Fnow` is `what?now`.

    Why: An escaped `?` is a letter like any other. A server that decodes first takes it
        for the beginning
        of a query and loses the rest (RFC 3986 section 2.4).
    Hint: First `partition("?")`, then `unquote`.
    """
    one, two = words.word(), words.word()
    expect_echo(client, f"/echo/{one}%3F{two}", f"{one}?{two}".encode())
    expect_echo(client, f"/echo/{one}%3f{two}?{words.word()}", f"{one}?{two}".encode())


@edge
def test_decodes_once_only(client: Client, words: Words) -> None:
    """Escapes are decoded once only: `%2520` is `%20`.

    Why: `%25` is an escaped `%`. Decoding what came out of decoding turns plain text into escapes
        again, and lets things through that were checked before (RFC 3986 section 2.4).
    Hint: Call `unquote` in one place.
    """
    word = words.word()
    expect_echo(client, f"/echo/{word}%2520", f"{word}%20".encode())
    expect_echo(client, f"/echo/{word}%253F", f"{word}%3F".encode())


@edge
def test_plus_stays_plus(client: Client, words: Words) -> None:
    """A `+` in a path stays a `+`.

    Why: `+` means a space only in the query, where HTML forms put it.
    Hint: For a path use `unquote`, not `unquote_plus`.
    """
    one, two = words.word(), words.word()
    expect_echo(client, f"/echo/{one}+{two}", f"{one}+{two}".encode())


@edge
def test_slashes_belong_to_the_value(client: Client, words: Words) -> None:
    """All that follows `/echo/` is echoed, slashes and signs too: `/echo/a/b` is `a/b`.

    Why: `path.split("/")[2]` finds only the first piece, and drops the rest without a word.
    Hint: Cut the prefix off instead: `path.removeprefix("/echo/")`.
    """
    one, two = words.word(), words.word()
    for text in (f"{one}/{two}", f"{one}!$&'()*,;=:@-._~{two}", f"http://{one}/{two}"):
        expect_echo(client, f"/echo/{text}", text.encode())


@edge
def test_echo_is_a_whole_name(client: Client, words: Words) -> None:
    """A path that only begins with the same letters is unknown: `/echoes` is not found.

    Why: The names in a path stand between slashes. `/echoes` is another name than `/echo`, and no
        value follows it (RFC 3986 section 3.3).
    Hint: `path.startswith("/echo/")`, with the slash at its end.
    """
    expect_status(client.ask(f"/echo{words.word()}"), 404)


@edge
def test_survives_a_broken_escape(client: Client, words: Words) -> None:
    """A broken escape (`%zz`, `%4`, bytes that are not UTF-8) does not stop the server.

    Why: Clients send typing mistakes. Decoding by hand with `int(digits, 16)` raises an error at
        the first one.
    Hint: `unquote` leaves a broken escape as it is. Answering 400 is as good.
    """
    for escape in ("%zz", "%4", "%", "%ff%fe"):
        with client.connect() as connection:
            connection.send(f"GET /echo/{words.word()}{escape} HTTP/1.1\r\n".encode())
            connection.send(b"Host: localhost\r\nConnection: close\r\n\r\n")
            connection.half_close()
    client.expect_serving()


@edge
def test_absolute_form(client: Client, words: Words) -> None:
    """A whole address may stand as the request target: `GET http://localhost/echo/hi HTTP/1.1`.

    Why: That is how clients talk to a proxy, and every server must understand it
        (RFC 9112 section 3.2.2).
    Hint: Cut `http://` and the host off, if they are there, before you look at the path.
    """
    word = words.word()
    expect_echo(client, f"http://localhost/echo/{word}", word.encode())
    expect_echo(client, f"HTTP://localhost:80/echo/{word}?{words.word()}", word.encode())
    expect_echo(client, f"http://{words.word(1)}/echo/{word}", word.encode())
    for target in ("http://localhost", "http://localhost/", f"http://localhost?{word}/{word}"):
        expect_status(client.ask(target), 200)

"""Stage 5, Extract the URL Path: the request target is taken apart and decoded."""

from urllib.parse import quote

from tester.grading.client import Client, list_targets
from tester.grading.expect import about, expect_body, expect_refused, expect_same, expect_status
from tester.grading.words import Words
from tester.ladder.rule import edge

STAGE = 5
ANSWERS = 100


def expect_echo(client: Client, target: str, body: bytes) -> None:
    """Fail unless `target` gets 200 and exactly `body`."""
    response = client.ask(target)
    expect_status(response, 200)
    expect_body(response, body)


def test_query_is_no_part_of_the_path(client: Client, words: Words) -> None:
    """The query, from `?` on, is not part of the path: `/?page=2` is `/`.

    Why: A request target is a path and, after a `?`, a query. Only the path says which page is
        meant; the query says more about it (RFC 9112 section 3.2.1).
    Hint: Cut the target in two: `path, _, query = target.partition("?")`.
    """
    expect_status(client.ask(f"/?{words.word()}={words.randint(1, 99)}"), 200)
    expect_status(client.ask("/?"), 200)
    word = words.word()
    expect_echo(client, f"/echo/{word}?{words.word()}=/{words.word()}", word.encode())
    expect_echo(client, f"/echo/?{word}", b"")
    agent = [("User-Agent", words.word())]
    for target in list_targets(client):
        plain = client.ask(target, fields=agent)
        asked = f"{target}?{words.word()}={words.word()}"
        expect_same(client.ask(asked, fields=agent), plain, repr(asked))


def test_further_question_marks_belong_to_the_query(client: Client, words: Words) -> None:
    """Only the first `?` ends the path: `/echo/hello?a?b` is `/echo/hello`, with the query `a?b`.

    Why: A query may contain a `?` itself, for example in a link to another page
        (RFC 3986 section 3.4).
    Hint: `target.partition("?")` cuts once. `path, query = target.split("?")` raises ValueError if
        there are two of them, and `rpartition` cuts at the last one.
    """
    one, two, three = (words.word() for _ in range(3))
    expect_status(client.ask(f"/?{one}?{two}"), 200)
    expect_status(client.ask("/??"), 200)
    expect_echo(client, f"/echo/{one}?{two}?{three}", one.encode())
    expect_echo(client, f"/echo/{one}?{two}=/echo/{three}?", one.encode())


def test_echoes_the_rest_of_the_path(client: Client, words: Words) -> None:
    """`/echo/hello` gets the body `hello`, and nothing else.

    Why: A part of the path can be a value that the client chooses. The response depends on it.
    Hint: Take `path.removeprefix("/echo/")`, and send it as the body, without a line end after it.
    """
    for size in (1, 8, 200):
        word = words.mixed(size)
        expect_echo(client, f"/echo/{word}", word.encode())
    word = words.word()
    expect_echo(client, f"/echo/echo{word}", f"echo{word}".encode())


def test_escapes_are_decoded(client: Client, words: Words) -> None:
    """`%20` is a space, and `caf%C3%A9` is `café`: escapes stand for bytes, and those are UTF-8.

    Why: A request target can't contain every character. Those that it can't contain are written as
        `%` and two hexadecimal digits for each of their bytes (RFC 3986 section 2.1). An `é` has
        two bytes.
    Hint: Decode with `urllib.parse.unquote(path)`, and encode what you send back as `"utf-8"`.
    """
    text = f"{words.word()} {words.word()}é ✓"
    expect_echo(client, f"/echo/{quote(text)}", text.encode())
    expect_echo(client, f"/echo/{quote(text).lower()}", text.encode())
    word = words.word()
    text = f"<b>{word}</b> #{word} \"'"
    expect_echo(client, f"/echo/{quote(text)}", text.encode())
    escaped = "".join(f"%{byte:02X}" for byte in word.encode())
    expect_echo(client, f"/echo/{escaped}", word.encode())


def test_target_is_cut_before_it_is_decoded(client: Client, words: Words) -> None:
    """The target is cut at `?` before it is decoded: `/echo/what%3Fnow` is `what?now`.

    Why: An escaped `?` is a character like any other. A server that decodes first takes it for the
        beginning of a query and loses the rest (RFC 3986 section 2.4).
    Hint: First `partition("?")`, then `unquote`.
    """
    one, two = words.word(), words.word()
    expect_echo(client, f"/echo/{one}%3F{two}", f"{one}?{two}".encode())
    expect_echo(client, f"/echo/{one}%3f{two}?{words.word()}", f"{one}?{two}".encode())


@edge
def test_decodes_once_only(client: Client, words: Words) -> None:
    """Escapes are decoded only once: `%2520` is `%20`.

    Why: `%25` is an escaped `%`. A second decoding turns plain text into escapes again, and lets
        through what an earlier check would have refused (RFC 3986 section 2.4).
    Hint: Call `unquote` in one place only.
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


def test_slashes_belong_to_the_value(client: Client, words: Words) -> None:
    """Everything after the first `/echo/` is echoed: `/echo/a/echo/b` is `a/echo/b`.

    Why: `path.split("/")[2]` finds only the first piece of `a/b`, and `path.split("/echo/")[1]`
        only what stands before the next `/echo/`. The rest is lost, and no error says so.
    Hint: Cut the prefix off instead: `path.removeprefix("/echo/")`.
    """
    one, two = words.word(), words.word()
    for text in (
        f"{one}/{two}",
        f"{one}/echo/{two}",
        f"echo/{one}",
        f"{one}/{two}/{one}.{two}",
        f"{one};{two}={one}&{two}",
        f"{one}/",
    ):
        expect_echo(client, f"/echo/{text}", text.encode())


def test_white_space_belongs_to_the_value(client: Client, words: Words) -> None:
    """White space at the ends of the value is echoed too: `/echo/%20hi%20` is ` hi `.

    Why: A server must not change what a client has sent. A client that wants no spaces can leave
        them out; one that wants them has no other way to send them than `%20`
        (RFC 3986 section 2.1).
    Hint: Do not call `strip()` on the decoded value.
    """
    for space in (" ", "  ", "\t"):
        text = f"{space}{words.word()}{space}{words.word()}{space}"
        expect_echo(client, f"/echo/{quote(text)}", text.encode())


@edge
def test_signs_belong_to_the_value(client: Client, words: Words) -> None:
    """Signs are echoed wherever they stand in the value, even at its ends: `/echo/;hi;` is `;hi;`.

    Why: Signs such as `;`, `,` or `=` mean nothing special in this path, and a slash at its end
        makes it a different path (RFC 3986 sections 2.2 and 3.3). A value may look like a URL, too.
    Hint: Do not call `strip`, `rstrip("/")` or a function for file names such as `normpath`, which
        turns `a//b` into `a/b`.
    """
    one, two = words.word(), words.word()
    for text in (f"{one}!$&'()*,;=:@-._~{two}", f"http://{one}/{two}"):
        expect_echo(client, f"/echo/{text}", text.encode())
    for sign in ("/", ";", "+", ".", "=", "&", ":"):
        expect_echo(client, f"/echo/{sign}{one}{sign}", f"{sign}{one}{sign}".encode())
    for sign in ("%", "?", "/", "#"):
        text = f"{sign}{one}{sign}"
        expect_echo(client, f"/echo/{quote(text, safe='')}", text.encode())


@edge
def test_segments_are_split_before_they_are_decoded(client: Client, words: Words) -> None:
    """An escaped slash does not separate names: `/echo%2Fhello` is unknown. An escaped letter is
    still that letter: `/%65cho/hello` is `/echo/hello`.

    Why: `%2F` is a character of a name, as in "AC/DC", and not the border between two names.
        Letters and digits mean the same with or without an escape (RFC 3986 sections 2.2 and 2.3).
    Hint: Split the path first, then decode each part on its own:
        `[unquote(part) for part in path.split("/")]`. Then compare the first name with `echo`.
    """
    word = words.word()
    for target in (f"/echo%2F{word}", f"/echo%2f{word}", f"/%2Fecho/{word}"):
        expect_refused(client.ask(target))
    expect_echo(client, f"/%65cho/{word}", word.encode())
    expect_echo(client, f"/ech%6F/{word}/{word}", f"{word}/{word}".encode())


@edge
def test_echo_is_a_whole_name(client: Client, words: Words) -> None:
    """A path that only begins with the same letters is unknown: `/echoes` is not found.

    Why: The names in a path stand between slashes. `/echoes` is not the same name as `/echo`, and
        no value follows it (RFC 3986 section 3.3).
    Hint: Use `path.startswith("/echo/")`, with the slash at its end.
    """
    expect_status(client.ask(f"/echo{words.word()}"), 404)


@edge
def test_survives_a_broken_escape(client: Client, words: Words) -> None:
    """A broken escape (`%zz`, `%4`, bytes that are not UTF-8) does not stop the server.

    Why: Clients make typing mistakes. Code of your own that decodes with `int(digits, 16)` raises
        an error at the first one.
    Hint: `unquote` leaves a broken escape as it is. A response of 400 is just as good.
    """
    for escape in ("%zz", "%4", "%", "%ff%fe"):
        with client.connect() as connection:
            connection.send(f"GET /echo/{words.word()}{escape} HTTP/1.1\r\n".encode())
            connection.send(b"Host: localhost\r\nConnection: close\r\n\r\n")
            connection.half_close()
    client.expect_serving()


@edge
def test_absolute_form(client: Client, words: Words) -> None:
    """A whole URL may stand as the request target: `GET http://localhost/echo/hi HTTP/1.1`.

    Why: Clients write targets like this when they talk to a proxy, and every server must understand
        them (RFC 9112 section 3.2.2).
    Hint: Cut off `http://` and the host, if they are there, before you look at the path.
    """
    word = words.word()
    expect_echo(client, f"http://localhost/echo/{word}", word.encode())
    expect_echo(client, f"HTTP://localhost:80/echo/{word}?{words.word()}", word.encode())
    expect_echo(client, f"http://{words.word(1)}/echo/{word}", word.encode())
    for target in ("http://localhost", "http://localhost/", f"http://localhost?{word}/{word}"):
        expect_status(client.ask(target), 200)
    agent = [("User-Agent", words.word())]
    for target in list_targets(client):
        plain = client.ask(target, fields=agent)
        asked = f"http://localhost{target}"
        expect_same(client.ask(asked, fields=agent), plain, repr(asked))


def test_answers_do_not_depend_on_earlier_ones(client: Client, words: Words) -> None:
    """The hundredth response is as good as the first, whatever was asked before.

    Why: Each request stands for itself (RFC 9110 section 3.3). What a server remembers of one
        request must not show in the next response, and what it counts must not run out.
    Hint: Make a new response for each request. Keep nothing of it in a global variable, or in a
        default argument such as `fields={}`, which is made only once.
    """
    for number in range(1, ANSWERS + 1):
        word = words.word(words.randint(1, 20))
        wanted = {"/": 200, f"/{word}": 404, f"/echo/{word}": 200}
        target = words.choice([*wanted])
        with about(f"request {number} of {ANSWERS}"):
            response = client.ask(target)
            expect_status(response, wanted[target])
            if target.startswith("/echo/"):
                expect_body(response, word.encode())

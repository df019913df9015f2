"""Stage 11, Parse Query Parameters: what comes after the `?`."""

from urllib.parse import quote

from tester.grading.client import Client
from tester.grading.expect import expect, expect_media_type, expect_status
from tester.grading.words import Words
from tester.ladder.rule import edge

STAGE = 11


def expect_parameters(
    client: Client,
    query: str,
    pairs: list[tuple[str, str]],
    path: str = "/search",
    version: str = "1.1",
) -> None:
    """Fail unless `/search?QUERY` gets a line `name: value` for each of `pairs`, and no other."""
    response = client.ask(f"{path}?{query}" if query else path, version=version)
    expect_status(response, 200)
    got = response.body.decode("utf-8", "backslashreplace").replace("\r\n", "\n")
    lines = got.removesuffix("\n").split("\n") if got else []
    wanted = [f"{name}: {value}" for name, value in pairs]
    for number, (line, want) in enumerate(zip(lines, wanted, strict=False), start=1):
        expect(line == want, f"line {number} for the query {query} is wrong", want, line)
    expect(
        len(lines) == len(wanted),
        f"the query {query!r} gave {len(lines)} lines, not {len(wanted)}",
        "\n".join(wanted) or "an empty body",
        got or "an empty body",
    )


def test_parameters_are_listed_in_order(client: Client, words: Words) -> None:
    """`/search?q=pizza&sort=price` answers with a line `name: value` for each, in that order.

    Why: A query is a list of names and values, as HTML forms send them: `&` between the pairs and
        `=` inside them. Order can matter, so keep it.
    Hint: `urllib.parse.parse_qsl(query, keep_blank_values=True)` returns a list of pairs.
    """
    pairs = [(words.mixed(), words.mixed()) for _ in range(4)]
    expect_parameters(client, "&".join(f"{name}={value}" for name, value in pairs), pairs)
    expect_media_type(client.ask(f"/search?{words.word()}=1"), "text/plain")


def test_a_name_given_twice_is_listed_twice(client: Client, words: Words) -> None:
    """A name that is given twice is listed twice.

    Why: A form sends the same name once for each box that is ticked. A dictionary keeps only the
        last of them.
    Hint: Use a list of pairs, not a dictionary.
    """
    name, one, two, other = (words.word() for _ in range(4))
    expect_parameters(
        client, f"{name}={one}&{other}=x&{name}={two}", [(name, one), (other, "x"), (name, two)]
    )
    expect_parameters(client, f"{name}={one}&{name}={one}", [(name, one), (name, one)])


def test_no_query_is_an_empty_body(client: Client) -> None:
    """`/search` without a query answers 200 with an empty body.

    Why: A missing query is not an error: there is just nothing to list.
    Hint: `"".split("&")` is `[""]`, a list with one empty text in it. Leave that text out.
    """
    expect_parameters(client, "", [])
    response = client.ask("/search?")
    expect_status(response, 200)
    expect(not response.body, "the body for /search? is not empty", "", repr(response.body[:60]))


def test_plus_and_escape_are_spaces(client: Client, words: Words) -> None:
    """In a query, both `+` and `%20` are spaces.

    Why: HTML forms write a space as `+`; everything else writes `%20`. A real `+` is sent as `%2B`.
    Hint: For a query, use `unquote_plus`, or `parse_qsl`, which does it for you.
    """
    name, one, two = (words.word() for _ in range(3))
    expect_parameters(
        client,
        f"{name}={one}+{two}&x={one}%20{two}&y={one}%2B{two}",
        [(name, f"{one} {two}"), ("x", f"{one} {two}"), ("y", f"{one}+{two}")],
    )


def test_escapes_are_decoded_after_the_split(client: Client, words: Words) -> None:
    """`%26` and `%3D` are decoded after the query has been split: they are part of a value.

    Why: An escaped `&` is a character of the value, not a border between two parameters. A server
        that decodes first cuts the value in two (RFC 3986 section 2.4).
    Hint: Split at `&`, then at the first `=`, and decode the pieces last.
    """
    name, one, two = (words.word() for _ in range(3))
    expect_parameters(
        client,
        f"{name}={one}%26{two}&{two}={one}%3D1&%3D{name}={two}",
        [(name, f"{one}&{two}"), (two, f"{one}=1"), (f"={name}", two)],
    )


def test_white_space_at_the_ends(client: Client, words: Words) -> None:
    """White space at the ends of a name or a value is kept: `q=+a+` is ` a `.

    Why: A server must not change what a client has sent. A search for ` art`, with a space
        before it, looks for the beginning of a word, and not for the end of `start`.
    Hint: Call `strip()` neither on the query nor on its pieces.
    """
    name, value = words.word(), words.word()
    expect_parameters(client, f"{name}=+{value}+", [(name, f" {value} ")])
    expect_parameters(client, f"+{name}+=%20{value}%20", [(f" {name} ", f" {value} ")])
    expect_parameters(client, f"{name}=++&{value}=%09", [(name, "  "), (value, "\t")])


def test_question_marks_in_a_query(client: Client, words: Words) -> None:
    """A `?` or a `/` in the query is part of it: `/search?q=a?b` is `q: a?b`.

    Why: Only the first `?` of a target separates anything (RFC 3986 section 3.4).
    Hint: `target.partition("?")` cuts once. `split("?")[1]` loses what follows the second `?`.
    """
    name, one, two = (words.word() for _ in range(3))
    expect_parameters(client, f"{name}={one}?{two}?", [(name, f"{one}?{two}?")])
    expect_parameters(
        client, f"{name}=/about/{one}?&{two}=?", [(name, f"/about/{one}?"), (two, "?")]
    )


def test_search_is_a_whole_name(client: Client, words: Words) -> None:
    """A path that only looks like `/search` gets 404: `/searches`, `/search/x`, with a query too.

    Why: A path names one thing, and nothing else (RFC 9110 section 4.2.3).
    Hint: Compare the whole path with `==`, after the query has been cut off.
    """
    word = words.word()
    for path in ("/searches", "/sear", f"/search/{word}", f"/search{word}"):
        expect_status(client.ask(path), 404)
        expect_status(client.ask(f"{path}?{word}=1"), 404)


@edge
def test_signs_in_a_value(client: Client, words: Words) -> None:
    """Only `&` separates parameters: `a=1;b=2` is one. Other special characters are kept.

    Why: Some old servers took `;` as a separator as well. Browsers never send it as one, so a value
        may contain it. Where a server and a proxy read a query differently, an attacker can use it.
    Hint: Split at `&` only. `parse_qsl` does so since Python 3.10.
    """
    name, one, two = (words.word() for _ in range(3))
    expect_parameters(client, f"{name}={one};{two}=2", [(name, f"{one};{two}=2")])
    expect_parameters(client, f"?{name}={one}", [(f"?{name}", one)])
    plain = [(words.word(), f"{sign}{one}{sign}") for sign in ";,:/.=!*'$"]
    expect_parameters(client, "&".join(f"{key}={value}" for key, value in plain), plain)
    for sign in ("%", "&", "+", "#", "=", ";", '"', "?"):
        text = f"{sign}{one}{sign}"
        escaped = quote(text, safe="")
        expect_parameters(client, f"{escaped}={escaped}&{two}", [(text, text), (two, "")])
    text = f"{one}%26%2B{two}"  # Decoded once, it still looks escaped: keep it so.
    expect_parameters(client, f"{name}={quote(text, safe='')}", [(name, text)])


@edge
def test_queries_in_every_form_of_a_request(client: Client, words: Words) -> None:
    """The query is read in HTTP/1.0 and from a whole URL, too: `GET http://localhost/search?q=a`.

    Why: Neither the version nor the form of a target changes what is asked for
        (RFC 9112 sections 2.3 and 3.2.2).
    Hint: Cut off the scheme and the host first. Then treat what is left as you always do.
    """
    pairs = [(words.word(), words.word()), (words.word(), "http://a/?b")]
    query = "&".join(f"{name}={value}" for name, value in pairs)
    expect_parameters(client, query, pairs, version="1.0")
    expect_parameters(client, query, pairs, path="http://localhost/search")


@edge
def test_a_name_without_a_value(client: Client, words: Words) -> None:
    """`q=` and `q` both give the line `q: `; a second `=` belongs to the value; `&&` adds no line.

    Why: People leave fields empty, and write links by hand. `name, value = pair.split("=")` raises
        ValueError for `q`, for `q=a=b` and for an empty pair.
    Hint: `pair.partition("=")` never fails. With `parse_qsl`, `keep_blank_values=True` is needed.
    """
    one, two, three = (words.word() for _ in range(3))
    expect_parameters(client, f"{one}=", [(one, "")])
    expect_parameters(client, f"{one}&{two}=1", [(one, ""), (two, "1")])
    expect_parameters(client, f"{one}=a=b&&{three}=c&", [(one, "a=b"), (three, "c")])


@edge
def test_broken_escapes_in_a_query(client: Client, words: Words) -> None:
    """A query with a broken escape (`%zz`, `%4`, bytes that are not UTF-8) gets a response.

    Why: Clients send typos, in a query as in a path. An error that nobody catches ends the
        connection, and the client never learns why.
    Hint: `parse_qsl(query, errors="replace")` leaves `%zz` as it is, and puts a replacement
        character in the place of a wrong byte. A 400 is just as good.
    """
    for escape in ("%zz", "%4", "%", "%ff%fe"):
        response = client.ask(f"/search?{words.word()}={words.word()}{escape}")
        expect_status(response, 200, 400)


@edge
def test_parameters_in_utf_8(client: Client, words: Words) -> None:
    """Names and values may contain any character, escaped as UTF-8.

    Why: People search in their own language.
    Hint: Decode the escapes as UTF-8, and send the body as UTF-8, with `charset=utf-8`.
    """
    name, value = f"{words.word()}é", f"{words.word()} ✓ 日本"
    expect_parameters(client, f"{quote(name)}={quote(value)}", [(name, value)])

"""Stage 16, Support HTTP Compression: text is compressed for clients that can unpack it."""

import contextlib
import dataclasses
import gzip
import re
import zlib
from collections.abc import Iterator
from urllib.parse import quote

from tester.attempt.server import Server
from tester.grading.client import Client, Kept, ask_on, put_file
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_field,
    expect_length,
    expect_status,
    fail,
    unpack,
)
from tester.grading.words import Words
from tester.ladder.rule import edge
from tester.rules.kinds import Kind, make_gets, make_posts, make_refused
from tester.wire.connection import WireError
from tester.wire.response import Response

STAGE = 16
GZIP = ("Accept-Encoding", "gzip")
GZIP_MAGIC = b"\x1f\x8b"
LONG = 2000  # Bytes: a text of this length is worth compressing for any server.


def test_compresses_when_gzip_is_accepted(client: Client, words: Words, server: Server) -> None:
    """With `Accept-Encoding: gzip` a long text is compressed, and `Content-Encoding: gzip` says so.

    Why: Text shrinks to a third of its size or less, and so arrives sooner. The field tells the
        client how the body is packed (RFC 9110 sections 8.4.1.3 and 12.5.3).
    Hint: Call `gzip.compress(body)` before you count its length; `zlib.compress` makes something
        else. Do it in one place, through which the responses of all paths pass.
    """
    plain, packed = Kept(client), Kept(client)
    check_compressed(packed, *make_echo(words), "gzip")
    for extension in ("txt", "html", "css"):
        check_compressed(packed, *make_file(words, server, extension), "gzip")
    for kind in make_long(words, server):
        with about(str(kind)[:40]):
            text = kind.ask(plain)
            expect_status(text, 200)
            with naming_the_length():
                expect_compressed(kind.ask(packed, GZIP), text.body, "gzip")


def test_does_not_compress_unless_it_is_accepted(
    client: Client, words: Words, server: Server
) -> None:
    """Only a coding that the client names is used; without Accept-Encoding, none at all.

    Why: A client that can't unpack the body shows nonsense (RFC 9110 section 12.5.3). curl, for
        one, unpacks nothing unless it is called with `--compressed`.
    Hint: Compress only if `gzip` is one of the names in the list Accept-Encoding.
    """
    plain = Kept(client)
    for target, text in (make_echo(words), make_file(words, server, "txt")):
        for accepted in (None, "", "identity", "br", "deflate, br", words.word()):
            check_plain(plain, target, text, accepted)
    for kind in (
        *make_gets(words, server, queries=False),
        *make_long(words, server),
        *make_posts(words),
    ):
        with about(str(kind)[:40]):
            expect_not_encoded(kind.ask(plain), f"for a request {_describe(None)}")
    for target, _ in (make_echo(words), make_file(words, server, "txt")):
        with about(f"GET {target[:20]}… in HTTP/1.0"):
            expect_not_encoded(
                client.ask(target, version="1.0"), f"for a request {_describe(None)}"
            )


def test_each_request_says_anew_what_it_accepts(
    client: Client, words: Words, server: Server
) -> None:
    """Each request says for itself what it accepts, on the same connection or on another.

    Why: A proxy sends the requests of many clients over one connection, and each client may accept
        something else.
    Hint: Look only at the fields of this request. If you keep a compressed body for later, keep the
        plain one too, and throw both away when the file changes.
    """
    connection = client.connect()
    wishes = ("gzip", None, "gzip", "identity", words.word(), "gzip", None)
    for target, text in (make_echo(words), make_file(words, server, "txt")):
        for number, accepted in enumerate(wishes):
            if number == 3:  # The next request comes on a new connection.
                connection = client.connect()
            with about(f"request {number + 1} {_describe(accepted)}", connection):
                fields = [] if accepted is None else [("Accept-Encoding", accepted)]
                response = ask_on(connection, target, fields=fields)
                expect_status(response, 200)
                if accepted == "gzip":
                    expect_compressed(response, text, accepted)
                else:
                    expect_plain(response, text, accepted)
    with about("a file that has changed since it was compressed", connection):
        name, text = target.removeprefix("/files/"), words.text(3 * LONG)
        put_file(server, name, text)
        expect_compressed(ask_on(connection, target, fields=[GZIP]), text, "gzip")


@edge
def test_finds_gzip_in_a_list(client: Client, words: Words) -> None:
    """gzip is found anywhere in the list `Accept-Encoding`.

    Why: Browsers name every coding that they can unpack: `gzip, deflate, br, zstd`. There may be
        white space around the commas (RFC 9110 sections 5.6.1 and 12.5.3).
    Hint: Split at commas, and strip white space from both ends of each part.
    """
    target, text = make_echo(words)
    for accepted in ("gzip, deflate, br, zstd", f"{words.word()},gzip", "br ,\tgzip ,deflate"):
        check_compressed(client, target, text, accepted)


def test_content_length_is_the_compressed_length(client: Client, words: Words) -> None:
    """`Content-Length` is the number of bytes that are sent: the compressed ones.

    Why: The client counts them to know where the next response begins. With the length of the text
        before compression, it waits for bytes that never come (RFC 9110 section 8.6).
    Hint: Compress first, then count: `body = gzip.compress(body)`, then `len(body)`.
    """
    connection = client.connect()
    for _ in range(2):
        target, text = make_echo(words)
        with naming_the_length():
            response = ask_on(connection, target, fields=[("Accept-Encoding", "gzip")])
        expect_compressed(response, text, "gzip")
        expect_length(response, len(response.body))
        expect(
            len(response.body) < len(text),
            f"{len(text)} bytes of text became {len(response.body)} bytes",
            "a body that is smaller than the text",
        )
        word = words.word()
        expect_body(ask_on(connection, f"/echo/{word}"), word.encode())


def test_unpacks_to_the_same_bytes(client: Client, words: Words, server: Server) -> None:
    """Whatever the text, the client unpacks exactly the same bytes.

    Why: Compression must lose nothing. Short texts may be sent as they are (packed, they are often
        longer), but then `Content-Encoding` must not say gzip.
    Hint: Set `Content-Encoding` in the same place where you compress, and nowhere else.
    """
    word, plain, packed = words.word(), Kept(client), Kept(client)
    large = words.text(150_000)
    for target, text in (
        (f"/echo/{word}", word.encode()),
        ("/echo/", b""),
        make_echo(words, "é✓"),
        make_file(words, server, "txt", b""),
        make_file(words, server, "html", large + words.data(5000) + large[:50_000]),
    ):
        response = ask(packed, target, "gzip")
        expect_status(response, 200)
        expect_unpacked(response, text, "gzip")
    long = make_long(words, server)
    for kind in (
        *make_gets(words, server, queries=False),
        *long,
        *make_posts(words),
        *make_refused(words),
        Kind("/echo", "POST", body=words.text(LONG)),
        Kind("/echo", "POST", body=gzip.compress(words.text(LONG))),
    ):
        with about(f"{str(kind)[:40]} {_describe('gzip')}"):
            whole = kind.ask(plain) if kind.repeats else None
            wanted = whole.body if whole and whole.status == 200 else None
            expect_unpacked(kind.ask(packed, GZIP), wanted, "gzip")
            if kind in long:
                expect_unpacked(kind.ask(client, GZIP, version="1.0"), wanted, "gzip")


@edge
def test_weight_zero_is_a_no(client: Client, words: Words) -> None:
    """`gzip;q=0` says no to gzip; any other weight says yes.

    Why: A client can give each name a weight from 0 to 1: `q=0` means "never this one" (RFC 9110
        section 12.4.2).
    Hint: Split each part of the list at `;`. Compare what follows `q=` as a number: 0.0 and 0.000
        are 0, too.
    """
    (target, text), plain, packed = make_echo(words), Kept(client), Kept(client)
    for accepted in (
        "gzip;q=0",
        "gzip; q=0.000",
        "gzip ;\tQ=0.0",
        "gzip;q=0. , br",
        "gzip;q=0\t, br",
        "br, gzip;q=0, deflate",
        "gzip;q=0, *",
        "*;q=1, gzip;q=0",
    ):
        check_plain(plain, target, text, accepted)
    for accepted in ("gzip;q=1", "br;q=0, gzip;q=0.5", "gzip ; q=0.001", "GZIP;Q=1.0, *;q=0"):
        check_compressed(packed, target, text, accepted)


@edge
def test_star_is_a_yes(client: Client, words: Words) -> None:
    """`*` stands for every coding, gzip too, unless its weight is 0.

    Why: `Accept-Encoding: *` says "any that you know" (RFC 9110 section 12.5.3).
    Hint: Look for `gzip` first. Only if it is not in the list does `*` stand for it.
    """
    (target, text), plain, packed = make_echo(words), Kept(client), Kept(client)
    for accepted in ("*", f"{words.word()}, *;q=0.5", "*;q=0.1,br"):
        check_compressed(packed, target, text, accepted)
    for accepted in ("*;q=0", "br, *;q=0.0", "identity;q=0, *;q=0", "gzip;q=0, *;q=0"):
        check_plain(plain, target, text, accepted)


@edge
def test_highest_weight_wins(client: Client, words: Words, server: Server) -> None:
    """The coding with the highest weight is used: `identity;q=1, gzip;q=0.5` means plain.

    Why: `identity` stands for the body as it is. A client that gives it a higher weight than gzip
        can unpack gzip, but would rather not, perhaps because its processor is slow (RFC 9110
        section 12.5.3).
    Hint: Find the weights of `gzip` and of `identity`; a name without a weight has 1. Compress if
        gzip's weight is not the lower one, or if `identity` is not in the list.
    """
    plain, packed = Kept(client), Kept(client)
    for target, text in (make_echo(words), make_file(words, server, "txt")):
        for accepted in (
            "identity;q=1, gzip;q=0.5",
            "gzip;q=0.5, identity",
            "gzip;q=0.399,identity;q=0.4",
            "identity, *;q=0.7",
        ):
            check_plain(plain, target, text, accepted)
        for accepted in (
            "gzip;q=0.9, identity;q=0.8",
            "identity;q=0.05, gzip;q=0.1",
            "identity;q=0, gzip",
        ):
            check_compressed(packed, target, text, accepted)
    with naming_the_length():
        knows_deflate = list_field(ask(client, target, "deflate"), "Content-Encoding")
    if knows_deflate:
        for accepted, best in (("gzip;q=0.3, deflate", "deflate"), ("deflate;q=0.3, gzip", "gzip")):
            response = ask(client, target, accepted)
            expect_field(response, "Content-Encoding", re.compile(f"(?i:{best})"), best)
            expect_unpacked(response, text, accepted)


@edge
def test_list_may_come_in_several_lines(client: Client, words: Words) -> None:
    """Two lines of Accept-Encoding count as one list.

    Why: A field that is a list may come in several lines. They mean the same as one line with
        commas (RFC 9110 section 5.3).
    Hint: When you read the fields and a name comes again, join its values with a comma.
    """
    target, text = make_echo(words)
    for lines in (["gzip", words.word()], [words.word(), "gzip"]):
        with naming_the_length():
            response = client.ask(target, fields=[("Accept-Encoding", line) for line in lines])
        expect_status(response, 200)
        expect_compressed(response, text, ", ".join(lines))


@edge
def test_names_compare_whole(client: Client, words: Words) -> None:
    """A name counts as gzip only as a whole: `gzipped` does not. Letter case does not matter.

    Why: Names of codings are compared whole and in any letter case (RFC 9110 section 8.4.1). A name
        that only contains `gzip` is another coding, which the server does not know.
    Hint: Check `name.strip().lower() == "gzip"` for each part of the list, not `"gzip" in value`.
    """
    (target, text), plain, packed = make_echo(words), Kept(client), Kept(client)
    word = words.word(3)
    for accepted in ("gzipped", f"{word}gzip", f"br, gzip-{word}", f"gzip{word};q=1"):
        check_plain(plain, target, text, accepted)
    for accepted in ("GZIP", "br, Gzip", "gZiP;q=0.5"):
        check_compressed(packed, target, text, accepted)


@edge
def test_says_vary(client: Client, words: Words, server: Server) -> None:
    """A response with text says `Vary: Accept-Encoding`, whether it is compressed or not.

    Why: A cache between client and server may keep a response for other clients. `Vary` tells it
        that a client with another Accept-Encoding gets another response (RFC 9110 section 12.5.5).
    Hint: Add `Vary: Accept-Encoding` to each response that you would compress for some client.
    """
    plain, gzipped = Kept(client), Kept(client)
    always = [Kind(make_echo(words)[0]), Kind(make_file(words, server, "txt")[0])]
    for kind in (*always, *make_long(words, server), *make_gets(words, server, queries=False)):
        packed = kind.ask(gzipped, GZIP)
        if kind in always or list_field(packed, "Content-Encoding"):
            expect_vary(packed, kind, "gzip")
            expect_vary(kind.ask(plain), kind, None)
    for kind in always:
        for accepted in ("gzip;q=0", "identity", "gzip"):
            method = "HEAD" if accepted == "gzip" else "GET"
            response = ask(gzipped if accepted == "gzip" else plain, kind.target, accepted, method)
            expect_vary(response, Kind(kind.target, method), accepted)


def expect_vary(response: Response, kind: Kind, accepted: str | None) -> None:
    """Fail unless the response says that it depends on Accept-Encoding."""
    names = list_field(response, "Vary")
    expect(
        "accept-encoding" in names or "*" in names or response.status >= 400,
        f"the response to {str(kind)[:40]} {_describe(accepted)} does not say"
        " Vary: Accept-Encoding",
        "Vary: Accept-Encoding",
        f"Vary: {', '.join(names)}" if names else "no field Vary",
    )


@edge
def test_does_not_compress_what_is_packed(client: Client, words: Words, server: Server) -> None:
    """Images and archives are sent as they are, even if the client accepts gzip.

    Why: Their bytes are compressed already. To compress them again costs time, and makes them
        longer.
    Hint: Compress by content type: `text/…`, `application/json` and `image/svg+xml`; no others.
    """
    for extension in ("png", "jpg", "zip", "gz"):
        target, data = make_file(words, server, extension, words.data(LONG))
        response = ask(client, target, "gzip")
        expect_status(response, 200)
        if response.body != data:
            with contextlib.suppress(EOFError, zlib.error):
                packed = unpack(response.body, len(data))
                expect(packed != data, f"a .{extension} file was compressed again", "its own bytes")
        expect_body(response, data)
        if extension != "gz":  # A server may say that a .gz file is gzip.
            expect_not_encoded(response, f"for a .{extension} file")


@edge
def test_head_says_the_same_as_get(client: Client, words: Words, server: Server) -> None:
    """HEAD says the same `Content-Length` and `Content-Encoding` as GET, with gzip and without.

    Why: HEAD is for clients that want to know beforehand what GET would return. It may leave out a
        length that is not known yet, but it must not give a wrong one (RFC 9110 section 9.3.2).
    Hint: Build the whole response as for GET, with the body compressed. Then send only its head.
    """
    wholes, heads = client.kept, Kept(client)
    kinds = Kind(make_echo(words)[0]), Kind(make_file(words, server, "txt")[0])
    for kind in (*kinds, *make_long(words, server), *make_gets(words, server, queries=False)):
        for fields in ([GZIP], []) if kind in kinds else ([GZIP],):
            whole, head = kind.ask(wholes, *fields), kind.head().ask(heads, *fields)
            if whole.status != 200 or head.status in (405, 501):
                continue  # Other rules ask for that.
            expect_status(head, 200)
            for name in ("Content-Length", "Content-Encoding"):
                said, asked = head.field(name), whole.field(name)
                if None in (head.field("Content-Length"), whole.field("Content-Length")):
                    continue
                expect(
                    said == asked,
                    f"{name} is {said or 'missing'} for {str(kind.head())[:40]}, but"
                    f" {asked or 'missing'} for GET",
                    f"{name}: {asked}" if asked else f"no field {name}",
                    f"{name}: {said}" if said else f"no field {name}",
                )


def make_long(words: Words, server: Server) -> list[Kind]:
    """Return a GET for each path whose text can be long, with a query."""
    query = f"?{words.word()}={words.word()}"
    agent, text = words.text(LONG).decode().replace("\n", " "), make_echo(words)[0]
    return [
        Kind(text + query),
        Kind("/user-agent", fields=(("User-Agent", agent),)),
        Kind("/user-agent" + query, fields=(("User-Agent", agent),)),
        Kind(f"/search?{words.word()}={text.removeprefix('/echo/')}"),
        Kind(make_file(words, server, "txt")[0] + query),
        Kind(make_file(words, server, "html")[0] + query),
    ]


def make_echo(words: Words, more: str = "") -> tuple[str, bytes]:
    """Return a target, and the long text that its response must have."""
    text = words.text(LONG).replace(b"\n", b" ") + more.encode()
    return f"/echo/{quote(text)}", text


def make_file(
    words: Words, server: Server, extension: str, data: bytes | None = None
) -> tuple[str, bytes]:
    """Store a file; return its target and its bytes."""
    data = words.text(3 * LONG) if data is None else data
    return put_file(server, f"{words.word()}.{extension}", data), data


def ask(client: Client | Kept, target: str, accepted: str | None, method: str = "GET") -> Response:
    """Ask for `target` with this Accept-Encoding; with None, the request has no such field."""
    fields = [] if accepted is None else [("Accept-Encoding", accepted)]
    with naming_the_length():
        return client.ask(target, method, fields)


@contextlib.contextmanager
def naming_the_length() -> Iterator[None]:
    """If a response breaks off, say so if Content-Length counts the text, not what is sent."""
    try:
        yield
    except WireError as error:
        data = b"".join(piece for _, piece in error.connection.arrivals)
        head, _, body = data.rpartition(b"\r\n\r\n" + GZIP_MAGIC)
        body = GZIP_MAGIC + body
        with contextlib.suppress(EOFError, zlib.error):
            if head and len(text := unpack(body)):
                fail(
                    f"Content-Length counts the {len(text)} bytes of the text, but the compressed"
                    f" body has {len(body)}: the client waits for more",
                    f"Content-Length: {len(body)}",
                    f"a body of {len(body)} bytes, and then nothing more",
                    connection=error.connection,
                )
        raise


def list_field(response: Response, name: str) -> list[str]:
    """Return the members of a field that is a list, in lower case."""
    members = (response.field(name) or "").lower().split(",")
    return [member.strip() for member in members if member.strip()]


def check_compressed(client: Client | Kept, target: str, text: bytes, accepted: str) -> None:
    """Ask, and fail unless the response is `text`, in a coding that is accepted."""
    response = ask(client, target, accepted)
    expect_status(response, 200)
    expect_compressed(response, text, accepted)


def check_plain(client: Client | Kept, target: str, text: bytes, accepted: str | None) -> None:
    """Ask, and fail unless the response is `text` as it is, or in a coding that is accepted."""
    expect_plain(ask(client, target, accepted), text, accepted)


def weigh(accepted: str | None, coding: str) -> float | None:
    """Return the weight of `coding`, by its name or by `*`; None where neither is in the list.

    >>> weigh("gzip;q=0.5, *;q=0", "gzip"), weigh("gzip", "br"), weigh("*;q=0", "br")
    (0.5, None, 0.0)
    """
    weights = {}
    for member in (accepted or "").lower().split(","):
        name, _, weight = member.partition(";")
        digits = weight.strip(" \t").removeprefix("q=")
        weights[name.strip(" \t")] = float(digits or 1)
    return weights.get(coding.removeprefix("x-"), weights.get("*"))


def list_codings(response: Response) -> list[str]:
    """Return the codings of the body, in the order in which they were applied."""
    return [name for name in list_field(response, "Content-Encoding") if name != "identity"]


def expect_compressed(response: Response, text: bytes, accepted: str) -> None:
    """Fail unless the body is `text` in a coding that is accepted, and says so."""
    if response.body.startswith(GZIP_MAGIC) and not response.values("Content-Encoding"):
        fail(
            "the body is compressed, but no Content-Encoding says so",
            "Content-Encoding: gzip",
            "no field Content-Encoding in the head",
        )
    expect(
        list_codings(response),
        f"the text is not compressed for a request {_describe(accepted)}",
        "Content-Encoding: gzip",
        f"{len(response.body)} bytes of plain text",
    )
    expect_unpacked(response, text, accepted)


def expect_plain(response: Response, text: bytes, accepted: str | None) -> None:
    """Fail unless the body is `text` as it is, or in a coding that the client names."""
    if response.status == 406 and weigh(accepted, "identity") == 0:
        return  # The client accepts nothing, not even plain text: 406 is right.
    expect_status(response, 200)
    least = weigh(accepted, "identity") or 0
    if any((weigh(accepted, coding) or 0) < least for coding in list_codings(response)):
        expect_not_encoded(response, f"for a request {_describe(accepted)}")
    expect_unpacked(response, text, accepted)


def expect_unpacked(response: Response, text: bytes | None, accepted: str | None) -> None:
    """Fail unless the body, unpacked as it says, is `text`; None stands for any text.

    Fail also if the client does not accept the coding. What we cannot unpack (br, zstd) is not
    looked into.
    """
    codings = list_codings(response)
    for coding in codings:
        if not weigh(accepted, coding):
            expect_not_encoded(response, f"for a request {_describe(accepted)}")
    body, asked = response.body, None if text is None else len(text)
    for coding in reversed(codings):
        if coding not in UNPACK:
            return
        body = UNPACK[coding](body, asked)
    if text is None:
        return
    if body != text and body.startswith(GZIP_MAGIC) and not text.startswith(GZIP_MAGIC):
        if codings:
            fail("the body is compressed twice", "the text, compressed once")
        fail(f"the text is compressed for a request {_describe(accepted)}", "the text as it is")
    expect_body(dataclasses.replace(response, body=body), text)


def unpack_gzip(body: bytes, asked: int | None) -> bytes:
    """Return `body` unpacked; `asked` is its length, if known. Raises CheckFailed."""
    wanted, got = "a body in gzip format: it begins with 1f 8b", f"{body[:20]!r}"
    if not body.startswith(GZIP_MAGIC):
        for bits, name in ((15, "zlib"), (-15, "raw deflate")):
            with contextlib.suppress(EOFError, zlib.error):
                if unpack(body, asked, bits):
                    fail(f"the body is in {name} format, not in gzip format", wanted, got)
        fail("Content-Encoding says gzip, but the body is not in gzip format", wanted, got)
    try:
        return unpack(body, asked)
    except EOFError:
        fail("the compressed body breaks off: was the compressor closed before sending?", wanted)
    except zlib.error as error:
        fail(f"the compressed body can't be unpacked: {error}", wanted)


def unpack_deflate(body: bytes, asked: int | None) -> bytes:
    """Return `body` unpacked as deflate, which is the zlib format (RFC 9110 section 8.4.1.2)."""
    try:
        return unpack(body, asked, zlib.MAX_WBITS)
    except (EOFError, zlib.error) as error:
        fail(
            "Content-Encoding says deflate, but the body is not in zlib format"
            f" ({error or 'it breaks off'})",
            "a body in zlib format, as `zlib.compress` makes it",
            f"{body[:20]!r}",
        )


UNPACK = {"gzip": unpack_gzip, "x-gzip": unpack_gzip, "deflate": unpack_deflate}


def expect_not_encoded(response: Response, when: str) -> None:
    """Fail if the response has a Content-Encoding."""
    codings = list_codings(response)
    expect(
        not codings,
        f"the response is compressed {when}",
        "no field Content-Encoding",
        f"Content-Encoding: {', '.join(codings)}",
    )


def _describe(accepted: str | None) -> str:
    """Return in words which Accept-Encoding the request has."""
    if accepted is None:
        return "without Accept-Encoding"
    if not accepted:
        return "with an empty Accept-Encoding"
    return f"with Accept-Encoding: {accepted}"

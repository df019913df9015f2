"""Stage 14, Handle POST Requests: the client sends a body, and the server keeps or returns it."""

import contextlib
import functools
import itertools
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tester.attempt.server import Server
from tester.grading.client import SHORT_END_TIMEOUT, Client, put_file, repeat_if_slow
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_field,
    expect_length,
    expect_length_field,
    expect_media_type,
    expect_no_field,
    expect_refused,
    expect_said,
    expect_status,
    fail,
    naming,
)
from tester.grading.words import Words
from tester.ladder.rule import edge, until, waits
from tester.rules.kinds import expect_close, expect_each_once
from tester.wire.connection import END_TIMEOUT, IDLE_TIMEOUT, NO_END, Connection, WireError
from tester.wire.request import chunked, request_bytes
from tester.wire.response import Response

STAGE = 14
MEGABYTE = 1024 * 1024
TOO_LARGE = 10 * 1024 * MEGABYTE  # A hundred times the limit.
STALL_TIMEOUT = 11.0  # Seconds until a stalled body must be cut off; the promise is 10.
CLEAN_UP = 3.0  # Seconds after which nothing may be left of an upload that broke off.
PAUSE = 0.03  # Seconds between two packets.
LONG_PAUSE = 0.6 * IDLE_TIMEOUT  # Seconds: servers that give up at a pause rarely wait that long.
SLOW_PIECES = 6  # A slow upload comes in this many pieces, with a pause before each:
SLOW_PAUSE = 0.22 * IDLE_TIMEOUT  # more than IDLE_TIMEOUT in all, but each far shorter.
WARM_UP = 16 * MEGABYTE  # A body of this size brings a server to the memory that it works with.
UPLOAD = 64 * MEGABYTE  # A body of this size should not be held in memory.
# The server may grow by this much when it takes that body after the first one. A server that holds
# whole bodies grows by 48 MB at least; one with a garbage collector (Node: 25 MB) needs some room.
MEMORY = UPLOAD // 2
CROWD = 6  # Uploads at once.
SHARE = 40_000  # Bytes of each upload that come at a time.
LOOKS = 40  # How often a file is read while it is being replaced all the time.
SIZES = (
    600_000,
    450_000,
)  # Bytes of the bodies that are stored in turn: writing one takes a while.
OTHER_METHODS = "PUT", "DELETE", "PATCH"
MUST_DESCRIBE = ("Content-Type",)
DESCRIBING = (  # HEAD may leave these out, but if it has one, it has the value that GET has.
    *MUST_DESCRIBE,
    "Content-Length",
    "Content-Encoding",
    "Vary",
    "Last-Modified",
    "ETag",
    "Allow",
    "Server",
    "X-Content-Type-Options",
)
# A name may begin and end with all of these. A target must escape those in the first line, and may
# escape those in the second.
ESCAPED_SIGNS = "%?#"
PLAIN_SIGNS = "+;=&"


def pages(words: Words) -> list[str]:
    """Return targets for every path that has GET and no POST, some with a query."""
    return [
        "/",
        "/about",
        "/blog",
        f"/?{words.word()}",
        f"/echo/{words.word()}",
        "/echo/",
        "/user-agent",
        f"/user-agent?{words.word()}",
        "/search",
        f"/search?q={words.word()}",
    ]


def bodies(words: Words) -> list[bytes]:
    """Return bodies of all kinds that a server may take for something else."""
    text = words.word().encode()
    return [
        b"\r\n\r\n" + text + b"\r\n\r\n" + text + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + text,
        b" \t" + text + b"\n \r\n",
        b"\r\n",
        b"0\r\n\r\n",
        text + b"=" + text + b"&a=%41+b",
        text + b"\r" + text + b"\n" + text + b"\r\n",
        b"\xef\xbb\xbf" + text,
        b"\0" + text + b"\0\xff\xfe",
    ]


def names_below(folder: Path) -> set[Path]:
    """Return all files and folders in `folder` and below, while uploads may come and go there."""
    return {
        Path(where, name) for where, *names in os.walk(folder) for name in itertools.chain(*names)
    }


def expect_echo(client: Client, body: bytes, target: str = "/echo") -> Response:
    """Fail unless `POST /echo` gives this body back; return the response."""
    response = client.ask(target, "POST", body=body)
    expect_status(response, 200)
    expect_body(response, body)
    return response


def expect_echo_of_packets(
    client: Client, pieces: list[bytes], body: bytes, pause: float = PAUSE
) -> None:
    """Fail unless this body comes back when the request is sent in `pieces`."""
    connection = client.connect()
    connection.send_pieces(pieces, pause)
    response = connection.read_response("POST")
    client.expect_nothing_more(connection)
    expect_status(response, 200)
    expect_body(response, body)


def expect_stored(client: Client, target: str, content: bytes) -> None:
    """Fail unless a GET of `target` returns `content`."""
    response = client.ask(target)
    expect_status(response, 200)
    expect_body(response, content)


def upload_head(target: str, length: int | str, *more: tuple[str, str], **options: Any) -> bytes:
    """Return the head of a POST whose body, of this length, is still to come."""
    return request_bytes(target, "POST", [("Content-Length", str(length)), *more], **options)


def cut(words: Words, data: bytes, count: int) -> Iterator[bytes]:
    """Cut `data` into `count` pieces, anywhere."""
    places = [0, *sorted(words.sample(range(1, len(data)), count - 1)), len(data)]
    return (data[a:b] for a, b in zip(places, places[1:], strict=False))


def expect_allow(response: Response, *methods: str, refused: str = "") -> None:
    """Fail unless the field Allow names `methods`. It may name more, but not the `refused` one."""
    value = response.field("Allow")
    names = [name.strip() for name in (value or "").split(",")]
    for method in methods:
        if value is None or method not in names:
            expect_field(response, "Allow", lambda _: False, f"a list with {method} in it")
    if refused in names:
        fail(
            f"Allow names {refused}, which the server has just refused",
            f"Allow: a list without {refused}",
            f"Allow: {value}",
        )


def leave_in_mid_body(client: Client, target: str, size: int, *, reset: bool, sent: int) -> None:
    """Send part of an upload and leave. Except after a reset, wait until the server has noticed."""
    connection = client.connect()
    connection.send(upload_head(target, size) + client.words.data(sent))
    if reset:
        connection.reset()
        return
    connection.half_close()
    try:
        client.await_end(connection)
    except WireError as error:
        if error.kind != "reset":
            raise
    connection.close()


def test_echo_gives_the_body_back(client: Client, words: Words) -> None:
    """`POST /echo` answers 200 with exactly the body that was sent, as `application/octet-stream`.

    Why: The body comes after the empty line that ends the head, and Content-Length says how many
        bytes it has (RFC 9112 sections 6.2 and 6.3).
    Hint: Read the head, then as many bytes as Content-Length says: first those that came together
        with the head, then more from `recv`. Keep them as bytes: they need not be text.
    """
    for size in (1, words.randint(20, 300), words.randint(10_000, 30_000)):
        response = expect_echo(client, words.data(size))
        expect_media_type(response, "application/octet-stream")
    expect_echo(client, words.data(30), f"/echo?{words.word()}")


def test_body_may_hold_anything(client: Client, words: Words) -> None:
    """The body comes back as it was: with line ends, empty lines and white space in it.

    Why: Only Content-Length says where a body ends. An empty line in it means nothing, and neither
        does a line that looks like a request.
    Hint: Cut the head off at the first empty line only (`partition`, not `split`), and never
        `strip()` a body.
    """
    for body in bodies(words):
        expect_echo(client, body)


def test_type_of_a_body_does_not_matter(client: Client, words: Words) -> None:
    """A body comes back, or is stored, as it was, whatever type the client gives it.

    Why: curl calls every body a form, `application/x-www-form-urlencoded`, unless you say
        otherwise. What the server does with a body depends on the path.
    Hint: Do not look at the Content-Type of a request, and do not let a library parse the body.
    """
    for kind in ("application/x-www-form-urlencoded", "application/json", "text/plain", "a/b"):
        body = f'{words.word()}=%41+{words.word()}&b;"'.encode() + b"\r\n \xff"
        fields = [("Content-Type", kind)]
        response = client.ask("/echo", "POST", fields, body)
        expect_status(response, 200)
        expect_body(response, body)
        target = f"/files/{words.word()}"
        expect_status(client.ask(target, "POST", fields, body), 201)
        expect_stored(client, target, body)


def test_empty_body(client: Client) -> None:
    """A body may be empty: `Content-Length: 0`.

    Why: Then nothing follows the head. A server that waits for one more byte waits forever.
    Hint: Call `recv` only while bytes are missing.
    """
    expect_echo(client, b"")


def test_length_in_any_letter_case(client: Client, words: Words) -> None:
    """The name `Content-Length` may be in any letter case, and the space after it may be missing.

    Why: Letter case does not matter in the name of any field (RFC 9110 section 5.1).
    Hint: Look it up the way you look up User-Agent.
    """
    for name in ("content-length:{}", "CONTENT-LENGTH: {}", "Content-length:  {} "):
        body = words.data(words.randint(10, 90))
        line = name.format(len(body))
        head = f"POST /echo HTTP/1.1\r\nHost: localhost\r\n{line}\r\nConnection: close\r\n\r\n"
        response = client.ask_raw(head.encode() + body, "POST")
        expect_status(response, 200)
        expect_body(response, body)


@waits
def test_body_in_several_packets(client: Client, words: Words) -> None:
    """The body may come after the head, and in any number of packets.

    Why: TCP carries bytes, not messages. Clients often send the head first and the body later, and
        a large body always comes in many pieces (RFC 9112 section 6.3).
    Hint: One `recv` is not enough. Call it again until you have as many bytes as Content-Length
        says, and then stop: the client waits for your response and sends nothing more. A pause is
        not the end.
    """
    body = words.data(words.randint(200, 400))
    head = upload_head("/echo", len(body))
    for pieces in (
        [head, body],
        [head + body[:1], body[1:-1], body[-1:]],
        [head[:-2], head[-2:] + body[:7], body[7:]],
        list(cut(words, head + body, 5)),
    ):
        expect_echo_of_packets(client, pieces, body)
    pieces = [head + body[:100], body[100:]]
    repeat_if_slow(lambda: expect_echo_of_packets(client, pieces, body, LONG_PAUSE))


@waits
def test_upload_in_several_packets(client: Client, words: Words) -> None:
    """The body of an upload may come in any number of packets, too.

    Why: A file that was cut off after the first packet looks like a whole one.
    Hint: Use the function that reads the body for `/echo`.
    """
    for count in (2, 5):
        target, body = f"/files/{words.word()}", words.data(words.randint(200, 400))
        pieces = [upload_head(target, len(body)), *cut(words, body, count)]
        connection = client.connect()
        connection.send_pieces(pieces, PAUSE)
        response = connection.read_response("POST")
        client.expect_nothing_more(connection)
        expect_status(response, 201)
        expect_stored(client, target, body)


def test_stores_a_file(client: Client, words: Words, server: Server) -> None:
    """`POST /files/NAME` stores the body as a file, and answers `201 Created`.

    Why: 201 says that the path now names something new (RFC 9110 section 15.3.2). From then on, GET
        returns it.
    Hint: Write the body in mode `"wb"` into the folder that `--directory` names. Find the path as
        you do for GET, and decode it in the same way.
    """
    for name in (f"{words.mixed()}.txt", f"{words.word()} {words.word()}", f"{words.word()}é"):
        target = f"/files/{quote(name)}"
        content = words.data(words.randint(20, 200))
        response = client.ask(target, "POST", body=content)
        expect_status(response, 201)
        expect_stored(client, target, content)
        path = server.public / name
        expect(
            path.is_file() and path.read_bytes() == content,
            f"the body is not in the file {name!r} in the folder that is served",
            f"a file {name!r} of {len(content)} bytes in the folder of --directory",
            _describe(path),
        )


@edge
def test_usual_words_for_201(client: Client, words: Words) -> None:
    """The reason phrase after the status code 201 is `Created`.

    Why: Any words are legal, as programs read only the number (RFC 9112 section 4). But people
        expect the usual ones (RFC 9110 section 15.3.2).
    Hint: Write the line exactly like this: `HTTP/1.1 201 Created`.
    """
    response = client.ask(f"/files/{words.word()}", "POST", body=words.data(20))
    expect_status(response, 201, reason="Created")


def test_stores_large_and_empty_files(client: Client, words: Words) -> None:
    """A body of 1 MB is stored whole, and an empty one, too.

    Why: Uploads are photos and archives. They come in hundreds of packets, and not a byte may be
        lost. And an empty file is a file, too.
    Hint: Write each piece to the file as it comes, and count what is still missing.
    """
    for content in (words.data(MEGABYTE + words.randint(1, 999)), b"", bytes(range(256)) * 4):
        target = f"/files/{words.word()}.bin"
        data = request_bytes(target, "POST", body=content)
        connection = client.connect()
        connection.send_pieces((data[i : i + 8000] for i in range(0, len(data), 8000)), 0)
        response = connection.read_response("POST")
        client.expect_nothing_more(connection)
        expect_status(response, 201)
        expect_stored(client, target, content)


def test_stored_body_may_hold_anything(client: Client, words: Words) -> None:
    """A body is stored as it is: with line ends, empty lines and white space in it.

    Why: A file is bytes. What was right for `/echo` is right here.
    Hint: Open the file in mode `"wb"`; text mode changes line ends. Never `strip()` a body.
    """
    for body in bodies(words):
        target = f"/files/{words.word()}.txt"
        expect_status(client.ask(target, "POST", body=body), 201)
        expect_stored(client, target, body)


def test_stores_under_the_very_name(client: Client, words: Words, server: Server) -> None:
    """A file is stored under the name by which GET finds it: decoded, whole, without the query.

    Why: `POST /files/a?x=1` stores the file `a`: the path ends at the `?`. A name may begin and end
        with a space, and the file may be in a folder that is called `files`.
    Hint: Find the path with the same function for GET and POST.
    """
    folder = words.word()
    put_file(server, f"{folder}/files/{words.word()}", b"")
    names = [f"{sign}z{words.word()}{sign}" for sign in " é"]
    for name in (*names, f"{folder}/files/{words.word()}", f"self-{words.word()}"):
        _expect_stored_as(client, server, name)


@edge
def test_signs_in_the_name_of_an_upload(client: Client, words: Words, server: Server) -> None:
    """The name of an upload may begin and end with a special character, such as `+`, `%` or `?`.

    Why: In a path, `;`, `&` and `+` have no special meaning: only `?` ends it. A character that
        would have one is escaped (RFC 3986 section 3.3).
    Hint: Find the path with the same function for GET and POST.
    """
    for sign in ESCAPED_SIGNS + PLAIN_SIGNS:
        _expect_stored_as(client, server, f"{sign}z{words.word()}{sign}")


def _expect_stored_as(client: Client, server: Server, name: str) -> None:
    """Fail unless a body that is sent to this name, without and with a query, is stored there."""
    for target in (f"/files/{quote(name)}", f"/files/{quote(name, safe='/+;=&')}?a=/{name[1]}"):
        content = client.words.data(30)
        expect_status(client.ask(target, "POST", body=content), 200, 201, 204)
        path = server.public / name
        expect(
            path.is_file() and path.read_bytes() == content,
            f"POST {target} did not store the body as the file {name!r}",
            f"a file {name!r} of {len(content)} bytes in the folder of --directory",
            _describe(path),
        )
    expect_stored(client, target, content)


@edge
def test_old_clients_send_bodies(client: Client, words: Words) -> None:
    """An HTTP/1.0 client may send a body as well, and gets 405 if the path has no POST.

    Why: `Content-Length` and POST are older than HTTP/1.1 (RFC 1945 sections 8.3 and 10.4).
    Hint: Look at the version only where it matters: for `100 Continue`, and from stage 15 on for
        the end of the connection.
    """
    target, body = f"/files/{words.word()}", words.data(300)
    for where, status in (("/echo", 200), (target, 201), ("/about", 405)):
        response = client.ask(where, "POST", body=body, version="1.0")
        expect_status(response, status)
        if where == "/echo":
            expect_body(response, body)
    expect_stored(client, target, body)


def test_replaces_a_file(client: Client, words: Words) -> None:
    """A second POST to the same name replaces the file, even with a shorter one.

    Why: The file contains what was sent last, with nothing of the old content left over.
    Hint: Mode `"wb"` begins with an empty file; `"ab"` and `"r+b"` do not.
    """
    target = f"/files/{words.word()}.txt"
    for size in (300, 20, 700):
        content = words.data(size)
        # A file that was there before is not created: 200 and 204 are just as good.
        expect_status(client.ask(target, "POST", body=content), 200, 201, 204)
        expect_stored(client, target, content)


def test_writes_nothing_outside(client: Client, words: Words, server: Server) -> None:
    """A name that leads out of the folder gets a 4xx, and nothing is written.

    Why: A client that can write anywhere owns the machine: a file in the right place is run as a
        program (RFC 9110 section 17.3).
    Hint: Check the path as you do for GET, before you open anything for writing.
    """
    folder, sibling = words.word(), server.scratch / f"{server.public.name}-{words.word()}"
    sibling.mkdir()
    put_file(server, f"{folder}/{words.word()}", b"")
    up = "../" * 20 + str(server.scratch).lstrip("/") + "/"
    for way in ("../", "%2e%2e/", "..%2f", f"{folder}/../../", f"../{sibling.name}/", up):
        target, body = f"/files/{way}{words.word()}", words.word(30).encode()
        response = client.ask(target, "POST", body=body)
        _expect_nowhere(server, body, target)
        if not _is_stored(server, target.removeprefix("/files/"), body):
            expect_refused(response)
    for target in (f"/files../{words.word()}", f"/files-{words.word()}/{words.word()}"):
        body = words.word(30).encode()
        client.ask(target, "POST", body=body)
        _expect_nowhere(server, body, target)
    # These need not lead outside, but if they do, nothing may be written there.
    for way in ("..%5c", "%252e%252e%252f", f"{server.scratch}/", f"%2F{server.scratch}/"):
        target, body = f"/files/{way}{words.word()}", words.word(30).encode()
        client.ask(target, "POST", body=body)
        _expect_nowhere(server, body, target)
    new = words.word()
    client.ask(f"/files/../{new}/{words.word()}", "POST", body=words.data(10))
    expect(
        not (server.scratch / new).exists(),
        f"POST /files/../{new}/… created a folder outside the folder that is served",
        "a 4xx status, and no folder",
        f"the folder {new} beside the one that is served",
    )
    older, content = server.scratch / words.word(), words.data(30)
    older.write_bytes(content)
    expect_refused(client.ask(f"/files/../{older.name}", "POST", body=words.data(10)))
    expect(older.read_bytes() == content, f"POST /files/../{older.name} changed a file outside")
    client.expect_serving()


def _is_stored(server: Server, name: str, body: bytes) -> bool:
    """Return whether `body` is in the folder, in a file whose name contains the escapes.

    A server that does not decode names sees no `..` in `%2e%2e`: it breaks another rule, not this.
    """
    if name in unquote(name):
        return False
    path = server.public / name
    return path.is_file() and path.read_bytes() == body


def _expect_nowhere(server: Server, body: bytes, target: str) -> None:
    """Fail if a file that holds `body` lies beside the folder that is served."""
    for where, folders, names in os.walk(server.scratch):
        if where == str(server.scratch):
            folders.remove(server.public.name)  # Files in there are allowed.
        for path in (Path(where, name) for name in names):
            expect(
                not path.is_file() or path.read_bytes() != body,
                f"POST {target} wrote a file outside the folder",
                "a 4xx status, and no file",
                f"the file {path.relative_to(server.scratch)} beside the folder",
            )


def test_path_makes_no_field(client: Client, words: Words) -> None:
    """An escaped line end in a path (`%0d%0a`) does not add a field to the response.

    Why: If the decoded path is written into a field, such as `Location`, anyone who writes a link
        can choose what the response says, even its cookies (RFC 9110 section 5.5).
    Hint: Write the path into a field as it came, or `quote` it again. Never write there what
        `unquote` has returned.
    """
    name = f"X-{words.mixed()}"
    for method, folder in (
        ("GET", "/"),
        ("GET", "/echo/"),
        ("GET", "/files/"),
        ("POST", "/files/"),
        ("DELETE", "/echo/"),
        ("GET", "/search?"),
    ):
        target = f"{folder}{words.word()}%0d%0a{name}:%20{words.word()}"
        body = words.data(10) if method == "POST" else None
        with contextlib.suppress(WireError):  # Whether this gets a response is left open.
            response = client.ask(target, method, body=body)
            expect_no_field(response, name, "which was only a part of the path that was asked for")


def test_length_that_is_no_number(client: Client, words: Words) -> None:
    """A Content-Length that is not a number gets 400.

    Why: Nobody knows where the body ends and where the next request begins. A server that guesses
        may guess differently from the proxy in front of it (RFC 9112 section 6.3).
    Hint: `int("abc")` raises ValueError: check that the value is all digits before you call it.
        `int("-5")` is not an error, but not a length either.
    """
    for value in (words.word(3), "-5", "5 5", "0x5", "5.0", f"5{words.word(1)}", ""):
        response = client.ask_raw(upload_head("/echo", value) + words.data(5), "POST")
        expect_status(response, 400)
    target, fields = f"/files/{words.word()}", [("Content-Length", words.word(3))]
    expect_status(client.ask(target, "POST", fields), 400)
    expect_status(client.ask(target), 404)
    client.expect_serving()


@edge
def test_length_counts_for_every_method(client: Client, words: Words, server: Server) -> None:
    """A Content-Length that is not a number gets 400 with GET, and in HTTP/1.0, too.

    Why: Any request may have a body, even where it means nothing. If nobody can tell where the body
        ends, nobody knows where the next request begins (RFC 9112 section 6.3).
    Hint: Check Content-Length where you read the head, before you look at the method.
    """
    file, fields = put_file(server, words.word(), words.data(9)), [("Content-Length", words.word())]
    for method, target in (("GET", "/"), ("GET", file), ("GET", f"/files/{words.word()}")):
        expect_status(client.ask(target, method, fields), 400)
    # Two things are wrong with this one: the response may be about either.
    expect_status(client.ask("/about", "POST", fields), 400, 405)
    expect_status(client.ask("/echo", "POST", fields, version="1.0"), 400)
    client.expect_serving()


def test_length_in_digits_only(client: Client, words: Words) -> None:
    """`+5`, `1_0` and `٥` are not valid either: a Content-Length has only the digits 0 to 9.

    Why: Python's `int` takes all of these, other programs do not. If two programs disagree about
        the length of a body, an attacker can hide a request in it (RFC 9112 section 11.2).
    Hint: `re.fullmatch("[0-9]+", value)`. `isdigit()` is true for `٥` and `²`, too.
    """
    for value in ("+5", "1_0", "٥".encode().decode("latin-1"), "5\u00b2"):
        response = client.ask_raw(upload_head("/echo", value) + words.data(10), "POST")
        expect_status(response, 400)
    client.expect_serving()


@edge
def test_zeros_before_a_length(client: Client, words: Words) -> None:
    """Zeros before a Content-Length change nothing: `00000000000000000005` is 5.

    Why: A length has one digit or more, and HTTP sets no limit to how many (RFC 9110 section 8.6).
        A server that looks only at the first digits finds no body.
    Hint: Python's `int` ignores zeros at the beginning.
    """
    body = words.data(5)
    response = client.ask("/echo", "POST", [("Content-Length", "5".zfill(20))], body)
    expect_status(response, 200)
    expect_body(response, body)


@edge
def test_chunks_are_understood_or_refused(client: Client, words: Words) -> None:
    """A body with `Transfer-Encoding: chunked` is understood or refused, but never overlooked.

    Why: Such a body has no Content-Length. A server that ignores Transfer-Encoding stores an empty
        file, says that all went well, and takes the chunks for a request (RFC 9112 section 6.1).
    Hint: Stage 18 explains what chunks are. Until then, answer `501 Not Implemented` to every
        request with a Transfer-Encoding.
    """
    target, body = f"/files/{words.word()}", words.data(30)
    coding = [("Transfer-Encoding", "chunked")]
    response = client.ask(target, "POST", coding, chunked(body))
    expect_status(response, 201, 400, 411, 501)
    if response.status == 201:
        expect_stored(client, target, body)


def test_leaving_in_mid_body_stores_nothing(client: Client, words: Words) -> None:
    """A client that leaves in mid-body leaves no file behind.

    Why: Half a file looks like a file. Nobody who opens it later knows that the rest was lost
        (RFC 9112 section 8).
    Hint: `recv` returns `b""` when the client has left: stop there, as with an error. Write to a
        file with another name, and rename it when all bytes have come; or keep the body in memory
        until then.
    """
    size = 90_000
    ways = ((True, 30_000), (False, 30_000), (False, 0))
    targets = [f"/files/{words.word()}" for _ in ways]
    for target, (reset, sent) in zip(targets, ways, strict=True):
        leave_in_mid_body(client, target, size, reset=reset, sent=sent)
    for target in targets:
        response = client.ask(target)
        if response.status == 200:
            fail(
                f"{len(response.body)} bytes of {size} are stored as if they were the file",
                "404 Not Found: there is no such file",
                f"200, and a body of {len(response.body)} bytes",
            )
        expect_status(response, 404)


def test_leaving_in_mid_body_changes_nothing(client: Client, words: Words, server: Server) -> None:
    """If a client leaves in mid-body, an older file of the same name stays as it was.

    Why: `open(path, "wb")` empties the file at once. If the client then leaves, the old content is
        gone and the new content never comes.
    Hint: Write to a file with another name first. At the end, replace the old one: `os.replace`.
    """
    for reset in (True, False):
        older = words.data(500)
        target = put_file(server, words.word(), older)
        leave_in_mid_body(client, target, 90_000, reset=reset, sent=30_000)
        expect_stored(client, target, older)
    expect_stored(client, target, older)


def test_method_that_the_path_does_not_have(client: Client, words: Words) -> None:
    """A method that the path does not have gets `405`, and `Allow` names those that it has.

    Why: The path is right, but it does not support this method. `Allow` says what it does support
        (RFC 9110 sections 10.2.1 and 15.5.6).
    Hint: Look at the path first: if it is unknown, answer 404. Then look at the method: if the path
        does not have it, answer 405 with a field such as `Allow: GET, HEAD, OPTIONS`.
    """
    for target in pages(words):
        for method in ("POST", *OTHER_METHODS):
            response = client.ask(target, method, body=words.data(20))
            if _has_method(response, method):
                expect_status(response, 405)
                expect_allow(response, "GET", refused=method)
    for method in OTHER_METHODS:
        response = client.ask("/echo", method, body=words.data(20))
        if _has_method(response, method):
            expect_status(response, 405)
            expect_allow(response, "POST", refused=method)


def _has_method(response: Response, method: str) -> bool:
    """Return whether the server knows `method`. PATCH is not in RFC 9110, so 501 is fine as well.

    >>> _has_method(Response(1, 501, "", [], b""), "PATCH")
    False
    """
    return method != "PATCH" or response.status != 501


def test_file_is_not_sent_for_other_methods(client: Client, words: Words, server: Server) -> None:
    """PUT, DELETE and PATCH of a file get `405`, and the file stays as it was.

    Why: A server that treats every method as GET says "200, done" to a client that wanted to delete
        the file (RFC 9110 section 15.5.6).
    Hint: Choose by method and path together, for files too. The path has GET and POST: name both in
        `Allow`.
    """
    for method in OTHER_METHODS:
        content, body = words.data(30), words.data(20)
        target = put_file(server, words.word(), content)
        response = client.ask(target, method, body=body)
        left = client.ask(target)
        # A server may have more methods than it has to.
        done = {"DELETE": left.status in (404, 410), "PUT": left.body == body}.get(method)
        if not done and _has_method(response, method):
            expect_status(response, 405)
            expect_allow(response, "GET", "POST", refused=method)
            expect_body(left, content)


@edge
def test_echo_has_no_get(client: Client) -> None:
    """`GET /echo` gets 405 as well: that path has POST, and nothing to get.

    Why: 404 would say that `/echo` does not exist, but it does (RFC 9110 section 15.5.6).
    Hint: Before you answer 404, check whether the path exists for any other method.
    """
    response = client.ask("/echo")
    expect_status(response, 405)
    expect_allow(response, "POST", refused="GET")


@edge
def test_head_is_get_without_the_body(client: Client, words: Words, server: Server) -> None:
    """HEAD gets the same head as GET, and no body, on every path.

    Why: With HEAD, a client asks how large a file is, or whether it exists at all, without loading
        it (RFC 9110 section 9.3.2).
    Hint: Treat HEAD as GET down to the last step, and just do not send the body. Content-Length is
        what it would be for GET, or is left out.
    """
    file = put_file(server, f"{words.word()}/{words.word()}.css", words.data(1500))
    folder = file.rpartition("/")[0]
    empty = put_file(server, words.word(), b"")
    missing = (f"/{words.word()}", f"/files/{words.word()}", f"/files/../{words.word()}", folder)
    fields = [("User-Agent", words.word())]
    for target in (*pages(words), file, f"{file}?{words.word()}", empty, *missing, "/echo"):
        expected = client.ask(target, fields=fields)
        _expect_head(client.ask(target, "HEAD", fields), expected)
    for target in ("/", file, missing[0]):
        expected = client.ask(target, version="1.0")
        _expect_head(client.ask(target, "HEAD", version="1.0"), expected)


def _expect_head(response: Response, expected: Response) -> None:
    """Fail if a response to HEAD describes the body differently from `expected`, for GET."""
    if 400 <= expected.status < 500 and response.status != expected.status:
        expect_refused(response)  # Any 4xx will do.
        return
    expect_status(response, expected.status)
    for name in DESCRIBING:
        value = expected.field(name)
        if name in MUST_DESCRIBE and value is not None:
            expect_field(response, name, value, f"{value}, as it is for GET")
        elif response.field(name) not in (None, value):
            wanted = "no such field" if value is None else f"{value}, as it is for GET"
            expect_field(response, name, lambda _: False, wanted)


@edge
def test_head_sees_what_post_has_stored(client: Client, words: Words) -> None:
    """After a POST, HEAD and GET see the new file: its length, its type and its bytes.

    Why: A stored file is a file like any other. What was true of the old one no longer matters.
    Hint: Look up the length of the file for each request, and choose the type by the name as
        always.
    """
    target = f"/files/{words.word()}.css"
    expect_status(client.ask(target, "HEAD"), 404)
    for size in (300, 20):
        content = words.data(size)
        expect_status(client.ask(target, "POST", body=content), 200, 201, 204)
        response = client.ask(target, "HEAD")
        expect_status(response, 200)
        expect_media_type(response, "text/css")
        if response.field("Content-Length") is not None:
            expect_length(response, size)
        expect_stored(client, target, content)


@edge
def test_unknown_method(client: Client, words: Words, server: Server) -> None:
    """An unknown method gets `501`, on every path.

    Why: 405 says "not for this path"; 501 says "not on this server" (RFC 9110 section 15.6.2).
    Hint: Keep a set of the known methods: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH, TRACE,
        CONNECT.
    """
    file = put_file(server, words.word(), words.data(20))
    for target in (*pages(words), "/echo", file):
        expect_status(client.ask(target, words.word().upper()), 501)
    expect_status(client.ask("/about", f"{words.word(5).upper()}-{words.word(3).upper()}"), 501)
    expect_status(client.ask("/", words.word().upper(), body=words.data(20)), 501)
    expect_status(client.ask("/", words.word().upper(), version="1.0"), 501)


@edge
def test_methods_have_letter_case(client: Client, words: Words) -> None:
    """`get` is not GET: a method in small letters is an unknown one.

    Why: Letter case matters in the names of methods, unlike in those of fields
        (RFC 9110 section 9.1).
    Hint: Compare the method as it came, without `upper()`.
    """
    body = words.data(20)
    for method, target in (("get", "/"), ("Get", f"/echo/{words.word()}"), ("post", "/echo")):
        response = client.ask(target, method, body=body if method == "post" else None)
        expect_status(response, 501, 400, 405)


@edge
def test_body_over_the_limit(client: Client, words: Words) -> None:
    """A body that is declared larger than the limit (100 MB) gets `413` at once.

    Why: A server that reads first and checks later may fill its disk. The head says how much will
        come, so there is no need to wait for it (RFC 9110 section 15.5.14).
    Hint: Compare Content-Length with your limit before you read the first byte of the body. Close
        the connection after the response: the client may be sending already.
    """
    for target in ("/echo", f"/files/{words.word()}"):
        connection = client.connect()
        connection.send(upload_head(target, TOO_LARGE))
        try:
            response = connection.read_response("POST")
        except WireError as error:
            if error.kind == "reset":
                raise
            fail(
                "the client announced 10 GB, and the server waited for them instead of refusing",
                "413 as soon as the head is read",
                "no response",
                connection=connection,
            )
        expect_status(response, 413)
        client.expect_nothing_more(connection)
    expect_status(client.ask(target), 404)


@edge
def test_length_beyond_all_numbers(client: Client, words: Words) -> None:
    """A Content-Length of thirty digits is refused, and not taken for a small one.

    Why: In many languages, a number that does not fit into 64 bits becomes a different one:
        2**64 + 5 becomes 5, and the rest of the body is taken for a request
        (RFC 9110 section 8.6).
    Hint: If your language has no large numbers, count the digits before you convert them.
    """
    for length in (2**64 + 5, 2**32 + 5, int("9" * 30)):
        response = client.ask_raw(upload_head("/echo", length) + words.data(5), "POST")
        expect_status(response, 413, 400)
    client.expect_serving()


@edge
def test_different_lengths(client: Client, words: Words) -> None:
    """Two different values of Content-Length get `400 Bad Request`.

    Why: One of them is wrong, and nobody knows which. It is the oldest way to smuggle a request
        past a proxy (RFC 9112 section 6.3).
    Hint: Do not let the second line overwrite the first in your dict: join the values with a comma.
        Then `"5, 7"` is not a number, and gets 400 anyway.
    """
    pairs = [("Content-Length", "5"), ("content-length", "7")]
    for fields in (pairs, pairs[::-1], [("Content-Length", "5, 7")]):
        for target in ("/echo", f"/files/{words.word()}"):
            data = request_bytes(target, "POST", fields) + words.data(7)
            expect_status(client.ask_raw(data, "POST"), 400)
        expect_status(client.ask(target), 404)
    expect_status(client.ask("/", fields=pairs), 400)
    expect_status(client.ask_raw(request_bytes("/echo", "POST", pairs, version="1.0")), 400)


@edge
def test_post_without_a_length(client: Client, words: Words) -> None:
    """A POST without Content-Length has an empty body, and gets its response at once.

    Why: The end of the connection cannot end a request, since the client waits for the response.
        Without a length, there is no body (RFC 9112 section 6.3).
    Hint: If there is no Content-Length, the length is 0. Do not wait for anything.
    """
    response = client.ask("/echo", "POST")
    expect_status(response, 200)
    expect_body(response, b"")
    target = f"/files/{words.word()}"
    expect_status(client.ask(target, "POST"), 201)
    expect_stored(client, target, b"")


@edge
def test_options_of_a_path(client: Client, words: Words, server: Server) -> None:
    """`OPTIONS /path` gets a response with `Allow`.

    Why: A client may ask what can be done with a path before it does it (RFC 9110 section 9.3.7).
    Hint: You already have the list, for 405. Send it with 200 and an empty body, or with 204.
    """
    file = put_file(server, f"{words.word()}/{words.word()}", words.data(20))
    table = {target: ["GET"] for target in pages(words)}
    for target, methods in (table | {"/echo": ["POST"], file: ["GET", "POST"]}).items():
        response = client.ask(target, "OPTIONS")
        _expect_success(response)
        expect_allow(response, *methods)
    response = client.ask("/", "OPTIONS", version="1.0")
    _expect_success(response)
    expect_allow(response, "GET")


@edge
def test_options_of_the_server(client: Client) -> None:
    """`OPTIONS *` gets a response with `Allow`: what the server can do at all.

    Why: The star stands for the server itself. It is the one target that does not begin with a
        slash (RFC 9112 section 3.2.4).
    Hint: Let `*` pass where you check the target, if the method is OPTIONS.
    """
    response = client.ask("*", "OPTIONS")
    _expect_success(response)
    expect_allow(response, "GET")


def _expect_success(response: Response) -> None:
    """Fail unless the status is a 2xx, as some servers answer OPTIONS with 204."""
    if not 200 <= response.status < 300:
        expect_status(response, 200, 204)


@edge
def test_post_to_a_folder(client: Client, words: Words, server: Server) -> None:
    """A POST to the name of a folder gets a 4xx.

    Why: A folder can't be written like a file. Opening it is an error, but not a reason to break
        off the connection.
    Hint: Check that the path is not a folder (`path.is_dir()`) before you open it.
    """
    folder = words.word()
    kept = put_file(server, f"{folder}/{words.word()}", words.data(20))
    for target in (f"/files/{folder}", "/files/"):
        expect_refused(client.ask(target, "POST", body=words.data(10)))
    expect_status(client.ask(kept), 200)


@edge
def test_one_file_has_one_name_for_uploads(client: Client, words: Words, server: Server) -> None:
    """A file is stored under its one name only: POST to `/files//notes.txt` gets a 4xx.

    Why: `/files//notes.txt` is a different path from `/files/notes.txt`. If GET does not find the
        file there, POST must not change it there (RFC 3986 section 6.2).
    Hint: Find the path with the same function for GET and POST. A `Path` drops `.`, double slashes
        and a slash at the end: look at the text, part by part.
    """
    folder, name, content = words.word(), f"{words.word()}.txt", words.data(30)
    target = put_file(server, name, content)
    inner = put_file(server, f"{folder}/{name}", content)
    for path in (
        f"{target}/",
        f"/files/./{name}",
        f"/files//{name}",
        f"/files/{folder}/../{name}",
        f"/files/{folder}//{name}",
        f"{inner}/",
    ):
        with about(f"POST {path}"):
            expect_refused(client.ask(path, "POST", body=words.data(10)))
            expect_stored(client, target, content)
            expect_stored(client, inner, content)


@edge
def test_post_into_a_missing_folder(client: Client, words: Words) -> None:
    """A POST into a missing folder gets a 4xx, or the folder is created and the status is 201.

    Why: Opening such a file for writing raises FileNotFoundError. The client asked for the wrong
        place. The server has not failed, so a 500 is wrong (RFC 9110 section 15.5).
    Hint: If `path.parent.is_dir()` is false, answer 404. Or call `path.parent.mkdir(parents=True)`
        once you know that the path is inside the folder that you serve.
    """
    for folders in (words.word(), f"{words.word()}/{words.word()}"):
        target, body = f"/files/{folders}/{words.word()}.txt", words.data(20)
        response = client.ask(target, "POST", body=body)
        if response.status == 201:
            expect_stored(client, target, body)
        else:
            expect_refused(response)


@edge
@waits
def test_large_upload_needs_little_memory(client: Client, words: Words, server: Server) -> None:
    """An upload of 64 MB costs the server less than half of that in memory.

    Why: If every upload were held in memory, a few clients with large files would fill it.
    Hint: Write each piece to a temporary file as it comes, and do not keep it. Rename the file when
        everything is there.
    """
    piece, before, grown = words.data(MEGABYTE), 0, 0
    for size in (WARM_UP, UPLOAD):
        before = server.memory()  # In the end, what the first body cost does not count.
        name = words.word()
        connection = client.connect()
        connection.send(upload_head(f"/files/{name}", size) + piece[1:])
        for _ in range(size // MEGABYTE - 1):
            connection.send(piece)
        grown = server.memory() - before  # All but one byte has been sent.
        connection.send(piece[:1])
        expect_status(connection.read_response("POST"), 201)
        client.expect_nothing_more(connection)
        (server.public / name).unlink()
    expect(
        grown < MEMORY,
        f"the server grew by {grown // MEGABYTE} MB while it took an upload of"
        f" {UPLOAD // MEGABYTE} MB",
        f"a server that grows by less than {MEMORY // MEGABYTE} MB",
        f"{before // MEGABYTE} MB before, {(before + grown) // MEGABYTE} MB during the upload",
    )


@edge
def test_writes_through_no_link(client: Client, words: Words, server: Server) -> None:
    """Nothing is written through a symbolic link that leads out of the folder.

    Why: A link inside the folder may name any file on the machine, and writing to the link would
        change that file.
    Hint: Resolve the path, with all links, and check that it is still inside the folder.
    """
    outside, links, content = server.scratch / words.word(), words.word(), words.data(30)
    outside.mkdir()
    (outside / "old").write_bytes(content)
    try:
        (server.public / f"{links}.txt").symlink_to(outside / "old")
        (server.public / f"{links}-new.txt").symlink_to(outside / "new")
        (server.public / links).symlink_to(outside)
    except OSError as error:
        pytest.skip(f"symbolic links can't be made here: {error.strerror}")
    for path in (f"{links}.txt", f"{links}-new.txt", f"{links}/new", f"{links}/old"):
        client.ask(f"/files/{path}", "POST", body=words.data(10))
        there = {entry.name: entry.read_bytes() for entry in outside.iterdir()}
        expect(
            there == {"old": content},
            f"POST /files/{path} wrote through a link to a place outside the folder",
            f"a place outside that holds one file, old, of {len(content)} bytes",
            ", ".join(f"{name} of {len(data)} bytes" for name, data in sorted(there.items())),
        )


def test_broken_upload_leaves_nothing_behind(client: Client, words: Words, server: Server) -> None:
    """A client that leaves in mid-body leaves no temporary file behind either.

    Why: Uploads break off every day. What they leave behind fills the disk, and anyone who guesses
        its name may fetch it.
    Hint: Delete the temporary file in a `finally`: `upload.unlink(missing_ok=True)`.
    """
    before = names_below(server.public)
    for reset in (True, False):
        leave_in_mid_body(client, f"/files/{words.word()}", 90_000, reset=reset, sent=30_000)
    deadline = time.monotonic() + CLEAN_UP
    while left := names_below(server.public) - before:
        if time.monotonic() > deadline:
            fail(
                "uploads that broke off left files behind in the folder",
                "no new file in the folder",
                ", ".join(sorted(path.name for path in left)),
            )
        time.sleep(0.01)  # A folder does not report its changes.


@edge
@waits
def test_expect_continue(client: Client, words: Words) -> None:
    """`Expect: 100-continue` gets `100 Continue` before the body is sent.

    Why: The client asks: shall I send all this? It holds the body back until it gets `100
        Continue`. curl does so with large bodies, and waits a second for nothing if no response
        comes (RFC 9110 section 10.1.1).
    Hint: `sendall(b"HTTP/1.1 100 Continue\\r\\n\\r\\n")` before the first byte of the body is read.
        The real response follows, on the same connection, when the body has come.
    """
    for expectation in ("100-continue", "100-Continue"):
        target, body = f"/files/{words.word()}", words.data(words.randint(100, 900))
        if expectation == "100-Continue":
            target = "/echo"
        connection = client.connect()
        connection.send(upload_head(target, len(body), ("Expect", expectation)))
        try:
            response = connection.read_response("POST", interim=True)
        except WireError as error:
            if error.kind == "reset":
                raise
            fail(
                "no 100 Continue came: the server and the client wait for each other",
                "HTTP/1.1 100 Continue, and an empty line",
                "nothing",
                connection=connection,
            )
        expect_status(response, 100)
        connection.send(body)
        response = connection.read_response("POST")
        client.expect_nothing_more(connection)
        if target == "/echo":
            expect_status(response, 200)
            expect_body(response, body)
        else:
            expect_status(response, 201)
            expect_stored(client, target, body)


@edge
@waits
def test_refuses_before_the_body_is_sent(client: Client, words: Words) -> None:
    """A client that holds its body back (`Expect: 100-continue`) gets a refusal at once.

    Why: The client waits for a decision. If neither `100 Continue` nor a response comes, both sides
        wait (RFC 9110 section 10.1.1).
    Hint: Answer 404, 405 or 413 without waiting for the body. You may send `100 Continue` first,
        but then the body comes.
    """
    body = words.data(200)
    expect = [("Content-Length", str(len(body))), ("Expect", "100-continue")]
    for target, status in ((f"/{words.word()}", 404), ("/", 405)):
        connection = client.connect()
        connection.send(request_bytes(target, "POST", expect))
        response = connection.read_response("POST", interim=True)
        if response.status == 100:
            connection.send(body)
            response = connection.read_response("POST")
        expect_status(response, status)
        client.expect_nothing_more(connection)


@edge
@waits
def test_no_continue_for_old_clients(client: Client, words: Words) -> None:
    """An HTTP/1.0 client is never sent `100 Continue`.

    Why: Such a client does not know that anything may come before the response. It would take
        `100 Continue` for the response itself (RFC 9110 section 10.1.1).
    Hint: Look at the version of the request before you send it. The body comes anyway.
    """
    target, body = f"/files/{words.word()}", words.data(200)
    sent = {where: client.connect() for where in (target, "/echo")}
    for where, connection in sent.items():
        connection.send(upload_head(where, len(body), ("Expect", "100-continue"), version="1.0"))
    time.sleep(0.2)  # Time in which a server can make its mistake.
    for where, connection in sent.items():
        connection.send(body)
        response = connection.read_response("POST", interim=True)
        expect_status(response, 201 if where == target else 200)
        client.expect_nothing_more(connection)
    expect_stored(client, target, body)


@edge
def test_no_length_where_no_body_can_be(client: Client, words: Words, server: Server) -> None:
    """`204 No Content` and `100 Continue` have no Content-Length, and no Transfer-Encoding.

    Why: These responses never have a body, whatever their fields say. A client that believes the
        field waits for a body, or takes the next response for it (RFC 9110 section 8.6, RFC 9112
        section 6.1).
    Hint: Leave these fields out if the status is 204 or begins with 1. Or answer 200 with
        `Content-Length: 0` instead of 204.
    """
    file = put_file(server, words.word(), words.data(20))
    body = words.data(20)
    connection = client.connect()
    connection.send(upload_head("/echo", len(body), ("Expect", "100-continue")) + body)
    first = connection.read_response("POST", interim=True)
    if first.status < 200:
        _expect_no_length(first)
        connection.read_response("POST")
    for target in ("*", "/", "/echo", file, f"/{words.word()}"):
        _expect_no_length(client.ask(target, "OPTIONS"))
    for target in (f"/files/{words.word()}", file):
        _expect_no_length(client.ask(target, "POST", body=b""))
    _expect_no_length(client.ask("/echo", "POST", body=b""))


def _expect_no_length(response: Response) -> None:
    """Fail if the response can't have a body but says how long it is."""
    if response.status < 200 or response.status == 204:
        for name in ("Content-Length", "Transfer-Encoding"):
            expect_no_field(response, name, f"but a {response.status} never has a body")


def test_responses_to_other_methods_bear_the_usual_fields(
    client: Client, words: Words, server: Server
) -> None:
    """The responses to POST have `Date`, `Server` and a length, also with 404 and 405.

    Why: What holds for GET holds for other methods, too. Code that writes a head of its own easily
        forgets a field (RFC 9110 section 6.6.1).
    Hint: Send all responses through the one function that writes heads.
    """
    for response in _responses_to_other_methods(client, words, server):
        _expect_usual_fields(response)


def _expect_usual_fields(response: Response) -> None:
    """Fail unless the response says when it was made, by what, and how long it is."""
    expect_said(response, "Date", "the time of the response")
    expect_said(response, "Server", "the name of your program")
    if response.framing != "none":  # Neither a response to HEAD nor a 204.
        expect_length_field(response)


@edge
def test_responses_to_rare_methods_bear_the_usual_fields(
    client: Client, words: Words, server: Server
) -> None:
    """The responses to HEAD, OPTIONS, unknown methods and oversized bodies have the usual fields.

    Why: Code that writes a response in a place of its own easily forgets what all others have:
        `Date`, `Server`, a length, and up to stage 14 `Connection: close`, if the connection ends.
    Hint: Send all responses through the one function that writes heads.
    """
    file = put_file(server, f"{words.word()}.txt", words.data(20))
    for method, target, length in (
        ("HEAD", file, None),
        ("HEAD", f"/files/{words.word()}", None),
        ("OPTIONS", "/", None),
        (words.word().upper(), "/", None),
        ("POST", "/echo", TOO_LARGE),
    ):
        fields = [("Content-Length", str(length))] if length else []
        what = f"{method} {target}" if not length else "a declared length of 10 GB"
        with about(what):
            response = client.ask(target, method, fields)
            _expect_usual_fields(response)
            expect_close(client, response)


@waits
def test_half_a_body_holds_nobody_up(client: Client, words: Words) -> None:
    """Clients that have sent only half a body do not hold up anyone, not even another upload.

    Why: A body may take minutes to arrive. Until then, the server must have time for others
        (RFC 9112 section 9.4).
    Hint: While you read from a client, do not hold a lock or wait for another thread.
    """

    def scene() -> None:
        """Send halves, let others send whole bodies, and then send the rest of the halves."""
        body, halves = words.data(1000), []
        for target in ("/echo", f"/files/{words.word()}"):
            halves.append(client.connect())
            halves[-1].send(upload_head(target, len(body)) + body[:500])
        for target in ("/echo", f"/files/{words.word()}"):
            with naming(f"answering POST {target}, while two others are half sent"):
                expect_status(client.ask(target, "POST", body=words.data(30)), 200, 201)
        for connection in halves:
            with naming("answering a POST that was half sent while others were served"):
                connection.send(body[500:])
                expect_status(connection.read_response("POST"), 200, 201)

    repeat_if_slow(scene)


@edge
def test_no_field_comes_twice_in_response_to_other_methods(
    client: Client, words: Words, server: Server
) -> None:
    """No field that has one value appears twice in a response to POST or DELETE.

    Why: Two `Date` or two `Content-Type` fields make a response ambiguous: some clients take the
        first, others the last (RFC 9110 section 5.3).
    Hint: Collect the fields in a dictionary before you write them, whatever the method is.
    """
    for response in _responses_to_other_methods(client, words, server):
        expect_each_once(response)


@until(14)
def test_responses_to_other_methods_say_close(client: Client, words: Words, server: Server) -> None:
    """Responses to POST say `Connection: close`, errors too, unless the connection stays open.

    Why: A client that does not know this sends its next request on a connection that is closed
        already (RFC 9112 section 9.6). From stage 15 on, connections do stay open.
    Hint: Send all responses through the one function that writes heads.
    """
    for response in _responses_to_other_methods(client, words, server):
        expect_close(client, response)


def _responses_to_other_methods(client: Client, words: Words, server: Server) -> Iterator[Response]:
    """Yield a response of each kind that servers give from this stage on."""
    file = put_file(server, f"{words.word()}.txt", words.data(20))
    for method, target in (
        ("POST", "/echo"),
        ("POST", f"/files/{words.word()}"),
        ("POST", file),
        ("POST", "/about"),
        ("POST", f"/{words.word()}"),
        ("POST", f"/files/../{words.word()}"),
        ("DELETE", "/"),
    ):
        body = words.data(20) if method == "POST" else None
        with about(f"{method} {target}"):
            yield client.ask(target, method, body=body)


@edge
def test_refused_body_is_no_request(client: Client, words: Words, server: Server) -> None:
    """The body of a refused request is never taken for the next request.

    Why: An attacker who chooses a body could send requests in the name of another client, past a
        proxy (RFC 9112 section 11.2).
    Hint: After 404, 405, 413 and 501, read the body to its end and throw it away, or close the
        connection.
    """
    file = put_file(server, words.word(), words.data(20))
    asked: list[tuple[str, int, Connection]] = []
    for method, target, length in (
        ("POST", f"/{words.word()}", None),
        ("POST", "/", None),
        ("POST", f"/files/../{words.word()}", None),
        ("PUT", file, None),
        (words.word().upper(), "/about", None),
        ("GET", f"/{words.word()}", None),
        ("POST", "/echo", TOO_LARGE),
        ("POST", file, TOO_LARGE),
    ):
        word = words.word(12)
        body = request_bytes(f"/echo/{word}", connection=None)
        fields = [("Content-Length", str(length or len(body)))]
        connection = client.connect()
        connection.send(request_bytes(target, method, fields, connection=None) + body)
        asked.append((method, connection.read_response(method).status, connection))
        connection.half_close()
    deadline = time.monotonic() + (SHORT_END_TIMEOUT if server.spins() else END_TIMEOUT)
    for method, status, connection in asked:
        try:
            rest = connection.read_end(max(SHORT_END_TIMEOUT, deadline - time.monotonic()))
        except WireError:
            rest = b""
        expect(
            not rest.startswith(b"HTTP/"),
            f"the body of a {method} that got {status} was answered as the next request",
            "the end of the connection, as the client has sent nothing more",
            repr(rest[:60])[1:],
        )
        connection.close()


@edge
@waits
def test_refused_body_costs_no_answer(client: Client, words: Words) -> None:
    """A client whose body is refused can still read the response: the connection is not reset.

    Why: If the server answers and closes while the body is still on its way, the system breaks the
        connection off, and the client may lose the response (RFC 9112 section 9.6). curl then says
        "Send failure: Connection reset by peer".
    Hint: Before you close, read the rest of the body and throw it away, at least for a second or
        so. Meanwhile, `shutdown(socket.SHUT_WR)` shows the client that the response is complete.
    """
    body = words.data(20_000)
    refused = (
        ("POST", "/", len(body)),
        ("POST", f"/{words.word()}", len(body)),
        (words.word().upper(), "/", len(body)),
        ("PUT", "/echo", len(body)),
        ("POST", "/echo", TOO_LARGE),
        ("POST", f"/files/{words.word()}", TOO_LARGE),
    )
    sent = [(method, length, client.connect(), target) for method, target, length in refused]
    for method, length, connection, target in sent:
        connection.send(request_bytes(target, method, [("Content-Length", str(length))]))
    for start in range(0, len(body), 5000):
        time.sleep(PAUSE)  # Not a wait for anything: the gap is what is being tested.
        for _, _, connection, _ in sent:
            connection.send(body[start : start + 5000])
    for method, length, connection, _ in sent:
        response = connection.read_response(method)
        if response.status != 501:
            expect_refused(response)
        if length == TOO_LARGE:
            connection.half_close()  # Nothing more will come: the server need not wait for 10 GB.
        connection.read_end(connection.patience)


@edge
@waits
def test_uploads_at_once(client: Client, words: Words) -> None:
    """Uploads that come at the same time are all stored whole, under different names or the same.

    Why: Two clients do not know about each other. If their bodies share a temporary file, or a
        variable, each file gets pieces of the other.
    Hint: Give each upload a temporary file of its own: `tempfile.mkstemp(dir=...)`, or a name with
        `uuid.uuid4()` in it. Then rename it.
    """
    one = f"/files/{words.word()}"
    for targets in ([f"/files/{words.word()}" for _ in range(CROWD)], [one] * CROWD):
        sent = [words.data(3 * SHARE + number) for number in range(CROWD)]
        connections = [client.connect() for _ in targets]
        for connection, target, body in zip(connections, targets, sent, strict=True):
            connection.send(upload_head(target, len(body)) + body[:SHARE])
        for start, end in ((SHARE, 2 * SHARE), (2 * SHARE, None)):
            time.sleep(PAUSE)  # Time in which a server can make its mistake.
            for connection, body in zip(connections, sent, strict=True):
                connection.send(body[start:end])
        for connection in connections:
            with about(f"an upload, one of {CROWD} at the same time"):
                expect_status(connection.read_response("POST"), 200, 201, 204)
            client.expect_nothing_more(connection)
        for target, body in zip(targets, sent, strict=True):
            _expect_whole(client, target, [body] if target != one else sent)


def _expect_whole(client: Client, target: str, contents: list[bytes], when: str = "") -> None:
    """Fail unless a GET of `target` returns one of `contents`."""
    message = f"a reader got a file{when} that is not one of the bodies that were sent"
    sizes = " or ".join(str(len(content)) for content in contents)
    expected = f"one of them, whole: {sizes} bytes"
    try:
        response = client.ask(target)
    except WireError as error:
        if not error.doing.startswith("sending the body"):
            raise
        fail(message, expected, f"the end while {error.doing}", connection=error.connection)
    expect_status(response, 200)
    expect(response.body in contents, message, expected, f"{len(response.body)} bytes")


@edge
@waits
def test_readers_never_see_half_a_file(client: Client, words: Words, server: Server) -> None:
    """While a file is being uploaded, readers get the old one, or 404, and never half a file.

    Why: An upload may take minutes. A client that reads meanwhile must not get half a file.
    Hint: Write to a file with another name, then rename it: `os.replace` does that in one step.
    """
    new = words.data(90_000)
    for old in (None, words.data(3000)):
        target = f"/files/{words.word()}" if old is None else put_file(server, words.word(), old)
        repeat_if_slow(functools.partial(_upload_while_reading, client, target, old, new))
        expect_stored(client, target, new)


def _upload_while_reading(client: Client, target: str, old: bytes | None, new: bytes) -> None:
    """Store `new` slowly, and check meanwhile that a GET returns `old`, or 404 if that is None."""
    connection = client.connect()
    connection.send(upload_head(target, len(new)) + new[:40_000])
    for number in range(5):
        time.sleep(PAUSE)  # Time in which a server can make its mistake.
        response = client.ask(target)
        if response.status == 200 and response.body != old:
            had = "there was none" if old is None else f"the old one had {len(old)}"
            fail(
                f"a reader got {len(response.body)} bytes of a file of {len(new)} that was still"
                f" being sent; before that, {had}",
                "404" if old is None else f"the {len(old)} bytes of the old file",
                f"{response.status}, and a body of {len(response.body)} bytes",
            )
        expect_status(response, 404 if old is None else 200)
        connection.send(new[40_000 + 10_000 * number :][:10_000])
    expect_status(connection.read_response("POST"), 200, 201, 204)
    client.expect_nothing_more(connection)


@edge
@waits
def test_file_is_replaced_in_one_step(client: Client, words: Words, server: Server) -> None:
    """While a file is replaced, readers get the old one or the new one, and it is never missing.

    Why: Emptying a file and writing it takes a moment, however fast the body came. If there are
        many readers, one of them will look just then.
    Hint: Write to a file with another name, in the same folder, then rename it: `os.replace` does
        that in one step. `path.write_bytes(body)` empties the file first.
    """
    contents = [words.data(size) for size in SIZES]
    target = put_file(server, words.word(), contents[0])
    over = threading.Event()

    def store() -> None:
        """Store the bodies in turn, as fast as possible."""
        for content in itertools.cycle(contents):
            if over.is_set():
                break
            other = Client(server, words)
            expect_status(other.ask(target, "POST", body=content), 200, 201, 204)
            other.close()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(store)
        try:
            for _ in range(LOOKS):
                _expect_whole(client, target, contents, " while the file was replaced")
        finally:
            over.set()
        done.result()


@edge
@waits
def test_slow_upload_is_stored(client: Client, words: Words) -> None:
    """An upload may take longer than the idle timeout, if the client is never silent for that long.

    Why: Over a phone's network, a photo takes minutes. A client that is still sending is not idle.
    Hint: Start the idle timeout again for each `recv` of the body. Only the head has one deadline
        for all of it: a head is short, and nobody needs long for it.
    """
    whole = SLOW_PIECES * SLOW_PAUSE

    def scene() -> None:
        """Send an upload slowly, and see that it is stored."""
        target, body = f"/files/{words.word()}", words.data(300)
        connection = client.connect()
        pieces = [upload_head(target, len(body)), *cut(words, body, SLOW_PIECES)]
        try:
            connection.send_pieces(pieces, SLOW_PAUSE)
            response = connection.read_response("POST")
        except WireError as error:
            if error.kind in NO_END:
                raise
            fail(
                f"an upload that takes {whole:.1f} s was cut off after {connection.seconds:.1f} s",
                f"201: no pause was longer than {SLOW_PAUSE:.1f} s, and IDLE_TIMEOUT is"
                f" {IDLE_TIMEOUT} s",
                "the end of the connection",
                connection=connection,
            )
        expect_status(response, 201)
        client.expect_nothing_more(connection)
        expect_stored(client, target, body)

    repeat_if_slow(scene, whole + 0.6 * IDLE_TIMEOUT)


@edge
@waits
def test_stalled_body_is_cut_off(client: Client, words: Words) -> None:
    """A client that stops in mid-body is cut off after the idle timeout, and nothing is stored.

    Why: Each client that the server waits for costs a thread and memory. A few hundred that never
        go on would stop the service.
    Hint: Set a timeout for each `recv` of the body, too: `connection.settimeout(seconds)`. When it
        expires, answer 408 or just close the connection, and store nothing.
    """
    target, body = f"/files/{words.word()}", words.data(1000)
    expect_stalled_are_cut_off(
        client,
        upload_head(target, len(body)) + body[:300],
        upload_head("/echo", len(body)) + body[:300],
        upload_head("/echo", len(body)),
    )
    response = client.ask(target)
    expect(
        response.status == 404,
        f"of the body that stalled, {len(response.body)} bytes were stored as if they were all",
        "404: there is no such file",
        f"{response.status} {response.reason}",
    )


def expect_stalled_are_cut_off(client: Client, *begun: bytes) -> None:
    """Send each of `begun`, which stops in mid-body; fail unless all connections end in time."""
    stalled = [client.connect() for _ in begun]
    for connection, data in zip(stalled, begun, strict=True):
        connection.send(data)
    deadline = time.monotonic() + STALL_TIMEOUT
    for connection in stalled:
        try:
            connection.read_end(max(deadline - time.monotonic(), PAUSE))
        except WireError as error:
            if error.kind == "silent":
                fail(
                    f"after {STALL_TIMEOUT:g} s, the server was still waiting for a client that"
                    " stopped in mid-body",
                    "the end of the connection after the idle timeout",
                    "a connection that is still open",
                    connection=connection,
                )


def _describe(path: Path) -> str:
    """Return in words what there is at `path`."""
    return f"a file of {path.stat().st_size} bytes" if path.is_file() else "no file of that name"

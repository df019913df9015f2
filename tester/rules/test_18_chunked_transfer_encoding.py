"""Stage 18, Chunked Transfer Encoding: bodies whose length is not known beforehand."""

import contextlib
import select
from collections.abc import Iterator

from tester.attempt.server import Server
from tester.grading.client import Client, ask_on, put_file, repeat_if_slow
from tester.grading.expect import (
    about,
    expect,
    expect_body,
    expect_field,
    expect_no_field,
    expect_refused,
    expect_said,
    expect_status,
    fail,
    says_close,
)
from tester.grading.follow import expect_body_is_no_request, expect_no_more_answers
from tester.grading.words import Words
from tester.ladder.rule import edge, waits
from tester.rules.test_14_handle_post_requests import expect_stalled_are_cut_off
from tester.rules.test_16_support_http_compression import GZIP, expect_unpacked
from tester.wire.connection import Connection, WireError
from tester.wire.request import chunked, request_bytes
from tester.wire.response import Response

STAGE = 18
CHUNKED = [("Transfer-Encoding", "chunked")]
TICKS = [b"tick 1", b"tick 2", b"tick 3", b"tick 4", b"tick 5"]
FIRST_BEFORE_LAST = 0.15  # Seconds from the first line to the last, at least; 0.4 is right.
END_OF_UPLOAD = 10.0  # Seconds within which the server must notice that a client has left.
TRIES = 4  # How often streams run side by side before they are called late.
LONG_LINE = 80 * 1024  # Bytes: more than any server needs to read between two chunks.
TRAILERS = 8192  # Lines of 1 KB: more than any server needs to read after a body.
MEGABYTE = 1_000_000


@waits
def test_stream_sends_chunks(client: Client) -> None:
    """`GET /stream` sends the lines `tick 1` to `tick 5`, each in a chunk of its own.

    Why: A server that makes a body piece by piece knows its length only at the end. So each piece
        travels with its own size, in hexadecimal digits, and a piece of size 0 ends the body
        (RFC 9112 section 7.1).
    Hint: For each line send `f"{len(line):x}\\r\\n"`, the line, and `\\r\\n`; at the end send
        `0\\r\\n\\r\\n`. The head says `Transfer-Encoding: chunked` and has no Content-Length.
    """
    response = client.ask("/stream")
    expect_status(response, 200)
    expect_no_field(response, "Content-Length", "though its length is not known beforehand")
    expect(
        response.framing == "chunked",
        "the response has no Transfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        f"Transfer-Encoding: {response.field('Transfer-Encoding') or 'missing'}",
    )
    expect_ticks(response)
    lines = [chunk.rstrip(b"\r\n") for chunk in response.chunks]
    expect(
        lines == TICKS,
        f"the five lines did not come in one chunk each: the number of chunks is {len(lines)}",
        repr(TICKS),
        repr(lines)[:200],
    )


@waits
def test_first_line_comes_well_before_the_last(client: Client) -> None:
    """Each line of `/stream` is sent as soon as it is ready: the first long before the last.

    Why: This is what chunks are for: the client sees the first results while the server still works
        on the others.
    Hint: Send each chunk as soon as you have the line, and wait 0.1 s (`time.sleep(0.1)`) between
        two lines. Do not collect the lines.
    """
    for _ in range(3):  # On a busy machine both may be late, and come together.
        connection = client.connect()
        connection.send(request_bytes("/stream"))
        response = connection.read_response()
        expect_status(response, 200)
        expect_ticks(response)
        gap = find_arrival(connection, TICKS[-1]) - find_arrival(connection, TICKS[0])
        if gap >= FIRST_BEFORE_LAST:
            return
    fail(
        f"the last line came {gap * 1000:.0f} ms after the first: the lines were held back",
        "about 0.1 s between two lines, 0.4 s in all",
        f"{gap:.3f} s from the first line to the last",
        connection=connection,
    )


@waits
def test_connection_is_usable_after_a_stream(client: Client, words: Words) -> None:
    """After the last chunk the connection can be used for the next request.

    Why: The last chunk shows where the body ends, so the connection does not have to end for that
        (RFC 9112 section 9.3).
    Hint: End the body with exactly `0\\r\\n\\r\\n`, and stay in the loop.
    """
    word, other = words.word(), words.word()
    together, connection = client.connect(), client.connect()
    together.send(
        request_bytes("/stream", connection=None)
        + request_bytes(f"/echo/{word}", connection=None)
        + request_bytes("/stream", connection=None)
        + request_bytes(f"/echo/{other}")
    )
    for _ in range(2):
        response = ask_on(connection, "/stream")
        expect_status(response, 200)
        expect_ticks(response)
        next_word = words.word()
        response = ask_on(connection, f"/echo/{next_word}")
        expect_status(response, 200)
        expect_body(response, next_word.encode())
    for wanted in (None, word, None, other):
        with about("streams and echoes, asked for together", together):
            response = together.read_response()
            expect_status(response, 200)
            if wanted is None:
                expect_ticks(response)
            else:
                expect_body(response, wanted.encode())


@waits
def test_stream_bears_the_usual_fields(client: Client) -> None:
    """The response to `/stream` has `Date` and `Server`, like every other response.

    Why: A response whose length is not known is written in another way than all others, and a field
        is easily forgotten there (RFC 9110 section 6.6.1).
    Hint: Let all responses pass through the one function that writes heads.
    """
    response = client.ask("/stream")
    expect_said(response, "Date", "the time of the response")
    expect_said(response, "Server", "the name of your program")


@waits
def test_stream_is_one_path(client: Client, words: Words) -> None:
    """`/stream` with a query is the stream too; `/streams`, `/strea` and `/stream/x` are 404.

    Why: The query is not a part of the path, and only the whole path counts (RFC 9110 section 4.2).
    Hint: Look up `/stream` where you look up the other pages, after you have cut off the query.
    """
    response = client.ask(f"/stream?{words.word()}={words.word()}")
    expect_status(response, 200)
    expect_ticks(response)
    for path in ("/streams", "/strea", f"/stream/{words.word()}", f"/{words.word()}/stream"):
        with about(path):
            expect_status(client.ask(path), 404)


def test_stream_has_no_other_methods(client: Client, words: Words) -> None:
    """POST and DELETE for `/stream` get 405, and `Allow` names GET.

    Why: A method that a path does not have is refused, and `Allow` says which methods it has
        (RFC 9110 section 15.5.6).
    Hint: Put `/stream` into the same table as the other paths, under GET.
    """
    for method in ("POST", "DELETE", "PUT"):
        body = words.text(20) if method != "DELETE" else None
        for target in ("/stream", f"/stream?{words.word()}=1"):
            with about(f"{method} {target}"):
                response = client.ask(target, method, body=body)
                expect_status(response, 405, *((501,) if method != "POST" else ()))
                if response.status == 405:
                    expect_field(
                        response,
                        "Allow",
                        lambda value: "GET" in [name.strip() for name in value.split(",")],
                        "GET, and the other methods that there are",
                    )


@waits
def test_stream_is_what_its_coding_says(client: Client, words: Words) -> None:
    """The five lines of `/stream` are compressed exactly when `Content-Encoding` says so.

    Why: `Content-Encoding: gzip` promises that the chunks, put together, are in gzip format. If
        they are not, the client can't show anything (RFC 9110 section 8.4).
    Hint: Say gzip only where you compress. A compressor may return nothing for a piece. Do not send
        that as a chunk: a chunk of 0 bytes ends the body.
    """
    lines = b"".join(line + b"\n" for line in TICKS)
    connections = [client.connect() for _ in range(3)]
    wishes = [GZIP], [("Accept-Encoding", "identity")], [GZIP]
    for connection, fields in zip(connections, wishes, strict=True):
        version = "1.0" if connection is connections[2] else "1.1"
        connection.send(request_bytes("/stream", fields=fields, version=version))
    for connection, fields in zip(connections, wishes, strict=True):
        with about(f"/stream with Accept-Encoding: {fields[0][1]}", connection):
            response = connection.read_response()
            expect_status(response, 200)
            if response.body.replace(b"\r\n", b"\n") == lines and not response.values(
                "Content-Encoding"
            ):
                continue
            expect_unpacked(response, lines, fields[0][1])


@waits
def test_http_1_0_gets_no_chunks(client: Client) -> None:
    """A client that speaks HTTP/1.0 gets the lines without chunks.

    Why: HTTP/1.0 does not have chunks: the client would take their sizes for a part of the text
        (RFC 9112 section 6.1).
    Hint: If the request line says HTTP/1.0, send the lines as they are, without Transfer-Encoding,
        and close the connection after the last one.
    """
    response = client.ask("/stream", version="1.0")
    expect_status(response, 200)
    expect_no_field(response, "Transfer-Encoding", "though the request came in HTTP/1.0")
    expect_ticks(response)
    connection, head = client.connect(), b""
    connection.send(request_bytes("/stream", version="1.0", connection="keep-alive"))
    while b"\r\n\r\n" not in head and (data := connection.receive()):
        head += data  # Only its head: how such a stream ends is another rule.
    if b"\ntransfer-encoding:" in head.lower():
        fail(
            "the response has Transfer-Encoding, though the request came in HTTP/1.0",
            "no field Transfer-Encoding",
            "chunks, for a client that asked for keep-alive in HTTP/1.0",
            connection=connection,
        )


@edge
@waits
def test_stream_for_http_1_0_ends_the_connection(client: Client, words: Words) -> None:
    """`/stream` in HTTP/1.0 ends with the connection, even if the client asks for keep-alive.

    Why: Without chunks and without a length, only the end of the connection shows where the body
        ends. If it stays open, the client waits forever (RFC 9112 sections 6.3 and 9.3).
    Hint: Keep an HTTP/1.0 connection open only if the response has a Content-Length.
    """
    connection = client.connect()
    connection.send(request_bytes("/stream", version="1.0", connection="keep-alive"))
    came = b""
    while not (TICKS[-1] in came and came.endswith(b"\n")) and (piece := connection.receive()):
        came += piece
    expect(TICKS[-1] in came, "the connection ended before the last line of the stream")
    if b"\r\ncontent-length:" in came.lower():
        return  # A server that collects the lines first knows their length, and may stay.
    with contextlib.suppress(WireError):  # It has hung up, as it should.
        connection.send(request_bytes(f"/echo/{words.word()}", connection=None))
    expect_no_more_answers(connection, "only the end of the connection ends this stream")


def test_decodes_a_chunked_body(client: Client, words: Words) -> None:
    """A request body that comes in chunks is put together: `POST /echo` sends back what is in them.

    Why: A client may not know the length of what it sends either. Then it says
        `Transfer-Encoding: chunked`, and no Content-Length (RFC 9112 section 7.1).
    Hint: Read a line: it holds the size. Read that many bytes, then the CR LF after them. Repeat
        until the size is 0, then read up to the empty line.
    """
    tricky = b"0\r\n\r\n" + words.text(6) + b"\r\n5\r\n"
    for pieces in (
        [words.text(11)],
        [words.text(3), words.text(30), words.text(1)],
        [tricky],
        [],
        [words.data(300) for _ in range(20)],
    ):
        response = post(client, "/echo", chunked(*pieces))
        expect_status(response, 200)
        expect_body(response, b"".join(pieces))


def test_stores_a_chunked_body(client: Client, words: Words, server: Server) -> None:
    """`POST /files/NAME` stores what is in the chunks, even 1 MB in about 1,000 of them.

    Why: A handler must not see how a body was sent: it gets the bytes, and nothing of the chunks
        around them (RFC 9112 section 7.1).
    Hint: Let one function give the body to every handler, whichever way it came.
    """
    large = words.data(MEGABYTE)
    pieces = [large[start : start + 1009] for start in range(0, len(large), 1009)]
    for parts in ([words.text(20), words.text(20)], pieces):
        target = f"/files/{words.word()}.bin"
        expect_status(post(client, target, chunked(*parts)), 201)
        response = client.ask(target)
        expect_status(response, 200)
        expect_body(response, b"".join(parts))
    for way in ("../", "%2e%2e/"):
        name = words.word()
        post(client, f"/files/{way}{name}", chunked(words.text(20)))
        expect(
            not (server.scratch / name).exists(),
            f"a chunked body for /files/{way}{name} was stored outside the folder",
            "a 4xx status, and no file",
            f"the file {name} beside the folder",
        )


def test_connection_is_usable_after_chunks(client: Client, words: Words) -> None:
    """After a chunked body, even an empty one, the connection can be used again.

    Why: The last chunk and the empty line after it end the body. The next byte begins the next
        request (RFC 9112 section 7.1).
    Hint: Read all of it: the last chunk, and then lines up to the empty one. Do so even if the
        handler does not look at the body.
    """
    connection, query = client.connect(), f"?{words.word()}={words.word()}"
    for pieces in ([], [words.text(30)], [words.text(5), words.data(70_000)]):
        name, data = f"{words.word()}.bin", b"".join(pieces)
        for target in ("/echo", f"/echo{query}", f"/files/{name}", f"/files/{name}{query}"):
            with about(f"POST {target} in {len(pieces)} chunks", connection):
                response = ask_on(connection, target, "POST", CHUNKED, chunked(*pieces))
                expect_status(response, *((200,) if "/echo" in target else (200, 201, 204)))
                if "/echo" in target:
                    expect_body(response, data)
            with about(f"the request after POST {target} in {len(pieces)} chunks", connection):
                word = words.word()
                after = f"/echo/{word}" if "/echo" in target else f"/files/{name}"
                response = ask_on(connection, after)
                expect_status(response, 200)
                expect_body(response, word.encode() if "/echo" in target else data)


def test_size_is_hexadecimal(client: Client, words: Words) -> None:
    """A chunk's size is read as a hexadecimal number: `a` and `A` are 10, `10` is 16.

    Why: Sixteen digits, 0 to 9 and a to f, keep sizes short. Capital letters and small letters mean
        the same (RFC 9112 section 7.1).
    Hint: Use `int(size, 16)`.
    """
    random = (f"{words.randint(10, 15):x}", f"{words.randint(10, 15):X}")
    for size in (*random, "a", "A", "10"):
        expect_size(client, words, size)


def test_chunks_may_be_cut_at_any_byte(client: Client, words: Words) -> None:
    """It does not matter where a chunked body is cut into packets.

    Why: A packet may end inside a size, between CR and LF, or in a chunk's data; and the next
        request may come in the same packet as the last chunk (RFC 9112 section 9.3.2).
    Hint: Read from one buffer for each connection, and call `recv` only if what you need is not in
        it.
    """
    pieces, word = [words.text(26), b"\r\n" + words.text(9)], words.word()
    head = request_bytes("/echo", "POST", CHUNKED, connection=None)
    body = chunked(*pieces)
    data = head + body + request_bytes(f"/echo/{word}")
    around = range(len(head) - 1, len(head + body) + 2)
    cuts = [cut for cut in around if cut % 2 or cut < len(head) + 5 or cut > around[-8]]
    echo, before = b"".join(pieces), request_bytes(f"/echo/{word}", connection=None)

    def scene() -> None:
        """Send it in two pieces, cut at another place on each connection.

        Another request goes before the first piece, in the same packet. Once that is answered, the
        server has read the first piece too, so the second one comes in a packet of its own.
        """
        connections = {cut: client.connect() for cut in cuts}
        for cut, connection in connections.items():
            connection.send(before + data[:cut])
        for cut, connection in connections.items():
            with about("the request before chunks", connection):
                expect_body(connection.read_response(), word.encode())
            connection.send(data[cut:])
        for cut, connection in connections.items():
            how = f"in two pieces, cut after byte {cut} (the head has {len(head)})"
            expect_echo_and_next(client, connection, echo, word, how)

    repeat_if_slow(scene)
    for size in (1, len(data)):
        connection = client.connect()
        for start in range(0, len(data), size):
            connection.send(data[start : start + size])
        how = "byte by byte" if size == 1 else "in one piece"
        expect_echo_and_next(client, connection, echo, word, how)


@edge
def test_zeros_before_a_size(client: Client, words: Words) -> None:
    """Zeros before the size of a chunk change nothing: `00a` is 10, and `000` ends the body.

    Why: A size has one digit or more, and HTTP sets no limit to their number. The size of the last
        chunk may be several zeros, too (RFC 9112 section 7.1).
    Hint: Python's `int(size, 16)` can read them. Compare the number with 0, not the line with
        `"0"`.
    """
    for size in ("00a", "0001F"):
        expect_size(client, words, size)
    response = post(client, "/echo", chunked(words.text(4), end=b"000\r\n\r\n"))
    expect_status(response, 200)


def expect_size(client: Client, words: Words, size: str) -> None:
    """Fail unless the server understands a chunk whose size is written like `size`."""
    data = words.text(int(size, 16))
    body = size.encode() + b"\r\n" + data + b"\r\n"
    with about(f"a chunk with the size {size}, that is {len(data)} bytes"):
        response = post(client, "/echo", body + b"0\r\n\r\n")
        expect_status(response, 200)
        expect_body(response, data)


def test_refuses_a_size_that_is_no_number(client: Client, words: Words, server: Server) -> None:
    """A chunk size that is not a hexadecimal number gets 400, and nothing is stored.

    Why: If two programs read a size differently, one sees a request where the other sees a body,
        and attackers make use of that. So only hexadecimal digits are allowed (RFC 9112
        section 7.1).
    Hint: `int("+5", 16)`, `int("0x5", 16)` and `int("0_5", 16)` all work in Python, but must not
        here. Check first that there are only hexadecimal digits, and at least one.
    """
    for what, body in bad_sizes(words):
        check_not_stored(client, words, server, body, what, 400, ends=False)


@edge
def test_a_size_that_is_no_number_ends_the_connection(
    client: Client, words: Words, server: Server
) -> None:
    """After a chunk size that is not a hexadecimal number, the connection ends.

    Why: If the size is unknown, nobody knows where the body ends and the next request begins
        (RFC 9112 section 9.6).
    Hint: Answer 400 and leave the loop, as after any other malformed request.
    """
    for what, body in bad_sizes(words):
        check_not_stored(client, words, server, body, what, 400)


def bad_sizes(words: Words) -> Iterator[tuple[str, bytes]]:
    """Yield bodies with a chunk size that is not a number, each after words for it."""
    for size in ("zz", "", "-5", "+5", "0x5", "0_5", "5g"):
        body = f"{size}\r\n".encode() + words.text(5) + b"\r\n0\r\n\r\n"
        yield f"a chunk with the size {size!r}", body
    for size in ("", "-0", "zz"):
        body = chunked(words.text(5), end=size.encode() + b"\r\n\r\n")
        yield f"a last chunk with the size {size!r}", body


@edge
def test_ignores_extensions_and_trailers(client: Client, words: Words) -> None:
    """Well-formed chunk extensions, and fields after the last chunk (trailers), are ignored.

    Why: `;name=value` may follow a size, and fields such as a checksum may follow the last chunk. A
        server that does not know them must skip them (RFC 9112 sections 7.1.1 and 7.1.2).
    Hint: The size ends at the first `;`. After the last chunk, read lines until an empty one comes.
    """
    name, value = words.word(), words.word()
    trailer = f"0\r\nX-{name}: {value}\r\nX-{value}:\r\n\r\n".encode()
    quoted = f'{name}="{value}; \\"{name}\\" = "'
    signs = f'{name}="\t !#[]^~\x80\xff\\\t\\ \\~\\\x80\\\xff";{value}=""'
    spaced = f"\t{name} =\t{value}; {value}\t= {name}"
    for text in (name, f"{name}={value}", f"{name}={value};{value}", quoted, signs, spaced):
        data, extension = words.text(10), text.encode("latin-1")
        end = b"0;" + extension + b"\r\n\r\n"
        for what, body in (
            (
                f"the extension {text}",
                b"a;" + extension + b"\r\n" + data + b"\r\n" + end,
            ),
            ("a body with trailers", chunked(data, end=trailer)),
        ):
            connection, word = client.connect(), words.word()
            with about(what, connection):
                response = ask_on(connection, "/echo", "POST", CHUNKED, body)
                expect_status(response, 200)
                expect_body(response, data)
                expect_body(ask_on(connection, f"/echo/{word}"), word.encode())


@edge
def test_trailers_change_nothing(client: Client, words: Words) -> None:
    """A field after the last chunk does not count: `Connection: close` there is ignored.

    Why: Trailers come after the request's head has been checked. If they could change the request,
        they would get past every check (RFC 9110 section 6.5.1).
    Hint: Read trailers to their end, and throw them away. Never put them among the fields of the
        head.
    """
    connection, data = client.connect(), words.text(20)
    body = chunked(data, end=b"0\r\nConnection: close\r\n\r\n")
    with about("a trailer Connection: close", connection):
        response = ask_on(connection, "/echo", "POST", CHUNKED, body)
        expect_status(response, 200)
        expect_body(response, data)
        word = words.word()
        expect(not says_close(response), "the response says close, as the trailer did")
        expect_body(ask_on(connection, f"/echo/{word}"), word.encode())


@edge
@waits
def test_stalled_chunks_are_cut_off(client: Client, words: Words) -> None:
    """A client that stops in the middle of a chunked body is cut off after the idle timeout.

    Why: A chunk size is a promise like Content-Length. A client that does not keep it costs a
        thread and memory for as long as the server waits.
    Hint: Let the timeout of each `recv` apply to chunk lines and to the data of chunks, too.
    """
    head = request_bytes("/echo", "POST", CHUNKED, connection=None)
    begun = chunked(words.text(50), end=b"")
    expect_stalled_are_cut_off(client, head + begun, head + begun + b"5", head + begun[:20])


@edge
def test_refuses_malformed_extensions(client: Client, words: Words, server: Server) -> None:
    """A malformed chunk extension, or white space around the size, gets 400.

    Why: Programs differ in what they make of a stray `;` or space, and where programs differ,
        attackers hide requests (RFC 9112 sections 7.1.1 and 11.2).
    Hint: Match the whole line: digits, then any number of `;name`, `;name=value`, `;name="value"`.
        `int` strips white space by itself, so look before you call it.
    """
    name = words.word(4)
    for line in (
        " 5",
        "5 ",
        "\t5",
        "5;",
        f"5;;{name}",
        f"5;{name}=",
        f'5;{name}="{name}',
        f"5;{name}\x01",
        f"5;{name}=\x00",
        f"5\x0b;{name}",
    ):
        body = line.encode() + b"\r\n" + words.text(5) + b"\r\n0\r\n\r\n"
        check_not_stored(client, words, server, body, f"the chunk line {line!r}", 400)


@edge
def test_refuses_chunk_lines_without_crlf(client: Client, words: Words, server: Server) -> None:
    """A chunk line that ends in LF alone, or in CR alone, gets 400 at once.

    Why: Some programs take LF for the end of the line and others do not. So they find the end of
        the body in different places (RFC 9112 sections 7.1 and 11.2).
    Hint: A line ends at the first CR or LF. If that is not CR LF, refuse the line at once: do not
        go on looking for `"\\r\\n"`, which may never come.
    """
    for end, name in (("\n", "LF"), ("\r", "CR")):
        body = end.join(("5", words.word(5), "0", "", "")).encode()
        check_not_stored(client, words, server, body, f"chunk lines that end in {name}", 400)
    for number, what in enumerate(("a size", "the data of a chunk", "the size of the last chunk")):
        pieces = chunked(words.word(5).encode()).split(b"\r\n")
        ends = [b"\n" if at == number else b"\r\n" for at in range(len(pieces) - 1)] + [b""]
        body = b"".join(piece + end for piece, end in zip(pieces, ends, strict=True))
        check_not_stored(client, words, server, body, f"LF alone after {what}", 400)


@edge
def test_limits_the_lines_between_chunks(client: Client, words: Words, server: Server) -> None:
    """A chunk size, an extension or a trailer of more than 64 KB is refused, not read forever.

    Why: The limits on heads and on bodies hold only for what is in them. A line between the chunks
        that never ends would fill the server's memory all the same (RFC 9112 section 7.1.1).
    Hint: Read these lines with the function that reads the head: it has a limit.
    """
    word = words.word(LONG_LINE)
    for what, body in (
        ("chunk extension", f"5;x={word}".encode()),
        ("chunk size of zeros", b"0" * LONG_LINE),
        ("trailer", f"0\r\nX: {word}".encode()),
    ):
        what = f"a {what} of {LONG_LINE // 1024} KB that does not end"
        check_not_stored(client, words, server, body, what, 400, 413, 431)


@edge
@waits
def test_limits_the_number_of_trailers(client: Client, words: Words, server: Server) -> None:
    """Trailers without end are refused: 8 MB of them, in lines of 1 KB, are not read to the end.

    Why: Trailers are fields like those of the head, which has a limit. Without one, a client can
        keep the server busy, or fill its memory, with a body of 0 bytes (RFC 9112 section 7.1.2).
    Hint: Count the bytes of all trailers together, and refuse more than a head may have.
    """
    name, line = f"{words.word()}.txt", f"X-{words.word()}: {words.word(1000)}\r\n".encode()
    connection = client.connect()
    connection.send(request_bytes(f"/files/{name}", "POST", CHUNKED, b"0\r\n", connection=None))
    try:
        for _ in range(TRAILERS // 64):
            if connection.has_pending() or connection.seconds > connection.patience:
                break
            connection.send(line * 64)
        connection.send(b"\r\n")
        with about("trailers of 8 MB"):
            expect_refused(connection.read_response("POST"))
    except WireError as error:
        if error.kind == "silent":
            raise  # It has neither refused them nor hung up.
    expect_missing(client, server, name, "trailers of 8 MB")


@edge
@waits
def test_expect_continue_before_chunks(client: Client, words: Words) -> None:
    """`Expect: 100-continue` gets `100 Continue` before a chunked body is sent, too.

    Why: curl asks like this before it uploads what it reads from a pipe. If no response comes, it
        waits a second for nothing (RFC 9110 section 10.1.1).
    Hint: Send `100 Continue` where you begin to read a body, however it is sent.
    """
    fields = [*CHUNKED, ("Expect", "100-continue")]
    for target in ("/echo", f"/files/{words.word()}.txt"):
        connection, data = client.connect(), words.text(30)
        connection.send(request_bytes(target, "POST", fields))
        try:
            response = connection.read_response("POST", interim=True)
        except WireError as error:
            if error.kind == "reset":
                raise
            fail(
                f"POST {target}: no 100 Continue came, and the client waits for it",
                "HTTP/1.1 100 Continue, and an empty line",
                "nothing",
                connection=connection,
            )
        expect_status(response, 100)
        connection.send(chunked(data))
        expect_status(response := connection.read_response("POST"), 200, 201)
        if target == "/echo":
            expect_body(response, data)
        else:
            expect_body(client.ask(target), data)


@edge
@waits
def test_others_are_served_while_a_stream_runs(client: Client, words: Words) -> None:
    """While a stream runs, other clients are served, and other streams run beside it.

    Why: A stream may last for hours. If the server sleeps between two lines and does nothing else
        meanwhile, one client holds up all the others.
    Hint: Give each connection a thread. In an event loop, `await asyncio.sleep(0.1)` lets others
        have their turn, but `time.sleep(0.1)` does not. Hold no lock while you send.
    """
    late = ""
    for _ in range(TRIES):  # On a busy machine all of them may be late.
        word, stream, other, beside = words.word(), *(client.connect() for _ in range(3))
        stream.send(request_bytes("/stream"))
        came = stream.receive()
        while TICKS[0] not in came:
            came += stream.receive()
        other.send(request_bytes(f"/echo/{word}"))
        beside.send(request_bytes("/stream"))
        late = find_late({"GET /echo/…": other, "a second stream": beside}, stream, came)
        if not late:
            with about("a request that was sent while a stream ran", other):
                expect_body(other.read_response(), word.encode())
            return
    fail(
        f"{late} had no response before the stream of another client had ended",
        "a response within the 0.4 s that the stream still takes",
        "nothing until the stream was over",
        connection=stream,
    )


def find_late(others: dict[str, Connection], stream: Connection, came: bytes) -> str:
    """Return which of `others` had got nothing before the last line of `stream`; "" if none."""
    waiting = {connection.socket: name for name, connection in others.items()}
    late = next(iter(others))
    while TICKS[-1] not in came:
        if not waiting and not stream.has_pending():
            return ""  # Each has got something, and no more of the stream has come.
        ready, _, _ = select.select([*waiting, stream.socket], [], [], stream.patience)
        for one in waiting.keys() & set(ready):
            late = waiting.pop(one)
        piece = stream.receive() if stream.socket in ready else b""
        if not piece and (not ready or stream.ended):
            break
        came += piece
    return late


@edge
def test_refuses_malformed_trailers(client: Client, words: Words, server: Server) -> None:
    """A trailer that is not a field line gets 400.

    Why: Trailers are fields like those of the head, and are read by the same rules (RFC 9112
        sections 5 and 7.1.2).
    Hint: Give each trailer line to the function that reads the field lines of the head.
    """
    name = words.word()
    for line in (f"{name}", f"{name}: \x00", f"{name}\x01: {name}"):
        body = chunked(words.text(5), end=f"0\r\n{line}\r\n\r\n".encode())
        check_not_stored(client, words, server, body, f"the trailer {line!r}", 400)


@edge
def test_refuses_both_lengths(client: Client, words: Words, server: Server) -> None:
    """A request with both Content-Length and Transfer-Encoding gets 400, and the connection ends.

    Why: One of the two is wrong. If a proxy believes one and the server the other, a hidden request
        gets through: this is called request smuggling (RFC 9112 sections 6.1 and 11.2).
    Hint: If both fields are there, answer 400 and close.
    """
    hidden = request_bytes(f"/echo/{words.word()}", connection=None)
    body = chunked(words.text(5)) + hidden
    length = ("Content-Length", str(len(body)))
    for fields in ([length, *CHUNKED], [*CHUNKED, length]):
        what = "Content-Length and Transfer-Encoding"
        check_not_stored(client, words, server, body, what, 400, fields=fields)


@edge
def test_chunks_in_http_1_0_end_the_connection(client: Client, words: Words) -> None:
    """A request in HTTP/1.0 with Transfer-Encoding is the last one on its connection.

    Why: HTTP/1.0 does not have chunks. An old proxy passes the field on without reading it, and
        finds the end of the body in another place than the server (RFC 9112 section 6.1).
    Hint: Answer 400 and close, even if the client asks for keep-alive. To read the chunks, answer,
        and then close is just as good.
    """
    connection = client.connect()
    body, fields = chunked(words.text(5)), [*CHUNKED, ("Connection", "keep-alive")]
    connection.send(
        request_bytes("/echo", "POST", fields, body, version="1.0")
        + request_bytes(f"/echo/{words.word()}", connection=None)
    )
    with about("Transfer-Encoding in HTTP/1.0", connection):
        connection.read_response("POST")
        expect_no_more_answers(connection, "a request in HTTP/1.0 had a Transfer-Encoding")


@edge
def test_other_codings_are_not_implemented(client: Client, words: Words, server: Server) -> None:
    """A transfer coding other than chunked gets 501.

    Why: The body is coded in a way that the server can't undo. To store it as it came would be
        wrong (RFC 9112 section 6.1).
    Hint: Split Transfer-Encoding at commas. If anything except `chunked` is in it, answer 501.
    """
    for codings, *statuses in (
        ("gzip, chunked", 501),
        (f"{words.word()},chunked", 501),
        ("gzip", 400, 501),
        (f"{words.word(3)}chunked", 400, 501),
    ):
        fields = [("Transfer-Encoding", codings)]
        what = f"Transfer-Encoding: {codings}"
        body = chunked(words.text(5))
        check_not_stored(client, words, server, body, what, *statuses, fields=fields)


@edge
def test_chunked_comes_last_and_once(client: Client, words: Words, server: Server) -> None:
    """If chunked is not the last transfer coding, or comes twice, the request gets 400.

    Why: Only chunks show where the body ends, so they must be the outermost layer, and there can be
        only one such layer (RFC 9112 sections 6.1 and 6.3).
    Hint: `chunked` may be in the list only once, and nothing may come after it.
    """
    spaced = ["chunked , gzip"], ["chunked\t,gzip"]
    for lines in (["chunked, gzip"], *spaced, ["chunked, chunked"], ["chunked", "chunked"]):
        fields = [("Transfer-Encoding", line) for line in lines]
        what = " and ".join(f"Transfer-Encoding: {line}" for line in lines)
        body = chunked(words.text(5))
        check_not_stored(client, words, server, body, what, 400, fields=fields)


@edge
def test_coding_in_any_letter_case(client: Client, words: Words) -> None:
    """`Transfer-Encoding: Chunked` means chunked, too: letter case does not matter.

    Why: Letter case does not matter in the names of transfer codings (RFC 9112 section 7).
    Hint: Call `lower()` on the value before you compare it.
    """
    for coding in ("Chunked", "CHUNKED"):
        data = words.text(12)
        body = chunked(data)
        response = client.ask("/echo", "POST", [("Transfer-Encoding", coding)], body)
        expect_status(response, 200)
        expect_body(response, data)


@edge
def test_huge_chunk_is_too_large(client: Client, words: Words, server: Server) -> None:
    """A chunk size over the limit for bodies (100 MB) gets 413, before any of its data is read.

    Why: A size is quickly written. A server that reserves memory for it, or waits for the data, can
        be stopped with a single line (RFC 9112 section 7.1, RFC 9110 section 15.5.14).
    Hint: Add up the sizes as they come. If the sum is over the limit, answer 413 and close.
    """
    check_not_stored(client, words, server, b"2540be400\r\n", "a chunk size of 10 GB", 413)
    body = chunked(words.text(50), end=b"2540be400\r\n")
    check_not_stored(client, words, server, body, "a second chunk size of 10 GB", 413)
    what = "the chunk size ffffffffffffffff"
    check_not_stored(client, words, server, b"f" * 16 + b"\r\n", what, 413, 400)


@edge
@waits
def test_many_chunks_are_too_large(client: Client, words: Words, server: Server) -> None:
    """Chunks that add up to more than the limit for bodies (100 MB) get 413.

    Why: The limit is for the whole body. If it held for each chunk alone, many chunks could fill
        the disk.
    Hint: Keep a sum of all sizes, and compare it with the limit.
    """
    first, second = 15 * MEGABYTE, 99 * MEGABYTE  # Each is below 100 MB, however that is counted.
    connection, name = client.connect(), f"{words.word()}.bin"
    piece, patience = bytes(MEGABYTE), 0.5
    connection.send(request_bytes(f"/files/{name}", "POST", CHUNKED, b"%x\r\n" % first))
    for _ in range(first // MEGABYTE):
        connection.send(piece)
    try:
        connection.send(b"\r\n%x\r\n" % second)
        for _ in range(second // MEGABYTE):  # It may count what comes, not what is announced.
            if select.select([connection.socket], [], [], patience)[0]:
                break
            connection.send(piece)
            patience = 0.0
        with about("chunks that add up to 114 MB"):
            expect_status(connection.read_response(), 413)
    except WireError as error:
        if error.kind != "reset":  # We sent much: the response may be lost on the way.
            raise
    expect_missing(client, server, name, "chunks that add up to 114 MB")


@edge
def test_refuses_a_chunk_without_its_end(client: Client, words: Words, server: Server) -> None:
    """A chunk whose data is not followed by CR LF gets 400.

    Why: Then either the size or the data is wrong, and the next size can't be found (RFC 9112
        section 7.1).
    Hint: After a chunk's data, read two bytes and check that they are `\\r\\n`.
    """
    for after in (b"", b"\n", b"XX", words.word(2).encode() + b"\r\n"):
        body = b"5\r\n" + words.text(5) + after + b"0\r\n\r\n"
        what = f"a chunk with {after!r} after its data" if after else "a chunk without CR LF"
        check_not_stored(client, words, server, body, what, 400)


@edge
@waits
def test_stores_nothing_without_the_last_chunk(
    client: Client, words: Words, server: Server
) -> None:
    """If the client leaves before the last chunk, nothing is stored, and an older file stays.

    Why: Without the last chunk nobody knows how much is missing. Half a file that looks whole is
        worse than none (RFC 9112 section 8).
    Hint: Write to a temporary file. Give it its name only when the last chunk has come. If `recv`
        returns nothing before that, remove the file.
    """
    text, older = words.text(20), words.text(30)
    for cut in (chunked(text, end=b""), chunked(text, end=b"")[:-8], chunked(text, end=b"1f")):
        for existing in (None, older):
            name = f"{words.word()}.txt"
            if existing is not None:
                put_file(server, name, existing)
            connection = client.connect()
            connection.send(request_bytes(f"/files/{name}", "POST", CHUNKED, cut))
            connection.half_close()
            try:
                rest = connection.read_end(END_OF_UPLOAD)
            except WireError as error:
                if error.kind != "reset":
                    raise
                rest = b""
            if rest[9:10] == b"2":
                fail(
                    "a body without its last chunk was accepted",
                    "400, or the end of the connection",
                    rest[:40].decode("latin-1").splitlines()[0],
                    connection=connection,
                )
            if existing is None:
                expect_missing(client, server, name, "a body without its last chunk")
            else:
                expect_body(client.ask(f"/files/{name}"), older)


@edge
@waits
def test_head_of_a_stream_has_no_body(client: Client, words: Words) -> None:
    """HEAD for `/stream` gets the head of the response and no chunk, not even the last.

    Why: A response to HEAD ends with its head, whatever its fields say (RFC 9112 section 6.3).
    Hint: For HEAD, leave out all chunks, and the `0\\r\\n\\r\\n` too.
    """
    connection = client.connect()
    response = ask_on(connection, "/stream", "HEAD", connection="close")
    expect_status(response, 200)
    rest = connection.read_end()
    if rest:
        fail(
            f"the response to HEAD has a body of {len(rest)} bytes",
            "the end of the response after the head's empty line",
            f"{rest[:60]!r}",
            connection=connection,
        )
    connection, word = client.connect(), words.word()
    if not says_close(ask_on(connection, f"/stream?{word}", "HEAD")):
        with about("the request after HEAD /stream", connection):
            expect_body(ask_on(connection, f"/echo/{word}"), word.encode())


@edge
def test_refused_chunks_are_no_request(client: Client, words: Words) -> None:
    """The chunks of a request that is refused (404, 405, 501) are not taken for the next request.

    Why: The body comes even if nobody wants it, and a request may be hidden in it (RFC 9112
        sections 9.3 and 11.2).
    Hint: Before the next request, read the chunks to the last one and throw them away; or close.
    """
    hidden = request_bytes(f"/echo/{words.word()}", connection=None)
    name = words.word()
    for method, target in (
        *(("POST", path) for path in (f"/{name}", "/about", "/stream", "/files/", "/user-agent")),
        *(("GET", path) for path in ("/", f"/echo/{name}", "/search")),
        *((method, "/blog") for method in ("DELETE", "PUT", name.upper())),
    ):
        for body in (chunked(hidden), chunked(words.text(3), hidden, words.text(2))):
            connection = client.connect()
            response = ask_on(connection, target, method, CHUNKED, body)
            if method == "POST":
                expect_refused(response)
            expect_body_is_no_request(connection, words, f"the chunked body of {method} {target}")


def expect_ticks(response: Response) -> None:
    """Fail unless the body is the five lines, whatever ends each line."""
    lines = response.body.splitlines()
    if lines != TICKS:
        expect_body(response, b"".join(line + b"\n" for line in TICKS))


def find_arrival(connection: Connection, words: bytes) -> float:
    """Return when `words` had come, in seconds since the connection was opened."""
    data = b""
    for seconds, piece in connection.arrivals:
        data += piece
        if words in data:
            return seconds
    return connection.seconds


def post(client: Client, target: str, body: bytes) -> Response:
    """Send a body that is chunked already, and return the response."""
    return client.ask(target, "POST", CHUNKED, body)


def expect_echo_and_next(
    client: Client, connection: Connection, body: bytes, word: str, how: str
) -> None:
    """Fail unless the responses are `body`, from the chunks, and `word`, for the request after."""
    for wanted, what in ((body, "chunks"), (word.encode(), "the request after chunks")):
        with about(f"{what} that came {how}", connection):
            response = connection.read_response()
            expect_status(response, 200)
            expect_body(response, wanted)
    client.expect_nothing_more(connection)


def check_not_stored(
    client: Client,
    words: Words,
    server: Server,
    body: bytes,
    what: str,
    *statuses: int,
    fields: list[tuple[str, str]] = CHUNKED,
    ends: bool = True,
) -> None:
    """Post `body` to a file; fail unless it gets one of `statuses`, and no file is made.

    After that the connection must end; without `ends`, it may go on.
    """
    name, wanted = f"{words.word()}.txt", " or ".join(map(str, statuses))
    connection = client.connect()
    with contextlib.suppress(WireError):  # It may have refused before all was sent.
        connection.send(request_bytes(f"/files/{name}", "POST", fields, body, connection=None))
    with about(what):
        response = connection.read_response()
    if response.status not in statuses:
        got = f"{response.status} {response.reason}"
        fail(f"{what} got {got}, not {wanted}", f"status {wanted}", got, connection=connection)
    expect_missing(client, server, name, what)
    if not ends:
        return
    if response.status == 400:
        expect_no_more_answers(connection, f"{what} had got 400")
    elif response.status in (413, 501):
        if response.status == 413:  # What comes now is a part of the body.
            with contextlib.suppress(WireError):
                connection.send(request_bytes(f"/echo/{words.word()}", connection=None))
        expect_body_is_no_request(connection, words, f"what follows {what}", may_wait=True)


def expect_missing(client: Client, server: Server, name: str, what: str) -> None:
    """Fail if a file of this name is in the folder, or if a client can get it."""
    if (server.public / name).exists() or client.kept.ask(f"/files/{name}").status == 200:
        fail(f"{what}: a file was stored anyway", "no file", f"public/{name} is there")

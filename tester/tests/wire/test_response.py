"""The strict reader: what is well-formed is read, and nothing else is."""

from __future__ import annotations

import time

import h11
import pytest

from tester.wire.response import (
    MAX_CHUNK_LINE,
    MAX_CHUNKS,
    MAX_HEAD,
    MAX_INTERIM,
    MAX_LINES,
    SHOWN,
    Malformed,
    Response,
    ResponseReader,
)

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, method: str = "GET", *, pieces: int = 0) -> tuple[Response | None, bytes]:
    """Read `data`, whole or in pieces of so many bytes, and the end; return response and rest."""
    reader = ResponseReader(method)
    size = pieces or max(len(data), 1)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    reader.end()
    return (reader.response if reader.complete else None), reader.extra


def read_with_h11(data: bytes) -> bytes:
    """Return the body that h11 reads. Raises h11.RemoteProtocolError."""
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    connection.receive_data(b"")
    body = b""
    while not isinstance(event := connection.next_event(), h11.EndOfMessage):
        body += bytes(event.data) if isinstance(event, h11.Data) else b""
    return body


WELL_FORMED = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "no body": (OK + b"Content-Length: 0\r\n\r\n", b""),
    "body up to the end": (OK + b"\r\nhello", b"hello"),
    "chunks": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
        b"abcde",
    ),
    "chunk extension and trailer": (
        OK + b'transfer-encoding: Chunked\r\n\r\n1;a="b;c";d\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n',
        b"x",
    ),
    "leading zeros in a size": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n000\r\n\r\n",
        b"abc",
    ),
    "leading zeros in a length": (OK + b"Content-Length: " + b"0" * 19 + b"1\r\n\r\nx", b"x"),
    "no white space before a value": (OK + b"Content-Length:1\r\n\r\nx", b"x"),
    "white space around a value": (OK + b"Content-Length: \t 1 \t\r\n\r\nx", b"x"),
    "an empty reason": (b"HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\nx", b"x"),
    "the same length twice": (OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\nx", b"x"),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nx", b"x"),
}


@pytest.mark.parametrize("name", WELL_FORMED)
@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_reads_what_is_well_formed(name: str, pieces: int) -> None:
    """Whole or in pieces, and as h11 reads it."""
    data, body = WELL_FORMED[name]
    response, extra = read(data, pieces=pieces)
    assert response is not None
    assert (response.body, extra) == (body, b"")
    assert read_with_h11(data) == body


# What learners' servers really send: the bytes, and whether h11 refuses them too.
MALFORMED = {
    "LF alone": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", False),
    "LF alone in one line": (OK + b"Content-Length: 2\n\r\nhi", False),
    "CR inside a line": (OK + b"X: a\rb\r\nContent-Length: 2\r\n\r\nhi", True),
    "no space before the reason": (b"HTTP/1.1 200OK\r\nContent-Length: 2\r\n\r\nhi", True),
    "no space after the code": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", False),
    "words before the code": (b"HTTP/1.1 OK 200\r\n\r\n", True),
    "no version": (b"HTTP 200 OK\r\n\r\n", True),
    "a code of two digits": (b"HTTP/1.1 20 OK\r\n\r\n", True),
    "a line end before the status line": (b"\r\nHTTP/1.1 200 OK\r\n\r\n", True),
    "blanks before a field": (OK + b"    Content-Type: text/html\r\n\r\n", True),
    "a folded line": (OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n", False),
    "space before the colon": (OK + b"Content-Length : 2\r\n\r\nhi", True),
    "no colon": (OK + b"Content-Length 2\r\n\r\nhi", True),
    "a NUL in a value": (OK + b"X: a\0b\r\n\r\n", True),
    "length and chunks": (
        OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        False,
    ),
    "two lengths": (OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi", True),
    "no number": (OK + b"Content-Length: two\r\n\r\nhi", True),
    "a sign": (OK + b"Content-Length: +2\r\n\r\nhi", True),
    "a byte above 127 beside a length": (OK + b"Content-Length: 2\xa0\r\n\r\nhi", True),
    "a byte above 127 beside a coding": (OK + b"Transfer-Encoding: chunked\x85\r\n\r\n", True),
    "two lengths that differ in zeros": (OK + b"Content-Length: 2, 02\r\n\r\nhi", True),
    "a length of 5000 digits": (OK + b"Content-Length: " + b"1" * 5000 + b"\r\n\r\n", True),
    "a code below 100": (b"HTTP/1.1 099 OK\r\n\r\n", True),
    "a length among the trailers": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 0\r\n\r\n",
        False,
    ),
    "a coding among the trailers": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n",
        True,
    ),
    "a blank in place of the last line": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n \r\n\r\n",
        True,
    ),
    "a size with 0x": (OK + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n", True),
    "a size after a space": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n 2\r\nhi\r\n0\r\n\r\n",
        True,
    ),
    "a size that is too small": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhello\r\n0\r\n\r\n",
        True,
    ),
    "a chunk without its CR LF": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi0\r\n\r\n",
        True,
    ),
    "a bare text": (b"Hello World!", True),
    "a page without a head": (b"<h1>Hello</h1>\r\n\r\n", True),
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("pieces", [0, 1, 3])
def test_refuses_what_is_malformed(name: str, pieces: int) -> None:
    """With a place that lies in the line that is shown."""
    data, _ = MALFORMED[name]
    with pytest.raises(Malformed) as caught:
        read(data, pieces=pieces)
    error = caught.value
    assert error.message
    assert error.expected
    assert 0 <= error.index <= len(error.line)


@pytest.mark.parametrize("name", MALFORMED)
def test_is_as_strict_as_h11_or_stricter(name: str) -> None:
    """What h11 lets pass is listed above; everything else it refuses as we do."""
    data, refused = MALFORMED[name]
    if refused:
        with pytest.raises(h11.RemoteProtocolError):
            read_with_h11(data)
    else:
        read_with_h11(data)


INCOMPLETE = {
    "no empty line": OK + b"Content-Length: 2\r\n",
    "an empty answer": b"",
    "a body that is too short": OK + b"Content-Length: 9\r\n\r\nhi",
    "no last chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n",
    "a last chunk without its empty line": OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n",
}


@pytest.mark.parametrize("name", INCOMPLETE)
def test_knows_what_is_incomplete(name: str) -> None:
    """The end of the connection does not make it whole."""
    response, _ = read(INCOMPLETE[name])
    assert response is None


def test_keeps_what_comes_after() -> None:
    """Bytes after the end are not lost, and not part of the body."""
    response, extra = read(OK + b"Content-Length: 2\r\n\r\nhi\r\n")
    assert (response.body, extra) == (b"hi", b"\r\n")


# Of each thing that may go on without end: the most that is taken, with a piece to be repeated, and
# what is said of one more.
ENDLESS = {
    "bytes of a head": (OK + b"X: ", b"a", MAX_HEAD - 24, b"\r\n\r\n", "head does not end"),
    "lines of a head": (OK, b"X: y\r\n", MAX_LINES - 1, b"\r\n", "head does not end: it has more"),
    "digits of a size": (CHUNKED, b"0", MAX_CHUNK_LINE - 2, b"\r\n\r\n", "size and extensions"),
    "bytes of an extension": (
        *(CHUNKED + b"1;a=", b"b", MAX_CHUNK_LINE - 6, b"\r\nx\r\n0\r\n\r\n", "size and extens"),
    ),
    "chunks": (CHUNKED, b"1\r\nx\r\n", MAX_CHUNKS, b"0\r\n\r\n", "more than 50,000 chunks"),
    "bytes of a trailer section": (
        *(CHUNKED + b"0\r\nA: b\r\nX: ", b"a", MAX_HEAD - 13, b"\r\n\r\n", "trailer section does"),
    ),
    "lines of a trailer section": (
        *(CHUNKED + b"0\r\n", b"X: y\r\n", MAX_LINES, b"\r\n", "trailer section does not end"),
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("pieces", [0, 1000])
def test_limits_are_the_same_however_it_comes(name: str, pieces: int) -> None:
    """The last piece that fits fits, and one more does not, whether or not an end comes."""
    start, piece, most, end, words = ENDLESS[name]
    response, _ = read(start + piece * most + end, pieces=pieces)
    assert response is not None
    for stop in (end, piece * most):
        with pytest.raises(Malformed, match=words) as caught:
            read(start + piece * (most + 1) + stop, pieces=pieces)
        assert len(caught.value.line) <= 2 * SHOWN


@pytest.mark.parametrize("pieces", [0, 7])
def test_the_last_of_some_interim_responses_is_read(pieces: int) -> None:
    """All but the final one are skipped; too many are refused."""
    interim, reader = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", ResponseReader()
    data = interim * MAX_INTERIM + OK + b"Content-Length: 2\r\n\r\nhi and more"
    for start in range(0, len(data), pieces or len(data)):
        reader.feed(data[start : start + (pieces or len(data))])
        reader.skip_interim()
    assert (reader.response.status, reader.response.body) == (200, b"hi")
    assert reader.extra.startswith(b" and")
    reader = ResponseReader()
    with pytest.raises(Malformed, match="more than 100 interim responses"):
        reader.feed(interim * (MAX_INTERIM + 1))
        reader.skip_interim()


LINEAR = {
    "a head without a line end": (OK + b"X: ", b"a", 200_000, 1),
    "a trailer without a line end": (CHUNKED + b"0\r\nX: ", b"a", 200_000, 1),
    "a body": (OK + b"\r\n", b"a", 8_000_000, 40),
    "a chunk": (CHUNKED + b"7fffffff\r\n", b"a", 8_000_000, 40),
    "chunks": (CHUNKED, b"1\r\nx\r\n", 40_000, 1),
    "what comes after": (OK + b"Content-Length: 0\r\n\r\n", b"a", 8_000_000, 40),
}


@pytest.mark.parametrize("name", LINEAR)
def test_reading_takes_time_in_proportion(name: str) -> None:
    """Twice as much takes about twice as long, however small the pieces are; not four times."""
    start, piece, count, size = LINEAR[name]

    def measure(data: bytes) -> float:
        """Return the seconds of work that it takes to read `data`, at the best of three times."""
        times = []
        for _ in range(3):
            reader, began = ResponseReader(), time.process_time()
            for place in range(0, len(data), size):
                reader.feed(data[place : place + size])
            times.append(time.process_time() - began)
        return min(times)

    short, long = (measure(start + piece * (count // part)) for part in (4, 1))
    assert long < 9 * short  # Four times as much; if all were copied each time, 16 times.


def test_an_answer_to_head_has_no_body() -> None:
    """Whatever its Content-Length says."""
    response, extra = read(OK + b"Content-Length: 2\r\n\r\nhi", "HEAD")
    assert (response.body, extra) == (b"", b"hi")


def test_chunks_are_kept_apart() -> None:
    """As a rule asks what was in each."""
    response, _ = read(WELL_FORMED["chunks"][0], pieces=1)
    assert response.chunks == [b"abc", b"de"]


@pytest.mark.parametrize(
    ("data", "index"),
    [
        (b"HTTP/1.1 200OK\r\n\r\n", 12),
        (b"HTTP/1.1 OK\r\n\r\n", 9),
        (b"HTTP/1.2 200 OK\r\n\r\n", 7),
        (b"HTTX/1.1 200 OK\r\n\r\n", 3),
        (b"HTTP/1.1 200 OK\n\n", 15),
        (OK + b"Content-Length : 2\r\n\r\n", 14),
        (OK + b"X: a\0b\r\n\r\n", 4),
    ],
)
def test_points_at_the_first_wrong_byte(data: bytes, index: int) -> None:
    """So that the caret stands under it."""
    with pytest.raises(Malformed) as caught:
        read(data)
    assert caught.value.index == index

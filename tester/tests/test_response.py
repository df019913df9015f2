"""The strict reader: what is well-formed is read, and nothing else is."""

from __future__ import annotations

import h11
import pytest

from tester.response import MAX_HEAD, Malformed, Response, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"


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


@pytest.mark.parametrize("pieces", [0, 1000])
def test_the_limit_of_a_head_is_the_same_however_it_comes(pieces: int) -> None:
    """The last byte that fits fits, and one more does not."""
    rest = MAX_HEAD - len(OK + b"X: \r\n\r\n")
    response, _ = read(OK + b"X: " + b"a" * rest + b"\r\n\r\n", pieces=pieces)
    assert response is not None
    with pytest.raises(Malformed, match="does not end"):
        read(OK + b"X: " + b"a" * (rest + 1) + b"\r\n\r\n", pieces=pieces)


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

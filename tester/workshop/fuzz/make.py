"""Makes up requests, right ones and wrong ones."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence

LONG = 70 * 1024  # Bytes: more than our server takes as a head.
METHODS = ("GET", "POST", "HEAD", "OPTIONS", "PUT", "DELETE", "get", "M-SEARCH", "X!#$%&'*+.^_`|~")
TARGETS = (
    *("/", "/about", "/echo/a%20b", "/echo/", "/echo/%2e%2E/%00%zz%", "/user-agent", "//a//b"),
    *("/search?q=a%26b&n=1", "/search?a?b=/;c&&=", "/echo/%3F?x", "/~!$&'()*+,;=:@[]{}|\\^`<>"),
    *("http://a/echo/b", "HTTP://a:80?q=1", "https://[::1]:8/", "http://a", "*", "a:80", "a"),
    *(
        "http://u@a/",
        "http:///",
        "http://:80/",
        "ftp://a/",
        "/a#b",
        '/"',
        "/\xe9",
        "/\x7f",
        "?",
        "",
    ),
)
VERSIONS = ("HTTP/1.1",) * 8 + ("HTTP/1.0",) * 3 + ("HTTP/1.2",)
ODD_VERSIONS = (
    *("HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "HTTP/1.10", "HTTP/1", "http/1.1", "HTTP/ 1.1", ""),
    *("HTTPS/1.1", "HTTP/11", "HTTP/\xb9.1"),
)
HOSTS = (
    "a",
    "a:80",
    "[::1]:80",
    "localhost",
    "",
    "a%20b",
    "a/b",
    "u@a",
    "a, b",
    "a:b",
    "a b",
    "\xe9",
)
FIELDS = (
    *(
        "User-Agent: x/1",
        "X: a \t b",
        "x:",
        "X: \xe9\xff",
        "x: y",
        "Accept: */*;q=0.5, a/b",
        "~: 1",
    ),
    *(
        "Connection: keep-alive",
        "Connection: a, b",
        "Expect: 100-continue",
        "expect: other",
        "Te: x",
    ),
)
ODD_FIELDS = (
    *(
        "X : 1",
        "X\t: 1",
        " X: 1",
        "\tfolded",
        "X",
        ": 1",
        "X: a\0b",
        "X: a\rb",
        "X: a\nY: b",
        "\0: 1",
    ),
    *(
        "X: \x01",
        "X: \x7f",
        "X\xe9: 1",
        "X(: 1",
        "Host: a",
        "Host: b",
        "Host:",
        "X: \x0b",
        "\xa0X: 1",
    ),
    *("Content-Length: 1", "Content-Length: +1", "Content-Length: 1_0", "Content-Length: 0x1"),
    *("Content-Length:", "Content-Length: 1, 1", "Content-Length: 1 1", "Content-Length: \xa01"),
    *("Content-Length: -1", "Content-Length: 1.0", "content-length: 5", "Content-Length: 1,"),
    *("Content-Length: " + "9" * 18, "Content-Length: " + "9" * 5000, "Content-Length: 0"),
    *("Content-Length: " + "0" * 30, "Content_Length: 5", "Content-Length : 5"),
    *("Transfer-Encoding: chunked", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked"),
    *("Transfer-Encoding: chunked, gzip", "Transfer-Encoding: chunked, chunked"),
    *("Transfer-Encoding:", "Transfer-Encoding: xchunked", "Transfer-Encoding: chunked;q=1"),
    *("Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\xa0", "Transfer-Encoding : x"),
    *("transfer-encoding: CHUNKED", "Transfer-Encoding: chunked,", 'Transfer-Encoding: "chunked"'),
    *("Transfer-Encoding: identity", "X: " + "a" * LONG, "Transfer-Encoding:\tchunked \t"),
)
EXTENSIONS = ("", "", "", ";a", ";a=b", "; a = b", ';a="b;\\"c"', ';a="\xe9\t\\\xff";b')
ODD_EXTENSIONS = (
    *(
        " ",
        "\t",
        ";a ;b",
        ";",
        ";;",
        ";=",
        ";a=",
        ';a="',
        ';a="b',
        " ;a",
        ";a b",
        ";\0",
        ";a\rb",
        ";a\nb",
    ),
    *(";a=b=c", ";\xe9", ';a="\x01"', ';a="b"c', ";a ", ";a=b ", ";" + "a" * LONG, "\x0b", ","),
)
SIZES = ("%x", "%X", "0%x", "00%x")
ODD_SIZES = (
    "0x%x",
    "+%x",
    "-%x",
    " %x",
    "%x_0",
    "%x0",
    "g%x",
    "0_%x",
    "0" * 30 + "%x",
    "f" * 20,
    "",
)
TRAILERS = ("X-Sum: 1", "x:", "Y: \xe9", "Content-Type: a/b")
LINE_ENDS = (
    b"\n",
    b"\r",
    b"\r\r\n",
    b"\n\r",
    b"\r ",
    b" \r\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"",
    b"\0\r\n",
)
BYTES = tuple(
    bytes([byte]) for byte in b'\r\n \t:;,0+-_x/?#%\0\x01\x0b\x0c\x1f\x7f\x80\x85\xa0\xff"\\'
)


def now_and_then(chance: random.Random, usual: Sequence[str], odd: Sequence[str]) -> str:
    """Return one of the usual things; rarely, an odd one."""
    return chance.choice(odd if chance.random() < 0.05 else usual)


def make_chunks(chance: random.Random, body: bytes) -> bytes:
    """Write `body` in chunks with extensions, and trailers after them."""
    data = b""
    while True:
        size = chance.randint(1, len(body)) if body else 0
        line = now_and_then(chance, SIZES, ODD_SIZES).replace("%", "%%").replace("%%", "%", 1)
        line = line % size if "%" in line else line
        line += now_and_then(chance, EXTENSIONS, ODD_EXTENSIONS)
        data += line.encode("latin-1") + b"\r\n" + body[:size]
        if not size:
            break
        data += b"\r\n"
        body = body[size:]
    for _ in range(chance.choice((0, 0, 1, 2))):
        data += now_and_then(chance, TRAILERS, ODD_FIELDS).encode("latin-1") + b"\r\n"
    return data + b"\r\n"


def make_body(chance: random.Random) -> tuple[list[str], bytes]:
    """Return the fields that frame a body, and the bytes that follow the head."""
    body = chance.choice((b"", b"hello", b"0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\0\xff" * 9))
    kind = chance.random()
    if kind < 0.4:
        return [], b""
    if kind < 0.7:
        digits = chance.choice(("%d", "%d", "0%d", "00%d")) % len(body)
        return [chance.choice(("Content-Length: ", "content-length:\t")) + digits], body
    name = chance.choice(("Transfer-Encoding: ", "transfer-encoding:"))
    return [name + chance.choice(("chunked", "Chunked"))], make_chunks(chance, body)


def make_request(chance: random.Random) -> bytes:
    """Make a request: often well-formed, and nearly so otherwise."""
    echo = chance.random() < 0.3
    method = "POST" if echo else chance.choice(METHODS[:4] if chance.random() < 0.8 else METHODS)
    target = "/echo" if echo else chance.choice(TARGETS[:14] if chance.random() < 0.9 else TARGETS)
    version = now_and_then(chance, VERSIONS, ODD_VERSIONS)
    fields = [chance.choice(FIELDS) for _ in range(chance.choice((0, 0, 1, 2, 3)))]
    if chance.random() < 0.97:
        hosts = HOSTS[:4] if chance.random() < 0.95 else HOSTS
        fields.append(f"{chance.choice(('Host', 'HOST'))}: {chance.choice(hosts)}")
    framing, body = make_body(chance)
    fields += framing
    if chance.random() < 0.1:
        fields.append(chance.choice(ODD_FIELDS))
    chance.shuffle(fields)
    space = now_and_then(chance, (" ",), ("  ", "\t", "", " \t", "\x0b"))
    lines = [f"{method}{space}{target} {version}", *fields, "", ""]
    before = chance.choice(("\r\n", "\r\n\r\n", "\n", " ")) if chance.random() < 0.04 else ""
    return (before + "\r\n".join(lines)).encode("latin-1") + body


def mutate_byte(chance: random.Random, data: bytes) -> bytes:
    """Drop, double, replace or insert one byte."""
    index = chance.randint(0, len(data))
    before, byte, after = data[:index], data[index : index + 1], data[index + 1 :]
    other = chance.choice(BYTES)
    return before + chance.choice((b"", byte * 2, other, byte + other, other + byte)) + after


def mutate_line(chance: random.Random, data: bytes) -> bytes:
    """Drop, double or fold a line, or put an odd one beside it."""
    lines = data.split(b"\r\n")
    index = chance.randrange(len(lines))
    one, odd = lines[index], chance.choice(ODD_FIELDS).encode("latin-1")
    changed = chance.choice(([], [one, one], [b" " + one], [odd], [one, odd], [odd, one]))
    return b"\r\n".join([*lines[:index], *changed, *lines[index + 1 :]])


def mutate_end(chance: random.Random, data: bytes) -> bytes:
    """Change a line's end."""
    ends = [found.start() for found in re.finditer(rb"\r\n", data)] or [len(data)]
    index = chance.choice(ends)
    return data[:index] + chance.choice(LINE_ENDS) + data[index + 2 :]


def mutate_number(chance: random.Random, data: bytes) -> bytes:
    """Change the last digit of a length or size by one."""
    places = [found.end() - 1 for found in re.finditer(rb"(?<=[ \n])[0-9]+(?=[\r;])", data)]
    if not places:
        return data
    index = chance.choice(places)
    return data[:index] + bytes([data[index] ^ 1]) + data[index + 1 :]


def cut_short(chance: random.Random, data: bytes) -> bytes:
    """End in the middle."""
    return data[: chance.randint(0, len(data))]


MUTATIONS = (mutate_byte, mutate_line, mutate_end, mutate_number, cut_short)


def make_stream(chance: random.Random) -> bytes:
    """Make what one client sends: a few requests, half of the time with mistakes in them."""
    data = b"".join(make_request(chance) for _ in range(chance.choice((1, 1, 2, 3))))
    for _ in range(chance.choice((0, 0, 1, 2))):
        data = chance.choice(MUTATIONS)(chance, data)
    return data


def cut(chance: random.Random, data: bytes) -> list[bytes]:
    """Cut `data` at up to six places."""
    places = sorted(chance.randint(0, len(data)) for _ in range(chance.randint(1, 6)))
    starts, ends = [0, *places], [*places, len(data)]
    return [data[a:b] for a, b in zip(starts, ends, strict=True) if a < b]

"""Stage 18's own server against every MUST that binds it, in raw bytes over real sockets.

stages/CONFORMANCE.md lists what RFC 9112 and RFC 9110 ask for, and names the check that holds each
line: a rule of the tester's, or a test here. The last tests hold that page itself.
"""

from __future__ import annotations

import ast
import email.utils
import functools
import gzip
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tester.attempt.locate import Attempt
from tester.attempt.server import Server
from tester.ladder.stages import STAGES, get_stage
from tester.tests.helpers import ROOT
from tester.wire.connection import PATIENCE, Connection
from tester.wire.response import Response, ResponseReader

SMUGGLED = "GET /echo/smuggled HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
NEXT = SMUGGLED.replace("smuggled", "next")
CLOSING = "\r\nConnection: close\r\n"
LONG = "a" * 70_000  # Bytes: more than the server takes as a head, which is 64 KB.
ARABIC_FIVE = "\u0665".encode().decode("latin-1")  # The bytes of a digit, in another alphabet
CONTROLS = [chr(code) for code in (*range(0x20), 0x7F) if chr(code) not in "\t\r\n"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """Start stage 18's server, once for all tests of this file."""
    program = (sys.executable, "-u", str(get_stage(18).server), "--quiet")
    with Server(Attempt("stage 18", program), with_directory=True) as running:
        yield running


# --- Asking ---------------------------------------------------------------------------------------


def table(cases: dict[str, Any]) -> list[Any]:
    """Return a test's cases: the key says in words what each of them is."""
    return [pytest.param(case, id=words) for words, case in cases.items()]


def get(*fields: str, line: str = "GET /echo/a HTTP/1.1", host: str | None = "Host: a") -> str:
    """Write a request without a body."""
    hosts = () if host is None else (host,)
    return "\r\n".join([line, *hosts, *fields, "", ""])


def post(*fields: str, body: str = "", line: str = "POST /echo HTTP/1.1") -> str:
    """Write a request with a body; `fields` say how long it is."""
    return get(*fields, line=line) + body


def chunks(body: str, *fields: str, line: str = "POST /echo HTTP/1.1") -> str:
    """Write a request whose body is chunked already."""
    return post("Transfer-Encoding: chunked", *fields, body=body, line=line)


def converse(server: Server, text: str) -> bytes:
    """Send `text` in Latin-1, in one go, and return all that comes until the server closes."""
    with Connection(server.address) as connection:
        connection.send(text.encode("latin-1"))
        return connection.read_end(PATIENCE)


def split_answers(data: bytes, *methods: str) -> list[Response]:
    """Return the answers to requests with these methods, strictly read, interim ones too."""
    answers: list[Response] = []
    while data:
        finals = sum(answer.status >= 200 for answer in answers)
        reader = ResponseReader(methods[finals] if finals < len(methods) else "GET")
        reader.feed(data)
        assert reader.complete or reader.end(), f"an answer is not whole: {data!r}"
        answers.append(reader.response)
        data = reader.extra
    return answers


def method_of(request: str) -> str:
    """`"\\r\\nHEAD / HTTP/1.1…"` -> `"HEAD"`."""
    return request.lstrip("\r\n").split(" ")[0]


def refuse(server: Server, request: str, status: int = 400) -> Response:
    """Fail unless `request` gets `status` and the end: what follows it is not served."""
    stored = sorted(server.public.iterdir())
    answered = converse(server, request + SMUGGLED)
    (answer,) = split_answers(answered, method_of(request))
    assert answer.status == status
    assert answer.values("Connection") == ["close"]
    assert sorted(server.public.iterdir()) == stored
    return answer


def accept(server: Server, request: str, status: int = 200) -> Response:
    """Fail unless `request` gets `status`, and the request directly after it is served as well."""
    answered = converse(server, request + NEXT)
    answer, following = split_answers(answered, method_of(request))
    assert answer.status == status
    assert (following.status, following.body) == (200, b"next")
    return answer


# --- The request line: RFC 9112 section 3 ---------------------------------------------------------

BAD_REQUEST_LINES = {
    "no version": "GET /echo/a",
    "no target": "GET HTTP/1.1",
    "nothing but a method": "GET",
    "an empty target between two spaces": "GET  HTTP/1.1",
    "two spaces before the target": "GET  /echo/a HTTP/1.1",
    "two spaces before the version": "GET /echo/a  HTTP/1.1",
    "a tab in place of a space": "GET\t/echo/a HTTP/1.1",
    "a form feed in place of a space": "GET\x0c/echo/a HTTP/1.1",
    "a space before the method": " GET /echo/a HTTP/1.1",
    "a space after the version": "GET /echo/a HTTP/1.1 ",
    "a space inside the target": "GET /echo/a b HTTP/1.1",
    "a fourth part": "GET /echo/a HTTP/1.1 more",
    "no method": " /echo/a HTTP/1.1",
    "a bracket in the method": "GE(T /echo/a HTTP/1.1",
    "a letter with an accent in the method": "G\xc9T /echo/a HTTP/1.1",
    "a NUL in the method": "GE\0T /echo/a HTTP/1.1",
    "a status line": "HTTP/1.1 200 OK",
    "a field in its place": "Host: a",
}


@pytest.mark.parametrize("line", table(BAD_REQUEST_LINES))
def test_refuses_a_malformed_request_line(server: Server, line: str) -> None:
    """Three parts, one space between them, and a method that is a token."""
    refuse(server, get(line=line))


NO_REQUESTS = {
    "a TLS hello": ("\x16\x03\x01\x02\x00\x01\x00", 400),
    "a NUL": ("\0", 400),
    "a space": (" ", 400),
    "a bracket after some letters": ("GE(", 400),
    "the first line of SSH": ("SSH-2.0-OpenSSH_9.6\r\n", 400),
    "a line without a version": ("GET /\r\n", 400),
    "a line with a target of no known form": ("GET a:80 HTTP/1.1\r\n", 400),
    "a line with another version": ("GET / HTTP/2.0\r\nHost", 505),
    "a TLS hello after an empty line": ("\r\n\x16\x03\x01", 400),
}


@pytest.mark.parametrize("case", table(NO_REQUESTS))
def test_refuses_at_once_what_can_never_become_a_request(
    server: Server, case: tuple[str, int]
) -> None:
    """As soon as that is seen: who stays silent until the idle timeout gets no answer at all."""
    data, status = case
    (answer,) = split_answers(converse(server, data))
    assert answer.status == status


BAD_VERSIONS = {
    "HTTP/2.0": 505,
    "HTTP/3.0": 505,
    "HTTP/0.9": 505,
    "HTTP/9.1": 505,
    "http/1.1": 400,
    "Http/1.1": 400,
    "HTTPS/1.1": 400,
    "HTTP/1": 400,
    "HTTP/1.": 400,
    "HTTP/.1": 400,
    "HTTP/11": 400,
    "HTTP/1.10": 400,
    "HTTP/01.1": 400,
    "HTTP/1.1.1": 400,
    "HTTP/1,1": 400,
    "HTTP/+1.1": 400,
    "HTTP/-1.1": 400,
    "HTTP/0x1.1": 400,
    "HTTP/a.b": 400,
    "HTTP/1.\xb9": 400,
    f"HTTP/1.{ARABIC_FIVE}": 400,
    "HTTP 1.1": 400,
}


@pytest.mark.parametrize("version", BAD_VERSIONS, ids=ascii)
def test_refuses_another_version(server: Server, version: str) -> None:
    """Two digits, a dot between them, capital letters before; and the first digit is 1."""
    refuse(server, get(line=f"GET /echo/a {version}"), BAD_VERSIONS[version])


@pytest.mark.parametrize("version", ["HTTP/1.1", "HTTP/1.2", "HTTP/1.9"])
def test_answers_every_minor_version_in_http_1_1(server: Server, version: str) -> None:
    """A later version of the same major one is served as the highest that we know."""
    answer = accept(server, get(line=f"GET /echo/a {version}"))
    assert answer.status_line.startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("method", ["BREW", "get", "Get", "GETS", "M-SEARCH", "!#$%&'*+-.^_`|~1"])
def test_unknown_method_is_not_implemented(server: Server, method: str) -> None:
    """A method's letters count in their case, and all signs of a token may stand in it."""
    refuse(server, get(line=f"{method} /echo/a HTTP/1.1"), 501)


def test_long_lines_are_read(server: Server) -> None:
    """8,000 bytes at least: here a target, a field and a method of that length."""
    long = LONG[:8000]
    assert accept(server, get(line=f"GET /echo/{long} HTTP/1.1")).body == long.encode()
    answer = accept(server, get(f"User-Agent: {long}", line="GET /user-agent HTTP/1.1"))
    assert answer.body == long.encode()
    refuse(server, get(line=f"{long} / HTTP/1.1"), 501)


TOO_LONG = {
    "a target": (get(line=f"GET /{LONG} HTTP/1.1"), 414),
    "a target that does not end": (f"GET /{LONG}", 414),
    "a field": (get(f"X: {LONG}"), 431),
    "a field's name": (get(f"{LONG}: x"), 431),
    "a field that does not end": (get()[:-2] + f"X: {LONG}", 431),
    "many fields": (get(*["X: " + LONG[:1000]] * 70), 431),
}


@pytest.mark.parametrize("case", table(TOO_LONG))
def test_refuses_what_is_too_long(server: Server, case: tuple[str, int]) -> None:
    """With 414 for a target, 431 for fields; none of them is cut, and none passed over."""
    refuse(server, *case)


# --- The request target and Host: RFC 9112 section 3.2 --------------------------------------------

GOOD_TARGETS = {
    "origin-form": "GET /echo/a",
    "origin-form with a query": "GET /echo/a?b=/?c",
    "origin-form with all signs": "GET /echo/a?-._~!$&'()*+,;=:@%20",
    "origin-form with characters that belong in no URI": 'GET /echo/a?"<>[]\\^`{|}',
    "absolute-form": "GET http://a/echo/a",
    "absolute-form with a port": "GET http://a:80/echo/a",
    "absolute-form with an empty port": "GET http://a:/echo/a",
    "absolute-form with an address": "GET http://[::1]:80/echo/a",
    "absolute-form with a capital scheme": "GET HTTP://A/echo/a",
    "absolute-form for another host": "GET http://other.example/echo/a",
    "absolute-form with a query": "GET http://a/echo/a?b",
}


@pytest.mark.parametrize("line", table(GOOD_TARGETS))
def test_takes_a_target_in_origin_form_and_absolute_form(server: Server, line: str) -> None:
    """Also the absolute form, which only proxies are sent today; Host does not count there."""
    assert accept(server, get(line=f"{line} HTTP/1.1")).body == b"a"


@pytest.mark.parametrize("target", ["http://a", "http://a/", "http://a?x", "/"])
def test_an_empty_path_is_the_root(server: Server, target: str) -> None:
    """`http://a` and `http://a/` are one resource."""
    assert b"Hello" in accept(server, get(line=f"GET {target} HTTP/1.1")).body


@pytest.mark.parametrize("target", ["/echo%2Fa", "/echo%2f", "/%2Fecho/a", "/search%2F"])
def test_an_escaped_slash_divides_nothing(server: Server, target: str) -> None:
    """`%2F` is a part of a segment, and `/` stands between two: they are not the same."""
    accept(server, get(line=f"GET {target} HTTP/1.1"), 404)
    assert accept(server, get(line="GET /echo/a%2Fb HTTP/1.1")).body == b"a/b"


@pytest.mark.parametrize("target", ["*", "/", "/echo/a", "http://a", "http://a/echo"])
def test_options_names_the_methods(server: Server, target: str) -> None:
    """Of the whole server (`*`), or of one resource: in `Allow`, and with no body."""
    answer = accept(server, get(line=f"OPTIONS {target} HTTP/1.1"))
    allowed = answer.field("Allow").split(", ")
    assert "OPTIONS" in allowed
    assert "" not in allowed
    assert answer.body == b""


BAD_TARGETS = {
    "no slash before the path": "GET echo/a",
    "a query alone": "GET ?a",
    "a backslash": "GET \\echo\\a",
    "a fragment": "GET /echo/a#b",
    "a fragment in absolute-form": "GET http://a/echo/a#b",
    "asterisk-form with GET": "GET *",
    "asterisk-form with HEAD": "HEAD *",
    "asterisk-form with a method nobody knows": "BREW *",
    "more than an asterisk": "OPTIONS **",
    "authority-form with GET": "GET a:80",
    "authority-form with OPTIONS": "OPTIONS a:80",
    "CONNECT": "CONNECT a:80",
    "CONNECT with an empty port": "CONNECT a:",
    "CONNECT without a port": "CONNECT a",
    "CONNECT with a port that is no number": "CONNECT a:b",
    "CONNECT with a port too large": "CONNECT a:99999",
    "a control character": "GET /echo/\x01",
    "a NUL": "GET /echo/\0",
    "a delete character": "GET /echo/\x7f",
    "a bare CR": "GET /echo/\ra",
    "a byte above 127": "GET /echo/\xe9",
    "a no-break space": "GET /echo/a\xa0HTTP/1.1",
    "no host in the URI": "GET http:///echo/a",
    "a port without a host in the URI": "GET http://:80/echo/a",
    "a query without a host in the URI": "GET http://?a",
    "a user in the URI": "GET http://u@a/echo/a",
    "a user and a password in the URI": "GET http://u:p@a/echo/a",
    "a port that is no number in the URI": "GET http://a:b/echo/a",
    "a broken escape in the URI's host": "GET http://a%zz/echo/a",
    "an open bracket in the URI's host": "GET http://[::1/echo/a",
    "a scheme without slashes": "GET http:/echo/a",
    "https without TLS": "GET https://a/echo/a",
    "https in capital letters without TLS": "GET HTTPS://a/echo/a",
    "https without TLS, and no host": "GET https:///echo/a",
    "another scheme": "GET ftp://a/echo/a",
}


@pytest.mark.parametrize("line", table(BAD_TARGETS))
def test_refuses_a_bad_target(server: Server, line: str) -> None:
    """What is none of the four forms, or a form with a method that it does not go with."""
    refuse(server, get(line=f"{line} HTTP/1.1"))


GOOD_HOSTS = ("a", "a:80", "a:", "A.example", "127.0.0.1:80", "[::1]", "[::1]:80", "a_b-c.d", "")


@pytest.mark.parametrize("host", GOOD_HOSTS)
def test_takes_a_good_host(server: Server, host: str) -> None:
    """A name or an address, with a port or without; or nothing, where the URI has no authority."""
    accept(server, get(host=f"Host: {host}"))
    accept(server, get(host=f"hOST:\t{host} \t"))


BAD_HOSTS = {
    "none": (),
    "twice": ("Host: a", "Host: b"),
    "twice the same": ("Host: a", "Host: a"),
    "twice, and not side by side": ("Host: a", "X: b", "host: a"),
    "twice, and both empty": ("Host:", "Host:"),
    "twice, and one empty": ("Host:", "Host: a"),
    "a list": ("Host: a, b",),
    "a list without a space": ("Host: a,b",),
    "two words": ("Host: a b",),
    "a path": ("Host: a/b",),
    "a slash at the end": ("Host: a/",),
    "a backslash": ("Host: a\\b",),
    "a query": ("Host: a?b",),
    "a fragment": ("Host: a#b",),
    "a user": ("Host: u@a",),
    "a whole URI": ("Host: http://a",),
    "a port that is no number": ("Host: a:b",),
    "a port with a sign": ("Host: a:+80",),
    "a port in other digits": (f"Host: a:{ARABIC_FIVE}",),
    "two ports": ("Host: a:80:80",),
    "a port alone": ("Host: :80",),
    "a broken escape": ("Host: a%zz",),
    "half an escape": ("Host: a%4",),
    "an open bracket": ("Host: [::1",),
    "a closing bracket": ("Host: ::1]",),
    "an address without brackets": ("Host: ::1",),
    "empty brackets": ("Host: []",),
    "letters after the brackets": ("Host: [::1]a",),
    "quotes": ('Host: "a"',),
    "angle brackets": ("Host: <a>",),
    "a byte above 127": ("Host: \xe9",),
    "a NUL": ("Host: a\0",),
    "its name misspelt": ("Hosts: a",),
}


@pytest.mark.parametrize("hosts", table(BAD_HOSTS))
def test_refuses_a_bad_host(server: Server, hosts: tuple[str, ...]) -> None:
    """None, more than one, or a value that is no host."""
    refuse(server, get(*hosts, host=None))
    refuse(server, get(*hosts, host=None, line="GET http://a/echo/a HTTP/1.1"))


def test_http_1_0_needs_no_host(server: Server) -> None:
    """It did not know that field yet; what is no host is refused all the same."""
    (answer,) = split_answers(converse(server, get(line="GET /echo/a HTTP/1.0", host=None)))
    assert (answer.status, answer.body) == (200, b"a")
    refuse(server, get(line="GET /echo/a HTTP/1.0", host="Host: a/b"))
    refuse(server, get("Host: b", line="GET /echo/a HTTP/1.0"))


# --- Lines and fields: RFC 9112 sections 2.2 and 5 ------------------------------------------------

BAD_FIELDS = {
    "no colon": "X",
    "no name": ": x",
    "a space before the colon": "X : x",
    "a tab before the colon": "X\t: x",
    "a space before the name": " X: x",
    "a line folded with a space": "X: x\r\n y",
    "a line folded with a tab": "X: x\r\n\ty",
    "a line of white space": " \t",
    "a space inside the name": "X Y: x",
    "a bracket in the name": "X(: x",
    "a slash in the name": "X/Y: x",
    "quotes around the name": '"X": x',
    "an accent in the name": "X\xe9: x",
    "a no-break space before the name": "\xa0X: x",
    "a bare CR in the value": "X: x\ry",
    "a bare CR at the end of the value": "X: x\r",
    "a bare CR in the name": "X\ry: x",
    "a bare LF in the value": "X: x\ny",
    "a bare LF after the value": "X: x\nY: y",
    "a bare LF before the name": "\nX: x",
    "LF CR in place of CR LF": "X: x\n\rY: y",
} | {
    f"the character {ord(character):#04x} in the {place}": line.format(character)
    for character in CONTROLS
    for place, line in (("value", "X: x{}y"), ("name", "X{}Y: y"))
}


@pytest.mark.parametrize("line", table(BAD_FIELDS))
def test_refuses_a_malformed_field_line(server: Server, line: str) -> None:
    """Wherever it stands: first, last, or alone between others."""
    refuse(server, get(line))
    refuse(server, get("A: a", line, "B: b"))


def test_refuses_white_space_after_the_request_line(server: Server) -> None:
    """Such a line may hide a field from one reader, and show it to the next."""
    refuse(server, get("X: x", host=" Host: a"))
    refuse(server, get("Host: a", host="\tX: x"))


BAD_LINE_ENDS = {
    "LF after the request line": get().replace("\r\n", "\n", 1),
    "CR after the request line": get().replace("\r\n", "\r", 1),
    "LF after a field": get("X: x").replace("x\r\n", "x\n"),
    "LF for the empty line": get()[:-2] + "\n",
    "LF everywhere": get().replace("\r\n", "\n"),
    "CR everywhere": get().replace("\r\n", "\r"),
    "CR CR LF": get().replace("\r\n", "\r\r\n", 1),
    "LF before the request": "\n" + get(),
    "CR before the request": "\r" + get(),
    "a line of white space before the request": " \r\n" + get(),
}


@pytest.mark.parametrize("request_text", table(BAD_LINE_ENDS))
def test_refuses_a_line_that_does_not_end_in_crlf(server: Server, request_text: str) -> None:
    """A bare CR must be refused; a bare LF may be, and who takes it can be smuggled past."""
    refuse(server, request_text)


@pytest.mark.parametrize("number", [1, 2, 5])
def test_skips_empty_lines_before_a_request(server: Server, number: int) -> None:
    """Old clients send one after a POST."""
    accept(server, "\r\n" * number + get())
    assert accept(server, post("Content-Length: 2", body="hi") + "\r\n").body == b"hi"


GOOD_FIELDS = {
    "no space after the colon": ("User-Agent:x", b"x"),
    "white space around the value": ("User-Agent: \t x \t ", b"x"),
    "white space inside the value": ("User-Agent: x \t y", b"x \t y"),
    "colons in the value": ("User-Agent: x:y: z", b"x:y: z"),
    "an empty value": ("User-Agent:", b""),
    "a value of white space": ("User-Agent: \t ", b""),
    "bytes above 127": ("User-Agent: \x80\xa0\xff\x85", b"\x80\xa0\xff\x85"),
    "a name in capital letters": ("USER-AGENT: x", b"x"),
    "two lines of one name": ("User-Agent: x\r\nuser-agent: y", b"x, y"),
    "a name of all signs": ("!#$%&'*+-.^_`|~0aZ: y\r\nUser-Agent: x", b"x"),
    "a field that nobody knows": ("Nobody-Knows: y\r\nUser-Agent: x", b"x"),
}


@pytest.mark.parametrize("case", table(GOOD_FIELDS))
def test_takes_a_field_as_it_was_sent(server: Server, case: tuple[str, bytes]) -> None:
    """Without the white space around it, and otherwise byte for byte."""
    line, value = case
    assert accept(server, get(line, line="GET /user-agent HTTP/1.1")).body == value


LISTS_WITH_EMPTY_MEMBERS = {
    "Connection": ("Connection: , ,close,", "Connection", "close"),
    "Accept-Encoding": ("Accept-Encoding: ,\t, gzip ,,", "Content-Encoding", "gzip"),
}


@pytest.mark.parametrize("case", table(LISTS_WITH_EMPTY_MEMBERS))
def test_passes_over_empty_members_of_a_list(server: Server, case: tuple[str, str, str]) -> None:
    """Programs that merge lists leave them behind."""
    line, name, value = case
    answer = split_answers(converse(server, get(line) + NEXT))[0]
    assert answer.values(name) == [value]


def test_does_nothing_before_the_head_is_whole(server: Server) -> None:
    """A later field may change all: an upload whose head breaks off leaves no file."""
    request = post("Content-Length: 0", line="POST /files/early HTTP/1.1")
    for end in (-1, -2, -3, -4):
        with Connection(server.address) as connection:
            connection.send(request[:end].encode())
            connection.half_close()
            assert connection.read_end(PATIENCE) == b""
    assert not (server.public / "early").exists()


# --- The length of the body: RFC 9112 sections 6.1 to 6.3 -----------------------------------------

BAD_LENGTHS = {
    "a plus": ["+2"],
    "a minus": ["-2"],
    "minus zero": ["-0"],
    "a fraction": ["2.0"],
    "an exponent": ["2e0"],
    "hexadecimal": ["0x2"],
    "hexadecimal letters": ["a"],
    "an underscore": ["0_2"],
    "a space inside": ["0 2"],
    "a comma at the end": ["2,"],
    "a comma before": [",2"],
    "a list of two": ["2, 3"],
    "a list of the same": ["2, 2"],
    "nothing": [""],
    "white space": [" \t "],
    "quotes": ['"2"'],
    "words": ["two"],
    "a superscript": ["\xb2"],
    "a digit of another alphabet": [ARABIC_FIVE],
    "a no-break space": ["\xa02"],
    "a vertical tab": ["\x0b2"],
    "a semicolon": ["2;"],
    "two fields": ["2", "3"],
    "two fields that agree": ["2", "2"],
    "two fields, one of them empty": ["2", ""],
    "a good one after a bad one": ["x", "2"],
}


@pytest.mark.parametrize("values", table(BAD_LENGTHS))
def test_refuses_a_bad_content_length(server: Server, values: list[str]) -> None:
    """Digits from 0 to 9, once: all else is 400 and the end."""
    lines = [f"Content-Length: {value}" for value in values]
    refuse(server, post(*lines, body="hi", line="POST /files/refused HTTP/1.1"))
    refuse(server, get(*lines))


GOOD_LENGTHS = {
    "one digit": ("2", "hi"),
    "zero": ("0", ""),
    "zeros before": ("00000000000000000000002", "hi"),
    "many zeros": ("0" * 5000, ""),
    "white space around": ("\t 2 \t", "hi"),
}


@pytest.mark.parametrize("case", table(GOOD_LENGTHS))
def test_takes_a_good_content_length(server: Server, case: tuple[str, str]) -> None:
    """The body has so many bytes, and the next request begins after it."""
    length, body = case
    request = post(f"Content-Length: {length}", body=body)
    assert accept(server, request).body == body.encode()


HUGE_LENGTHS = ("104857601", "4294967298", "18446744073709551618", "9" * 5000)


@pytest.mark.parametrize("length", HUGE_LENGTHS, ids=lambda length: f"{len(length)} digits")
def test_a_huge_length_overflows_nothing(server: Server, length: str) -> None:
    """Whatever a number is cut to in 32 or 64 bits, it is too large here."""
    refuse(server, post(f"Content-Length: {length}", body="hi"), 413)


def test_no_length_is_no_body(server: Server) -> None:
    """A request with neither field ends with its head, whatever its method."""
    assert accept(server, post()).body == b""
    accept(server, get())


BAD_CODINGS = {
    "nothing": ([""], 400),
    "white space": ([" \t"], 400),
    "gzip alone": (["gzip"], 400),
    "identity alone": (["identity"], 400),
    "one that nobody knows, alone": (["xchunked"], 400),
    "chunked, then gzip": (["chunked, gzip"], 400),
    "chunked, then identity": (["chunked, identity"], 400),
    "chunked twice": (["chunked, chunked"], 400),
    "chunked twice with gzip between": (["chunked, gzip, chunked"], 400),
    "chunked in two fields": (["chunked", "chunked"], 400),
    "chunked, then gzip in a field of its own": (["chunked", "gzip"], 400),
    "gzip, then chunked": (["gzip, chunked"], 501),
    "gzip, then chunked in a field of its own": (["gzip", "chunked"], 501),
    "gzip, then chunked, in capital letters": (["GZIP, CHUNKED"], 501),
    "identity, then chunked": (["identity, chunked"], 501),
    "one that nobody knows, then chunked": (["x, chunked"], 501),
    "an empty member after": (["chunked,"], 400),
    "an empty member before": ([", chunked"], 400),
    "an empty field as well": (["", "chunked"], 400),
    "a parameter": (["chunked;q=1"], 400),
    "a semicolon": (["chunked;"], 400),
    "quotes": (['"chunked"'], 400),
    "two words": (["chunked x"], 400),
    "a vertical tab before": (["\x0bchunked"], 400),
    "a no-break space after": (["chunked\xa0"], 400),
    "a NUL after": (["chunked\0"], 400),
    "a letter left out": (["chunke"], 400),
    "a letter that only looks like it": (["chun\u212aed".encode().decode("latin-1")], 400),
}


@pytest.mark.parametrize("case", table(BAD_CODINGS))
def test_refuses_a_bad_transfer_encoding(server: Server, case: tuple[list[str], int]) -> None:
    """Chunked last is the only way to know the end; another one before it is not implemented."""
    values, status = case
    lines = [f"Transfer-Encoding: {value}" for value in values]
    line = "POST /files/refused HTTP/1.1"
    refuse(server, post(*lines, body="2\r\nhi\r\n0\r\n\r\n", line=line), status)


BAD_CODING_NAMES = ("Transfer-Encoding : chunked", " Transfer-Encoding: chunked")


@pytest.mark.parametrize("line", BAD_CODING_NAMES)
def test_refuses_a_hidden_transfer_encoding(server: Server, line: str) -> None:
    """One reader would see the field, and the next would not."""
    refuse(server, post("Content-Length: 12", line, body="2\r\nhi\r\n0\r\n\r\n"))


GOOD_CODINGS = (
    *("chunked", "Chunked", "CHUNKED", "cHuNkEd", " \tchunked\t "),
    *("chunked\r\nX: y", "chunked\r\nTransfer-Encodings: gzip"),
)


@pytest.mark.parametrize("value", GOOD_CODINGS, ids=ascii)
def test_takes_chunked_in_any_letter_case(server: Server, value: str) -> None:
    """Names of codings have no case, and white space around them is no part of them."""
    request = post(f"transfer-ENCODING:{value}", body="2\r\nhi\r\n0\r\n\r\n")
    assert accept(server, request).body == b"hi"


@pytest.mark.parametrize("length", ["12", "0", "2", "5, 5", "x"])
def test_refuses_both_lengths(server: Server, length: str) -> None:
    """Two that contradict each other are the oldest way of smuggling; in any order."""
    fields = ("Transfer-Encoding: chunked", f"Content-Length: {length}")
    for lines in (fields, fields[::-1]):
        refuse(server, post(*lines, body="2\r\nhi\r\n0\r\n\r\n"))


@pytest.mark.parametrize("fields", [(), ("Content-Length: 12",), ("Connection: keep-alive",)])
def test_refuses_chunks_in_http_1_0(server: Server, fields: tuple[str, ...]) -> None:
    """They did not exist yet: somebody on the way has not understood what they passed on."""
    line = "POST /files/refused HTTP/1.0"
    refuse(server, chunks("2\r\nhi\r\n0\r\n\r\n", *fields, line=line))


INCOMPLETE = {
    "a length that is not reached": post("Content-Length: 5", body="hi", line="{}"),
    "a chunk that is not whole": chunks("5\r\nhi", line="{}"),
    "no last chunk": chunks("2\r\nhi\r\n", line="{}"),
    "no end of the trailers": chunks("2\r\nhi\r\n0\r\nX: x\r\n", line="{}"),
    "no empty line at the end": chunks("2\r\nhi\r\n0\r\n", line="{}"),
}


@pytest.mark.parametrize("request_text", table(INCOMPLETE))
def test_half_a_body_is_no_request(server: Server, request_text: str) -> None:
    """If the client leaves too early, the connection ends, and nothing is stored."""
    with Connection(server.address) as connection:
        connection.send(request_text.format("POST /files/half HTTP/1.1").encode())
        connection.half_close()
        assert connection.read_end(PATIENCE) == b""
    assert not list(server.public.iterdir())


# --- Chunks: RFC 9112 section 7.1 -----------------------------------------------------------------

GOOD_CHUNKS = {
    "one chunk": ("2\r\nhi\r\n0\r\n\r\n", b"hi"),
    "no chunk but the last": ("0\r\n\r\n", b""),
    "several": ("1\r\nh\r\n1\r\ni\r\n0\r\n\r\n", b"hi"),
    "small hexadecimal digits": ("a\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "capital hexadecimal digits": ("A\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
    "zeros before a size": ("00000000000000000000002\r\nhi\r\n000\r\n\r\n", b"hi"),
    "line ends in the data": ("6\r\n\r\n0\r\n\r\r\n0\r\n\r\n", b"\r\n0\r\n\r"),
    "an extension": ("2;a\r\nhi\r\n0;b\r\n\r\n", b"hi"),
    "an extension with a value": ("2;a=b\r\nhi\r\n0\r\n\r\n", b"hi"),
    "an extension with a quoted value": ('2;a=";\\"\\\\ \xe9"\r\nhi\r\n0\r\n\r\n', b"hi"),
    "several extensions": ("2;a;b=c;d\r\nhi\r\n0\r\n\r\n", b"hi"),
    "white space before a semicolon": ("2 \t;a\r\nhi\r\n0 ;a\r\n\r\n", b"hi"),
    "white space after a semicolon": ("2;\t a\r\nhi\r\n0\r\n\r\n", b"hi"),
    "white space around the equals sign": ("2;a = \tb\r\nhi\r\n0\r\n\r\n", b"hi"),
    "a trailer": ("2\r\nhi\r\n0\r\nX: x\r\n\r\n", b"hi"),
    "several trailers": ("2\r\nhi\r\n0\r\nX: x\r\nY:\r\nx:\ty\r\n\r\n", b"hi"),
}


@pytest.mark.parametrize("case", table(GOOD_CHUNKS))
def test_takes_well_formed_chunks(server: Server, case: tuple[str, bytes]) -> None:
    """Extensions and trailers that nobody knows are read past."""
    body, decoded = case
    assert accept(server, chunks(body)).body == decoded


BAD_CHUNKS = {
    "0x before the size": "0x2\r\nhi\r\n0\r\n\r\n",
    "a plus before the size": "+2\r\nhi\r\n0\r\n\r\n",
    "a minus before the size": "-2\r\nhi\r\n0\r\n\r\n",
    "minus zero": "-0\r\n\r\n",
    "an underscore in the size": "0_2\r\nhi\r\n0\r\n\r\n",
    "a space before the size": " 2\r\nhi\r\n0\r\n\r\n",
    "a space after the size": "2 \r\nhi\r\n0\r\n\r\n",
    "a tab after the size": "2\t\r\nhi\r\n0\r\n\r\n",
    "a space after the last size": "2\r\nhi\r\n0 \r\n\r\n",
    "a space inside the size": "0 2\r\nhi\r\n0\r\n\r\n",
    "an h after the size": "2h\r\nhi\r\n0\r\n\r\n",
    "a letter that is no hexadecimal digit": "g\r\nhi\r\n0\r\n\r\n",
    "a fraction": "2.0\r\nhi\r\n0\r\n\r\n",
    "a digit of another alphabet": f"{ARABIC_FIVE}\r\nhello\r\n0\r\n\r\n",
    "a superscript": "\xb2\r\nhi\r\n0\r\n\r\n",
    "no size": "\r\nhi\r\n0\r\n\r\n",
    "no size but an extension": ";a\r\nhi\r\n0\r\n\r\n",
    "a comma after the size": "2,\r\nhi\r\n0\r\n\r\n",
    "a NUL after the size": "2\0\r\nhi\r\n0\r\n\r\n",
    "LF after the size": "2\nhi\r\n0\r\n\r\n",
    "CR after the size": "2\rhi\r\n0\r\n\r\n",
    "CR CR LF after the size": "2\r\r\nhi\r\n0\r\n\r\n",
    "LF after the data": "2\r\nhi\n0\r\n\r\n",
    "CR after the data": "2\r\nhi\r0\r\n\r\n",
    "nothing after the data": "2\r\nhi0\r\n\r\n",
    "two letters in place of CR LF": "2\r\nhixx0\r\n\r\n",
    "more data than the size says": "2\r\nhix\r\n0\r\n\r\n",
    "less data than the size says": "3\r\nhi\r\n0\r\n\r\n",
    "LF after the last size": "2\r\nhi\r\n0\n\r\n",
    "LF for the empty line": "2\r\nhi\r\n0\r\n\n",
    "CR for the empty line": "2\r\nhi\r\n0\r\n\rx",
    "a semicolon alone": "2;\r\nhi\r\n0\r\n\r\n",
    "two semicolons": "2;;a\r\nhi\r\n0\r\n\r\n",
    "an extension without a name": "2;=b\r\nhi\r\n0\r\n\r\n",
    "an extension without its value": "2;a=\r\nhi\r\n0\r\n\r\n",
    "a quote that does not end": '2;a="b\r\nhi\r\n0\r\n\r\n',
    "letters after a quote": '2;a="b"c\r\nhi\r\n0\r\n\r\n',
    "a space after an extension": "2;a \r\nhi\r\n0\r\n\r\n",
    "two words in an extension": "2;a b\r\nhi\r\n0\r\n\r\n",
    "two equals signs": "2;a=b=c\r\nhi\r\n0\r\n\r\n",
    "a NUL in an extension": "2;a\0\r\nhi\r\n0\r\n\r\n",
    "a control character in a quote": '2;a="\x01"\r\nhi\r\n0\r\n\r\n',
    "CR in an extension": "2;a\rb\r\nhi\r\n0\r\n\r\n",
    "LF in an extension": "2;a\nb\r\nhi\r\n0\r\n\r\n",
    "LF in a quote": '2;a="\n"\r\nhi\r\n0\r\n\r\n',
    "an accent in an extension": "2;\xe9\r\nhi\r\n0\r\n\r\n",
    "an extension that is too long": f"2;{LONG}\r\nhi\r\n0\r\n\r\n",
    "too many zeros": f"{'0' * 70_000}2\r\nhi\r\n0\r\n\r\n",
    "a trailer without a colon": "2\r\nhi\r\n0\r\nX\r\n\r\n",
    "a trailer with a space before its colon": "2\r\nhi\r\n0\r\nX : x\r\n\r\n",
    "a trailer that is folded": "2\r\nhi\r\n0\r\nX: x\r\n y\r\n\r\n",
    "a trailer with a NUL": "2\r\nhi\r\n0\r\nX: \0\r\n\r\n",
    "a trailer that ends in LF": "2\r\nhi\r\n0\r\nX: x\n\r\n",
    "a trailer with CR in it": "2\r\nhi\r\n0\r\nX: x\ry\r\n\r\n",
    "a trailer that is too long": f"2\r\nhi\r\n0\r\nX: {LONG}\r\n\r\n",
    "a request in place of the trailers": "2\r\nhi\r\n0\r\n",
}


@pytest.mark.parametrize("body", table(BAD_CHUNKS))
def test_refuses_malformed_chunks(server: Server, body: str) -> None:
    """And stores nothing of what came before the mistake."""
    refuse(server, chunks(body, line="POST /files/refused HTTP/1.1"))


HUGE_SIZES = ("6400001", "100000002", "10000000000000002", "f" * 16, "f" * 5000)


@pytest.mark.parametrize("size", HUGE_SIZES, ids=lambda size: f"{len(size)} digits")
def test_a_huge_chunk_overflows_nothing(server: Server, size: str) -> None:
    """Whatever a number is cut to in 32 or 64 bits, it is too large here."""
    refuse(server, chunks(f"{size}\r\nhi\r\n0\r\n\r\n", line="POST /files/refused HTTP/1.1"), 413)


TRAILERS = ("Connection: close", "Content-Length: 5", "Transfer-Encoding: gzip", "Host: b", "X: y")


@pytest.mark.parametrize("trailer", TRAILERS)
def test_a_trailer_is_no_header_field(server: Server, trailer: str) -> None:
    """None is merged into the head: not what it says of the connection, nor of the length."""
    answer = accept(server, chunks(f"2\r\nhi\r\n0\r\n{trailer}\r\n\r\n"))
    assert answer.body == b"hi"
    assert answer.values("Connection") != ["close"]


def test_trailers_have_a_limit(server: Server) -> None:
    """Many short ones as well as a long one: what is in them is not the body's, and not free."""
    refuse(server, chunks("0\r\n" + "X: x\r\n" * 20_000 + "\r\n"), 431)
    refuse(server, chunks(f"0\r\nX: {LONG}\r\n\r\n"))


# --- Answers: RFC 9112 sections 4 to 6, RFC 9110 sections 5, 6, 8 and 15 --------------------------

ANSWERS = {
    200: get(),
    201: post("Content-Length: 2", body="hi", line="POST /files/answers HTTP/1.1"),
    400: get(host=None),
    404: get(line="GET /nowhere HTTP/1.1"),
    405: get(line="DELETE / HTTP/1.1"),
    413: post("Content-Length: 999999999"),
    414: TOO_LONG["a target"][0],
    431: TOO_LONG["a field"][0],
    501: get(line="BREW / HTTP/1.1"),
    505: get(line="GET / HTTP/2.0"),
}


@pytest.mark.parametrize("status", ANSWERS)
def test_every_answer_is_well_formed(server: Server, status: int) -> None:
    """Strictly read; its Date is right and in the one good form; no field comes twice."""
    (answer,) = split_answers(converse(server, ANSWERS[status].replace("\r\n", CLOSING, 1)))
    assert answer.status == status
    assert answer.status_line.startswith(b"HTTP/1.1 ")
    names = [name.lower() for name, _ in answer.fields]
    assert len(names) == len(set(names))
    (date,) = answer.values("Date")
    assert re.fullmatch(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", date)
    assert abs(email.utils.parsedate_to_datetime(date).timestamp() - time.time()) < 60
    assert answer.framing == "length"
    (server.public / "answers").unlink(missing_ok=True)


HEAD_REQUESTS = {
    "a page": get(line="HEAD / HTTP/1.1"),
    "an echo": get(line="HEAD /echo/a HTTP/1.1"),
    "a compressed page": get("Accept-Encoding: gzip", line="HEAD / HTTP/1.1"),
    "a stream": get(line="HEAD /stream HTTP/1.1"),
    "absolute-form": get(line="HEAD http://a/ HTTP/1.1"),
    "404": get(line="HEAD /nowhere HTTP/1.1"),
    "404 for a file": get(line="HEAD /files/nowhere HTTP/1.1"),
    "405": get(line="HEAD /echo HTTP/1.1"),
    "400 for no Host": get(line="HEAD / HTTP/1.1", host=None),
    "400 for a field": get("X : x", line="HEAD / HTTP/1.1"),
    "400 for a target": get(line="HEAD * HTTP/1.1"),
    "400 for a length": get("Content-Length: x", line="HEAD / HTTP/1.1"),
    "400 after an empty line": "\r\n" + get(line="HEAD / HTTP/1.1", host=None),
    "413": get("Content-Length: 999999999", line="HEAD / HTTP/1.1"),
    "501 for a coding": get("Transfer-Encoding: gzip, chunked", line="HEAD / HTTP/1.1"),
    "505": get(line="HEAD / HTTP/2.0"),
}
UNREAD_HEADS = {  # Refused before they are read to their end
    "414": get(line=f"HEAD /{LONG} HTTP/1.1"),
    "431": get(f"X: {LONG}", line="HEAD / HTTP/1.1"),
    "400 for a bare LF": get(line="HEAD / HTTP/1.1").replace("\r\n", "\n"),
    "400 for a bare CR": get("X: x\ry", line="HEAD / HTTP/1.1"),
    "400 for a bare LF, after an empty line": "\r\n" + get(line="HEAD / HTTP/1.1\nX: x"),
}


@pytest.mark.parametrize("request_text", table(HEAD_REQUESTS | UNREAD_HEADS))
def test_answers_to_head_have_no_body(server: Server, request_text: str) -> None:
    """Refused ones too; and a Content-Length, if there is one, is the one that GET gets."""
    asked = request_text.replace("\r\n\r\n", f"{CLOSING}\r\n")
    (answer,) = split_answers(converse(server, asked), "HEAD")
    (whole,) = split_answers(converse(server, asked.replace("HEAD", "GET", 1)))
    assert answer.status == whole.status
    if length := answer.values("Content-Length"):
        assert length == whole.values("Content-Length")


NO_CONTENT_PERHAPS = {
    "If-None-Match": get("If-None-Match: *"),
    "If-Modified-Since": get("If-Modified-Since: Fri, 31 Dec 9999 23:59:59 GMT"),
    "an empty echo": get(line="GET /echo/ HTTP/1.1"),
    "an empty upload": post("Content-Length: 0"),
    "OPTIONS": get(line="OPTIONS * HTTP/1.1"),
}


@pytest.mark.parametrize("request_text", table(NO_CONTENT_PERHAPS))
def test_sends_neither_204_nor_304(server: Server, request_text: str) -> None:
    """So none of them can bear a body or a length; where they would fit, we send 200."""
    answer = accept(server, request_text)
    assert answer.status == 200
    assert answer.framing == "length"


@pytest.mark.parametrize("path", ["/", "/echo", "/echo/a", "/stream", "/files/a"])
@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "TRACE", "CONNECT"])
def test_405_says_what_is_allowed(server: Server, method: str, path: str) -> None:
    """A method that we know and this resource does not have."""
    answer = accept(server, get(line=f"{method} {path} HTTP/1.1"), 405)
    allowed = answer.field("Allow").split(", ")
    assert set(allowed) & {"GET", "POST"}
    assert method not in allowed


def test_a_general_server_has_get_and_head(server: Server) -> None:
    """All other methods are optional."""
    for path in ("/", "/echo/a", "/user-agent", "/search"):
        for method in ("GET", "HEAD"):
            accept(server, get(line=f"{method} {path} HTTP/1.1"))


def test_a_safe_method_changes_nothing(server: Server) -> None:
    """GET, HEAD, OPTIONS and TRACE with a body for a file leave the folder as it is."""
    for method in ("GET", "HEAD", "OPTIONS", "TRACE"):
        request = post("Content-Length: 2", body="hi", line=f"{method} /files/safe HTTP/1.1")
        split_answers(converse(server, request + NEXT), method)
        assert not list(server.public.iterdir())


WEIGHTS = {
    "identity;q=1, gzip;q=0.5": [],
    "gzip;q=0.2, *;q=0.9, identity;q=0.5": [],
    "gzip;q=0.5, identity;q=0.2": ["gzip"],
    "gzip;q=0.5, identity;q=0.5": ["gzip"],
    "identity;q=0, x-gzip": ["gzip"],
    "identity;q=0, gzip;q=0": [],
}


@pytest.mark.parametrize("accepted", WEIGHTS)
def test_the_coding_with_the_highest_weight_wins(server: Server, accepted: str) -> None:
    """The plain body is one of them; where none is acceptable, it is sent all the same."""
    answer = accept(server, get(f"Accept-Encoding: {accepted}"))
    assert answer.values("Content-Encoding") == WEIGHTS[accepted]


def test_content_coding_is_named(server: Server) -> None:
    """What is compressed says so, and its length is that of what travels."""
    answer = accept(server, get("Accept-Encoding: gzip"))
    assert answer.values("Content-Encoding") == ["gzip"]
    assert gzip.decompress(answer.body) == b"a"


IGNORED = {
    "Range": ["Range: bytes=0-0"],
    "If-Range without Range": ['If-Range: "a"'],
    "Upgrade": ["Connection: upgrade", "Upgrade: websocket, h2c"],
    "Max-Forwards": ["Max-Forwards: 0"],
    "Content-Location": ["Content-Location: /echo/other"],
    "TE": ["TE: trailers, gzip", "Connection: TE"],
    "Trailer": ["Trailer: X"],
    "Proxy-Connection": ["Proxy-Connection: close"],
    "Authorization": ["Authorization: Basic OnA="],
}


@pytest.mark.parametrize("fields", table(IGNORED))
def test_ignores_what_it_may_ignore(server: Server, fields: list[str]) -> None:
    """The answer is a whole 200, as without the field, in the protocol that was spoken."""
    assert accept(server, get(*fields)).body == b"a"


def test_ignores_upgrade_in_http_1_0(server: Server) -> None:
    """That version does not have it."""
    request = get("Upgrade: h2c", "Connection: upgrade", line="GET /echo/a HTTP/1.0")
    (answer,) = split_answers(converse(server, request))
    assert (answer.status, answer.body) == (200, b"a")


# --- Expect: RFC 9110 section 10.1.1 --------------------------------------------------------------

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
EXPECTATIONS = ("100-continue", "100-Continue", "x, 100-CONTINUE", ", 100-continue ,")


@pytest.mark.parametrize("value", EXPECTATIONS)
@pytest.mark.parametrize("chunked", [False, True], ids=["a length", "chunks"])
def test_asks_for_the_body_before_it_waits(server: Server, value: str, chunked: bool) -> None:
    """With 100, which has no field at all; then the final answer, and the connection goes on."""
    framing = "Transfer-Encoding: chunked" if chunked else "Content-Length: 2"
    with Connection(server.address) as connection:
        connection.send(post(framing, f"Expect: {value}").encode())
        interim = connection.read_response("POST", interim=True)
        assert interim.head == CONTINUE
        connection.send(b"2\r\nhi\r\n0\r\n\r\n" if chunked else b"hi")
        assert connection.read_response("POST").body == b"hi"
        connection.send(NEXT.encode())
        assert connection.read_response().body == b"next"


REFUSED_BEFORE_THE_BODY = {
    "404": (404, "POST /nowhere HTTP/1.1", "Content-Length: 5"),
    "404 for a place outside": (404, "POST /files/../x HTTP/1.1", "Content-Length: 5"),
    "405": (405, "PUT /echo HTTP/1.1", "Content-Length: 5"),
    "413": (413, "POST /echo HTTP/1.1", "Content-Length: 999999999"),
    "400": (400, "POST /echo HTTP/1.1", "Content-Length: x"),
    "501": (501, "BREW /echo HTTP/1.1", "Content-Length: 5"),
    "chunks": (404, "POST /nowhere HTTP/1.1", "Transfer-Encoding: chunked"),
}


@pytest.mark.parametrize("case", table(REFUSED_BEFORE_THE_BODY))
def test_body_that_was_not_asked_for(server: Server, case: tuple[int, str, str]) -> None:
    """The final answer comes at once; whether the body comes too, nobody knows: so we close."""
    status, line, framing = case
    refuse(server, post(framing, "Expect: 100-continue", line=line), status)


@pytest.mark.parametrize("fields", [(), ("Connection: keep-alive",)], ids=["close", "keep-alive"])
def test_no_interim_answer_to_http_1_0(server: Server, fields: tuple[str, ...]) -> None:
    """That version knows no 1xx: the expectation is ignored."""
    expecting = ("Expect: 100-continue", "Content-Length: 2", *fields)
    with Connection(server.address) as connection:
        connection.send(post(*expecting, body="hi", line="POST /echo HTTP/1.0").encode())
        answer = connection.read_response("POST", interim=True)
    assert (answer.status, answer.body) == (200, b"hi")


def test_final_answer_follows_the_interim_one(server: Server) -> None:
    """Also where the body that was asked for turns out to be broken."""
    with Connection(server.address) as connection:
        connection.send(chunks("", "Expect: 100-continue").encode())
        assert connection.read_response("POST", interim=True).head == CONTINUE
        connection.send(b"0x2\r\nhi\r\n0\r\n\r\n" + SMUGGLED.encode())
        (answer,) = split_answers(connection.read_end(PATIENCE))
    assert answer.status == 400


# --- The connection: RFC 9112 section 9 -----------------------------------------------------------

LAST_REQUESTS = {
    "close": get("Connection: close"),
    "close in capital letters": get("Connection: CLOSE"),
    "close in a list": get("Connection: keep-alive, close"),
    "close in a field of its own": get("Connection: x", "Connection: close"),
    "close after a tab": get("Connection: x,\tclose"),
    "HTTP/1.0": get(line="GET /echo/a HTTP/1.0"),
    "HTTP/1.0 with close": get("Connection: close, keep-alive", line="GET /echo/a HTTP/1.0"),
}


@pytest.mark.parametrize("request_text", table(LAST_REQUESTS))
def test_nothing_is_served_after_the_last_request(server: Server, request_text: str) -> None:
    """Who asked for the end gets it, and is told so."""
    answered = converse(server, request_text + SMUGGLED)
    (answer,) = split_answers(answered)
    assert answer.status == 200
    assert answer.values("Connection") == ["close"]
    assert answer.values("Transfer-Encoding") == []


def test_http_1_0_may_ask_to_stay(server: Server) -> None:
    """Then the answer says that we do."""
    request = get("Connection: Keep-Alive", line="GET /echo/a HTTP/1.0")
    assert accept(server, request).values("Connection") == ["keep-alive"]


def test_http_1_0_gets_no_transfer_encoding(server: Server) -> None:
    """A stream ends with the connection there, whatever is asked for; in HTTP/1.1 it is chunked."""
    old = get("Connection: keep-alive", line="GET /stream HTTP/1.0") + SMUGGLED
    new = get("Connection: close", line="GET /stream HTTP/1.1")
    with Connection(server.address) as one, Connection(server.address) as other:
        one.send(old.encode())  # Both at once: a stream takes its time.
        other.send(new.encode())
        (plain,) = split_answers(one.read_end(PATIENCE))
        (chunked,) = split_answers(other.read_end(PATIENCE))
    assert plain.framing == "end"
    assert plain.values("Connection") == ["close"]
    assert chunked.values("Transfer-Encoding") == ["chunked"]
    assert chunked.values("Content-Length") == []
    assert chunked.trailers == []
    assert chunked.body == plain.body


def test_answers_come_in_the_order_of_the_requests(server: Server) -> None:
    """Whatever their methods, and however long each takes."""
    requests = [get(line=f"GET /echo/{number} HTTP/1.1") for number in range(20)]
    requests[5] = post("Content-Length: 1", body="5")
    requests[9] = chunks("1\r\n9\r\n0\r\n\r\n")
    answers = split_answers(converse(server, "".join(requests) + NEXT))
    assert [answer.body for answer in answers] == [b"%d" % n for n in range(20)] + [b"next"]


UNREAD_BODIES = {
    "GET": ("GET /echo/a HTTP/1.1", 200),
    "HEAD": ("HEAD /echo/a HTTP/1.1", 200),
    "OPTIONS": ("OPTIONS * HTTP/1.1", 200),
    "404": ("POST /nowhere HTTP/1.1", 404),
    "405": ("DELETE /echo/a HTTP/1.1", 405),
}


@pytest.mark.parametrize("case", table(UNREAD_BODIES))
def test_an_unwanted_body_is_no_request(server: Server, case: tuple[str, int]) -> None:
    """It is read to its end, though nobody wants it: it looks just like a request."""
    line, status = case
    length = f"Content-Length: {len(SMUGGLED)}"
    accept(server, post(length, body=SMUGGLED, line=line), status)
    accept(server, chunks(f"{len(SMUGGLED):x}\r\n{SMUGGLED}\r\n0\r\n\r\n", line=line), status)


@pytest.mark.parametrize("case", table(UNREAD_BODIES))
def test_an_unwanted_body_that_is_broken_ends_the_connection(
    server: Server, case: tuple[str, int]
) -> None:
    """The answer was on its way already; where the next request begins, nobody can tell."""
    line, status = case
    answered = converse(server, chunks("0x2\r\nhi\r\n0\r\n\r\n", line=line) + SMUGGLED)
    (answer,) = split_answers(answered, method_of(line))
    assert answer.status == status


def test_a_refused_request_ends_the_connection_for_all_that_follow(server: Server) -> None:
    """Those before it are answered; what comes in later packets is not served either."""
    with Connection(server.address) as connection:
        connection.send((get() + get("X : x") + SMUGGLED).encode())
        connection.send(SMUGGLED.encode() * 3)
        answers = split_answers(connection.read_end(PATIENCE))
    assert [answer.status for answer in answers] == [200, 400]


# --- The page itself ------------------------------------------------------------------------------

PAGE = ROOT / "stages" / "CONFORMANCE.md"
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)")
RFC_LINK = re.compile(r"https://www\.rfc-editor\.org/rfc/rfc(911[02])#section-([0-9.]+)")


@functools.cache
def defined_in(path: Path) -> frozenset[str]:
    """Return the names of the tests that a file defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return frozenset(name for name in functions if name.startswith("test_"))


def page_rows() -> list[list[str]]:
    """Return the cells of every row that begins with a section."""
    lines = re.findall(r"^\|.*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in rows if RFC_LINK.search(row[0])]


def named_checks() -> set[str]:
    """Return every name of a check that the page gives."""
    links = LINK.findall(PAGE.read_text(encoding="utf-8"))
    return {text.strip("`") for text, _ in links if text.startswith("`test_")}


def test_every_row_has_a_section_and_a_check_or_a_reason() -> None:
    """Four cells: the section, what it asks, the stage, and the check; or why there is none."""
    rows = page_rows()
    assert len(rows) >= 80
    for row in rows:
        assert len(row) == 4, row
        section, asks, stage, check = row
        ((text, target),) = LINK.findall(section)
        rfc, number = RFC_LINK.fullmatch(target).groups()
        assert text == f"{rfc} §{number}"
        assert asks
        if "`test_" in check:
            assert stage in {f"[{one.number}]({one.slug}/server.py)" for one in STAGES}, row
        else:
            assert stage == "–", row
            assert check.endswith("."), row


def test_every_check_that_the_page_names_exists() -> None:
    """In the file that its link leads to."""
    for text, target in LINK.findall(PAGE.read_text(encoding="utf-8")):
        if text.startswith("`test_"):
            assert text.strip("`") in defined_in((PAGE.parent / target).resolve()), text


def test_every_link_of_the_page_leads_somewhere() -> None:
    """To a file of the project, or to a section of an RFC."""
    for text, target in LINK.findall(PAGE.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            assert (PAGE.parent / target.partition("#")[0]).exists(), f"{text} leads nowhere"
        elif "rfc-editor" in target:
            assert re.fullmatch(
                r"https://www\.rfc-editor\.org/rfc/rfc\d+(#section-[\d.]+)?", target
            )


def test_the_page_names_every_test_of_this_file() -> None:
    """What is tested here is listed there; those above, of the page itself, are not."""
    own = defined_in(Path(__file__))
    of_the_page = {name for name in own if "page" in name or "every_row" in name}
    assert own - of_the_page - named_checks() == set()


def test_the_page_has_places_for_the_peers() -> None:
    """The benchmark writes its figures between these two marks."""
    text = PAGE.read_text(encoding="utf-8")
    assert text.index("<!-- peers -->") < text.index("<!-- /peers -->")

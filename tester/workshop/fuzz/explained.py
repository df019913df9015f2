"""Differences between readers that have a reason."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

from tester.workshop.fuzz.make import LONG
from tester.workshop.fuzz.readers import Reading


@dataclass(frozen=True)
class Explained:
    """A difference that is known: `who` refuses what the other takes, and may, or must."""

    who: str
    """`ours`, `h11`, `llhttp`, or `h11|llhttp`."""
    name: str
    why: str
    """The RFC's section, and what it says."""
    error: str
    """A pattern for what is said by the one that refuses."""
    where: str
    """A pattern for what is to be seen in the request: in its `part`."""
    example: bytes
    part: str = "head"
    """`head` or `body`."""


BAD = "400 Bad Request"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
AUTHORITY = r"(\[[0-9A-Fa-f:.]+\]|([0-9A-Za-z\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+)(:[0-9]*)?"
CONTROL = r"[\x01-\x08\x0e-\x1f\x7f]"
# What we refuse though h11 or llhttp takes it: each is an ambiguity that has been used for attacks,
# or a rule of the RFC that they leave to their user. Then what only they refuse.
EXPLAINED: tuple[Explained, ...] = (
    Explained(
        "ours",
        "LF alone in a head",
        "RFC 9112 2.2: a server may take it for a line end; we need not",
        BAD,
        r"(?<!\r)\n",
        b"GET / HTTP/1.1\nHost: a\n\n",
    ),
    Explained(
        "ours",
        "a version that is not 1.x",
        "RFC 9110 15.6.6: 505 says that we don't speak it",
        "505 .*",
        r"\A[\r\n]*\S+ \S+ HTTP/[02-9]\.[0-9]\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "no version, as in HTTP/0.9",
        "RFC 9112 3: a request line has three parts",
        BAD,
        r"\A[\r\n]*\S+ +\S+ *\r\n",
        b"GET /\r\n\r\n",
    ),
    Explained(
        "ours",
        "no single spaces in the request line",
        "RFC 9112 3: a server may split at any white space; we need not",
        BAD,
        r"\A(?![\r\n]*[^ \r\n]+ [^ \r\n]+ [^ \r\n]+\r\n)",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "a target of no known form",
        "RFC 9112 3.2: a path, an http URI without user or fragment, or * for OPTIONS",
        BAD,
        r"\A[\r\n]*(\S+ (?!/|(?i:http)://|\*)|\S+ \S*[#\"\x7f-\xff]|(?!OPTIONS )\S+ \* |"
        rf"\S+ \*\S|\S+ (?i:http)://(?!{AUTHORITY}[/? ]))",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "no Host",
        "RFC 9112 3.2: 400, from HTTP/1.1 on; llhttp leaves it to its user, h11 from 1.2 on",
        BAD,
        r"\A(?![\r\n]*[^\n]* HTTP/1\.0\r)(?![\s\S]*\n(?i:host):)",
        b"GET / HTTP/1.1\r\n\r\n",
    ),
    Explained(
        "ours",
        "two Hosts",
        "RFC 9112 3.2: 400; llhttp leaves it to its user",
        BAD,
        r"(?i)\nhost:[\s\S]*\nhost:",
        GET + b"Host: a\r\n\r\n",
    ),
    Explained(
        "ours",
        "a Host that is none",
        "RFC 9112 3.2: 400; both leave it to their users",
        BAD,
        rf"(?im)^host:(?![ \t]*({AUTHORITY})?[ \t]*\r$)",
        b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    ),
    Explained(
        "ours",
        "a folded line",
        "RFC 9112 5.2: 400, or unfold it",
        BAD,
        r"\n[ \t]",
        GET + b"X: a\r\n b\r\n\r\n",
    ),
    Explained(
        "ours",
        "a control character in a value",
        "RFC 9110 5.5: invalid; h11 allows it, as some cookies hold one",
        BAD,
        CONTROL,
        GET + b"X: \x01\r\n\r\n",
    ),
    Explained(
        "ours",
        "a body of HTTP/1.0 in chunks",
        "RFC 9112 6.1: the framing is faulty",
        BAD,
        r"(?i) HTTP/1\.0\r(?=[\s\S]*\ntransfer-encoding:)",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "Content-Length with Transfer-Encoding",
        "RFC 9112 6.1: a server may refuse it; it may be smuggling",
        BAD,
        r"(?i)\A(?=[\s\S]*\ncontent-length:)[\s\S]*\ntransfer-encoding:",
        GET + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "Content-Length more than once",
        "RFC 9112 6.3: a server may take the same number twice; we need not",
        BAD,
        r"(?i)\ncontent-length:([^\n]*,|[\s\S]*\ncontent-length:)",
        GET + b"Content-Length: 1, 1\r\n\r\nx",
    ),
    Explained(
        "ours",
        "a head that is too long",
        "RFC 9110 5.4: a server sets its limit; ours is 64 KB",
        "431 .*|414 .*",
        r"\A[\s\S]{65000}",
        GET + b"X: " + b"a" * LONG + b"\r\n\r\n",
    ),
    Explained(
        "ours",
        "a transfer coding that we don't know",
        "RFC 9112 6.1: 501; llhttp leaves all but the last one to its user",
        "501 .*",
        r"(?i)\ntransfer-encoding:(?![ \t]*chunked[ \t]*\r\n)",
        GET + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "h11|llhttp",
        "blanks before an extension",
        "RFC 9112 7.1.1: a server must take them, though nobody may send them",
        "illegal chunk header.*|Invalid character in chunk.*",
        r"(?m)^[0-9A-Fa-f]+(;[^\n]*)?[ \t]+;",
        CHUNKED + b"0;a ;b\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a malformed extension",
        "RFC 9112 7.1.1 has a grammar for it; h11 takes anything, llhttp a value that is empty",
        BAD,
        r"(?m)^[0-9A-Fa-f]+(?=[;\t ])"
        r"(?!([\t ]*;[\t ]*TOKEN([\t ]*=[\t ]*(TOKEN|QUOTED))?)*\r$)".replace(
            "TOKEN", r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
        ).replace("QUOTED", r'"([\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'),
        CHUNKED + b"0;a=\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "LF alone in trailers",
        "RFC 9112 2.2: a server may take it for a line end; we need not",
        BAD,
        r"(?<!\r)\n",
        CHUNKED + b"0\r\nX: a\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a folded trailer",
        "RFC 9112 5.2: 400, or unfold it",
        BAD,
        r"\n[ \t]",
        CHUNKED + b"0\r\nX: a\r\n b\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a control character in a trailer",
        "RFC 9110 5.5: invalid; h11 allows it",
        BAD,
        r"\n[^:\n]+:[^\n]*" + CONTROL,
        CHUNKED + b"0\r\nX: \x01\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "a line among the chunks that is too long",
        "RFC 9112 7.1.1: a server ought to set a limit; ours is 64 KB",
        BAD,
        r"[^\n]{65000}",
        CHUNKED + b"0\r\nX: " + b"a" * LONG + b"\r\n\r\n",
        "body",
    ),
    Explained(
        "ours",
        "chunked twice",
        "RFC 9112 6.1: a sender must not do that; llhttp overlooks one with a tab",
        BAD,
        r"(?i)\ntransfer-encoding:[^\n]*\r[\s\S]*\ntransfer-encoding:",
        CHUNKED[:-4] + b" \t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "ours",
        "CR alone before the request",
        "RFC 9112 2.2: an empty line there is CR LF; llhttp skips any of the two",
        BAD,
        r"\A[\r\n]*\r[^\n]",
        b"\r" + GET + b"\r\n",
    ),
    Explained(
        "h11",
        "an empty line before the request",
        "RFC 9112 2.2: a server should skip one; h11 leaves that to its user",
        "no request line received|illegal request line.*",
        r"\A\r\n",
        b"\r\n" + GET + b"\r\n",
    ),
    Explained(
        "h11",
        "a length of more than 20 digits",
        "RFC 9110 8.6: leading zeros are allowed, however many",
        "bad Content-Length",
        r"(?i)\ncontent-length:[ \t]*0[0-9]{20}",
        GET + b"Content-Length: " + b"0" * 21 + b"\r\n\r\n",
    ),
    Explained(
        "h11",
        "a chunk's size of more than 20 digits",
        "RFC 9112 7.1: the same",
        "illegal chunk header.*",
        r"(?m)^0[0-9A-Fa-f]{20}",
        CHUNKED + b"0" * 21 + b"\r\n\r\n",
        "body",
    ),
    Explained(
        "h11|llhttp",
        "a framing field among the trailers",
        "RFC 9110 6.5.1: it means nothing there; we leave all trailers out",
        ".*Transfer-Encoding.*|.*Content-Length.*",
        r"(?i)\n(transfer-encoding|content-length):",
        CHUNKED + b"0\r\nTransfer-Encoding: gzip\r\n\r\n",
        "body",
    ),
    Explained(
        "llhttp",
        "a version from 1.2 to 1.9",
        "RFC 9110 2.5: to be read as the highest that we know",
        "Invalid HTTP version",
        r" HTTP/1\.[2-9]\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "a method that it does not know",
        "RFC 9110 9.1: any token may be one; we answer 501",
        "Invalid method encountered|Expected space after method",
        r"\A(?![\r\n]*(GET|POST|HEAD|OPTIONS|PUT|DELETE) )",
        b"GOT / HTTP/1.1\r\nHost: a\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "a tab after the coding",
        "RFC 9112 5.1: blanks and tabs around a value are no part of it",
        "Request has invalid `Transfer-Encoding`",
        r"(?i)\ntransfer-encoding:[ \t]*chunked *\t",
        CHUNKED[:-4] + b"\t\r\n\r\n0\r\n\r\n",
    ),
    Explained(
        "llhttp",
        "blanks inside an extension",
        "RFC 9112 7.1.1: a server must take them, though nobody may send them",
        "Invalid character in chunk extensions.*",
        r"(?m)^[0-9A-Fa-f]+;([^\n]*;)?([ \t]|[^\n]*[ \t]=|[^\n]*=[ \t])",
        CHUNKED + b"0; a = b\r\n\r\n",
        "body",
    ),
)


@dataclass(frozen=True)
class Difference:
    """Where two readers part."""

    who: str
    """Who refuses: `ours`, `h11` or `llhttp`; empty where both read, but not the same."""
    error: str
    message: bytes
    """The bytes from the request on that is read differently."""


def find_difference(ours: Reading, theirs: Reading, peer: str, data: bytes) -> Difference | None:
    """Return where the two part, None if they agree or if the peer has left."""
    for index, (own, other) in enumerate(itertools.zip_longest(ours.requests, theirs.requests)):
        message = data[ours.starts[index] :]
        if own == other or (other is None and theirs.left):
            continue
        if other is None:
            return Difference(peer, theirs.error, message)
        if own is None:
            return Difference("ours", ours.error, message)
        return Difference("", f"ours {own}, {peer} {other}", message)
    return None


def explain(difference: Difference) -> str | None:
    """Return the name of the explained difference that this is, None if it is none."""
    text = difference.message.decode("latin-1")
    end = re.search(r"(?<=[^\r\n])\r?\n\r?\n", text)
    parts = {"head": text[: end.end()] if end else text, "body": text[end.end() :] if end else ""}
    for case in EXPLAINED:
        if difference.who not in case.who.split("|") or not re.fullmatch(
            case.error, difference.error
        ):
            continue
        if re.search(case.where, parts[case.part]):
            return case.name
    return None

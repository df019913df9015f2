"""The strict reader of responses against h11, on thousands of answers that hypothesis makes up.

What is well-formed by RFC 9112, both read alike. What h11 refuses, we refuse; where we refuse more,
it is one of the cases in LAXER. The few things that only h11 refuses stand in STRICTER.
"""

from __future__ import annotations

import ast
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

from tester.wire.response import MAX_HEAD, Malformed, ResponseReader

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"

WELL_FORMED_EXAMPLES = 600
MUTATED_EXAMPLES = 2000


# --- Both readers, with the same result -----------------------------------------------------------

Fields = list[tuple[bytes, bytes]]


@dataclass
class Answer:
    """An answer, interim or final, as a reader understood it."""

    status: int
    reason: bytes
    fields: Fields
    body: bytes = b""
    trailers: Fields = field(default_factory=list)


@dataclass
class Reading:
    """What a reader made of a stream: `error` says why it is not whole, None if it is."""

    answers: list[Answer] = field(default_factory=list)
    rest: bytes = b""
    error: Exception | None = None


class Incomplete(Exception):
    """The stream ended in the middle of an answer."""


def simplify(fields: Iterable[tuple[bytes, bytes]]) -> Fields:
    """Return the fields as h11 does: one Content-Length of several, codings in lower case."""
    simple: Fields = []
    for name, value in fields:
        if name.lower() == b"content-length":
            value = value.split(b",")[0].strip(b" \t")
            if any(other.lower() == b"content-length" for other, _ in simple):
                continue
        coding = name.lower() == b"transfer-encoding"
        simple.append((name, value.lower() if coding else value))
    return simple


def encode(fields: Iterable[tuple[str, str]]) -> Fields:
    """Return the fields of our reader as they were on the wire."""
    return simplify((name.encode(), value.encode("latin-1")) for name, value in fields)


def read_with_ours(pieces: Iterable[bytes], methods: list[str]) -> Reading:
    """Read the answers to requests with these methods, interim ones included."""
    reading, waiting, open_requests = Reading(), deque(pieces), deque(methods)
    try:
        while open_requests:
            reader = ResponseReader(open_requests[0])
            while not reader.complete and waiting:
                reader.feed(waiting.popleft())
            if not reader.complete and not reader.end():
                raise Incomplete
            waiting.extendleft(filter(None, [reader.extra]))
            got = reader.response
            reason, fields, trailers = got.reason.encode("latin-1"), got.fields, got.trailers
            answer = Answer(got.status, reason, encode(fields), got.body, encode(trailers))
            reading.answers.append(answer)
            if got.status >= 200:
                open_requests.popleft()
    except (Malformed, Incomplete) as error:
        reading.error = error
    reading.rest = b"".join(waiting)
    return reading


def read_with_h11(pieces: Iterable[bytes], methods: list[str]) -> Reading:
    """Do the same with h11: one of its connections for each request."""
    reading, waiting = Reading(), deque(piece for piece in pieces if piece)
    try:
        for method in methods:
            connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD)
            connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
            connection.send(h11.EndOfMessage())
            while not isinstance(event := connection.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    connection.receive_data(waiting.popleft() if waiting else b"")
                elif isinstance(event, h11.Data):
                    reading.answers[-1].body += event.data
                else:
                    fields = simplify(event.headers.raw_items())
                    answer = Answer(event.status_code, bytes(event.reason), fields)
                    reading.answers.append(answer)
            reading.answers[-1].trailers = simplify(event.headers.raw_items())
            waiting.extendleft(filter(None, [connection.trailing_data[0]]))
    except h11.RemoteProtocolError as error:
        reading.error = error
    reading.rest = b"".join(waiting)
    return reading


# --- Answers, well-formed by construction ---------------------------------------------------------


@dataclass
class Tape:
    """Choices, read from bytes: hypothesis makes these fast, and short ones by writing zeros."""

    data: bytes = field(repr=False)
    place: int = 0

    def below(self, limit: int) -> int:
        """Return a number from 0 up to `limit`, which is left out; 0 where the tape has ended."""
        if self.place >= len(self.data):
            return 0
        self.place += 2
        return int.from_bytes(self.data[self.place - 2 : self.place], "big") % limit

    def pick(self, options: Sequence[Any]) -> Any:
        """Return one of `options`: the simplest comes first."""
        return options[self.below(len(options))]

    def take(self, most: int, letters: bytes = bytes(range(256)), least: int = 0) -> bytes:
        """Return `least` to `most` bytes out of `letters`."""
        size = least + self.below(most - least + 1)
        self.place += size
        return self.data[self.place - size : self.place].translate(letters).ljust(least, b"a")


def table(allowed: str) -> bytes:
    """Return what turns any byte into one that the pattern `allowed` has."""
    pattern = re.compile(allowed.encode("latin-1"))
    return bytes(
        byte if pattern.fullmatch(bytes([byte])) else 97 + byte % 26 for byte in range(256)
    )


TAPE = st.binary(min_size=400, max_size=400).map(Tape)
TOKEN = table(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]")
TEXT = table("[\t -~\x80-\xff]")
QUOTED = table("[\t !#-\\[\\]-~\x80-\xff]")
BLANKS = (b" ", b"", b"\t", b" \t ")
BODIES = (b"\r\n\r\n", b"0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 5000)
LENGTH_NAMES = (b"Content-Length", b"content-length", b"cONTENT-lENGTH")
CODING_NAMES = (b"Transfer-Encoding", b"transfer-encoding", b"TRANSFER-encoding")
LENGTHS = ([b"%d"], [b"%d"], [b"0%d"], [b"%d, %d"], [b"%d", b"%d"])


@dataclass
class Stream:
    """Answers on one connection: the bytes, whose answers they are, and what they say."""

    data: bytes = b""
    methods: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    ends: bool = True
    """Whether one sees where the last answer ends before the connection does."""


def make_field(tape: Tape) -> tuple[bytes, bytes]:
    """Return a field that says nothing about framing."""
    name = tape.pick((b"Server", b"date", b"SET-COOKIE", b"x", b"")) or b"X-" + tape.take(5, TOKEN)
    return name, tape.take(10, TEXT).strip(b" \t")


def write_fields(tape: Tape, fields: Fields) -> bytes:
    """Write the fields, with white space around the values."""
    lines = (
        b"%b:%b%b%b\r\n" % (name, tape.pick(BLANKS), value, tape.pick(BLANKS))
        for name, value in fields
    )
    return b"".join(lines)


def make_head(tape: Tape, status: int, framing: Fields) -> tuple[bytes, Answer]:
    """Make a head: `framing` stands anywhere among other fields."""
    fields = [make_field(tape) for _ in range(tape.below(3))]
    for one in framing:
        fields.insert(tape.below(len(fields) + 1), one)
    reason = tape.pick((b"OK", b"", b" two  words ", tape.take(10, TEXT)))
    line = b"HTTP/1.%d %d %b\r\n" % (tape.pick((1, 0)), status, reason)
    return line + write_fields(tape, fields) + b"\r\n", Answer(status, reason, simplify(fields))


def make_extension(tape: Tape) -> bytes:
    """Make a chunk's extension, or none."""
    name, value = tape.take(4, TOKEN, 1), tape.take(4, TOKEN, 1)
    quoted = b'"%b\\%b"' % (tape.take(5, QUOTED), tape.pick((b'"', b"\\", b"\t", b"\xff", b"a")))
    blanks = tape.pick(BLANKS), name, tape.pick(BLANKS), tape.pick(BLANKS)
    longer = b";%b%b%b=%b" % blanks
    return tape.pick((b"", b";" + name, longer + value, longer + quoted, b";a" + longer + quoted))


def make_chunks(tape: Tape, body: bytes) -> tuple[bytes, Fields]:
    """Write `body` in chunks, and trailers after them."""
    data = b""
    while body:
        size = 1 + tape.below(len(body))
        digits = tape.pick((b"%x", b"%X", b"00%x")) % size
        data += digits + make_extension(tape) + b"\r\n" + body[:size] + b"\r\n"
        body = body[size:]
    trailers = [make_field(tape) for _ in range(tape.below(3))]
    data += tape.pick((b"0", b"000")) + make_extension(tape) + b"\r\n"
    return data + write_fields(tape, trailers) + b"\r\n", trailers


def add_answer(tape: Tape, stream: Stream, kinds: Sequence[str]) -> None:
    """Add a final answer, framed in one of the ways of RFC 9112 section 6.3."""
    method = tape.pick(("GET", "POST", "HEAD"))
    status = tape.pick((200, 404, 204, 304, 200 + tape.below(400)))
    body = tape.take(30) or tape.pick((b"", *BODIES))
    kind = tape.pick(kinds)
    framing: Fields = []
    if kind == "chunked":
        framing = [(tape.pick(CODING_NAMES), tape.pick((b"chunked", b"Chunked")))]
    elif kind == "length":
        digits, values = b"%d" % len(body), tape.pick(LENGTHS)
        framing = [(tape.pick(LENGTH_NAMES), value.replace(b"%d", digits)) for value in values]
    head, answer = make_head(tape, status, framing)
    stream.methods.append(method)
    stream.answers.append(answer)
    stream.data += head
    if method == "HEAD" or status in (204, 304):
        return
    answer.body = body
    if kind == "chunked":
        body, answer.trailers = make_chunks(tape, body)
    stream.data += body
    stream.ends = kind != "end"


def make_stream(tape: Tape, most: int = 3) -> Stream:
    """Make a few answers after one another, with interim ones between them."""
    stream = Stream()
    last = tape.below(most)
    for number in range(last + 1):
        if tape.pick((False, False, True)):
            head, answer = make_head(tape, tape.pick((100, 102, 103)), [])
            stream.data += head
            stream.answers.append(answer)
        kinds = ("length", "chunked", "chunked", "end") if number == last else ("length", "chunked")
        add_answer(tape, stream, kinds)
    return stream


def cut(tape: Tape, data: bytes) -> list[bytes]:
    """Cut `data` into pieces, small ones and one with all that is left."""
    pieces, start = [], 0
    for _ in range(tape.below(6)):
        pieces.append(data[start : start + 1 + tape.below(40)])
        start += len(pieces[-1])
    return [*pieces, data[start:]]


@given(tape=TAPE)
@settings(max_examples=WELL_FORMED_EXAMPLES)
def test_what_is_well_formed_is_read_alike(tape: Tape) -> None:
    """By us, by h11, and as it was meant, however it is cut into pieces."""
    stream = make_stream(tape)
    rest = tape.take(8) if stream.ends else b""
    expected = Reading(stream.answers, rest)
    data = stream.data + rest
    note(f"{data!r} in answer to {stream.methods}")
    cuts = [[data], cut(tape, data)]
    if len(data) < 400:
        cuts.append([data[index : index + 1] for index in range(len(data))])
    for pieces in cuts:
        assert read_with_ours(pieces, stream.methods) == expected
    assert read_with_h11(cuts[1], stream.methods) == expected


# --- Where the two differ -------------------------------------------------------------------------


@dataclass(frozen=True)
class Difference:
    """A case that one of the readers refuses and the other does not."""

    name: str
    why: str
    error: str
    """What is said by the one that refuses: a pattern for all of it."""
    line: bytes
    """A pattern for the line that is wrong, as far as it is known."""
    examples: tuple[bytes, ...]


CONTROL = rb"[\x01-\x08\x0e-\x1f\x7f]"
HEAD_LINE = "the first line is not a status line"
CHUNK_LINE = "a chunk does not begin with its size"

# h11 reads these as many clients do; some others don't, and the RFC is on their side.
LAXER = (
    Difference(
        "LF alone in a head",
        "RFC 9112 2.2 lets a client take it, but never a server send it",
        "a line of the head ends in LF alone",
        rb"[^\n]*\n",
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", OK + b"Content-Length: 0\r\nX: a\n\r\n"),
    ),
    Difference(
        "LF alone in trailers",
        "the same",
        "a line of the trailer section ends in LF alone",
        rb"[^\n]*\n",
        (CHUNKED + b"0\r\n\n", CHUNKED + b"0\r\nX: a\n\r\n"),
    ),
    Difference(
        "CR in a chunk's extension",
        "RFC 9112 2.2: a bare CR is an error, or a space; a proxy may take it for a line end",
        r"a line of the chunk framing contains a bare CR \(one without an LF\)",
        rb"[0-9A-Fa-f]+;[^\n]*\r[^\n]*\r\n",
        (CHUNKED + b"1;a\rb\r\nx\r\n0\r\n\r\n",),
    ),
    Difference(
        "a malformed extension",
        "RFC 9112 7.1.1 has a grammar for it; h11 takes anything up to the line's end",
        CHUNK_LINE,
        rb"[0-9A-Fa-f]+[ \t]*;.*\r\n",
        (CHUNKED + b"1;\r\nx\r\n0\r\n\r\n", CHUNKED + b"1;a=\0\r\nx\r\n0\r\n\r\n"),
    ),
    Difference(
        "blanks after a chunk's size",
        "RFC 9112 7.1 has none there; some servers pad their sizes",
        CHUNK_LINE,
        rb"[0-9A-Fa-f]+[ \t]+\r\n",
        (CHUNKED + b"1  \r\nx\r\n0\r\n\r\n",),
    ),
    Difference(
        "no space after the status code",
        "RFC 9112 4: it must be there even where the reason is empty",
        HEAD_LINE,
        rb"HTTP/[0-9]\.[0-9] [0-9]{3}\r\n",
        (b"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",),
    ),
    Difference(
        "another version of HTTP",
        "we never asked for one; h11 leaves it to its user",
        HEAD_LINE,
        rb"HTTP/([02-9]\.[0-9]|1\.[2-9]) .*\r\n",
        (b"HTTP/2.0 200 OK\r\n\r\n", b"HTTP/1.2 200 OK\r\n\r\n"),
    ),
    Difference(
        "a control character in the reason",
        "RFC 9112 4: reason-phrase is made of letters, blanks and bytes above 127",
        HEAD_LINE,
        rb"HTTP/1\.[01] [0-9]{3} .*" + CONTROL + rb".*\r\n",
        (b"HTTP/1.1 200 O\x01K\r\n\r\n", b"HTTP/1.1 200 OK\x7f\r\n\r\n"),
    ),
    Difference(
        "a control character in a field's value",
        "RFC 9110 5.5 calls it invalid; h11 allows it, as some cookies hold one",
        "a field value contains a control character",
        rb"[^:]+:.*" + CONTROL + rb".*\r\n",
        (OK + b"X: a\x01b\r\n\r\n", CHUNKED + b"0\r\nX: \x7f\r\n\r\n"),
    ),
    Difference(
        "a folded line",
        "RFC 9112 5.2: a server must not send one; h11 unfolds it",
        "a field line begins with white space",
        rb"[ \t].*\r\n",
        (OK + b"X: a\r\n b\r\n\r\n", CHUNKED + b"0\r\nX: a\r\n\tb\r\n\r\n"),
    ),
    Difference(
        "Content-Length with Transfer-Encoding",
        "RFC 9112 6.2: a server must not send both; h11 goes by the chunks",
        r"both Content-Length and Transfer-Encoding: which one says where the body ends\?",
        rb"(?i)Content-Length:.*\r\n",
        (CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n1\r\nx\r\n0\r\n\r\n",),
    ),
    Difference(
        "a framing field among the trailers",
        "RFC 9110 6.5.1: it comes too late; h11 looks only whether it is a number, or chunked",
        r"\S+ comes after the body whose end it should mark",
        rb"(?i)(Content-Length|Transfer-Encoding):.*\r\n",
        (CHUNKED + b"0\r\nContent-Length: 1\r\n\r\n",),
    ),
    Difference(
        "a head that is too long",
        "h11 has a limit as well, but only for what has come so far",
        r"the head does not end: [0-9,]+ bytes without an empty line",
        rb".*",
        (OK + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n",),
    ),
)

# What RFC 9112 allows, or leaves to the conversation, and h11 refuses all the same.
STRICTER = (
    Difference(
        "blanks before a chunk's extension",
        "RFC 9112 7.1.1 has BWS there, which must be taken though nobody may send it",
        r"illegal chunk header: .*",
        rb"[0-9A-Fa-f]+[ \t]+;.*",
        (CHUNKED + b"1 ;a\r\nx\r\n0\r\n\r\n",),
    ),
    Difference(
        "a chunk's size of more than 20 digits",
        "leading zeros are no harm, says the grammar of RFC 9112 7.1",
        r"illegal chunk header: .*",
        rb"0[0-9A-Fa-f]{20,}.*",
        (CHUNKED + b"0" * 20 + b"1\r\nx\r\n0\r\n\r\n",),
    ),
    Difference(
        "a Content-Length of more than 20 digits",
        "the same, by RFC 9110 8.6",
        r"bad Content-Length",
        rb".*",
        (OK + b"Content-Length: " + b"0" * 20 + b"1\r\n\r\nx",),
    ),
    Difference(
        "101 Switching Protocols that nobody asked for",
        "the answer is well-formed, and what was asked we don't know",
        r"Received server _SWITCH_UPGRADE event without a pending proposal",
        rb".*",
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + OK + b"\r\n",),
    ),
)


def find_laxer(error: Malformed) -> list[str]:
    """Return the names of the cases in LAXER that this refusal of ours may be."""
    return [
        case.name
        for case in LAXER
        if re.fullmatch(case.error, error.message) and re.fullmatch(case.line, error.line, re.S)
    ]


def find_stricter(error: Exception) -> list[str]:
    """Return the names of the cases in STRICTER that this refusal of h11 may be."""
    shown = re.search(r"bytearray\((.*)\)", str(error))
    line = ast.literal_eval(shown[1]) if shown else b""
    return [
        case.name
        for case in STRICTER
        if re.fullmatch(case.error, str(error)) and re.fullmatch(case.line, line, re.S)
    ]


def compare(data: bytes, pieces: list[bytes], methods: list[str]) -> None:
    """Fail unless the readers agree on `data`, or differ in a way that is known."""
    ours, cut_up = read_with_ours([data], methods), read_with_ours(pieces, methods)
    assert (ours.error is None) == (cut_up.error is None), (ours.error, cut_up.error)
    assert ours.answers == cut_up.answers
    if ours.error is None:
        assert ours.rest == cut_up.rest
    if isinstance(ours.error, Malformed):
        assert 0 <= ours.error.index <= len(ours.error.line)
    theirs = read_with_h11([data], methods)
    if ours.error is None and theirs.error is None:
        assert ours == theirs
    elif ours.error is None:
        assert find_stricter(theirs.error), f"we read what h11 refuses: {theirs.error}"
    elif theirs.error is None:
        assert isinstance(ours.error, Malformed), "we wait for more where h11 is done"
        assert find_laxer(ours.error), f"h11 reads what we refuse: {ours.error!r}"


# --- Answers that are not quite well-formed -------------------------------------------------------

# Bytes that mean something, or nothing, somewhere.
BYTES = tuple(bytes([byte]) for byte in b'\r\n \t:;,0+-_x\0\x0b\x0c\x1f\x7f\x85\xa0\xff"\\')
LINES = (
    *(b" folded", b"\tfolded", b"\xa0X: 1", b": 1", b"X", b"X : 1", b"X\t: 1", b"X:", b"\0"),
    *(b"X: a\0b", b"X: a\rb", b"X: \x7f", b'X": 1', b"X: a\nY: b", b"", b" ", b"HTTP/1.1 200 OK"),
    *(b"Content-Length: 5", b"Content-Length: 5, 6", b"Content-Length: 3,", b"Content-Length:"),
    *(b"Content-Length: 0", b"Content-Length: 00", b"Content-Length: 0,0", b"content-length : 0"),
    *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked,"),
    *(b"Transfer-Encoding:", b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x85"),
)
NUMBER = re.compile(rb"(?m)(?<=[ :\t])[0-9]+(?=[ \t\r])|^[0-9A-Fa-f]+(?=[;\r])")
OTHERS = (  # With what was there for #.
    *(b"+#", b"-#", b"0x#", b"0_#", b"# ", b" #", b"#\xa0", b"\x0c#", b"\x85#", b"#,", b",#", b""),
    *(
        b"# ;a",
        b"#;",
        b"#;a",
        b"#;a=",
        b'#;a="',
        b"#.0",
        b"#, #",
        b"#,0#",
        b"0" * 21 + b"#",
        b"099",
    ),
    *(b"9" * 25, b"1" * 5000, b"five"),
)
ENDS = (
    *(
        b"\n",
        b"\r",
        b"\r\r\n",
        b"\n\r",
        b"\r ",
        b"\rx",
        b" \r\n",
        b"\r\n ",
        b"\r\n\r\n",
        b"\r\n \r\n",
    ),
    *(b"\0\n", b"\r\0", b"", b"\x85", b"\x0b", b"\xe2\x80\xa8"),
)


def mutate_byte(tape: Tape, data: bytes) -> bytes:
    """Drop, double, replace or insert one byte, more often one that means something."""
    marks = [index for index, byte in enumerate(data) if byte in b"\r\n:;, 0123456789"]
    index = tape.pick(marks) if marks and tape.pick((True, False)) else tape.below(len(data) + 1)
    before, byte, after = data[:index], data[index : index + 1], data[index + 1 :]
    other = tape.pick(BYTES)
    return before + tape.pick((b"", byte * 2, other, byte + other, other + byte)) + after


def mutate_line(tape: Tape, data: bytes) -> bytes:
    """Drop, double, fold, join or add a line."""
    lines = data.split(b"\r\n")
    index = tape.below(len(lines))
    one = lines[index]
    changes = (
        *([], [one, one], [b" " + one], [tape.pick(LINES)], [one, tape.pick(LINES)]),
        *([tape.pick(LINES), one], [one + b"\n" + tape.pick(LINES)], [one + b"\r"]),
    )
    return b"\r\n".join([*lines[:index], *tape.pick(changes), *lines[index + 1 :]])


def mutate_number(tape: Tape, data: bytes) -> bytes:
    """Change a status, length or size, by one or into something that is no number."""
    found = tape.pick([*NUMBER.finditer(data)] or [re.search(b"$", data)])
    by_one = found[0][:-1] + bytes(byte ^ 1 for byte in found[0][-1:])
    other = tape.pick((by_one, tape.pick(OTHERS).replace(b"#", found[0])))
    return data[: found.start()] + other + data[found.end() :]


def mutate_end(tape: Tape, data: bytes) -> bytes:
    """Change a line's end."""
    found = tape.pick([*re.finditer(rb"\r\n", data)] or [re.search(b"$", data)])
    return data[: found.start()] + tape.pick(ENDS) + data[found.end() :]


@given(tape=TAPE)
@settings(max_examples=MUTATED_EXAMPLES)
def test_what_is_not_well_formed_is_refused(tape: Tape) -> None:
    """By h11 and so by us; what only we refuse is a known case."""
    stream = make_stream(tape, most=2)
    data = stream.data
    for _ in range(1 + tape.below(2)):
        data = tape.pick((mutate_byte, mutate_line, mutate_number, mutate_end))(tape, data)
    note(f"{data!r} in answer to {stream.methods}")
    compare(data, cut(tape, data), stream.methods)


@pytest.mark.parametrize("case", LAXER, ids=lambda case: case.name)
def test_only_we_refuse(case: Difference) -> None:
    """Each case in which h11 is laxer is there to see, and is found under its own name."""
    for data in case.examples:
        ours = read_with_ours([data], ["GET"])
        assert isinstance(ours.error, Malformed), data
        assert find_laxer(ours.error) == [case.name]
        assert read_with_h11([data], ["GET"]).error is None


@pytest.mark.parametrize("case", STRICTER, ids=lambda case: case.name)
def test_only_h11_refuses(case: Difference) -> None:
    """Each case in which h11 is stricter than the RFC is there to see."""
    for data in case.examples:
        theirs = read_with_h11([data], ["GET"])
        assert theirs.error is not None, data
        assert find_stricter(theirs.error) == [case.name]
        ours = read_with_ours([data], ["GET"])
        assert (ours.error, ours.rest) == (None, b"")

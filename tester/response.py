"""A strict reader of HTTP/1.1 responses: raw bytes in, a `Response` or a `Malformed` out.

It is stricter than curl and browsers are on purpose: what they let pass, other clients refuse.
RFC 9112 sections 2.2 (line ends), 4 (status line), 5 (fields), 6.3 (the length), 7.1 (chunks).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

MAX_HEAD = 256 * 1024  # Bytes of a head: one that is longer will not end any more.

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t -~\x80-\xff]*)")
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
FIELD_LINE = re.compile(rb"(" + TOKEN + rb"):[ \t]*([\t -~\x80-\xff]*?)[ \t]*")
QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'
EXTENSION = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?"
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:" + EXTENSION + rb")*")


class Malformed(Exception):
    """Bytes that are no HTTP response; `index` is the place in `line` where they go wrong."""

    def __init__(self, message: str, expected: str, line: bytes, index: int) -> None:
        super().__init__(message)
        self.message = message
        self.expected = expected
        self.line = line
        self.index = index


@dataclass
class Response:
    """A response, as it was on the wire."""

    minor: int
    """The version is HTTP/1 and this."""
    status: int
    reason: str
    fields: list[tuple[str, str]]
    """Names as they were sent, in order; values without the white space around them."""
    head: bytes
    """Status line and fields, with the empty line at the end."""
    body: bytes = b""
    """The content, without chunk framing."""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    framing: str = "end"
    """How the end of the body is found: `none`, `length`, `chunked`, or `end` of the connection."""

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of this name, in any letter case."""
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def field(self, name: str) -> str | None:
        """Return the value of the field, several joined by a comma; None where there is none."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def field_line(self, name: str) -> bytes:
        """Return the first line of this name as it was sent, with its line end; b"" if none."""
        for line in self.head.splitlines(keepends=True)[1:]:
            if line.split(b":")[0].decode("latin-1").lower() == name.lower():
                return line
        return b""

    @property
    def status_line(self) -> bytes:
        """The status line as it was sent, with its line end."""
        return self.head.split(b"\n")[0] + b"\n"


class ResponseReader:
    """Reads one response from bytes that come in pieces.

    >>> reader = ResponseReader()
    >>> reader.feed(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nhi and more")
    >>> reader.response.body, reader.extra
    (b'hi', b' and more')
    """

    def __init__(self, method: str = "GET") -> None:
        """Read the answer to a request with this method: one to HEAD has no body."""
        self.method = method
        self.response: Response | None = None
        """The response, once its head is there; its body grows while `complete` is false."""
        self.complete = False
        self.extra = b""
        """What came after the response."""
        self._buffer = bytearray()
        self._body = bytearray()
        self._remaining = 0
        self._checked = 0
        self._state = self._read_head

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Malformed as soon as they can't be a response any more."""
        self._buffer += data
        while not self.complete and self._state():
            pass
        if self.response is not None:
            self.response.body = bytes(self._body) if self.complete else b""
        if self.complete:
            self.extra += bytes(self._buffer)
            self._buffer.clear()

    def end(self) -> bool:
        """Say that no more bytes will come; return whether the response is whole."""
        if self.response is not None and self.response.framing == "end":
            self.response.body = bytes(self._body)
            self.complete = True
        return self.complete

    @property
    def received(self) -> int:
        """How many bytes of the body have come so far."""
        return len(self._body)

    @property
    def missing(self) -> int:
        """How many bytes of a body with Content-Length (or of a chunk) have not come yet."""
        return self._remaining

    def _read_head(self) -> bool:
        """Read the head if all of it is there, and find out how the body will end."""
        end = self._find_end_of_head()
        if end is None:
            return False
        head = bytes(self._buffer[:end])
        del self._buffer[:end]
        lines = head[:-4].split(b"\r\n")
        minor, status, reason = _parse_status_line(lines[0])
        fields = [_parse_field(line) for line in lines[1:]]
        response = Response(minor, status, reason, fields, head)
        response.framing, self._remaining = _find_framing(response, self.method)
        if 100 <= status < 200:
            response.framing = "none"
        self.response = response
        if response.framing == "none" or (response.framing == "length" and not self._remaining):
            self.complete = True
        self._state = {
            "length": self._read_length,
            "chunked": self._read_chunk_line,
        }.get(response.framing, self._read_rest)
        return True

    def _find_end_of_head(self) -> int | None:
        """Return the index after the head's empty line. Raises Malformed at the first bad line."""
        start = self._checked
        while (newline := self._buffer.find(b"\n", start)) >= 0:
            line = bytes(self._buffer[start : newline + 1])
            _check_line_end(line, "head")
            if start == 0:
                _parse_status_line(line[:-2])
            if newline >= MAX_HEAD:
                break
            if line == b"\r\n":
                return newline + 1
            start = self._checked = newline + 1
        if start == 0 and self._buffer:
            _check_beginning(bytes(self._buffer))
        if len(self._buffer) > MAX_HEAD:
            raise Malformed(
                f"the head does not end: {MAX_HEAD} bytes without an empty line",
                "an empty line (CR LF CR LF) that ends the head",
                bytes(self._buffer[start : start + 80]),
                0,
            )
        return None

    def _read_length(self) -> bool:
        """Read the body up to the length that was promised."""
        taken = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(taken)]
        self._body += taken
        self._remaining -= len(taken)
        self.complete = self._remaining == 0
        return False

    def _read_rest(self) -> bool:
        """Read the body up to the end of the connection."""
        self._body += self._buffer
        self._buffer.clear()
        return False

    def _take_line(self, where: str) -> bytes | None:
        """Return the next line without its end, or None if it has not come yet."""
        newline = self._buffer.find(b"\n")
        if newline < 0:
            return None
        line = bytes(self._buffer[: newline + 1])
        _check_line_end(line, where)
        del self._buffer[: newline + 1]
        return line[:-2]

    def _read_chunk_line(self) -> bool:
        """Read a chunk's size."""
        line = self._take_line("chunk framing")
        if line is None:
            if self._buffer and not re.match(rb"[0-9A-Fa-f]", self._buffer):
                _fail_chunk_line(bytes(self._buffer[:40]))
            return False
        match = CHUNK_LINE.fullmatch(line)
        if not match:
            _fail_chunk_line(line)
        self._remaining = int(match[1], 16)
        self.response.chunks.append(b"")
        self._state = self._read_chunk if self._remaining else self._read_trailer
        return True

    def _read_chunk(self) -> bool:
        """Read a chunk's data and the CR LF after it."""
        taken = bytes(self._buffer[: self._remaining])
        del self._buffer[: len(taken)]
        self._body += taken
        self.response.chunks[-1] += taken
        self._remaining -= len(taken)
        if self._remaining or len(self._buffer) < 2:
            if not self._remaining and self._buffer and self._buffer[:1] != b"\r":
                _fail_chunk_end(self.response.chunks[-1], bytes(self._buffer))
            return False
        if self._buffer[:2] != b"\r\n":
            _fail_chunk_end(self.response.chunks[-1], bytes(self._buffer))
        del self._buffer[:2]
        self._state = self._read_chunk_line
        return True

    def _read_trailer(self) -> bool:
        """Read the fields after the last chunk, up to the empty line."""
        line = self._take_line("trailer section")
        if line is None:
            return False
        if line:
            self.response.trailers.append(_parse_trailer(line))
            return True
        self.response.chunks.pop()  # The last chunk is a sign, not a part of the body.
        self.complete = True
        return False


def _check_line_end(line: bytes, where: str) -> None:
    """Raise Malformed unless `line` ends in CR LF and holds no other CR."""
    if not line.endswith(b"\r\n"):
        raise Malformed(
            f"a line of the {where} ends in LF alone",
            "every line to end in CR LF: \\r\\n",
            line,
            len(line) - 1,
        )
    if b"\r" in line[:-2]:
        raise Malformed(
            f"a CR stands inside a line of the {where}",
            "CR only where a line ends, directly before LF",
            line,
            line.index(b"\r"),
        )


def _check_beginning(data: bytes) -> None:
    """Raise Malformed if `data` can't become a status line, however it goes on."""
    known = b"HTTP/1."
    common = min(len(known), len(data))
    if data[:common] != known[:common]:
        _parse_status_line(data[:80])


def _parse_status_line(line: bytes) -> tuple[int, int, str]:
    """`b"HTTP/1.1 200 OK"` -> `(1, 200, "OK")`. Raises Malformed."""
    match = STATUS_LINE.fullmatch(line)
    if match:
        return int(match[1]), int(match[2]), match[3].decode("latin-1")
    parts = (rb"HTTP/1\.[01]", rb" ", rb"[1-9][0-9]{2}", rb" ", rb"[\t -~\x80-\xff]*")
    index = 0
    for part in parts:
        found = re.compile(part).match(line, index)
        if not found:
            index += _common_prefix(line[index:], part)
            break
        index = found.end()
    raise Malformed(
        "the first line is no status line",
        "HTTP/1.1, a space, three digits, a space, and the reason: HTTP/1.1 200 OK",
        line + b"\r\n",
        index,
    )


def _common_prefix(line: bytes, part: bytes) -> int:
    """Return how many bytes of `line` agree with the pattern `part`, if it is the version."""
    if not part.startswith(b"HTTP"):
        return 0
    known = b"HTTP/1."
    return next((i for i in range(len(known)) if line[i : i + 1] != known[i : i + 1]), len(known))


def _parse_field(line: bytes) -> tuple[str, str]:
    """`b"Content-Length: 5"` -> `("Content-Length", "5")`. Raises Malformed."""
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        message, index = "a field line begins with white space", 0
    elif not colon:
        message, index = "a line of the head has no colon", len(line)
    elif not re.fullmatch(TOKEN, name):
        message = "a field's name holds a letter that no name may hold (a space before the colon?)"
        index = re.match(TOKEN + rb"|", name).end()
    elif not re.fullmatch(rb"[\t -~\x80-\xff]*", value):
        message = "a field's value holds a control character"
        index = len(name) + 1 + re.match(rb"[\t -~\x80-\xff]*", value).end()
    else:
        return name.decode("ascii"), value.strip(b" \t").decode("latin-1")
    raise Malformed(message, "a field line: name, colon, value", line + b"\r\n", index)


def _parse_trailer(line: bytes) -> tuple[str, str]:
    """Do the same for a field after the last chunk. Raises Malformed."""
    name, value = _parse_field(line)
    if name.lower() in ("content-length", "transfer-encoding"):
        message = f"{name} comes after the body whose end it tells"
        raise Malformed(message, "this field in the head, or not at all", line + b"\r\n", 0)
    return name, value


def _find_framing(response: Response, method: str) -> tuple[str, int]:
    """Return how the body ends, and its bytes (RFC 9112 section 6.3). Raises Malformed."""
    lengths = _split_lists(response.values("content-length"))
    codings = [coding.lower() for coding in _split_lists(response.values("transfer-encoding"))]
    if lengths and codings:
        line = response.field_line("content-length")
        message = "both Content-Length and Transfer-Encoding: which one tells the end of the body?"
        raise Malformed(message, "only one of the two fields", line, 0)
    if any(not re.fullmatch("0*[0-9]{1,20}", value) for value in lengths):
        line = response.field_line("content-length")
        index = line.index(b":") + 1
        raise Malformed("Content-Length is no number", "decimal digits", line, index)
    if len(set(lengths)) > 1:
        line = response.field_line("content-length")
        raise Malformed("two different Content-Length", "one Content-Length", line, 0)
    if codings and codings != ["chunked"]:
        line = response.field_line("transfer-encoding")
        index = line.index(b":") + 1
        raise Malformed("a Transfer-Encoding that we never asked for", "chunked", line, index)
    if method == "HEAD" or response.status in (204, 304):
        return "none", 0
    if codings:
        return "chunked", 0
    return ("length", int(lengths[0][-20:])) if lengths else ("end", 0)


def _split_lists(values: list[str]) -> list[str]:
    """`["5, 5", "6"]` -> `["5", "5", "6"]`: only blanks and tabs are white space."""
    return [part.strip(" \t") for value in values for part in value.split(",")]


def _fail_chunk_line(line: bytes) -> None:
    """Raise Malformed for a chunk's size that is none."""
    index = re.match(rb"[0-9A-Fa-f]*", line).end()
    raise Malformed(
        "a chunk does not begin with its size",
        "the size in hexadecimal digits, then CR LF",
        line + b"\r\n",
        index,
    )


def _fail_chunk_end(chunk: bytes, after: bytes) -> None:
    """Raise Malformed for a chunk whose data goes on, or ends without CR LF."""
    raise Malformed(
        f"a chunk of {len(chunk)} bytes is not followed by CR LF",
        "CR LF after the chunk's data (does the size say how many bytes there are?)",
        chunk[-40:] + after[:40],
        len(chunk[-40:]),
    )

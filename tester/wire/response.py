"""A strict reader of HTTP/1.1 responses: raw bytes in, a `Response` or a `Malformed` out.

It is stricter than curl and browsers on purpose: what they let pass, other clients refuse. It
implements RFC 9112 sections 2.2 (line ends), 4 (status line), 5 (fields), 6.3 (the length of a
body) and 7.1 (chunks). The grammar (ABNF) that a pattern implements is above it.
"""

from __future__ import annotations

import functools
import itertools
import re
from dataclasses import dataclass, field
from typing import NoReturn

# Limits. No honest response needs as much as they allow, so a server that exceeds one of them has
# lost control, and we need not wait for the end. Other programs have such limits too. Ours are
# among the largest, so that no check depends on them.

MAX_HEAD = 256 * 1024
"""Bytes of a head, and of a trailer section.

Chrome takes 256 KB too (`kMaxHeaderBufSize`), curl 300 KB (`MAX_HTTP_RESP_HEADER_SIZE`), Go's
client 10 MB by default. node.js took 80 KB until 2018 and takes 16 KB today, as h11 does. Python's
http.client takes 64 KB for each line.
"""
MAX_LINES = 5000
"""Lines of a head, and of a trailer section.

curl takes 5,000 fields too (`MAX_HTTP_RESP_HEADER_COUNT`), Python's http.client 100.
"""
MAX_CHUNK_LINE = 16 * 1024
"""Bytes of one chunk's size and extensions.

node.js takes 16 KB of extensions too (`kMaxChunkExtensionsSize`), Go 4 KB, Python's http.client
64 KB.
"""
MAX_CHUNKS = 50_000
"""Chunks of a body. In the largest body that a check asks for, 12 MB, each then has 250 bytes.

No other program that we know limits their number.
"""
MAX_INTERIM = 100
"""Interim responses (1xx) before the final one. Go's client took five for many years."""
USUAL_HEAD = 4000  # Bytes, fewer than MAX_LINES: most heads are shorter.
SHORT = 100  # Bytes: shorter lines of a head are remembered once they have been parsed,
REMEMBERED = 256  # this many of them.
SHOWN = 1000  # Bytes of a wrong line that are kept on each side of the place.

# The grammar above each pattern is from RFC 9112, or from RFC 9110 where that is named. All of
# them are built from these characters (RFC 5234 appendix B.1; obs-text: RFC 9110 section 5.5):
#
#   VCHAR     = %x21-7E         ; `!` to `~`
#   HTAB      = %x09            ; `\t`
#   SP        = %x20            ; a space
#   obs-text  = %x80-FF
#   OWS       = *( SP / HTAB )  ; optional white space (RFC 9110 section 5.6.3)
#   BWS       = OWS             ; bad white space: it must be accepted but not sent

# Section 4. The space after the code is required, even if no reason phrase follows.
#
#   status-line    = HTTP-version SP status-code SP [ reason-phrase ]
#   HTTP-version   = HTTP-name "/" DIGIT "." DIGIT   ; section 2.3: we take HTTP/1.0 and HTTP/1.1
#   status-code    = 3DIGIT                          ; we take 100 to 999
#   reason-phrase  = 1*( HTAB / SP / VCHAR / obs-text )
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t -~\x80-\xff]*)")

# Section 5, and RFC 9110 section 5.5.
#
#   field-line     = field-name ":" OWS field-value OWS
#   field-name     = token
#   field-value    = *field-content
#   field-content  = field-vchar [ 1*( SP / HTAB / field-vchar ) field-vchar ]
#   field-vchar    = VCHAR / obs-text
#
# The pattern is for `OWS field-value OWS`, all that follows the colon.
FIELD_VALUE = re.compile(rb"[\t -~\x80-\xff]*")

# RFC 9110 section 5.6.2.
#
#   token  = 1*tchar
#   tchar  = "!" / "#" / "$" / "%" / "&" / "'" / "*" / "+" / "-" / "." / "^" / "_" / "`" / "|"
#            / "~" / DIGIT / ALPHA
TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"

# RFC 9110 section 5.6.4.
#
#   quoted-string  = DQUOTE *( qdtext / quoted-pair ) DQUOTE
#   qdtext         = HTAB / SP / %x21 / %x23-5B / %x5D-7E / obs-text
#   quoted-pair    = "\" ( HTAB / SP / VCHAR / obs-text )
QUOTED = rb'"(?:[\t !#-\[\]-~\x80-\xff]|\\[\t -~\x80-\xff])*"'

# Section 7.1.1. The pattern is for one extension.
#
#   chunk-ext       = *( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )
#   chunk-ext-name  = token
#   chunk-ext-val   = token / quoted-string
EXTENSION = rb"[ \t]*;[ \t]*" + TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + TOKEN + rb"|" + QUOTED + rb"))?"

# Section 7.1. The pattern is for the line that begins a chunk, or the last chunk, without its CRLF.
#
#   chunked-body     = *chunk last-chunk trailer-section CRLF
#   chunk            = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
#   chunk-size       = 1*HEXDIG
#   last-chunk       = 1*("0") [ chunk-ext ] CRLF
#   trailer-section  = *( field-line CRLF )
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:" + EXTENSION + rb")*")


class Malformed(Exception):
    """Bytes that are not an HTTP response; `index` is the place in `line` where they go wrong."""

    def __init__(self, message: str, expected: str, line: bytes, index: int) -> None:
        super().__init__(message)
        start = max(0, index - SHOWN)
        self.message = message
        self.expected = expected
        self.line = line[start : index + SHOWN]
        self.index = index - start


@dataclass
class Response:
    """A response, as it was on the wire."""

    minor: int
    """The second digit of the version: 0 or 1."""
    status: int
    reason: str
    fields: list[tuple[str, str]]
    """In order: names as they were sent, values without the white space around them."""
    head: bytes
    """Status line and fields, with the empty line at the end."""
    body: bytes = b""
    """The content, without chunk framing."""
    chunks: list[bytes] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    framing: str = "end"
    """What ends the body: `length`, `chunked`, `end` (of the connection); `none` without a body."""

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of this name, in any letter case."""
        wanted = name.lower()
        return [value for key, value in self.fields if key.lower() == wanted]

    def field(self, name: str) -> str | None:
        """Return the value of the field, or several joined by commas; None if there is none."""
        values = self.values(name)
        return ", ".join(values) if values else None

    def field_line(self, name: str) -> bytes:
        """Return the first field line of this name as it was sent, with its line end, or b""."""
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
        """Read the response to a request with this method: one to HEAD has no body."""
        self.method = method
        self.response: Response | None = None
        """The response, once its head is there; its body grows while `complete` is false."""
        self.complete = False
        self._buffer = bytearray()
        self._body = bytearray()
        self._sizes: list[int] = []
        self._remaining = 0
        self._looked = 0
        """How many bytes of the buffer hold no line end, as far as we know."""
        self._skipped = 0
        """How many interim responses came before this one."""
        self._lines = 0
        """The lines that have come of the head, or of the trailer section."""
        self._checked = 0
        """The bytes of these lines."""
        self._state = self._read_head

    @property
    def whole(self) -> Response:
        """The response, once its head is there. Do not ask for it before."""
        assert self.response is not None
        return self.response

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises Malformed as soon as they can no longer be a response."""
        self._buffer += data
        self._go_on()

    def _go_on(self) -> None:
        """Read as far as the bytes in the buffer allow."""
        while not self.complete and self._state():
            pass
        if self.complete:
            self._finish()

    def _finish(self) -> None:
        """Give the response its body."""
        response, body = self.whole, bytes(self._body)
        ends = itertools.accumulate(self._sizes, initial=0)
        response.body, response.chunks = body, [body[a:b] for a, b in itertools.pairwise(ends)]

    def skip_interim(self) -> None:
        """Go on to the final response. Raises Malformed if too many interim ones (1xx) come.

        Nothing is copied, so each costs the same, however many there are.
        """
        while self.complete and self.whole.status < 200:
            self._skipped += 1
            if self._skipped > MAX_INTERIM:
                raise Malformed(
                    f"more than {MAX_INTERIM} interim responses (1xx) came before the final one",
                    "the final response, whose status is 200 or above",
                    self.whole.status_line,
                    len("HTTP/1.1 "),
                )
            self.response, self.complete = None, False
            self._state = self._read_head
            self._go_on()

    def end(self) -> bool:
        """Say that no more bytes will come; return whether the response is whole."""
        if self.response is not None and self.response.framing == "end" and not self.complete:
            self.complete = True
            self._finish()
        return self.complete

    @property
    def extra(self) -> bytes:
        """What came after the response."""
        return bytes(self._buffer) if self.complete else b""

    @property
    def received(self) -> int:
        """How many bytes of the body have come so far."""
        return len(self._body)

    @property
    def missing(self) -> int:
        """How many bytes of a body with Content-Length, or of a chunk, have not come yet."""
        return self._remaining

    def _read_head(self) -> bool:
        """Read the head if all of it is there, and find out where the body will end."""
        if not self._find_end_of_head():
            return False
        head = self._take(self._checked)
        self._lines = self._checked = self._looked = 0
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

    def _find_end_of_head(self) -> bool:
        """Return whether all of the head is there. Raises Malformed at the first bad line."""
        if not self._checked and (size := _measure_usual_head(self._buffer)):
            self._checked = size
            return True
        while (newline := self._buffer.find(b"\n", max(self._checked, self._looked))) >= 0:
            line = bytes(self._buffer[self._checked : newline + 1])
            _check_line_end(line, "head")
            if not self._lines:
                _parse_status_line(line[:-2])
            if newline >= MAX_HEAD:
                break
            self._checked = newline + 1
            if line == b"\r\n":
                return True
            self._count_line("head", line)
        self._looked = len(self._buffer)
        if not self._lines and self._buffer:
            _check_beginning(bytes(self._buffer[:80]))
        if len(self._buffer) > MAX_HEAD:
            raise Malformed(
                f"the head does not end: {MAX_HEAD:,} bytes without an empty line",
                "an empty line (CR LF CR LF) that ends the head",
                bytes(self._buffer[self._checked : self._checked + 80]),
                0,
            )
        return False

    def _count_line(self, where: str, line: bytes) -> None:
        """Count a line of the head or of the trailer section. Raises Malformed for one too many."""
        self._lines += 1
        if self._lines > MAX_LINES:
            raise Malformed(
                f"the {where} does not end: it has more than {MAX_LINES:,} lines",
                f"an empty line that ends the {where}",
                line,
                0,
            )

    def _take(self, size: int) -> bytes:
        """Take at most `size` bytes out of the buffer."""
        taken = bytes(self._buffer[:size])
        del self._buffer[: len(taken)]
        return taken

    def _read_length(self) -> bool:
        """Read the body up to its Content-Length."""
        taken = self._take(self._remaining)
        self._body += taken
        self._remaining -= len(taken)
        self.complete = self._remaining == 0
        return False

    def _read_rest(self) -> bool:
        """Read the body up to the end of the connection."""
        self._body += self._buffer
        self._buffer.clear()
        return False

    def _take_line(self, where: str, most: int, too_long: str) -> bytes | None:
        """Return the next line without its end, or None if it has not come yet.

        Raises Malformed, with the message `too_long` for a line of more than `most` bytes.
        """
        newline = self._buffer.find(b"\n", self._looked)
        if newline >= most or (newline < 0 and len(self._buffer) > most):
            raise Malformed(too_long, "CR LF", bytes(self._buffer[:80]), 0)
        if newline < 0:
            self._looked = len(self._buffer)
            return None
        self._looked = 0
        line = self._take(newline + 1)
        _check_line_end(line, where)
        return line[:-2]

    def _read_chunk_line(self) -> bool:
        """Read the line with a chunk's size."""
        too_long = f"a chunk's size and extensions do not end: more than {MAX_CHUNK_LINE:,} bytes"
        line = self._take_line("chunk framing", MAX_CHUNK_LINE, too_long)
        if line is None:
            if self._buffer and not re.match(rb"[0-9A-Fa-f]", self._buffer):
                _fail_chunk_line(bytes(self._buffer[:40]))
            return False
        match = CHUNK_LINE.fullmatch(line)
        if not match:
            _fail_chunk_line(line)
        self._remaining = int(match[1], 16)
        if not self._remaining:  # The last chunk is a marker, not a part of the body.
            self._state = self._read_trailer
            return True
        self._sizes.append(self._remaining)
        if len(self._sizes) > MAX_CHUNKS:
            raise Malformed(
                f"the body does not end: it has more than {MAX_CHUNKS:,} chunks",
                "the last chunk: 0 CR LF CR LF",
                line + b"\r\n",
                0,
            )
        self._state = self._read_chunk
        return True

    def _read_chunk(self) -> bool:
        """Read a chunk's data and the CR LF after it."""
        taken = self._take(self._remaining)
        self._body += taken
        self._remaining -= len(taken)
        after = bytes(self._buffer[:40])
        if not self._remaining and after[:2] not in (b"", b"\r", b"\r\n"):
            size = self._sizes[-1]
            _fail_chunk_end(size, bytes(self._body[-min(size, 40) :]), after)
        if self._remaining or len(after) < 2:
            return False
        del self._buffer[:2]
        self._state = self._read_chunk_line
        return True

    def _read_trailer(self) -> bool:
        """Read the fields after the last chunk, up to the empty line."""
        too_long = f"the trailer section does not end: it has more than {MAX_HEAD:,} bytes"
        line = self._take_line("trailer section", MAX_HEAD - self._checked, too_long)
        if line is None:
            return False
        if line:
            self._checked += len(line) + 2
            self._count_line("trailer section", line + b"\r\n")
            self.whole.trailers.append(_parse_trailer(line))
            return True
        self.complete = True
        return False


def _measure_usual_head(data: bytearray) -> int:
    """Return the size of the head if it is complete, not long, and all its lines end correctly.

    Otherwise return 0: then it is read line by line, which takes longer.
    """
    size = data.find(b"\r\n\r\n", 1, USUAL_HEAD) + 4
    ends = data.count(b"\r\n", 0, size)
    if ends != data.count(b"\n", 0, size) or ends != data.count(b"\r", 0, size):
        return 0
    return size if size > 4 else 0


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
            f"a line of the {where} contains a bare CR (one without an LF)",
            "CR only at the end of a line, directly before LF",
            line,
            line.index(b"\r"),
        )


def _check_beginning(data: bytes) -> None:
    """Raise Malformed if `data` can't become a status line, whatever comes next."""
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
        "the first line is not a status line",
        "HTTP/1.1, a space, three digits, a space, the reason phrase: HTTP/1.1 200 OK",
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
    return _parse_short_field(line) if len(line) < SHORT else _parse_any_field(line)


@functools.lru_cache(REMEMBERED)
def _parse_short_field(line: bytes) -> tuple[str, str]:
    """Parse a line that is likely to come again: most responses have the same fields."""
    return _parse_any_field(line)


def _parse_any_field(line: bytes) -> tuple[str, str]:
    """Parse a field line of any length. Raises Malformed."""
    name, colon, value = line.partition(b":")
    if line[:1] in (b" ", b"\t"):
        message, index = "a field line begins with white space", 0
    elif not colon:
        message, index = "a line of the head has no colon", len(line)
    elif not re.fullmatch(TOKEN, name):
        message = (
            "a field name contains a character that is not allowed there (a space before the"
            " colon?)"
        )
        index = _matched(TOKEN + rb"|", name)
    elif not FIELD_VALUE.fullmatch(value):
        message = "a field value contains a control character"
        index = len(name) + 1 + _matched(FIELD_VALUE, value)
    else:
        return name.decode("ascii"), value.strip(b" \t").decode("latin-1")
    raise Malformed(message, "a field line: name, colon, value", line + b"\r\n", index)


def _parse_trailer(line: bytes) -> tuple[str, str]:
    """Parse a field line after the last chunk. Raises Malformed."""
    name, value = _parse_field(line)
    if name.lower() in ("content-length", "transfer-encoding"):
        message = f"{name} comes after the body whose end it should mark"
        raise Malformed(message, "this field in the head, or not at all", line + b"\r\n", 0)
    return name, value


def _find_framing(response: Response, method: str) -> tuple[str, int]:
    """Return what ends the body, and its length (RFC 9112 section 6.3). Raises Malformed."""
    lengths = _split_lists(response.values("content-length"))
    codings = [coding.lower() for coding in _split_lists(response.values("transfer-encoding"))]
    if lengths and codings:
        line = response.field_line("content-length")
        message = "both Content-Length and Transfer-Encoding: which one says where the body ends?"
        raise Malformed(message, "only one of the two fields", line, 0)
    if any(not re.fullmatch("0*[0-9]{1,20}", value) for value in lengths):
        line = response.field_line("content-length")
        index = line.index(b":") + 1
        raise Malformed("Content-Length is not a number", "decimal digits", line, index)
    if len(set(lengths)) > 1:
        line = response.field_line("content-length")
        raise Malformed("two different Content-Length values", "one Content-Length", line, 0)
    if codings and codings != ["chunked"]:
        line = response.field_line("transfer-encoding")
        index = line.index(b":") + 1
        message = "a Transfer-Encoding other than chunked, which the client did not offer to accept"
        raise Malformed(message, "chunked", line, index)
    if method == "HEAD" or response.status in (204, 304):
        return "none", 0
    if codings:
        return "chunked", 0
    return ("length", int(lengths[0][-20:])) if lengths else ("end", 0)


def _split_lists(values: list[str]) -> list[str]:
    """`["5, 5", "6"]` -> `["5", "5", "6"]`: only spaces and tabs are white space."""
    return [part.strip(" \t") for value in values for part in value.split(",")]


def _matched(pattern: bytes | re.Pattern[bytes], data: bytes) -> int:
    """Return how many bytes at the beginning of `data` match the pattern."""
    match = re.match(pattern, data)
    return match.end() if match else 0


def _fail_chunk_line(line: bytes) -> NoReturn:
    """Raise Malformed for a line that should hold a chunk's size and does not."""
    index = _matched(rb"[0-9A-Fa-f]*", line)
    raise Malformed(
        "a chunk does not begin with its size",
        "the size in hexadecimal digits, then CR LF",
        line + b"\r\n",
        index,
    )


def _fail_chunk_end(size: int, end: bytes, after: bytes) -> None:
    """Raise Malformed for a chunk whose data does not end where it should, in CR LF."""
    raise Malformed(
        f"a chunk of {size} bytes is not followed by CR LF",
        "CR LF after the chunk's data (does the size say how many bytes there are?)",
        end + after,
        len(end),
    )

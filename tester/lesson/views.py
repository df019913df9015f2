r"""Shows bytes in a lesson: a row for each part, with CR LF visible, and the part's name.

    HTTP/1.1 200 OK\r\n                    status line
    Content-Length: 2\r\n                  field
    \r\n                                   empty line: the end of the head
    hi                                     body, 2 bytes

The rows are plain text, and all colours are in `style` attributes. So nothing is lost if a web site
removes the styles, or if only text can be shown.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from tester.lesson.servers import LessonError
from tester.report.bytes_view import byte_spans, left_out, pieces, split_lines, wrap
from tester.wire.response import TOKEN

WIDTH = 66  # Columns for bytes.
NAME_COLUMN = 53  # Where the names begin, unless a row is longer.
BODY_LIMIT = 700  # Bytes of a body that are shown; of more, both ends.

# All have the same brightness, halfway between white and nearly black. At that brightness no colour
# has a contrast of 4.5 with both, so `ink` mixes them with the text colour of the page.
BLUE, GREEN, ORANGE, RED = "#2f76e1", "#148b35", "#ba610f", "#dd3d3d"
VIOLET, TEAL, PINK, GREY = "#a454d4", "#0f8686", "#cb3f93", "#797979"


def ink(colour: str) -> str:
    """Return a style for text that can be read on a light page and on a dark one.

    A browser that can't mix colours uses the first one. Do not nest such texts: the inner one would
    be mixed again.
    """
    return f"color:{colour};color:color-mix(in srgb,{colour} 70%,currentcolor)"


COLOURS = {
    "start": f"{ink(BLUE)};font-weight:bold",
    "field": ink(GREEN),
    "line end": ink(PINK),
    "empty": ink(PINK),
    "body": ink(ORANGE),
    "chunk size": ink(VIOLET),
    "surplus": f"{ink(RED)};font-weight:bold",
    "note": ink(GREY),
    "side": "font-weight:bold",
    "added": "background-color:rgba(20,139,53,0.18)",
    "removed": "background-color:rgba(221,61,61,0.18)",
    "plain": "",
}
PRE = (
    "font-family:ui-monospace,Menlo,Consolas,monospace;font-size:0.93em;line-height:1.45;"
    "overflow-x:auto;margin:0"
)
LINE_END = re.compile(r"((?:\\[rn])+)|\\\\")  # Or a backslash, which is shown doubled.
HEAD_END = re.compile(rb"\r?\n\r?\n")
START_LINE = re.compile(rb"HTTP/|[A-Z]+ [^\r\n]* HTTP/")
FIELD_NAME = re.compile(TOKEN + b":")
LENGTH = re.compile(rb"^content-length:[ \t]*(\d+)", re.IGNORECASE | re.MULTILINE)
CHUNKED = re.compile(rb"^transfer-encoding:.*chunked", re.IGNORECASE | re.MULTILINE)
BODILESS = re.compile(rb"HTTP/1\.\d (?:1\d\d|204|304)")


@dataclass(frozen=True)
class Part:
    """A piece of a message, and what it is."""

    kind: str
    """A key of COLOURS."""
    name: str
    start: int
    stop: int


@dataclass(frozen=True)
class Row:
    """A line of a view."""

    text: str
    kind: str = "plain"
    name: str = ""


def split_parts(data: bytes, *, head_only: bool = False) -> list[Part]:
    """Split messages that follow each other into named parts; never raises, whatever `data` is.

    With `head_only`, these are responses to HEAD, which have no body.
    """
    parts: list[Part] = []
    at = 0
    while at < len(data):
        if not START_LINE.match(data, at):
            name = "not HTTP"
            if at:
                name = f"left over, {_count(len(data) - at)}: belongs to no message"
            parts.append(Part("surplus" if at else "body", name, at, len(data)))
            break
        at = _split_message(data, at, parts, head_only)
    return parts


def _split_message(data: bytes, at: int, parts: list[Part], head_only: bool) -> int:
    """Add the parts of the message that begins at `at`; return where it ends."""
    first, end = at, _end_of_head(data, at)
    for start, stop in split_lines(data[at:end]):
        line = data[at + start : at + stop]
        kind, name = "field", ""
        if start == 0:
            kind, name = "start", "status line" if line.startswith(b"HTTP/") else "request line"
        elif not line.strip():
            kind, name = "empty", "empty line: the end of the head"
        else:
            name = _name_field(line)
        parts.append(Part(kind, name, at + start, at + stop))
    head = data[first:end]
    if CHUNKED.search(head) and not head_only:
        return _split_chunks(data, end, parts)
    stop = min(_end_of_body(head, end, len(data), head_only), len(data))
    length = LENGTH.search(head)
    promised = length and int(length[1]) and not head_only and not BODILESS.match(head)
    if stop > end or promised:
        missing = int(length[1]) - (stop - end) if length else 0
        verb = "is" if missing == 1 else "are"
        short = f": {_count(missing)} {verb} missing" if missing > 0 else ""
        parts.append(Part("body", f"body, {_count(stop - end)}{short}", end, stop))
    return stop


def _name_field(line: bytes) -> str:
    """Return what a line of a head is: a field, or why it is not one."""
    if FIELD_NAME.match(line):
        return "field"
    return f"not a field: {'its name is not allowed' if b':' in line else 'it has no colon'}"


def _count(number: int) -> str:
    """`1` -> `1 byte`, `2` -> `2 bytes`."""
    return f"{number} byte{'s' * (number != 1)}"


def _end_of_head(data: bytes, at: int) -> int:
    """Return where the head that begins at `at` ends."""
    found = HEAD_END.search(data, at)
    return found.end() if found else len(data)


def _end_of_body(head: bytes, end: int, whole: int, head_only: bool) -> int:
    """Return where the body after `head` ends; that may be beyond the data."""
    if head_only or BODILESS.match(head):
        return end
    if length := LENGTH.search(head):
        return end + int(length[1])
    return whole if head.startswith(b"HTTP/") else end


def _split_chunks(data: bytes, at: int, parts: list[Part]) -> int:
    """Add the parts of a chunked body; return where it ends."""
    while size := re.compile(rb"([0-9A-Fa-f]+)[^\r\n]*\r?\n").match(data, at):
        number = int(size[1], 16)
        what = f"chunk size: {number}" if number else "last chunk (size 0)"
        parts.append(Part("chunk size", what, at, size.end()))
        at = size.end()
        if not number:
            break
        stop = min(at + number, len(data))
        parts.append(Part("body", f"chunk, {_count(stop - at)}", at, stop))
        at = stop
        if line_end := re.compile(rb"\r?\n").match(data, at):
            parts.append(Part("chunk size", "end of the chunk", at, line_end.end()))
            at = line_end.end()
    for start, stop in split_lines(data[at:]):
        empty = not data[at + start : at + stop].strip()
        kind, name = ("empty", "empty line: the end") if empty else ("field", "trailer field")
        parts.append(Part(kind, name, at + start, at + stop))
        if empty:
            return at + stop
    return len(data)


def part_rows(data: bytes, *, head_only: bool = False, offsets: bool = False) -> Iterator[Row]:
    """Yield the rows that show `data`; with `offsets`, each part begins with its place."""
    for part in split_parts(data, head_only=head_only):
        before = f"{part.start:4} │ " if offsets else "  "
        name = part.name
        if offsets and "byte" not in name:
            name = f"{name}, {_count(part.stop - part.start)}"
        for text in _visible_rows(data[part.start : part.stop]):
            yield Row(before + text, part.kind, name)
            before, name = ("     │ " if offsets else "  "), ""


def _visible_rows(data: bytes) -> Iterator[str]:
    """Yield `data` in rows that are not too long; of much data, both ends."""
    last, encoding = 0, "utf-8" if _is_text(data) else "ascii"
    for start, stop in byte_spans(data, BODY_LIMIT):
        if start > last:
            yield left_out(start - last)
        last = stop
        for first, after in split_lines(data[start:stop]):
            for row in wrap(pieces(data[start + first : start + after], encoding), WIDTH):
                yield "".join(piece.text for piece in row)


def _is_text(data: bytes) -> bool:
    """Return whether `data` is UTF-8, perhaps cut out of a longer text inside a character.

    Compressed bytes are not: what looks like text in them is chance.
    """
    try:
        codecs.getincrementaldecoder("utf-8")().decode(data.lstrip(bytes(range(0x80, 0xC0))))
    except UnicodeDecodeError:
        return False
    return True


def exchange_rows(events: Sequence[Any], ending: str) -> list[Row]:
    """Return rows that show what one client sent and received, and how it ended."""
    rows: list[Row] = []
    sent = b"".join(event.data for event in events if event.kind == "sent")
    heads = sent.startswith(b"HEAD ")
    for kind, data in _join_turns(events):
        side = "client sends" if kind == "sent" else "server answers"
        rows.append(Row(f"{'→' if kind == 'sent' else '←'} {side}", "side"))
        rows += part_rows(data, head_only=heads and kind == "received")
    return [*rows, Row(f"■ {ending}", "note")]


def _join_turns(events: Iterable[Any]) -> list[tuple[str, bytes]]:
    """Return the events joined: what went one way, until something went the other way, is one."""
    turns: list[tuple[str, bytes]] = []
    for event in events:
        if event.kind not in ("sent", "received"):
            continue
        if turns and turns[-1][0] == event.kind:
            turns[-1] = (event.kind, turns[-1][1] + event.data)
        else:
            turns.append((event.kind, event.data))
    return turns


def pad(row: Row) -> tuple[str, str]:
    """Return a row's text, and its name with the gap before it."""
    gap = max(2, NAME_COLUMN - len(row.text)) if row.name else 0
    return row.text, " " * gap + row.name


def rows_text(rows: Iterable[Row]) -> str:
    """Return rows as plain text."""
    return "\n".join("".join(pad(row)) for row in rows)


def rows_html(rows: Iterable[Row]) -> str:
    """Return rows as HTML that, without its styles, reads like the plain text."""
    lines = []
    for row in rows:
        text, name = pad(row)
        shown = _in_ink(text, COLOURS[row.kind])
        lines.append(shown + (span(html.escape(name), COLOURS["note"]) if name else ""))
    return f'<pre style="{PRE}">' + "\n".join(lines) + "</pre>"


def _in_ink(text: str, style: str) -> str:
    r"""Return text as HTML in a style, with each `\r\n` in the colour of line ends."""
    shown, last = "", 0
    for found in LINE_END.finditer(text):
        if found[1]:
            shown += span(html.escape(text[last : found.start()]), style)
            shown += span(found[1], COLOURS["line end"])
            last = found.end()
    return shown + span(html.escape(text[last:]), style)


def span(content: str, style: str) -> str:
    """Return HTML in a style."""
    return f'<span style="{style}">{content}</span>' if style and content else content


def prose(text: str) -> str:
    """Return a sentence as HTML, with `code`, *emphasis* and **strong words**."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def bundle(rows: Sequence[Row]) -> dict[str, str]:
    """Return rows in the forms that a notebook keeps."""
    return {"text/html": rows_html(rows), "text/plain": rows_text(rows)}


class View:
    """Something that a notebook shows as HTML, or as text if it can't show HTML."""

    def __init__(self, html_text: str, text: str) -> None:
        """Keep the HTML and the text."""
        self.html = html_text
        self.text = text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return both forms for the notebook."""
        return {"text/html": self.html, "text/plain": self.text}

    def __repr__(self) -> str:
        """Return the text."""
        return self.text


def anatomy(data: bytes) -> View:
    """Show a request, a response or several: each part with its name, its place and its size.

    Raises LessonError if `data` is not bytes.
    """
    if not isinstance(data, bytes):
        raise LessonError('anatomy shows bytes, such as b"GET / HTTP/1.1\\r\\n\\r\\n"')
    rows = list(part_rows(data, offsets=True))
    return View(rows_html(rows), rows_text(rows))

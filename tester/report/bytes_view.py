r"""Makes bytes readable, so that every byte that a server sent can be seen and counted.

    visible(b"HTTP/1.1 200 OK\r\n\x00caf\xc3\xa9")   ->   HTTP/1.1 200 OK\r\n
                                                          \x00café

CR, LF and tab show as `\r`, `\n` and `\t`, a backslash as `\\`. Everything else that can't be seen
(control characters, bytes that are not UTF-8, characters without a width) shows as `\xNN`, byte by
byte. So two different texts never look alike, and the width of a text is known exactly.

Long data is not cut here but described: `kept_spans` says which parts of it to show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from tester.results import printable

ESCAPES = {"\r": "\\r", "\n": "\\n", "\t": "\\t", "\\": "\\\\"}
COLOUR_SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")
PLAIN = str.maketrans({"…": "...", "–": "-", "—": "-", "“": '"', "”": '"', "‘": "'", "’": "'"})
"""Replacements for typographic characters that an output can't show."""


@dataclass(frozen=True)
class Piece:
    """Bytes that are shown as one unit: a character, or the escape that stands for it."""

    start: int
    """The index of its first byte."""
    stop: int
    """The index after its last byte."""
    text: str
    width: int
    """How many columns of a terminal `text` takes."""
    escaped: bool
    """Whether `text` is an escape, and not the character itself."""


@dataclass(frozen=True)
class PointedLine:
    """A line on one row of the screen, and the column (from 0) under which the caret belongs."""

    pieces: tuple[Piece, ...]
    column: int
    cut_before: bool = False
    """Whether something before `pieces` was left out; the column counts one mark for it."""
    cut_after: bool = False

    def text(self, mark: str = "…") -> str:
        """Return the row, with a `mark` where something was left out."""
        shown = "".join(piece.text for piece in self.pieces)
        return mark * self.cut_before + shown + mark * self.cut_after


def pieces(data: bytes, encoding: str = "utf-8") -> list[Piece]:
    """Split `data` into pieces to show; characters that `encoding` does not have are escaped."""
    found: list[Piece] = []
    start = 0
    # With surrogateescape, each byte that is not UTF-8 becomes one character of this range.
    for character in data.decode("utf-8", "surrogateescape"):
        size = 1 if "\udc80" <= character <= "\udcff" else len(character.encode())
        found += _show(character, start, data[start : start + size], encoding)
        start += size
    return found


def _show(character: str, start: int, data: bytes, encoding: str) -> Iterator[Piece]:
    """Yield the one piece that shows `character`, or one for each of its bytes."""
    if " " <= character <= "~" and character != "\\":
        yield Piece(start, start + 1, character, 1, False)
    elif character in ESCAPES:
        yield Piece(start, start + 1, ESCAPES[character], 2, True)
    elif width := _width(character, encoding):
        yield Piece(start, start + len(data), character, width, False)
    else:
        for index, byte in enumerate(data, start):
            yield Piece(index, index + 1, f"\\x{byte:02x}", 4, True)


def _width(character: str, encoding: str) -> int:
    """Return how many columns a character takes, or 0 if it can't be shown by itself."""
    from rich.cells import cell_len

    if not character.isprintable() or not _can_encode(character, encoding):
        return 0
    return cell_len(character)


def _can_encode(text: str, encoding: str) -> bool:
    """Return whether an output in this encoding can hold `text`."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def split_lines(data: bytes) -> list[tuple[int, int]]:
    """Return where each line begins and ends. A line ends after its LF, the last one at the end."""
    ends = [match.end() for match in re.finditer(b"\n", data)]
    if not ends or ends[-1] < len(data):
        ends.append(len(data))
    return list(zip([0, *ends], ends, strict=False))


def visible(data: bytes, encoding: str = "utf-8") -> str:
    r"""Return `data` as text, with a real line break after each visible `\n`."""
    rows = (data[start:stop] for start, stop in split_lines(data))
    return "\n".join(visible_line(row, encoding) for row in rows)


def visible_line(data: bytes, encoding: str = "utf-8") -> str:
    r"""Return `data` as text on one row: a `\n` in it does not break the row."""
    return "".join(piece.text for piece in pieces(data, encoding))


def column(data: bytes, index: int, encoding: str = "utf-8") -> int:
    """Return the column (from 0) at which the byte at `index` shows in `visible_line(data)`.

    The inner bytes of a character show where it begins; an index past the end shows after the last.
    """
    return sum(piece.width for piece in pieces(data, encoding) if piece.stop <= index)


def point(data: bytes, index: int, width: int, encoding: str = "utf-8") -> PointedLine:
    """Return `data` as one row of at most `width` columns that shows the byte at `index`."""
    index = max(0, min(index, len(data)))
    # A column shows at most four bytes, so bytes further away can't be in the row.
    first = _character(data, max(0, index - 4 * width))
    last = _character(data, min(len(data), index + 4 * width))
    near = pieces(data[first:last], encoding)
    place = next((at for at, piece in enumerate(near) if index - first < piece.stop), len(near))
    if (first, last) == (0, len(data)) and _columns(near) <= width:
        return PointedLine(tuple(near), _columns(near[:place]))
    left = right = place
    room = max(width - 2, 1)  # Without a mark on either side.
    while left and _columns(near[left - 1 : place]) <= room * 2 // 3:
        left -= 1
    while right < len(near) and _columns(near[left : right + 1]) <= room:
        right += 1
    while left and _columns(near[left - 1 : right]) <= room:
        left -= 1
    cut_before = first + left > 0
    cut_after = right < len(near) or last < len(data)
    shown = tuple(near[left:right])
    return PointedLine(shown, cut_before + _columns(near[left:place]), cut_before, cut_after)


def _columns(row: Iterable[Piece]) -> int:
    """Return how many columns the pieces take together."""
    return sum(piece.width for piece in row)


def wrap(row: list[Piece], width: int) -> list[list[Piece]]:
    """Break pieces into rows of at most `width` columns, never inside an escape."""
    rows: list[list[Piece]] = [[]]
    used = 0
    for piece in row:
        if rows[-1] and used + piece.width > width:
            rows.append([])
            used = 0
        rows[-1].append(piece)
        used += piece.width
    return rows


def kept_spans(length: int, limit: int, keep: int | None = None) -> list[tuple[int, int]]:
    """Return which parts of something of this `length` to show: `(start, stop)`, at most `limit`.

    That is all of it if it fits; else its beginning, its end, and what is around index `keep`.
    """
    if length <= limit:
        return [(0, length)]
    share = max(limit // (3 if keep is None else 4), 1)
    spans = [(0, limit - share if keep is None else 2 * share), (length - share, length)]
    if keep is not None:
        middle = max(0, min(keep, length) - share // 2)
        spans.append((middle, min(middle + share, length)))
    return _join(sorted(spans))


def _join(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge spans that touch or overlap."""
    joined = spans[:1]
    for start, stop in spans[1:]:
        if start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], stop))
        else:
            joined.append((start, stop))
    return joined


def byte_spans(data: bytes, limit: int, keep: int | None = None) -> list[tuple[int, int]]:
    """Do what `kept_spans` does, without cutting a UTF-8 character in two."""
    if len(data) <= limit:
        return [(0, len(data))]
    # What is left out must be worth the note that says so.
    spans = kept_spans(len(data), max(limit - 64, 4), keep)
    return _join([(_character(data, start), _character(data, stop)) for start, stop in spans])


def _character(data: bytes, index: int) -> int:
    """Return the index at which the character around `index` begins."""
    for start in range(index, max(index - 4, -1), -1):
        if start in (0, len(data)) or data[start] & 0xC0 != 0x80:
            return start
    return index  # This is not UTF-8: any place is as good.


def left_out(number: int, what: str = "bytes") -> str:
    """`left_out(12345)` -> `… 12,345 bytes left out …`."""
    return f"… {number:,} {what} left out …"


def shorten(data: bytes, limit: int, keep: int | None = None) -> str:
    """Return `data` as it is, not made visible; of long data, both ends and a note between."""
    parts: list[str] = []
    last = 0
    for start, stop in byte_spans(data, limit, keep):
        if start > last:
            parts.append("\n" + left_out(start - last) + "\n")
        parts.append(data[start:stop].decode("utf-8", "backslashreplace"))
        last = stop
    return "".join(parts)


def safe_text(text: str, encoding: str = "utf-8") -> str:
    r"""Return text from outside without characters that could upset a terminal.

    Line breaks stay, colours go, tabs become spaces, and other control characters show as `\xNN` or
    `\uNNNN`.
    """
    text = COLOUR_SEQUENCE.sub("", text).replace("\r\n", "\n").expandtabs(4)
    if not _can_encode(text, encoding):
        text = text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return printable(text)

"""Draws pictures for the lessons, as SVG, from what was measured.

Each picture has a light card as its background, so that it looks the same on a light page and on a
dark one. No colour can be read well on both, and a picture does not know which page it is on.
"""

from __future__ import annotations

import html
import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tester.ladder.stages import get_stage
from tester.lesson.servers import LessonError, check_kind, find_stage
from tester.lesson.talk import ENDINGS, Event, Scene, Talk
from tester.lesson.views import START_LINE, split_parts
from tester.report.bytes_view import visible_line

FONT = "font-family:system-ui,sans-serif;font-size:12px"
MONO = "font-family:ui-monospace,monospace;font-size:11.5px"
CARD = "#f6f7f9"
BLUE, GREEN, ORANGE, RED = "#1d5bbd", "#0b6a26", "#954a05", "#bb2222"  # All above 4.5 on CARD,
VIOLET, TEAL, PINK, GREY = "#7f35b3", "#0a6868", "#ad1f6b", "#595d63"  # and on their own tint.
TINT = 0.12  # How much of a text's colour its background has.
HALO = {"stroke": CARD, "stroke_width": "4", "paint_order": "stroke"}  # No line crosses a text.
SERIES = (BLUE, ORANGE, GREEN, VIOLET, TEAL, RED)
SHORT_NAMES = (
    *("Port", "Read", "200 OK", "404", "Path", "Routing", "Content", "Fields in", "Fields out"),
    *("Many clients", "Query", "Files", "Types", "POST", "Keep-alive", "gzip", "Pipelining"),
    "Chunks",
)
MOST_EVENTS = 40  # How many one timeline shows.
LONGEST_LABEL, LONGEST_PIECE = 72, 56  # Characters at an arrow: of a first line, of other bytes.
ROW, LONGEST_GAP = 27, 110  # Pixels between two events; the most that time adds to them.
SCALE = 130  # Pixels for each second.
WIDE, NARROW = 7.1, 6.8  # Pixels for a character: in a fixed-width font, and in others on average.
MARGIN = 10  # Pixels around a drawing.


class Picture:
    """A drawing, and its content in words for readers who can't see it."""

    def __init__(self, width: float, height: float, parts: Sequence[str], words: str) -> None:
        """Put the parts together; all sizes are in pixels."""
        self.words = words
        wide, high = width + 2 * MARGIN, height + 2 * MARGIN
        self.svg = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}"'
            f' viewBox="{-MARGIN} {-MARGIN} {wide:.0f} {high:.0f}" role="img"'
            f' style="{FONT};max-width:100%;height:auto">'
            f"<title>{html.escape(words.splitlines()[0])}</title>\n"
            + _box(-MARGIN, -MARGIN, wide, high, CARD)
            + "\n".join(["", *parts, "</svg>"])
        )

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        """Return the drawing and the words for the notebook."""
        return {"image/svg+xml": self.svg, "text/plain": self.words}

    def __repr__(self) -> str:
        """Return the words."""
        return self.words


def _text(x: float, y: float, words: str, colour: str = GREY, **more: str) -> str:
    """Return a text at a place; `more` are attributes, with _ instead of -."""
    extra = "".join(f' {name.replace("_", "-")}="{value}"' for name, value in more.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}"{extra}>{html.escape(words)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str = GREY, width: float = 1) -> str:
    """Return a straight line."""
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
        f' stroke="{colour}" stroke-width="{width}"/>'
    )


def _box(x: float, y: float, width: float, height: float, colour: str, more: str = "") -> str:
    """Return a filled rectangle with round corners."""
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4"'
        f' fill="{colour}"{more}/>'
    )


# --- The ribbon -----------------------------------------------------------------------------------


def ribbon(stage: int = 0) -> Picture:
    """Draw the eighteen stages: those before `stage`, the stage itself, and those to come.

    With 0, all are still to come. Raises LessonError if there is no such stage.
    """
    if stage != 0:
        find_stage(stage)
    parts = []
    for number, name in enumerate(SHORT_NAMES, 1):
        x, y = ((number - 1) % 9) * 89 + 2, ((number - 1) // 9) * 46 + 2
        outline = f' stroke="{GREY}" stroke-opacity="0.6"'
        if number == stage:
            parts.append(_box(x, y, 84, 38, BLUE))
        else:
            done = number < stage
            parts.append(
                _box(x, y, 84, 38, GREEN, f' fill-opacity="{TINT if done else 0}"{outline}')
            )
        colour = "#ffffff" if number == stage else GREEN if number < stage else GREY
        mark = f"{number} ✓" if number < stage else str(number)
        parts.append(_text(x + 5, y + 15, mark, colour, font_weight="bold"))
        parts.append(_text(x + 5, y + 31, name, colour))
    words = f"Stage {stage} of 18: {get_stage(stage).title}" if stage else "The eighteen stages"
    return Picture(9 * 89, 92, parts, words)


# --- Characters and bytes -------------------------------------------------------------------------

SHOWN = {" ": "␣", "\r": "\\r", "\n": "\\n", "\t": "\\t"}  # Characters that can't be seen.


def bytes_of(text: str, encoding: str = "utf-8") -> Picture:
    """Draw the characters of a text, and under each the bytes that it becomes, counted from 1.

    Raises UnicodeEncodeError if `encoding` lacks a character, LessonError if `text` is not a text.
    """
    check_kind(text, str, 'a text, such as "hé"')
    cell, parts, words = 34, [], []
    at = 0
    for number, character in enumerate(text):
        data = character.encode(encoding)
        colour = SERIES[number % 2] if len(data) > 1 else GREY
        colour = PINK if character in "\r\n" else colour
        x, width = 90 + at * cell, len(data) * cell
        shade = f' fill-opacity="{TINT}" stroke="{colour}" stroke-opacity="0.7"'
        parts.append(_box(x + 1, 8, width - 2, 28, colour, shade))
        shown = SHOWN.get(character, character if character.isprintable() else "·")
        parts.append(
            _text(x + width / 2, 27, shown, colour, text_anchor="middle", style="font-size:16px")
        )
        for index, byte in enumerate(data):
            left = x + index * cell
            parts.append(_box(left + 1, 40, cell - 2, 26, colour, shade))
            middle = {"text_anchor": "middle", "style": MONO}
            parts.append(_text(left + cell / 2, 57, f"{byte:02x}", colour, **middle))
            parts.append(_text(left + cell / 2, 82, str(at + index + 1), GREY, **middle))
        words.append(f"{shown}: {data.hex(' ')}")
        at += len(data)
    names = ((27, f"{len(text)} characters"), (57, f"{at} bytes"), (82, "counted"))
    parts += [_text(4, y, name, GREY) for y, name in names]
    told = f"{text!r} is {len(text)} characters and {at} bytes"
    return Picture(100 + at * cell, 92, parts, "\n".join([told, *words]))


# --- Timelines ------------------------------------------------------------------------------------


def timeline(what: Talk | Scene, title: str = "") -> Picture:
    """Draw a conversation: a lane for each client and one for the server; time runs downwards.

    An arrow is a message or a piece of one. A dashed arrow is a new connection, a dotted arrow is
    its end. A coloured bar is a client that waits for its response. The more time passes, the more
    room there is. A lane ends with its connection. Raises LessonError.
    """
    check_kind(what, (Talk, Scene), "what `talk` or `scene` has returned")
    all_events = _messages(what.events)
    events = all_events[:MOST_EVENTS]
    names = list(dict.fromkeys(event.client for event in events))
    lanes = _lanes(names, max(map(len, map(_label, events)), default=0))
    top = 62 if title else 40
    rows = _rows(events, top)
    height = (rows[-1] if rows else top) + 24
    parts = [_text(0, 14, title, GREY, font_weight="bold")] if title else []
    for name, x in lanes.items():
        colour = GREY if name == "server" else _colour(name, names)
        parts.append(_text(x, top - 18, name, colour, text_anchor="middle", font_weight="bold"))
        parts += _lane(x, name, events, rows, (top - 10, height - 8), colour)
    parts += _waits(events, rows, lanes, names)
    for number, (event, y) in enumerate(zip(events, rows, strict=True)):
        clock = _clock(event.seconds)
        if not number or clock != _clock(events[number - 1].seconds):
            parts.append(_text(0, y + 4, clock, GREY, style=MONO))
        parts += _arrow(
            event, y, lanes[event.client], lanes["server"], _colour(event.client, names)
        )
    said = [title or "A conversation in time", *map(_say, events)]
    if len(all_events) > len(events):
        said.append(f"… and {len(all_events) - len(events)} more")
        parts.append(_text(0, height + 4, said[-1], GREY, font_style="italic"))
        height += 14
    width = max(lanes.values()) + NARROW * max(map(len, lanes)) / 2 + 10
    return Picture(max(width, NARROW * len(title)), height, parts, "\n".join(said))


def _messages(events: Sequence[Event]) -> list[Event]:
    """Return the events; one that carries several messages becomes one event for each of them."""
    cut: list[Event] = []
    passed: dict[tuple[str, str], int] = {}
    for event in events:
        stream = (event.client, event.kind)
        sent, whole = (
            b"".join(e.data for e in events if e.client == event.client and e.kind == kind)
            for kind in ("sent", event.kind)
        )
        heads = event.kind == "received" and sent.startswith(b"HEAD ")
        begins = [p.start for p in split_parts(whole, head_only=heads) if p.kind == "start"]
        first = passed.get(stream, 0)
        last = passed[stream] = first + len(event.data)
        edges = [first, *(place for place in begins if first < place < last), last]
        for start, stop in zip(edges, edges[1:], strict=False):
            data = whole[start:stop]
            cut.append(Event(event.seconds, event.client, event.kind, data, event.how))
    return cut


def _colour(name: str, names: Sequence[str]) -> str:
    """Return the colour of a client."""
    return SERIES[names.index(name) % len(SERIES)]


def _lanes(names: Sequence[str], longest: int) -> dict[str, float]:
    """Return the place of each lane; two clients are on either side of the server.

    Between a client and the server, there is room for a label of `longest` characters.
    """
    room = WIDE * longest + 36
    if len(names) <= 1:
        return {**dict.fromkeys(names, 110.0), "server": 110.0 + max(room, 420)}
    if len(names) == 2:
        gap = max(room, 300)
        return {names[0]: 110.0, "server": 110.0 + gap, names[1]: 110.0 + 2 * gap}
    lanes = {name: 110.0 + 90 * number for number, name in enumerate(names)}
    return lanes | {"server": 20.0 + 90 * len(names) + max(room, 300)}


def _lane(
    x: float,
    name: str,
    events: Sequence[Event],
    rows: Sequence[float],
    edges: tuple[float, float],
    colour: str,
) -> list[str]:
    """Return the drawing of a lane, from where its client connects to where the connection ends."""
    if name == "server":
        return [_line(x, *(edges[0], x, edges[1]), colour, 1.5)]
    own = [(event, y) for event, y in zip(events, rows, strict=True) if event.client == name]
    ends = [y for event, y in own if event.kind == "ended"]
    start, stop = own[0][1], ends[-1] if ends else edges[1]
    guide = _line(x, edges[0], x, start, colour).replace("/>", ' stroke-dasharray="1 4"/>')
    return [guide, _line(x, start, x, stop, colour, 1.5)]


def _rows(events: Sequence[Event], top: float) -> list[float]:
    """Return the height of each event: in order, with more room where more time passes."""
    rows: list[float] = []
    for number, event in enumerate(events):
        passed = event.seconds - events[number - 1].seconds if number else 0.0
        y = rows[-1] + ROW + min(passed * SCALE, LONGEST_GAP) if rows else top + 12
        rows.append(y)
    return rows


def _waits(
    events: Sequence[Event], rows: Sequence[float], lanes: Mapping[str, float], names: Sequence[str]
) -> list[str]:
    """Return a bar for each wait of a client, from its last bytes to the next response."""
    bars: list[str] = []
    since: dict[str, float] = {}
    for event, y in zip(events, rows, strict=True):
        if event.kind == "sent":
            since[event.client] = y
        elif event.client in since and event.kind in ("received", "ended"):
            began = since.pop(event.client)
            if event.how == "left":  # It did not wait: it had nothing more to ask.
                continue
            x = lanes[event.client] - 4
            colour = _colour(event.client, names)
            bars.append(_box(x, began, 8, y - began, colour, ' fill-opacity="0.45"'))
    return bars


def _arrow(event: Event, y: float, client: float, server: float, colour: str) -> list[str]:
    """Return the drawing of one event: an arrow between the lanes, with what it carries."""
    side = 1 if server > client else -1
    from_client = event.kind in ("sent", "connects") or event.how in ("left", "open")
    start, end = (client, server) if from_client else (server, client)
    direction = 1 if end > start else -1
    drawn: list[str] = []
    dash = ""
    style = {"style": MONO}
    if event.kind in ("connects", "ended"):
        dash = f' stroke-dasharray="{"4 3" if event.kind == "connects" else "1.5 3"}"'
    if event.kind == "ended":
        colour = RED if event.how in ("reset", "refused") else GREY
        style = {"font_style": "italic"}
        drawn.append(_line(client - 7, y, client + 7, y, colour, 3))
    shaft = _line(start, y, end - direction * 5, y, colour, 1.5).replace("/>", f"{dash}/>")
    head = f'<path d="M {end:.1f} {y:.1f} l {-8 * direction} -4 v 8 z" fill="{colour}"/>'
    words = {"text_anchor": "start" if side == 1 else "end", **style, **HALO}
    return [*drawn, shaft, head, _text(client + side * 14, y - 5, _label(event), colour, **words)]


def _label(event: Event) -> str:
    """Return the text at an arrow: the first line of a message, or a piece as it is."""
    if event.kind == "connects":
        return "connects"
    if event.kind == "ended":
        return ENDINGS[event.how].partition(":")[0]
    begins = START_LINE.match(event.data)
    line = visible_line(event.data.split(b"\r\n")[0] if begins else event.data)
    if len(line) > (longest := LONGEST_LABEL if begins else LONGEST_PIECE):
        line = re.sub(r"\\x?\w?$", "", line[: longest - 1]) + "…"
    return f"{line} · {len(event.data)} byte{'s' * (len(event.data) != 1)}"


def _clock(seconds: float) -> str:
    """`0.0123` -> `12.3 ms`."""
    return f"{seconds * 1000:.1f} ms" if seconds < 0.0995 else f"{seconds:.2f} s"


def _say(event: Event) -> str:
    """Return an event in words."""
    arrow = {"sent": "→", "connects": "→", "received": "←", "ended": "■"}[event.kind]
    return f"{_clock(event.seconds):>8}  {event.client} {arrow} {_label(event)}"


# --- Plots ----------------------------------------------------------------------------------------


def bars(values: Mapping[str, float], unit: str = "", title: str = "") -> Picture:
    """Draw a bar for each value, the longest at full width. Raises LessonError without values."""
    check_kind(values, Mapping, 'a dictionary, such as {"curl": 0.2}')
    for value in values.values():
        check_kind(value, numbers.Real, "a number for each bar")
    if not values:
        raise LessonError("there is nothing to draw: give at least one value")
    room = 8 + NARROW * max(map(len, values))
    top, most = (28 if title else 0), max(values.values()) or 1
    figures = [f"{_figure(value)} {unit}".strip() for value in values.values()]
    parts = [_text(0, 14, title, GREY, font_weight="bold")] if title else []
    for number, (name, value) in enumerate(values.items()):
        y = top + number * 28
        colour = SERIES[number % len(SERIES)]
        length = 440 * value / most
        parts.append(_text(room - 6, y + 15, name, GREY, text_anchor="end"))
        parts.append(_box(room, y, max(length, 2), 20, colour, ' fill-opacity="0.8"'))
        parts.append(_text(room + length + 8, y + 15, figures[number], colour))
    words = [title or "Bars", *(f"{name}: {_figure(v)} {unit}" for name, v in values.items())]
    width = room + 448 + NARROW * max(map(len, figures))
    return Picture(width, top + 28 * len(values) - 8, parts, "\n".join(words))


def plot(
    xs: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    x: str = "",
    y: str = "",
    title: str = "",
) -> Picture:
    """Draw a line for each series over `xs`; `x` and `y` name the axes.

    Raises LessonError if a series does not have as many values as `xs`, or if `xs` is empty.
    """
    check_kind(series, Mapping, 'a dictionary, such as {"threads": [1, 2, 3]}')
    if not xs or any(len(values) != len(xs) for values in series.values()):
        raise LessonError("plot: each series needs a value for each x, and at least one")
    left, width, height = 62, 480, 220
    top = 22 * bool(title) + 22 * bool(y) + 12
    highest = max((max(values) for values in series.values()), default=1) or 1
    step = _step(highest)
    highest = step * math.ceil(highest / step)
    low, high = min(xs), max(xs)

    def place(a: float, b: float) -> tuple[float, float]:
        """Return the place of a point."""
        return left + width * (a - low) / ((high - low) or 1), top + height * (1 - b / highest)

    parts = [_text(0, 14, title, GREY, font_weight="bold")] if title else []
    parts.append(_text(0, top - 16, y, GREY))
    for number in range(round(highest / step) + 1):
        level = place(low, number * step)[1]
        parts.append(_line(left, level, left + width, level).replace("/>", ' opacity="0.35"/>'))
        words = _figure(number * step)
        parts.append(_text(left - 8, level + 4, words, GREY, text_anchor="end"))
    taken = -math.inf
    for a in sorted(xs, reverse=True):  # The last one always gets its number.
        at, words = place(a, 0)[0], _figure(a)
        if abs(taken - at) > NARROW * len(words) + 8:
            parts.append(_text(at, top + height + 18, words, text_anchor="middle"))
            taken = at
    parts.append(_text(left + width / 2, top + height + 38, x, GREY, text_anchor="middle"))
    names = [f"{name}: {_figure(values[-1])}" for name, values in series.items()]
    ends: list[float] = []
    for number, (name, values) in enumerate(zip(names, series.values(), strict=True)):
        colour = SERIES[number % len(SERIES)]
        points = [place(a, b) for a, b in zip(xs, values, strict=True)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2.5"/>'
        )
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}"/>' for a, b in points]
        label_y = points[-1][1] + 4
        while any(abs(label_y - other) < 15 for other in ends):
            label_y -= 15
        ends.append(label_y)
        parts.append(_text(left + width + 12, label_y, name, colour, font_weight="bold"))
    said = [title or "A plot", *(f"{n}: {', '.join(map(_figure, v))}" for n, v in series.items())]
    room = 12 + WIDE * max(map(len, names), default=0)
    return Picture(left + width + room, top + height + 44, parts, "\n".join(said))


def _step(highest: float) -> float:
    """Return a round distance between two levels, so that there are three to seven levels."""
    unit = 10 ** math.floor(math.log10(highest))
    return next(unit * part for part in (0.1, 0.2, 0.5, 1, 2) if highest / (unit * part) <= 7)


def _figure(value: float) -> str:
    """Return a number with as many digits as are useful: `0.053`, `1.2`, `1,200`."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"

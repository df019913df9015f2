"""Reports for people: what grading found, on a terminal or in a plain text file.

    print_stage   header, the first failure in full, the others in a line each, verdict, next step
    print_ladder  a line for each stage, how far the attempt gets, what the next stage needs

All text from outside (titles, bytes, output) goes through `bytes_view`, so that nothing in it can
move the cursor, and it is never read as markup. No line is wider than the console, except the
command to try, which must survive being copied.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from tester.ladder.stages import get_stage
from tester.report import bytes_view
from tester.results import CheckResult, Failure, LadderResult, Message, Pointer, StageResult

PLAIN_WIDTH = 80  # Columns if the output is not a terminal: what e-mail and CI logs hold.
TWO_COLUMNS = 100  # From this width on, sent and received stand side by side.
READABLE = 92  # Columns of running text: in longer lines, the eye loses its place.
WIDEST = 140  # Columns that the two sides of an exchange share at most.
LABEL = 10  # Columns of "expected", "Why:" and the like, with the space after it.
MESSAGE_ROWS = 18  # Rows of one message that are shown; of more, both ends.
LINE_BYTES = 240  # Bytes of one line that are shown; of more, both ends.
ROUNDS = 8  # Requests with their responses that are shown; of more, the first and the last.
OUTPUT_ROWS = 16  # Lines of the server's output that are shown: its end.
OUTPUT_BYTES = 2400  # Characters of these lines, in case they are very long.
TEXT_LIMIT = 3000  # Characters of a sentence that are shown, in case it quotes a lot.
PAUSE = 0.08  # Seconds: a pause of this length between two messages is shown.
LONG_PAUSE = 0.5  # The same between a request and its response, where some time is normal.

Rows = list[tuple[int, int, Text]]
"""Rows of a message: the bytes that each shows (start, stop), and how it looks."""


@dataclass(frozen=True)
class Marks:
    """The signs of a report. They differ in shape, not only in colour."""

    passed: str = "✓"
    failed: str = "✗"
    star: str = "★"
    no_star: str = "☆"
    open: str = "·"
    bar: str = "│"
    line: str = "─"
    cross: str = "┼"
    dots: str = "…"
    dash: str = "–"


PLAIN_MARKS = Marks("+", "x", "*", "o", ".", "|", "-", "+", "~", "-")


def make_console(stream: TextIO | None = None, color: bool | None = None) -> Console:
    """Return a console on `stream` (by default standard output), with colours if they are welcome.

    If `color` is None, there are colours only on a terminal, and only if NO_COLOR is not set. If
    the stream is not a terminal, the width is COLUMNS, or 80.
    """
    stream = sys.stdout if stream is None else stream
    terminal = _is_terminal(stream)
    if color is None:
        dumb = os.environ.get("TERM") == "dumb"
        color = terminal and not dumb and not os.environ.get("NO_COLOR")
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="backslashreplace")  # No character may end a report.
    return Console(
        file=stream,
        width=None if terminal else _columns_wanted(),
        # Without a colour system rich writes no escape sequence at all. The sixteen colours of
        # "standard" are those that the user has chosen for the terminal.
        color_system="standard" if color else None,
        force_terminal=True if color else None,
        no_color=False,  # Decided above.
        force_jupyter=False,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _is_terminal(stream: TextIO) -> bool:
    """Return whether the stream is a terminal, so that a person is watching."""
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        return False


def _columns_wanted() -> int:
    """Return the width that COLUMNS asks for, within reason."""
    wanted = os.environ.get("COLUMNS", "")
    return max(int(wanted), 40) if wanted.isdecimal() and int(wanted) else PLAIN_WIDTH


def print_stage(result: StageResult, console: Console, verbose: bool = False) -> None:
    """Print the verdict on one stage, and the first failure in full; if `verbose`, all of them."""
    page = _Page(console)
    _print_header(page, f"Stage {result.stage}: {result.title}", result.attempt, result.seed)
    if result.passed:
        _print_verdict(page, result)
        _print_missed_stars(page, result, verbose)
    elif result.error is not None:
        _print_name(page, result)
        _print_error(page, result.error, result.output)
    else:
        _print_failures(page, result, verbose)
    if not result.passed or (verbose and result.failures):
        page.blank()
        _print_verdict(page, result)
    page.write(*_next_step(result))


def print_result(
    result: StageResult | LadderResult, console: Console, verbose: bool = False
) -> None:
    """Print the verdict on one stage, or how far an attempt gets on the ladder."""
    if isinstance(result, StageResult):
        print_stage(result, console, verbose)
    else:
        print_ladder(result, console, verbose)


def print_ladder(result: LadderResult, console: Console, verbose: bool = False) -> None:
    """Print how far an attempt gets, and the first failure of the next stage in full."""
    page = _Page(console)
    _print_header(page, "How far your server has come", result.attempt, result.seed)
    errors = {stage.error for stage in result.stages}
    if len(errors) == 1 and None not in errors:  # The same error is not worth eighteen lines.
        _print_name(page, result.stages[-1])
        _print_error(page, str(result.stages[0].error), result.stages[0].output)
    else:
        for stage in result.stages:
            _print_rung(page, stage, result.reached)
    page.blank()
    _print_reached(page, result)
    following = next((s for s in result.stages if s.stage == result.reached + 1), None)
    if following is None:
        return
    if following.error is not None and len(errors) > 1:
        page.blank()
        _print_name(page, following)
        _print_error(page, following.error, following.output)
    elif following.error is None and following.failures:
        page.blank()
        name = f"stage {following.stage}, {following.title}"
        page.write(("Next is ", ""), (name, "bold"), (". What it needs first:", ""))
        page.blank()
        _print_failures(page, following, verbose, lines=False)
    page.blank()
    page.write(("fix this and save it, then grade again", "cyan"))


class _Page:
    """Writes rows to a console, none of them wider than the console."""

    def __init__(self, console: Console) -> None:
        """Write to `console`, with signs that its encoding has."""
        self.console = console
        self.width = console.width
        self.encoding = console.encoding
        everything = "".join(vars(Marks()).values())
        capable = everything.encode(self.encoding, "replace").decode(self.encoding) == everything
        self.marks = Marks() if capable else PLAIN_MARKS

    def safe(self, text: str, *, whole: bool = False) -> str:
        """Return text from outside, made safe for this console; a long one cut unless `whole`."""
        if len(text) > TEXT_LIMIT and not whole:
            half = TEXT_LIMIT // 2
            note = bytes_view.left_out(len(text) - 2 * half, "characters")
            text = f"{text[:half]} {note} {text[-half:]}"
        return bytes_view.safe_text(text, self.encoding)

    def blank(self) -> None:
        """Leave a row empty."""
        self.console.print()

    def row(self, text: Text) -> None:
        """Write one row as it is."""
        text.rstrip()
        self.console.print(text, soft_wrap=True)

    def write(self, *parts: tuple[str, str], indent: int = 0) -> None:
        """Write pieces of text, each with its style, on as many rows as they need."""
        text = Text.assemble(*((self.safe(part), style) for part, style in parts))
        for row in text.wrap(self.console, max(self.width - indent, 20)):
            self.row(Text(" " * indent) + row)

    def write_cut(self, *parts: tuple[str, str]) -> None:
        """Write pieces of text, each with its style, on one row; what does not fit is cut off."""
        text = Text.assemble(*((" ".join(self.safe(part).split("\n")), s) for part, s in parts))
        if text.cell_len > self.width:
            text.truncate(self.width - 1, overflow="crop")
            text.rstrip()
            text.append(self.marks.dots, "dim")
        self.row(text)

    def labelled(self, label: str, text: str, label_style: str, style: str = "") -> None:
        """Write `label`, and beside it the text, on as many rows as it needs."""
        width = max(min(self.width, READABLE) - LABEL - 2, 20)
        rows = _highlight(self.safe(text), style).wrap(self.console, width)
        for number, row in enumerate(rows):
            beginning = label if number == 0 else ""
            self.row(Text.assemble("  ", (beginning.ljust(LABEL), label_style)) + row)

    def rule(self) -> None:
        """Write a thin line across the page."""
        self.row(Text(self.marks.line * self.width, "dim"))

    def next_failure(self) -> None:
        """Separate the next failure from the one before it."""
        self.blank()
        self.rule()
        self.blank()


def _highlight(text: str, style: str = "") -> Text:
    """Return the text, with everything in `backticks` in a colour."""
    result = Text(text, style)
    for match in re.finditer(r"`[^`\n]+`", text):
        result.stylize("cyan", *match.span())
    return result


def _print_header(page: _Page, title: str, attempt: str, seed: int) -> None:
    """Print what is graded, which attempt, and the seed that repeats the run."""
    right = f"seed {seed}"
    room = page.width - cell_len(title) - len(right) - 6
    path = shorten_path(page.safe(attempt).replace("\n", " "), room, page.safe("…"))
    gap = page.width - cell_len(title) - cell_len(path) - len(right) - 3
    parts = [(title, "bold"), (" " * max(gap, 3), ""), (path, "cyan"), (f"   {right}", "dim")]
    page.blank()
    page.write_cut(*parts)
    page.rule()
    page.blank()


def shorten_path(path: str, width: int, dots: str = "…") -> str:
    """Return a path in at most `width` columns: its end says most, so its beginning goes first."""
    for folder, name in ((os.getcwd(), ""), (os.path.expanduser("~"), "~/")):
        if path.startswith(folder + os.sep) and folder != os.sep:
            path = name + path[len(folder) + 1 :]
    if cell_len(path) <= width:
        return path
    parts = path.split("/")
    for first in range(1, len(parts)):
        shorter = "/".join([dots, *parts[first:]])
        if cell_len(shorter) <= width:
            return shorter
    name = parts[-1]
    while name and cell_len(name) >= width:
        name = name[1:]
    return dots + name if name else ""


def _print_error(page: _Page, error: str, output: str) -> None:
    """Print why nothing could be graded, and the end of what the attempt printed."""
    _print_title(page, (page.marks.failed, "bold red"), error)
    _print_output(page, output, "The end of what it printed:")


def _print_name(page: _Page, result: StageResult) -> None:
    """Print the name of the known mistake that this looks like, if there is one."""
    if result.looks_like:
        for row in Text(page.safe(result.looks_like), "bold yellow").wrap(
            page.console, min(page.width, READABLE)
        ):
            page.row(row)
        page.blank()


def _print_title(page: _Page, mark: tuple[str, str], title: str) -> None:
    """Print what is wrong, in bold, after its mark."""
    text = _highlight(page.safe(title), "bold")
    for number, row in enumerate(text.wrap(page.console, min(page.width, READABLE) - 2)):
        page.row(Text.assemble((f"{mark[0]} " if number == 0 else "  ", mark[1]), row))


def _print_output(page: _Page, output: str, heading: str) -> None:
    """Print the end of an output, dimmed, with a bar at its left."""
    lines = output.rstrip().split("\n")
    rows = [
        row.plain
        for line in page.safe("\n".join(lines[-OUTPUT_ROWS:])[-OUTPUT_BYTES:]).split("\n")
        for row in Text(line).wrap(page.console, page.width - 4)
    ]
    if not any(rows):
        return
    page.blank()
    page.write((heading, "dim"), indent=2)
    if len(lines) > OUTPUT_ROWS:
        rows.insert(0, page.safe(bytes_view.left_out(len(lines) - OUTPUT_ROWS, "lines")))
    for row in rows:
        page.row(Text(f"  {page.marks.bar} {row}", "dim"))


def _print_failures(page: _Page, result: StageResult, verbose: bool, *, lines: bool = True) -> None:
    """Print the first failed requirement in full, and the other failures in a line each."""
    first = result.first_failure
    if first is None:
        page.write(("no check was run", "bold"))
        return
    _print_name(page, result)
    _print_failure(page, first, result.stage)
    others = [test for test in result.failures if test is not first]
    requirements = [test for test in others if test.kind == "requirement"]
    stars = [test for test in others if test.kind == "edge"]
    if verbose:
        for test in others:
            page.next_failure()
            _print_failure(page, test, result.stage)
    elif lines:
        _print_lines(page, requirements, result.stage, "Also to fix:")
        _print_lines(page, stars, result.stage, "Stars you did not get (optional; -v shows why):")
    elif requirements:
        page.blank()
        more = f"and {len(requirements)} more: grade this stage alone (--stage {result.stage})"
        page.write((f"{more} to see all", "dim"))


def _print_missed_stars(page: _Page, result: StageResult, verbose: bool) -> None:
    """Print the failed edge cases of a stage that is passed: they are optional."""
    missed = result.failures
    if missed and verbose:
        for test in missed:
            page.next_failure()
            _print_failure(page, test, result.stage)
    elif missed:
        heading = "Stars you can still get (optional; -v shows why):"
        _print_lines(page, missed, result.stage, heading)
        if result.looks_like:
            page.blank()
            _print_name(page, result)
    if missed:
        page.blank()


def _print_lines(page: _Page, tests: list[CheckResult], stage: int, heading: str) -> None:
    """Print a line for each test; those that were not run for the same reason share one."""
    if not tests:
        return
    page.blank()
    page.write((heading, "dim"))
    reasons: dict[str, int] = {}
    for test in tests:
        if test.outcome == "skipped":
            reasons[test.skipped] = reasons.get(test.skipped, 0) + 1
            continue
        mark, style = _mark(page, test)
        earlier = f"(stage {test.stage}) " if test.stage != stage else ""
        page.write_cut(
            (f"  {mark} ", style),
            (earlier, "dim"),
            *_title_and_message(page, test, len(earlier) + 4),
        )
    for reason, number in reasons.items():
        page.write_cut((f"  {page.marks.open} {number} not run: ", "yellow"), (reason, "dim"))


def _title_and_message(page: _Page, test: CheckResult, used: int) -> list[tuple[str, str]]:
    """Return the title, shortened if the message needs the room, and the message."""
    title = page.safe(test.title).removesuffix(".")
    message = page.safe(test.failure.message) if test.failure else ""
    if not message:
        return [(title, "")]
    room = page.width - used - 3
    room = max(room - cell_len(message), room * 3 // 5)
    if cell_len(title) > room:
        short = Text(title)
        short.truncate(room - 1, overflow="crop")
        title = short.plain.rstrip() + page.marks.dots
    return [(title, ""), (f" {page.marks.dash} {message}", "dim")]


def _mark(page: _Page, test: CheckResult) -> tuple[str, str]:
    """Return the sign of a test that did not pass, and its style."""
    if test.outcome == "skipped":
        return page.marks.open, "yellow"
    if test.kind == "edge":
        return page.marks.no_star, "yellow"
    return page.marks.failed, "bold red"


def _print_failure(page: _Page, test: CheckResult, stage: int) -> None:
    """Print all there is to say about one test that did not pass."""
    _print_title(page, _mark(page, test), test.title)
    if test.stage != stage:
        page.write((f"a rule of stage {test.stage}, which still applies", "dim"), indent=2)
    failure = test.failure or Failure(f"not run: {test.skipped}" if test.skipped else "")
    if failure.message and failure.message != test.title:
        page.write((failure.message, ""), indent=2)
    _print_difference(page, failure)
    _print_exchange(page, failure)
    if failure.likely or test.why or test.hint:
        page.blank()
    if failure.likely:
        page.labelled("Likely:", failure.likely, "bold")
    if test.why:
        page.labelled("Why:", test.why, "bold")
    if test.hint:
        page.labelled("Hint:", test.hint, "bold")
    if failure.command:
        page.blank()
        page.write(("Try it:", "bold"), indent=2)
        page.row(Text("    " + page.safe(failure.command, whole=True), "cyan"))
    _print_output(page, failure.output, "The end of what your server printed:")


def _print_difference(page: _Page, failure: Failure) -> None:
    """Print what was expected, what came, and the line with a caret under the wrong byte."""
    pointer = failure.pointer
    if not (failure.expected or failure.got or pointer):
        return
    page.blank()
    same = pointer is not None and _says_the_same(failure.got, pointer)
    if failure.expected:
        # Without quotes, so that each character stands above the one that came.
        expected = _unquote(failure.expected) if same else failure.expected
        page.labelled("expected", expected, "green")
    if failure.got and not same:
        page.labelled("got", failure.got, "red")
    if pointer:
        _print_pointer(page, pointer, "in" if failure.got and not same else "got")


def _says_the_same(got: str, pointer: Pointer) -> bool:
    """Return whether `got` only repeats the pointer's line; of a long line, compare the start."""
    if len(pointer.line) > LINE_BYTES:
        return _unquote(got).startswith(_unquote(repr(pointer.line[:LINE_BYTES])[1:])[:LINE_BYTES])
    shown = (bytes_view.visible_line(pointer.line), _unquote(repr(pointer.line)[1:]))
    return _unquote(got) in {form for line in shown for form in (line, line.removesuffix(r"\r\n"))}


def _unquote(text: str) -> str:
    """Return the text without the quotes around it."""
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"`"
    return text[1:-1] if quoted else text


def _print_pointer(page: _Page, pointer: Pointer, label: str) -> None:
    """Print a line of bytes, and a caret under the place where it goes wrong."""
    width = max(page.width - LABEL - 2, 10)
    if not pointer.line:
        page.row(Text.assemble("  ", (label.ljust(LABEL), "red"), ("(nothing)", "dim italic")))
        return
    row = bytes_view.point(pointer.line, pointer.index, width - 1, page.encoding)
    text = Text.assemble("  ", (label.ljust(LABEL), "red" if label == "got" else "dim"))
    text.append(page.marks.dots * row.cut_before, "dim")
    text.append_text(_style_pieces(row.pieces, pointer.index))
    text.append(page.marks.dots * row.cut_after, "dim")
    page.row(text)
    caret, indent = "^ here", row.column
    if row.column + len(caret) > width:
        caret, indent = "here ^", row.column - len(caret) + 1
    page.row(Text(" " * (LABEL + 2 + indent) + caret, "bold red"))


def _style_pieces(row: Iterable[bytes_view.Piece], wrong: int | None = None) -> Text:
    """Return pieces as text: escapes dimmed, so that the words stand out; byte `wrong` in red."""
    text = Text()
    for piece in row:
        if wrong is not None and piece.start <= wrong < piece.stop:
            text.append(piece.text, "bold red")
        elif piece.escaped:
            text.append(piece.text, "dim" if piece.text in ("\\r", "\\n") else "yellow")
        else:
            text.append(piece.text)
    return text


@dataclass
class _Part:
    """Bytes that went one way without a pause."""

    message: Message
    data: list[bytes]
    pause: float = 0.0
    """Seconds of silence before it, if it was long enough to be shown."""


@dataclass
class _Round:
    """What was sent on one connection, and what came back."""

    connection: int
    sent: list[_Part] = field(default_factory=list)
    received: list[_Part] = field(default_factory=list)


def _print_exchange(page: _Page, failure: Failure) -> None:
    """Print what went over the wire, in the order of time, and how it ended."""
    rounds = _rounds(failure.exchange)
    if rounds:
        page.blank()
        wide = page.width >= TWO_COLUMNS
        _Exchange(page, failure.pointer, rounds, wide).write()
    if failure.ending:
        if not rounds:
            page.blank()
        page.write(("then: ", "dim"), (failure.ending, "italic"), indent=2)


def _parts(exchange: tuple[Message, ...]) -> Iterator[_Part]:
    """Join messages that follow each other at once; note the pauses between the others."""
    part: _Part | None = None
    clocks: dict[int, float] = {}
    for message in exchange:
        pause = message.seconds - clocks.get(message.connection, 0.0)
        clocks[message.connection] = message.seconds
        before = part.message if part else None
        same = before and (before.direction, before.connection) == (
            message.direction,
            message.connection,
        )
        if part and same and pause < PAUSE:
            part.data.append(message.data)
            continue
        if part:
            yield part
        told = pause >= (PAUSE if same else LONG_PAUSE)
        part = _Part(message, [message.data], pause if told else 0.0)
    if part:
        yield part


def _rounds(exchange: tuple[Message, ...]) -> list[_Round]:
    """Put each response beside its request; a new round begins when the tester sends again."""
    rounds: list[_Round] = []
    for part in _parts(exchange):
        sent = part.message.direction == "sent"
        current = rounds[-1] if rounds else None
        if (
            current is None
            or current.connection != part.message.connection
            or (sent and current.received)
        ):
            current = _Round(part.message.connection)
            rounds.append(current)
        (current.sent if sent else current.received).append(part)
    return rounds


class _Exchange:
    """Writes rounds of an exchange: in two columns on a wide page, else one below the other."""

    def __init__(
        self, page: _Page, pointer: Pointer | None, rounds: list[_Round], wide: bool
    ) -> None:
        """Write `rounds` on `page`, and never leave out the line of `pointer`."""
        self.page = page
        self.pointer = pointer
        self.rounds = rounds
        self.wide = wide
        self.column = (min(page.width, WIDEST) - 5) // 2 if wide else page.width - 4
        self.several = len({a_round.connection for a_round in rounds}) > 1
        self.pointed = self._find_pointer()

    def _find_pointer(self) -> tuple[_Part, int] | None:
        """Return the part that holds the pointer's line, the last if several do, and where."""
        if self.pointer and self.pointer.line:
            for a_round in reversed(self.rounds):
                for part in reversed(a_round.received):
                    place = b"".join(part.data).rfind(self.pointer.line)
                    if place >= 0:
                        return part, place + self.pointer.index
        return None

    def write(self) -> None:
        """Write all rounds; of many, only the first and the last ones."""
        if self.wide:
            self._write_pair([Text("the tester sent", "bold")], [Text("your server sent", "bold")])
            line, cross = self.page.marks.line, self.page.marks.cross
            rule = line * (self.column + 1) + cross + line * (self.column + 1)
            self.page.row(Text("  " + rule, "dim"))
        last = 0
        previous = None
        for start, stop in bytes_view.kept_spans(len(self.rounds), ROUNDS, self._pointed_round()):
            if start > last:
                note = bytes_view.left_out(start - last, "requests and responses")
                self.page.write((note, "dim"), indent=2)
            for a_round in self.rounds[start:stop]:
                self._write_round(a_round, previous)
                previous = a_round
            last = stop

    def _pointed_round(self) -> int | None:
        """Return the index of the round that holds the pointer."""
        if self.pointed is None:
            return None
        part = self.pointed[0]
        return next(
            number
            for number, a_round in enumerate(self.rounds)
            if any(part is other for other in a_round.received)
        )

    def _write_round(self, a_round: _Round, previous: _Round | None) -> None:
        """Write one round, below the name of its connection if there are several."""
        if self.several and (previous is None or previous.connection != a_round.connection):
            dashes = self.page.marks.line * 2
            name = f"{dashes} connection {a_round.connection} {dashes}"
            self.page.write((name, "yellow"), indent=2)
        elif previous and self.wide:
            self._write_pair([], [Text()])
        sent, received = self._side(a_round.sent), self._side(a_round.received)
        if not received and self._is_last_without_answer(a_round):
            received = [Text("(nothing)", "dim italic")]
        if self.wide:
            self._write_pair(sent, received)
        else:
            self._write_block("the tester sent", sent)
            self._write_block("your server sent", received)

    def _is_last_without_answer(self, a_round: _Round) -> bool:
        """Return whether nothing ever came on this connection, and this is its last round."""
        of_connection = [r for r in self.rounds if r.connection == a_round.connection]
        return of_connection[-1] is a_round and not any(r.received for r in of_connection)

    def _write_pair(self, left: list[Text], right: list[Text]) -> None:
        """Write two columns side by side."""
        for number in range(max(len(left), len(right))):
            row = Text("  ") + (left[number] if number < len(left) else Text())
            row.append(" " * (self.column + 3 - row.cell_len))
            row.append(self.page.marks.bar + " ", "dim")
            self.page.row(row + (right[number] if number < len(right) else Text()))

    def _write_block(self, heading: str, rows: list[Text]) -> None:
        """Write one side below its name, with a bar at its left."""
        if rows:
            self.page.write((heading, "bold"), indent=2)
        for row in rows:
            self.page.row(Text.assemble((f"  {self.page.marks.bar} ", "dim"), row))

    def _side(self, parts: list[_Part]) -> list[Text]:
        """Return the rows of one side of a round."""
        rows: list[Text] = []
        for part in parts:
            if part.pause:
                rows.append(Text(f"({part.pause:.1f} s later)", "dim italic"))
            rows += self._part_rows(part)
        return rows

    def _part_rows(self, part: _Part) -> list[Text]:
        """Return the rows of one part, shortened in the middle; what the pointer shows is kept."""
        data = b"".join(part.data)
        keep = self.pointed[1] if self.pointed and self.pointed[0] is part else None
        lines = bytes_view.split_lines(data)
        held = _find_place([stop for _, stop in lines], keep)
        rows: Rows = []
        for first, end in bytes_view.kept_spans(len(lines), MESSAGE_ROWS, held):
            for start, stop in lines[first:end]:
                rows += self._line_rows(data, start, stop, keep)
        return self._join_rows(rows, keep)

    def _line_rows(self, data: bytes, start: int, stop: int, keep: int | None) -> Rows:
        """Return the rows of the line between `start` and `stop`."""
        rows: Rows = []
        if keep is not None and not start <= keep < stop:
            keep = None
        wanted = None if keep is None else keep - start
        for first, end in bytes_view.byte_spans(data[start:stop], LINE_BYTES, wanted):
            span = data[start + first : start + end]
            for row in bytes_view.wrap(bytes_view.pieces(span, self.page.encoding), self.column):
                offset = start + first
                wrong = None if keep is None else keep - offset
                place = (offset + row[0].start, offset + row[-1].stop) if row else (start, start)
                rows.append((*place, _style_pieces(row, wrong)))
        return rows

    def _join_rows(self, rows: Rows, keep: int | None) -> list[Text]:
        """Return the rows; of many, only some, with a note wherever bytes are left out."""
        held = _find_place([stop for _, stop, _ in rows], keep)
        shown: list[Text] = []
        last = 0
        for first, end in bytes_view.kept_spans(len(rows), MESSAGE_ROWS, held):
            for start, stop, row in rows[first:end]:
                if start > last:
                    note = self.page.safe(bytes_view.left_out(start - last))
                    shown.append(Text(note, "dim italic"))
                shown.append(row)
                last = stop
        return shown


def _find_place(stops: list[int], index: int | None) -> int | None:
    """Return which of the spans that end at `stops` holds `index`; None if `index` is None."""
    if index is None:
        return None
    return next((number for number, stop in enumerate(stops) if index < stop), len(stops) - 1)


def _print_verdict(page: _Page, result: StageResult) -> None:
    """Print whether the stage is passed, and the counts."""
    parts = [(f"{page.marks.failed} Stage {result.stage} not passed yet", "bold red")]
    if result.passed:
        parts = [(f"{page.marks.passed} Stage {result.stage} passed", "bold green")]
    if result.tests:
        parts.append(("  {}/{} requirements".format(*result.count("requirement")), ""))
    won, stars = result.count("edge")
    if stars:
        parts.append((f"  {page.marks.star} {won}/{stars} edge cases", "yellow"))
    parts.append((f"  {result.seconds:.1f} s", "dim"))
    page.write(*parts)


def _next_step(result: StageResult) -> list[tuple[str, str]]:
    """Return the one line that says what to do now."""
    if not result.passed:
        return [("  fix this and save it, then grade again", "cyan")]
    if get_stage(result.stage).is_last:
        return [("  that was the last stage: you have built an HTTP/1.1 server", "bold")]
    return [("  next: ", ""), (f"python -m tester show {result.stage + 1}", "cyan")]


def _print_rung(page: _Page, result: StageResult, reached: int) -> None:
    """Print one stage of the ladder on one row."""
    done = result.stage <= reached
    if result.passed:
        mark, style = page.marks.passed, "green"
    elif done or result.stage > reached + 1:
        mark, style = page.marks.open, "dim"
    else:
        mark, style = page.marks.failed, "bold red"
    passed, total = result.count("requirement")
    won, stars = result.count("edge")
    counts = f"{passed:>3}/{total:<3}" if result.tests else "       "
    edges = f"{page.marks.star} {won:>2}/{stars:<2}" if stars else "       "
    page.write_cut(
        (f"  {mark} {result.stage:>2}  ", style),
        (f"{result.title:<30}", "" if result.stage <= reached + 1 else "dim"),
        (f" {counts}", "dim" if not result.passed else ""),
        (f" {edges} ", "yellow" if result.passed else "dim"),
        (f" {_remark(result, reached)}", "dim"),
    )


def _remark(result: StageResult, reached: int) -> str:
    """Say in a few words why a stage is not passed, if its own rules are not the reason."""
    if result.passed:
        return ""
    if result.stage < reached:
        return "outgrown"  # The rules that still apply are checked at the stage reached.
    if result.error is not None:
        return "not graded"
    missing = {t.stage for t in result.failures if t.kind == "requirement"}
    if not missing or result.stage in missing:
        return ""
    *others, last = sorted(map(str, missing), key=int)
    return f"needs stages {', '.join(others)} and {last}" if others else f"needs stage {last}"


def _print_reached(page: _Page, result: LadderResult) -> None:
    """Print the stage that the attempt has reached."""
    if result.reached:
        text, style = f"You have reached stage {result.reached}", "bold green"
        text += ": it is a complete HTTP/1.1 server" * get_stage(result.reached).is_last
    else:
        text, style = "No stage is passed yet", "bold"
    page.write((text, style), (f"  {result.seconds:.1f} s", "dim"))

"""Shows the step from one stage to the next: the changes between two files, with reasons."""

from __future__ import annotations

import ast
import difflib
import html
import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass

from tester.ladder.steps import label, read_server, split_docstring
from tester.lesson.servers import LessonError, check_kind, find_stage
from tester.lesson.views import COLOURS, PRE, View, prose, span

CONTEXT = 2  # Lines shown around a change.
OUTSIDE = "at the top of the file"
LAST = "at the end of the file"
BANNER = re.compile(r"# --- (\w+)[^-]* -+$")  # `# --- Requests: from bytes to … ----`


@dataclass(frozen=True)
class Hunk:
    """A change in one place: in a function, in a class, or outside of both."""

    place: str
    lines: tuple[str, ...]
    """Each begins with `+`, `-` or a space, as in any diff."""
    section: str = ""
    """The first word of the banner above it, or nothing if there is none."""
    names: tuple[str, ...] = ()
    """All functions and classes that it changes."""
    new: bool = False
    """Whether all of these are new."""

    @property
    def where(self) -> str:
        """Where the change is: `under *Connections*, in `hang_up``."""
        if self.place == LAST or not (self.section or self.names):
            return self.place
        names = ", ".join(f"`{name}`" for name in self.names)
        told = [f"{'new:' if self.new else 'in'} {names}"] if names else []
        return ", ".join([f"under *{self.section}*"] * bool(self.section) + told)

    @property
    def changed(self) -> str:
        """The lines that are new or gone, without their signs."""
        return "\n".join(line[1:] for line in self.lines if line[0] in "+-")


def step_hunks(number: int) -> list[Hunk]:
    """Return the changes from the stage before to stage `number`, without the module's docstring.

    Two changes in one function, or side by side, are one hunk. In the first stage everything is
    new: there, each function is a hunk. Raises LessonError if there is no such stage.
    """
    find_stage(number)
    older, newer = (_body(each) for each in (number - 1, number))
    old_places, new_places = _places(older), _places(newer)
    if not older:
        return _whole_file(newer, new_places)
    matcher = difflib.SequenceMatcher(None, older, newer, autojunk=False)
    groups: list[tuple[str, list[tuple[str, int, int, int, int]]]] = []
    for code in matcher.get_opcodes():
        tag, i1, i2, j1, j2 = code
        if tag == "equal" or not any(line.strip() for line in older[i1:i2] + newer[j1:j2]):
            continue
        place = _place_of(new_places, newer, j1, j2) or _place_of(old_places, older, i1, i2)
        last = groups[-1] if groups else None
        near = last and j1 - last[1][-1][4] <= (CONTEXT if place == OUTSIDE else 6 * CONTEXT)
        if last and last[0] == place and near:
            last[1].append(code)
        else:
            groups.append((place, [code]))
    hunks = []
    edges = [0, *(codes[-1][4] for _, codes in groups)]  # No context shows another hunk's lines.
    limits = [*(codes[0][3] for _, codes in groups[1:]), len(newer)]
    for (place, codes), edge, limit in zip(groups, edges, limits, strict=False):
        lines = _hunk_lines(codes, older, newer, edge, limit)
        touched = [new_places[row] for code in codes for row in _rows(newer, *code[3:])]
        touched += [old_places[row] for code in codes for row in _rows(older, *code[1:3])]
        names = tuple(dict.fromkeys(name for name in touched if name != OUTSIDE))
        first = next(iter(_rows(newer, *codes[0][3:])), codes[0][3])
        hunks.append(
            Hunk(place, lines, _section(newer, first), names, not set(names) & set(old_places))
        )
    return hunks


def _rows(lines: list[str], start: int, stop: int) -> list[int]:
    """Return the numbers of the lines of a part that are not blank."""
    return [row for row in range(start, stop) if lines[row].strip()]


def _section(lines: list[str], row: int) -> str:
    """Return the first word of the last banner before a line."""
    banners = [found[1] for line in lines[:row] if (found := BANNER.match(line))]
    return banners[-1] if banners else ""


def _whole_file(lines: list[str], places: list[str]) -> list[Hunk]:
    """Return a hunk for each function or class, and for what is before and after them all."""
    hunks: list[Hunk] = []
    for place, group in itertools.groupby(range(len(lines)), key=lambda row: places[row]):
        rows = list(group)
        text = "\n".join(lines[row] for row in rows).strip("\n")
        if text:
            name = LAST if hunks and place == OUTSIDE else place
            added = tuple(f"+{line}" for line in text.split("\n"))
            names = () if place == OUTSIDE else (place,)
            hunks.append(Hunk(name, added, _section(lines, rows[0]), names, True))
    return hunks


def _body(number: int) -> list[str]:
    """Return the lines of a stage's server after its docstring."""
    text = read_server(number)
    return split_docstring(text, label(number))[1].splitlines() if text else []


def _places(lines: list[str]) -> list[str]:
    """Return, for each line, the top-level function or class that it belongs to, or OUTSIDE."""
    places = [OUTSIDE] * len(lines)
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            for row in range(first - 1, node.end_lineno or node.lineno):
                places[row] = node.name
    return places


def _place_of(places: list[str], lines: list[str], start: int, stop: int) -> str:
    """Return the place of the first line that is not blank, or nothing if all are."""
    rows = _rows(lines, start, stop)
    return next((places[row] for row in rows if places[row] != OUTSIDE), OUTSIDE if rows else "")


def _hunk_lines(
    codes: list[tuple[str, int, int, int, int]],
    older: list[str],
    newer: list[str],
    edge: int,
    limit: int,
) -> tuple[str, ...]:
    """Return the lines of a hunk, with the context before, between and after its changes.

    The context begins at line `edge`, or later, and ends before line `limit`.
    """
    first, last = codes[0], codes[-1]
    lines = [f" {line}" for line in newer[max(edge, first[3] - CONTEXT) : first[3]]]
    at = first[3]
    for _, i1, i2, j1, j2 in codes:
        lines += [f" {line}" for line in newer[at:j1]]
        lines += [f"-{line}" for line in older[i1:i2]]
        if j1 < j2 and not newer[j1].strip():
            lines.append(" ")
        while j1 < j2 and not newer[j1].strip():  # New lines begin with text.
            j1 += 1
        lines += [f"+{line}" for line in newer[j1:j2]]
        at = j2
    lines += [f" {line}" for line in newer[last[4] : min(limit, last[4] + CONTEXT)]]
    while lines and not lines[0][1:].strip():
        del lines[0]
    while lines and not lines[-1][1:].strip():
        del lines[-1]
    return tuple(lines)


def step(number: int, reasons: Mapping[str, str]) -> View:
    """Show what stage `number` changes in the server before it, hunk by hunk, with the reasons.

    A key of `reasons` is the name of the function or class that is changed, or a part of the
    changed lines; the value says why. Raises LessonError unless every hunk has a reason and every
    reason has a hunk, so that a lesson can't fall behind the servers.
    """
    check_kind(reasons, Mapping, 'a dictionary, such as {"build_head": "why"}')
    hunks = step_hunks(number)
    places = {hunk.place for hunk in hunks}
    given = {
        hunk: [
            key for key in reasons if (key == hunk.place if key in places else key in hunk.changed)
        ]
        for hunk in hunks
    }
    bare = [f"{hunk.place}: {hunk.changed[:200]!r}" for hunk, keys in given.items() if not keys]
    used = {key for keys in given.values() for key in keys}
    idle = [key for key in reasons if key not in used]
    if bare or idle:
        problems = [f"no reason for the change in {each}" for each in bare]
        problems += [f"no change contains {key!r}" for key in idle]
        raise LessonError(f"step {number}: " + "; ".join(problems))
    shown: set[str] = set()
    parts, texts = [], []
    for hunk, keys in given.items():
        why = " ".join(reasons[key] for key in keys if key not in shown)
        shown.update(keys)
        parts.append(_hunk_html(hunk, why))
        texts.append("\n".join([f"@ {hunk.where}", *filter(None, [why]), *hunk.lines]))
    return View("\n".join(parts), "\n\n".join(texts))


def _hunk_html(hunk: Hunk, why: str) -> str:
    """Return a hunk as HTML: where, why, and the lines."""
    kinds = {"+": "added", "-": "removed", " ": "plain"}
    lines = [
        span(html.escape(line), COLOURS[kinds[line[0]]] or COLOURS["note"]) for line in hunk.lines
    ]
    place = prose(hunk.where[0].upper() + hunk.where[1:])
    heading = f"<strong>{place}.</strong> {prose(why)}".rstrip()
    style = f"{PRE};white-space:pre;margin-bottom:14px"  # Long lines of code are not wrapped.
    return f'<p>{heading}</p><pre style="{style}">' + "\n".join(lines) + "</pre>"

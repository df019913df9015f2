"""The step from one stage to the next, drawn from the two files, each change with its reason."""

from __future__ import annotations

import ast
import difflib
import html
import itertools
from collections.abc import Mapping
from dataclasses import dataclass

from tester.ladder import label, read_server, split_docstring
from tester.lesson.servers import LessonError, find_stage
from tester.lesson.views import COLOURS, GREY, PRE, View, prose, span

CONTEXT = 2  # Lines shown around a change.
OUTSIDE = "at the top of the file"
LAST = "at the end of the file"


@dataclass(frozen=True)
class Hunk:
    """A change in one place: a function, a class, or what stands outside of both."""

    place: str
    lines: tuple[str, ...]
    """Each begins with `+`, `-` or a space, as in any diff."""

    @property
    def changed(self) -> str:
        """The lines that are new or gone, without their signs."""
        return "\n".join(line[1:] for line in self.lines if line[0] in "+-")


def step_hunks(number: int) -> list[Hunk]:
    """Return the changes from the stage before to stage `number`, but for the module's docstring.

    Two changes within one function, or side by side, are one hunk. Of the first stage all is new:
    there, each function is a hunk. Raises LessonError where there is no such stage.
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
    return [Hunk(place, _hunk_lines(codes, older, newer)) for place, codes in groups]


def _whole_file(lines: list[str], places: list[str]) -> list[Hunk]:
    """Return a hunk for each function or class, and for what stands before and after them all."""
    hunks: list[Hunk] = []
    for place, rows in itertools.groupby(zip(places, lines, strict=True), key=lambda row: row[0]):
        text = "\n".join(line for _, line in rows).strip("\n")
        if text:
            name = LAST if hunks and place == OUTSIDE else place
            hunks.append(Hunk(name, tuple(f"+{line}" for line in text.split("\n"))))
    return hunks


def _body(number: int) -> list[str]:
    """Return the lines of a stage's server after its docstring."""
    text = read_server(number)
    return split_docstring(text, label(number))[1].splitlines() if text else []


def _places(lines: list[str]) -> list[str]:
    """Return, line by line, the top-level function or class that it belongs to, or OUTSIDE."""
    places = [OUTSIDE] * len(lines)
    for node in ast.parse("\n".join(lines)).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            first = min([node.lineno, *(each.lineno for each in node.decorator_list)])
            for row in range(first - 1, node.end_lineno or node.lineno):
                places[row] = node.name
    return places


def _place_of(places: list[str], lines: list[str], start: int, stop: int) -> str:
    """Return the place of the first line that is not blank, or nothing where there is none."""
    rows = [row for row in range(start, stop) if lines[row].strip()]
    return next((places[row] for row in rows if places[row] != OUTSIDE), OUTSIDE if rows else "")


def _hunk_lines(
    codes: list[tuple[str, int, int, int, int]], older: list[str], newer: list[str]
) -> tuple[str, ...]:
    """Return the lines of a hunk, with the context before, between and after its changes."""
    first, last = codes[0], codes[-1]
    lines = [f" {line}" for line in newer[max(0, first[3] - CONTEXT) : first[3]]]
    at = first[3]
    for _, i1, i2, j1, j2 in codes:
        lines += [f" {line}" for line in newer[at:j1]]
        lines += [f"-{line}" for line in older[i1:i2]]
        while j1 < j2 and not newer[j1].strip():  # What is new begins with its first words.
            j1 += 1
        lines += [f"+{line}" for line in newer[j1:j2]]
        at = j2
    lines += [f" {line}" for line in newer[last[4] : last[4] + CONTEXT]]
    while lines and not lines[0][1:].strip():
        del lines[0]
    while lines and not lines[-1][1:].strip():
        del lines[-1]
    return tuple(lines)


def step(number: int, reasons: Mapping[str, str]) -> View:
    """Show what stage `number` changes in the server before it, hunk by hunk, with the reasons.

    A key of `reasons` is the name of the function or class that is changed, or a piece of the
    changed lines; the value says why. Every hunk needs a reason, and every reason a hunk, or
    LessonError is raised: so a lesson can't fall behind the servers.
    """
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
        problems += [f"no change has {key!r} in it" for key in idle]
        raise LessonError(f"step {number}: " + "; ".join(problems))
    shown: set[str] = set()
    parts, texts = [], []
    for hunk, keys in given.items():
        why = " ".join(reasons[key] for key in keys if key not in shown)
        shown.update(keys)
        parts.append(_hunk_html(hunk, why))
        texts.append("\n".join([f"@ {hunk.place}", *filter(None, [why]), *hunk.lines]))
    return View("\n".join(parts), "\n\n".join(texts))


def _hunk_html(hunk: Hunk, why: str) -> str:
    """Return a hunk as HTML: where, why, and the lines."""
    kinds = {"+": "added", "-": "removed", " ": "plain"}
    lines = [
        span(html.escape(line), COLOURS[kinds[line[0]]] or f"color:{GREY}") for line in hunk.lines
    ]
    outside = hunk.place in (OUTSIDE, LAST)
    place = hunk.place if outside else f"in <code>{html.escape(hunk.place)}</code>"
    heading = f"<strong>{place[0].upper()}{place[1:]}.</strong> {prose(why)}".rstrip()
    return f'<p>{heading}</p><pre style="{PRE};margin-bottom:14px">' + "\n".join(lines) + "</pre>"

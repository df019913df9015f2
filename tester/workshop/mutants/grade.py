"""Breaks the eighteen servers in small ways, one at a time, and sees which check notices it.

`python -m tester.mutants [STAGE ...] [--parallel N] [--whole] [--verbose]`, or `make mutants`.

A mutant is a stage's server with one change:

- comparison: `==` and `!=`, `<` and `<=`, `>` and `>=`, `in` and `not in`, `is` and `is not`
  swapped
- condition: that of an `if`, `while`, `assert` or comprehension negated; a `not` taken away
- boolean: `and` and `or` swapped
- constant: a number one larger; True and False swapped; a text without its first or last letter
- pattern: in a raw text, `+` and `*` swapped; `?`, `^`, `$` and `(?i)` taken away; `[^` and `[`,
  `(?=` and `(?!` swapped; a letter of a class taken away; a range one letter shorter at an end
- arithmetic: `+` and `-`, `*` and `//`, `&` and `|` swapped; `%` made `*`; a sign taken away
- statement: an expression, assignment, `raise`, `break` or `continue` dropped; a value not returned

At each stage, those lines are changed which that stage brings or changes, and the grade is that
stage's: so each line of the ladder is broken once, where it is taught. What survives there has a
second grade, at the last stage that still has the line: some lines are there for what comes later.
With `--whole`, stage 18 is broken in every line. A mutant is killed if any check fails, requirement
or edge case, or if it does not start. All that survive must stand in `mutants_equivalent.txt`, each
under a reason why no client can see a difference, or why HTTP leaves it open.

Not broken, as no rule asks for it: docstrings, annotations and imports; whatever only the operator
sees (the function `log`, what goes to standard error, `help` and `usage` of the command line, the
words of errors that no client gets); in a status, the words after the number, but for `200 OK` and
`404 Not Found`, which stages 3 and 4 ask for; and names that Python takes for the same encoding.
"""

from __future__ import annotations

import argparse
import ast
import codecs
import collections
import difflib
import functools
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tester.arguments import OneLineParser
from tester.grading import RULES, stop_on_signals
from tester.ladder import ROOT, STAGES, comment_spans, get_stage, read_server, read_stages

LIMIT = 60.0  # Seconds that the grade of a mutant may take: it hangs, and that is noticed, too.
GRACE = 15.0  # Seconds that a grade has to stop what it has started.
PARALLEL = (os.cpu_count() or 1) + 2  # Grades mostly wait.

# --- What can be broken ---------------------------------------------------------------------------

COMPARISONS = {
    **{"==": "!=", "!=": "==", "<": "<=", "<=": "<", ">": ">=", ">=": ">"},
    **{"in": "not in", "not in": "in", "is": "is not", "is not": "is"},
}
COMPARISON = re.compile(r"not\s+in|is\s+not|[=!<>]=|[<>]|in\b|is\b")
ARITHMETIC = {"+": "-", "-": "+", "*": "//", "//": "*", "%": "*", "&": "|", "|": "&"}
NEGATED = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)  # When swapped.
LITERAL = re.compile(rb"""(?s)(?P<prefix>[a-zA-Z]*)(?P<quote>["'])(?P<text>.*)(?P=quote)""")
LETTER = re.compile(rb"(?s)\{\{|\}\}|\\(?:x..|u....|.)|[^\x80-\xbf][\x80-\xbf]*")
FIELD = re.compile(rb"(\{\{|\}\})|\{[^{}]*\}")  # Of an f-string; or a brace that is text.
STATUS = re.compile(rb"[1-5][0-9][0-9] (?!OK$|Not Found$)")
PATTERN_PART = re.compile(r"\[\^?(?:\\.|[^\]\\])+\]|\\.|\(\?(?:[a-z]+\)|<?[:=!])|.", re.DOTALL)
PATTERN_SWAPS = {
    **{"+": "*", "*": "+", "?": "", "^": "", "$": "", "(?i)": ""},
    **{"(?=": "(?!", "(?!": "(?=", "(?<=": "(?<!", "(?<!": "(?<="},
}
CLASS_LETTER = r"\\x..|\\.|."
CLASS_ITEM = re.compile(rf"(?P<first>{CLASS_LETTER})(?:-(?P<last>{CLASS_LETTER}))?")
OPERATOR_ONLY = ("log", "parser.error", "sys.stderr.write", "traceback.print_exc")
OPERATOR_WORDS = ("help", "usage", "description")
DROPPED = (ast.Assign, ast.AugAssign, ast.Raise, ast.Break, ast.Continue)


Change = tuple[str, str, str, int]
"""A function, the first line that is changed there, what it is changed to, without comments, and
where, if the function has such a line more than once: 1 is its first place."""


@dataclass(frozen=True)
class Mutant:
    """A stage's server with one change."""

    stage: int
    kind: str
    function: str
    """The function that holds the change; empty outside of all functions."""
    before: str
    """The changed line, or lines."""
    after: str
    text: str
    """The whole program."""
    place: int = 1
    """How many times the same change could be made in this function so far, with this one."""

    @property
    def change(self) -> Change:
        """What it is known by, whatever is edited elsewhere in the server."""
        return self.function, first_line(self.before), first_line(self.after), self.place

    @property
    def diff(self) -> str:
        """The change, as one reads it, and as it stands in the list of equivalents."""
        function, before, after, place = self.change
        where = f", in {function}" if function else ""
        where += f", place {place}" if place > 1 else ""
        return f"stage {self.stage}{where}\n- {before}\n+ {after}"


def first_line(text: str) -> str:
    """`"a = [  # one\n    1]"` -> `"a = ["`."""
    return re.sub("  #.*", "", text.split("\n")[0])


class Finder(ast.NodeVisitor):
    """Finds all that can be broken in a program."""

    def __init__(self, source: str) -> None:
        """Look through `source`. Raises SyntaxError."""
        self.source = source.encode()
        self.starts = [0]
        for row in self.source.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(row))
        self.functions: list[str] = []
        self.found: list[tuple[str, str, int, int, bytes]] = []
        """Kind, function, where the replaced bytes begin and end, and what replaces them."""
        self.visit(ast.parse(source))

    def span(self, node: ast.AST) -> tuple[int, int]:
        """Return where `node` begins and ends in `source`, in bytes."""
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def piece(self, node: ast.AST) -> bytes:
        """Return the text of `node`."""
        start, end = self.span(node)
        return self.source[start:end]

    def add(self, kind: str, start: int, end: int, text: bytes) -> None:
        """Note that `text` may replace the bytes from `start` to `end`."""
        function = self.functions[-1] if self.functions else ""
        self.found.append((kind, function, start, end, text))

    # What is left alone, and where we are

    def visit(self, node: ast.AST) -> None:
        """Look at a node and all below it."""
        self.drop(node)
        super().visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Look at defaults and body, not at annotations."""
        if node.name in OPERATOR_ONLY:
            return
        self.functions.append(node.name)
        for part in (*node.args.defaults, *filter(None, node.args.kw_defaults), *node.body):
            self.visit(part)
        self.functions.pop()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        """Look at the value alone."""
        if node.value is not None:
            self.add("statement", *self.span(node), b"pass")
            self.visit(node.value)

    def visit_Expr(self, node: ast.Expr) -> None:
        """Pass over docstrings."""
        if not isinstance(node.value, ast.Constant):
            self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        """Pass over imports."""

    visit_ImportFrom = visit_Import

    def visit_Call(self, node: ast.Call) -> None:
        """Pass over words for the operator."""
        if not is_for_operator(node):
            self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        """Pass over words for the operator."""
        if node.arg not in OPERATOR_WORDS:
            self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        """Pass over the words of errors, unless they are sent."""
        if isinstance(node.exc, ast.Call) and ast.unparse(node.exc.func) == "HTTPError":
            self.generic_visit(node)

    # What is broken

    def drop(self, node: ast.AST) -> None:
        """Drop a statement."""
        if isinstance(node, ast.Return) and not is_none(node.value):
            self.add("statement", *self.span(node), b"return None")
        elif isinstance(node, (*DROPPED, ast.Return)) or (
            isinstance(node, ast.Expr)
            and not isinstance(node.value, ast.Constant)
            and not is_for_operator(node.value)
        ):
            self.add("statement", *self.span(node), b"pass")

    def negate(self, test: ast.expr) -> None:
        """Negate a condition, unless another change comes to the same."""
        swapped = isinstance(test, ast.Compare) and isinstance(test.ops[0], NEGATED)
        removed = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        if not (swapped or removed or isinstance(test, ast.Constant)):
            self.add("condition", *self.span(test), b"not (" + self.piece(test) + b")")

    def visit_If(self, node: ast.If | ast.While | ast.IfExp | ast.Assert) -> None:
        """Negate its condition."""
        self.negate(node.test)
        self.generic_visit(node)

    visit_While = visit_IfExp = visit_Assert = visit_If

    def visit_comprehension(self, node: ast.comprehension) -> None:
        """Negate its conditions."""
        for test in node.ifs:
            self.negate(test)
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        """Take a `not` or a sign away."""
        kind = "condition" if isinstance(node.op, ast.Not) else "arithmetic"
        self.add(kind, *self.span(node), b"(" + self.piece(node.operand) + b")")
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        """Swap each comparison."""
        sides = [node.left, *node.comparators]
        for left, right in zip(sides, sides[1:], strict=False):
            self.swap("comparison", COMPARISON, COMPARISONS, left, right)
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        """Swap each `and` and `or`."""
        for left, right in zip(node.values, node.values[1:], strict=False):
            names = {"and": "or", "or": "and"}
            self.swap("boolean", re.compile(r"and\b|or\b"), names, left, right)
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        """Swap an arithmetic operator."""
        if not isinstance(node.op, ast.Pow):
            self.swap("arithmetic", re.compile(r"//|[-+*%&|]"), ARITHMETIC, node.left, node.right)
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        """Swap an arithmetic operator."""
        self.swap("arithmetic", re.compile(r"[-+*%&|]"), ARITHMETIC, node.target, node.value)
        self.generic_visit(node)

    def swap(
        self,
        kind: str,
        pattern: re.Pattern[str],
        names: dict[str, str],
        left: ast.expr,
        right: ast.expr,
    ) -> None:
        """Replace the operator that stands between `left` and `right`."""
        start = self.span(left)[1]
        between = self.source[start : self.span(right)[0]].decode("latin-1")
        if match := pattern.search(between):
            swapped = names[" ".join(match[0].split())]
            self.add(kind, start + match.start(), start + match.end(), swapped.encode())

    def visit_Constant(self, node: ast.Constant) -> None:
        """Change a constant."""
        start, end = self.span(node)
        if isinstance(node.value, bool):
            self.add("constant", start, end, str(not node.value).encode())
        elif isinstance(node.value, int | float):
            self.add("constant", start, end, f"{node.value + 1:g}".encode())
        elif isinstance(node.value, str | bytes) and (match := LITERAL.fullmatch(self.piece(node))):
            self.change_text(match["prefix"], match["text"], start + match.start("text"))

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None:
        """Change each piece of text, and the expressions between them."""
        if match := LITERAL.fullmatch(self.piece(node)):
            start = self.span(node)[0] + match.start("text")
            hidden = FIELD.sub(lambda field: field[1] or b"\0" * len(field[0]), match["text"])
            for part in re.finditer(rb"[^\0]+", hidden):
                self.change_text(match["prefix"], part[0], start + part.start())
        for value in node.values:
            if isinstance(value, ast.FormattedValue) and self.stands_there(value.value):
                self.visit(value.value)

    def stands_there(self, node: ast.expr) -> bool:
        """Whether `node` is where it says: before Python 3.12 not all in an f-string is."""
        try:
            there = ast.parse(self.piece(node).strip(), mode="eval").body
        except SyntaxError:
            return False
        return ast.dump(there) == ast.dump(node)

    def change_text(self, prefix: bytes, text: bytes, start: int) -> None:
        """Change a text, of which `text` is the part between the quotes that begins at `start`."""
        if b"r" in prefix.lower():
            for first, last, new in pattern_changes(text.decode("latin-1")):
                if b"f" in prefix.lower():  # There, a brace that is text is written twice.
                    new = re.sub(r"[{}]", r"\g<0>\g<0>", new)
                self.add("pattern", start + first, start + last, new.encode("latin-1"))
            return
        letters = list(LETTER.finditer(text))
        if not letters:
            self.add("constant", start, start, b"X")
        for letter in letters[:1] if STATUS.match(text) else (letters[:1] + letters[1:][-1:]):
            if not same_encoding(text, text[: letter.start()] + text[letter.end() :]):
                self.add("constant", start + letter.start(), start + letter.end(), b"")


def pattern_changes(pattern: str) -> Iterator[tuple[int, int, str]]:
    """Yield where a piece of a pattern begins and ends, and what may stand there instead."""
    for part in PATTERN_PART.finditer(pattern):
        if part[0] in PATTERN_SWAPS:
            yield *part.span(), PATTERN_SWAPS[part[0]]
        elif part[0].startswith("["):
            for first, last, new in class_changes(part[0]):
                yield part.start() + first, part.start() + last, new


def class_changes(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield the same for a class: `[^a-c-]` -> `[a-c-]`, `[^b-c-]`, `[^a-b-]`, `[^a-c]`."""
    opening = "[^" if text.startswith("[^") else "["
    yield 0, len(opening), "[" if opening == "[^" else "[^"
    for item in CLASS_ITEM.finditer(text, len(opening), len(text) - 1):
        if item["last"] is None:
            yield *item.span(), ""
            continue
        yield *item.span(), f"{neighbour(item['first'], 1)}-{item['last']}"
        yield *item.span(), f"{item['first']}-{neighbour(item['last'], -1)}"


def neighbour(letter: str, step: int) -> str:
    """Return the letter that stands `step` after this one, both as a class of a pattern has it."""
    number = int(letter[2:], 16) if letter.startswith(r"\x") else ord(letter[-1])
    return re.escape(chr(number + step)) if number < 128 else rf"\x{number + step:02x}"


def same_encoding(one: bytes, other: bytes) -> bool:
    """Whether both name the same encoding: Python takes `latin-` for `latin-1`."""
    try:
        names = {codecs.lookup(name.decode()).name for name in (one, other)}
    except (LookupError, ValueError):
        return False
    return len(names) == 1


def is_none(value: ast.expr | None) -> bool:
    """Whether `return value` returns None."""
    return value is None or (isinstance(value, ast.Constant) and value.value is None)


def is_for_operator(node: ast.expr) -> bool:
    """Whether `node` is a call that tells something to the operator alone."""
    if not isinstance(node, ast.Call):
        return False
    name = ast.unparse(node.func)
    to_file = any(keyword.arg == "file" for keyword in node.keywords)
    return name in OPERATOR_ONLY or (name == "print" and to_file)


def rows_that_are_new(stage: int) -> set[int]:
    """Return the numbers of the lines that `stage` brings or changes; comments do not count."""
    older, newer = (comparable(read_server(number)) for number in (stage - 1, stage))
    matcher = difflib.SequenceMatcher(None, older, newer, autojunk=False)
    changes = (block for block in matcher.get_opcodes() if block[0] != "equal")
    return {row + 1 for *_, first, last in changes for row in range(first, last)}


def comparable(source: str) -> list[str]:
    """Return the lines of `source` without comments, so that a new remark makes no new line."""
    rows = source.split("\n")
    for (row, left), _ in comment_spans(source):
        rows[row] = rows[row][:left].rstrip()
    return rows


@functools.cache
def find_mutants(stage: int, *, whole: bool = False) -> tuple[Mutant, ...]:
    """Return the mutants of the lines that `stage` brings, or of its `whole` server.

    Raises LadderError where there is no such stage.
    """
    get_stage(stage)
    source = read_server(stage)
    return mutate(stage, source, None if whole else rows_that_are_new(stage))


def mutate(stage: int, source: str, rows: set[int] | None = None) -> tuple[Mutant, ...]:
    """Return the mutants of `source`: those of the lines with these numbers, or all."""
    finder = Finder(source)
    whole, mutants, places = finder.source, {}, collections.Counter()
    for kind, function, start, end, new in sorted(finder.found, key=lambda found: found[2:]):
        text = (whole[:start] + new + whole[end:]).decode(errors="replace")
        if text == source or text in mutants:
            continue
        row = whole.count(b"\n", 0, start) + 1
        first, last = finder.starts[row - 1], whole.index(b"\n", end)
        sides = (whole[first:last], whole[first:start] + new + whole[end:last])
        before, after = (side.decode(errors="replace").strip() for side in sides)
        mutant = Mutant(stage, kind, function, before, after, text)
        places[mutant.change] += 1
        mutants[text] = row, replace(mutant, place=places[mutant.change])
    return tuple(mutant for row, mutant in mutants.values() if rows is None or row in rows)


# --- Which may survive ----------------------------------------------------------------------------

EQUIVALENT = Path(__file__).with_name("mutants_equivalent.txt")
ENTRY = re.compile(r"stage (\d+)(?:, in (\w+))?(?:, place (\d+))?\n- (.*)\n\+ (.*)")


@dataclass(frozen=True)
class Equivalent:
    """A change that makes no difference, from a stage on."""

    stage: int
    change: Change
    why: str


@functools.cache
def read_equivalents(path: Path = EQUIVALENT) -> tuple[Equivalent, ...]:
    """Return the list of changes that make no difference. Raises ValueError and OSError.

    Its paragraphs are remarks, which begin with `#`, and reasons, which begin with `Why:`, each
    followed by the diffs that it holds for.
    """
    found, why = [], ""
    for paragraph in path.read_text(encoding="utf-8").strip().split("\n\n"):
        if paragraph.startswith("# "):
            continue
        if paragraph.startswith("Why: "):
            why = " ".join(paragraph.removeprefix("Why: ").split())
        elif entry := ENTRY.fullmatch(paragraph):
            stage, function, place, before, after = entry.groups("")
            change = (function, before, after, int(place or 1))
            found.append(Equivalent(int(stage), change, why))
        else:
            raise ValueError(f"{path.name}: this is neither a reason nor a diff:\n{paragraph}")
    return tuple(found)


def reason(mutant: Mutant) -> str:
    """Return why no check can kill `mutant`; empty if nobody has said so."""
    return next((one.why for one in read_equivalents() if matches(one, mutant)), "")


def matches(equivalent: Equivalent, mutant: Mutant) -> bool:
    """Whether the list means this mutant."""
    return mutant.stage >= equivalent.stage and mutant.change == equivalent.change


# --- Who notices it -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Outcome:
    """What the grade of a program came to."""

    killer: str
    """The check that failed first, or why there was no grade; empty: all have passed."""
    hung: bool = False
    """Whether the grade had to be broken off."""
    late: bool = False
    """Whether it was killed at a later stage, not at its own."""


def grade(stage: int, text: str, limit: float = LIMIT) -> Outcome:
    """Grade the program `text` at `stage`, up to the first check that fails.

    It is a pytest of its own, with the checks of the stage itself first: those notice most.
    Raises RuntimeError if pytest itself fails.
    """
    rules = [str(get_stage(number).rules) for number in range(stage, 0, -1)]
    options = ("-x", "-q", "-rf", "--tb=no", "--assert=plain", "-p", "no:cacheprovider")
    with tempfile.TemporaryDirectory(prefix="http-tester-mutant-") as folder:
        path = Path(folder, "server.py")
        path.write_text(text, encoding="utf-8")
        where = ("--rootdir", str(RULES), "-c", os.devnull, "--stage", str(stage), "--attempt")
        command = (sys.executable, "-m", "pytest", *options, *where, str(path), *rules)
        with subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                output, _ = process.communicate(timeout=limit)
            except subprocess.TimeoutExpired:
                stop(process)
                return Outcome("the grade did not end", hung=True)
    if process.returncode == pytest.ExitCode.OK:
        return Outcome("")
    if process.returncode == pytest.ExitCode.USAGE_ERROR and "the attempt" in output:
        return Outcome("it did not start")
    if process.returncode != pytest.ExitCode.TESTS_FAILED:
        raise RuntimeError(f"pytest ended with {process.returncode}:\n{output[-2000:]}")
    return Outcome(re.findall(r"^FAILED \S*::(\w+)", output, re.MULTILINE)[0])


def grade_twice(mutant: Mutant) -> Outcome:
    """Grade `mutant` at its own stage and, if it survives, at the last one that has the line."""
    outcome = grade(mutant.stage, mutant.text)
    later = None if outcome.killer else last_form(mutant)
    return outcome if later is None else replace(grade(later.stage, later.text), late=True)


def last_form(mutant: Mutant) -> Mutant | None:
    """Return the same change at the last stage where it can be made; None if that is its own."""
    for stage in range(len(STAGES), mutant.stage, -1):
        if mutant.change in changes(stage):
            return changes(stage)[mutant.change]
    return None


@functools.cache
def changes(stage: int) -> dict[Change, Mutant]:
    """Return all mutants of the whole server of `stage` by their changes."""
    return {mutant.change: mutant for mutant in find_mutants(stage, whole=True)}


def stop(process: subprocess.Popen[str]) -> None:
    """Stop a grade as Ctrl-C does, so that it stops the server, too."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        process.kill()


# --- The command ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tally:
    """What became of the mutants of one stage."""

    name: str
    outcomes: tuple[tuple[Mutant, Outcome], ...]

    @property
    def survivors(self) -> list[Mutant]:
        """Those that no check has noticed."""
        return [mutant for mutant, outcome in self.outcomes if not outcome.killer]

    @property
    def unexplained(self) -> list[Mutant]:
        """Survivors for which nobody has given a reason."""
        return [mutant for mutant in self.survivors if not reason(mutant)]

    @property
    def row(self) -> str:
        """How many were killed, how many not, in a table's row."""
        total, left = len(self.outcomes), len(self.survivors)
        late = sum(outcome.late for _, outcome in self.outcomes if outcome.killer)
        hung = sum(outcome.hung for _, outcome in self.outcomes)
        share = f"{100 * (total - left) / max(1, total):.1f} %"
        known = left - len(self.unexplained)
        cells = (self.name, total, total - left, share, late, hung, known, left - known)
        return f"| {' | '.join(map(str, cells))} |"


HEADER = """\
| stage | mutants | killed | share | at a later stage | by hanging | equivalent | unexplained |
| --- | --- | --- | --- | --- | --- | --- | --- |"""


def grade_all(name: str, mutants: Sequence[Mutant], pool: ThreadPoolExecutor) -> Tally:
    """Grade `mutants`, several at a time. Raises RuntimeError if a sound server is not passed."""
    stage = mutants[0].stage
    if sound := grade(stage, read_server(stage)).killer:
        raise RuntimeError(f"stage {stage}: our own server does not pass: {sound}")
    return Tally(name, tuple(zip(mutants, pool.map(grade_twice, mutants), strict=True)))


def remarks(tally: Tally) -> Iterator[str]:
    """Yield what is to be done about survivors, and about the list.

    An entry whose mutant hangs is no matter: on a faster machine its grade ends.
    """
    for mutant in tally.unexplained:
        yield f"\nsurvived: {mutant.diff}"
    for equivalent in read_equivalents():
        meant = [pair for pair in tally.outcomes if matches(equivalent, pair[0])]
        if meant and all(outcome.killer and not outcome.hung for _, outcome in meant):
            yield f"\nlisted as equivalent, killed by {meant[0][1].killer}: {meant[0][0].diff}"


def stale(stages: Iterable[int]) -> list[Equivalent]:
    """Return the entries of the list for `stages` that are no mutants any more."""
    mutants = [mutant for stage in stages for mutant in find_mutants(stage)]
    return [
        one
        for one in read_equivalents()
        if one.stage in stages and not any(matches(one, mutant) for mutant in mutants)
    ]


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for. Leaves with exit code 2 if that makes no sense."""
    parser = OneLineParser(prog="python -m tester.mutants", description=__doc__)
    parser.add_argument("--whole", action="store_true", help="stage 18 in every line, too")
    parser.add_argument("--verbose", action="store_true", help="tell which check killed each")
    return read_stages(parser, arguments, PARALLEL)


def main(arguments: Sequence[str] | None = None) -> int:
    """Grade all mutants and tell what became of them; return 1 if one lives without a reason."""
    options = read_arguments(arguments)
    work = [(str(stage), find_mutants(stage)) for stage in options.stages]
    if options.whole:
        work.append(("18, whole", find_mutants(len(STAGES), whole=True)))
    began, tallies, pool = time.monotonic(), [], ThreadPoolExecutor(options.parallel)
    try:
        for name, mutants in work:
            tallies.append(grade_all(name, mutants, pool))
            print(tallies[-1].row, *remarks(tallies[-1]), sep="\n", flush=True)
            if options.verbose:
                for mutant, outcome in tallies[-1].outcomes:
                    print(f"\n{outcome.killer or 'survived'}: {mutant.diff}", flush=True)
    finally:
        pool.shutdown(cancel_futures=True)
    for one in stale(options.stages):
        print(f"\nlisted as equivalent, but no mutant any more: {one.stage}, {one.change}")
    outcomes = tuple(pair for tally in tallies for pair in tally.outcomes)
    print(f"\n{HEADER}", *(tally.row for tally in tallies), Tally("all", outcomes).row, sep="\n")
    print(f"{len(outcomes)} grades in {time.monotonic() - began:.0f} s")
    return 1 if any(tally.unexplained for tally in tallies) else 0


if __name__ == "__main__":
    os.nice(10)  # Whoever works beside comes first.
    stop_on_signals()
    sys.exit(main())

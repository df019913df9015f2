"""Changes a program in one place, as a machine can."""

from __future__ import annotations

import ast
import codecs
import collections
import difflib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tester.ladder.stages import get_stage
from tester.ladder.steps import comment_spans, read_server

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

    def span(self, node: Any) -> tuple[int, int]:
        """Return where `node`, which has a place, begins and ends in `source`, in bytes."""
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
    whole, places = finder.source, collections.Counter[tuple[Any, ...]]()
    mutants: dict[str, tuple[int, Mutant]] = {}
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

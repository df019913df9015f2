"""Steps: the code lines of a server, the size of a step, the difference of two stages."""

from __future__ import annotations

import ast
import difflib
import io
import tokenize

from tester.ladder.stages import ROOT, LadderError, get_stage

Span = tuple[tuple[int, int], tuple[int, int]]
"""Where a piece of text begins and where it ends: row and column, both counted from 0."""


def docstring_spans(source: str) -> list[Span]:
    """Return where the docstrings of `source` stand. Raises SyntaxError."""
    rows = [row.encode() for row in source.split("\n")]
    spans = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if ast.get_docstring(node, clean=False) is None:
            continue
        text = node.body[0]
        start, end = text.lineno - 1, (text.end_lineno or text.lineno) - 1
        # ast counts columns in bytes, we count them in characters.
        left = len(rows[start][: text.col_offset].decode())
        right = len(rows[end][: text.end_col_offset].decode())
        spans.append(((start, left), (end, right)))
    return spans


def comment_spans(source: str) -> list[Span]:
    """Return where the comments of `source` stand. Raises tokenize.TokenError."""
    return [
        ((token.start[0] - 1, token.start[1]), (token.end[0] - 1, token.end[1]))
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]


def code_lines(source: str) -> list[str]:
    """Return the lines of `source` without blank lines, comments and docstrings.

    `'x = 1  # one'` -> `['x = 1']`. Raises SyntaxError where `source` is not Python.
    """
    rows = source.split("\n")
    spans = docstring_spans(source) + comment_spans(source)
    for (start, left), (end, right) in sorted(spans, reverse=True):
        rest = rows[end][right:]
        rows[start : end + 1] = [rows[start][:left] + rest] + [""] * (end - start)
    return [row.rstrip() for row in rows if row.strip()]


def read_server(number: int) -> str:
    """Return the text of a stage's server; stage 0 is the empty file that all begins with."""
    return get_stage(number).server.read_text(encoding="utf-8") if number else ""


def step_lines(number: int) -> tuple[list[str], list[str]]:
    """Return the code lines that stage `number` adds, and those that it removes."""
    get_stage(number)
    older, newer = code_lines(read_server(number - 1)), code_lines(read_server(number))
    changes = list(difflib.unified_diff(older, newer, n=0, lineterm=""))[2:]
    added = [line[1:] for line in changes if line.startswith("+")]
    removed = [line[1:] for line in changes if line.startswith("-")]
    return added, removed


def step_size(number: int) -> tuple[int, int]:
    """Return how many code lines stage `number` adds, and how many it removes."""
    added, removed = step_lines(number)
    return len(added), len(removed)


def label(number: int) -> str:
    """Return how a stage's server is named in a diff: `stages/07-…/server.py`."""
    return get_stage(number).server.relative_to(ROOT).as_posix() if number else "/dev/null"


def diff_text(older: int, newer: int) -> str:
    """Return the unified diff between the servers of two stages.

    Stage 0 stands for an empty file. Raises LadderError where there is no such stage.
    """
    lines = difflib.unified_diff(
        read_server(older).splitlines(keepends=True),
        read_server(newer).splitlines(keepends=True),
        label(older),
        label(newer),
    )
    return "".join(lines)


def split_docstring(text: str, where: str) -> tuple[str, str]:
    """Return the module docstring with what stands before it, and the rest of `text`.

    Raises LadderError where `text` is not Python.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise LadderError(f"{where} is not Python: line {error.lineno}: {error.msg}.") from None
    rows = text.splitlines(keepends=True)
    has_docstring = ast.get_docstring(tree) is not None
    end = (tree.body[0].end_lineno or 0) if has_docstring else 0
    return "".join(rows[:end]), "".join(rows[end:])

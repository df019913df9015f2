"""The eighteen stages: where they are, what each one teaches, and how a fix goes up the ladder.

    python -m tester.ladder map        writes stages/README.md
    python -m tester.ladder carry 7    makes the change in stage 7 in stages 8 to 18 as well

Imports nothing of the tester, so that every part of it can ask here.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import io
import re
import subprocess
import sys
import tempfile
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tester.arguments import OneLineParser

ROOT = Path(__file__).resolve().parent.parent
MAP = ROOT / "stages" / "README.md"

# --- The stages -----------------------------------------------------------------------------------


class LadderError(ValueError):
    """Something that can't be done, said in one line for the person who asked for it."""


@dataclass(frozen=True)
class Stage:
    """One step of the ladder: a folder with a server, its rules and its lesson."""

    number: int
    title: str
    learn: str
    """What one learns, in one sentence."""
    rfc: str
    """Where to read on: `RFC 9112 §2.2, RFC 9110 §8.6`."""

    @property
    def slug(self) -> str:
        """The number and title as a name: `07-respond-with-content`."""
        return f"{self.number:02}-{re.sub('[^a-z0-9]+', '-', self.title.lower())}"

    @property
    def folder(self) -> Path:
        """The stage's own folder."""
        return ROOT / "stages" / self.slug

    @property
    def server(self) -> Path:
        """The server that passes this stage."""
        return self.folder / "server.py"

    @property
    def rules(self) -> Path:
        """The file with the rules that this stage adds."""
        return ROOT / "tester" / "rules" / f"test_{self.slug.replace('-', '_')}.py"

    @property
    def lesson(self) -> Path:
        """The notebook that goes with this stage; there may be none yet."""
        return ROOT / "notebooks" / f"{self.slug}.ipynb"


STAGES: tuple[Stage, ...] = (
    Stage(
        1,
        "Bind to a Port",
        "How a program takes a TCP port and accepts clients, one after another.",
        "RFC 9110 §4.2.1, RFC 9112 §9.1",
    ),
    Stage(
        2,
        "Read Connection Data",
        "What a client really sends, and how to hang up so that nothing is lost.",
        "RFC 9112 §2.1, RFC 9112 §9.6",
    ),
    Stage(
        3,
        "Respond with 200 OK",
        "What a response is: a status line, an empty line and a body.",
        "RFC 9112 §4, RFC 9112 §2.2",
    ),
    Stage(
        4,
        "Return 404 Not Found",
        "How to read a request line, and how to say that there is no such page.",
        "RFC 9112 §3, RFC 9110 §15.5.5",
    ),
    Stage(
        5,
        "Extract the URL Path",
        "How to get from a request target to a path: cut first, then decode, once.",
        "RFC 9112 §3.2, RFC 3986 §2.1",
    ),
    Stage(
        6,
        "Implement Basic Routing",
        "How a table of functions takes the place of many ifs.",
        "RFC 9110 §4.2.3",
    ),
    Stage(
        7,
        "Respond with Content",
        "Why a length counts bytes, and how a client knows what it gets.",
        "RFC 9110 §8.6, RFC 9110 §8.3",
    ),
    Stage(
        8,
        "Parse Request Headers",
        "Why one `recv` is not one request, and how to read header fields strictly.",
        "RFC 9112 §5, RFC 9112 §3.2",
    ),
    Stage(
        9,
        "Send Response Headers",
        "What every response says about itself, and how dates are written.",
        "RFC 9110 §6.6.1, RFC 9112 §9.6",
    ),
    Stage(
        10,
        "Handle Concurrent Connections",
        "How a thread for each client, a limit and a deadline keep one from stopping all.",
        "RFC 9112 §9.4, RFC 9112 §9.5",
    ),
    Stage(
        11,
        "Parse Query Parameters",
        "How to read names and values: split first, decode afterwards.",
        "RFC 3986 §3.4",
    ),
    Stage(
        12,
        "Serve Files from a Directory",
        "How to send files of any size, and nothing from outside the folder.",
        "RFC 9110 §17.3",
    ),
    Stage(
        13,
        "Detect Content Types",
        "How a browser is told what a file is, so that it need not guess.",
        "RFC 9110 §8.3",
    ),
    Stage(
        14,
        "Handle POST Requests",
        "How to read a body piece by piece and store all of it or nothing; what methods mean.",
        "RFC 9110 §9, RFC 9112 §6",
    ),
    Stage(
        15,
        "Connection Keep-Alive",
        "How one connection serves many requests, and when it must end.",
        "RFC 9112 §9.3",
    ),
    Stage(
        16,
        "Support HTTP Compression",
        "How client and server agree on gzip, and what caches must know of it.",
        "RFC 9110 §8.4, RFC 9110 §12.5.3",
    ),
    Stage(
        17,
        "HTTP Pipelining",
        "How requests that arrive together are answered in order.",
        "RFC 9112 §9.3.2",
    ),
    Stage(
        18,
        "Chunked Transfer Encoding",
        "How to send and read a body when nobody knows its length beforehand.",
        "RFC 9112 §7.1, RFC 9112 §6.3",
    ),
)


def get_stage(number: int) -> Stage:
    """Return the stage with this number. Raises LadderError where there is none."""
    if not 1 <= number <= len(STAGES):
        raise LadderError(f"There is no stage {number}: the stages are 1 to {len(STAGES)}.")
    return STAGES[number - 1]


# --- How much a step changes ----------------------------------------------------------------------

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


# --- The map: stages/README.md --------------------------------------------------------------------

INTRODUCTION = """\
# The ladder

Eighteen servers in eighteen folders. Each one is the server before it plus one lesson. Almost no
line is moved or renamed on the way, so the difference between two neighbours is the lesson itself.

- Read a step: `make diff-07` shows what stage 7 adds to stage 6.
- Try it: `make serve-13` runs the server of stage 13, with the sample site in [public](public).
- Check it: `make stage-07` grades the server of stage 7; `make stage-07 ATTEMPT=my_server.py`
  grades yours.

Every `server.py` begins with what it can do, what it cannot do yet, what is new, and where the RFC
says so. Its parts stand under the same headings in all stages, so new lines are easy to find.

In the table, +8 −1 means: this step adds eight lines of code and removes one. Comments, docstrings
and blank lines are not counted. A step is small on purpose: type it yourself, do not copy it.

| Stage | You learn | Lines | Read | Files |
| --- | --- | --- | --- | --- |
"""
FOOTER = """
[Held against the RFCs](CONFORMANCE.md) lists what RFC 9112 and RFC 9110 ask of a server: for each
point the stage that teaches it, and the check that holds it.

This page is made by `python -m tester.ladder map`. Change it there.
"""


def rfc_links(references: str) -> str:
    """`RFC 9112 §4` -> the same words as a link to that section."""
    link = r"[\g<0>](https://www.rfc-editor.org/rfc/rfc\1#section-\2)"
    return re.sub(r"RFC (\d+) §(\d+(?:\.\d+)*)", link, references)


def map_row(stage: Stage) -> str:
    """Return the line of the map that tells about `stage`."""
    added, removed = step_size(stage.number)
    server, checks = f"{stage.slug}/server.py", f"../tester/rules/{stage.rules.name}"
    lesson = "lesson coming"
    if stage.lesson.exists():
        lesson = f"[lesson](../notebooks/{stage.lesson.name})"
    cells = (
        f"{stage.number}. [{stage.title}]({server})",
        stage.learn,
        f"+{added} −{removed}",
        rfc_links(stage.rfc),
        f"[server]({server}), [checks]({checks}), {lesson}",
    )
    return f"| {' | '.join(cells)} |\n"


def map_text() -> str:
    """Return what belongs in stages/README.md."""
    return INTRODUCTION + "".join(map_row(stage) for stage in STAGES) + FOOTER


def write_map() -> None:
    """Write stages/README.md anew. Raises OSError."""
    MAP.write_text(map_text(), encoding="utf-8")


# --- Carrying a fix up the ladder -----------------------------------------------------------------


def run_git(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run git in the repository and return what came of it. Raises LadderError without git."""
    command = ["git", "-C", str(ROOT), *arguments]
    try:
        return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise LadderError("This needs git, and there is none on your PATH.") from None


def ask_git(*arguments: str) -> str:
    """Return what git prints. Raises LadderError with git's own words if it fails."""
    answer = run_git(*arguments)
    if answer.returncode != 0:
        reason = answer.stderr.strip().rpartition("\n")[2]
        raise LadderError(f"git {arguments[0]} failed: {reason}")
    return answer.stdout


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


def merge(ours: str, base: str, theirs: str, number: int) -> tuple[str, int]:
    """Make the change from `base` to `theirs` in `ours`, which is the server of stage `number`.

    Returns the text, and the number of conflicts that are marked in it. Raises LadderError.
    """
    labels = (f"stage {number}", f"stage {number - 1} before", f"stage {number - 1} now")
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["merge-file", "-p"]
        for label_text in labels:
            arguments += ["-L", label_text]
        for name, text in (("ours", ours), ("base", base), ("theirs", theirs)):
            path = Path(folder, name)
            path.write_text(text, encoding="utf-8")
            arguments.append(str(path))
        answer = run_git(*arguments)
    if answer.returncode > 127:  # Up to 127, it is the number of conflicts.
        raise LadderError(f"git merge-file failed: {answer.stderr.strip()}")
    return answer.stdout, answer.returncode


def refuse_uncommitted(stages: Sequence[Stage]) -> None:
    """Raise LadderError if one of `stages` has changes that git could not bring back."""
    paths = [label(stage.number) for stage in stages]
    changes = ask_git("status", "--porcelain", "--", *paths).splitlines()
    if changes:
        raise LadderError(
            f"{changes[0][3:]} has changes that are not committed: commit or stash them first."
        )


def conflict_error(number: int, conflicts: int) -> LadderError:
    """Return the error that tells what to do about conflicts in stage `number`."""
    places = "1 conflict" if conflicts == 1 else f"{conflicts} conflicts"
    remaining = ", ".join(str(stage.number) for stage in STAGES[number:]) or "none"
    command = f"carry {number}" if STAGES[number:] else "map"
    return LadderError(
        f"{label(number)} has {places}, marked with <<<<<<<. Stages that remain: {remaining}. "
        f"Mend the file, then: python -m tester.ladder {command}"
    )


def carry(number: int, base_revision: str = "HEAD") -> list[int]:
    """Make the change in a stage's server, since `base_revision`, in all later stages.

    Module docstrings stay as they are: they are each stage's own. Returns the stages that were
    changed. Raises LadderError if later stages have uncommitted changes, and at the first
    conflict, which it leaves marked in the file.
    """
    get_stage(number)
    later = STAGES[number:]
    if not later:
        raise LadderError(f"Stage {number} is the last: there is nowhere to carry its changes.")
    refuse_uncommitted(later)
    committed = ask_git("show", f"{base_revision}:./{label(number)}")
    _, base = split_docstring(committed, f"{base_revision}:{label(number)}")
    _, theirs = split_docstring(read_server(number), label(number))
    if base == theirs:
        raise LadderError(f"{label(number)} has no change in its code since {base_revision}.")
    changed = []
    for stage in later:
        docstring, ours = split_docstring(read_server(stage.number), label(stage.number))
        merged, conflicts = merge(ours, base, theirs, stage.number)
        if merged != ours:
            stage.server.write_text(docstring + merged, encoding="utf-8")
            changed.append(stage.number)
        if conflicts:
            raise conflict_error(stage.number, conflicts)
        base, theirs = ours, merged
    return changed


# --- The commands ---------------------------------------------------------------------------------


def read_stages(
    parser: argparse.ArgumentParser, arguments: Sequence[str] | None, parallel: int
) -> argparse.Namespace:
    """Return what the command line of a program asks for that grades stages, several at a time.

    It takes STAGE ... and --parallel N, which is `parallel` unless told otherwise, beside all that
    `parser` knows. Leaves with exit code 2 if that makes no sense.
    """
    numbers = [stage.number for stage in STAGES]
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("stages", type=int, nargs="*", metavar="STAGE", help="all, if none is told")
    parser.add_argument("--parallel", type=int, default=parallel, metavar="N", help="at a time")
    options = parser.parse_args(arguments)
    options.stages = options.stages or numbers
    if not set(options.stages) <= set(numbers) or options.parallel < 1:
        parser.error("the stages are 1 to 18, and at least one grade runs at a time")
    return options


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for. Leaves with exit code 2 if that makes no sense."""
    parser = OneLineParser(prog="python -m tester.ladder", description="Care for the stages.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("map", help="write stages/README.md")
    fix = commands.add_parser("carry", help="make the change in stage N in all later stages too")
    fix.add_argument("number", type=int, metavar="N", help="the stage that you have edited")
    fix.add_argument(
        "base_revision",
        nargs="?",
        default="HEAD",
        metavar="REVISION",
        help="the commit before your edit (HEAD, unless told otherwise)",
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command that `arguments` name, and return the exit code: 0, or 2 for an error."""
    options = read_arguments(arguments)
    try:
        if options.command == "carry":
            changed = carry(options.number, options.base_revision)
            numbers = ", ".join(map(str, changed)) or "none, they have it already"
            print(f"Stages changed: {numbers}. Look at them with git diff, then: make test")
        write_map()  # A fix changes the size of a step, too.
    except (LadderError, OSError, SyntaxError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())

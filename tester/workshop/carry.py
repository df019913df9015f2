"""Carries a fix of one stage's server up the ladder: `python -m tester.workshop carry 7`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tester.arguments import OneLineParser
from tester.ladder.stages import ROOT, STAGES, LadderError, Stage, get_stage
from tester.ladder.steps import label, read_server, split_docstring
from tester.workshop.map import write_map


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
        f"Mend the file, then: python -m tester.workshop {command}"
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


def read_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return what the command line asks for. Leaves with exit code 2 if that makes no sense."""
    parser = OneLineParser(prog="python -m tester.workshop", description="Care for the stages.")
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

"""`python -m tester grade`: grades one stage, or finds out how far an attempt gets."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tester.attempt.locate import UsageError
from tester.ladder.stages import STAGES

if TYPE_CHECKING:
    from tester.grading.job import Grading
    from tester.results import LadderResult, StageResult


def command_grade(options: argparse.Namespace) -> int:
    """Grade, write the reports that were asked for, and return the exit code."""
    from tester.commands.changes import Untouched
    from tester.grading.climb import keep_ladder, keep_stage
    from tester.grading.grade import prepare_process  # Slow: late.
    from tester.report.as_json import write_json
    from tester.report.as_junit import write_junit
    from tester.report.terminal import make_console, print_result

    prepare_process()
    check_targets(options.json, options.junit)
    grading = grading_of(options)
    untouched = Untouched(grading.path)
    result: StageResult | LadderResult
    if options.stage:
        result = untouched.check(keep_stage(grading, options.stage))
        passed = result.passed
    else:
        result = untouched.check(keep_ladder(grading))
        passed = result.reached == len(STAGES)
    if options.json != "-":
        print_result(result, make_console(), options.verbose)
    if options.json:
        write_json(result, options.json)
    if options.junit:
        write_junit(result, options.junit)
    if told := untouched.tell_own():
        print(f"python -m tester: {told}", file=sys.stderr)
    return 0 if passed else 1


def grading_of(options: argparse.Namespace) -> Grading:
    """Return what to grade, and how. Raises UsageError if neither path nor command is given."""
    from tester.grading.job import Grading

    if options.attempt is None and options.command is None:
        raise UsageError(
            f"which server? For example: python -m tester {options.command_name} my_server.py"
        )
    seed = secrets.randbelow(100_000) if options.seed is None else options.seed
    return Grading(
        options.attempt, options.command, seed, options.startup_timeout, options.memory_limit
    )


def check_targets(*paths: str | None) -> None:
    """Raise UsageError for a file that can't be written, before the work begins."""
    if paths[1] == "-":
        raise UsageError("--junit needs the name of a file: --junit result.xml")
    for path in filter(None, paths):
        folder = Path(path).parent
        if path != "-" and (Path(path).is_dir() or not os.access(folder, os.W_OK)):
            raise UsageError(
                f"can't write to {path}: name a file in a folder that you may write to"
            )

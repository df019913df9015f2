"""Grades again at every save. It polls modification times, which works on any file system."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.text import Text

from tester.attempt.locate import UsageError, locate
from tester.commands.changes import IGNORED, Untouched, snapshot, wait_for_change
from tester.commands.show import print_rules
from tester.grading.climb import keep_ladder, keep_stage
from tester.grading.job import Grading
from tester.ladder.stages import STAGES, get_stage
from tester.report.terminal import make_console, print_stage

IGNORED |= {".pytest_cache", ".ruff_cache", ".ipynb_checkpoints"}


def watch(grading: Grading, *, stage: int | None, verbose: bool) -> int:
    """Grade at every save, until Ctrl-C: first `stage`, or the first stage that is not passed yet.

    Returns the exit code, 0, once stage 18 is passed. Raises UsageError for a path of no use.
    """
    locate(grading.path, grading.command)
    place = Path(grading.path or ".").expanduser().resolve()
    console = make_console()
    if stage is None:
        console.print(Text("Finding out how far your server gets …", style="dim"))
        stage = min(keep_ladder(grading).reached + 1, len(STAGES))
    regraded = False
    while True:
        before, untouched = snapshot(place), Untouched(grading.path)
        if console.is_terminal:
            console.clear()
        try:
            result = untouched.check(keep_stage(grading, stage))
        except UsageError as error:  # The program is gone for a moment: it may come back.
            console.print(Text(str(error)))
        else:
            print_stage(result, console, verbose)
            if result.passed and stage == len(STAGES):
                console.print(Text("That was the last stage: it is a complete HTTP/1.1 server."))
                return 0
            if result.passed:
                stage += 1
                _introduce(stage, console)
        after = snapshot(place)
        regraded = after != before and not regraded
        if regraded:  # Saved meanwhile? Only once: an attempt may write there each time.
            continue
        console.print(
            Text(
                f"\nWaiting for you to save {grading.path or grading.command} (Ctrl-C ends) …",
                "dim",
            )
        )
        wait_for_change(place, after)


def _introduce(stage: int, console: Console) -> None:
    """Print what the next stage asks for, below the success, so that both can be read."""
    console.rule(characters="-" if console.encoding == "ascii" else "─")
    print_rules(get_stage(stage), console)

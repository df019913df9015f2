"""Grades again at every save. Modification times are polled: that works on any file system."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.text import Text

from tester.attempt import FOLDER_PROGRAMS, UsageError, locate
from tester.grading import Grading, grade_ladder, grade_stage
from tester.ladder import ROOT, STAGES, get_stage
from tester.report.terminal import make_console, print_stage
from tester.show import print_rules

INTERVAL = 0.2  # Seconds between two looks at the files.
MAX_FILES = 5000  # Of a folder with more, the first ones are looked at.
MOST_NAMES = 5  # Of files that are named in one line.
IGNORED = {".git", ".venv", "node_modules", "__pycache__", "target", ".idea", ".vscode"}


def _files(place: Path) -> Iterator[Path]:
    """Yield the files that belong to the attempt: it, or all beside and below it in its folder."""
    if place.is_file():
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(set(folders) - IGNORED)
        yield from (Path(folder, name) for name in sorted(names))


def snapshot(place: Path) -> dict[Path, tuple[int, int]]:
    """Return time and size of every file of the attempt at `place`."""
    found = {}
    for path, _ in zip(_files(place), range(MAX_FILES), strict=False):
        try:
            status = path.stat()
        except OSError:  # It is just being replaced.
            continue
        found[path] = (status.st_mtime_ns, status.st_size)
    return found


def wait_for_change(place: Path, before: dict[Path, tuple[int, int]]) -> None:
    """Return when a file of the attempt is no longer as it was, and nothing changes any more."""
    never = threading.Event()
    while (now := snapshot(place)) == before or not now:
        never.wait(INTERVAL)
    while True:  # Editors write in several steps: let them finish.
        never.wait(INTERVAL / 2)
        later = snapshot(place)
        if later == now:
            return
        now = later


def snapshot_project(path: str | None = None) -> dict[Path, tuple[int, int]]:
    """Return time and size of every file that a verdict rests on: the tester's and the stages'.

    And those of the attempt at `path`: the file, or the programs in the folder that may be run.
    """
    found = snapshot(ROOT / "stages") | snapshot(ROOT / "tester")
    place = Path(path or ".").expanduser().resolve()
    programs = [place / name for name in FOLDER_PROGRAMS] if place.is_dir() else [place]
    for program in programs if path is not None else ():
        found |= snapshot(program)
    return found


def list_changes(before: dict[Path, tuple[int, int]], after: dict[Path, tuple[int, int]]) -> str:
    """Return what there is to say about files that changed during a grade, or nothing."""
    changed = sorted({path for path, _ in before.items() ^ after.items()})
    if not changed:
        return ""
    names = ", ".join(os.path.relpath(path) for path in changed[:MOST_NAMES])
    more = f" and {len(changed) - MOST_NAMES} more" if len(changed) > MOST_NAMES else ""
    return (
        f"files changed during the grade: {names}{more}. If it was not you, it was the attempt:"
        " look what it did there (git diff) before you trust this verdict"
    )


def watch(grading: Grading, *, stage: int | None, verbose: bool) -> int:
    """Grade at every save, from `stage` on, or from the first that is not passed; until Ctrl-C.

    Returns the exit code, 0, once stage 18 is passed. Raises UsageError for a path of no use.
    """
    locate(grading.path, grading.command)
    place = Path(grading.path or ".").expanduser().resolve()
    console = make_console()
    if stage is None:
        console.print(Text("Looking how far your server has come …", style="dim"))
        stage = min(grade_ladder(grading).reached + 1, len(STAGES))
    regraded = False
    while True:
        before, project = snapshot(place), snapshot_project()
        if console.is_terminal:
            console.clear()
        try:
            result = grade_stage(grading, stage)
        except UsageError as error:  # The program is gone for a moment: it may come back.
            console.print(Text(str(error)))
        else:
            print_stage(result, console, verbose)
            if result.passed and stage == len(STAGES):
                console.print(Text("That was the last stage: it is a whole HTTP/1.1 server."))
                return 0
            if result.passed:
                stage += 1
                _introduce(stage, console)
        after = snapshot(place)
        theirs = before.keys() | after.keys()  # That these change is what we are waiting for.
        kept = (
            {path: one[path] for path in one.keys() - theirs}
            for one in (project, snapshot_project())
        )
        if changes := list_changes(*kept):
            console.print(Text(changes))
        regraded = after != before and not regraded
        if regraded:  # Saved meanwhile? Once: an attempt may write into its own folder each time.
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

"""Finds out which files have changed."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from tester.attempt.locate import FOLDER_PROGRAMS
from tester.ladder.stages import ROOT
from tester.results import LadderResult, StageResult

TESTS = ROOT / "tester" / "tests"  # The tester's own: no verdict depends on them.
INTERVAL = 0.2  # Seconds between two looks at the files.
MAX_FILES = 5000  # Of a folder with more, we look only at the first ones.
MOST_NAMES = 5  # How many files one line names.
IGNORED = {".git", ".venv", "node_modules", "__pycache__", "target", ".idea", ".vscode"}
EDITORS = (".", "#")  # How the names of files begin that editors write for themselves,
EDITORS_END = ("~", ".swp")  # and how they end: no verdict depends on such a file.
Look = dict[Path, tuple[int, ...]]
"""What files looked like at one moment: the times and the size of each."""
Result = TypeVar("Result", StageResult, LadderResult)


def _files(place: Path) -> Iterator[Path]:
    """Yield the files of the attempt: the file `place`, or all files in and below that folder."""
    if place.is_file():
        yield place
        return
    for folder, folders, names in os.walk(place):
        folders[:] = sorted(set(folders) - IGNORED)
        yield from (Path(folder, name) for name in sorted(names))


def snapshot(place: Path) -> Look:
    """Return the times and the size of every file of the attempt at `place`.

    The second time, that of the last change of any kind, can't be set back by a program.
    """
    found: Look = {}
    for path, _ in zip(_files(place), range(MAX_FILES), strict=False):
        try:
            status = path.stat()
        except OSError:  # It is being replaced at this moment.
            continue
        found[path] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return found


def wait_for_change(place: Path, before: Look) -> None:
    """Wait until a file of the attempt has changed, and until no file changes any more."""
    never = threading.Event()
    while (now := snapshot(place)) == before or not now:
        never.wait(INTERVAL)
    while True:  # Editors write in several steps: let them finish.
        never.wait(INTERVAL / 2)
        later = snapshot(place)
        if later == now:
            return
        now = later


class Untouched:
    """Checks that the files that a verdict depends on stay the same: the tester and the stages.

    If an attempt has changed them, its verdict is worth nothing.
    """

    def __init__(self, path: str | None = None) -> None:
        """Look at them, and at the attempt at `path`, which its user may change at any time."""
        self._place = Path(path).expanduser().resolve() if path is not None else None
        self._before = self._look()

    def _look(self) -> Look:
        """Return what all these files look like now."""
        found = snapshot(ROOT / "stages") | snapshot(ROOT / "tester")
        found = {path: look for path, look in found.items() if TESTS not in path.parents}
        place = self._place
        if place is not None:
            programs = [place / name for name in FOLDER_PROGRAMS] if place.is_dir() else [place]
            found |= {path: look for one in programs for path, look in snapshot(one).items()}
        return found

    def _is_own(self, path: Path) -> bool:
        """Return whether `path` is the attempt, or a file in its folder."""
        place = self._place
        holds_ours = place in (ROOT / "stages", *(ROOT / "tester" / "x").parents)
        return place is not None and (path == place or (place in path.parents and not holds_ours))

    def check(self, result: Result) -> Result:
        """Return `result`; if files of ours have changed, with an error that names them."""
        changed = self._list_changed(own=False)
        if not changed:
            return result
        message = (
            f"files of the tester or of the stages changed during the grade: {changed}."
            " If you changed them, grade again. If you did not, your server did: look at the"
            " changes (git diff) before you trust any verdict"
        )
        if isinstance(result, StageResult):
            return distrust(result, message)
        stages = tuple(distrust(stage, message) for stage in result.stages)
        return replace(result, stages=stages)

    def tell_own(self) -> str:
        """Return a warning if the attempt's own program has changed, or nothing."""
        changed = self._list_changed(own=True)
        if not changed:
            return ""
        return f"{changed} changed during the grade: grade again to be sure of the verdict"

    def _list_changed(self, *, own: bool) -> str:
        """Return the names of the files that have changed: the attempt's `own`, or the others."""
        pairs = self._before.items() ^ self._look().items()
        changed = sorted({path for path, _ in pairs if self._is_own(path) == own})
        if not own:
            changed = [path for path in changed if not _is_scribble(path.name)]
        names = ", ".join(os.path.relpath(path) for path in changed[:MOST_NAMES])
        more = len(changed) - MOST_NAMES
        return f"{names} and {more} more" if more > 0 else names


def distrust(result: StageResult, message: str) -> StageResult:
    """Return `result` as a verdict that it could not be graded, with the reason."""
    return replace(result, error=message, looks_like="")


def _is_scribble(name: str) -> bool:
    """Return whether a file of this name is one that editors write for themselves."""
    return name.startswith(EDITORS) or name.endswith(EDITORS_END)

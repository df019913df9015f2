"""Watches over what we start, from another process: when we are gone, that process ends it.

It serves two processes that may be killed at any moment: the one that grades, which an attempt may
kill, and a notebook's kernel. Each writes to a pipe what it starts. The process at the other end
keeps the list, and when the pipe closes, it ends what is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tester.attempt.family import Family

ROOT = Path(__file__).resolve().parents[2]
GRACE = 0.5  # Seconds between the request to stop (SIGTERM) and the kill (SIGKILL).

_pipe: int | None = None


def report_to(pipe: int) -> None:
    """From now on, write to `pipe` what this process starts."""
    global _pipe
    _pipe = pipe


def protect(family: Family, folder: Path) -> None:
    """Have `family` ended and `folder` removed if we are gone before `release`."""
    _report({"marker": family.marker, "limit": family.limit, "folders": [str(folder)]})


def release(family: Family) -> None:
    """Forget `family`: we have ended it ourselves."""
    _report({"marker": family.marker, "folders": None})


def _report(message: dict[str, object]) -> None:
    """Write a line to the pipe, if there is one and its other end is open."""
    if _pipe is not None:
        with contextlib.suppress(OSError):
            os.write(_pipe, json.dumps(message).encode() + b"\n")


class Wards:
    """What was started by a process that may be gone at any moment."""

    def __init__(self) -> None:
        """Start with an empty list."""
        self._found: dict[str, tuple[Family, list[str]]] = {}

    def note(self, message: dict[str, Any]) -> None:
        """Add what was reported to the list, or remove it."""
        marker, limit, folders = message["marker"], message.get("limit"), message["folders"]
        self._found.pop(marker, None)
        if folders is not None:
            self._found[marker] = Family(marker, limit), folders

    def pids(self) -> list[int]:
        """Return the numbers of all processes that run."""
        return [pid for family, _ in self._found.values() for pid in family.all_pids()]

    def end(self, grace: float) -> None:
        """End all processes, and remove all folders."""
        for family, folders in self._found.values():
            family.end(grace)
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        self._found = {}


class Guard:
    """The guard of a notebook: a process, started when there is something to watch over."""

    CODE = (
        "import sys; sys.path.insert(0, sys.argv[1]); from tester.attempt.guard import main; main()"
    )

    def __init__(self) -> None:
        """Start nothing yet: a notebook that starts no server needs no guard."""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def protect(self, marker: str, folders: Iterable[Path]) -> None:
        """Have processes with `marker` ended and `folders` removed if we are gone before `release`.

        `marker` is the value of MARKER in their environment.
        """
        self._tell({"marker": marker, "folders": [str(folder) for folder in folders]})

    def release(self, marker: str) -> None:
        """Forget `marker`: we have ended it ourselves."""
        self._tell({"marker": marker, "folders": None})

    def _tell(self, message: dict[str, object]) -> None:
        """Write a line to the guard, and start it first if it does not run (any more)."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", self.CODE, str(ROOT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # Signals for us are not for the guard.
                )
            pipe = self._process.stdin
            assert pipe is not None  # Because of stdin=PIPE.
            pipe.write(json.dumps(message) + "\n")
            pipe.flush()


def main() -> None:
    """Be the guard: read until the pipe ends, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wards = Wards()
    for line in sys.stdin:
        wards.note(json.loads(line))
    wards.end(GRACE)

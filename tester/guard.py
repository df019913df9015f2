"""Watches over us from a process of its own: when we are gone, it ends what we had started.

For programs that may be killed at any moment, such as a notebook's kernel. The guard reads from a
pipe that only we can write to; when we end, however that happens, the pipe ends too.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

from tester.ladder import ROOT
from tester.limits import Family

GRACE = 0.5  # Seconds between the request to end and the end.


class Guard:
    """The guard's process, started when there is something to watch over."""

    CODE = "import sys; sys.path.insert(0, sys.argv[1]); from tester.guard import main; main()"

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def protect(self, marker: str, folders: Iterable[Path]) -> None:
        """End all processes that bear `marker`, and remove `folders`, if we end before `release`.

        `marker` is the value of MARKER in their environment.
        """
        self._tell({"marker": marker, "folders": [str(folder) for folder in folders]})

    def release(self, marker: str) -> None:
        """Forget `marker`: it has ended in good order."""
        self._tell({"marker": marker, "folders": None})

    def _tell(self, message: dict[str, object]) -> None:
        """Write a line to the guard, and start it first where it does not run (any more)."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-c", self.CODE, str(ROOT)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    text=True,
                    start_new_session=True,  # Signals for us are not for the guard.
                )
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()


def main() -> None:
    """Be the guard: read until the pipe ends, then end what is left."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wards: dict[str, list[str]] = {}
    for line in sys.stdin:
        message = json.loads(line)
        wards.pop(message["marker"], None)
        if message["folders"] is not None:
            wards[message["marker"]] = message["folders"]
    for marker, folders in wards.items():
        Family(marker).end(GRACE)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

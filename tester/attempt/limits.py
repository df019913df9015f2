"""Limits on what an attempt may take: memory, disk, output, processes.

A thread looks again and again at what all processes of the attempt take together, and stops them
when it is too much. `family.py` finds these processes.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tester.attempt.family import DISK_LIMIT, KILL_TIMEOUT, MEGABYTE, Family

MEMORY_LIMIT = 1000  # Megabytes of memory for all processes together, by default.
OUTPUT_LIMIT = 100  # Megabytes of output.
MOST_FILES = 20_000  # In the scratch folder: a disk has room for only so many files.
MOST_PROCESSES = 300  # Enough for a process for each of 200 clients.
LOOK_PAUSE = 0.1  # Seconds between two looks at what an attempt takes.
LONGEST_PAUSE = 0.5  # Where a look itself takes long, the pause grows, up to this.
WALK_PAUSE = 0.5  # Seconds between two looks at all files, unless the disk fills up faster.
BLOCK = 512  # Bytes: the unit in which the system counts a file's room.


class Watch:
    """Looks at what an attempt takes, in a thread of its own, and stops it if it is too much."""

    def __init__(
        self, family: Family, scratch: Path, memory_limit: int, written: Callable[[], int]
    ) -> None:
        """Watch `family`, which works in the folder `scratch`, until `end`.

        `memory_limit` is in megabytes; `written` returns how many bytes of output there are.
        """
        self.reason = ""
        """Why the attempt was stopped, in words that follow "it was stopped: "."""
        self._family = family
        self._scratch = scratch
        self._public = str(scratch / "public")
        self._memory_limit = memory_limit
        self._written = written
        self._was_suspended = False
        self._free = (0, 0)
        """The free room on the disk, in bytes and in files, when we last looked at all files."""
        self._walks_at = 0.0
        """When to look at all files again."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Stop looking, and wait until the thread has ended."""
        self._over.set()
        self._thread.join(KILL_TIMEOUT)

    def _run(self) -> None:
        """Look until there is too much of something, or until `end`."""
        pause = LOOK_PAUSE
        while not self._over.wait(pause):
            began = time.monotonic()
            self.reason = self._find_excess()
            if self.reason:
                self._family.end(0)
                return
            pause = min(max(LOOK_PAUSE, 10 * (time.monotonic() - began)), LONGEST_PAUSE)

    def _find_excess(self) -> str:
        """Return what there is too much of, in a sentence, or nothing."""
        if self._family.has_more_than(MOST_PROCESSES):
            return f"it started more than {MOST_PROCESSES} processes"
        pids = self._family.pids()
        before, self._was_suspended = self._was_suspended, self._family.is_suspended(pids)
        if before and self._was_suspended:  # And not just for a moment.
            return "it has stopped itself (SIGSTOP), and nothing continues it"
        most = self._memory_limit * MEGABYTE
        if (
            self._family.may_exceed(most, pids)
            and self._family.memory() > most
            and self._family.memory(exact=True) > most
        ):
            return f"it took more than {self._memory_limit:,} MB of memory"
        if self._written() > OUTPUT_LIMIT * MEGABYTE:
            return f"it printed more than {OUTPUT_LIMIT:,} MB"
        if not os.path.isdir(self._public):
            return "it removed the folder that it was given for its files"
        return self._find_excess_on_disk() if self._is_time_to_walk() else ""

    def _is_time_to_walk(self) -> bool:
        """Return whether to look at all files: every half second, and when the disk fills up."""
        now, free = time.monotonic(), self._free
        with contextlib.suppress(OSError):  # The folder may be gone.
            room = os.statvfs(self._scratch)
            free = (room.f_bavail * room.f_frsize, room.f_favail)
        filled = self._free[0] - free[0] > DISK_LIMIT * MEGABYTE // 10
        if not filled and self._free[1] - free[1] < MOST_FILES // 10 and now < self._walks_at:
            return False
        self._free, self._walks_at = free, now + WALK_PAUSE
        return True

    def _find_excess_on_disk(self) -> str:
        """Return what there is too much of in the scratch folder, in a sentence, or nothing."""
        size = count = 0
        for folder, _, names in os.walk(self._scratch):
            count += len(names)
            if count > MOST_FILES:
                return f"it wrote more than {MOST_FILES:,} files"
            for name in names:
                with contextlib.suppress(OSError):
                    size += os.lstat(os.path.join(folder, name)).st_blocks * BLOCK
            if size > DISK_LIMIT * MEGABYTE:
                return f"it wrote more than {DISK_LIMIT:,} MB to the disk"
        return ""

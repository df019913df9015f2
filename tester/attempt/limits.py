"""Finds all processes of an attempt, stops them, and sees to it that they do not take too much.

A process can leave its session, clear its environment, and lose its parents. What Linux hands down
to every child all the same are its limits. So each attempt gets a limit on the size of its files
that no other attempt has: who has it, belongs to that attempt. Elsewhere, the family tree and a
variable in the environment are what there is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from tester.ports import GONE, MARKER

MEGABYTE = 1_000_000
MEMORY_LIMIT = 1000  # Megabytes of memory of all processes together, unless told otherwise.
DISK_LIMIT = 1000  # Megabytes in the scratch folder; uploads of 100 MB are what servers must take.
OUTPUT_LIMIT = 100  # Megabytes of output.
MOST_FILES = 20_000  # In the scratch folder: disks have no room for files without number either.
MOST_PROCESSES = 300  # A process for each of 200 clients must do.
LOOK_PAUSE = 0.1  # Seconds between two looks at what an attempt takes;
LONGEST_PAUSE = 0.5  # longer, where looking takes long, but no longer than this.
KILL_TIMEOUT = 5.0  # Seconds until all that was killed must be gone.
POLL = 0.005  # Seconds between two looks whether it is.
WALK_PAUSE = 0.5  # Seconds between two looks at all files, unless the disk fills up faster.
REMEMBERED = 1.0  # Seconds for which a process that is none of ours is not asked again.
BLOCK = 512  # Bytes: what the system counts the room of a file in.
PAGE = os.sysconf("SC_PAGE_SIZE")  # Bytes: what the system counts memory in.
BECOME_SUBREAPER = 36  # Linux's PR_SET_CHILD_SUBREAPER.
ON_LINUX = sys.platform == "linux"
CAN_READ_LIMITS = ON_LINUX and hasattr(resource, "prlimit")  # Those of other processes.

_limits_lock = threading.Lock()  # Limits belong to the whole of our process.


def adopt_orphans() -> None:
    """Become the parent of what our attempts leave behind, so that we can bury it. On Linux only.

    In a container, nobody else may: the dead would stay in the table of processes.
    """
    if ON_LINUX:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1, 0, 0, 0)


class Family:
    """All processes of an attempt."""

    def __init__(self, marker: str, limit: int | None = None) -> None:
        """`marker` is the value of MARKER in the environment that the attempt is started with.

        `limit` is that of a family that another process of ours has started, where it is known.
        """
        self.root: psutil.Process | None = None
        """The process that was started."""
        self.marker = marker
        self.limit = limit or DISK_LIMIT * MEGABYTE + secrets.randbelow(2**28)
        """The limit on the size of its files, by which its processes are known."""
        self._is_marked = limit is not None and CAN_READ_LIMITS
        self._known: dict[int, psutil.Process] = {}
        self._strangers: frozenset[int] = frozenset()
        """Processes that had another limit when they were last asked."""
        self._forgets_at = 0.0
        """When all are to be asked again: a number may be given anew, though not so soon."""

    @contextlib.contextmanager
    def marking(self) -> Iterator[None]:
        """Mark what is started meanwhile, and forget what was before."""
        self.root, self._known, self._strangers = None, {}, frozenset()
        if not ON_LINUX:
            yield
            return
        with _limits_lock:
            old = resource.getrlimit(resource.RLIMIT_FSIZE)
            try:
                resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, old[1]))
                self._is_marked = CAN_READ_LIMITS
            except (ValueError, OSError):  # The user's own limit is lower.
                self._is_marked = False
            try:
                yield
            finally:
                resource.setrlimit(resource.RLIMIT_FSIZE, old)

    def pids(self) -> list[int]:
        """Return the process numbers of all that run; quick where they are marked by a limit."""
        if self._is_marked:
            return [pid for pid in self._marked() if not self._bury(pid)]
        return self._related() or self._named()

    def has_more_than(self, most: int) -> bool:
        """Return whether more than `most` processes run; quick, however many there are."""
        return (not self._is_marked or len(self._marked()) > most) and len(self.pids()) > most

    def _marked(self) -> list[int]:
        """Return all that have our limit.

        While an attempt starts, this is asked again and again; and where many are graded at once,
        most processes are others'.
        """
        running, now = psutil.pids(), time.monotonic()
        if now > self._forgets_at:
            self._strangers, self._forgets_at = frozenset(), now + REMEMBERED
        strangers = self._strangers.intersection(running)
        ours = [pid for pid in running if pid not in strangers and self._has_limit(pid)]
        self._strangers = frozenset(running).difference(ours)
        return ours

    def _has_limit(self, pid: int) -> bool:
        """Return whether a process has our limit."""
        try:
            return resource.prlimit(pid, resource.RLIMIT_FSIZE)[0] == self.limit
        except OSError:  # It is gone, or not ours.
            return False

    def _bury(self, pid: int) -> bool:
        """Return whether a process has ended; if it was an orphan that we adopted, let it go."""
        state = _states(f"/proc/{pid}")
        if state == "Z" and (self.root is None or pid != self.root.pid):
            with contextlib.suppress(OSError):  # Mostly, it is another's to bury.
                os.waitpid(pid, os.WNOHANG)
        return state in ("", "Z", "X")

    def _related(self) -> list[int]:
        """Return the first process and all that have descended from it, as far as we saw it."""
        with contextlib.suppress(*GONE):
            for one in (self.root, *self.root.children(recursive=True)) if self.root else ():
                self._known.setdefault(one.pid, one)
        return [one.pid for one in self._known.values() if _runs(one)]

    def _named(self) -> list[int]:
        """Return all that have our mark in their environment."""
        return [pid for pid in psutil.pids() if self._is_named(pid)]

    def _is_named(self, pid: int) -> bool:
        """Return whether a process runs that has our mark in its environment."""
        with contextlib.suppress(*GONE, OSError):
            if ON_LINUX:  # Much quicker, and there may be hundreds of processes.
                with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
                    found = f"{MARKER}={self.marker}".encode() in file.readall().split(b"\0")
                return found and not self._bury(pid)
            process = psutil.Process(pid)
            return process.environ().get(MARKER) == self.marker and _runs(process)
        return False

    def all_pids(self) -> list[int]:
        """Return the numbers of all that run, found in every way there is; takes longer."""
        self._strangers = frozenset()
        return [*dict.fromkeys([*self.pids(), *self._related(), *self._named()])]

    def is_asleep(self) -> bool:
        """Return whether all processes wait for something, so that none is about to end."""
        for pid in self.pids() if ON_LINUX else ():
            with contextlib.suppress(OSError):
                tasks = os.listdir(f"/proc/{pid}/task")
                if any(_states(f"/proc/{pid}/task/{task}") != "S" for task in tasks):
                    return False
        return ON_LINUX

    def is_suspended(self, pids: list[int] | None = None) -> bool:
        """Return whether all are stopped, or wait for those that are: none goes on any more.

        All of `pids`, where it is known already which run.
        """
        pids = self.pids() if pids is None else pids
        stopped = {pid for pid in pids if _is_stopped(pid)}
        parents = set()
        for pid in stopped:
            with contextlib.suppress(*GONE):
                parents.update(one.pid for one in psutil.Process(pid).parents())
        return bool(stopped) and all(pid in stopped | parents for pid in pids)

    def memory(self, *, exact: bool = False) -> int:
        """Return how many bytes of memory all have for themselves.

        Pages of files are not counted, where the system tells: it can take them back at any time.
        Unless `exact`, which is slower, memory that several of them share counts for each.
        """
        total = 0
        for pid in self.pids():
            with contextlib.suppress(*GONE):
                own = _own_memory(pid, exact) if ON_LINUX else None
                if own is None and exact:
                    info = psutil.Process(pid).memory_full_info()
                    own = getattr(info, "pss", info.uss)
                elif own is None:
                    own = psutil.Process(pid).memory_info().rss
                total += own
        return total

    def may_exceed(self, limit: int, pids: Iterable[int]) -> bool:
        """Return whether `pids` may have more memory than `limit`; quick where they do not."""
        return not ON_LINUX or sum(map(_resident, pids)) > limit

    def end(self, grace: float) -> None:
        """Ask all to end, and kill what still runs after `grace` seconds; 0 does not ask."""
        if grace:
            _signal(self.all_pids(), signal.SIGTERM)
            _wait(grace, lambda: not self.pids())
        deadline = time.monotonic() + KILL_TIMEOUT
        while time.monotonic() < deadline:
            self._kill_marked()
            _wait(KILL_TIMEOUT / 10, lambda: not self.pids())
            pids = self.all_pids()
            if not pids:
                break
            _signal(pids, signal.SIGKILL)

    def _kill_marked(self) -> None:
        """Kill all that are marked by a limit, faster than they can multiply."""
        killed: set[int] = set()
        fresh = self._is_marked
        deadline = time.monotonic() + KILL_TIMEOUT
        while fresh and time.monotonic() < deadline:
            fresh = False
            for pid in psutil.pids():
                if pid not in killed and self._has_limit(pid):
                    _signal([pid], signal.SIGKILL)
                    killed.add(pid)
                    fresh = True


def _states(folder: str) -> str:
    """Return the letter of a process's state in its `folder` below /proc; empty if it is gone."""
    try:
        with open(f"{folder}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2][1:2].decode()
    except OSError:
        return ""


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped until somebody continues it."""
    if ON_LINUX:
        return _states(f"/proc/{pid}") == "T"
    with contextlib.suppress(*GONE):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _resident(pid: int) -> int:
    """Return how many bytes of memory a process has, those of files among them; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _own_memory(pid: int, exact: bool) -> int | None:
    """Return how many bytes of memory a process has that belong to no file.

    If `exact`, its share of what it has together with others, as after a fork; None where the
    system does not tell that.
    """
    place, kind = ("smaps_rollup", b"Pss_") if exact else ("status", b"Rss")
    try:
        with open(f"/proc/{pid}/{place}", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    fields = dict(line.split(b":", 1) for line in lines if b":" in line)
    if kind + b"Anon" not in fields:
        return None
    own = (fields.get(kind + name, b"0 kB") for name in (b"Anon", b"Shmem"))
    return sum(int(text.split()[0]) * 1024 for text in own)


def _runs(process: psutil.Process) -> bool:
    """Return whether `process` still runs: a zombie has only not been waited for."""
    with contextlib.suppress(*GONE):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(pids: Iterable[int], number: int) -> None:
    """Send the signal `number` to all that are still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _wait(seconds: float, done: Callable[[], bool]) -> None:
    """Wait at most `seconds` until it is `done`."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL)


class Watch:
    """Looks at what an attempt takes, in a thread of its own, and stops it when it is too much."""

    def __init__(
        self, family: Family, scratch: Path, memory_limit: int, written: Callable[[], int]
    ) -> None:
        """Watch `family`, which works in the folder `scratch`, until `end`.

        `memory_limit` is in megabytes; `written` tells how many bytes of output there are.
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
        """The room on the disk, in bytes and in files, when all files were last looked at."""
        self._walks_at = 0.0
        """When all files are to be looked at again."""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Look no more."""
        self._over.set()
        self._thread.join(KILL_TIMEOUT)

    def _run(self) -> None:
        """Look again and again."""
        pause = LOOK_PAUSE
        while not self._over.wait(pause):
            began = time.monotonic()
            self.reason = self._find_excess()
            if self.reason:
                self._family.end(0)
                return
            pause = min(max(LOOK_PAUSE, 10 * (time.monotonic() - began)), LONGEST_PAUSE)

    def _find_excess(self) -> str:
        """Return what there is too much of, or nothing."""
        if self._family.has_more_than(MOST_PROCESSES):
            return f"it started more than {MOST_PROCESSES} processes"
        pids = self._family.pids()
        before, self._was_suspended = self._was_suspended, self._family.is_suspended(pids)
        if before and self._was_suspended:  # And not just for a moment.
            return "it has stopped itself (SIGSTOP), and nobody continues it"
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
        """Return whether to look at all files: each half second, or the disk has filled up."""
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
        """Return what is too much in the scratch folder, or nothing."""
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

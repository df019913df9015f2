"""Finds all processes of an attempt, measures their memory, and ends them.

A process can leave its session, clear its environment and lose its parents. But on Linux every
child inherits the limits of its parent. So each attempt gets a limit on the size of its files
(RLIMIT_FSIZE) that no other attempt has: a process with that limit belongs to that attempt.

On other systems, and where the user's own limit is too low for this, two weaker marks remain: the
tree of parents and children, and a variable in the environment.
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

import psutil

GONE = (psutil.Error, OSError)  # What a question about a process that is just ending may raise.
MARKER = "HTTP_TESTER_RUN"  # In the environment of everything that a tester starts.
MEGABYTE = 1_000_000
DISK_LIMIT = 1000  # Megabytes in the scratch folder; checks upload 100 MB at most.
KILL_TIMEOUT = 5.0  # Seconds until everything that was killed must be gone.
POLL = 0.005  # Seconds between two looks at whether it is.
REMEMBERED = 1.0  # Seconds after which we look again at a process that was not ours.
PAGE = os.sysconf("SC_PAGE_SIZE")  # Bytes: the unit in which the system counts memory.
BECOME_SUBREAPER = 36  # Linux's PR_SET_CHILD_SUBREAPER.
ON_LINUX = sys.platform == "linux"
CAN_READ_LIMITS = ON_LINUX and hasattr(resource, "prlimit")  # Those of other processes.
_limits_lock = threading.Lock()  # All our threads share our process's limits.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def adopt_orphans() -> None:
    """Become the parent of orphans that our attempts leave behind, to bury them. On Linux only.

    In a container there may be nobody else to do that: they would stay in the process table.
    """
    if ON_LINUX:
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(BECOME_SUBREAPER, 1, 0, 0, 0)


class Family:
    """All processes of an attempt."""

    def __init__(self, marker: str, limit: int | None = None) -> None:
        """`marker` is the value of MARKER in the environment that the attempt is started with.

        `limit` is the limit of a family that another process of ours has started, if it is known.
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
        """When to forget `_strangers`: a process number may be used again, though not this soon."""

    @contextlib.contextmanager
    def marking(self) -> Iterator[None]:
        """Mark what is started in the `with` block, and forget what was started before."""
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
        """Return the numbers of all processes that run; quick where a limit marks them."""
        if self._is_marked:
            return [pid for pid in self._marked() if not self._bury(pid)]
        return self._related() or self._named()

    def has_more_than(self, most: int) -> bool:
        """Return whether more than `most` processes run; quick, however many there are."""
        return (not self._is_marked or len(self._marked()) > most) and len(self.pids()) > most

    def _marked(self) -> list[int]:
        """Return all processes that have our limit.

        Processes of others are remembered for a while: this is called again and again while an
        attempt starts, and if many are graded at once, most processes are not ours.
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
        except OSError:  # It is gone, or belongs to another user.
            return False

    def _bury(self, pid: int) -> bool:
        """Return whether a process has ended; if it was an orphan that we adopted, reap it."""
        state = _states(f"/proc/{pid}")
        if state == "Z" and (self.root is None or pid != self.root.pid):
            with contextlib.suppress(OSError):  # Mostly, another process must reap it.
                os.waitpid(pid, os.WNOHANG)
        return state in ("", "Z", "X")

    def _related(self) -> list[int]:
        """Return the first process and all its descendants, as far as we saw them start."""
        with contextlib.suppress(*GONE):
            for one in (self.root, *self.root.children(recursive=True)) if self.root else ():
                self._known.setdefault(one.pid, one)
        return [one.pid for one in self._known.values() if _runs(one)]

    def _named(self) -> list[int]:
        """Return all processes that have our mark in their environment."""
        return [pid for pid in psutil.pids() if self._is_named(pid)]

    def _is_named(self, pid: int) -> bool:
        """Return whether a process runs that has our mark in its environment."""
        with contextlib.suppress(*GONE, OSError):
            if ON_LINUX:  # Much quicker than psutil, and there may be hundreds of processes.
                with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:
                    found = f"{MARKER}={self.marker}".encode() in file.readall().split(b"\0")
                return found and not self._bury(pid)
            process = psutil.Process(pid)
            return process.environ().get(MARKER) == self.marker and _runs(process)
        return False

    def all_pids(self) -> list[int]:
        """Return the numbers of all processes that run, found in every way; this takes longer."""
        self._strangers = frozenset()
        return [*dict.fromkeys([*self.pids(), *self._related(), *self._named()])]

    def is_asleep(self) -> bool:
        """Return whether all processes are waiting for something, so that none is about to end."""
        for pid in self.pids() if ON_LINUX else ():
            with contextlib.suppress(OSError):
                tasks = os.listdir(f"/proc/{pid}/task")
                if any(_states(f"/proc/{pid}/task/{task}") != "S" for task in tasks):
                    return False
        return ON_LINUX

    def is_suspended(self, pids: list[int] | None = None) -> bool:
        """Return whether every process is stopped, or waits for one that is: none makes progress.

        `pids` are the processes that run, if the caller knows them already.
        """
        pids = self.pids() if pids is None else pids
        stopped = {pid for pid in pids if _is_stopped(pid)}
        parents: set[int] = set()
        for pid in stopped:
            with contextlib.suppress(*GONE):
                parents.update(one.pid for one in psutil.Process(pid).parents())
        return bool(stopped) and all(pid in stopped | parents for pid in pids)

    def memory(self, *, exact: bool = False) -> int:
        """Return how many bytes of memory all processes have for themselves.

        Pages of files are not counted where the system lists them apart, because it can take them
        back at any time. Memory that several processes share counts for each, unless `exact`,
        which is slower.
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
        """Return whether `pids` may have more memory than `limit`; quick if they do not."""
        return not ON_LINUX or sum(map(_resident, pids)) > limit

    def end(self, grace: float) -> None:
        """Ask all to end, and kill those that still run after `grace` seconds; 0 kills at once."""
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
        """Kill all processes that our limit marks, faster than they can multiply."""
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
    """Return the letter of a process's state from its `folder` in /proc; "" if it is gone."""
    try:
        with open(f"{folder}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2][1:2].decode()
    except OSError:
        return ""


def _is_stopped(pid: int) -> bool:
    """Return whether a process is stopped until another one continues it."""
    if ON_LINUX:
        return _states(f"/proc/{pid}") == "T"
    with contextlib.suppress(*GONE):
        return psutil.Process(pid).status() == psutil.STATUS_STOPPED
    return False


def _resident(pid: int) -> int:
    """Return how many bytes of memory a process has, files included; 0 if it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
            return int(file.read().split()[1]) * PAGE
    except (OSError, IndexError):
        return 0


def _own_memory(pid: int, exact: bool) -> int | None:
    """Return how many bytes of memory a process has, without pages of files.

    If `exact`, memory that it shares with others, as after a fork, is split among them. None if the
    system does not say.
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
    """Return whether `process` still runs. A zombie does not: it only waits to be reaped."""
    with contextlib.suppress(*GONE):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _signal(pids: Iterable[int], number: int) -> None:
    """Send the signal `number` to all processes that are still there."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def _wait(seconds: float, done: Callable[[], bool]) -> None:
    """Wait, at most `seconds`, until `done()` is true."""
    deadline = time.monotonic() + seconds
    while not done() and time.monotonic() < deadline:
        time.sleep(POLL)


@contextlib.contextmanager
def wholly(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` at the end, whenever Ctrl-C comes, even just before it or while it runs.

    In that case it is called once more, and further Ctrl-C are ignored until it has finished.
    """
    try:
        try:
            yield
        finally:
            stop()
    except KeyboardInterrupt:  # So this is the main thread: no other one may set handlers.
        saved = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
        stop()
        for number, handler in saved.items():
            signal.signal(number, handler)
        raise

""""""

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

GONE = (psutil.Error, OSError)  # What comes of a question about a process that is just ending.
MARKER = "HTTP_TESTER_RUN"  # In the environment of all that a tester starts.
MEGABYTE = 1_000_000
DISK_LIMIT = 1000  # Megabytes in the scratch folder; uploads of 100 MB are what servers must take.
KILL_TIMEOUT = 5.0  # Seconds until all that was killed must be gone.
POLL = 0.005  # Seconds between two looks whether it is.
REMEMBERED = 1.0  # Seconds for which a process that is none of ours is not asked again.
PAGE = os.sysconf("SC_PAGE_SIZE")  # Bytes: what the system counts memory in.
BECOME_SUBREAPER = 36  # Linux's PR_SET_CHILD_SUBREAPER.
ON_LINUX = sys.platform == "linux"
CAN_READ_LIMITS = ON_LINUX and hasattr(resource, "prlimit")  # Those of other processes.
_limits_lock = threading.Lock()  # Limits belong to the whole of our process.
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


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
        parents: set[int] = set()
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


@contextlib.contextmanager
def wholly(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` in the end, whenever Ctrl-C comes: also on the way to it, or in the midst of it.

    Then it is called once more, and no other Ctrl-C is heard until it has ended.
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

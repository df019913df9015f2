"""Starts stage 18's server, and looks at it from outside: its memory, threads and descriptors."""

from __future__ import annotations

import contextlib
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from tester.attempt.family import GONE
from tester.attempt.locate import Attempt
from tester.attempt.server import Server
from tester.ladder.stages import get_stage
from tester.wire.connection import Connection

MEGABYTE = 1_000_000
POLL = 0.02  # Seconds between two looks whether something has happened.
PEAK_PAUSE = 0.005  # Seconds between two looks at the memory, so that no peak is missed.
CALM_TIMEOUT = 10.0  # Seconds until all is as it was before; the server itself may linger for 1.
USUAL_DESCRIPTORS = 1024  # What most systems allow a process that does not ask for more.


class BrokenPromise(Exception):
    """The server does not do what it promises; the text is one line that says what."""


def promise(holds: object, otherwise: str) -> None:
    """Raise BrokenPromise with the words `otherwise` unless the promise `holds`."""
    if not holds:
        raise BrokenPromise(otherwise)


def wait_until(happened: Callable[[], object], seconds: float) -> bool:
    """Wait at most `seconds` until something has `happened`; return whether it has."""
    deadline = time.monotonic() + seconds
    while not happened():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL)
    return True


@contextlib.contextmanager
def descriptors(wanted: int, *, at_least: bool = False) -> Iterator[None]:
    """Let this process, and what it starts, have `wanted` descriptors (or more) meanwhile.

    Raises ValueError, with a line for the user, where the system does not allow so many.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(
            f"this needs {wanted:,} open files at once, and your system allows {hard:,}:"
            " see `ulimit -Hn`"
        )
    new = max(soft, wanted) if at_least else wanted
    resource.setrlimit(resource.RLIMIT_NOFILE, (new, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def running(path: Path | None = None, idle_timeout: float = 5.0) -> Iterator[Server]:
    """Run stage 18's server, or the one at `path`, and stop it at the end. Raises StartError.

    It hangs up on silent clients after `idle_timeout` seconds. It begins with as many descriptors
    as most systems give: if it needs more, asking for them is its own affair.
    """
    program = str(path or get_stage(18).server)
    timeout = f"IDLE_TIMEOUT={idle_timeout:g}"
    command = ("env", timeout, sys.executable, "-u", program, "--quiet")
    server = Server(Attempt("stage 18", command), with_directory=True)
    with contextlib.ExitStack() as stack:
        stack.callback(server.stop)
        with descriptors(USUAL_DESCRIPTORS):
            server.start()
        yield server


@dataclass(frozen=True)
class Figures:
    """What the server has at one moment."""

    threads: int
    descriptors: int
    connections: int
    memory: int
    """Bytes that it has for itself alone: pages of files do not count."""

    def __str__(self) -> str:
        """`2 threads, 4 descriptors, 0 connections, 12.3 MB`."""
        return (
            f"{self.threads:,} threads, {self.descriptors:,} descriptors,"
            f" {self.connections:,} connections, {self.memory / MEGABYTE:.1f} MB"
        )

    @property
    def left(self) -> tuple[int, int, int]:
        """What must be as before once nobody is connected; memory is another matter."""
        return self.threads, self.descriptors, self.connections


def take_figures(server: Server) -> Figures:
    """Return what the server has now. Raises BrokenPromise if it does not run any more."""
    try:
        process = psutil.Process(server.pid)
        sockets = process.net_connections(kind="tcp")
        return Figures(
            process.num_threads(),
            process.num_fds(),
            sum(one.status != psutil.CONN_LISTEN for one in sockets),
            server.memory(),
        )
    except GONE:
        why = server.stopped or f"exit code {server.exit_code}, {server.output.tail(1)!r}"
        raise BrokenPromise(f"the server has ended: {why}") from None


def calm_figures(server: Server) -> Figures:
    """Return what a server has that has served before, once nobody is connected any more."""
    with Connection(server.address) as connection:
        connection.send(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        connection.read_response()
    wait_until(lambda: not take_figures(server).connections, CALM_TIMEOUT)
    return take_figures(server)


def expect_calm(server: Server, before: Figures) -> Figures:
    """Wait until nothing is left of what came after `before`. Raises BrokenPromise if it stays."""
    wait_until(lambda: take_figures(server).left == before.left, CALM_TIMEOUT)
    after = take_figures(server)
    promise(after.left == before.left, f"something is left open: before {before}; after {after}")
    return after


class Peak:
    """How much resident memory the server gains at most, while this is in use as a context."""

    def __init__(self, server: Server) -> None:
        """Look at `server`, which must run."""
        self.gained = 0
        """Bytes above what it had at the beginning."""
        self._process = psutil.Process(server.pid)
        self._ready, self._over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        """Look again and again."""
        with contextlib.suppress(*GONE):
            before = self._process.memory_info().rss
            self._ready.set()
            while not self._over.wait(PEAK_PAUSE):
                self.gained = max(self.gained, self._process.memory_info().rss - before)

    def __enter__(self) -> Peak:
        """Begin."""
        self._thread.start()
        self._ready.wait(CALM_TIMEOUT)
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._over.set()
        self._thread.join()

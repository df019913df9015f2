"""Many clients at once, in several processes of several threads each, and what they tell of it."""

from __future__ import annotations

import collections
import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.pool import Pool
from multiprocessing.synchronize import Barrier

from tester.grading.expect import CheckFailed
from tester.grading.words import Words
from tester.wire.connection import Address, BadResponse, WireError

READY_TIMEOUT = 60.0  # Seconds until all processes must have started.
MOST_WRONG = 5  # Wrong answers after which a client gives up: more would tell nothing new.
TROUBLE = (CheckFailed, WireError, BadResponse, OSError)


@dataclass
class Tally:
    """What clients have seen."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    """Answers, or what else there is to count, by name."""
    compared: int = 0
    """Bytes of bodies that were compared with what they must be."""
    times: list[float] = field(default_factory=list)
    """Seconds that each answer took, where that is of interest."""
    stored: set[str] = field(default_factory=set)
    """Names of the files that were uploaded."""
    wrong: list[str] = field(default_factory=list)
    """What went wrong, a line each."""
    seconds: float = 0.0
    """How long it took."""

    def add(self, other: Tally) -> None:
        """Take in what other clients have seen at the same time."""
        self.counts += other.counts
        self.compared += other.compared
        self.times += other.times
        self.stored |= other.stored
        self.wrong += other.wrong
        self.seconds = max(self.seconds, other.seconds)


Client = Callable[[Address, float, Words, Tally], None]
"""Talks to the address until the deadline (as time.monotonic counts), and fills in the tally."""


@contextlib.contextmanager
def crew(processes: int) -> Iterator[Pool]:
    """Start processes for clients, yield when all are ready, and end them afterwards."""
    context = multiprocessing.get_context("spawn")
    ready = context.Barrier(processes + 1)
    with context.Pool(processes, initializer=_begin, initargs=(ready,)) as pool:
        ready.wait(READY_TIMEOUT)
        yield pool


def _begin(ready: Barrier) -> None:
    """Prepare a process. Ctrl-C reaches all of a terminal, but who started this one ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready.wait(READY_TIMEOUT)


def send_clients(
    pool: Pool, processes: int, threads: int, client: Client, address: Address, seconds: float
) -> Tally:
    """Let as many clients as `processes` times `threads` talk to the server for so long."""
    jobs = [(client, address, seconds, threads, seed) for seed in range(processes)]
    total = Tally()
    for tally in pool.starmap(_run_threads, jobs, chunksize=1):
        total.add(tally)
    return total


def _run_threads(client: Client, address: Address, seconds: float, count: int, seed: int) -> Tally:
    """Run clients in threads of this process; return what they have seen together."""
    began = time.monotonic()
    tallies = [Tally() for _ in range(count)]
    workers = [
        threading.Thread(
            target=_run_client,
            args=(client, address, began + seconds, Words(seed * 1000 + number), tally),
        )
        for number, tally in enumerate(tallies)
    ]
    for worker in workers:
        worker.start()
    total = Tally()
    for worker, tally in zip(workers, tallies, strict=True):
        worker.join()
        total.add(tally)
    total.seconds = time.monotonic() - began
    return total


def _run_client(
    client: Client, address: Address, deadline: float, words: Words, tally: Tally
) -> None:
    """Run one client until the deadline: it goes on after an answer that is wrong."""
    while time.monotonic() < deadline and len(tally.wrong) < MOST_WRONG:
        try:
            client(address, deadline, words, tally)
        except TROUBLE as error:
            tally.wrong.append(f"{type(error).__name__}: {error}")
        except Exception as error:  # A mistake of ours must not pass for a server without fault.
            tally.wrong.append(f"the client broke: {error!r}")

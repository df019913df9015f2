"""Starts each program, sees that it answers rightly, and measures it under load, by wrk."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from tester.attempt.family import GONE
from tester.attempt.server import Server
from tester.attempt.starting import StartError
from tester.wire.connection import Address, BadResponse, Connection, WireError
from tester.workshop.peers.programs import PeersError, Program
from tester.workshop.peers.servers.common import FILE, FILE_NAME, POST_SIZE

POST = Path(__file__).resolve().parent / "post.lua"
MEMORY = "memory"  # What is not counted by the second, but in megabytes.
MEGABYTE = 1_000_000

REQUESTS_A_SECOND = re.compile(r"^Requests/sec:\s+([0-9.]+)$", re.MULTILINE)
SOCKET_ERRORS = re.compile(r"^\s*Socket errors: (.*)$", re.MULTILINE)
WRONG_STATUS = re.compile(r"^\s*Non-2xx or 3xx responses: ([0-9]+)$", re.MULTILINE)


@dataclass(frozen=True)
class Load:
    """What the clients ask for, and how many there are; each asks again once it is answered."""

    name: str
    clients: int
    path: str
    script: Path | None = None
    """A file for wrk that makes it more than a plain GET."""

    def command(self, wrk: str, seconds: int, address: str) -> list[str]:
        """Return how wrk is called: one thread of it is enough for all of our clients."""
        script = ["-s", str(self.script)] if self.script else []
        words = [wrk, "-t1", f"-c{self.clients}", f"-d{seconds}s", *script]
        return [*words, f"http://{address}{self.path}"]


LOADS = (
    Load("1 client", 1, "/"),
    Load("32 clients", 32, "/"),
    Load("256 clients", 256, "/"),
    Load("64 KB file", 32, f"/files/{FILE_NAME}"),
    Load("1 KB POST", 32, "/echo", POST),
)


@dataclass(frozen=True)
class Reading:
    """What wrk has seen."""

    rate: float
    """Requests a second that were answered."""
    errors: Mapping[str, int]
    """By their kind, as wrk calls them; only those that there were."""


@dataclass
class Result:
    """What a program came to."""

    program: Program
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    """By the load's name, one a round."""
    memory: list[float] = field(default_factory=list)
    """Megabytes after the load, one a round."""

    def median(self, name: str) -> float:
        """Return the median over the rounds, of the load `name` or of MEMORY."""
        if name == MEMORY:
            return statistics.median(self.memory)
        return statistics.median(reading.rate for reading in self.readings[name])

    def errors(self, name: str) -> dict[str, int]:
        """Return the errors under the load `name`, of all rounds together."""
        total: dict[str, int] = {}
        for reading in self.readings.get(name, ()):
            for kind, count in reading.errors.items():
                total[kind] = total.get(kind, 0) + count
        return total


def parse_wrk(text: str) -> Reading:
    """Return the Reading in what wrk printed. Raises PeersError where there is none.

    >>> parse_wrk("  Socket errors: connect 0, read 2, write 0, timeout 0\\nRequests/sec:  98.50")
    Reading(rate=98.5, errors={'read': 2})
    """
    rate = REQUESTS_A_SECOND.search(text)
    if not rate:
        raise PeersError(f"wrk said nothing that is known: {' '.join(text.split())[:200]!r}")
    errors = {}
    if found := SOCKET_ERRORS.search(text):
        pairs = (pair.split() for pair in found[1].split(","))
        errors = {kind: int(count) for kind, count in pairs if count != "0"}
    if found := WRONG_STATUS.search(text):
        errors["wrong status"] = int(found[1])
    return Reading(float(rate[1]), errors)


def find_wrk() -> tuple[str, str]:
    """Return wrk's path and version. Raises PeersError where it is missing."""
    path = shutil.which("wrk")
    if not path:
        raise PeersError("wrk, which makes the load, is missing: apt install wrk, brew install wrk")
    words = subprocess.run([path, "-v"], capture_output=True, text=True).stdout.split()
    return path, words[1] if len(words) > 1 else "of unknown version"


def run_wrk(wrk: str, seconds: int, load: Load, address: Address) -> Reading:
    """Put `load` on the server for so many `seconds`. Raises PeersError if wrk can't."""
    command = load.command(wrk, seconds, f"{address.host}:{address.port}")
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise PeersError(f"wrk failed: {lines[0]}")
    return parse_wrk(done.stdout)


@contextlib.contextmanager
def running(program: Program, python: str) -> Iterator[Server]:
    """Run the program by the Python at the path `python`; its files are in the server's `public`.

    Raises PeersError if it does not start.
    """
    try:
        with Server(program.attempt(python), with_directory=True) as server:
            (server.public / FILE_NAME).write_bytes(FILE)
            yield server
    except StartError as error:
        raise PeersError(f"{program.name} does not start: {error}") from None


def check(program: Program, python: str) -> None:
    """See that the program gives the three right answers, and keeps the connection open.

    Raises PeersError with what is wrong.
    """
    body = os.urandom(POST_SIZE)
    head = f"Host: localhost\r\nContent-Length: {POST_SIZE}\r\n\r\n".encode()
    exchanges = (
        ("GET", "/", b"Host: localhost\r\n\r\n", lambda got: b"Hello World!" in got),
        ("POST", "/echo", head + body, body.__eq__),
        ("GET", f"/files/{FILE_NAME}", b"Host: localhost\r\n\r\n", FILE.__eq__),
    )
    try:
        with running(program, python) as server, Connection(server.address) as connection:
            for method, path, rest, is_right in exchanges:
                connection.send(f"{method} {path} HTTP/1.1\r\n".encode() + rest)
                response = connection.read_response()
                if response.status != 200 or not is_right(response.body):
                    got = f"{response.status} and {len(response.body)} bytes that are not the right"
                    raise PeersError(f"{program.name} answers {method} {path} with {got} ones")
    except (WireError, BadResponse) as error:
        raise PeersError(f"{program.name} fails its check: {error}") from None


def measure_round(
    program: Program, python: str, loads: Iterable[Load], run: Callable[[Load, Address], Reading]
) -> tuple[dict[str, Reading], float]:
    """Start the program, `run` each load on it, and return what came of it, and its memory in MB.

    Raises PeersError if it does not start.
    """
    with running(program, python) as server:
        readings = {load.name: run(load, server.address) for load in loads}
        return readings, resident_memory() / MEGABYTE


def resident_memory() -> int:
    """Return the bytes of memory (RSS) of all processes that we have started."""
    total = 0
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(*GONE):  # It has just ended.
            total += child.memory_info().rss
    return total


def measure(
    programs: Sequence[Program],
    python: str,
    rounds: int,
    run: Callable[[Load, Address], Reading],
    tell: Callable[[str], None],
) -> list[Result]:
    """Measure all programs in turn, `rounds` times; `tell` is told what comes next.

    In turn, so that a minute in which the machine is slow is not one program's alone. Raises
    PeersError, before anything is measured, if one of them answers wrongly.
    """
    for program in programs:
        tell(f"checking {program.name}")
        check(program, python)
    results = [Result(program) for program in programs]
    for number in range(1, rounds + 1):
        for result in results:
            tell(f"round {number} of {rounds}: {result.program.name}")
            readings, memory = measure_round(result.program, python, LOADS, run)
            result.memory.append(memory)
            for name, reading in readings.items():
                result.readings.setdefault(name, []).append(reading)
    return results

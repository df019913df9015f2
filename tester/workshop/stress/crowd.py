"""A crowd: many idle clients, many that drip, and a few busy ones, which must be served."""

from __future__ import annotations

import contextlib
import itertools
import select
import socket
import statistics
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from tester.attempt.server import Server
from tester.grading.expect import expect_body, expect_status
from tester.grading.words import Words
from tester.wire.connection import Address, Connection
from tester.wire.request import request_bytes
from tester.workshop.stress.clients import Tally, crew, send_clients
from tester.workshop.stress.watched import (
    MEGABYTE,
    BrokenPromise,
    Figures,
    calm_figures,
    descriptors,
    expect_calm,
    promise,
    running,
    take_figures,
    wait_until,
)

PROCESSES = 2  # For the busy clients.
REQUESTS = 200  # On one connection of a busy client, before it takes the next.
DRIP_ROUND = 0.5  # Seconds between two bytes of one dripping client.
FULL_TIMEOUT = 10.0  # Seconds until the server must have accepted all of the crowd.
MOST_PER_CONNECTION = 100 * 1000  # Bytes of memory.
MOST_GROWN = 10 * MEGABYTE  # Bytes that memory may grow by while the busy ones are served.
SPARE = 200  # Descriptors that we need ourselves.


@dataclass(frozen=True)
class Crowd:
    """How many of each, and for how long."""

    idle: int = 1000
    dripping: int = 200
    busy: int = 50
    seconds: float = 10.0
    """How long the busy ones ask."""
    idle_timeout: float = 25.0
    """Seconds until the server hangs up on the idle ones: longer than all of it takes."""


def connect(server: Server) -> socket.socket:
    """Return a new connection. Raises BrokenPromise if the server takes no more."""
    try:
        where = (server.address.host, server.address.port)
        return socket.create_connection(where, FULL_TIMEOUT)
    except OSError as error:
        held = take_figures(server).connections
        raise BrokenPromise(
            f"with {held:,} connections, the server takes no more: {error}"
        ) from None


class Drippers:
    """Clients that send a head that never ends, a byte now and then; who is cut off comes again."""

    def __init__(self, server: Server, count: int) -> None:
        """Connect all of them; they begin to drip at once, in a thread."""
        self._server = server
        self._sockets = [self._connect() for _ in range(count)]
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._drip, daemon=True)
        self._thread.start()

    def _connect(self) -> socket.socket:
        """Return a new connection that has sent the beginning of a head."""
        one = connect(self._server)
        one.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        return one

    def _drip(self) -> None:
        """Send one byte after the other, a different client each time."""
        for index in itertools.cycle(range(len(self._sockets))):
            if self._over.wait(DRIP_ROUND / len(self._sockets)):
                return
            try:
                self._sockets[index].sendall(b"a")
            except OSError:
                self._sockets[index].close()
                with contextlib.suppress(BrokenPromise, OSError):
                    self._sockets[index] = self._connect()

    def close(self) -> None:
        """Stop, and hang up."""
        self._over.set()
        self._thread.join()
        for one in self._sockets:
            one.close()


def ask_busily(address: Address, deadline: float, words: Words, tally: Tally) -> None:
    """Ask again and again on one connection; each answer must be the word that was sent."""
    with Connection(address) as connection:
        for _ in range(REQUESTS):
            word = words.word()
            began = time.monotonic()
            connection.send(request_bytes(f"/echo/{word}", connection=None))
            response = connection.read_response()
            tally.times.append(time.monotonic() - began)
            expect_status(response, 200)
            expect_body(response, word.encode())
            if time.monotonic() > deadline:
                return


def wait_until_full(server: Server, count: int) -> Figures:
    """Return what the server has once it holds `count` connections. Raises BrokenPromise."""
    wait_until(lambda: take_figures(server).connections >= count, FULL_TIMEOUT)
    full = take_figures(server)
    promise(
        full.connections >= count,
        f"of {count:,} connections at once, the server holds only {full.connections:,}",
    )
    return full


def ask_after_all(idle: list[socket.socket]) -> None:
    """Let clients that were silent ask at last: they must be served, too. Raises BrokenPromise."""
    served = 0
    for one in idle:
        with contextlib.suppress(OSError):
            one.sendall(request_bytes("/echo/late"))
            one.settimeout(FULL_TIMEOUT)
            answer = b""
            while data := one.recv(65536):
                answer += data
            served += answer.startswith(b"HTTP/1.1 200 ") and answer.endswith(b"\r\n\r\nlate")
        one.close()
    promise(
        served == len(idle),
        f"of {len(idle)} clients that asked after a silence, only {served} were served",
    )


def wait_for_ends(idle: list[socket.socket], seconds: float) -> None:
    """Wait until the server has hung up on all these silent clients. Raises BrokenPromise."""
    deadline = time.monotonic() + seconds
    poll = select.poll()  # Unlike `select`, it takes descriptors above 1023.
    for one in idle:
        poll.register(one, select.POLLIN)
    waiting = {one.fileno(): one for one in idle}
    while waiting and (left := deadline - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            with contextlib.suppress(OSError):
                if waiting[number].recv(65536):
                    continue  # It may say 408 before it hangs up.
            poll.unregister(number)
            waiting.pop(number).close()
    for one in waiting.values():
        one.close()
    promise(not waiting, f"{len(waiting)} silent clients were not cut off after {seconds:g} s")


def check_crowd(sizes: Crowd | None = None, path: Path | None = None) -> list[str]:
    """Let the crowd come and go; return what to print. Raises BrokenPromise.

    `path` is another server than stage 18's. Raises ValueError where we may not open so many.
    """
    sizes = sizes or Crowd()
    count = sizes.idle + sizes.dripping
    with (
        descriptors(count + SPARE, at_least=True),
        running(path, sizes.idle_timeout) as server,
        crew(PROCESSES) as pool,
    ):
        before = calm_figures(server)
        idle = [connect(server) for _ in range(sizes.idle)]
        drippers = Drippers(server, sizes.dripping)
        full = wait_until_full(server, count)
        threads = max(1, sizes.busy // PROCESSES)
        tally = send_clients(pool, PROCESSES, threads, ask_busily, server.address, sizes.seconds)
        wait_until(lambda: take_figures(server).connections <= count, 1)
        loaded = take_figures(server)
        ask_after_all(idle[::2])
        drippers.close()
        wait_for_ends(idle[1::2], sizes.idle_timeout + FULL_TIMEOUT)
        after = expect_calm(server, before)
    return judge(sizes, tally, (before, full, loaded, after))


def judge(sizes: Crowd, tally: Tally, figures: tuple[Figures, ...]) -> list[str]:
    """Return what to print of a crowd that has gone. Raises BrokenPromise.

    `figures` are those before it, with it, after the busy ones have been served, and at the end.
    """
    before, full, loaded, after = figures
    promise(not tally.wrong, f"busy clients in a crowd: {'; '.join(tally.wrong[:3])}")
    count = sizes.idle + sizes.dripping
    each = (full.memory - before.memory) / count
    promise(each < MOST_PER_CONNECTION, f"a connection costs {each / 1000:.0f} KB of memory")
    grown = loaded.memory - full.memory
    promise(grown < MOST_GROWN, f"while serving, memory grew by {grown / MEGABYTE:.1f} MB")
    rate = len(tally.times) / tally.seconds
    median, worst = statistics.median(tally.times) * 1000, max(tally.times) * 1000
    return [
        f"{count + sizes.busy:,} connections at once: {sizes.idle:,} idle, {sizes.dripping:,}"
        f" dripping, {sizes.busy} busy",
        f"  the busy ones: {rate:,.0f} requests/s, median {median:.1f} ms, longest {worst:.0f} ms;"
        f" {len(tally.times):,} answers, none wrong",
        f"  memory: {each / 1000:.0f} KB for each connection; {grown / MEGABYTE:+.1f} MB while"
        " the busy ones were served",
        f"  before: {before}",
        f"  full:   {full}",
        f"  after:  {after}",
    ]

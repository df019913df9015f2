"""Mixed load: clients that do all that clients do, for minutes; every answer is compared."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from tester.attempt.server import Server
from tester.grading.client import put_file
from tester.grading.expect import expect, expect_body, expect_nothing_left, expect_status, unpack
from tester.grading.words import Words
from tester.wire.connection import Address, Connection
from tester.wire.request import chunked, request_bytes
from tester.wire.response import Response
from tester.workshop.stress.clients import Tally, crew, send_clients
from tester.workshop.stress.watched import (
    MEGABYTE,
    Figures,
    calm_figures,
    expect_calm,
    promise,
    running,
)

PROCESSES = 2
THREADS = 6  # In each process.
WARM_UP = 0.1  # The part of the time after which memory is looked at for the first time.
MOST_GROWN = 10 * MEGABYTE  # Bytes of memory, from then to the end.
LARGEST_BODY = 200_000  # Bytes of what is sent.
TICKS = b"".join(b"tick %d\n" % number for number in range(1, 6))
# How often each kind of visit is made, in parts of the whole.
KINDS = {"get": 8, "post": 4, "chunked": 4, "pipelined": 3, "aborted": 4, "stream": 1}


def make_files() -> dict[str, bytes]:
    """Return the files that are served, by name: the same ones whoever asks."""
    words = Words(1)
    return {
        "small.txt": words.text(700),
        "large.txt": words.text(150_000),
        "picture.png": words.data(300_000),
        "empty.json": b"",
    }


FILES = make_files()


@dataclass
class Visit:
    """A client with one connection: what it asks for, and what must come."""

    connection: Connection
    words: Words
    tally: Tally
    own_file: str
    """The target of the file that this client alone writes."""
    expected: list[tuple[str, int, bytes, bytes]] = field(default_factory=list)
    """What was asked for, in order: kind of visit, status, body, and the request."""

    def ask(self, kind: str, request: bytes, body: bytes, status: int = 200) -> None:
        """Send a request and read the answer."""
        self.expected.append((kind, status, body, request))
        self.connection.send(request)
        self.read_answer()

    def read_answer(self) -> None:
        """Read the answer to the first request that has none yet, and compare it."""
        kind, status, body, request = self.expected.pop(0)
        response = self.connection.read_response()
        expect_status(response, status)
        expect_body(unpack_response(response), body)
        accepts = b"Accept-Encoding: gzip" in request
        expect(accepts or not response.values("Content-Encoding"), "gzip for one who can't take it")
        self.tally.counts[kind] += 1
        self.tally.compared += len(body)

    def make_get(self) -> tuple[bytes, bytes, int]:
        """Return a request, the body of its answer, and the status."""
        fields = [("Accept-Encoding", "gzip")] if self.words.random() < 0.3 else []
        choice = self.words.random()
        if choice < 0.5:
            target, body = word_target(self.words)
            return request_bytes(target, fields=fields, connection=None), body, 200
        if choice < 0.9:
            name = self.words.choice(sorted(FILES))
            request = request_bytes(f"/files/{name}", fields=fields, connection=None)
            return request, FILES[name], 200
        request = request_bytes(f"/{self.words.word()}", connection=None)
        return request, b"404 Not Found\n", 404

    def make_post(self, target: str, body: bytes, *, in_chunks: bool) -> bytes:
        """Return a request with a body, in either of the two framings."""
        if not in_chunks:
            return request_bytes(target, "POST", body=body, connection=None)
        cuts = sorted(self.words.sample(range(1, len(body) + 1), min(len(body), 4)))
        pieces = [body[start:end] for start, end in zip([0, *cuts], [*cuts, None], strict=True)]
        fields = [("Transfer-Encoding", "chunked")]
        framed = chunked(*filter(None, pieces))
        return request_bytes(target, "POST", fields, framed, connection=None)

    def get(self) -> None:
        """Ask for this and that."""
        for _ in range(self.words.randint(1, 20)):
            self.ask("get", *self.make_get())

    def post(self, *, in_chunks: bool = False) -> None:
        """Send a body and have it back; store another, and read that."""
        kind = "chunked" if in_chunks else "post"
        body = self.words.data(self.words.choice((0, 1, 1000, 65536, LARGEST_BODY)))
        self.ask(kind, self.make_post("/echo", body, in_chunks=in_chunks), body)
        body = self.words.data(self.words.randint(0, LARGEST_BODY))
        request = self.make_post(self.own_file, body, in_chunks=in_chunks)
        self.ask(kind, request, b"", 201)
        self.tally.stored.add(self.own_file)
        self.abort_upload(self.own_file)  # It must leave what is there as it is.
        self.ask(kind, request_bytes(self.own_file, connection=None), body)

    def chunked(self) -> None:
        """The same in chunks."""
        self.post(in_chunks=True)

    def stream(self) -> None:
        """Have a body whose length nobody knows beforehand."""
        self.ask("stream", request_bytes("/stream", connection=None), TICKS)

    def pipelined(self) -> None:
        """Send many requests together; the answers come in the same order."""
        for _ in range(self.words.randint(2, 60)):
            request, body, status = self.make_get()
            if self.words.random() < 0.2:
                body, status = self.words.data(self.words.randint(0, 3000)), 200
                request = self.make_post("/echo", body, in_chunks=self.words.random() < 0.5)
            self.expected.append(("pipelined", status, body, request))
        self.connection.send(b"".join(request for *_, request in self.expected))
        while self.expected:
            self.read_answer()

    def aborted(self) -> None:
        """Leave in the middle: of a request, of an upload, or of an answer."""
        choice = self.words.random()
        if choice < 0.3:
            request, _, _ = self.make_get()
            self.connection.send(request[: self.words.randrange(1, len(request))])
        elif choice < 0.6:
            self.connection.send(request_bytes("/files/picture.png", connection=None) * 9)
            self.connection.receive()
        else:
            self.abort_upload(f"/files/never-{self.words.word()}")
        self.leave(self.connection)
        self.tally.counts["aborted"] += 1

    def abort_upload(self, target: str) -> None:
        """Begin an upload on a connection of its own, and leave before its end."""
        body = self.words.data(self.words.randint(1, 3 * 65536))
        request = self.make_post(target, body, in_chunks=self.words.random() < 0.5)
        other = Connection(self.connection.address)
        other.send(request[: self.words.randrange(1, len(request))])
        self.leave(other)

    def leave(self, connection: Connection) -> None:
        """Hang up in good order, or without a word."""
        if self.words.random() < 0.5:
            connection.reset()
        else:
            connection.close()


def word_target(words: Words) -> tuple[str, bytes]:
    """Return a target that is answered by random words, and these."""
    text = words.word(words.randint(1, 40))
    return f"/echo/{text}", text.encode()


def unpack_response(response: Response) -> Response:
    """Return the response with the body that was meant."""
    if response.field("Content-Encoding") == "gzip":
        response.body = unpack(response.body)
    return response


def visit(address: Address, deadline: float, words: Words, tally: Tally) -> None:
    """Make visits until the deadline, each with a connection of its own."""
    own_file = f"/files/own-{words.word(12)}.bin"
    while time.monotonic() < deadline:
        kind = words.choices([*KINDS], [*KINDS.values()])[0]
        with Connection(address) as connection:
            getattr(Visit(connection, words, tally, own_file), kind)()
            if kind != "aborted" and connection.has_pending():
                expect_nothing_left(connection.receive(), connection)


def expect_files(server: Server, stored: set[str]) -> None:
    """Raise BrokenPromise unless the folder holds what it must, and nothing else."""
    wanted = {*FILES, *(target.removeprefix("/files/") for target in stored)}
    found = {path.name for path in server.public.iterdir()}
    odd = sorted(wanted ^ found)
    promise(not odd, f"files that should not be there, or are missing: {', '.join(odd[:5])}")


def check_mixed(
    seconds: float, path: Path | None = None, *, processes: int = PROCESSES, threads: int = THREADS
) -> list[str]:
    """Load the server for so long; return what to print. Raises BrokenPromise.

    `path` is another server than stage 18's.
    """
    with running(path) as server, crew(processes) as pool:
        for name, content in FILES.items():
            put_file(server, name, content)
        start = calm_figures(server)
        parts = (seconds * WARM_UP, seconds * (1 - WARM_UP))
        total, seen = Tally(), [start]
        for part in parts:
            tally = send_clients(pool, processes, threads, visit, server.address, part)
            promise(not tally.wrong, f"under mixed load: {'; '.join(tally.wrong[:3])}")
            total.add(tally)
            seen.append(expect_calm(server, start))
        expect_files(server, total.stored)
    return judge(seconds, total, seen)


def judge(seconds: float, tally: Tally, seen: list[Figures]) -> list[str]:
    """Return what to print after the load. Raises BrokenPromise if memory has grown."""
    start, warm, end = seen
    grown = end.memory - warm.memory
    promise(grown < MOST_GROWN, f"under mixed load, memory grew by {grown / MEGABYTE:.1f} MB")
    counts = ", ".join(f"{tally.counts[kind]:,} {kind}" for kind in KINDS)
    answers = tally.counts.total() - tally.counts["aborted"]
    return [
        f"mixed load for {seconds / 60:.1f} minutes: {answers:,} answers compared,"
        f" {tally.compared / MEGABYTE:,.0f} MB of bodies, no byte wrong ({counts})",
        f"  start:         {start}",
        f"  after a tenth: {warm}",
        f"  end:           {end}",
    ]

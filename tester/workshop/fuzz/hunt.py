"""Fuzzes how our last server reads requests, beside h11 and llhttp (Node's parser): `make fuzz`.

`python -m tester.workshop fuzz [SECONDS] [--seed N]`. Requests are made up, well-formed ones and
broken ones, and read by all three in this process, whole and in pieces, and by the running server
over a real socket. Where the readers differ, either EXPLAINED knows why, or it is a finding: its
bytes and its seed are printed, and the exit code is 1.
"""

from __future__ import annotations

import collections
import contextlib
import random
import signal
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from types import ModuleType

from tester.arguments import OneLineParser
from tester.attempt.locate import Attempt
from tester.attempt.server import Server
from tester.ladder.stages import get_stage
from tester.masks import hide_fields
from tester.wire.connection import Address, Connection, WireError
from tester.wire.response import Malformed, Response, ResponseReader
from tester.workshop.fuzz.explained import explain, find_difference
from tester.workshop.fuzz.make import cut, make_stream
from tester.workshop.fuzz.readers import (
    INCOMPLETE,
    PEERS,
    Packets,
    Reading,
    load_server,
    read_with_ours,
)

SECONDS = 30.0
PATIENCE = 20.0  # Seconds for the server to answer and close; only a hang takes so long.
MOST_FINDINGS = 10  # More of them tell no more.
REFUSALS = ("400", "413", "414", "431", "505")


def predict(server: ModuleType, pieces: Sequence[bytes]) -> bytes:
    """Return what the server's code answers, without a socket."""
    packets = Packets(pieces)
    reader = server.Reader(packets)
    with contextlib.suppress(OSError, server.HTTPError):
        while server.serve_request(reader):
            pass
    return packets.sent


def ask(address: Address, pieces: Sequence[bytes]) -> bytes:
    """Return what the running server answers until it closes. Raises WireError."""
    with Connection(address, patience=PATIENCE) as connection:
        for piece in pieces:
            connection.send(piece)
        connection.half_close()
        return connection.read_end(PATIENCE)


def read_answers(data: bytes, methods: Iterable[str]) -> list[Response]:
    """Return the final answers to requests with these methods. Raises Malformed."""
    answers, waiting = [], iter(methods)
    method = next(waiting, "GET")
    while data:
        reader = ResponseReader(method)
        reader.feed(data)
        if not reader.complete:
            raise Malformed("an answer is not whole", "all of it", data, 0)
        data = reader.extra
        if reader.whole.status >= 200:
            answers.append(reader.whole)
            method = next(waiting, "GET")
    return answers


def judge_answers(ours: Reading, data: bytes, answered: bytes) -> str:
    """Return what is wrong with the answers, given what was understood; empty if nothing is."""
    methods = [seen.method for seen in ours.requests]
    rest = data[ours.starts[-1] :].lstrip(b"\r\n")
    try:
        try:
            answers = read_answers(answered, methods)
        except Malformed:  # The last one is to a HEAD whose head was fine and whose body was not.
            if not rest.startswith(b"HEAD "):
                raise
            answers = read_answers(answered, [*methods, "HEAD"])
    except Malformed as error:
        return f"the answer is malformed: {error.message}"
    if len(answers) > len(ours.requests) + (ours.error != ""):
        return "there are more answers than requests"
    if not answers and (ours.requests or ours.error not in ("", INCOMPLETE)):
        return "there is no answer"
    for seen, answer in zip(ours.requests, answers, strict=False):
        if str(answer.status) in REFUSALS:
            return f"a request that was understood is answered by {answer.status}"
        if (seen.method, seen.target) == ("POST", "/echo") and answer.body != seen.body:
            return "POST /echo answers with another body than was understood"
    if len(answers) > len(ours.requests):
        status = str(answers[-1].status)
        if status in REFUSALS and status != ours.error[:3]:
            return f"what is refused as {ours.error} is answered by {status}"
    return ""


@dataclass(frozen=True)
class Finding:
    """Something that nobody can explain."""

    what: str
    data: bytes
    seed: int

    def __str__(self) -> str:
        """Show what it is, the bytes, and how to see it again."""
        repeat = f"repeat it with: python -m tester.workshop fuzz --seed {self.seed}"
        return f"{self.what}\n    {self.data!r}\n    {repeat}"


@dataclass
class Hunt:
    """Makes streams up and judges them; counts what it sees."""

    server: ModuleType
    address: Address | None = None
    """Where stage 18's server runs; without it, nothing goes over the wire."""
    counts: collections.Counter[str] = field(default_factory=collections.Counter)

    def try_seed(self, seed: int) -> Finding | None:
        """Make up one stream and return what is wrong, if anything is."""
        chance = random.Random(seed)
        data = make_stream(chance)
        what = self.judge(data, cut(chance, data))
        return Finding(what, data, seed) if what else None

    def judge(self, data: bytes, pieces: Sequence[bytes]) -> str:
        """Return what is wrong with how our server reads `data`; empty if nothing is."""
        ours = read_with_ours(self.server, [data])
        singly = [data[index : index + 1] for index in range(len(data))] if len(data) < 500 else []
        for other in filter(None, (pieces, singly)):
            if read_with_ours(self.server, other) != ours:
                return f"in pieces it is read otherwise than whole: {other}"
        self.counts["streams"] += 1
        self.counts["requests understood"] += len(ours.requests)
        self.counts["streams that ended in a refusal"] += ours.error not in ("", INCOMPLETE)
        return self.compare(ours, data) or self.serve(ours, data, pieces)

    def compare(self, ours: Reading, data: bytes) -> str:
        """Return where a peer reads otherwise for no reason that is known."""
        for peer, read in PEERS.items():
            difference = find_difference(ours, read([data]), peer, data)
            if difference is None:
                self.counts[f"streams read the same as {peer}"] += 1
                continue
            name = explain(difference)
            if name is None:
                who = f"{difference.who} refuses" if difference.who else "both read"
                return f"{peer} differs, {who}: {difference.error}"
            by_whom = (
                f"{peer} takes and we refuse" if difference.who == "ours" else f"{peer} refuses"
            )
            self.counts[f"{by_whom}: {name}"] += 1
        return ""

    def serve(self, ours: Reading, data: bytes, pieces: Sequence[bytes]) -> str:
        """Return what is wrong with the answers of the running server, whole and in pieces."""
        expected = hide_fields(predict(self.server, pieces))
        if wrong := judge_answers(ours, data, expected):
            return wrong
        if self.address is None:
            return ""
        for packets in ([data], pieces):
            try:
                answered = hide_fields(ask(self.address, packets))
            except WireError as error:
                return f"over the wire: {error}"
            if answered != expected:
                return f"over the wire the answer is {answered!r}, by the code it is {expected!r}"
            self.counts["streams sent over the wire"] += 1
        return ""


def start_server() -> Server:
    """Return stage 18's server, ready to be started."""
    path = get_stage(18).server
    return Server(Attempt("stage 18", (sys.executable, "-u", str(path), "--quiet")))


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt for a while, print what was seen, and return 1 if anything was found."""
    parser = OneLineParser(prog="python -m tester.workshop fuzz", description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=SECONDS)
    parser.add_argument("--seed", type=int, help="begin with this one, and go on with the next")
    options = parser.parse_args(arguments)
    seed = random.randrange(10**9) if options.seed is None else options.seed
    print(f"from seed {seed} on, for {options.seconds:g} s", flush=True)
    findings: list[Finding] = []
    hunt = Hunt(load_server())
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # However we end, so does the server.
    with contextlib.suppress(KeyboardInterrupt), start_server() as server:
        hunt.address = server.address
        deadline = time.monotonic() + options.seconds
        while time.monotonic() < deadline and len(findings) < MOST_FINDINGS:
            if finding := hunt.try_seed(seed):
                findings.append(finding)
                print(f"FOUND: {finding}", flush=True)
            seed += 1
    for name, count in sorted(hunt.counts.items()):
        print(f"{count:8} {name}")
    print(f"{len(findings):8} findings")
    return 1 if findings else 0

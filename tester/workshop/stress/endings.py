"""SIGTERM and Ctrl-C: the server finishes the requests in hand, in 2 s at most, and exits 0."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from tester.attempt.server import Server
from tester.grading.client import put_file
from tester.grading.expect import expect_body, expect_status
from tester.grading.words import Words
from tester.wire.connection import Connection
from tester.wire.request import request_bytes
from tester.workshop.stress.watched import BrokenPromise, promise, running, wait_until

SIGNALS = (signal.SIGTERM, signal.SIGINT)
PROMISED = 2.0  # Seconds that the requests in hand have.
STALLED = 40  # Uploads at once that come to a stop: cutting them off must not take a turn for each.
ROOM = 1.0  # Seconds more until it must have exited: Python and a busy machine need some, too.
SLOW = 0.8  # Seconds that a slow client still takes after the signal: well below what it has.
IDLE_TIMEOUT = 10.0  # Seconds: so long that it is not this that ends a stalled upload.
BODY = Words(1).data(100_000)
DOWNLOAD = Words(2).data(20_000_000)  # Bytes: more than the sockets between us keep.
TICKS = b"".join(b"tick %d\n" % number for number in range(1, 6))


@contextlib.contextmanager
def begun_upload(server: Server, name: str) -> Iterator[Connection]:
    """Send half of an upload, and yield the connection: the server has begun to read it."""
    fields = [("Expect", "100-continue")]
    request = request_bytes(f"/files/{name}", "POST", fields, BODY)
    head = request.index(b"\r\n\r\n") + 4
    with Connection(server.address) as connection:
        connection.send(request[:head])
        expect_status(connection.read_response(interim=True), 100)
        connection.send(BODY[: len(BODY) // 2])
        yield connection


@contextlib.contextmanager
def begun_answer(server: Server, target: str) -> Iterator[Connection]:
    """Ask, and yield the connection once the answer has begun; what has come is not read yet."""
    with Connection(server.address) as connection:
        connection.send(request_bytes(target, connection=None))
        wait_until(connection.has_pending, connection.patience)
        yield connection


@contextlib.contextmanager
def silent_clients(server: Server) -> Iterator[None]:
    """Connect a client that never asks, and one that has its answer and stays: none is in hand."""
    with Connection(server.address), Connection(server.address) as stays:
        stays.send(request_bytes("/", connection=None))
        stays.read_response()
        yield


def wait_for_exit(server: Server, number: signal.Signals, sent: float) -> float:
    """Return how many seconds after the signal the server has ended. Raises BrokenPromise."""
    wait_until(lambda: server.exit_code is not None, sent + PROMISED + ROOM - time.monotonic())
    code, seconds = server.exit_code, time.monotonic() - sent
    promise(code is not None, f"{seconds:.1f} s after {number.name}, the server still runs")
    promise(code == 0, f"after {number.name}, the server exits with {code} instead of 0")
    return seconds


def end_at_work(number: signal.Signals, path: Path | None = None) -> float:
    """Send a signal while slow requests are in hand; return the seconds until the exit.

    Raises BrokenPromise unless all of them get their whole answers first.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(path, IDLE_TIMEOUT))
        target = put_file(server, "download.bin", DOWNLOAD)
        stack.enter_context(silent_clients(server))
        upload = stack.enter_context(begun_upload(server, "upload.bin"))
        download = stack.enter_context(begun_answer(server, target))
        stream = stack.enter_context(begun_answer(server, "/stream"))
        os.kill(server.pid, number)
        sent = time.monotonic()
        with explained(f"after {number.name}, /stream was not finished"):
            expect_body(stream.read_response(), TICKS)
        # Not a wait for anything: being slow is what this client is for.
        time.sleep(max(0, sent + SLOW - time.monotonic()))
        with explained(f"after {number.name}, a slow upload was not finished"):
            upload.send(BODY[len(BODY) // 2 :])
            expect_status(upload.read_response(), 201)
        with explained(f"after {number.name}, a slow download was not finished"):
            expect_body(download.read_response(), DOWNLOAD)
        seconds = wait_for_exit(server, number, sent)
        promise(
            (server.public / "upload.bin").read_bytes() == BODY,
            f"after {number.name}, the upload in hand was stored wrongly",
        )
    return seconds


@contextlib.contextmanager
def explained(words: str) -> Iterator[None]:
    """Let what goes wrong say what it was about. Raises BrokenPromise."""
    try:
        yield
    except Exception as error:
        raise BrokenPromise(f"{words}: {error}") from None


def end_with_stalls(number: signal.Signals, path: Path | None = None) -> float:
    """Send a signal while uploads have stalled; return the seconds until the exit.

    Raises BrokenPromise unless they are cut off, and leave nothing.
    """
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(running(path, IDLE_TIMEOUT))
        for upload in range(STALLED):
            stack.enter_context(begun_upload(server, f"never-{upload}.bin"))
        os.kill(server.pid, number)
        seconds = wait_for_exit(server, number, time.monotonic())
        left = sorted(file.name for file in server.public.iterdir())
        promise(not left, f"after {number.name}, stalled uploads have left {', '.join(left[:3])}")
    return seconds


def check_endings(path: Path | None = None) -> list[str]:
    """Send both signals; return what to print. Raises BrokenPromise.

    `path` is another server than stage 18's. To be called by the main thread.
    """
    lines = []
    for number in SIGNALS:
        with heeding_ctrl_c():
            at_work, stalled = end_at_work(number, path), end_with_stalls(number, path)
        lines.append(
            f"{number.name}: a slow upload, a slow download and /stream finished, exit 0 after"
            f" {at_work:.2f} s; {STALLED} stalled uploads cut off, exit 0 after {stalled:.2f} s"
        )
    return lines


@contextlib.contextmanager
def heeding_ctrl_c() -> Iterator[None]:
    """Let what is started meanwhile heed Ctrl-C, which a shell makes background jobs ignore."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

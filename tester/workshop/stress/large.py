"""Large bodies: a download of 1 GB, and uploads as large as the limit allows, cost a few MB."""

from __future__ import annotations

import hashlib
import http.client
import os
import time
from collections.abc import Iterator
from pathlib import Path

from tester.attempt.server import Server
from tester.grading.expect import expect_status
from tester.grading.words import Words
from tester.wire.connection import Connection
from tester.wire.request import request_bytes
from tester.workshop.stress.watched import MEGABYTE, Peak, calm_figures, promise, running

GIGABYTE = 1_000_000_000
LIMIT = 100 * 1024 * 1024  # Bytes: the largest body that the server takes.
PIECE = 256 * 1024  # Bytes that are sent, read and compared at a time.
MARKS = 16  # Places in the sparse file that are not empty.
MOST_GAINED = 8 * MEGABYTE  # Bytes of memory.


def make_sparse_file(path: Path, size: int) -> None:
    """Make a file of `size` bytes that takes hardly any room on the disk: mostly zeros."""
    words = Words(1)
    with path.open("wb") as file:
        file.truncate(size)
        for place in (0, *(words.randrange(size) for _ in range(MARKS)), size - 1000):
            file.seek(place)
            file.write(words.data(1000)[: size - place])


def check_download(server: Server, size: int) -> str:
    """Download a file of `size` bytes and compare it; return what to print."""
    path = server.public / "sparse.bin"
    make_sparse_file(path, size)
    began = time.monotonic()
    client = http.client.HTTPConnection(server.address.host, server.address.port, timeout=30)
    with Peak(server) as peak, path.open("rb") as file:
        client.request("GET", "/files/sparse.bin")
        response = client.getresponse()
        promise(response.status == 200 and response.length == size, "the download was refused")
        while expected := file.read(PIECE):
            promise(
                response.read(len(expected)) == expected,
                f"the download is wrong near byte {file.tell():,}",
            )
        promise(not response.read(), "the download is too long")
    client.close()
    path.unlink()
    seconds = time.monotonic() - began
    return report(f"a download of {size / MEGABYTE:,.0f} MB", peak.gained, seconds)


def make_body(size: int) -> Iterator[bytes]:
    """Yield `size` bytes in pieces."""
    piece = Words(2).data(PIECE)
    for start in range(0, size, PIECE):
        yield piece[: size - start]


def check_upload(server: Server, size: int, *, in_chunks: bool) -> str:
    """Upload `size` bytes and look at the file that they became; return what to print."""
    framing = "chunks" if in_chunks else "Content-Length"
    fields = ("Transfer-Encoding", "chunked") if in_chunks else ("Content-Length", str(size))
    began, sent = time.monotonic(), hashlib.sha256()
    with Peak(server) as peak, Connection(server.address) as connection:
        connection.send(request_bytes("/files/upload.bin", "POST", [fields]))
        for piece in make_body(size):
            sent.update(piece)
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece) if in_chunks else piece)
        connection.send(b"0\r\n\r\n" if in_chunks else b"")
        expect_status(connection.read_response(seconds=30), 201)
    path = server.public / "upload.bin"
    with path.open("rb") as file:
        stored = hashlib.sha256()
        while piece := file.read(PIECE):
            stored.update(piece)
    promise(stored.digest() == sent.digest(), f"an upload of {size:,} bytes was stored wrongly")
    path.unlink()
    seconds = time.monotonic() - began
    return report(f"an upload of {size / MEGABYTE:,.1f} MB with {framing}", peak.gained, seconds)


def check_limit(server: Server, limit: int) -> None:
    """Raise CheckFailed unless a body of a byte more than `limit` is refused."""
    with Connection(server.address) as connection:
        length = ("Content-Length", str(limit + 1))
        connection.send(request_bytes("/files/upload.bin", "POST", [length]))
        expect_status(connection.read_response(), 413)
    promise(not os.listdir(server.public), "a body that was refused has left a file")


def report(what: str, gained: int, seconds: float) -> str:
    """Return what to print of memory that was `gained`. Raises BrokenPromise if it is too much."""
    megabytes = gained / MEGABYTE
    promise(gained < MOST_GAINED, f"{what} costs {megabytes:.1f} MB of memory")
    return f"{what}: {megabytes:.1f} MB of memory at most, {seconds:.1f} s"


def check_large(download: int = GIGABYTE, path: Path | None = None) -> list[str]:
    """Send and fetch large bodies; return what to print. Raises BrokenPromise.

    `download` is in bytes; uploads are as large as the limit allows. `path` is another server than
    stage 18's.
    """
    with running(path) as server:
        calm_figures(server)
        lines = [check_download(server, download)]
        check_limit(server, LIMIT)
        lines.append(check_upload(server, LIMIT, in_chunks=False))
        framing = 10 * (LIMIT // PIECE + 2)  # Bytes: what frames the chunks may count, too.
        lines.append(check_upload(server, LIMIT - framing, in_chunks=True))
    return lines

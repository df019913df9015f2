"""Uploads that break off, at every point: they must leave no file, no half of one, no temporary."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tester.attempt.server import Server
from tester.grading.expect import expect_status
from tester.grading.words import Words
from tester.wire.connection import Connection
from tester.wire.request import chunked, request_bytes
from tester.workshop.stress.watched import calm_figures, expect_calm, promise, running

SMALL = b"small, but whole"
OLD = b"what was here before"
PIECE = 64 * 1024  # Bytes: servers read in pieces of about this size, and large bodies are cut so.
FRAMINGS = ("Content-Length", "chunks")
# How a client leaves. After a reset the server may never see what was sent last; so that it has
# begun with the body for certain, that client asks it to say so (Expect).
WAYS = ("closes", "resets", "stops sending")


@dataclass(frozen=True)
class Upload:
    """An upload of which only the first `sent` bytes are sent."""

    name: str
    framing: str
    way: str
    body: bytes
    sent: int

    def __str__(self) -> str:
        """For a person."""
        return f"an upload with {self.framing} whose client {self.way} after {self.sent} bytes"


def write_upload(name: str, body: bytes, framing: str, *, expects: bool = False) -> bytes:
    """Return the whole request."""
    fields = [("Expect", "100-continue")] if expects else []
    if framing == "chunks":
        pieces = [body[start : start + PIECE] for start in range(0, len(body), PIECE)]
        if len(pieces) == 1:
            pieces = [body[:5], body[5:]]  # A small one has two all the same.
        fields.append(("Transfer-Encoding", "chunked"))
        body = chunked(*pieces)
    return request_bytes(f"/files/{name}", "POST", fields, body)


def plan_uploads(large: bytes, step: int) -> Iterator[Upload]:
    """Yield an upload for every byte of a small one, and for every `step` bytes of a large one.

    The last byte is always missing: otherwise it would be whole.
    """
    for framing in FRAMINGS:
        for way in WAYS:
            for body in (SMALL, large):
                kind = f"{framing}-{way.split()[0]}-{len(body)}"
                whole = len(write_upload(f"{kind}-0000000", body, framing, expects=way == "resets"))
                stride = 1 if body is SMALL else step
                for sent in sorted({*range(1, whole, stride), whole - 1}):
                    yield Upload(f"{kind}-{sent:07}", framing, way, body, sent)


def break_off(server: Server, upload: Upload) -> None:
    """Send the beginning of an upload and leave."""
    expects = upload.way == "resets"
    request = write_upload(upload.name, upload.body, upload.framing, expects=expects)
    head = request.index(b"\r\n\r\n") + 4
    with Connection(server.address) as connection:
        if expects and upload.sent >= head:
            connection.send(request[:head])
            expect_status(connection.read_response(interim=True), 100)
            connection.send(request[head : upload.sent])
        else:
            connection.send(request[: upload.sent])
        if expects:
            connection.reset()
        elif upload.way == "stops sending":
            connection.half_close()
            connection.read_end()


def expect_stored(server: Server, large: bytes) -> None:
    """Raise CheckFailed or BrokenPromise unless whole uploads are stored."""
    for framing in FRAMINGS:
        for body in (SMALL, large):
            with Connection(server.address) as connection:
                connection.send(write_upload("whole", body, framing))
                expect_status(connection.read_response(), 201)
            file = server.public / "whole"
            promise(file.read_bytes() == body, f"a whole upload with {framing} is stored wrongly")
            file.unlink()


def check_uploads(
    size: int = 4_000_000, step: int = 250_000, path: Path | None = None
) -> list[str]:
    """Break off uploads; return what to print. Raises BrokenPromise.

    The large one has `size` bytes, and breaks off every `step` bytes. `path` is another server
    than stage 18's.
    """
    large = Words(1).data(size)
    with running(path) as server:
        expect_stored(server, large)
        before = calm_figures(server)
        uploads = list(plan_uploads(large, step))
        for number, upload in enumerate(uploads):
            if number % 2:
                (server.public / upload.name).write_bytes(OLD)
            break_off(server, upload)
        expect_calm(server, before)
        expect_untouched(server, uploads)
    return [
        f"{len(uploads):,} uploads broken off, after every byte of {len(SMALL)} and every"
        f" {step / 1000:,.0f} KB of {size / 1_000_000:g} MB, with {' and '.join(FRAMINGS)}; client"
        f" {', '.join(WAYS)}: no file, no half, no temporary left",
    ]


def expect_untouched(server: Server, uploads: list[Upload]) -> None:
    """Raise BrokenPromise unless only old files are there, as they were."""
    wanted = {upload.name: upload for upload in uploads[1::2]}
    all_names = {upload.name: upload for upload in uploads}
    for file in server.public.iterdir():
        cause = all_names.get(file.name)
        promise(cause, f"an upload that broke off has left a temporary file: {file.name}")
        promise(file.name in wanted, f"{cause} has left a file")
        promise(file.read_bytes() == OLD, f"{cause} has changed the file that was there")
        del wanted[file.name]
    promise(not wanted, f"{next(iter(wanted.values()), None)} has removed the file that was there")

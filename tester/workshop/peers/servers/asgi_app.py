"""The three answers as an ASGI application, for hypercorn and uvicorn."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from common import BINARY, HTML, PAGE


async def read_body(receive: Callable[[], Awaitable[dict]]) -> bytes:
    """Return the whole body of a request."""
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def make_app(directory: Path) -> Callable[..., Awaitable[None]]:
    """Return the application that serves the files of `directory`."""

    async def app(scope: dict, receive: Callable, send: Callable) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise NotImplementedError(scope["type"])  # That says: no start and end of ours.
        path, content_type = scope["path"], BINARY
        if path == "/":
            content_type, body = HTML, PAGE
        elif path == "/echo":
            body = await read_body(receive)
        else:
            body = (directory / Path(path).name).read_bytes()
        fields = [
            (b"content-type", content_type.encode()),
            (b"content-length", b"%d" % len(body)),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    return app

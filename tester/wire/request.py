"""Writes requests: the bytes to send, well-formed unless a check wants otherwise."""

from __future__ import annotations

from collections.abc import Iterable

Fields = Iterable[tuple[str, str]]


def request_bytes(
    target: str = "/",
    method: str = "GET",
    fields: Fields = (),
    body: bytes | None = None,
    *,
    version: str = "1.1",
    host: str | None = "localhost",
    connection: str | None = "close",
) -> bytes:
    """Write a request. A `body` gets a Content-Length, unless `fields` say where it ends.

    >>> request_bytes("/a", connection=None)
    b'GET /a HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n'
    """
    lines = [f"{method} {target} HTTP/{version}"]
    lines += [f"Host: {host}"] if host is not None else []
    lines += [f"{name}: {value}" for name, value in fields]
    names = {name.lower() for name, _ in fields}
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(body)}")
    if connection is not None and "connection" not in names:
        lines.append(f"Connection: {connection}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")


def chunked(*chunks: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """Write `chunks` as a chunked body that ends with the last chunk, or with `end`.

    >>> chunked(b"hello")
    b'5\\r\\nhello\\r\\n0\\r\\n\\r\\n'
    """
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + end

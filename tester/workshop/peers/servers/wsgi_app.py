"""The three answers as a WSGI application (PEP 3333), for cheroot, waitress and gunicorn."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from wsgiref.util import FileWrapper

from common import BINARY, HTML, PAGE

PIECE = 64 * 1024  # Bytes of a file that are handled at a time.


def make_app(directory: Path) -> Callable[[dict, Callable], Iterable[bytes]]:
    """Return the application that serves the files of `directory`."""

    def app(environ: dict, start_response: Callable) -> Iterable[bytes]:
        """Answer one request."""
        path, content_type = environ["PATH_INFO"], BINARY
        if path == "/":
            content_type, body = HTML, [PAGE]
        elif path == "/echo":
            body = [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]
        else:
            file = open(directory / Path(path).name, "rb")  # The server closes it.
            length = os.fstat(file.fileno()).st_size
            body = environ.get("wsgi.file_wrapper", FileWrapper)(file, PIECE)
        if isinstance(body, list):
            length = len(body[0])
        fields = [("Content-Type", content_type), ("Content-Length", str(length))]
        start_response("200 OK", fields)
        return body

    return app

"""waitress, the server of Pyramid: one thread for the sockets, and a pool for the answers."""

from __future__ import annotations

import logging

import waitress
from common import BACKLOG, CONNECTIONS, HOST, THREADS, read_settings
from wsgi_app import make_app

if __name__ == "__main__":
    settings = read_settings()
    logging.getLogger("waitress").setLevel(logging.ERROR)  # Not a line whenever requests wait.
    waitress.serve(
        make_app(settings.directory),
        host=HOST,
        port=settings.port,
        threads=THREADS,
        backlog=BACKLOG,
        connection_limit=CONNECTIONS,
    )

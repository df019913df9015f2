"""cheroot, the server of CherryPy: a pool of threads."""

from __future__ import annotations

from cheroot.wsgi import Server
from common import BACKLOG, CONNECTIONS, HOST, THREADS, read_settings
from wsgi_app import make_app

if __name__ == "__main__":
    settings = read_settings()
    server = Server(
        (HOST, settings.port),
        make_app(settings.directory),
        numthreads=THREADS,
        request_queue_size=BACKLOG,
    )
    server.keep_alive_conn_limit = CONNECTIONS
    server.start()

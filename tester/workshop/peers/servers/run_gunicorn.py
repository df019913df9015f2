"""gunicorn with its worker of threads (gthread): one worker, as all others are one process too."""

from __future__ import annotations

from common import BACKLOG, CONNECTIONS, HOST, THREADS, read_settings
from gunicorn.app.base import BaseApplication
from wsgi_app import make_app

settings = read_settings()
OPTIONS = {
    "bind": f"{HOST}:{settings.port}",
    "workers": 1,
    "worker_class": "gthread",
    "threads": THREADS,
    "worker_connections": CONNECTIONS,
    "keepalive": 5,  # Seconds, as others have it; its own 2 are meant for browsers.
    "backlog": BACKLOG,
    "http_parser": "python",
    "loglevel": "error",
    "control_socket_disable": True,  # It would be a file in the home folder.
}


class Application(BaseApplication):
    """gunicorn, told what to do by us instead of by a command line."""

    def load_config(self) -> None:
        """Take our options."""
        for name, value in OPTIONS.items():
            self.cfg.set(name, value)

    def load(self) -> object:
        """Return what it serves."""
        return make_app(settings.directory)


if __name__ == "__main__":
    Application().run()

"""hypercorn, which parses by h11, on asyncio's loop."""

from __future__ import annotations

import asyncio

from asgi_app import make_app
from common import BACKLOG, HOST, read_settings
from hypercorn.asyncio import serve
from hypercorn.config import Config

if __name__ == "__main__":
    settings = read_settings()
    config = Config()
    config.bind = [f"{HOST}:{settings.port}"]
    config.backlog = BACKLOG
    config.keep_alive_max_requests = 10**9  # Its own 1000 would end connections in mid-load.
    config.loglevel = "ERROR"
    asyncio.run(serve(make_app(settings.directory), config))

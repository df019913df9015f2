"""uvicorn: parsed by h11, on asyncio's loop; `--fast`: by httptools, which is C, on uvloop."""

from __future__ import annotations

import uvicorn
from asgi_app import make_app
from common import BACKLOG, HOST, read_settings

if __name__ == "__main__":
    settings = read_settings()
    uvicorn.run(
        make_app(settings.directory),
        host=HOST,
        port=settings.port,
        backlog=BACKLOG,
        http="httptools" if settings.fast else "h11",
        loop="uvloop" if settings.fast else "asyncio",
        lifespan="off",
        access_log=False,
        log_level="error",
    )

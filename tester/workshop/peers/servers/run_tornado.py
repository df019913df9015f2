"""tornado, framework and server in one, on asyncio's loop."""

from __future__ import annotations

import asyncio

from common import BACKLOG, BINARY, HOST, HTML, PAGE, read_settings
from tornado.web import Application, RequestHandler, StaticFileHandler


class PageHandler(RequestHandler):
    """Sends the page."""

    def get(self) -> None:
        """Answer GET."""
        self.set_header("Content-Type", HTML)
        self.write(PAGE)


class EchoHandler(RequestHandler):
    """Sends the body back."""

    def post(self) -> None:
        """Answer POST."""
        self.set_header("Content-Type", BINARY)
        self.write(self.request.body)


async def main() -> None:
    """Serve until a signal ends the program."""
    settings = read_settings()
    files = ("/files/(.*)", StaticFileHandler, {"path": settings.directory})
    routes = [("/", PageHandler), ("/echo", EchoHandler), files]
    app = Application(routes, log_function=lambda handler: None)
    app.listen(settings.port, HOST, backlog=BACKLOG)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())

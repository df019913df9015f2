"""aiohttp, framework and server in one, on asyncio's loop; it parses by llhttp, which is C."""

from __future__ import annotations

from aiohttp import web
from common import BACKLOG, BINARY, HOST, PAGE, read_settings


async def send_page(request: web.Request) -> web.Response:
    """Answer `GET /`."""
    return web.Response(body=PAGE, content_type="text/html", charset="utf-8")


async def echo(request: web.Request) -> web.Response:
    """Send the body back."""
    return web.Response(body=await request.read(), content_type=BINARY)


if __name__ == "__main__":
    settings = read_settings()
    app = web.Application()
    routes = [web.get("/", send_page), web.post("/echo", echo)]
    app.add_routes([*routes, web.static("/files", settings.directory)])
    web.run_app(
        app, host=HOST, port=settings.port, backlog=BACKLOG, access_log=None, print=lambda *_: None
    )

"""Lets pages from everywhere ask for flags and send events, with the key in their code.

On every answer of these routes, errors too: a browser hides an answer without these headers from
the page, which then cannot tell a wrong key from a server that is away. Cookies open none of them.
"""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = ("/api/", "/sub/", "/ofrep/", "/track")
"""How the paths of these routes begin."""

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "x-sse-support, x-unrecoverable, etag, retry-after",
}
PREFLIGHT = CORS | {
    "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
    # The asterisk stands for every header but Authorization.
    "Access-Control-Allow-Headers": "*, Authorization",
    "Access-Control-Max-Age": "86400",
}


class OpenToBrowsers:
    """Answers preflights, and adds the headers to what the routes answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http" or not scope["path"].startswith(OPEN):
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS":
            await Response(headers=PREFLIGHT)(scope, receive, send)
            return

        async def send_openly(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in CORS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_openly)

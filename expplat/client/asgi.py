"""Middleware for any ASGI application (FastAPI, Starlette, Litestar, Django): times each request.

    app.add_middleware(ExpplatMiddleware, client=client, unit="x-user-id")

Reported of each request that has a unit, as its outcomes: `latency_ms` until the last byte of the
answer, `error` (1 for a status of 500 or more, or an exception before that byte), and what
`usage()` was told, in background tasks too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from expplat.client._client import Client
from expplat.client._guard import attempt
from expplat.client._timing import RequestScope

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


class ExpplatMiddleware:
    """Runs each HTTP request of an application as a request of its unit."""

    def __init__(
        self,
        app: App,
        *,
        client: Client,
        unit: str | Callable[[Scope], str | None],
        flag: str | None = None,
    ) -> None:
        """Wrap an application.

        Args:
            app: The application.
            client: Takes the outcomes.
            unit: The name of the header that holds the unit, or a function of the ASGI scope.
                A request without a unit is not reported.
            flag: The test that the outcomes belong to; None, and they count for every test that
                the unit is in.
        """
        self._app = app
        self._client = client
        self._unit = _header(unit) if isinstance(unit, str) else unit
        self._flag = flag

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._client.request(unit=self._unit_of(scope), flag=self._flag) as request:
            await self._app(scope, receive, _watching(send, request))

    def _unit_of(self, scope: Scope) -> str | None:
        return attempt(self._client, "unit", lambda: self._unit(scope), lambda: None)


_CONTENT = ("http.response.body", "http.response.pathsend")


def _watching(send: Send, request: RequestScope) -> Send:
    async def watched(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] >= 500:
            request.failed = True
        await send(message)
        if message["type"] in _CONTENT and not message.get("more_body", False):
            request.stop()

    return watched


def _header(name: str) -> Callable[[Scope], str | None]:
    wanted = name.lower().encode("latin-1")

    def value(scope: Scope) -> str | None:
        for key, content in scope["headers"]:
            if key.lower() == wanted:
                return bytes(content).decode("latin-1")
        return None

    return value

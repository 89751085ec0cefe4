"""Slow senders: what must have arrived by when.

`expplat serve` speaks `PatientProtocol`; whoever runs the service under a uvicorn of their own
passes it as `http`, or puts a proxy before it. Bodies are watched whatever runs it.
"""

from __future__ import annotations

import asyncio

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADERS_WITHIN_S = 10.0
"""Seconds from the first byte of a request, or from the connection, to the end of its headers."""

BODY_WITHIN_S = 30.0
"""Seconds from the end of the headers to the end of the body."""


class PatientProtocol(HttpToolsProtocol):
    """HTTP/1.1 as uvicorn speaks it; closes connections whose headers do not come to an end."""

    _late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """End with the connection."""
        self._stop()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin to wait, if it is not the first request of the connection."""
        super().on_message_begin()
        if self._late is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Wait no longer; the body is watched by `BodyDeadline`."""
        self._stop()
        super().on_headers_complete()

    def _wait(self) -> None:
        self._late = self.loop.call_later(HEADERS_WITHIN_S, self.transport.close)

    def _stop(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None


class BodyDeadline:
    """Answers 408 to a request whose body does not come to an end."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        deadline = asyncio.get_running_loop().time() + BODY_WITHIN_S
        is_whole = False

        async def receive_in_time() -> Message:
            nonlocal is_whole
            if is_whole:
                return await receive()
            try:
                async with asyncio.timeout_at(deadline):
                    message = await receive()
            except TimeoutError:
                is_whole = True
                raise HTTPException(
                    408, "The body did not arrive in time.", {"Connection": "close"}
                ) from None
            is_whole = not message.get("more_body", False)
            return message

        await self._app(scope, receive_in_time, send)

"""What the service is held against: ASGI applications that do nothing but answer.

`answering` gives one known answer, or 304 to who has its ETag; `broadcasting` sends a message to
every stream when it is told to. Both run under the same uvicorn as the service.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

Scope = dict[str, Any]

EVENT_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Answering:
    """Gives the answer that a file holds: its headers and its body."""

    def __init__(self) -> None:
        kept = json.loads(Path(os.environ["BARE_ANSWER"]).read_bytes())
        self._body: bytes = kept["body"].encode()
        self._headers = [(name.encode(), value.encode()) for name, value in kept["headers"]]
        self._bodiless = [
            (name, value)
            for name, value in self._headers
            if name not in (b"content-length", b"content-type")
        ]
        self._etag = dict(self._headers)[b"etag"]

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if (b"if-none-match", self._etag) in scope["headers"]:
            await send({"type": "http.response.start", "status": 304, "headers": self._bodiless})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await send({"type": "http.response.body", "body": self._body})


class Broadcasting:
    """`POST` hands its body to every stream; `GET` is a stream."""

    def __init__(self) -> None:
        self._message = b": hello\n\n"
        self._next = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            return
        if scope["method"] == "POST":
            self._message = (await receive())["body"]
            told, self._next = self._next, asyncio.Event()
            told.set()
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await send({"type": "http.response.start", "status": 200, "headers": EVENT_STREAM})
        await receive()  # the request; what comes next is the end
        gone = asyncio.ensure_future(receive())
        while not gone.done():
            told = asyncio.ensure_future(self._next.wait())
            await send({"type": "http.response.body", "body": self._message, "more_body": True})
            await asyncio.wait({gone, told}, return_when=asyncio.FIRST_COMPLETED)


def answering() -> Answering:
    """Return the application, for `uvicorn --factory`."""
    return Answering()


def broadcasting() -> Broadcasting:
    """Return the application, for `uvicorn --factory`."""
    return Broadcasting()

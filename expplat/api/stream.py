"""`GET /sub/{client_key}`: server-sent events, the whole payload in each.

retry: 5000                     once, on connect
id, event: features, data       at once on connect, and at every change
: ping                          every 15 seconds, so that proxies and clients know it is alive

A key whose users are evaluated here is sent `event: features-updated` without data instead: its
clients then ask for their own flags again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from expplat.api.features import client_key_of, unknown_client
from expplat.api.service import Service, ServiceDep
from expplat.errors import DependencyError, TryLaterError
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["flags"])

PING_EVERY_S = 15.0
NEIGHBOURS_S = 0.3
"""Seconds until every other server of the same database has seen a change too: a client that is
told to ask again may come to any of them."""

RETRY = b"retry: 5000\n\n"
PING = b": ping\n\n"
HEADERS = {"Cache-Control": "no-cache, no-transform", "X-Accel-Buffering": "no"}

Message = Callable[[], bytes]
"""Says what a stream has to say now."""


@router.get("/sub/{client_key}")
async def stream_features(client_key: str, service: ServiceDep) -> Response:
    """Send every flag now, and again at every change."""
    try:
        key = await client_key_of(service, client_key)
    except (DependencyError, TryLaterError):
        return StreamingResponse(_silence(service), headers=HEADERS, media_type="text/event-stream")
    if key is None:
        return unknown_client()
    delay_s = NEIGHBOURS_S if key.delivery == "remote" else 0.0
    return event_stream(service, key, lambda: service.deliveries.of(key).message, delay_s=delay_s)


def event_stream(
    service: Service, key: AccessKey, message: Message, *, delay_s: float = 0.0
) -> Response:
    """Return a stream that says a message now, and again whenever it is another.

    It ends when the key is revoked or the server closes.

    Args:
        service: The server.
        key: Whose stream it is.
        message: What there is to say.
        delay_s: Seconds between a change and its message; the first message comes at once.
    """
    lines = _lines(service, key, message, delay_s)
    return StreamingResponse(lines, headers=HEADERS, media_type="text/event-stream")


async def _lines(
    service: Service, key: AccessKey, message: Message, delay_s: float
) -> AsyncIterator[bytes]:
    yield RETRY
    sent: bytes | None = None
    while not service.bell.is_over and not service.feed.is_revoked(key):
        # Asked for before the message is read, so that no change falls between the two.
        next_ring = service.bell.next_ring()
        if message() == sent:
            if not await _is_set_within(next_ring, PING_EVERY_S):
                yield PING
            continue
        if sent is not None and delay_s:
            await asyncio.sleep(delay_s)
        sent = message()
        yield sent


async def _silence(service: Service) -> AsyncIterator[bytes]:
    """Say nothing until the database answers again, then end, so that the client comes again.

    Whether a key is valid that is younger than the outage cannot be known before, and some clients
    that are refused once never come back.
    """
    asked_at = time.monotonic()
    yield RETRY
    while not service.bell.is_over:
        if service.feed.seconds_since_database < time.monotonic() - asked_at:
            return
        await _is_set_within(service.bell.next_ring(), 1.0)
        yield PING


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

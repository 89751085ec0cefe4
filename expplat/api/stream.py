"""`GET /sub/{client_key}`: server-sent events, the whole payload in each.

retry: 5000                     once, on connect
id, event: features, data       at once on connect, and at every change
: ping                          every 15 seconds, so that proxies and clients know it is alive
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi import APIRouter
from starlette.responses import Response, StreamingResponse

from expplat.adapters.growthbook_payload import Payload
from expplat.api.features import CORS, PREFLIGHT, client_key_of, unknown_client
from expplat.api.service import Service, ServiceDep
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["flags"])

PING_EVERY_S = 15.0
HEADERS = CORS | {
    "Cache-Control": "no-cache, no-transform",
    "X-Accel-Buffering": "no",
}


@router.get("/sub/{client_key}")
async def stream_features(client_key: str, service: ServiceDep) -> Response:
    """Send every flag now, and again at every change."""
    key = await client_key_of(service, client_key)
    if key is None:
        return unknown_client()
    return StreamingResponse(
        _messages(service, key), headers=HEADERS, media_type="text/event-stream"
    )


@router.options("/sub/{client_key}", include_in_schema=False)
async def allow_stream() -> Response:
    """Answer the preflight of browsers."""
    return Response(headers=PREFLIGHT)


async def _messages(service: Service, key: AccessKey) -> AsyncIterator[bytes]:
    yield b"retry: 5000\n\n"
    sent: Payload | None = None
    while not service.bell.is_over and not service.feed.is_revoked(key):
        # Asked for before the payload is read, so that no change falls between the two.
        next_ring = service.bell.next_ring()
        payload = service.feed.payload
        if payload is not sent:
            yield _event(payload)
            sent = payload
        elif not await _is_set_within(next_ring, PING_EVERY_S):
            yield b": ping\n\n"


def _event(payload: Payload) -> bytes:
    return b"id: %d\nevent: features\ndata: %b\n\n" % (payload.revision, payload.body)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True

"""`POST /v1/batch` and `/track`: clients of Segment, RudderStack and GrowthBook, as they are."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from expplat.adapters.wire import growthbook_track, segment
from expplat.api.access import header_secret, identify
from expplat.api.bodies import Body, batch_of, read_body, read_json
from expplat.api.events import shown
from expplat.api.intake import take_in
from expplat.api.service import Service, ServiceDep
from expplat.flow.event_judging import Incoming
from expplat.flow.ingest import Receipt
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["events"])

MEDIA_TYPES = ("application/json", "text/plain")
"""Browsers ask nobody before they send a text, so that plugins call their JSON one."""


def _documented(schema: dict[str, Any]) -> dict[str, Any]:
    content = {"application/json": {"schema": schema}}
    return {"requestBody": {"required": True, "content": content}}


BATCH = _documented(
    {
        "type": "object",
        "properties": {
            "batch": {"type": "array", "items": {"type": "object"}},
            "sentAt": {"type": "string"},
            "writeKey": {"type": "string"},
        },
        "required": ["batch"],
    }
)
TRACK = _documented({"type": "array", "items": {"type": "object"}})


@router.post("/v1/batch", openapi_extra=BATCH)
async def post_batch(request: Request, service: ServiceDep) -> Receipt:
    """Keep the `track` calls of Segment's and RudderStack's clients; the key is their write key."""
    body = await read_body(request, MEDIA_TYPES)
    secret = header_secret(request.headers)
    # Whoever shows a key in the header is asked for it before any work is done.
    key = await _writer(service, secret) if secret else None
    document, events = await run_in_threadpool(_read_batch, body)
    key = key or await _writer(service, segment.write_key(document))
    return shown(await take_in(service, key, events, segment.sent_at(document)))


@router.post("/track", openapi_extra=TRACK)
async def post_track(
    request: Request, service: ServiceDep, client_key: str | None = None
) -> Receipt:
    """Keep the events of GrowthBook's tracking plugins; `client_key` may send events."""
    body = await read_body(request, MEDIA_TYPES)
    key = await _writer(service, client_key or header_secret(request.headers))
    events = await run_in_threadpool(_read_track, body)
    return shown(await take_in(service, key, events))


async def _writer(service: Service, secret: str | None) -> AccessKey:
    key = await identify(service, secret)
    if key.kind == "ingest" or key.writes_events:
        return key
    raise HTTPException(403, "This takes an ingest key, or a client key that may send events.")


def _read_batch(body: Body) -> tuple[object, list[Incoming]]:
    document = read_json(body.unpacked())
    return document, [segment.translate(event) for event in batch_of(document)]


def _read_track(body: Body) -> list[Incoming]:
    events = batch_of(read_json(body.unpacked()))
    return [growthbook_track.translate(event, lambda: str(uuid4())) for event in events]

"""`POST /v1/exposures` and `/v1/outcomes`: events from production services.

The body is an object with `batch`, a bare array, one event, or one event a line (NDJSON), gzipped
if you like. The answer is 200 once the body can be read; it says what became of each event.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from io import BytesIO
from itertools import islice
from typing import Any, NamedTuple

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from expplat.api.access import IngestDep
from expplat.api.bodies import MAX_EVENTS, Body, batch_of, must_be_few, read_body, read_json
from expplat.api.intake import MAX_ERRORS_SHOWN, take_in
from expplat.api.service import Service, ServiceDep
from expplat.flow.event_judging import Incoming, Kind
from expplat.flow.event_times import parse_instant
from expplat.flow.ingest import Receipt
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["events"])

LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
MEDIA_TYPES = ("application/json", *LINES)


def _documented(event: dict[str, str], required: list[str]) -> dict[str, Any]:
    types = {name: {"type": kind} for name, kind in event.items()}
    schema = {"type": "object", "properties": types, "required": required}
    fields = {"batch": {"type": "array", "items": schema}, "sent_at": {"type": "string"}}
    batch = {"type": "object", "properties": fields, "required": ["batch"]}
    content = {"application/json": {"schema": {"anyOf": [batch, schema]}}}
    return {"requestBody": {"required": True, "content": content}}


EXPOSURE = _documented(
    {"id": "string", "experiment": "string", "variation": "string", "unit": "string",
     "unit_type": "string", "timestamp": "string", "phase": "integer", "feature": "string",
     "attributes": "object", "source": "string", "properties": "object"},
    ["experiment", "variation", "unit"],
)  # fmt: skip
OUTCOME = _documented(
    {"id": "string", "unit": "string", "unit_type": "string", "metric": "string",
     "value": "number", "timestamp": "string", "experiment": "string", "properties": "object"},
    ["id", "unit", "metric"],
)  # fmt: skip


@router.post("/v1/exposures", openapi_extra=EXPOSURE)
async def post_exposures(request: Request, service: ServiceDep, key: IngestDep) -> Receipt:
    """Keep exposures: who was shown which variant of which test."""
    return await _take("exposure", request, service, key)


@router.post("/v1/outcomes", openapi_extra=OUTCOME)
async def post_outcomes(request: Request, service: ServiceDep, key: IngestDep) -> Receipt:
    """Keep outcomes: what happened to a unit afterwards, as the value of a metric."""
    return await _take("outcome", request, service, key)


def shown(receipt: Receipt) -> Receipt:
    """Return a receipt as it is answered: with the first hundred errors."""
    return replace(receipt, errors=receipt.errors[:MAX_ERRORS_SHOWN])


class _Batch(NamedTuple):
    events: list[Incoming]
    sent_at: datetime | None


async def _take(kind: Kind, request: Request, service: Service, key: AccessKey) -> Receipt:
    body = await read_body(request, MEDIA_TYPES)
    batch = await run_in_threadpool(_read, body, kind)
    return shown(await take_in(service, key, batch.events, batch.sent_at))


def _read(body: Body, kind: Kind) -> _Batch:
    content = body.unpacked()
    sent_at = None
    if body.media_type in LINES:
        events = _lines(content)
    else:
        document = read_json(content)
        events = batch_of(document)
        sent_at = _sent_at(document)
    return _Batch([Incoming(kind, event) for event in events], sent_at)


def _sent_at(document: object) -> datetime | None:
    if not isinstance(document, dict) or "batch" not in document:
        return None
    stated = document.get("sent_at")
    sent_at = parse_instant(stated)
    if stated is not None and sent_at is None:
        detail = "`sent_at` must be a time with its zone, such as 2026-01-31T12:00:00Z."
        raise HTTPException(400, detail)
    return sent_at


def _lines(content: bytes) -> list[object]:
    lines = [*islice(filter(bytes.strip, BytesIO(content)), MAX_EVENTS + 1)]
    must_be_few(len(lines))
    return [_json_or_nothing(line) for line in lines]


def _json_or_nothing(line: bytes) -> object:
    try:
        return read_json(line)
    except HTTPException:
        # No event at all; it is refused in its place, and its neighbours are kept.
        return None

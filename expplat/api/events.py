"""`POST /v1/exposures` and `/v1/outcomes`: events from production services.

The body is an object with `batch`, a bare array, one event, or one event a line (NDJSON), gzipped
if you like. The answer is 200 once the body can be read; it says what became of each event.
"""

from __future__ import annotations

import json
import zlib
from typing import Any, NoReturn, Protocol

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from expplat.api.access import IngestDep
from expplat.api.service import Service, ServiceDep
from expplat.flow.ingest import Receipt, take_exposures, take_outcomes
from expplat.flow.ports import AccessKey, Clock, UnitOfWork

router = APIRouter(tags=["events"])

MAX_UNPACKED_BYTES = 5_000_000
MAX_EVENTS = 5_000


class Take(Protocol):
    """Keeps the events of a batch."""

    def __call__(
        self, events: list[object], *, source: str, uow: UnitOfWork, now: Clock
    ) -> Receipt:
        """Return what became of them."""


def _documented(event: dict[str, str], required: list[str]) -> dict[str, Any]:
    types = {name: {"type": kind} for name, kind in event.items()}
    schema = {"type": "object", "properties": types, "required": required}
    batch = {"type": "object", "properties": {"batch": {"type": "array", "items": schema}}}
    content = {"application/json": {"schema": {"anyOf": [batch, schema]}}}
    return {"requestBody": {"required": True, "content": content}}


EXPOSURE = _documented(
    {"id": "string", "experiment": "string", "variation": "string", "unit": "string",
     "timestamp": "string", "phase": "integer", "properties": "object"},
    ["experiment", "variation", "unit"],
)  # fmt: skip
OUTCOME = _documented(
    {"id": "string", "unit": "string", "metric": "string", "value": "number",
     "timestamp": "string", "experiment": "string", "properties": "object"},
    ["id", "unit", "metric"],
)  # fmt: skip


@router.post("/v1/exposures", openapi_extra=EXPOSURE)
async def post_exposures(request: Request, service: ServiceDep, key: IngestDep) -> Receipt:
    """Keep exposures: who was shown which variant of which test."""
    return await _take(take_exposures, request, service, key)


@router.post("/v1/outcomes", openapi_extra=OUTCOME)
async def post_outcomes(request: Request, service: ServiceDep, key: IngestDep) -> Receipt:
    """Keep outcomes: what happened to a unit afterwards, as the value of a metric."""
    return await _take(take_outcomes, request, service, key)


async def _take(take: Take, request: Request, service: Service, key: AccessKey) -> Receipt:
    body = await request.body()
    is_gzipped = request.headers.get("content-encoding", "identity").lower() == "gzip"
    is_lines = "ndjson" in request.headers.get("content-type", "").lower()

    def work() -> Receipt:
        events = read_events(unpack(body) if is_gzipped else body, is_lines=is_lines)
        platform = service.platform
        return take(events, source=key.connection, uow=platform.uow(), now=platform.now)

    return await run_in_threadpool(work)


def unpack(body: bytes) -> bytes:
    """Return what was gzipped, at most five megabytes; 413 for more, 400 for other bytes."""
    inflater = zlib.decompressobj(wbits=31)
    try:
        unpacked = inflater.decompress(body, MAX_UNPACKED_BYTES + 1)
    except zlib.error as error:
        raise HTTPException(400, "The body is not gzip.") from error
    if len(unpacked) > MAX_UNPACKED_BYTES:
        raise HTTPException(413, f"Unpacked, the body is over {MAX_UNPACKED_BYTES} bytes.")
    if not inflater.eof:
        raise HTTPException(400, "The gzip is cut off.")
    return unpacked


def read_events(body: bytes, *, is_lines: bool) -> list[object]:
    """Return the events of a body, of whatever types; 400 if it has none, 413 for too many."""
    events = _lines(body) if is_lines else _batch(_json(body))
    if len(events) > MAX_EVENTS:
        raise HTTPException(413, f"A batch has at most {MAX_EVENTS} events.")
    return events


def _batch(document: object) -> list[object]:
    if isinstance(document, dict):
        document = document.get("batch", [document])
    if not isinstance(document, list):
        raise HTTPException(400, "Send an object with `batch`, an array of events, or one event.")
    return document


def _lines(body: bytes) -> list[object]:
    lines = [line for line in body.split(b"\n", MAX_EVENTS + 1) if line.strip()]
    if len(lines) > MAX_EVENTS:
        return [*lines]
    return [_json_or_nothing(line) for line in lines]


def _json_or_nothing(line: bytes) -> object:
    try:
        return _json(line)
    except HTTPException:
        # No event at all; it is refused in its place, and its neighbours are kept.
        return None


def _json(body: bytes) -> object:
    try:
        document: object = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "The body is not JSON.") from error
    return document


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")

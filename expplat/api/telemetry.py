"""`POST /v1/traces` and `/v1/logs`: OTLP over HTTP, as protobuf or as JSON.

Answers are OTLP's own: what was refused is counted in `partialSuccess`, and never an error.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from fastapi import APIRouter, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from expplat.adapters.wire import otlp, otlp_messages
from expplat.api.access import IngestDep
from expplat.api.bodies import Body, must_be_few, read_body, read_json
from expplat.api.intake import take_in
from expplat.api.pricing import cost_in
from expplat.api.service import Service, ServiceDep
from expplat.flow.ingest import EventFault
from expplat.flow.ports import AccessKey

log = logging.getLogger("expplat.telemetry")

router = APIRouter(tags=["events"])

PROTOBUF, JSON = MEDIA_TYPES = ("application/x-protobuf", "application/json")
DOCUMENTED = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": {"type": "object"}},
            PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
        },
    },
    "responses": {
        "200": {
            "description": "How many were refused, in the form of the request.",
            "content": {
                JSON: {"schema": {"type": "object"}},
                PROTOBUF: {"schema": {"type": "string", "format": "binary"}},
            },
        }
    },
}

MAX_MADE = 20_000
"""Exposures and outcomes of one request: five thousand model calls come to as many. A span may hold
any number of evaluations, and all of them are kept in one transaction."""

MAX_REASONS = 10


class _Signal(NamedTuple):
    """How spans and log records differ."""

    translate: Callable[[Body, Service], otlp.Telemetry]
    answer: Callable[..., bytes]


@router.post("/v1/traces", openapi_extra=DOCUMENTED, response_class=Response)
async def post_traces(request: Request, service: ServiceDep, key: IngestDep) -> Response:
    """Keep what spans say of flags, of model calls and of requests."""
    signal = _Signal(_translate_spans, otlp_messages.answer_to_spans)
    return await _take(signal, request, service, key)


@router.post("/v1/logs", openapi_extra=DOCUMENTED, response_class=Response)
async def post_logs(request: Request, service: ServiceDep, key: IngestDep) -> Response:
    """Keep what log records say of flags."""
    signal = _Signal(_translate_records, otlp_messages.answer_to_records)
    return await _take(signal, request, service, key)


async def _take(signal: _Signal, request: Request, service: Service, key: AccessKey) -> Response:
    body = await read_body(request, MEDIA_TYPES)
    telemetry = await run_in_threadpool(signal.translate, body, service)
    must_be_few(sum(event.kind != "ignored" for event in telemetry.events), MAX_MADE)
    receipt = await take_in(service, key, telemetry.events)
    rejected = {telemetry.places[fault.index] for fault in receipt.errors}
    message = _message(receipt.errors, telemetry.notes)
    if message:
        log.info("of connection %s: %s", key.connection, message)
    content = signal.answer(len(rejected), message, is_json=body.media_type == JSON)
    return Response(content, media_type=body.media_type)


def _translate_spans(body: Body, service: Service) -> otlp.Telemetry:
    spans = otlp_messages.read_spans(_content(body), is_json=body.media_type == JSON)
    must_be_few(len(spans))
    return otlp.translate_spans(spans, cost_in(service.platform.settings.workspace))


def _translate_records(body: Body, service: Service) -> otlp.Telemetry:
    records = otlp_messages.read_records(_content(body), is_json=body.media_type == JSON)
    must_be_few(len(records))
    return otlp.translate_records(records)


def _content(body: Body) -> object:
    content = body.unpacked()
    return read_json(content) if body.media_type == JSON else content


def _message(errors: tuple[EventFault, ...], notes: Counter[str]) -> str:
    """Say in one line what was refused and what was ignored that might have counted."""
    refused = Counter(f"{fault.code}: {fault.message}" for fault in errors)
    parts = [f"refused {count} × {reason}" for reason, count in refused.most_common(MAX_REASONS)]
    parts += [f"ignored {count} × {reason}." for reason, count in notes.most_common(MAX_REASONS)]
    return " ".join(parts)

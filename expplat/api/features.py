"""`GET /api/features/{client_key}`: the payload, as official SDKs ask for it."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from expplat.api.access import identify
from expplat.api.service import Service, ServiceDep
from expplat.errors import KeyRefusedError
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["flags"])

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Expose-Headers": "x-sse-support, etag",
}
PREFLIGHT = CORS | {
    "Access-Control-Allow-Methods": "GET, OPTIONS",
    "Access-Control-Allow-Headers": "*",
    "Access-Control-Max-Age": "86400",
}

MAX_STREAMED_BYTES = 100_000
"""Some SDKs lose their stream for good on a longer line, so they are told to poll instead."""


@router.get("/api/features/{client_key}")
async def read_features(client_key: str, request: Request, service: ServiceDep) -> Response:
    """Return every flag; 304 where the client has them already."""
    if await client_key_of(service, client_key) is None:
        return unknown_client()
    payload = service.feed.payload
    # Caches may keep it, but must ask each time: a rollback has to arrive.
    headers = CORS | {"ETag": payload.etag, "Cache-Control": "public, max-age=0, must-revalidate"}
    if len(payload.body) <= MAX_STREAMED_BYTES:
        headers["x-sse-support"] = "enabled"
    if _has_it(request.headers.get("if-none-match", ""), payload.etag):
        return Response(status_code=304, headers=headers)
    return Response(payload.body, headers=headers, media_type="application/json")


@router.options("/api/features/{client_key}", include_in_schema=False)
async def allow_features() -> Response:
    """Answer the preflight of browsers."""
    return Response(headers=PREFLIGHT)


async def client_key_of(service: Service, secret: str) -> AccessKey | None:
    """Return the client key of a secret; None where it opens no flags."""
    try:
        key = await identify(service, secret)
    except KeyRefusedError:
        return None
    return key if key.kind == "client" else None


def unknown_client() -> Response:
    """Return the answer that SDKs understand: keep what you have, do not try again."""
    content = json.dumps({"status": 400, "error": "Invalid API Key"})
    headers = CORS | {"x-unrecoverable": "1", "Cache-Control": "no-store"}
    return Response(content, 400, headers, media_type="application/json")


def _has_it(if_none_match: str, etag: str) -> bool:
    offered = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in offered or etag.removeprefix("W/") in offered

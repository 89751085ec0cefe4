"""`GET /api/features/{client_key}`: the payload, as official SDKs ask for it."""

from __future__ import annotations

import json

from fastapi import APIRouter, Request
from starlette.responses import Response

from expplat.api.access import identify
from expplat.api.guarding import admit_flag_read
from expplat.api.memory.deliveries import Delivery
from expplat.api.service import Service, ServiceDep
from expplat.errors import KeyRefusedError
from expplat.flow.ports import AccessKey

router = APIRouter(tags=["flags"])


@router.get("/api/features/{client_key}")
async def read_features(client_key: str, request: Request, service: ServiceDep) -> Response:
    """Return every flag, encrypted where the key asks for it; 304 where the client has them."""
    key = await client_key_of(service, client_key)
    if key is None:
        return unknown_client()
    admit_flag_read(service, key, request)
    if key.delivery == "remote":
        return refused("Remote evaluation required for this connection")
    delivery = service.deliveries.of(key)
    headers = flag_headers(delivery)
    if has_it(request.headers.get("if-none-match", ""), delivery.etag):
        return Response(status_code=304, headers=headers)
    return Response(delivery.body, headers=headers, media_type="application/json")


def flag_headers(delivery: Delivery) -> dict[str, str]:
    """Return the headers of flags, and of the answer that they are unchanged."""
    # Caches may keep it, but must ask each time: a rollback has to arrive.
    headers = {"ETag": delivery.etag, "Cache-Control": "public, max-age=0, must-revalidate"}
    if delivery.is_streamed:
        headers["x-sse-support"] = "enabled"
    return headers


async def client_key_of(service: Service, secret: str) -> AccessKey | None:
    """Return the client key of a secret; None where it opens no flags."""
    try:
        key = await identify(service, secret)
    except KeyRefusedError:
        return None
    return key if key.kind == "client" else None


def unknown_client() -> Response:
    """Return the answer that SDKs understand: keep what you have, do not try again."""
    answer = refused("Invalid API Key")
    answer.headers["x-unrecoverable"] = "1"
    return answer


def refused(error: str) -> Response:
    """Return a refusal in the form that SDKs read."""
    content = json.dumps({"status": 400, "error": error})
    return Response(content, 400, {"Cache-Control": "no-store"}, media_type="application/json")


def has_it(if_none_match: str, etag: str) -> bool:
    """Whether a client says that it has what the tag names."""
    offered = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return "*" in offered or etag.removeprefix("W/") in offered

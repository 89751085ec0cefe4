"""`POST /api/eval/{client_key}`: flags of one user, for browsers that are not to see the rules."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import APIRouter, Request
from starlette.responses import Response

from expplat.api.bodies import read_object
from expplat.api.features import client_key_of, refused, unknown_client
from expplat.api.guarding import admit_flag_read
from expplat.api.service import ServiceDep

if TYPE_CHECKING:
    from expplat.adapters.growthbook.evaluation import User

router = APIRouter(tags=["flags"])

MAX_KEYS = 1_000
"""Of the attributes, and of what is forced, each."""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "attributes": {"type": "object", "maxProperties": MAX_KEYS},
                        "forcedVariations": {
                            "type": "object",
                            "maxProperties": MAX_KEYS,
                            "additionalProperties": {"type": "integer"},
                        },
                        "forcedFeatures": {"type": "array", "maxItems": MAX_KEYS},
                        "url": {"type": "string"},
                    },
                }
            }
        },
    }
}


@router.post("/api/eval/{client_key}", openapi_extra=_BODY)
async def evaluate_features(client_key: str, request: Request, service: ServiceDep) -> Response:
    """Return every flag as it is for one user, and what the user's page is to track."""
    key = await client_key_of(service, client_key)
    if key is None:
        return unknown_client()
    admit_flag_read(service, key, request)
    if key.delivery != "remote":
        return refused("Remote evaluation disabled for this connection")
    try:
        user = read_user(read_object(await request.body()))
    except ValueError as error:
        return refused(str(error))
    evaluator = await service.evaluators.newest()
    body = await service.evaluators.in_thread(partial(evaluator.reduced, user))
    headers = {"Cache-Control": "no-store", "x-sse-support": "enabled"}
    return Response(body, headers=headers, media_type="application/json")


def read_user(document: dict[str, Any]) -> User:
    """Return who is to be evaluated.

    Raises:
        ValueError: If a field is of the wrong type, or has too many keys.
    """
    from expplat.adapters.growthbook.evaluation import User

    variations = _object(document, "forcedVariations")
    if not all(type(index) is int for index in variations.values()):
        raise ValueError("`forcedVariations` are indexes.")
    return User(
        attributes=_object(document, "attributes"),
        url=_url(document),
        forced_variations=variations,
        forced_features=_pairs(document.get("forcedFeatures") or []),
    )


def _object(document: dict[str, Any], field: str) -> dict[str, Any]:
    value = document.get(field) or {}
    if not isinstance(value, dict):
        raise ValueError(f"`{field}` is not an object.")
    if len(value) > MAX_KEYS:
        raise ValueError(f"`{field}` has more than {MAX_KEYS} keys.")
    return value


def _pairs(pairs: object) -> dict[str, Any]:
    if not isinstance(pairs, list) or len(pairs) > MAX_KEYS:
        raise ValueError(f"`forcedFeatures` is not an array of at most {MAX_KEYS} pairs.")
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("`forcedFeatures` are pairs of a name and a value.")
    if not all(isinstance(name, str) for name, _ in pairs):
        raise ValueError("`forcedFeatures` are pairs of a name and a value.")
    return dict(pairs)


def _url(document: dict[str, Any]) -> str:
    url = document.get("url") or ""
    if not isinstance(url, str):
        raise ValueError("`url` is not a string.")
    try:
        urlsplit(url)
    except ValueError as error:
        raise ValueError("`url` is no address.") from error
    return url

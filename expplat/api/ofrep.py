"""`/ofrep/v1`: the OpenFeature Remote Evaluation Protocol, for every language with a provider.

    POST /ofrep/v1/evaluate/flags/{key}     one flag for one user
    POST /ofrep/v1/evaluate/flags           every flag for one user, with an ETag
    GET  /ofrep/v1/stream?client_key=…      says when to ask again

The key is a client key, as `Authorization: Bearer` or `X-API-Key`. Where it may write events, to be
evaluated is to be exposed, for who asks is taken to show what is answered. Every flag of a bulk
evaluation counts; ask for single flags where most of them are never looked at.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from expplat.adapters.growthbook.payload import Payload
from expplat.api.access import header_secret
from expplat.api.bodies import read_object
from expplat.api.features import client_key_of, has_it
from expplat.api.remote import MAX_KEYS
from expplat.api.service import Service, ServiceDep
from expplat.api.stream import NEIGHBOURS_S, event_stream
from expplat.flow.flags import is_holdout_key
from expplat.flow.ports import AccessKey

if TYPE_CHECKING:
    from expplat.adapters.growthbook.evaluation import Evaluation, Evaluator, Shown

router = APIRouter(prefix="/ofrep/v1", tags=["flags"])

INACTIVITY_S = 120
"""Seconds after which a page in the background may close its stream."""

_BODY = {
    "requestBody": {
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "context": {
                            "type": "object",
                            "properties": {"targetingKey": {"type": "string"}},
                        }
                    },
                }
            }
        }
    }
}


class _RefusedError(Exception):
    """A request that is answered with an error of the protocol."""

    def __init__(self, status: int, code: str, details: str) -> None:
        super().__init__(details)
        self.status = status
        self.error = ({"errorCode": code} if code else {}) | {"errorDetails": details}


@router.post("/evaluate/flags/{key}", openapi_extra=_BODY)
async def evaluate_flag(
    key: Annotated[str, Path(max_length=500)], request: Request, service: ServiceDep
) -> Response:
    """Return one flag for one user."""
    try:
        access = await _access(request, service)
        context = _context(await request.body())
        evaluator = await service.evaluators.newest()
        if key not in evaluator.flags:
            raise _RefusedError(404, "FLAG_NOT_FOUND", "There is no flag of that name.")
        evaluation = _evaluated(evaluator, key, context)
    except _RefusedError as refused:
        return _answer({"key": key} | refused.error, refused.status)
    await _expose(service, access, evaluator, [evaluation])
    return _answer(_success(evaluation))


@router.post("/evaluate/flags", openapi_extra=_BODY)
async def evaluate_flags(request: Request, service: ServiceDep) -> Response:
    """Return every flag for one user; 304 where the client has just that."""
    try:
        access = await _access(request, service)
        context = _context(await request.body())
    except _RefusedError as refused:
        return _answer(refused.error, refused.status)
    evaluator = await service.evaluators.newest()
    results = await service.evaluators.in_thread(partial(_evaluated_all, evaluator, context))
    await _expose(service, access, evaluator, [one for one in results if not isinstance(one, dict)])
    flags = [one if isinstance(one, dict) else _success(one) for one in results]
    document = {"flags": flags, "eventStreams": [_event_stream(request)]}
    content = _json(document)
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:24]}"'
    if has_it(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers={"ETag": etag, "Cache-Control": "no-store"})
    answer = _answer(document)
    answer.headers["ETag"] = etag
    return answer


@router.get("/stream")
async def stream_changes(
    request: Request, service: ServiceDep, client_key: Annotated[str, Query()] = ""
) -> Response:
    """Say that something changed, whenever it did; the client then asks for its flags again."""
    try:
        access = await _access(request, service, client_key)
    except _RefusedError as refused:
        return _answer(refused.error, refused.status)
    return event_stream(
        service, access, lambda: _refetch(service.feed.payload), delay_s=NEIGHBOURS_S
    )


async def _access(request: Request, service: Service, secret: str = "") -> AccessKey:
    secret = secret or header_secret(request.headers) or request.headers.get("x-api-key", "")
    if not secret:
        raise _RefusedError(401, "", "This needs a client key.")
    key = await client_key_of(service, secret)
    if key is None:
        raise _RefusedError(401, "", "The key is no live client key.")
    return key


def _context(body: bytes) -> dict[str, Any]:
    try:
        document = read_object(body) if body else {}
    except ValueError as error:
        raise _RefusedError(400, "PARSE_ERROR", str(error)) from error
    context = document.get("context") or {}
    if not isinstance(context, dict) or len(context) > MAX_KEYS:
        details = f"`context` is an object of at most {MAX_KEYS} keys."
        raise _RefusedError(400, "INVALID_CONTEXT", details)
    if not isinstance(context.get("targetingKey", ""), str):
        raise _RefusedError(400, "INVALID_CONTEXT", "`targetingKey` is a string.")
    return context


def _evaluated(evaluator: Evaluator, flag: str, context: dict[str, Any]) -> Evaluation:
    from expplat.adapters.growthbook.evaluation import User

    units = evaluator.units_of(flag)
    named = dict.fromkeys({*units, "id"}, context["targetingKey"]) if _has_key(context) else {}
    # What the context says of an attribute itself is nearer to the truth.
    attributes = named | context
    missing = sorted(unit for unit in units if attributes.get(unit) in (None, ""))
    if missing:
        details = f"The flag is for units by {', '.join(missing)}: send it, or a `targetingKey`."
        raise _RefusedError(400, "TARGETING_KEY_MISSING", details)
    evaluation = evaluator.evaluate(flag, User(attributes=attributes))
    if evaluation is None:
        raise _RefusedError(400, "GENERAL", "The flag cannot be evaluated for this context.")
    return evaluation


def _evaluated_all(
    evaluator: Evaluator, context: dict[str, Any]
) -> list[Evaluation | dict[str, str]]:
    results: list[Evaluation | dict[str, str]] = []
    for flag in evaluator.flags:
        try:
            results.append(_evaluated(evaluator, flag, context))
        except _RefusedError as refused:
            results.append({"key": flag} | refused.error)
    return results


def _has_key(context: dict[str, Any]) -> bool:
    return bool(context.get("targetingKey"))


async def _expose(
    service: Service, key: AccessKey, evaluator: Evaluator, evaluations: list[Evaluation]
) -> None:
    if key.writes_events:
        shown = [one for found in evaluations for one in found.shown if _is_ours(one, evaluator)]
        await service.exposures.put(key.connection, dict.fromkeys(shown))


def _is_ours(shown: Shown, evaluator: Evaluator) -> bool:
    return shown.flag in evaluator.slugs and not is_holdout_key(shown.tracking_key)


def _success(evaluation: Evaluation) -> dict[str, Any]:
    success: dict[str, Any] = {
        "key": evaluation.flag,
        "reason": evaluation.reason,
        "variant": evaluation.variant,
        "metadata": {},
    }
    if evaluation.value is not None:
        success["value"] = evaluation.value
    if evaluation.tracking_key:
        success["metadata"]["experiment"] = evaluation.tracking_key
    return success


def _event_stream(request: Request) -> dict[str, Any]:
    secret = header_secret(request.headers) or request.headers.get("x-api-key", "")
    url = request.url_for("stream_changes").include_query_params(client_key=secret)
    # Without scheme and host, which only the client knows for sure: a proxy may have others.
    endpoint = {"requestUri": f"{url.path}?{url.query}"}
    return {"type": "sse", "endpoint": endpoint, "inactivityDelaySec": INACTIVITY_S}


def _refetch(payload: Payload) -> bytes:
    changed_at_s = payload.revision // 1000
    content = {"type": "refetchEvaluation", "etag": payload.etag, "lastModified": changed_at_s}
    return b"id: %d\ndata: %b\n\n" % (payload.revision, _json(content))


def _answer(document: object, status: int = 200) -> Response:
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(_json(document), status, headers, media_type="application/json")


def _json(value: object) -> bytes:
    # Escaped to ASCII: a context may hold a lone surrogate, which UTF-8 cannot.
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()

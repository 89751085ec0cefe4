"""What `/openapi.json` says of answers: every status that a route can answer with, and its form.

The routes say what they take; what all of them have in common, such as problem documents, keys and
limits, is said here once. A test holds the description against what the server really answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

Json = dict[str, Any]

TEXT: Json = {"type": "string"}

COMPONENTS: dict[str, Json] = {
    "Problem": {
        "type": "object",
        "description": "Why not, as of RFC 9457.",
        "required": ["type", "title", "status", "code", "detail"],
        "properties": {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "code": TEXT,
            "detail": TEXT,
            "hint": TEXT,
            "faults": {"type": "array", "items": {"type": "object"}},
        },
    },
    "SdkRefusal": {
        "type": "object",
        "description": "Why not, in the form that GrowthBook's SDKs read.",
        "required": ["status", "error"],
        "properties": {"status": {"const": 400}, "error": TEXT},
    },
    "OfrepRefusal": {
        "type": "object",
        "description": "Why not, as OpenFeature's remote evaluation protocol has it.",
        "required": ["errorDetails"],
        "properties": {"key": TEXT, "errorCode": TEXT, "errorDetails": TEXT},
    },
    "Payload": {
        "type": "object",
        "description": "Flags as GrowthBook's SDKs read them.",
        "required": ["status", "features"],
        "properties": {
            "status": {"const": 200},
            "features": {"type": "object"},
            "encryptedFeatures": TEXT,
            "dateUpdated": {"type": "string", "format": "date-time"},
        },
    },
    "Evaluation": {
        "type": "object",
        "description": "One flag for one user.",
        "required": ["key", "reason", "variant", "metadata"],
        "properties": {
            "key": TEXT,
            "reason": TEXT,
            "variant": TEXT,
            "metadata": {"type": "object"},
        },
    },
    "Evaluations": {
        "type": "object",
        "required": ["flags", "eventStreams"],
        "properties": {
            "flags": {"type": "array", "items": {"type": "object", "required": ["key"]}},
            "eventStreams": {"type": "array", "items": {"type": "object", "required": ["type"]}},
        },
    },
    "Story": {
        "type": "object",
        "description": "A POC with its history, its replays and its looks at users.",
        "required": ["poc"],
        "properties": {"poc": {"type": "object", "required": ["slug", "history"]}},
    },
    "Stories": {
        "type": "object",
        "required": ["pocs"],
        "properties": {"pocs": {"type": "array", "items": {"$ref": "#/components/schemas/Story"}}},
    },
    "Health": {
        "type": "object",
        "required": ["status"],
        "properties": {"status": {"const": "ok"}},
    },
}

KEYS: dict[str, Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "`expplat keys create`"},
    "basic": {"type": "http", "scheme": "basic", "description": "The key as the user."},
}


def _said(status: int, schema: str = "", media_type: str = "application/json") -> Json:
    said: Json = {"description": HTTPStatus(status).phrase}
    if schema:
        said["content"] = {media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return said


def _problems(*statuses: int) -> dict[str, Json]:
    return {
        str(status): _said(status, "Problem", "application/problem+json") for status in statuses
    }


def _either(status: int, *schemas: tuple[str, str]) -> dict[str, Json]:
    content = {
        media_type: {"schema": {"$ref": f"#/components/schemas/{schema}"}}
        for schema, media_type in schemas
    }
    return {str(status): {"description": HTTPStatus(status).phrase, "content": content}}


_STREAM: Json = {
    "description": "Server-sent events, until the client or the server ends.",
    "content": {"text/event-stream": {"schema": TEXT}},
}
_NOT_MODIFIED = {"304": _said(304)}
_BAD_FOR_SDKS = _either(
    400, ("SdkRefusal", "application/json"), ("Problem", "application/problem+json")
)
_BAD_FOR_OFREP = _either(
    400, ("OfrepRefusal", "application/json"), ("Problem", "application/problem+json")
)
_AWAY = _problems(503)
_BODY = _problems(408, 413)
_READ = _problems(400, 401, 403, 429) | _AWAY
_SEND = _problems(400, 401, 403, 415, 429) | _BODY | _AWAY


def _ofrep(*statuses: int) -> dict[str, Json]:
    return {str(status): _said(status, "OfrepRefusal") for status in statuses}


OPERATIONS: Mapping[tuple[str, str], Mapping[str, Json]] = {
    ("get", "/api/features/{client_key}"): {
        "200": _said(200, "Payload"), **_NOT_MODIFIED, **_BAD_FOR_SDKS, **_problems(429), **_AWAY,
    },
    ("get", "/sub/{client_key}"): {"200": _STREAM, **_BAD_FOR_SDKS, **_AWAY},
    ("post", "/api/eval/{client_key}"): {
        "200": _said(200, "Payload"), **_BAD_FOR_SDKS, **_problems(429), **_BODY, **_AWAY,
    },
    ("post", "/ofrep/v1/evaluate/flags/{key}"): {
        "200": _said(200, "Evaluation"), **_BAD_FOR_OFREP, **_ofrep(401, 404), **_problems(429),
        **_BODY, **_AWAY,
    },
    ("post", "/ofrep/v1/evaluate/flags"): {
        "200": _said(200, "Evaluations"), **_NOT_MODIFIED, **_BAD_FOR_OFREP, **_ofrep(401),
        **_problems(429), **_BODY, **_AWAY,
    },
    ("get", "/ofrep/v1/stream"): {"200": _STREAM, **_ofrep(401), **_AWAY},
    ("post", "/v1/exposures"): _SEND,
    ("post", "/v1/outcomes"): _SEND,
    ("post", "/v1/batch"): _SEND,
    ("post", "/track"): _SEND,
    ("post", "/v1/traces"): _SEND,
    ("post", "/v1/logs"): _SEND,
    ("get", "/v1/pocs"): {"200": _said(200, "Stories"), **_READ},
    ("get", "/v1/pocs/{slug}"): {"200": _said(200, "Story"), **_READ, **_problems(404)},
    ("get", "/health"): {"200": _said(200, "Health"), **_AWAY},
}  # fmt: skip
"""By method and path; what is not said here is as the route has it."""

OPEN = frozenset({"/health", "/api/features/{client_key}", "/sub/{client_key}",
                  "/api/eval/{client_key}"})  # fmt: skip
"""Paths that take no key in a header."""


def describe(app: FastAPI) -> None:
    """Let `/openapi.json` say all this; made once, when it is first asked for."""

    def openapi() -> Json:
        if app.openapi_schema is None:
            app.openapi_schema = _described(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _described(app: FastAPI) -> Json:
    document = get_openapi(title=app.title, version=app.version, routes=app.routes)
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {}) | COMPONENTS
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    components["schemas"] = dict(sorted(schemas.items()))
    components["securitySchemes"] = KEYS
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            # The framework promises 422 of its own; what cannot be read is answered with 400.
            operation["responses"].pop("422", None)
            operation["responses"] |= OPERATIONS.get((method, path), {})
            if path not in OPEN:
                operation["security"] = [{name: []} for name in KEYS]
    return document

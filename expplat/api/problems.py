"""Every error as a problem document (RFC 9457); what was sent is never echoed."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from expplat.errors import (
    ConfigurationError,
    ConflictError,
    DatabaseError,
    DependencyError,
    ExpplatError,
    FaultsError,
    InputError,
    KeyRefusedError,
    NotFoundError,
    StageError,
    TryLaterError,
)

log = logging.getLogger("expplat.api")

STATUSES: dict[type[ExpplatError], int] = {
    KeyRefusedError: 401,
    NotFoundError: 404,
    ConflictError: 409,
    StageError: 409,
    InputError: 400,
    DependencyError: 503,
    TryLaterError: 503,
    ConfigurationError: 500,
    ExpplatError: 500,
}
"""The nearest class of an error's ancestry decides."""

RETRY_AFTER_S = 5
CHALLENGE = 'Bearer realm="expplat", Basic realm="expplat", charset="UTF-8"'


def problem(
    status: int, code: str, detail: str, hint: str = "", more: dict[str, Any] | None = None
) -> Response:
    """Return a problem document."""
    document = {
        "type": f"urn:expplat:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
    }
    if hint:
        document["hint"] = hint
    headers = {"Cache-Control": "no-store"}
    if status == 401:
        headers["WWW-Authenticate"] = CHALLENGE
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    # Escaped to ASCII: a message may hold a lone surrogate, which UTF-8 cannot.
    content = json.dumps(document | (more or {}), ensure_ascii=True)
    return Response(content, status, headers, media_type="application/problem+json")


def install_problems(app: FastAPI) -> None:
    """Make problem documents of whatever goes wrong in the routes."""
    app.add_exception_handler(ExpplatError, _on_our_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(Exception, _on_defect)


async def _on_our_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ExpplatError)
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if isinstance(error, DatabaseError):
        # It names hosts, users and files, and whoever asks may be anybody.
        log.error("%s %s", error.message, error.hint)
        detail = "The database is away or refused; the log of the server says what."
        return problem(status, error.code, detail, "Try again in a moment.")
    more = {}
    if isinstance(error, FaultsError):
        more["faults"] = [
            {"line": f.line, "field": f.field, "message": f.message, "hint": f.hint}
            for f in error.faults
        ]
    return problem(status, error.code, error.message, error.hint, more)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = [
        {"field": ".".join(str(part) for part in fault["loc"]), "message": fault["msg"]}
        for fault in error.errors()
    ]
    return problem(400, "invalid_request", "The request is malformed.", more={"faults": faults})


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    answer = problem(status, status.name.lower(), str(error.detail))
    answer.headers.update(error.headers or {})
    return answer


async def _on_defect(request: Request, error: Exception) -> Response:
    return problem(500, "defect", "Something broke in expplat; the log of the server says what.")

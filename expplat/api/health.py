"""`GET /health`: whether this server and its database answer; no key is needed."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from expplat.api.problems import problem
from expplat.api.service import ServiceDep

router = APIRouter(tags=["health"])

MAX_SILENCE_S = 3.0
"""Seconds; the database is asked about five times in each."""


@router.get("/health")
async def read_health(service: ServiceDep) -> Response:
    """Return 200; 503 while the database is away, when flags are served from memory."""
    if service.feed.seconds_since_database > MAX_SILENCE_S:
        return problem(503, "database", "The database is away; the last known flags are served.")
    return JSONResponse({"status": "ok"}, headers={"Cache-Control": "no-store"})

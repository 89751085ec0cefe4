"""`/` and `/pocs/{slug}`: what people look at. A key in the address becomes a cookie at once."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, RedirectResponse, Response

from expplat.api.access import COOKIE, AdminDep, admin_key, identify
from expplat.api.guarding import guarded
from expplat.api.pocs import Slug
from expplat.api.service import ServiceDep
from expplat.flow import read

router = APIRouter(include_in_schema=False)

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
        "form-action 'none'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "Cache-Control": "no-store",
}
"""No script runs on a page, whatever a proposal says."""


@router.get("/")
async def show_overview(
    request: Request, service: ServiceDep, key: Annotated[str | None, Query()] = None
) -> Response:
    """Return the page of all POCs; with `?key=` log in first."""
    if key is not None:
        return await _log_in(request, service, key)
    await admin_key(request, service)
    platform = service.platform

    def draw() -> str:
        uow = platform.uow(readonly=True)
        stories = read.stories(uow=uow, reader=platform.spec_reader)
        return platform.pages.overview(stories, note=service.note)

    return HTMLResponse(await guarded(service, draw), headers=HEADERS)


@router.get("/pocs/{slug}")
async def show_poc_page(slug: Slug, service: ServiceDep, key: AdminDep) -> Response:
    """Return the page of one POC."""
    platform = service.platform

    def draw() -> str:
        uow = platform.uow(readonly=True)
        story = read.story(slug, uow=uow, reader=platform.spec_reader)
        return platform.pages.poc_page(story, note=service.note)

    return HTMLResponse(await guarded(service, draw), headers=HEADERS)


@router.get("/static/expplat.css")
async def show_style(service: ServiceDep) -> Response:
    """Return the style of every page; it says nothing, so it needs no key."""
    style = await run_in_threadpool(service.platform.pages.stylesheet)
    headers = {"Cache-Control": "public, max-age=300"}
    return Response(style, headers=headers, media_type="text/css")


async def _log_in(request: Request, service: ServiceDep, secret: str) -> Response:
    found = await identify(service, secret)
    if found.kind != "admin":
        raise HTTPException(403, "The pages take a key of the kind admin.")
    answer = RedirectResponse("/", 303, headers={"Cache-Control": "no-store"})
    answer.set_cookie(
        COOKIE,
        secret,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
        path="/",
    )
    return answer

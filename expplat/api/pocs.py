"""`GET /v1/pocs`: the stories of POCs as JSON."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Path
from starlette.responses import JSONResponse, Response

from expplat.api.access import AdminDep
from expplat.api.guarding import guarded
from expplat.api.service import ServiceDep
from expplat.domain.plain import to_plain
from expplat.domain.proposal_rules import SLUG_PATTERN
from expplat.flow import read

router = APIRouter(tags=["pocs"])

Slug = Annotated[str, Path(pattern=SLUG_PATTERN)]


@router.get("/v1/pocs")
async def list_pocs(service: ServiceDep, key: AdminDep) -> Response:
    """Return the stories of all POCs, by slug."""
    platform = service.platform
    uow = platform.uow(readonly=True)
    work = partial(read.stories, uow=uow, reader=platform.spec_reader)
    stories = await guarded(service, work)
    return JSONResponse({"pocs": to_plain(stories)}, headers={"Cache-Control": "no-store"})


@router.get("/v1/pocs/{slug}")
async def show_poc(slug: Slug, service: ServiceDep, key: AdminDep) -> Response:
    """Return the story of one POC; 404 where there is none of that name."""
    platform = service.platform
    uow = platform.uow(readonly=True)
    work = partial(read.story, slug, uow=uow, reader=platform.spec_reader)
    story = await guarded(service, work)
    return JSONResponse(to_plain(story), headers={"Cache-Control": "no-store"})

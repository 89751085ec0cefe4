"""What the routes share: the platform, the feed and the bell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from expplat.api.limits.rates import Rates
from expplat.api.limits.workers import Guard
from expplat.api.memory.bell import Bell
from expplat.api.memory.deliveries import Deliveries
from expplat.api.memory.evaluators import Evaluators
from expplat.api.memory.exposure_log import ExposureLog
from expplat.api.memory.feed import Feed
from expplat.wiring import Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One running server."""

    platform: Platform
    feed: Feed
    bell: Bell
    note: str
    """One sentence on top of every page, such as that the users are simulated; empty for none."""

    rates: Rates
    deliveries: Deliveries
    evaluators: Evaluators
    exposures: ExposureLog
    guard: Guard


async def service_of(request: Request) -> Service:
    """Return the server that a request came to; async, for others are called in a thread."""
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(service_of)]

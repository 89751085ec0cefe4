"""Work on the database: a few at a time, and never waited for longer than a deadline.

    admit_events(service, key, len(events))
    receipt = await guarded(service, work)

`work` is called without arguments in a thread of the guard's own, so that a database that hangs
takes none of the threads that everything else is served from.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from starlette.requests import Request

from expplat.api.service import Service
from expplat.flow.ports import AccessKey

R = TypeVar("R")


async def guarded(service: Service, work: Callable[[], R]) -> R:
    """Return what `work` returns, or raise what it raises, within five seconds.

    Work that has begun is not interrupted by the deadline: it may still be committed after its
    sender was told 503. Senders send again, and what is known is known by its id; so only work that
    is safe to repeat belongs here.

    Raises:
        TryLaterError: If too much work is waiting already; this work never begins. Answered 503.
        DatabaseError: If the work has not ended in time. Answered 503.
    """
    return await service.guard.run(work)


def admit_events(service: Service, key: AccessKey, count: int) -> None:
    """Take so many events off what the key's connection may send; may be called from any thread.

    Call it before anything is kept: in the route, or at the beginning of `work`.

    Raises:
        HTTPException: 429 with Retry-After, if the connection sends faster than
            `EXPPLAT_MAX_EVENTS_PER_SECOND`.
    """
    service.rates.admit("events", key.connection, count)


def admit_flag_read(service: Service, key: AccessKey, request: Request) -> None:
    """Count one reading of the flags. Not for streams: SDKs give up on one that answers 429.

    Raises:
        HTTPException: 429 with Retry-After, if one address reads with this key faster than
            `EXPPLAT_MAX_FLAG_READS_PER_SECOND`.
    """
    address = request.client.host if request.client else ""
    service.rates.admit("flags", f"{key.key_id} {address}")

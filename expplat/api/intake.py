"""From a batch, however it came, to its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from expplat.api.guarding import admit_events, guarded
from expplat.api.service import Service
from expplat.errors import ConflictError, TryLaterError
from expplat.flow.event_judging import Incoming
from expplat.flow.ingest import Receipt, take
from expplat.flow.ports import AccessKey

MAX_ERRORS_SHOWN = 100


async def take_in(
    service: Service,
    key: AccessKey,
    events: Sequence[Incoming],
    sent_at: datetime | None = None,
) -> Receipt:
    """Keep the events of a batch, and say what became of each; as `ingest.take`.

    PostgreSQL ends one of two writers that wait for each other. To take a batch again is safe, so
    that is tried here once before the sender is asked to.

    429 if the key sends too fast, 503 if the database is away or busy: then nothing is kept, or it
    is known by its id when it is sent again.
    """
    admit_events(service, key, len(events))
    platform = service.platform

    def attempt() -> Receipt:
        return take(
            events,
            source=key.connection,
            uow=platform.uow(),
            now=platform.now,
            sent_at=sent_at,
            max_age=platform.settings.max_event_age,
        )

    def work() -> Receipt:
        with suppress(ConflictError):
            return attempt()
        try:
            return attempt()
        except ConflictError as error:
            hint = "Nothing was kept. Send it again."
            raise TryLaterError("Other writers were faster twice.", hint=hint) from error

    return await guarded(service, work)

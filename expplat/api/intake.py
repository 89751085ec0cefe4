"""From a batch, however it came, to its receipt."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from expplat.api.guarding import admit_events, guarded
from expplat.api.service import Service
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

    429 if the key sends too fast, 503 if the database is away or busy: then nothing is kept, or it
    is known by its id when it is sent again.
    """
    admit_events(service, key, len(events))
    platform = service.platform

    def work() -> Receipt:
        return take(
            events,
            source=key.connection,
            uow=platform.uow(),
            now=platform.now,
            sent_at=sent_at,
            max_age=platform.settings.max_event_age,
        )

    return await guarded(service, work)

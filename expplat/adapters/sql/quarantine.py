"""Events that could not be taken in, kept with the reason, so that nothing is lost in silence."""

from __future__ import annotations

from dataclasses import fields

from sqlalchemy import Connection, insert, select

from expplat.adapters.sql.tables import quarantined_events
from expplat.domain.online import QuarantinedEvent


class Quarantine:
    """Refused events, in the order they came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, event: QuarantinedEvent) -> None:
        """Keep an event that was refused."""
        row = {
            "source": _storable(event.source),
            "kind": _storable(event.kind),
            "body": _storable(event.body),
            "reason": _storable(event.reason),
            "received_at": event.received_at,
            "stated_at": event.stated_at,
            "at": event.at,
        }
        self._connection.execute(insert(quarantined_events), row)

    def list(self, *, limit: int = 1000) -> tuple[QuarantinedEvent, ...]:
        """Return the newest refused events, newest first."""
        columns = [quarantined_events.c[field.name] for field in fields(QuarantinedEvent)]
        wanted = select(*columns).order_by(quarantined_events.c.id.desc()).limit(limit)
        rows = self._connection.execute(wanted)
        return tuple(QuarantinedEvent(**row._mapping) for row in rows)


def _storable(text: str) -> str:
    """Write zero bytes and lone surrogates as escapes: PostgreSQL and UTF-8 know neither."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")

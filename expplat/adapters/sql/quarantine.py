"""Events that could not be taken in, kept with the reason, so that nothing is lost in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Select, func, select, update

from expplat.adapters.sql.inserts import insert_or_ignore
from expplat.adapters.sql.tables import quarantined_events
from expplat.domain.online import QuarantinedEvent
from expplat.domain.plain import sha256_of

T = TypeVar("T")

MAX_WAITING = 100_000
"""Events that may wait here: a sender whose events are all refused must not fill the disk."""

NAMED_AT_ONCE = 500
"""Rows that one statement names."""


class Quarantine:
    """Refused events, in the order they came."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, events: Sequence[QuarantinedEvent]) -> None:
        """Keep events that were refused; one that waits here already is kept once.

        Where `MAX_WAITING` wait, no other is kept: it was answered with its reason all the same.

        They are inserted in the order of their digests, so that two processes cannot wait for each
        other.
        """
        rows = {row["digest"]: row for row in map(_row, reversed(events))}
        new = sorted(rows.keys() - self._waiting_digests(sorted(rows)))
        kept = new[: self._room_for(len(new))]
        if kept:
            statement = insert_or_ignore(self._connection, quarantined_events)
            self._connection.execute(statement, [rows[digest] for digest in kept])

    def list(self, *, limit: int = 1000) -> tuple[QuarantinedEvent, ...]:
        """Return the newest events that wait, newest first."""
        wanted = _waiting().order_by(quarantined_events.c.number.desc()).limit(limit)
        return tuple(map(_event, self._connection.execute(wanted)))

    def page(self, *, after: int, limit: int) -> tuple[QuarantinedEvent, ...]:
        """Return the events that wait, of numbers over `after`, oldest first."""
        number = quarantined_events.c.number
        wanted = _waiting().where(number > after).order_by(number).limit(limit)
        return tuple(map(_event, self._connection.execute(wanted)))

    def codes(self) -> Mapping[str, int]:
        """Return how many events wait, by the code of the reason."""
        reason = quarantined_events.c.reason
        wanted = select(reason, func.count()).where(_IS_WAITING).group_by(reason)
        counts: Counter[str] = Counter()
        for text, count in self._connection.execute(wanted):
            counts[text.partition(":")[0]] += count
        return dict(sorted(counts.items()))

    def settle(self, numbers: Collection[int], at: datetime) -> None:
        """Note that events wait no more: taken after all, or given up; they stay as history."""
        for some in _in_parts(sorted(numbers)):
            # Without a digest, so that the same event may wait here once more.
            self._connection.execute(
                update(quarantined_events)
                .where(quarantined_events.c.number.in_(some))
                .values(settled_at=at, digest=None)
            )

    def _room_for(self, wanted: int) -> int:
        """Return how many of so many events there is room for.

        There are no more of them than the highest number says, so that most often none is counted.
        """
        newest = self._connection.scalar(select(func.max(quarantined_events.c.number))) or 0
        if newest + wanted <= MAX_WAITING:
            return wanted
        digest = quarantined_events.c.digest
        some = select(digest).where(digest.is_not(None)).limit(MAX_WAITING).subquery()
        waiting = self._connection.scalar(select(func.count()).select_from(some)) or 0
        return min(wanted, MAX_WAITING - waiting)

    def _waiting_digests(self, digests: Sequence[str]) -> frozenset[str]:
        """Return which of them wait here; to ask uses up no number, as a refused insert does."""
        digest = quarantined_events.c.digest
        return frozenset(
            known
            for some in _in_parts(digests)
            for known in self._connection.scalars(select(digest).where(digest.in_(some)))
        )


def _in_parts(wanted: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(wanted), NAMED_AT_ONCE):
        yield wanted[start : start + NAMED_AT_ONCE]


_IS_WAITING = quarantined_events.c.settled_at.is_(None)


def _waiting() -> Select[Any]:
    table = quarantined_events.c
    columns = (table.source, table.kind, table.body, table.reason, table.received_at)
    return select(*columns, table.stated_at, table.at, table.number.label("number")).where(
        _IS_WAITING
    )


def _event(row: Row[Any]) -> QuarantinedEvent:
    return QuarantinedEvent(**row._mapping)


def _row(event: QuarantinedEvent) -> dict[str, Any]:
    source, kind, body = (_storable(text) for text in (event.source, event.kind, event.body))
    return {
        "source": source,
        "kind": kind,
        "body": body,
        "reason": _storable(event.reason),
        "received_at": event.received_at,
        "stated_at": event.stated_at,
        "at": event.at,
        "digest": sha256_of([source, kind, body]),
    }


def _storable(text: str) -> str:
    """Write zero bytes and lone surrogates as escapes: PostgreSQL and UTF-8 know neither."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")

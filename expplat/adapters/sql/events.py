"""Exposures and outcomes: taken in once each, added up where they lie."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

from sqlalchemy import Connection, Table, func, select

from expplat.adapters.sql.bulk import as_written, insert_new
from expplat.adapters.sql.snapshot import take_snapshot
from expplat.adapters.sql.tables import exposures, outcomes
from expplat.domain.metric import Metric
from expplat.domain.online import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    Exposure,
    Outcome,
    Snapshot,
    is_storable,
)
from expplat.domain.plain import canonical_json
from expplat.errors import InputError

E = TypeVar("E", Exposure, Outcome)

ASKED_AT_ONCE = 1_000
"""Ids in one statement: a driver has a limit of its own."""

KINDS: Mapping[str, tuple[Table, type[Exposure] | type[Outcome]]] = {
    "exposure": (exposures, Exposure),
    "outcome": (outcomes, Outcome),
}


class SqlEvents:
    """Events by the key they came with and their own id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_exposures(self, events: Sequence[Exposure], *, source: str) -> frozenset[str]:
        """Keep exposures; return the ids that were new."""
        moment = as_written(self._connection)
        rows = [
            (
                source,
                event.event_id,
                event.slug,
                event.phase,
                event.variant,
                event.unit,
                moment(event.at),
                moment(event.stated_at),
                moment(event.received_at),
                _json(event.properties),
            )
            for event in _once_each(events)
        ]
        return insert_new(self._connection, exposures, rows)

    def add_outcomes(self, events: Sequence[Outcome], *, source: str) -> frozenset[str]:
        """Keep outcomes; return the ids that were new.

        Raises:
            InputError: If a value is not finite, or too large or too small to be squared; then
                nothing of the batch is kept.
        """
        for event in events:
            if not is_storable(event.value):
                raise InputError(
                    f"The outcome {event.event_id!r} has the value {event.value}.",
                    hint=f"Send 0, or a number of {SMALLEST_VALUE} to {LARGEST_VALUE} in size.",
                )
        moment = as_written(self._connection)
        rows = [
            (
                source,
                event.event_id,
                event.unit,
                event.metric,
                event.value,
                moment(event.at),
                moment(event.stated_at),
                moment(event.received_at),
                event.slug,
                _json(event.properties),
            )
            for event in _once_each(events)
        ]
        return insert_new(self._connection, outcomes, rows)

    def stored(
        self, kind: str, ids: Collection[str], *, source: str
    ) -> Mapping[str, Exposure | Outcome]:
        """Return what is kept under these ids of a connection; other ids are left out."""
        table, made = KINDS[kind]
        columns = [column.label(column.key) for column in table.c if column.key != "source"]
        found: dict[str, Exposure | Outcome] = {}
        wanted = sorted(ids)
        for start in range(0, len(wanted), ASKED_AT_ONCE):
            asked = table.c.event_id.in_(wanted[start : start + ASKED_AT_ONCE])
            statement = select(*columns).where(table.c.source == source, asked)
            for row in self._connection.execute(statement).mappings():
                event = made(**{**row, "properties": json.loads(row["properties"])})
                found[event.event_id] = event
        return found

    def shown_since(self, moment: datetime, *, slug: str, phase: int) -> Mapping[str, int]:
        """Return how many units each variant was shown to from a moment on, seen before or not."""
        shown = (
            select(exposures.c.variant, func.count(exposures.c.unit.distinct()))
            .where(exposures.c.slug == slug, exposures.c.phase == phase, exposures.c.at >= moment)
            .group_by(exposures.c.variant)
        )
        return dict(self._connection.execute(shown).all())

    def snapshot(
        self,
        *,
        slug: str,
        phase: int,
        metrics: Sequence[Metric],
        started_at: datetime,
        now: datetime,
    ) -> Snapshot:
        """Add the events of a phase up to sufficient statistics, in the database."""
        arms, multiple_exposures, watermark = take_snapshot(
            self._connection, slug=slug, phase=phase, metrics=metrics
        )
        return Snapshot(
            slug=slug,
            phase=phase,
            watermark=watermark,
            taken_at=now,
            started_at=started_at,
            arms=arms,
            multiple_exposures=multiple_exposures,
        )


def _once_each(events: Sequence[E]) -> list[E]:
    """Return the first event of each id, in the order of ids.

    Two processes that insert in one order hardly ever wait for each other.
    """
    first_of_each = {event.event_id: event for event in reversed(events)}
    return [first_of_each[event_id] for event_id in sorted(first_of_each)]


def _json(properties: Mapping[str, Any]) -> str:
    return canonical_json(properties).decode() if properties else "{}"

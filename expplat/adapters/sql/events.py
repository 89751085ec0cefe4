"""Exposures and outcomes: taken in once each, added up where they lie."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table

from expplat.adapters.sql.inserts import insert_or_ignore
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


class SqlEvents:
    """Events by the key they came with and their own id."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add_exposures(self, events: Sequence[Exposure], *, source: str) -> frozenset[str]:
        """Keep exposures; return the ids that were new."""
        return self._add(exposures, events, source)

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
        return self._add(outcomes, events, source)

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

    def _add(
        self, table: Table, events: Iterable[Exposure | Outcome], source: str
    ) -> frozenset[str]:
        """Insert in the order of ids, so that two processes cannot wait for each other."""
        first_of_each = {event.event_id: event for event in reversed(list(events))}
        if not first_of_each:
            return frozenset()
        rows = [_row(first_of_each[event_id], source) for event_id in sorted(first_of_each)]
        statement = insert_or_ignore(self._connection, table).returning(table.c.event_id)
        return frozenset(self._connection.scalars(statement, rows))


def _row(event: Exposure | Outcome, source: str) -> Mapping[str, Any]:
    values = {field.name: getattr(event, field.name) for field in fields(event)}
    return values | {"source": source, "properties": canonical_json(event.properties).decode()}

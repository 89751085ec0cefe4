"""A batch of plain events, read column by column: in about a third of the time.

Plain are events of one kind that all have an id and a time in UTC, and come from a clock that is
right; exposures name the phase of their test. Most batches are plain. Where anything is odd about
any event there is no reading here, and `event_reading` reads them one by one, which also tells what
is wrong. What both read is the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import repeat
from operator import attrgetter, itemgetter
from typing import Any

from expplat.domain.online import NO_PROPERTIES, Exposure, Outcome, is_storable
from expplat.flow.event_fields import (
    MAX_TEXT,
    MAX_TEXT_BYTES,
    EventError,
    EventFields,
    is_storable_text,
)
from expplat.flow.event_reading import (
    EXPOSURE_FIELDS,
    OUTCOME_FIELDS,
    Tests,
    slug_and_phase,
    variant_of,
)
from expplat.flow.event_times import Arrival

Events = Sequence[Any]
"""Decoded JSON, whatever it is; at least one."""

Column = tuple[Any, ...]
"""One field of every event."""

Shown = tuple[str, int, str]
"""Slug, phase and variant."""


def plain_exposures(events: Events, tests: Tests, arrival: Arrival) -> list[Exposure] | None:
    """Read a batch of plain exposures; None where any other event is among them."""
    fields = ("id", "experiment", "variation", "unit", "timestamp")
    try:
        ids, names, stated, units, times = _columns(events, *fields)
        _must_be_texts(ids, names, units)
        shown = _shown(names, stated, tests, arrival)
        moments = _moments(times, arrival)
        properties = _properties(events, fields, EXPOSURE_FIELDS)
    except (_OddError, EventError):
        return None
    came = arrival.received_at
    return [
        Exposure(event_id, *shown[name, variation], unit, at, came, at, others)
        for event_id, name, variation, unit, at, others in zip(
            ids, names, stated, units, moments, properties, strict=False
        )
    ]


def plain_outcomes(events: Events, tests: Tests, arrival: Arrival) -> list[Outcome] | None:
    """Read a batch of plain outcomes; None where any other event is among them.

    One that names a test is no plain one.
    """
    fields = ("id", "unit", "metric", "value", "timestamp")
    try:
        ids, units, metrics, stated, times = _columns(events, *fields)
        _must_be_texts(ids, units, metrics)
        values = _values(stated)
        moments = _moments(times, arrival)
        properties = _properties(events, fields, OUTCOME_FIELDS)
    except (_OddError, EventError):
        return None
    came = arrival.received_at
    return [
        Outcome(event_id, unit, metric, value, at, came, at, None, others)
        for event_id, unit, metric, value, at, others in zip(
            ids, units, metrics, values, moments, properties, strict=False
        )
    ]


class _OddError(Exception):
    """A batch that is not plain; it never leaves this module."""


def _columns(events: Events, *fields: str) -> Iterable[Column]:
    if set(map(type, events)) != {dict}:
        raise _OddError
    try:
        return zip(*map(itemgetter(*fields), events), strict=True)
    except KeyError:
        raise _OddError from None


def _must_be_texts(*columns: Column) -> None:
    for column in columns:
        if set(map(type, column)) != {str}:
            raise _OddError
        sizes = set(map(len, column))
        joined = "".join(column)
        if min(sizes) < 1 or max(sizes) > MAX_TEXT or not is_storable_text(joined):
            raise _OddError
        if not joined.isascii() and max(map(len, map(str.encode, column))) > MAX_TEXT_BYTES:
            raise _OddError


def _shown(
    names: Column, stated: Column, tests: Tests, arrival: Arrival
) -> Mapping[tuple[str, str | int], Shown]:
    """Return what each pair of a tracking key and a variation means; a batch has few of them."""
    if not set(map(type, stated)) <= {str, int}:
        raise _OddError
    shown: dict[tuple[str, str | int], Shown] = {}
    for name, variation in set(zip(names, stated, strict=True)):
        if slug_and_phase(name)[1] is None:
            raise _OddError
        phase = tests.find(name, None, arrival.received_at)
        variant = variant_of(EventFields({"variation": variation}), phase.arms)
        shown[name, variation] = (phase.slug, phase.number, variant)
    return shown


def _values(stated: Column) -> list[float]:
    if not set(map(type, stated)) <= {int, float, bool}:
        raise _OddError
    try:
        values = list(map(float, stated))
    except OverflowError:
        raise _OddError from None
    if not all(map(is_storable, values)):
        raise _OddError
    return values


def _moments(times: Column, arrival: Arrival) -> list[datetime]:
    if arrival.behind or set(map(type, times)) != {str}:
        raise _OddError
    try:
        moments = list(map(datetime.fromisoformat, times))
    except ValueError:
        raise _OddError from None
    if set(map(attrgetter("tzinfo"), moments)) != {UTC}:
        raise _OddError
    if min(moments) < arrival.earliest or max(moments) > arrival.latest:
        raise _OddError
    return moments


def _properties(
    events: Events, fields: Sequence[str], known: frozenset[str]
) -> Iterable[Mapping[str, Any]]:
    """Return what each event says beside its fields."""
    if set(map(len, events)) == {len(fields)}:
        return repeat(NO_PROPERTIES)
    if any(not known.difference(fields).isdisjoint(event) for event in events):
        raise _OddError
    return [EventFields(event).properties(known) for event in events]

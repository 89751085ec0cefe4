"""From an event as it came over the wire to an exposure or an outcome of a test that was begun."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from expplat.domain.online import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    Exposure,
    Outcome,
    is_storable,
)
from expplat.domain.plain import sha256_of
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.event_fields import EventError, EventFields
from expplat.flow.event_times import Arrival
from expplat.flow.ports import Pocs
from expplat.flow.treatments import replay_ids


class Phase(NamedTuple):
    """One phase of an online test."""

    slug: str
    number: int
    begun_at: datetime
    arms: tuple[str, ...]
    """Its variants, control first."""


class Tests:
    """The online tests that events may belong to, each looked up once a batch."""

    def __init__(self, pocs: Pocs) -> None:
        self._pocs = pocs
        self._begun: dict[str, dict[int, Phase]] = {}
        self._named: dict[tuple[str, int | None], Phase] = {}

    def find(self, name: str, number: int | None, at: datetime) -> Phase:
        """Return a phase of a test.

        Args:
            name: A slug, or a tracking key `slug.pN`, which names the phase too.
            number: Where it is named beside; else it is the one that ran when the event happened,
                however late the event comes. What came before the first one belongs to that.
            at: When the event happened, by our clock.

        Raises:
            EventError: If no test of that name was begun.
        """
        known = self._named.get((name, number))
        if known is not None:
            return known
        slug, stated = slug_and_phase(name)
        begun = self._phases(slug)
        wanted = number if stated is None else stated
        if wanted is not None and wanted in begun:
            return self._named.setdefault((name, number), begun[wanted])
        if wanted is not None or not begun:
            raise EventError("unknown_experiment", "experiment", "No test of that name was begun.")
        ran = [phase for phase in begun.values() if phase.begun_at <= at]
        return max(ran) if ran else min(begun.values())

    def _phases(self, slug: str) -> dict[int, Phase]:
        """Return the phases of a test by their numbers."""
        if slug not in self._begun:
            begun: dict[int, Phase] = {}
            for step in self._pocs.find(slug).history:
                if step.phase:
                    arms = (CONTROL, *(replay_ids(step.evidence) or (TREATMENT,)))
                    begun.setdefault(step.phase, Phase(slug, step.phase, step.at, arms))
            self._begun[slug] = begun
        return self._begun[slug]


def slug_and_phase(name: str) -> tuple[str, int | None]:
    """Read a name as a tracking key `slug.pN`; one that is none is a slug, of no phase."""
    slug, dot, numeral = name.rpartition(".p")
    if dot and numeral.isascii() and numeral.isdigit() and len(numeral) < 7:
        return slug, int(numeral)
    return name, None


EXPOSURE_FIELDS = frozenset({"id", "experiment", "variation", "unit", "timestamp", "phase"})


def read_exposure(event: EventFields, tests: Tests, arrival: Arrival) -> Exposure:
    """Return an event as an exposure; one without an id gets one of its own content."""
    moment = event.moment("timestamp", arrival)
    test = tests.find(event.text("experiment"), event.integer("phase"), moment.at)
    variant = variant_of(event, test.arms)
    unit = event.text("unit")
    return Exposure(
        event_id=event.optional_text("id") or _own_id(test, unit, variant, moment.stated_at),
        slug=test.slug,
        phase=test.number,
        variant=variant,
        unit=unit,
        at=moment.at,
        stated_at=moment.stated_at,
        received_at=arrival.received_at,
        properties=event.properties(EXPOSURE_FIELDS),
    )


def _own_id(test: Phase, unit: str, variant: str, stated_at: datetime | None) -> str:
    """Return an id that is the same whenever the same exposure is sent again.

    The stated time is part of it, so that of two exposures of a unit both are kept, and the earlier
    one counts in whatever order they come.
    """
    content = f"{test.slug}|{test.number}|{unit}|{variant}"
    if stated_at is not None:
        content = f"{content}|{stated_at.isoformat()}"
    return sha256_of(content.encode())


def variant_of(event: EventFields, arms: tuple[str, ...]) -> str:
    """Return the variant that an event names, by its name or its index from 0.

    Raises:
        EventError: If the test has no such variant.
    """
    value = event.fields.get("variation")
    if isinstance(value, str) and value in arms:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        value = arms[value] if value in range(len(arms)) else ""
    elif value is None or not isinstance(value, str):
        value = event.text("variation")
    if value not in arms:
        message = f"A variation is one of {', '.join(arms)}, or its index from 0."
        raise EventError("unknown_variation", "variation", message)
    return value


OUTCOME_FIELDS = frozenset({"id", "unit", "metric", "value", "timestamp", "experiment"})


def read_outcome(event: EventFields, tests: Tests, arrival: Arrival) -> Outcome:
    """Return an event as an outcome; it must have an id, for two may be alike."""
    event_id = event.text("id", missing_code="id_required")
    experiment = event.optional_text("experiment")
    moment = event.moment("timestamp", arrival)
    return Outcome(
        event_id=event_id,
        unit=event.text("unit"),
        metric=event.text("metric"),
        value=_value(event),
        at=moment.at,
        stated_at=moment.stated_at,
        received_at=arrival.received_at,
        slug=None if experiment is None else tests.find(experiment, None, moment.at).slug,
        properties=event.properties(OUTCOME_FIELDS),
    )


def _value(event: EventFields) -> float:
    value = event.number("value", default=1.0)
    if not is_storable(value):
        message = f"`value` must be 0, or {SMALLEST_VALUE} to {LARGEST_VALUE} in size."
        raise EventError("bad_value", "value", message)
    return value

"""From an event as it came over the wire to an exposure or an outcome of a test that was begun."""

from __future__ import annotations

from datetime import datetime

from expplat.domain.online import (
    LARGEST_VALUE,
    SMALLEST_VALUE,
    Exposure,
    Outcome,
    is_storable,
)
from expplat.domain.plain import sha256_of
from expplat.domain.poc import Transition
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.event_fields import EventError, EventFields
from expplat.flow.event_times import Arrival
from expplat.flow.ports import Pocs
from expplat.flow.treatments import replay_ids


class Tests:
    """The online tests that events may belong to, each looked up once a batch."""

    def __init__(self, pocs: Pocs) -> None:
        self._pocs = pocs
        self._begun: dict[str, dict[int, Transition]] = {}

    def find(self, name: str, phase: int | None, at: datetime) -> tuple[str, int]:
        """Return slug and phase of a test.

        Args:
            name: A slug, or a tracking key `slug.pN`, which names the phase too.
            phase: Where it is named beside; else it is the one that ran when the event happened,
                however late the event comes. What came before the first one belongs to that.
            at: When the event happened, by our clock.

        Raises:
            EventError: If no test of that name was begun.
        """
        slug, dot, numeral = name.rpartition(".p")
        if dot and numeral.isascii() and numeral.isdigit() and len(numeral) < 7:
            phase = int(numeral)
        else:
            slug = name
        begun = self._phases(slug)
        if phase is None and begun:
            phase = max((one for one in begun if begun[one].at <= at), default=min(begun))
        if phase not in begun:
            raise EventError("unknown_experiment", "experiment", "No test of that name was begun.")
        return slug, phase

    def arms(self, slug: str, phase: int) -> tuple[str, ...]:
        """Return the variants of a test that `find` has found, control first."""
        treatments = replay_ids(self._phases(slug)[phase].evidence)
        return (CONTROL, *(treatments or (TREATMENT,)))

    def _phases(self, slug: str) -> dict[int, Transition]:
        """Return the step that began each phase of a test."""
        if slug not in self._begun:
            begun: dict[int, Transition] = {}
            for step in self._pocs.find(slug).history:
                if step.phase:
                    begun.setdefault(step.phase, step)
            self._begun[slug] = begun
        return self._begun[slug]


_EXPOSURE_FIELDS = frozenset({"id", "experiment", "variation", "unit", "timestamp", "phase"})


def read_exposure(event: EventFields, tests: Tests, arrival: Arrival) -> Exposure:
    """Return an event as an exposure; one without an id gets one of its own content."""
    moment = event.moment("timestamp", arrival)
    slug, phase = tests.find(event.text("experiment"), event.integer("phase"), moment.at)
    variant = _variant(event, tests.arms(slug, phase))
    unit = event.text("unit")
    return Exposure(
        event_id=event.optional_text("id") or _own_id(slug, phase, unit, variant, moment.stated_at),
        slug=slug,
        phase=phase,
        variant=variant,
        unit=unit,
        at=moment.at,
        stated_at=moment.stated_at,
        received_at=arrival.received_at,
        properties=event.properties(_EXPOSURE_FIELDS),
    )


def _own_id(slug: str, phase: int, unit: str, variant: str, stated_at: datetime | None) -> str:
    """Return an id that is the same whenever the same exposure is sent again.

    The stated time is part of it, so that of two exposures of a unit both are kept, and the earlier
    one counts in whatever order they come.
    """
    content = f"{slug}|{phase}|{unit}|{variant}"
    if stated_at is not None:
        content = f"{content}|{stated_at.isoformat()}"
    return sha256_of(content.encode())


def _variant(event: EventFields, arms: tuple[str, ...]) -> str:
    value = event.fields.get("variation")
    if isinstance(value, int) and not isinstance(value, bool):
        value = arms[value] if value in range(len(arms)) else ""
    elif value is None or not isinstance(value, str):
        value = event.text("variation")
    if value not in arms:
        message = f"A variation is one of {', '.join(arms)}, or its index from 0."
        raise EventError("unknown_variation", "variation", message)
    return value


_OUTCOME_FIELDS = frozenset({"id", "unit", "metric", "value", "timestamp", "experiment"})


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
        slug=None if experiment is None else tests.find(experiment, None, moment.at)[0],
        properties=event.properties(_OUTCOME_FIELDS),
    )


def _value(event: EventFields) -> float:
    value = event.number("value", default=1.0)
    if not is_storable(value):
        message = f"`value` must be 0, or {SMALLEST_VALUE} to {LARGEST_VALUE} in size."
        raise EventError("bad_value", "value", message)
    return value

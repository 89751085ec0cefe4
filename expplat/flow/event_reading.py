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
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.event_fields import EventError, EventFields
from expplat.flow.ports import Pocs

VARIATIONS = (CONTROL, TREATMENT)
"""What the wire calls a variation: a variant by its name, or by its index here."""


class Tests:
    """The online tests that events may belong to, each looked up once a batch."""

    def __init__(self, pocs: Pocs) -> None:
        self._pocs = pocs
        self._newest_phase: dict[str, int] = {}

    def find(self, name: str, phase: int | None) -> tuple[str, int]:
        """Return slug and phase of `slug`, of its newest phase, or of a tracking key `slug.pN`.

        Raises:
            EventError: If no test of that name was begun.
        """
        slug, dot, numeral = name.rpartition(".p")
        if dot and numeral.isascii() and numeral.isdigit() and len(numeral) < 7:
            phase = int(numeral)
        else:
            slug = name
        newest = self._newest(slug)
        phase = newest if phase is None else phase
        if not 1 <= phase <= newest:
            raise EventError("unknown_experiment", "experiment", "No test of that name was begun.")
        return slug, phase

    def _newest(self, slug: str) -> int:
        if slug not in self._newest_phase:
            history = self._pocs.find(slug).history
            self._newest_phase[slug] = max((step.phase for step in history), default=0)
        return self._newest_phase[slug]


_EXPOSURE_FIELDS = frozenset({"id", "experiment", "variation", "unit", "timestamp", "phase"})


def read_exposure(event: EventFields, tests: Tests, received_at: datetime) -> Exposure:
    """Return an event as an exposure; one without an id gets one of its own content."""
    slug, phase = tests.find(event.text("experiment"), event.integer("phase"))
    variant = _variant(event)
    unit = event.text("unit")
    at = event.instant("timestamp", received_at)
    own_id = sha256_of(f"{slug}|{phase}|{unit}|{variant}".encode())
    return Exposure(
        event_id=event.optional_text("id") or own_id,
        slug=slug,
        phase=phase,
        variant=variant,
        unit=unit,
        at=at,
        received_at=received_at,
        properties=event.properties(_EXPOSURE_FIELDS),
    )


def _variant(event: EventFields) -> str:
    value = event.fields.get("variation")
    if isinstance(value, int) and not isinstance(value, bool):
        value = VARIATIONS[value] if value in range(len(VARIATIONS)) else ""
    elif value is None or not isinstance(value, str):
        value = event.text("variation")
    if value not in VARIATIONS:
        message = f"A variation is one of {', '.join(VARIATIONS)}, or its index from 0."
        raise EventError("unknown_variation", "variation", message)
    return value


_OUTCOME_FIELDS = frozenset({"id", "unit", "metric", "value", "timestamp", "experiment"})


def read_outcome(event: EventFields, tests: Tests, received_at: datetime) -> Outcome:
    """Return an event as an outcome; it must have an id, for two may be alike."""
    event_id = event.text("id", missing_code="id_required")
    experiment = event.optional_text("experiment")
    return Outcome(
        event_id=event_id,
        unit=event.text("unit"),
        metric=event.text("metric"),
        value=_value(event),
        at=event.instant("timestamp", received_at),
        received_at=received_at,
        slug=None if experiment is None else tests.find(experiment, None)[0],
        properties=event.properties(_OUTCOME_FIELDS),
    )


def _value(event: EventFields) -> float:
    value = event.number("value", default=1.0)
    if not is_storable(value):
        message = f"`value` must be 0, or {SMALLEST_VALUE} to {LARGEST_VALUE} in size."
        raise EventError("bad_value", "value", message)
    return value

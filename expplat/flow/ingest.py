"""Exposures and outcomes come in: each judged by itself, kept once, answered after the commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from expplat.domain.online import Exposure, Outcome, QuarantinedEvent
from expplat.domain.plain import sha256_of
from expplat.flow.event_fields import EventError, EventFields
from expplat.flow.ports import Clock, Pocs, UnitOfWork

MAX_ERRORS_SHOWN = 100
VARIATIONS = ("control", "treatment")

SMALLEST_VALUE = 1e-100
LARGEST_VALUE = 1e100
"""Sizes of an outcome, zero apart: its square must be a number too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFault:
    """Why an event was not taken."""

    index: int
    """Its place in the batch, from 0."""

    id: str | None
    """Its own id, where it has a printable one."""

    code: str
    """Such as `missing_field`, `bad_timestamp`, `unknown_experiment`."""

    field: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What became of a batch; what it says is committed."""

    received: int
    accepted: int
    """Events that were new, and are kept."""

    duplicates: int
    """Events whose id was known; the first one stays as it was."""

    rejected: int
    errors: tuple[EventFault, ...]
    """Of the rejected events, the first hundred."""

    success: bool = True


class _HasId(Protocol):
    @property
    def event_id(self) -> str: ...


E = TypeVar("E", bound=_HasId)


def take_exposures(
    events: Sequence[object], *, source: str, uow: UnitOfWork, now: Clock
) -> Receipt:
    """Keep the exposures of a batch; refused ones go to quarantine with the reason.

    Safe to repeat: an id is kept once, and an exposure without an id gets one of its own content.

    Args:
        events: Decoded JSON, whatever it is.
        source: The id of the key they came with.
        uow: Where they are kept.
        now: When they arrived.

    Raises:
        DatabaseError: If they could not be committed; then none of them is kept.
    """
    received_at = now()
    with uow:
        tests = _Tests(uow.pocs)
        sorted_out = _sort_out(events, lambda event: _exposure(event, tests, received_at))
        new = uow.events.add_exposures([*sorted_out.taken.values()], source=source)
        _set_aside(sorted_out.refused, "exposure", source, received_at, uow)
        uow.commit()
    return _receipt(len(events), len(new), sorted_out.refused)


def take_outcomes(events: Sequence[object], *, source: str, uow: UnitOfWork, now: Clock) -> Receipt:
    """Keep the outcomes of a batch; as `take_exposures`, but every outcome needs an id."""
    received_at = now()
    with uow:
        tests = _Tests(uow.pocs)
        sorted_out = _sort_out(events, lambda event: _outcome(event, tests, received_at))
        new = uow.events.add_outcomes([*sorted_out.taken.values()], source=source)
        _set_aside(sorted_out.refused, "outcome", source, received_at, uow)
        uow.commit()
    return _receipt(len(events), len(new), sorted_out.refused)


class _Refused(NamedTuple):
    fault: EventFault
    body: str | None
    """The event as JSON; None where it cannot be stored."""


@dataclass(frozen=True, slots=True)
class _SortedOut(Generic[E]):
    taken: dict[str, E]
    """By id; of two with the same id, the first."""

    refused: list[_Refused]


def _sort_out(events: Sequence[object], read: Callable[[EventFields], E]) -> _SortedOut[E]:
    taken: dict[str, E] = {}
    refused = []
    for index, event in enumerate(events):
        fields = None
        try:
            fields = EventFields.of(event)
            value = read(fields)
        except EventError as error:
            body = json.dumps(event, ensure_ascii=False) if fields else None
            refused.append(_Refused(_fault(index, event, error), body))
        else:
            taken.setdefault(value.event_id, value)
    return _SortedOut(taken, refused)


def _fault(index: int, event: object, error: EventError) -> EventFault:
    return EventFault(
        index=index,
        id=EventFields.printable_id(event),
        code=error.code,
        field=error.field,
        message=error.message,
    )


def _set_aside(
    refused: Sequence[_Refused], kind: str, source: str, received_at: datetime, uow: UnitOfWork
) -> None:
    for fault, body in refused:
        if body is not None:
            uow.quarantine.add(
                QuarantinedEvent(
                    source=source,
                    kind=kind,
                    body=body,
                    reason=f"{fault.code}: {fault.message}",
                    received_at=received_at,
                )
            )


def _receipt(received: int, new: int, refused: Sequence[_Refused]) -> Receipt:
    return Receipt(
        received=received,
        accepted=new,
        duplicates=received - len(refused) - new,
        rejected=len(refused),
        errors=tuple(fault for fault, _ in refused[:MAX_ERRORS_SHOWN]),
    )


class _Tests:
    """The online tests that events may belong to, each looked up once a batch."""

    def __init__(self, pocs: Pocs) -> None:
        self._pocs = pocs
        self._newest_phase: dict[str, int] = {}

    def find(self, name: str, phase: int | None) -> tuple[str, int]:
        """Return slug and phase of `slug`, of its newest phase, or of a tracking key `slug.pN`."""
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


def _exposure(event: EventFields, tests: _Tests, received_at: datetime) -> Exposure:
    slug, phase = tests.find(event.text("experiment"), event.integer("phase"))
    variation = _variation(event)
    unit = event.text("unit")
    at = event.instant("timestamp", received_at)
    own_id = sha256_of(f"{slug}|{phase}|{unit}|{variation}".encode())
    return Exposure(
        event_id=event.optional_text("id") or own_id,
        slug=slug,
        phase=phase,
        variation=variation,
        unit=unit,
        at=at,
        received_at=received_at,
        properties=event.properties(_EXPOSURE_FIELDS),
    )


def _variation(event: EventFields) -> str:
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


def _outcome(event: EventFields, tests: _Tests, received_at: datetime) -> Outcome:
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
    if value != 0 and not SMALLEST_VALUE <= abs(value) <= LARGEST_VALUE:
        message = f"`value` must be 0, or {SMALLEST_VALUE} to {LARGEST_VALUE} in size."
        raise EventError("bad_value", "value", message)
    return value

"""Exposures and outcomes come in: each judged by itself, kept once, answered after the commit."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, NamedTuple, Protocol, TypeVar

from expplat.domain.online import QuarantinedEvent
from expplat.flow.event_fields import EventError, EventFields
from expplat.flow.event_reading import Tests, read_exposure, read_outcome
from expplat.flow.ports import Clock, UnitOfWork

MAX_ERRORS_SHOWN = 100


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
        tests = Tests(uow.pocs)
        sorted_out = _sort_out(events, lambda event: read_exposure(event, tests, received_at))
        new = uow.events.add_exposures([*sorted_out.taken.values()], source=source)
        _set_aside(sorted_out.refused, "exposure", source, received_at, uow)
        uow.commit()
    return _receipt(len(events), len(new), sorted_out.refused)


def take_outcomes(events: Sequence[object], *, source: str, uow: UnitOfWork, now: Clock) -> Receipt:
    """Keep the outcomes of a batch; as `take_exposures`, but every outcome needs an id."""
    received_at = now()
    with uow:
        tests = Tests(uow.pocs)
        sorted_out = _sort_out(events, lambda event: read_outcome(event, tests, received_at))
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

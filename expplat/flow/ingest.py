"""Exposures and outcomes come in: each judged by itself, kept once, answered after the commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from expplat.flow.event_fields import EventFields
from expplat.flow.event_judging import Incoming, Judged, Refusal, judge_all, quarantined
from expplat.flow.event_keeping import Kept, keep
from expplat.flow.event_reading import Tests
from expplat.flow.event_times import MAX_AGE, Arrival, skew
from expplat.flow.ports import Clock, UnitOfWork

CONFLICT = Refusal(
    code="id_conflict", field="id", message="Another event came under this id before; it stays."
)


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
    """What became of a batch; what it says is committed. The five counts add up to `received`."""

    received: int
    accepted: int
    """Events that were new, and are kept."""

    duplicates: int
    """Events that were kept before."""

    conflicts: int
    """Events whose id was known with another content: the first one stays as it was."""

    ignored: int
    """Events that are neither exposures nor outcomes, such as page views."""

    rejected: int
    errors: tuple[EventFault, ...]
    """Of the rejected events and the conflicts, in the order of the batch."""

    success: bool = True


def take(
    events: Sequence[Incoming],
    *,
    source: str,
    uow: UnitOfWork,
    now: Clock,
    sent_at: datetime | None = None,
    max_age: timedelta = MAX_AGE,
) -> Receipt:
    """Keep the exposures and outcomes of a batch; what is refused goes to quarantine.

    Safe to repeat: an id is kept once, and an exposure without an id gets one of its own content.

    Args:
        events: In the order they were sent.
        source: The connection that they came by.
        uow: Where they are kept, all in one transaction.
        now: When they arrived.
        sent_at: When they were sent, by the sender's clock; a clock that is over a minute off is
            corrected by it.
        max_age: Older events are refused.

    Raises:
        DatabaseError: If they could not be committed; then none of them is kept.
    """
    received_at = now()
    arrival = Arrival(received_at=received_at, behind=skew(received_at, sent_at), max_age=max_age)
    with uow:
        judged = judge_all(events, Tests(uow.pocs), arrival)
        answers = settle(judged, source, uow)
        refused = [
            quarantined(one, answer, source)
            for one, answer in zip(judged, answers, strict=True)
            if isinstance(answer, Refusal)
        ]
        uow.quarantine.add([event for event in refused if event is not None])
        uow.commit()
    return _receipt(judged, answers)


def settle(judged: Sequence[Judged], source: str, uow: UnitOfWork) -> list[Kept | Refusal | None]:
    """Keep what was taken; say of each event what became of it, None where it was ignored."""
    taken = [one.taken for one in judged if one.taken is not None]
    kept = iter(keep(taken, uow.events, source))
    answers = [one.refusal if one.taken is None else next(kept) for one in judged]
    return [CONFLICT if answer is Kept.CONFLICT else answer for answer in answers]


def _receipt(judged: Sequence[Judged], answers: Sequence[Kept | Refusal | None]) -> Receipt:
    errors = tuple(_faults(judged, answers))
    conflicts = sum(fault.code == CONFLICT.code for fault in errors)
    return Receipt(
        received=len(judged),
        accepted=answers.count(Kept.NEW),
        duplicates=answers.count(Kept.KNOWN),
        conflicts=conflicts,
        ignored=answers.count(None),
        rejected=len(errors) - conflicts,
        errors=errors,
    )


def _faults(
    judged: Sequence[Judged], answers: Sequence[Kept | Refusal | None]
) -> Iterable[EventFault]:
    for index, (one, answer) in enumerate(zip(judged, answers, strict=True)):
        if isinstance(answer, Refusal):
            yield EventFault(
                index=index,
                id=EventFields.printable_id(one.incoming.event),
                code=answer.code,
                field=answer.field,
                message=answer.message,
            )

"""Events that were refused: what waits, another try for each, and an end of waiting."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from expplat.domain.online import QuarantinedEvent
from expplat.flow.event_judging import (
    UNTRANSLATABLE,
    Incoming,
    Judged,
    Kind,
    Refusal,
    judge,
)
from expplat.flow.event_keeping import Kept
from expplat.flow.event_reading import Tests
from expplat.flow.event_times import MAX_AGE, Arrival
from expplat.flow.ingest import settle
from expplat.flow.ports import Clock, UnitOfWork

PAGE = 1000
"""Events of one transaction."""

KINDS: dict[str, Kind] = {"exposure": "exposure", "outcome": "outcome"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """What waits in quarantine."""

    codes: Mapping[str, int]
    """How many events wait, by the code of the reason."""

    events: tuple[QuarantinedEvent, ...]
    """The newest of them, newest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What another try came to."""

    tried: int
    taken: int
    """Events that are exposures or outcomes now."""

    known: int
    """Events that their sender had sent again and with success."""

    left: int
    """Events that go on waiting."""

    codes: Mapping[str, int]
    """Why they do: how many, by code."""


def waiting(*, uow: UnitOfWork, limit: int) -> Waiting:
    """Return what waits.

    Args:
        uow: Where it is kept.
        limit: How many events are shown, at least 0.
    """
    with uow:
        return Waiting(codes=uow.quarantine.codes(), events=uow.quarantine.list(limit=limit))


def replay_failed(
    *, uow: UnitOfWork, now: Clock, dry_run: bool = False, max_age: timedelta = MAX_AGE
) -> Replayed:
    """Read every event that waits once more, as if it had just come when it came.

    Each page is taken and settled in one transaction, so that it may be ended and begun again at
    any moment.

    Args:
        uow: Where they are kept.
        now: When they are settled.
        dry_run: Only say what would be taken.
        max_age: Events that were older than this when they came stay refused.

    Raises:
        DatabaseError: If a page could not be committed; the pages before it are.
    """
    counts: Counter[str] = Counter()
    last: int | None = 0
    while last is not None:
        with uow:
            page = uow.quarantine.page(after=last, limit=PAGE)
            answers = _try_again(page, uow, max_age)
            if not dry_run:
                taken = [number for number, answer in answers.items() if isinstance(answer, Kept)]
                uow.quarantine.settle(taken, now())
                uow.commit()
        counts.update(map(_word, answers.values()))
        last = page[-1].number if page else None
    return _replayed(counts)


def discard(code: str, *, uow: UnitOfWork, now: Clock, dry_run: bool = False) -> int:
    """Let the events that were refused for one reason wait no more; return how many these are.

    Args:
        code: The reason, such as `unknown_experiment`.
        uow: Where they are kept; their rows stay.
        now: When they are settled.
        dry_run: Only count them.

    Raises:
        DatabaseError: If a page could not be committed; the pages before it are.
    """
    count, last = 0, 0
    while True:
        with uow:
            page = uow.quarantine.page(after=last, limit=PAGE)
            numbers = [event.number for event in page if event.code == code]
            if not dry_run:
                uow.quarantine.settle(numbers, now())
                uow.commit()
        if not page:
            return count
        count, last = count + len(numbers), page[-1].number


def _try_again(
    page: Sequence[QuarantinedEvent], uow: UnitOfWork, max_age: timedelta
) -> dict[int, Kept | Refusal]:
    """Return what becomes of each event now, by its number."""
    tests = Tests(uow.pocs)
    answers: dict[int, Kept | Refusal] = {}
    for source in sorted({event.source for event in page}):
        events = [event for event in page if event.source == source]
        judged = [_judge(event, tests, max_age) for event in events]
        for event, answer in zip(events, settle(judged, source, uow), strict=True):
            assert answer is not None, "what is ignored is never kept here"
            answers[event.number] = answer
    return answers


def _judge(event: QuarantinedEvent, tests: Tests, max_age: timedelta) -> Judged:
    """Read an event with the correction of its clock that was right when it came."""
    behind = timedelta()
    if event.at is not None and event.stated_at is not None:
        behind = event.at - event.stated_at
    arrival = Arrival(received_at=event.received_at, behind=behind, max_age=max_age)
    refusal = None
    if event.code == UNTRANSLATABLE:
        refusal = Refusal(code=event.code, field="", message=event.reason)
    incoming = Incoming(kind=KINDS[event.kind], event=_decoded(event.body), refusal=refusal)
    return judge(incoming, tests, arrival)


def _decoded(body: str) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None  # kept by an earlier version, which wrote some bytes as no JSON does


def _word(answer: Kept | Refusal) -> str:
    return answer.code if isinstance(answer, Refusal) else answer.value


def _replayed(counts: Counter[str]) -> Replayed:
    codes = {word: counts[word] for word in sorted(counts.keys() - set(Kept))}
    return Replayed(
        tried=counts.total(),
        taken=counts[Kept.NEW],
        known=counts[Kept.KNOWN],
        left=sum(codes.values()),
        codes=codes,
    )

"""Events are kept once: what was new, what was known, and what came under a taken id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

from expplat.domain.online import Exposure, Outcome
from expplat.flow.ports import Events


class Kept(StrEnum):
    """What became of an event that was taken."""

    NEW = "new"
    KNOWN = "known"
    """Its id was there with the same content."""

    CONFLICT = "conflict"
    """Its id was there with another content, which stays as it was."""


def keep(taken: Sequence[Exposure | Outcome], store: Events, source: str) -> list[Kept]:
    """Keep what is new; say what became of each, in their order."""
    exposures = [event for event in taken if isinstance(event, Exposure)]
    outcomes = [event for event in taken if isinstance(event, Outcome)]
    new_exposures = store.add_exposures(exposures, source=source) if exposures else frozenset()
    new_outcomes = store.add_outcomes(outcomes, source=source) if outcomes else frozenset()
    if len(new_exposures) + len(new_outcomes) == len(taken):
        return [Kept.NEW] * len(taken)
    answers = {
        Exposure: iter(_told_apart("exposure", exposures, new_exposures, store, source)),
        Outcome: iter(_told_apart("outcome", outcomes, new_outcomes, store, source)),
    }
    return [next(answers[type(event)]) for event in taken]


def _told_apart(
    kind: str,
    events: Sequence[Exposure | Outcome],
    new: frozenset[str],
    store: Events,
    source: str,
) -> Iterator[Kept]:
    known = {event.event_id for event in events} - new
    kept = dict(store.stored(kind, known, source=source)) if known else {}
    for event in events:
        if event.event_id in new and event.event_id not in kept:
            kept[event.event_id] = event
            yield Kept.NEW
        elif event.content == kept[event.event_id].content:
            yield Kept.KNOWN
        else:
            yield Kept.CONFLICT

"""What an event that came in is worth: an exposure, an outcome, or a reason why it is neither."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import repeat
from typing import Literal, NamedTuple

from expplat.domain.online import Exposure, Outcome, QuarantinedEvent
from expplat.flow.event_fields import MAX_PROPERTIES_BYTES, EventError, EventFields
from expplat.flow.event_reading import Tests, read_exposure, read_outcome
from expplat.flow.event_times import Arrival
from expplat.flow.flags import is_holdout_key
from expplat.flow.plain_batches import plain_exposures, plain_outcomes

Kind = Literal["exposure", "outcome", "ignored"]
"""`ignored` is what is neither, such as a page view: it is counted, and that is all."""

UNTRANSLATABLE = "untranslatable"
"""The code of what a translator refused: there is nothing to try again."""

MAX_KEPT_CHARACTERS = 2 * MAX_PROPERTIES_BYTES
"""Of a refused event as JSON; a longer one is answered, and not kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why an event is not taken."""

    code: str
    """Such as `missing_field`, `bad_timestamp`, `unknown_experiment`."""

    field: str
    message: str

    @property
    def reason(self) -> str:
        """Code and message, as they are kept beside a refused event."""
        return f"{self.code}: {self.message}"


class Incoming(NamedTuple):
    """One event of a batch, in the form of `/v1/exposures` or `/v1/outcomes`."""

    kind: Kind
    event: object = None
    """Decoded JSON, whatever it is."""

    refusal: Refusal | None = None
    """Why it could not be brought into that form; None where it could, or may still be."""


class Judged(NamedTuple):
    """What became of one event: it is taken, refused, or (neither) ignored."""

    incoming: Incoming
    arrival: Arrival
    taken: Exposure | Outcome | None = None
    refusal: Refusal | None = None


def judge_all(events: Sequence[Incoming], tests: Tests, arrival: Arrival) -> list[Judged]:
    """Judge each event by itself, in their order."""
    plain = _plain(events, tests, arrival)
    if plain is None:
        return [judge(_unless_of_holdout(incoming), tests, arrival) for incoming in events]
    return list(map(Judged, events, repeat(arrival), plain))


def _plain(
    events: Sequence[Incoming], tests: Tests, arrival: Arrival
) -> Sequence[Exposure | Outcome] | None:
    """Read them by columns; None where they are of several kinds, or not plain."""
    if not events:
        return []
    kinds, values, refusals = zip(*events, strict=True)
    if {*kinds} == {"exposure"} and not any(refusals):
        return plain_exposures(values, tests, arrival)
    if {*kinds} == {"outcome"} and not any(refusals):
        return plain_outcomes(values, tests, arrival)
    return None


def judge(incoming: Incoming, tests: Tests, arrival: Arrival) -> Judged:
    """Read an event that came in."""
    kind, event, refusal = incoming
    if kind == "ignored" or refusal is not None:
        return Judged(incoming, arrival, None, refusal)
    read = read_exposure if kind == "exposure" else read_outcome
    try:
        return Judged(incoming, arrival, read(EventFields(event), tests, arrival))
    except EventError as error:
        refusal = Refusal(code=error.code, field=error.field, message=error.message)
        return Judged(incoming, arrival, None, refusal)


def quarantined(judged: Judged, refusal: Refusal, source: str) -> QuarantinedEvent | None:
    """Return what is kept of an event that is not taken; None where nothing of it can be."""
    event = judged.incoming.event
    body = _body_of(event)
    if body is None or not isinstance(event, dict):
        return None
    stated_at, at = _moment_of(event, judged.arrival)
    return QuarantinedEvent(
        source=source,
        kind=judged.incoming.kind,
        body=body,
        reason=refusal.reason,
        received_at=judged.arrival.received_at,
        stated_at=stated_at,
        at=at,
    )


def _unless_of_holdout(incoming: Incoming) -> Incoming:
    """Ignore what SDKs tell of a holdout: they call it an experiment, and it is no test."""
    event = incoming.event
    named = event.get("experiment") if isinstance(event, dict) else None
    if incoming.kind == "exposure" and isinstance(named, str) and is_holdout_key(named):
        return incoming._replace(kind="ignored")
    return incoming


def _moment_of(
    event: dict[str, object], arrival: Arrival
) -> tuple[datetime | None, datetime | None]:
    return EventFields(event).stated_moment("timestamp", arrival) or (None, None)


def _body_of(event: object) -> str | None:
    try:
        # Sorted, so that the same event is the same text, whoever wrote it.
        body = json.dumps(event, ensure_ascii=False, sort_keys=True)
    except (ValueError, RecursionError):  # too many digits, or too deep
        return None
    return body if len(body) <= MAX_KEPT_CHARACTERS else None

"""Exposures and outcomes as the server takes them, each with an id and a time from the start."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, SupportsFloat

from expplat.client._facts import Shown
from expplat.client._numbers import finite

MAX_TEXT = 500
MAX_TEXT_BYTES = 1_000
MAX_EVENT_BYTES = 30_000

_BROKEN = re.compile("[\0\ud800-\udfff]")
"""No database keeps NUL, and UTF-8 has no lone surrogates."""


class EventRefusedError(Exception):
    """An event that no server would take, in words for the log."""


def is_unit(value: object) -> bool:
    """Say whether something can be a unit: a string of 1 to 500 characters, at most 1,000 bytes.

    Numbers are not: languages write 0, false and 1.0 in different ways, and would hash them so.
    """
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT or _BROKEN.search(value):
        return False
    return value.isascii() or len(value.encode()) <= MAX_TEXT_BYTES


def exposure_line(shown: Shown, flag: str) -> bytes:
    """Return the line of the spool for an exposure."""
    event = {
        "id": str(uuid.uuid4()),
        "experiment": shown.experiment,
        "variation": shown.variation,
        "unit": shown.unit,
        "timestamp": _now(),
        "properties": {"feature": flag},
    }
    return _line("exposures", event)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFacts:
    """What happened to a unit."""

    metric: str
    value: SupportsFloat
    unit: str
    flag: str | None = None
    properties: Mapping[str, Any] | None = None
    id: str | None = None


def outcome_line(facts: OutcomeFacts) -> bytes:
    """Return the line of the spool for an outcome.

    Raises:
        EventRefusedError: If the server would refuse it in any case.
    """
    for name in ("metric", "unit", "flag", "id"):
        value = getattr(facts, name)
        if not is_unit(value) and not (value is None and name in ("flag", "id")):
            limits = f"1 to {MAX_TEXT} characters and at most {MAX_TEXT_BYTES:,} bytes"
            raise EventRefusedError(f"`{name}` must be a string of {limits}")
    number = finite(facts.value)
    if number is None:
        raise EventRefusedError("`value` must be a finite number")
    event: dict[str, Any] = {
        "id": facts.id or str(uuid.uuid4()),
        "unit": facts.unit,
        "metric": facts.metric,
        "value": number,
        "timestamp": _now(),
    }
    if facts.flag is not None:
        event["experiment"] = facts.flag
    if facts.properties is not None:
        event["properties"] = dict(facts.properties)
    return _line("outcomes", event)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _line(kind: str, event: Mapping[str, Any]) -> bytes:
    try:
        # ASCII, so that no line break of Unicode and no half character can stand in a line.
        text = json.dumps([kind, event], separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise EventRefusedError("it cannot be written as JSON") from error
    if len(text) > MAX_EVENT_BYTES:
        raise EventRefusedError(f"it is over {MAX_EVENT_BYTES} bytes")
    return text.encode("ascii") + b"\n"

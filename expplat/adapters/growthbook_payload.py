"""Flags as the payload that GrowthBook SDKs read, in every language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from expplat.flow.flags import FlagState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_STEPS = 10_000
"""Buckets of hash version 2. Boundaries on its multiples are read alike by all SDKs; others are
not by those that count in 32-bit floats."""

_HALF = _STEPS // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """What every client is served, until the next change."""

    revision: int
    """Milliseconds since 1970 of the newest change; larger for every payload that differs."""

    body: bytes
    """One line of JSON."""

    etag: str
    features: bytes
    """The flags alone, as JSON: what tells a real change from the same flags again."""


def render(states: Iterable[FlagState], previous: Payload | None = None) -> Payload:
    """Return the payload of these flags.

    Args:
        states: The flags.
        previous: What was served until now. The same flags give the same payload again; others a
            revision after it, also where the clocks of two writers disagree or a brake is released.
    """
    states = tuple(states)
    features = _json({"expplat": {"defaultValue": True}} | {s.slug: _feature(s) for s in states})
    if previous is not None and previous.features == features:
        return previous
    revision = max((_milliseconds(state.changed_at) for state in states), default=0)
    if previous is not None:
        revision = max(revision, previous.revision + 1)
    return _payload(revision, features)


def tracking_key(slug: str, phase: int) -> str:
    """Return the key of a test: a new phase is a new key and a new seed, so a new randomisation."""
    return f"{slug}.p{phase}"


def _payload(revision: int, features: bytes) -> Payload:
    instant = (_EPOCH + timedelta(milliseconds=revision)).isoformat(timespec="milliseconds")
    updated = instant.replace("+00:00", "Z").encode()
    body = b'{"status":200,"features":%b,"experiments":[],"savedGroups":{},"dateUpdated":"%b"}' % (
        features,
        updated,
    )
    digest = hashlib.sha256(body).hexdigest()[:16]
    return Payload(
        revision=revision, body=body, etag=f'W/"r{revision}-{digest}"', features=features
    )


def _feature(state: FlagState) -> dict[str, Any]:
    if state.is_test:
        return {"defaultValue": "control", "rules": [_rule(state)]}
    return {"defaultValue": "treatment" if state.is_graduated else "control", "rules": []}


def _rule(state: FlagState) -> dict[str, Any]:
    key = tracking_key(state.slug, state.phase)
    # Rounded down, so that a test is never wider than was asked for.
    arm = min(_HALF, int(state.traffic_percent * _HALF / 100 + 1e-6))
    return {
        "id": key,
        "key": key,
        "name": state.slug,
        "phase": str(state.phase),
        "variations": ["control", "treatment"],
        "meta": [
            {"key": "control", "name": "Control"},
            {"key": "treatment", "name": "Treatment"},
        ],
        "hashAttribute": state.unit,
        "hashVersion": 2,
        "seed": key,
        "weights": [0.5, 0.5],
        "coverage": 2 * arm / _STEPS,
        "ranges": [[0, arm / _STEPS], [0.5, (_HALF + arm) / _STEPS]],
        "disableStickyBucketing": True,
    }


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _json(value: object) -> bytes:
    # Sorted, so that the same flags are the same bytes in every process.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

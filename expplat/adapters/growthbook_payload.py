"""Flags as the payload that GrowthBook SDKs read, in every language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from expplat.adapters.growthbook_rules import feature
from expplat.flow.flags import FlagState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


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
    features = _json({"expplat": {"defaultValue": True}} | {s.slug: feature(s) for s in states})
    if previous is not None and previous.features == features:
        return previous
    revision = max((_milliseconds(state.changed_at) for state in states), default=0)
    if previous is not None:
        revision = max(revision, previous.revision + 1)
    return _payload(revision, features)


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


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _json(value: object) -> bytes:
    # Sorted, so that the same flags are the same bytes in every process.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

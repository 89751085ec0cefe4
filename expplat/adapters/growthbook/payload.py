"""Flags as the payload that GrowthBook SDKs read, in every language."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from expplat.adapters.growthbook.rules import feature
from expplat.flow.flags import FlagState

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamFlags:
    """What a team's own GrowthBook serves, to be served along with our flags."""

    features: Mapping[str, Any]
    """By key; where one of ours has the same key, ours is served."""

    experiments: Sequence[Any] = ()
    saved_groups: Mapping[str, Any] = field(default_factory=dict)
    changed_at: datetime = _EPOCH
    """When it last changed, by its own word, but never later than when we first saw it."""


class Served(NamedTuple):
    """What is remembered of a payload, also over a restart."""

    revision: int
    content: str
    """Hash of its flags, experiments and saved groups."""


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

    experiments: bytes = b"[]"
    saved_groups: bytes = b"{}"
    slugs: frozenset[str] = frozenset()
    """Which of the flags are ours."""

    @property
    def served(self) -> Served:
        """What the next payload must know of this one."""
        return Served(self.revision, hashlib.sha256(b"\0".join(_content(self))).hexdigest())


def render(
    states: Iterable[FlagState],
    previous: Served | None = None,
    upstream: UpstreamFlags | None = None,
) -> Payload:
    """Return the payload of these flags.

    Args:
        states: The flags.
        previous: What was served until now. The same flags give the same payload again; others a
            revision after it, also where the clocks of two writers disagree or a brake is taken
            away: an SDK ignores what has no later date.
        upstream: What is served along with them; None for nothing.
    """
    states = tuple(states)
    ours = {"expplat": {"defaultValue": True}} | {s.slug: feature(s) for s in states}
    more = upstream or UpstreamFlags(features={})
    wanted = Payload(
        revision=max(
            _milliseconds(at) for at in (more.changed_at, *(s.changed_at for s in states))
        ),
        body=b"",
        etag="",
        features=_json({**more.features, **ours}),
        experiments=_json(list(more.experiments)),
        saved_groups=_json(dict(more.saved_groups)),
        slugs=frozenset(ours),
    )
    if previous is not None:
        is_same = previous.content == wanted.served.content
        later = max(wanted.revision, previous.revision + 1)
        wanted = replace(wanted, revision=previous.revision if is_same else later)
    body = plain_body(wanted)
    return replace(wanted, body=body, etag=etag_of(wanted.revision, body))


def plain_body(payload: Payload) -> bytes:
    """Return what a client is served that may read every rule."""
    sections = b'"features":%b,"experiments":%b,"savedGroups":%b' % _content(payload)
    return with_date(payload.revision, sections)


def encrypted_body(payload: Payload, sealed: Sequence[str]) -> bytes:
    """Return what a client is served that decrypts its rules.

    Args:
        payload: The payload.
        sealed: Its features, experiments and saved groups, encrypted.
    """
    features, experiments, saved_groups = (text.encode() for text in sealed)
    sections = (
        b'"features":{},"encryptedFeatures":"%b","experiments":[],"encryptedExperiments":"%b",'
        b'"encryptedSavedGroups":"%b"' % (features, experiments, saved_groups)
    )
    return with_date(payload.revision, sections)


def with_date(revision: int, sections: bytes) -> bytes:
    """Return the sections of a payload as the whole of it."""
    instant = (_EPOCH + timedelta(milliseconds=revision)).isoformat(timespec="milliseconds")
    updated = instant.replace("+00:00", "Z").encode()
    return b'{"status":200,%b,"dateUpdated":"%b"}' % (sections, updated)


def etag_of(revision: int, body: bytes) -> str:
    """Return what names a body: alike in every process that serves the same bytes."""
    return f'W/"r{revision}-{hashlib.sha256(body).hexdigest()[:16]}"'


def _content(payload: Payload) -> tuple[bytes, bytes, bytes]:
    return payload.features, payload.experiments, payload.saved_groups


def _milliseconds(at: datetime) -> int:
    return (at - _EPOCH) // timedelta(milliseconds=1)


def _json(value: object) -> bytes:
    # Sorted, so that the same flags are the same bytes in every process.
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()

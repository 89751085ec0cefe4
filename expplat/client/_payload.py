"""Flags as they come over the wire: read, judged, and only then believed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NoReturn

from expplat.client._rules import RuleError, check_feature, is_understood

MAX_BYTES = 5_000_000
MAX_DEPTH = 40

MARKER = "expplat"
"""The flag that every payload of an expplat server has, and no answer of anybody else."""


class PayloadError(Exception):
    """A payload that is not believed, in words for the log; the one before it stays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Payload:
    """Flags that were found good."""

    body: bytes
    """As received, encrypted if it was."""

    etag: str | None
    updated_at: datetime
    features: Mapping[str, Mapping[str, Any]]
    """Every flag that this version of the client can judge."""

    left_out: frozenset[str]
    """Flags with rules that it cannot judge: they are served as unknown, so as control."""

    saved_groups: Mapping[str, Any]


def read_payload(body: bytes, *, etag: str | None = None, decryption_key: str = "") -> Payload:
    """Return the flags of an answer.

    Raises:
        PayloadError: If it is not exactly what an expplat server sends.
    """
    document = _decrypted(_object(body), decryption_key)
    if document.get("status", 200) != 200:
        raise PayloadError(f"its status is {str(document['status'])[:20]}")
    features = document.get("features")
    if not isinstance(features, dict) or not features:
        raise PayloadError("it has no features")
    if not _is_marked(features):
        raise PayloadError(f"it lacks the flag {MARKER!r} that every expplat server sends")
    groups = document.get("savedGroups") or {}
    if not isinstance(groups, dict):
        raise PayloadError("its savedGroups are no object")
    left_out = frozenset(
        name for name, feature in features.items() if not _is_usable(name, feature)
    )
    return Payload(
        body=body,
        etag=etag,
        updated_at=_instant(document.get("dateUpdated")),
        features={name: feature for name, feature in features.items() if name not in left_out},
        left_out=left_out,
        saved_groups=groups,
    )


def must_follow(new: Payload, present: Payload) -> None:
    """Check that a payload may take the place of another.

    Raises:
        PayloadError: If it is older, or of another environment.
    """
    if new.updated_at < present.updated_at:
        raise PayloadError(f"it is of {new.updated_at}, older than that of {present.updated_at}")
    known, offered = _names(present), _names(new)
    # Flags never leave a payload: ended tests stay in it, closed.
    if known and not known & offered:
        message = "it has none of the flags that were known, so it is of another environment"
        raise PayloadError(f"{message}; if that is meant, delete the client's folder and restart")


def _names(payload: Payload) -> set[str]:
    return ({*payload.features} | payload.left_out) - {MARKER}


def _is_marked(features: Mapping[str, Any]) -> bool:
    marker = features.get(MARKER)
    return isinstance(marker, dict) and marker.get("defaultValue") is True


def _is_usable(name: str, feature: object) -> bool:
    try:
        check_feature(name, feature)
    except RuleError as error:
        raise PayloadError(str(error)) from error
    return isinstance(feature, dict) and is_understood(feature)


def _object(body: bytes) -> dict[str, Any]:
    if len(body) > MAX_BYTES:
        raise PayloadError(f"it is over {MAX_BYTES} bytes")
    try:
        document = json.loads(body, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise PayloadError("it is not JSON") from error
    if not isinstance(document, dict):
        raise PayloadError("it is not a JSON object")
    _must_be_shallow(document)
    return document


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _must_be_shallow(document: object) -> None:
    waiting = [(document, 1)]
    while waiting:
        value, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise PayloadError(f"it is nested over {MAX_DEPTH} deep")
        if isinstance(value, dict):
            waiting.extend((item, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, depth + 1) for item in value)


def _decrypted(document: dict[str, Any], key: str) -> dict[str, Any]:
    if "encryptedFeatures" not in document:
        return document
    if not key:
        raise PayloadError("it is encrypted, and no decryption_key was given")
    plain = {"features": _decrypt(document["encryptedFeatures"], key)}
    if "encryptedSavedGroups" in document:
        plain["savedGroups"] = _decrypt(document["encryptedSavedGroups"], key)
    _must_be_shallow(plain)
    return document | plain


def _decrypt(text: object, key: str) -> Any:
    # Of the official SDK; it is loaded by now, for whatever asks has evaluated or is about to.
    from growthbook import decrypt

    try:
        return json.loads(decrypt(str(text), key), parse_constant=_refuse)
    except (ValueError, RecursionError, TypeError) as error:
        raise PayloadError("it cannot be decrypted with this decryption_key") from error


def _instant(value: object) -> datetime:
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise PayloadError("its dateUpdated is no time")

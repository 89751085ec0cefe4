"""`POST /v1/batch` of Segment's and RudderStack's clients."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from expplat.adapters.wire import tracked
from expplat.flow.event_judging import Incoming
from expplat.flow.event_times import parse_instant

_USUAL_IDS = ("userId", "anonymousId")
_OTHER_NAMES = {
    "user_id": "userId",
    "id": "userId",
    "anonymous_id": "anonymousId",
    "device_id": "anonymousId",
}
"""How SDKs call the two ids that these clients send."""


def sent_at(document: object) -> datetime | None:
    """Return when a batch was sent by its sender's clock; None where it says nothing readable."""
    return parse_instant(tracked.instant_of(tracked.fields_of(document).get("sentAt")))


def write_key(document: object) -> str | None:
    """Return the key that the body itself carries; None where it carries none."""
    key = tracked.fields_of(document).get("writeKey")
    return key if isinstance(key, str) and key else None


def translate(event: object) -> Incoming:
    """Return a `track` call as an exposure or an outcome; every other call is ignored."""
    if not isinstance(event, dict):
        return Incoming(kind="outcome", event=event)
    name = event.get("event")
    if event.get("type", "track") != "track" or _is_any_of(name, tracked.EVALUATED):
        return Incoming(kind="ignored", event=event)
    properties = tracked.fields_of(event.get("properties"))
    common = {
        "id": event.get("messageId"),
        "unit": tracked.unit_of(properties, _ids(event), _USUAL_IDS),
        "timestamp": tracked.instant_of(
            tracked.first_of(event, ("timestamp", "originalTimestamp"))
        ),
        "properties": event.get("properties"),
    }
    if not _is_any_of(name, tracked.EXPOSED):
        outcome = common | tracked.outcome_of(name, properties)
        return Incoming(kind="outcome", event=tracked.without_nothing(outcome))
    if tracked.is_outside(properties):
        return Incoming(kind="ignored", event=event)
    exposure = common | tracked.exposure_of(properties)
    return Incoming(kind="exposure", event=tracked.without_nothing(exposure))


def _ids(event: Mapping[str, Any]) -> dict[str, Any]:
    ids = {name: event.get(name) for name in _USUAL_IDS}
    return ids | {other: ids[name] for other, name in _OTHER_NAMES.items()}


def _is_any_of(name: object, names: frozenset[str]) -> bool:
    return isinstance(name, str) and name in names

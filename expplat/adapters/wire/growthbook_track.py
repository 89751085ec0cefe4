"""`POST /track` of GrowthBook's tracking plugins: JavaScript, Python and PHP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from expplat.adapters.wire import tracked
from expplat.flow.event_judging import Incoming

_TOP_LEVEL_IDS = ("user_id", "device_id", "session_id", "page_id")
_USUAL_IDS = ("user_id", "device_id", "id", "session_id")


def translate(event: object, new_id: Callable[[], str]) -> Incoming:
    """Return an event of a plugin as an exposure or an outcome.

    Args:
        event: Decoded JSON, whatever it is.
        new_id: Makes the id of an outcome: plugins give none, and never send anything again.
    """
    if not isinstance(event, dict):
        return Incoming(kind="outcome", event=event)
    name = event.get("event_name")
    stated = event.get("properties_json", event.get("properties"))
    properties = tracked.fields_of(stated)
    word = name if isinstance(name, str) else ""
    is_exposure = word in tracked.EXPOSED
    if word in tracked.EVALUATED or (is_exposure and tracked.is_outside(properties)):
        return Incoming(kind="ignored", event=event)
    common = {
        "unit": tracked.unit_of(properties, _ids(event), _USUAL_IDS),
        "timestamp": tracked.instant_of(event.get("timestamp")),
        "properties": stated,
    }
    if is_exposure:
        exposure = common | tracked.exposure_of(properties) | {"attributes": _attributes(event)}
        return Incoming(kind="exposure", event=tracked.without_nothing(exposure))
    outcome = common | tracked.outcome_of(name, properties) | {"id": new_id()}
    return Incoming(kind="outcome", event=tracked.without_nothing(outcome))


def _attributes(event: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return tracked.fields_of(event.get("attributes", event.get("context_json"))) or None


def _ids(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return what units may be told apart by; `id` goes by the name of `device_id` in plugins."""
    ids = dict(_attributes(event) or {})
    ids |= {name: event[name] for name in _TOP_LEVEL_IDS if event.get(name)}
    ids.setdefault("id", ids.get("device_id"))
    ids.setdefault("anonymous_id", ids.get("device_id"))
    return ids

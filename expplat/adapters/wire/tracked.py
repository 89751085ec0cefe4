"""What event trackers have in common: how they name exposures, units, variations and times."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

EXPOSED = frozenset(
    {
        "Experiment Viewed",
        "experiment_viewed",
        "$$experiment_viewed",
        "$feature_flag_called",
        "$experiment_started",
    }
)
"""Names of events that say that a unit was shown a variant; every other name is a metric's."""

EVALUATED = frozenset({"Feature Evaluated", "feature_evaluated", "$$feature_evaluated"})
"""Names of events that say that a flag was read, whether or not it is in a test: not counted."""

_EXPERIMENT = ("experiment_id", "experimentId", "experiment", "$feature_flag", "Experiment name")
_VARIATION = (
    "variation_key",
    "variationKey",
    "variation_id",
    "variationId",
    "variation",
    "$feature_flag_response",
    "Variant name",
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS_FROM = 100_000_000_000
"""A larger number of seconds is over three thousand years from now."""


def first_of(fields: Mapping[str, Any], names: Iterable[str]) -> Any:
    """Return the first of these fields that is there and says something; None where none does."""
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def text_of(value: object) -> object:
    """Return a whole number as the text that SDKs hash it as, and anything else as it is."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def instant_of(value: object) -> object:
    """Return seconds or milliseconds since 1970 as RFC 3339, and anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    try:
        seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except (OverflowError, ValueError):
        return value


def is_outside(properties: Mapping[str, Any]) -> bool:
    """Whether an exposure says of itself that the unit is in no test."""
    return properties.get("in_experiment", properties.get("inExperiment")) is False


def shown_variation(properties: Mapping[str, Any]) -> object:
    """Return the variation that an exposure names: by its name, or by its number as a number."""
    value = first_of(properties, _VARIATION)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 4:
        return int(value)
    return value


def exposure_of(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the properties of an exposure say of test, variation, unit and feature."""
    return {
        "experiment": first_of(properties, _EXPERIMENT),
        "variation": shown_variation(properties),
        "unit_type": hash_attribute(properties),
        "feature": first_of(properties, ("feature_key", "featureKey", "feature")),
    }


def outcome_of(name: object, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the metric that an event of another name is one of, with its value."""
    return {"metric": name, "value": first_of(properties, ("value", "revenue"))}


def hash_attribute(properties: Mapping[str, Any]) -> Any:
    """Return the name of the attribute that the unit was assigned by."""
    return first_of(properties, ("hash_attribute", "hashAttribute"))


def unit_of(properties: Mapping[str, Any], ids: Mapping[str, Any], usual: Iterable[str]) -> object:
    """Return whom an event is about.

    Args:
        properties: Of the event; what was hashed stands above everything else.
        ids: Every name of an id that the event carries, as attributes call it.
        usual: Which of them is taken where the event does not say, the best one first.
    """
    hashed = first_of(properties, ("hash_value", "hashValue"))
    if hashed is None:
        attribute = hash_attribute(properties)
        hashed = ids.get(attribute) if isinstance(attribute, str) else None
    return text_of(first_of(ids, usual) if hashed in (None, "") else hashed)


def without_nothing(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}


def fields_of(value: object) -> Mapping[str, Any]:
    """Return an object's fields; none for anything else."""
    return value if isinstance(value, dict) else {}

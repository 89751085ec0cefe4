"""What a flag may look like.

The SDK forgives: it skips what it does not know, and a rule without its condition is for everybody.
So rules are judged before the SDK sees them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

MAX_RULES = 1_000

KNOWN_KEYS = frozenset(
    {
        "id", "key", "name", "phase", "variations", "meta", "hashAttribute", "hashVersion", "seed",
        "weights", "coverage", "ranges", "range", "condition", "filters", "namespace", "force",
        "parentConditions", "disableStickyBucketing", "bucketVersion", "minBucketVersion",
        "fallbackAttribute",
    }
)  # fmt: skip
"""Keys of a rule that the SDK obeys and that are judged here."""

ENDLESS = frozenset({"$regex", "$regexi", "$notRegex", "$notRegexi"})
"""A short pattern can keep an evaluation busy for hours."""


class RuleError(Exception):
    """A flag that no server of ours sends."""


def check_feature(name: object, feature: object) -> None:
    """Check the structure of a flag.

    Raises:
        RuleError: If it is broken.
    """
    if not isinstance(name, str) or not isinstance(feature, dict):
        raise RuleError(f"the flag {str(name)[:100]!r} is no object")
    rules = feature.get("rules", [])
    if not isinstance(rules, list) or len(rules) > MAX_RULES:
        raise RuleError(f"the rules of {name[:100]!r} are no list, or one too long")
    for rule in rules:
        if not isinstance(rule, dict) or (broken := _broken_key(rule)):
            where = f" at {broken!r}" if isinstance(rule, dict) else ""
            raise RuleError(f"a rule of {name[:100]!r} is broken{where}")


def is_understood(feature: Mapping[str, Any]) -> bool:
    """Say whether the client can judge a flag: it knows every key, and no rule takes for ever."""
    rules = feature.get("rules", [])
    return (
        feature.keys() <= {"defaultValue", "rules"}
        and all(rule.keys() <= KNOWN_KEYS for rule in rules)
        # What a variation of nothing means, SDKs disagree about.
        and all(None not in rule.get("variations", ()) for rule in rules)
        and not _has_key(rules, ENDLESS)
    )


def _has_key(value: object, keys: frozenset[str]) -> bool:
    if isinstance(value, dict):
        return not keys.isdisjoint(value) or any(_has_key(item, keys) for item in value.values())
    return isinstance(value, list) and any(_has_key(item, keys) for item in value)


def _broken_key(rule: Mapping[str, Any]) -> str | None:
    for key, is_sound in _SOUND.items():
        if key in rule and not is_sound(rule[key]):
            return key
    variations = rule.get("variations")
    if variations is None:
        return None
    for key in ("weights", "ranges", "meta"):
        if key in rule and len(rule[key]) != len(variations):
            return key
    return None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_range(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_fraction, value))


def _is_list_of(is_item: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, list) and all(map(is_item, value))


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_variations(value: object) -> bool:
    return isinstance(value, list) and len(value) >= 2


def _is_weights(value: object) -> bool:
    return _is_list_of(_is_fraction)(value) and isinstance(value, list) and sum(value) <= 1.01


def _is_filter(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_text(value.get("seed"))
        and _is_list_of(_is_range)(value.get("ranges"))
        and _is_name(value.get("attribute", "id"))
        and value.get("hashVersion", 2) in (1, 2)
    )


def _is_parent(value: object) -> bool:
    return (
        isinstance(value, dict)
        and _is_name(value.get("id"))
        and isinstance(value.get("condition"), dict)
    )


def _is_meta(value: object) -> bool:
    return isinstance(value, dict) and _is_name(value.get("key", "0"))


_SOUND: dict[str, Callable[[object], bool]] = {
    "id": _is_text,
    "key": _is_name,
    "name": _is_text,
    "phase": _is_text,
    "seed": _is_text,
    "hashAttribute": _is_name,
    "hashVersion": lambda value: value in (1, 2),
    "coverage": _is_fraction,
    "range": _is_range,
    "ranges": _is_list_of(_is_range),
    "weights": _is_weights,
    "variations": _is_variations,
    "meta": _is_list_of(_is_meta),
    "condition": _is_object,
    "filters": _is_list_of(_is_filter),
    "parentConditions": _is_list_of(_is_parent),
}

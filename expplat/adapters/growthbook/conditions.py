"""Targeting as the condition that every official SDK reads alike.

JavaScript compares a missing attribute, a text and a number without a word, where others answer no;
so each comparison is written out with the type that it is meant for, and nothing is left to be
converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from expplat.domain.proposal_rules.targeting import JUNCTIONS, kinds_of


def condition(targeting: Mapping[str, Any]) -> dict[str, Any]:
    """Return a condition as it is served."""
    return {key: _entry(key, value) for key, value in targeting.items()}


def _entry(key: str, value: Any) -> Any:
    if key in JUNCTIONS:
        return [condition(each) for each in value]
    if key == "$not":
        return condition(value)
    return _test(value)


def _test(test: Any) -> dict[str, Any]:
    if not isinstance(test, Mapping):
        return {"$eq": test}
    served: dict[str, Any] = {}
    for kind in kinds_of(test):
        served["$type"] = kind
    for operator, operand in test.items():
        served[operator] = _test(operand) if operator in ("$not", "$elemMatch") else operand
    return served

"""One flag as a feature with its rules, as GrowthBook SDKs of every language read them alike."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from expplat.adapters.growthbook.conditions import condition
from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.online import VARIANTS
from expplat.flow.flags import FlagState, holdout_key

_STEPS = 10_000
"""Buckets of hash version 2. Boundaries on its multiples are read alike by all SDKs; others are
not by those that count in 32-bit floats."""

_TREATMENTS = [*VARIANTS[1:]]
"""Whichever of them is served, it is not control."""


def feature(state: FlagState) -> dict[str, Any]:
    """Return what a flag serves."""
    if not state.is_test and not state.is_graduated:
        return {"defaultValue": "control", "rules": []}
    rules = [_holdout_rule(state.holdout, state.unit)] if state.holdout else []
    if state.is_test:
        return {"defaultValue": "control", "rules": [*rules, _test_rule(state)]}
    if state.targeting or state.requires:
        return {"defaultValue": "control", "rules": [*rules, _winner_rule(state)]}
    return {"defaultValue": state.winner, "rules": rules}


def tracking_key(slug: str, phase: int) -> str:
    """Return the key of a test: a new phase is a new key and a new seed, so a new randomisation."""
    return f"{slug}.p{phase}"


def _test_rule(state: FlagState) -> dict[str, Any]:
    key = tracking_key(state.slug, state.phase)
    return {
        "id": key,
        "key": key,
        "name": state.slug,
        "phase": str(state.phase),
        "variations": list(state.arms),
        "meta": [{"key": arm, "name": arm.replace("_", " ").capitalize()} for arm in state.arms],
        "hashAttribute": state.unit,
        "hashVersion": 2,
        "seed": key,
        **_shares(len(state.arms), state.traffic_percent),
        "disableStickyBucketing": True,
        **_entrance(state),
    }


def _winner_rule(state: FlagState) -> dict[str, Any]:
    """Serve the winner to all whom the evidence is about.

    The attribute is named, though nothing is hashed, so that a client knows what a unit is.
    """
    key = f"{tracking_key(state.slug, state.phase)}.graduated"
    return {
        "id": key,
        "force": state.winner,
        "hashAttribute": state.unit,
        **_audience(state),
    }


def _entrance(state: FlagState) -> dict[str, Any]:
    filters = [_filter(state.exclusion, state.unit)] if state.exclusion else []
    return _audience(state) | ({"filters": filters} if filters else {})


def _audience(state: FlagState) -> dict[str, Any]:
    """Return who is meant: what a test and the flag that comes of it have in common."""
    audience: dict[str, Any] = {}
    if state.targeting:
        audience["condition"] = condition(state.targeting)
    if state.requires:
        parent = {"id": state.requires, "condition": {"value": {"$in": _TREATMENTS}}}
        audience["parentConditions"] = [parent]
    return audience


def _filter(exclusion: Exclusion, unit: str) -> dict[str, Any]:
    ends = (exclusion.from_percent, exclusion.to_percent)
    return {
        "seed": exclusion.group,
        "ranges": [[_share(end) for end in ends]],
        "hashVersion": 2,
        "attribute": unit,
    }


def _holdout_rule(holdout: Holdout, unit: str) -> dict[str, Any]:
    """Return the first rule: it keeps some units on control, and hands the others on."""
    key, share = holdout_key(holdout.name), _share(holdout.percent)
    return {
        "id": key,
        "key": key,
        "name": holdout.name,
        "phase": "0",
        "variations": ["control", "control"],
        "meta": [
            {"key": "control", "name": "Held out"},
            {"key": "passthrough", "name": "Not held out", "passthrough": True},
        ],
        "hashAttribute": unit,
        "hashVersion": 2,
        "seed": key,
        "weights": [share, _share(100 - holdout.percent)],
        "coverage": 1,
        "ranges": [[0, share], [share, 1]],
        "disableStickyBucketing": True,
    }


def _share(percent: float) -> float:
    return round(percent * _STEPS / 100) / _STEPS


def _shares(arms: int, traffic_percent: float) -> dict[str, Any]:
    """Return where each arm begins and ends; equal widths that only grow with the traffic."""
    starts = [round(_STEPS * arm / arms) for arm in range(arms + 1)]
    weights = [end - start for start, end in pairwise(starts)]
    # Rounded down, so that a test is never wider than was asked for.
    width = min(_STEPS // arms, int(traffic_percent * _STEPS / (100 * arms) + 1e-6))
    return {
        "weights": [weight / _STEPS for weight in weights],
        "coverage": _coverage(width, weights),
        "ranges": [
            [start / _STEPS if start else 0, (start + width) / _STEPS] for start in starts[:-1]
        ],
    }


def _coverage(width: int, weights: list[int]) -> float:
    """Return the shortest share that makes `width` buckets of every weight, once rounded.

    SDKs that know no ranges make them of coverage and weights. Three weights cannot be equal, so
    that few shares will do: those between the two bounds below.
    """
    low = max((width - 0.5) / weight for weight in weights)
    high = min((width + 0.5) / weight for weight in weights)
    middle = max(0.0, (low + high) / 2)
    shortened = (round(middle, digits) for digits in range(4, 16))
    return next(share for share in shortened if low < share < high)

"""One flag as a feature with its rules, as GrowthBook SDKs of every language read them alike."""

from __future__ import annotations

from typing import Any

from expplat.flow.flags import FlagState

_STEPS = 10_000
"""Buckets of hash version 2. Boundaries on its multiples are read alike by all SDKs; others are
not by those that count in 32-bit floats."""

_HALF = _STEPS // 2


def feature(state: FlagState) -> dict[str, Any]:
    """Return what a flag serves."""
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


def tracking_key(slug: str, phase: int) -> str:
    """Return the key of a test: a new phase is a new key and a new seed, so a new randomisation."""
    return f"{slug}.p{phase}"

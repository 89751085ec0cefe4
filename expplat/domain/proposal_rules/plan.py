"""Rules of the online plan: can it be walked to its end?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any

from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.domain.proposal_rules.finding import Finding, Findings, items_of, mapping_of, number_of

_DEFAULTS = {field.name: field.default for field in fields(OnlinePlan)}


def plan_faults(online: Mapping[str, Any]) -> Findings:
    """Yield what makes the plan impossible."""
    yield from _ramp_faults(items_of(online.get("ramp_percent")))
    yield from _unit_faults(online)
    yield from _time_faults(online)


def _ramp_faults(steps: Any) -> Findings:
    for position, (before, after) in enumerate(pairwise(steps), start=1):
        if number_of(after) <= number_of(before):
            yield Finding(
                ("online", "ramp_percent", position),
                f"The step {after:.12g} does not go beyond {before:.12g}.",
                "A ramp only widens: each step is larger than the one before.",
            )


def _unit_faults(online: Mapping[str, Any]) -> Findings:
    most = number_of(online.get("max_units"))
    for part, default in (("hold", Hold().min_units), ("health", Health().min_units)):
        least = number_of(mapping_of(online.get(part)).get("min_units"), left_out=default)
        if 2 * least > most:
            yield Finding(
                ("online", "max_units"),
                f"The test ends at {most:.12g} units, but `{part}.min_units` asks for "
                f"{least:.12g} in each of two variants.",
                f"Raise `max_units` to {2 * least:.12g} or more, or lower `{part}.min_units`.",
            )


def _time_faults(online: Mapping[str, Any]) -> Findings:
    most = number_of(online.get("max_days"), left_out=number_of(_DEFAULTS["max_days"]))
    steps = items_of(online.get("ramp_percent", _DEFAULTS["ramp_percent"]))
    hours = number_of(mapping_of(online.get("hold")).get("min_hours"), left_out=Hold().min_hours)
    ramp_days = max(0, len(steps) - 1) * hours / 24
    if ramp_days >= most:
        yield Finding(
            ("online", "max_days"),
            f"The test ends after {most:.12g} days, but its ramp alone holds for {ramp_days:.12g}.",
            "Raise `max_days`, lower `hold.min_hours`, or take fewer steps.",
        )
    least = number_of(mapping_of(online.get("health")).get("min_days"), left_out=Health().min_days)
    if least > most:
        yield Finding(
            ("online", "max_days"),
            f"The test ends after {most:.12g} days, but `health.min_days` asks for {least:.12g}.",
            "Raise `max_days` or lower `health.min_days`.",
        )

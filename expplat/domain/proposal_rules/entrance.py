"""Rules of who enters the online test: ranges, names, and the POC that must come first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from expplat.domain.proposal_rules.finding import (
    SLUG_HINT,
    SLUG_PATTERN,
    Finding,
    Findings,
    Path,
    breaks,
    mapping_of,
    number_of,
    shown,
    slug_problem,
)
from expplat.domain.proposal_rules.targeting import targeting_faults


def entrance_faults(online: Mapping[str, Any], slug: object) -> Findings:
    """Yield what would let in nobody, or others than are meant.

    Args:
        online: The online plan.
        slug: The POC's own name.
    """
    yield from targeting_faults(mapping_of(online.get("targeting")))
    yield from _exclusion_faults(mapping_of(online.get("exclusion")))
    yield from _holdout_faults(mapping_of(online.get("holdout")))
    yield from _requires_faults(online.get("requires"), slug)


def _exclusion_faults(exclusion: Mapping[str, Any]) -> Findings:
    place: Path = ("online", "exclusion")
    yield from _name_faults(exclusion.get("group"), (*place, "group"))
    for end in ("from_percent", "to_percent"):
        yield from _grid_faults(exclusion.get(end), (*place, end))
    begins, ends = (number_of(exclusion.get(end)) for end in ("from_percent", "to_percent"))
    if ends <= begins:
        yield Finding(
            (*place, "to_percent"),
            f"The range ends at {ends:.12g}, where it has hardly begun ({begins:.12g}).",
            "A range of half of the units is from_percent: 0, to_percent: 50.",
        )


def _holdout_faults(holdout: Mapping[str, Any]) -> Findings:
    place: Path = ("online", "holdout")
    yield from _name_faults(holdout.get("name"), (*place, "name"))
    yield from _grid_faults(holdout.get("percent"), (*place, "percent"))


def _requires_faults(required: object, slug: object) -> Findings:
    if not isinstance(required, str):
        return
    place: Path = ("online", "requires")
    if problem := slug_problem(required):
        yield Finding(place, problem, SLUG_HINT)
    elif required == slug:
        yield Finding(place, "It requires itself.", "Name another POC, or take it out.")


def _name_faults(name: object, path: Path) -> Findings:
    if breaks(name, SLUG_PATTERN):
        yield Finding(path, f"{shown(name)} is not a name that tests can share.", SLUG_HINT)


def _grid_faults(percent: object, path: Path) -> Findings:
    hundredths = number_of(percent) * 100
    if math.isfinite(hundredths) and abs(hundredths - round(hundredths)) > 1e-6:
        yield Finding(
            path,
            f"{percent} is not a multiple of 0.01.",
            "Units are dealt into 10,000 buckets; write such as 12.5 or 33.33.",
        )

"""Boundaries of a test that is read at planned looks, so that all of them together spend alpha."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

from expplat.stats.distributions import normal_quantile
from expplat.stats.paths import (
    SMALLEST_STEP,
    Paths,
    PlannedLook,
    Sides,
    advanced,
    crossing,
    start,
)
from expplat.stats.spending import Spending, spend_obf

UNSEEN = 1e-16
"""Errors so small touch no later look, nor could the integration resolve them."""


class _Spent(NamedTuple):
    """A look that spends something."""

    position: int
    time: float
    error: float
    """Over all sides."""


def boundaries(
    information_fractions: Sequence[float],
    alpha: float = 0.05,
    spending: Spending = spend_obf,
    spending_times: Sequence[float] | None = None,
    sides: Sides = 2,
) -> tuple[float, ...]:
    """Return the critical |z|, or z, of each look, so that all looks together spend alpha.

    Looks may be uneven, and later looks never change the boundaries of earlier ones. A look that
    adds no information, or whose plan spends nothing yet, has a boundary of infinity: nothing
    passes there. So has every look after alpha is spent.

    Args:
        information_fractions: Share of the planned information at each look, in order. A share
            above 1 counts as such in the correlation of the looks; the plan spends all at 1.
        alpha: Level over all looks: between 0 and 1, half of it on each side; with one side below
            one half, all of it on the upper side.
        spending: How much may be spent by when.
        spending_times: Where calendar time rather than information drives the spending: its share
            at each look. The last look of a test that ran out of days has 1, and spends the rest.
        sides: 2 for critical |z|; 1 for critical z, where a low z ends nothing.

    Raises:
        ValueError: If a fraction is not finite, alpha is out of range, or the lengths differ.

    Source:
        Armitage, McPherson and Rowe (1969), JRSS A 132:235-244, and Lan and DeMets (1983). Five
        even looks at two-sided 0.05, or one-sided 0.025, by `spend_obf` give 4.8769, 3.3569,
        2.6803, 2.2898, 2.0310.
    """
    times = information_fractions if spending_times is None else spending_times
    if not all(math.isfinite(t) for t in (*information_fractions, *times)):
        raise ValueError("a share of the planned information must be finite")
    spent = _spending_looks(information_fractions, _spent_by(times, alpha, spending, sides))
    found = [math.inf] * len(information_fractions)
    paths = start()
    for look, following in zip_longest(spent, spent[1:]):
        critical = _critical(paths, look, sides)
        found[look.position] = critical
        if following is not None:
            planned = PlannedLook(look.time, critical)
            paths = advanced(paths, planned, sides, following.time - look.time)
    return tuple(found)


def _spent_by(
    times: Sequence[float], alpha: float, spending: Spending, sides: Sides
) -> list[float]:
    """Return the error spent by each time; one side has half of a two-sided plan of 2 · alpha."""
    if not 0 < alpha < sides / 2:
        raise ValueError(f"alpha must lie between 0 and {sides / 2} here, not at {alpha}")
    two_sided = alpha * 2 / sides
    return [spending(time, two_sided) * sides / 2 for time in times]


def _spending_looks(fractions: Sequence[float], spent_by: Sequence[float]) -> list[_Spent]:
    """Return the looks that add information and spend something."""
    if len(fractions) != len(spent_by):
        raise ValueError(f"{len(spent_by)} spending times do not fit {len(fractions)} looks")
    looks: list[_Spent] = []
    time = spent = 0.0
    for position, (fraction, total) in enumerate(zip(fractions, spent_by, strict=True)):
        if fraction - time >= SMALLEST_STEP and total > spent:
            looks.append(_Spent(position, fraction, total - spent))
            time, spent = fraction, total
    return looks


def _critical(paths: Paths, look: _Spent, sides: Sides) -> float:
    """Return the critical value that just the look's error of the surviving paths crosses."""
    highest = -normal_quantile(look.error / sides)
    if look.error < UNSEEN:
        return highest
    lowest = 0.0
    while highest - lowest > 1e-10:
        middle = (lowest + highest) / 2
        if crossing(paths, PlannedLook(look.time, middle), sides) > look.error:
            lowest = middle
        else:
            highest = middle
    return highest

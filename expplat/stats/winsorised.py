"""A few units far out can drown all others: their values are cut back to a cap."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from expplat.stats.distributions import Floats
from expplat.stats.interval import ROUNDING, Interval
from expplat.stats.moments import moments_of
from expplat.stats.two_sample import difference


def cap_of(arms: Sequence[ArrayLike], cap_quantile: float) -> float:
    """Return a quantile of all arms together, interpolated linearly; NaN without values.

    One cap for all arms: a cap for each would take away part of what is looked for.

    Args:
        arms: Each of shape (n,).
        cap_quantile: Such as 0.999, above 0 and at most 1.

    Raises:
        ValueError: If the quantile is out of range.

    Source:
        By hand: 1, 2, 3 and 4, 100 have a 0.75-quantile of 4.
    """
    if not 0 < cap_quantile <= 1:
        raise ValueError(f"a cap lies at a quantile above 0 and at most 1, not at {cap_quantile}")
    columns = [np.asarray(arm, dtype=np.float64).ravel() for arm in arms]
    together = np.concatenate([np.empty(0), *columns])
    return float(np.quantile(together, cap_quantile)) if together.size else math.nan


def winsorised(values: ArrayLike, cap: float) -> Floats:
    """Return the values, those above the cap replaced by it.

    What is not finite becomes NaN: infinity is a fault of the data, not a large value.
    """
    numbers = np.asarray(values, dtype=np.float64)
    return np.where(np.isfinite(numbers), np.minimum(numbers, cap), np.nan)


def winsorised_difference(
    control: ArrayLike, treatment: ArrayLike, cap_quantile: float, alpha: float = 0.05
) -> Interval:
    """Return the difference of means after large values were cut back, with Welch's t interval.

    It estimates the difference of the capped means, which is not that of the means: say so where
    it is shown. The cap is the quantile of both arms together, and counts as known.

    Args:
        control: Shape (n,).
        treatment: Shape (m,).
        cap_quantile: As in `cap_of`.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        As `difference`, in the unit of the values.

    Raises:
        ValueError: If alpha or the quantile is out of range.

    Source:
        Tukey and McLaughlin (1963), Sankhya A 25:331-352. By hand: 1, 2, 3 and 4, 100 capped at
        0.75 are 1, 2, 3 and 4, 4: a difference of 2 with a standard error of 1/√3.
    """
    cap = cap_of((control, treatment), cap_quantile)
    arms = [moments_of(winsorised(arm, cap).tolist()) for arm in (control, treatment)]
    found = difference(arms[0], arms[1], alpha)
    if not math.isfinite(cap):
        return found
    return replace(found, method=f"{found.method}, capped at {cap:g}")


@np.errstate(over="ignore", invalid="ignore")
def tail_share(values: ArrayLike, share: float = 0.01) -> float | None:
    """Return how much of the sum of squared distances from the mean comes from a few far out.

    Args:
        values: Shape (n,).
        share: Of the values, those farthest from the mean, rounded up; above 0 and at most 1.

    Returns:
        0 to 1: the whole variance hangs on them where it is near 1. None below two values, where
        nothing varies, or a value is not finite.

    Raises:
        ValueError: If the share is out of range.

    Source:
        By hand: 0, 0, 0, 4 have squared distances 1, 1, 1, 9; the farthest holds 0.75.
    """
    if not 0 < share <= 1:
        raise ValueError(f"a share lies above 0 and at most at 1, not at {share}")
    numbers = np.asarray(values, dtype=np.float64)
    if len(numbers) < 2 or not np.all(np.isfinite(numbers)):
        return None
    origin = float(np.sum(numbers / len(numbers)))  # divided first: a sum may be too large
    distances = np.abs(numbers - origin)
    farthest = float(distances.max())
    if not math.isfinite(farthest) or farthest <= ROUNDING * abs(origin):
        return None
    squares = (distances / farthest) ** 2
    few = max(1, math.ceil(len(numbers) * (share - ROUNDING)))
    return float(np.partition(squares, len(squares) - few)[-few:].sum() / squares.sum())

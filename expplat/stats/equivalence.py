"""Is it no worse, is it the same: one-sided p-values against a margin, from any interval."""

from __future__ import annotations

import math
from dataclasses import replace

from expplat.stats.distributions import critical_t, critical_z, normal_tail, t_tail
from expplat.stats.interval import Interval


def non_inferiority_p(found: Interval, margin: float, sign: int = 1) -> float | None:
    """Return the one-sided p-value of being worse by the margin or more.

    Below the level it is proven that treatment is not worse by as much as the margin.

    Args:
        found: A difference with a standard error, of paired requests (`mean_difference`) or of two
            arms (`two_sample.difference`). Its own confidence level does not matter. A ratio is no
            difference: take that of the logarithms, with the logarithm of the margin.
        margin: Largest harm that is allowed, at least 0, in the unit of the difference.
        sign: 1 where higher is better, −1 where lower is.

    Returns:
        0 to 1. None where the interval has no standard error, or one of 0: nothing is proven.

    Raises:
        ValueError: If the margin is negative or not finite, or the sign is not 1 or −1.

    Source:
        Wellek (2010), Testing Statistical Hypotheses of Equivalence and Noninferiority, ch. 2.
        Differences 1, 2, 3, 4, 5 with a margin of 0 give t = 4.2426 with 4 degrees, p 0.006618;
        where lower is better and the margin is 5, t = 2.8284 and p 0.023710.
    """
    _must_be_margin(margin)
    if sign not in (1, -1):
        raise ValueError(f"the sign is 1 or -1, not {sign}")
    return None if found.estimate is None else _tail(found, sign * found.estimate + margin)


def tost_p(found: Interval, low: float, high: float) -> float | None:
    """Return the p-value of a difference outside low to high: two one-sided tests.

    Below the level it is proven that the difference lies between the two; this is so where
    `at_level` with twice the level lies between them.

    Args:
        found: As in `non_inferiority_p`.
        low: Lower end of what counts as the same, in the unit of the difference.
        high: Upper end, above `low`.

    Returns:
        0 to 1. None where the interval has no standard error, or one of 0: nothing is proven.

    Raises:
        ValueError: If low and high are not finite, or not in this order.

    Source:
        Schuirmann (1987), Journal of Pharmacokinetics and Biopharmaceutics 15:657-680. Differences
        1, 2, 3, 4, 5 between 1 and 5 give t = ± 2.8284 with 4 degrees, p 0.023710.
    """
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"low must lie below high, not {low} and {high}")
    if found.estimate is None:
        return None
    above, below = _tail(found, found.estimate - low), _tail(found, high - found.estimate)
    return None if above is None or below is None else max(above, below)


def at_level(found: Interval, alpha: float) -> Interval:
    """Return the interval of the same difference at another level, with the same p-value.

    For equivalence at 0.05 that is 0.1, the 90 % interval; its lower end alone is the bound of
    non-inferiority at 0.05.

    Returns:
        Without ends where the interval has no standard error.

    Raises:
        ValueError: If alpha is not between 0 and 1.

    Source:
        Differences 1, 2, 3, 4, 5 at 0.1: 3 ± 2.1318 · √(2.5 / 5), 1.4926 to 4.5074.
    """
    critical = critical_z(alpha)
    if found.estimate is None or found.standard_error is None:
        return replace(found, low=None, high=None)
    if found.degrees is not None:
        critical = critical_t(alpha, found.degrees)
    half = critical * found.standard_error
    return replace(found, low=found.estimate - half, high=found.estimate + half)


def _tail(found: Interval, distance: float) -> float | None:
    """Return the one-sided p-value of an estimate so far on the good side of an edge."""
    if not found.standard_error:
        return None
    statistic = distance / found.standard_error
    if found.degrees is None:
        return normal_tail(statistic)
    return t_tail(statistic, found.degrees)


def _must_be_margin(margin: float) -> None:
    if not 0 <= margin < math.inf:
        raise ValueError(f"a margin is a finite number of at least 0, not {margin}")

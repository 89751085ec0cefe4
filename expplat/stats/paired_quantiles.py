"""Quantiles of the same requests under two variants, by the paired percentile bootstrap."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from expplat.stats.distributions import Floats, critical_z
from expplat.stats.interval import (
    ROUNDING,
    Interval,
    finite_or_not_estimable,
    not_estimable,
)
from expplat.stats.pairing import Clusters, columns, few_clusters, largest, numbered, unfit
from expplat.stats.resampling import resampled_quantiles

RESAMPLES = 4_999
"""Of the bootstrap: an odd one out, so that the ends of a 95 % interval are order statistics."""

FINEST = 2 / (RESAMPLES + 1)
"""Below this level the interval would reach beyond the outermost resamples."""


def quantile(values: ArrayLike, q: float) -> float:
    """Return the q-quantile of at least one value, interpolated linearly as numpy's default."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), q))


@np.errstate(over="ignore", invalid="ignore")
def quantile_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    q: float,
    clusters: Clusters | None = None,
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> Interval:
    """Return the difference of the two variants' q-quantiles, by a paired percentile bootstrap.

    Whole clusters are drawn, with both their columns; 4,999 resamples. Clusters are as in
    `mean_difference`.

    Returns:
        The difference of quantiles with its interval, in the unit of the values. Warns where
        there are fewer than 4q / (1 − q) pairs: 76 for a 95th percentile. Has no interval below a
        level of 0.0004, which so many resamples do not resolve.

    Raises:
        ValueError: If the columns differ in length, or q or alpha is out of range.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13.
    """
    _must_lie_within(q, alpha)
    first, second = columns(control, treatment)
    numbers = numbered(clusters, len(first))
    method = f"paired bootstrap of p{100 * q:g}"
    reason = unfit(first, numbers) or unfit(second, numbers)
    if reason:
        return not_estimable(n=len(first), method=method, reason=reason)
    ones, others = resampled_quantiles((first, second), numbers, q, seed, RESAMPLES)
    apart = others - ones
    # Interpolation leaves rounding where two quantiles are equal; it must not count as a sign.
    apart[np.abs(apart) <= ROUNDING * largest(first, second)] = 0.0
    return _percentile_interval(
        quantile(second, q) - quantile(first, q),
        (apart, 0.0),
        n=len(first),
        method=method,
        alpha=alpha,
        warnings=(*_too_few_for(q, len(first)), *few_clusters(numbers)),
    )


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def quantile_ratio(
    control: ArrayLike,
    treatment: ArrayLike,
    q: float,
    clusters: Clusters | None = None,
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> Interval:
    """Return treatment's q-quantile over control's, by the paired percentile bootstrap.

    The ratio of the two quantiles, not the quantile of the requests' ratios: 1.1 says that the
    slowest twentieth begins a tenth later. The resamples are those of `quantile_difference` for
    the same seed. For a 95th percentile its interval is wide rather than narrow: it held the truth
    98 to 100 times in 100 of skewed latencies.

    Returns:
        The ratio with its interval and the p-value of no change, a ratio of 1. Not estimable where
        a value is below 0, or where control's quantile is 0 in any resample. Warns as
        `quantile_difference`.

    Raises:
        ValueError: If the columns differ in length, or q or alpha is out of range.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13. By hand: twice the
        same latencies give 2 in every resample, whatever the seed.
    """
    _must_lie_within(q, alpha)
    first, second = columns(control, treatment)
    numbers = numbered(clusters, len(first))
    method = f"paired bootstrap of the ratio of p{100 * q:g}"
    reason = unfit(first, numbers) or unfit(second, numbers) or _below_zero(first, second)
    if reason:
        return not_estimable(n=len(first), method=method, reason=reason)
    ones, others = resampled_quantiles((first, second), numbers, q, seed, RESAMPLES)
    if not np.all(ones > 0):
        reason = f"Control's p{100 * q:g} is 0 in a resample: nothing can be divided by it."
        return not_estimable(n=len(first), method=method, reason=reason)
    ratios = others / ones
    ratios[np.abs(ratios - 1) <= ROUNDING] = 1.0
    return _percentile_interval(
        quantile(second, q) / quantile(first, q),
        (ratios, 1.0),
        n=len(first),
        method=method,
        alpha=alpha,
        warnings=(*_too_few_for(q, len(first)), *few_clusters(numbers)),
    )


def _percentile_interval(
    estimate: float,
    resampled: tuple[Floats, float],
    *,
    n: int,
    method: str,
    alpha: float,
    warnings: tuple[str, ...],
) -> Interval:
    """Return the interval between two quantiles of the resamples, which go with a null value."""
    found, null = resampled
    if alpha < FINEST:
        reason = f"{RESAMPLES:,} resamples resolve no level below {FINEST:g}."
        return not_estimable(n=n, method=method, reason=reason, estimate=estimate)
    low, high = (float(end) for end in np.quantile(found, (alpha / 2, 1 - alpha / 2)))
    tails = min(np.count_nonzero(found <= null), np.count_nonzero(found >= null))
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=low,
            high=high,
            p=min(1.0, 2 * (int(tails) + 1) / (RESAMPLES + 1)),
            n=n,
            method=method,
            warnings=warnings,
        )
    )


def _must_lie_within(q: float, alpha: float) -> None:
    """Refuse a quantile or a level that is not between 0 and 1."""
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    critical_z(alpha)


def _below_zero(first: Floats, second: Floats) -> str | None:
    if np.all(first >= 0) and np.all(second >= 0):
        return None
    return "A ratio of quantiles needs values of 0 or above."


def _too_few_for(q: float, n: int) -> tuple[str, ...]:
    needed = math.ceil(4 * max(q, 1 - q) / min(q, 1 - q) - 1e-9)
    if n >= needed:
        return ()
    return (f"{n} pairs are few for p{100 * q:g}: it needs {needed}.",)

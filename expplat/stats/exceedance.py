"""How often a bound that was set beforehand is exceeded: latency decided as a proportion.

The bound is part of the plan. One that is taken from the values of the test makes the share
depend on what it is to judge.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.two_proportions import Counts


def exceedances(values: Iterable[float], bound: float) -> Counts:
    """Return how many values lie above the bound, where each value is a unit of its own.

    A value equal to the bound keeps it. An answer that never came is infinite, and exceeds.

    Args:
        values: In the bound's unit.
        bound: The largest value that is still good, finite.

    Raises:
        ValueError: If a value is not a number, or the bound is not finite.

    Source:
        By hand: 1, 2, 3 and ∞ above 2 are 2 of 4.
    """
    exceeded = [_exceeds(value, bound) for value in values]
    return Counts(sum(exceeded), len(exceeded))


def exceedance_moments(
    values: Sequence[float], bound: float, clusters: Sequence[Hashable]
) -> Moments:
    """Return the share of values above the bound as moments over clusters, such as users.

    The share is a ratio of sums over clusters; by the delta method its error is that of a mean of
    the clusters' residuals over the mean number of values in a cluster. Where no value exceeds,
    `m2` is 0, and says nothing of chance: ask `two_sample.standard_error` for added counts there.

    Args:
        values: Shape (n,), in the bound's unit.
        bound: As in `exceedances`.
        clusters: The cluster of each value.

    Returns:
        With `n` clusters and the share of all values as the mean, 0 to 1.

    Raises:
        ValueError: As in `exceedances`, or if the clusters do not fit the values.

    Source:
        Deng, Knoblich and Lu (2018), arXiv 1803.06336, section 3. By hand: users with 1 of 1, 0 of
        1 and 1 of 2 above the bound have a share of 0.5, residuals of 0.375, −0.375 and 0, and an
        m2 of 0.28125.
    """
    if len(values) != len(clusters):
        raise ValueError(f"{len(clusters)} clusters do not fit {len(values)} values")
    if not clusters:
        return NO_MOMENTS
    sizes = dict.fromkeys(clusters, 0)
    exceeded = dict.fromkeys(clusters, 0)
    for value, cluster in zip(values, clusters, strict=True):
        sizes[cluster] += 1
        exceeded[cluster] += _exceeds(value, bound)
    share = sum(exceeded.values()) / len(values)
    size = len(values) / len(sizes)
    residuals = [(exceeded[cluster] - share * sizes[cluster]) / size for cluster in sizes]
    m2 = math.fsum(residual * residual for residual in residuals)
    return Moments(n=len(sizes), mean=share, m2=m2)


def _exceeds(value: float, bound: float) -> bool:
    if math.isnan(value) or not math.isfinite(bound):
        raise ValueError(f"{value} cannot be held against a bound of {bound}")
    return value > bound

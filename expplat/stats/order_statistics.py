"""The difference of two quantiles of different units, such as the p95 latency of two variants."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.distributions import Floats, critical_z
from expplat.stats.interval import Interval, not_estimable, without_spread
from expplat.stats.t_interval import t_interval

METHOD = "quantiles (order statistics)"
CLUSTERED = "quantiles (order statistics, clustered)"

RANK_Z = 1.959963984540054
"""Standard errors of the rank on each side between which the error of a quantile is read off."""


class _Quantile(NamedTuple):
    """One arm's quantile."""

    n: int
    """Clusters, or values that are their own clusters."""

    estimate: float
    error: float
    degrees: float
    """Degrees of freedom of the error."""

    reached: bool
    """Whether both order statistics lie inside the values."""


def quantile_difference(
    control_values: Sequence[float] | Floats,
    treatment_values: Sequence[float] | Floats,
    q: float,
    control_clusters: Sequence[Hashable] | None = None,
    treatment_clusters: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the difference of the q-quantiles of two arms, for a test that is read once.

    The error of each quantile is the distance of the order statistics 1.96 errors of the rank below
    and above it, over twice 1.96; with clusters, the error of the rank is that of a mean over
    clusters. The distance of two order statistics with k values between them varies like an error
    on k / 2 degrees of freedom, so that the interval is one of Student's t.

    Args:
        control_values: Shape (n,), in the metric's unit; quantiles are numpy's default, linear.
        treatment_values: Shape (m,), likewise.
        q: Between 0 and 1, such as 0.95.
        control_clusters: The cluster of each value, such as its user; None where each value is a
            unit of its own. Values of one user that count as if independent make errors too small.
        treatment_clusters: Likewise.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The difference in the metric's unit, with `n` clusters. Not estimable below two clusters in
        an arm or with a value that is not finite. With a warning below 4 · max(q, 1 − q) /
        min(q, 1 − q) values in an arm (76 for p95), counted as that many independent ones: there
        the order statistics are not reached, and the error is extrapolated.

    Raises:
        ValueError: If q or alpha is out of range, or clusters do not fit the values.

    Source:
        Deng, Knoblich and Lu (2018), Applying the delta method in metric analytics, KDD,
        arXiv 1803.06336, section 4. The p95 of 0, 1, … 1000 is 950 with an error of √(0.0475 ·
        1000² / 1001) = 6.8886.
    """
    critical_z(alpha)
    clustered = control_clusters is not None or treatment_clusters is not None
    arms = (
        _quantile(control_values, q, control_clusters),
        _quantile(treatment_values, q, treatment_clusters),
    )
    n, method = arms[0].n + arms[1].n, CLUSTERED if clustered else METHOD
    estimate, error = arms[1].estimate - arms[0].estimate, math.hypot(arms[0].error, arms[1].error)
    if not math.isfinite(error) or not math.isfinite(estimate):
        reason = "An arm has fewer than two units, or a value that is not finite."
        return not_estimable(n=n, method=method, reason=reason, estimate=estimate)
    if error == 0:
        return without_spread(estimate=estimate, n=n, method=method)
    degrees = 1 / math.fsum((arm.error / error) ** 4 / arm.degrees for arm in arms)
    found = t_interval(estimate, error, degrees, alpha=alpha, n=n, method=method)
    return replace(
        found,
        warnings=found.warnings if all(arm.reached for arm in arms) else (*found.warnings, _few(q)),
    )


def quantile_moments(
    values: Sequence[float] | Floats, q: float, clusters: Sequence[Hashable] | None = None
) -> Moments:
    """Return moments whose mean is the quantile and whose error of the mean is the quantile's.

    What is computed from moments, such as a repeated or an anytime interval, then serves for
    quantiles. They do not merge: a quantile of all is none of the quantiles of the parts.

    Args:
        values: Shape (n,), in the metric's unit.
        q: Between 0 and 1.
        clusters: As in `quantile_difference`.

    Returns:
        With `n` clusters, the quantile as the mean, and `m2` of n · (n − 1) times the square of its
        error. NaN where a value is not finite.

    Raises:
        ValueError: If q is out of range, or the clusters do not fit the values.

    Source:
        As `quantile_difference`. The p95 of 0, 1, … 1000 gives n 1001, mean 950, m2 4.75e7.
    """
    found = _quantile(values, q, clusters)
    if found.n == 0:
        return NO_MOMENTS
    if found.n == 1:
        return Moments(n=1, mean=found.estimate, m2=0.0)
    m2 = found.error * found.error * found.n * (found.n - 1)
    return Moments(n=found.n, mean=found.estimate, m2=m2)


def _quantile(
    values: Sequence[float] | Floats, q: float, clusters: Sequence[Hashable] | None
) -> _Quantile:
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    numbers = np.sort(np.asarray(values, dtype=np.float64))
    if clusters is not None and len(clusters) != len(numbers):
        raise ValueError(f"{len(clusters)} clusters do not fit {len(numbers)} values")
    n = len(numbers) if clusters is None else len(set(clusters))
    if not (len(numbers) and np.isfinite(numbers).all()):
        return _Quantile(n, math.nan, math.nan, 1.0, False)
    estimate = float(np.quantile(numbers, q))
    if n < 2:
        return _Quantile(n, estimate, math.nan, 1.0, False)
    rank_error = math.sqrt(q * (1 - q) / n)
    if clusters is not None:
        rank_error = _clustered_error(np.asarray(values) <= estimate, clusters)
    low, high = max(0.0, q - RANK_Z * rank_error), min(1.0, q + RANK_Z * rank_error)
    if high == low:
        return _Quantile(n, estimate, 0.0, n - 1, True)
    below, above = (float(end) for end in np.quantile(numbers, (low, high)))
    # Where an end was cut off, the distance that is left stands for fewer errors of the rank.
    error = (above - below) * (rank_error / (high - low))
    degrees = max(1.0, min(n - 1, (high - low) * _worth(q, rank_error, len(numbers)) / 2))
    reached = _worth(q, rank_error, len(numbers)) >= _fewest(q)
    return _Quantile(n, estimate, error, degrees, reached)


def _clustered_error(below: NDArray[np.bool_], clusters: Sequence[Hashable]) -> float:
    """Return the error of the share of values below, a ratio of sums over clusters."""
    number = {cluster: position for position, cluster in enumerate(dict.fromkeys(clusters))}
    places = np.fromiter((number[cluster] for cluster in clusters), np.intp, len(clusters))
    sums = np.bincount(places, weights=below - below.mean())
    count = len(number)
    return math.sqrt(count / (count - 1) * float(sums @ sums)) / len(below)


def _worth(q: float, rank_error: float, n: int) -> float:
    """Return how many independent values have a rank as uncertain; at most those there are."""
    return min(n, q * (1 - q) / (rank_error * rank_error))


def _fewest(q: float) -> float:
    return 4 * max(q, 1 - q) / min(q, 1 - q)


def _few(q: float) -> str:
    return f"The quantile {q:g} needs {_fewest(q) - 1e-9:.0f} independent values in each arm."

"""The t interval of a mean whose values come in clusters; every paired mean rests on it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from expplat.stats.distributions import Floats, critical_z
from expplat.stats.interval import (
    ROUNDING,
    Interval,
    finite_or_not_estimable,
    not_estimable,
    without_spread,
)
from expplat.stats.pairing import few_clusters, repeat, unfit
from expplat.stats.t_interval import t_interval


def clustered_interval(
    values: Floats, clusters: NDArray[np.intp], alpha: float, rounding: float
) -> Interval:
    """Return the CR2 interval of the mean of the values.

    Args:
        values: Shape (n,).
        clusters: Shape (n,), the number of each value's cluster, from 0 without gaps.
        alpha: One less the two-sided confidence level, between 0 and 1.
        rounding: A spread up to this, in the unit of the values, counts as none.

    Raises:
        ValueError: If alpha is out of range.

    Source:
        As `mean_difference`.
    """
    method = "paired t (CR2)" if repeat(clusters) else "paired t"
    n = len(values)
    critical_z(alpha)
    reason = unfit(values, clusters)
    if reason:
        return not_estimable(n=n, method=method, reason=reason)
    estimate = float(values.mean())
    residuals = values - estimate
    scale = float(np.abs(residuals).max())
    if scale <= rounding:
        return without_spread(estimate=estimate, n=n, method=method)
    error, degrees = _cr2(residuals / scale, clusters)
    if error <= ROUNDING:
        return without_spread(estimate=estimate, n=n, method=method)
    if degrees < 1:
        reason = "One cluster outweighs all others."
        return not_estimable(n=n, method=method, reason=reason, estimate=estimate)
    error *= scale
    found = t_interval(estimate, error, degrees, alpha=alpha, n=n, method=method)
    return replace(found, warnings=(*found.warnings, *few_clusters(clusters)))


def exponential(logarithm: Interval, name: str) -> Interval:
    """Return the interval of a ratio from that of its logarithm, under another name.

    Its standard error is that of the ratio, by the delta method: ratio times that of the logarithm.
    """
    ratio = _exp(logarithm.estimate)
    error = logarithm.standard_error
    return finite_or_not_estimable(
        Interval(
            estimate=ratio,
            low=_exp(logarithm.low),
            high=_exp(logarithm.high),
            p=logarithm.p,
            n=logarithm.n,
            method=f"{name}, {logarithm.method}",
            warnings=logarithm.warnings,
            standard_error=None if ratio is None or error is None else ratio * error,
            degrees=logarithm.degrees,
        )
    )


def _cr2(residuals: Floats, clusters: NDArray[np.intp]) -> tuple[float, float]:
    """Return the standard error of the mean and its degrees of freedom."""
    n = len(residuals)
    sizes = np.bincount(clusters).astype(np.float64)
    sums = np.bincount(clusters, weights=residuals)
    error = math.sqrt(float(np.sum(sums**2 / (1 - sizes / n)))) / n
    squares = sizes**2
    degrees = float(squares.sum() ** 2 / np.sum(squares**2)) - 1
    return error, degrees


def _exp(value: float | None) -> float | None:
    return None if value is None else float(np.exp(value))

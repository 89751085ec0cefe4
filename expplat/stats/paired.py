"""The same requests under two variants: differences are treatment less control."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expplat.stats.distributions import Floats, critical_t, critical_z, t_p
from expplat.stats.interval import (
    ROUNDING,
    Interval,
    finite_or_not_estimable,
    not_estimable,
    without_spread,
)
from expplat.stats.proportions import NEWCOMBE, newcombe_paired
from expplat.stats.resampling import quantile_differences

FEW_CLUSTERS = 30
"""Below so many clusters an interval that rests on them is rough."""

RESAMPLES = 4_999
"""Of the bootstrap: an odd one out, so that the ends of a 95 % interval are order statistics."""


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


def quantile(values: Sequence[float], q: float) -> float:
    """Return the q-quantile of at least one value, interpolated linearly as numpy's default."""
    return float(np.quantile(np.asarray(values, dtype=np.float64), q))


@np.errstate(over="ignore", invalid="ignore")
def mean_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the mean of the paired differences with a t interval that knows of clusters.

    One formula: sums of residuals by cluster, each divided by 1 less the cluster's share of the
    pairs (CR2), against a t with (Σw²)² / Σw⁴ − 1 degrees of freedom, where w are the clusters'
    sizes. Where every cluster holds one pair this is the paired t-test, digit by digit.

    Args:
        control: Shape (n,), one value a request.
        treatment: Shape (n,), the same requests in the same order.
        clusters: The cluster of each request; None where requests are independent.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The mean difference with its interval, in the unit of the values. Not estimable below two
        pairs or clusters, or where a value is not finite. Without width where all differences are
        the same.

    Raises:
        ValueError: If the columns differ in length, or alpha is out of range.

    Source:
        Bell and McCaffrey (2002), Survey Methodology 28:169-181, for a mean alone. Differences
        1, 2, 3, 4, 5 give 3 with 1.0368 to 4.9632; in clusters a, a, b, b, c, by hand, a standard
        error of √(26/30) with 16/11 degrees of freedom: −2.8530 to 8.8530.
    """
    first, second = _columns(control, treatment)
    rounding = ROUNDING * _largest(first, second)
    return _t_interval(second - first, _numbered(clusters, len(first)), alpha, rounding)


@np.errstate(over="ignore", invalid="ignore")
def geometric_mean_ratio(
    control_ms: ArrayLike,
    treatment_ms: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the geometric mean of treatment over control, by a t interval on log ratios.

    For positive, skewed quantities such as latencies and costs: 1.1 says a tenth more on the
    typical request. Clusters, Returns and Raises are as in `mean_difference`; not estimable where
    a value is not above 0.

    Source:
        By hand: control 1, 1, 1 and treatment 1, 2, 4 give 2; log ratios 0, ln 2, 2 ln 2 have a
        standard error of ln 2 / √3, so the interval is 2 to the power of 1 ± 4.3027 / √3.
    """
    first, second = _columns(control_ms, treatment_ms)
    if not (np.all(first > 0) and np.all(second > 0)):
        reason = "A ratio needs values above 0 in every request."
        return not_estimable(n=len(first), method="geometric mean ratio", reason=reason)
    logs = np.log(second) - np.log(first)
    found = _t_interval(logs, _numbered(clusters, len(first)), alpha, ROUNDING)
    return finite_or_not_estimable(
        Interval(
            estimate=_exp(found.estimate),
            low=_exp(found.low),
            high=_exp(found.high),
            p=found.p,
            n=found.n,
            method=f"geometric mean ratio, {found.method}",
            warnings=found.warnings,
        )
    )


@np.errstate(over="ignore", invalid="ignore")
def quantile_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    q: float,
    clusters: Sequence[Hashable] | None = None,
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> Interval:
    """Return the difference of the two variants' q-quantiles, by a paired percentile bootstrap.

    Whole clusters are drawn, with both their columns; 4,999 resamples. Clusters are as in
    `mean_difference`.

    Returns:
        The difference of quantiles with its interval, in the unit of the values. Warns where
        there are fewer than 4q / (1 − q) pairs: 76 for a 95th percentile.

    Raises:
        ValueError: If the columns differ in length, or q or alpha is out of range.

    Source:
        Efron and Tibshirani (1993), An Introduction to the Bootstrap, ch. 13.
    """
    if not 0 < q < 1:
        raise ValueError(f"a quantile lies between 0 and 1, not at {q}")
    critical_z(alpha)
    first, second = _columns(control, treatment)
    method, n = f"paired bootstrap of p{100 * q:g}", len(first)
    numbers = _numbered(clusters, n)
    reason = _unfit(first, numbers) or _unfit(second, numbers)
    if reason:
        return not_estimable(n=n, method=method, reason=reason)
    differences = quantile_differences((first, second), numbers, q, seed, RESAMPLES)
    # Interpolation leaves rounding where two quantiles are equal; it must not count as a sign.
    differences[np.abs(differences) <= 1e-12 * _largest(first, second)] = 0.0
    low, high = (float(end) for end in np.quantile(differences, (alpha / 2, 1 - alpha / 2)))
    tails = min(np.count_nonzero(differences <= 0), np.count_nonzero(differences >= 0))
    return finite_or_not_estimable(
        Interval(
            estimate=float(np.quantile(second, q) - np.quantile(first, q)),
            low=low,
            high=high,
            p=min(1.0, 2 * (int(tails) + 1) / (RESAMPLES + 1)),
            n=n,
            method=method,
            warnings=(*_too_few_for(q, n), *_warnings(numbers)),
        )
    )


def proportion_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    clusters: Sequence[Hashable] | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the difference of two proportions over the same requests, whose values are 0 or 1.

    Newcombe's interval, which keeps its width where all requests agree; `mean_difference` where
    clusters repeat, for it has no form for them. Args, Returns and Raises are as there.
    """
    first, second = _columns(control, treatment)
    numbers = _numbered(clusters, len(first))
    if _repeat(numbers):
        return mean_difference(first, second, clusters, alpha)
    if not np.all(np.isin(np.concatenate((first, second)), (0.0, 1.0))):
        reason = "A proportion needs values of 0 or 1."
        return not_estimable(n=len(first), method=NEWCOMBE, reason=reason)
    ones, twos = first == 1, second == 1
    return newcombe_paired(
        both=int(np.count_nonzero(ones & twos)),
        only_control=int(np.count_nonzero(ones & ~twos)),
        only_treatment=int(np.count_nonzero(~ones & twos)),
        neither=int(np.count_nonzero(~ones & ~twos)),
        alpha=alpha,
    )


def _t_interval(
    differences: Floats, clusters: NDArray[np.intp], alpha: float, rounding: float
) -> Interval:
    """Return the CR2 interval of a mean; a spread up to `rounding` counts as none."""
    method = "paired t (CR2)" if _repeat(clusters) else "paired t"
    n = len(differences)
    critical_z(alpha)
    reason = _unfit(differences, clusters)
    if reason:
        return not_estimable(n=n, method=method, reason=reason)
    estimate = float(differences.mean())
    residuals = differences - estimate
    scale = float(np.abs(residuals).max())
    if scale <= rounding:
        return without_spread(estimate=estimate, n=n, method=method)
    error, degrees = _cr2(residuals / scale, clusters)
    if error <= ROUNDING:
        return without_spread(estimate=estimate, n=n, method=method)
    if degrees < 1:
        reason = "One cluster outweighs all others."
        return not_estimable(n=n, method=method, reason=reason, estimate=estimate)
    half = critical_t(alpha, degrees) * error * scale
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - half,
            high=estimate + half,
            p=t_p(estimate / (error * scale), degrees),
            n=n,
            method=method,
            warnings=_warnings(clusters),
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


def _columns(control: ArrayLike, treatment: ArrayLike) -> tuple[Floats, Floats]:
    first = np.asarray(control, dtype=np.float64)
    second = np.asarray(treatment, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"columns of shape {first.shape} and {second.shape} are no pairs")
    return first, second


def _numbered(clusters: Sequence[Hashable] | None, n: int) -> NDArray[np.intp]:
    """Number the clusters from 0 in the order in which they come."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise ValueError(f"{len(clusters)} clusters do not fit {n} pairs")
    seen: dict[Hashable, int] = {}
    return np.fromiter((seen.setdefault(name, len(seen)) for name in clusters), np.intp, n)


def _repeat(clusters: NDArray[np.intp]) -> bool:
    return len(clusters) > 0 and int(clusters.max()) + 1 < len(clusters)


def _unfit(values: Floats, clusters: NDArray[np.intp]) -> str | None:
    """Say why nothing can be estimated of the values; None where it can."""
    if len(values) < 2:
        return "There are fewer than two pairs."
    if not np.all(np.isfinite(values)):
        return "A value is missing or not finite."
    return "All pairs belong to one cluster." if int(clusters.max()) == 0 else None


def _warnings(clusters: NDArray[np.intp]) -> tuple[str, ...]:
    count = int(clusters.max()) + 1
    if not _repeat(clusters) or count >= FEW_CLUSTERS:
        return ()
    return (f"Only {count} clusters: the interval is rough below {FEW_CLUSTERS}.",)


def _too_few_for(q: float, n: int) -> tuple[str, ...]:
    needed = math.ceil(4 * max(q, 1 - q) / min(q, 1 - q) - 1e-9)
    if n >= needed:
        return ()
    return (f"{n} pairs are few for p{100 * q:g}: it needs {needed}.",)


def _largest(first: Floats, second: Floats) -> float:
    return float(max(np.max(np.abs(first), initial=0.0), np.max(np.abs(second), initial=0.0)))


def _exp(value: float | None) -> float | None:
    return None if value is None else float(np.exp(value))

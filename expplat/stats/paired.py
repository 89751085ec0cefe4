"""The same requests under two variants: differences are treatment less control.

The one door to all paired statistics; what needs more than a formula has a module of its own.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from expplat.stats.clustered_t import clustered_interval, exponential
from expplat.stats.interval import ROUNDING, Interval, not_estimable
from expplat.stats.max_t import max_t
from expplat.stats.paired_quantiles import quantile, quantile_difference, quantile_ratio
from expplat.stats.paired_ratios import ratio_difference, ratio_of_sums
from expplat.stats.pairing import Clusters, columns, largest, numbered, repeat
from expplat.stats.proportions import NEWCOMBE, NEWCOMBE_EXACT, newcombe_paired

__all__ = [
    "geometric_mean_ratio",
    "max_t",
    "mean",
    "mean_difference",
    "proportion_difference",
    "quantile",
    "quantile_difference",
    "quantile_ratio",
    "ratio_difference",
    "ratio_of_sums",
]


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean of at least one value."""
    return math.fsum(values) / len(values)


@np.errstate(over="ignore", invalid="ignore")
def mean_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    clusters: Clusters | None = None,
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
        the same. Warns below 30 clusters.

    Raises:
        ValueError: If the columns differ in length, or alpha is out of range.

    Source:
        Bell and McCaffrey (2002), Survey Methodology 28:169-181, for a mean alone. Differences
        1, 2, 3, 4, 5 give 3 with 1.0368 to 4.9632; in clusters a, a, b, b, c, by hand, a standard
        error of √(26/30) with 16/11 degrees of freedom: −2.8530 to 8.8530.
    """
    first, second = columns(control, treatment)
    rounding = ROUNDING * largest(first, second)
    return clustered_interval(second - first, numbered(clusters, len(first)), alpha, rounding)


@np.errstate(over="ignore", invalid="ignore")
def geometric_mean_ratio(
    control_ms: ArrayLike,
    treatment_ms: ArrayLike,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the geometric mean of treatment over control, by a t interval on log ratios.

    For positive, skewed quantities such as latencies and costs: 1.1 says a tenth more on the
    typical request. Clusters, Returns and Raises are as in `mean_difference`; not estimable where
    a value is not above 0. The p-value is that of no change, a ratio of 1.

    Source:
        By hand: control 1, 1, 1 and treatment 1, 2, 4 give 2; log ratios 0, ln 2, 2 ln 2 have a
        standard error of ln 2 / √3, so the interval is 2 to the power of 1 ± 4.3027 / √3.
    """
    first, second = columns(control_ms, treatment_ms)
    if not (np.all(first > 0) and np.all(second > 0)):
        reason = "A ratio needs values above 0 in every request."
        return not_estimable(n=len(first), method="geometric mean ratio", reason=reason)
    logs = np.log(second) - np.log(first)
    found = clustered_interval(logs, numbered(clusters, len(first)), alpha, ROUNDING)
    return exponential(found, "geometric mean ratio")


def proportion_difference(
    control: ArrayLike,
    treatment: ArrayLike,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
    *,
    exact: bool = False,
) -> Interval:
    """Return the difference of two proportions over the same requests, whose values are 0 or 1.

    Newcombe's interval, which keeps its width where all requests agree, with the mid-p of McNemar
    or, if `exact`, its exact p-value. `mean_difference` where clusters repeat, for neither has a
    form for them. Args, Returns and Raises are as there.

    Source:
        As `newcombe_paired`. Of 3,558 questions one reader won 604 and lost 223 to another: 0.1071
        with an exact p of 2.5e-41.
    """
    first, second = columns(control, treatment)
    numbers = numbered(clusters, len(first))
    if repeat(numbers):
        return mean_difference(first, second, clusters, alpha)
    if not np.all(np.isin(np.concatenate((first, second)), (0.0, 1.0))):
        reason = "A proportion needs values of 0 or 1."
        method = NEWCOMBE_EXACT if exact else NEWCOMBE
        return not_estimable(n=len(first), method=method, reason=reason)
    ones, twos = first == 1, second == 1
    return newcombe_paired(
        both=int(np.count_nonzero(ones & twos)),
        only_control=int(np.count_nonzero(ones & ~twos)),
        only_treatment=int(np.count_nonzero(~ones & twos)),
        neither=int(np.count_nonzero(~ones & ~twos)),
        alpha=alpha,
        exact=exact,
    )

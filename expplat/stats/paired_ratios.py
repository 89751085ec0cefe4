"""Ratios of sums over the same requests, by the delta method: costs, tokens, cost per answer."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from expplat.stats.clustered_t import clustered_interval, exponential
from expplat.stats.distributions import Floats, critical_z
from expplat.stats.interval import ROUNDING, Interval, not_estimable
from expplat.stats.pairing import Clusters, columns, largest, numbered, unfit
from expplat.stats.winsorised import tail_share

HEAVY_TAIL = 0.3
"""More of the variance than this from one request in a hundred makes a mean's interval rough."""

OF_SUMS = "ratio of sums"
OF_RATIOS = "difference of ratios"


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def ratio_of_sums(
    control: ArrayLike,
    treatment: ArrayLike,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return treatment's sum over control's, such as what the same requests cost under each.

    The delta method on the logarithm: the paired residual of a request is its treatment value less
    the ratio times its control value, over control's mean and the ratio. The logarithm misses as
    often as the ratio itself would, but on both sides alike: at 50 heavy-tailed costs 3.7 % below
    and 3.4 % above, where the plain ratio misses 2.6 % below and 4.6 % above.

    Args:
        control: Shape (n,), one value a request, such as USD or tokens.
        treatment: Shape (n,), the same requests in the same order.
        clusters: The cluster of each request; None where requests are independent.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The ratio, without unit, with its interval, its standard error by the delta method, and the
        p-value of a ratio of 1. Not estimable where a sum is not above 0, or as `mean_difference`.
        Warns where the top hundredth of requests makes more than 30 % of a column's variance, for
        then the interval misses more often than it says, and below 30 clusters.

    Raises:
        ValueError: If the columns differ in length, or alpha is out of range.

    Source:
        Deng, Knoblich and Lu (2018), KDD, sect. 2. By hand: control 1, 2, 3 and treatment 2, 2, 5
        give 1.5 with residuals 0.5, −1, 0.5 over 2, a standard error of √(1.5 / 4 / 2 / 3) = 0.25,
        and 1.5 · exp(± 4.3027 / 6): 0.7322 to 3.0727.
    """
    critical_z(alpha)
    first, second = columns(control, treatment)
    numbers = numbered(clusters, len(first))
    reason = _unfit((first, second), numbers, positive=(first, second))
    if reason:
        return not_estimable(n=len(first), method=OF_SUMS, reason=reason)
    ratio, residuals, rounding = _linearised(second, first)
    if not 0 < ratio < math.inf:
        return not_estimable(n=len(first), method=OF_SUMS, reason="The sums are too far apart.")
    logs = math.log(ratio) + residuals / ratio
    found = exponential(clustered_interval(logs, numbers, alpha, rounding / ratio), OF_SUMS)
    return replace(found, warnings=(*found.warnings, *_heavy_tails(first, second)))


@np.errstate(over="ignore", invalid="ignore", divide="ignore")
def ratio_difference(
    control_num: ArrayLike,
    control_den: ArrayLike,
    treatment_num: ArrayLike,
    treatment_den: ArrayLike,
    clusters: Clusters | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the difference of two ratios of sums over the same requests, treatment less control.

    For metrics whose denominator is the request's own and may change with the variant, such as
    supported claims by claims made, or USD by answered requests. The delta method: a request counts
    with the residual of its numerator from its variant's ratio, over the mean denominator.

    Args:
        control_num: Shape (n,), one numerator a request.
        control_den: Shape (n,), the denominators; single ones may be 0.
        treatment_num: Shape (n,), the same requests in the same order.
        treatment_den: Shape (n,).
        clusters: The cluster of each request; None where requests are independent.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The difference in the unit of numerator by denominator, with a t interval. Not estimable
        where the denominators of a variant do not add up to more than 0, or as `mean_difference`.
        Warns as `ratio_of_sums`, of the numerators.

    Raises:
        ValueError: If the columns differ in length, or alpha is out of range.

    Source:
        Deng, Knoblich and Lu (2018), KDD, sect. 2. Denominators of 1 give `mean_difference`. By
        hand: control 1, 1, 1 over 1, 1, 1 and treatment 2, 2, 5 over 1, 2, 3 give 0.5 with a
        standard error of 0.25: −0.5757 to 1.5757.
    """
    critical_z(alpha)
    ones, under_ones, others, under_others = columns(
        control_num, control_den, treatment_num, treatment_den
    )
    numbers, below = numbered(clusters, len(ones)), (under_ones, under_others)
    reason = _unfit((ones, others, *below), numbers, positive=below)
    if reason:
        return not_estimable(n=len(ones), method=OF_RATIOS, reason=reason)
    before, noise_before, rounding_before = _linearised(ones, under_ones)
    after, noise_after, rounding_after = _linearised(others, under_others)
    values = (after - before) + (noise_after - noise_before)
    found = clustered_interval(values, numbers, alpha, max(rounding_before, rounding_after))
    return replace(
        found,
        method=f"{OF_RATIOS}, {found.method}",
        warnings=(*found.warnings, *_heavy_tails(ones, others)),
    )


def _linearised(numerator: Floats, denominator: Floats) -> tuple[float, Floats, float]:
    """Return the ratio of sums, each request's part in its error, and how much is rounding."""
    middle = float(denominator.mean())
    ratio = float(numerator.mean()) / middle
    residuals: Floats = (numerator - ratio * denominator) / middle
    return ratio, residuals, ROUNDING * largest(numerator, ratio * denominator) / abs(middle)


def _unfit(
    values: tuple[Floats, ...], clusters: NDArray[np.intp], positive: tuple[Floats, ...]
) -> str | None:
    """Say why there is no ratio; None where there is one."""
    reasons = (unfit(column, clusters) for column in values)
    reason = next((found for found in reasons if found), None)
    if reason is None and not all(0 < float(column.mean()) < math.inf for column in positive):
        return "A ratio needs sums above 0."
    return reason


def _heavy_tails(first: Floats, second: Floats) -> tuple[str, ...]:
    shares = (tail_share(first), tail_share(second))
    worst = max((share for share in shares if share is not None), default=0.0)
    if worst <= HEAVY_TAIL:
        return ()
    return (f"Heavy tail: {worst:.0%} of the variance is from the top hundredth of requests.",)

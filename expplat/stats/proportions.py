"""The interval of two proportions of the same requests."""

from __future__ import annotations

import math

from expplat.stats.distributions import critical_z, mcnemar_exact_p, mcnemar_p
from expplat.stats.interval import Interval, not_estimable

NEWCOMBE = "paired proportions (Newcombe 10, mid-p McNemar)"
NEWCOMBE_EXACT = "paired proportions (Newcombe 10, exact McNemar)"


def newcombe_paired(
    *,
    both: int,
    only_control: int,
    only_treatment: int,
    neither: int,
    alpha: float = 0.05,
    exact: bool = False,
) -> Interval:
    """Return the difference of two proportions of the same requests, from their four counts.

    Square-and-add of two Wilson intervals, with the correlation lessened for continuity.

    Args:
        both: Requests that succeed under both variants; each count is at least 0.
        only_control: Under control alone.
        only_treatment: Under treatment alone.
        neither: Under neither.
        alpha: One less the two-sided confidence level, between 0 and 1.
        exact: Give the exact p-value of McNemar's test, which never passes too often, instead of
            the mid-p, which passes about as often as it says. The interval is the same.

    Raises:
        ValueError: If a count is negative, or alpha is out of range.

    Source:
        Newcombe (1998), Statistics in Medicine 17:2635-2650, method 10. Complete response before
        and after a therapy, 59 both, 6 and 16, 80 neither: −0.0621 with −0.1186 to −0.0046
        (Fagerland, Lydersen and Laake 2017, ch. 8). Their exact p is 0.0525, the mid-p 0.0347.
    """
    n = both + only_control + only_treatment + neither
    if min(both, only_control, only_treatment, neither) < 0:
        raise ValueError("a count cannot be negative")
    z = critical_z(alpha)
    method = NEWCOMBE_EXACT if exact else NEWCOMBE
    if n < 2:
        return not_estimable(n=n, method=method, reason="There are fewer than two pairs.")
    control, treatment = (both + only_control) / n, (both + only_treatment) / n
    control_low, control_high = _wilson(control, n, z)
    treatment_low, treatment_high = _wilson(treatment, n, z)
    phi = _phi(both, only_treatment, only_control, neither)
    estimate = (only_treatment - only_control) / n
    return Interval(
        estimate=estimate,
        low=estimate - _joined(treatment - treatment_low, control_high - control, phi),
        high=estimate + _joined(treatment_high - treatment, control - control_low, phi),
        p=(mcnemar_exact_p if exact else mcnemar_p)(only_control, only_treatment),
        n=n,
        method=method,
    )


def _wilson(share: float, n: int, z: float) -> tuple[float, float]:
    """Return Wilson's score interval of one proportion."""
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    weight = 1 + z * z / n
    return max(0.0, (middle - half) / weight), min(1.0, (middle + half) / weight)


def _phi(both: int, one: int, other: int, neither: int) -> float:
    """Return the correlation of the two columns, a positive one lessened for continuity."""
    margins = (both + one) * (other + neither) * (both + other) * (one + neither)
    if margins == 0:
        return 0.0
    excess = float(both * neither - one * other)
    if excess > 0:
        excess = max(excess - (both + one + other + neither) / 2, 0.0)
    return excess / math.sqrt(margins)


def _joined(one: float, other: float, phi: float) -> float:
    """Return the distance from the estimate to an end of the interval."""
    return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

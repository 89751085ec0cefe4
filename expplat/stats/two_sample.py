"""Two variants on different units, from their moments: differences are treatment less control."""

from __future__ import annotations

import math
from dataclasses import replace

from expplat.domain.moments import Moments
from expplat.stats.distributions import critical_z, normal_p
from expplat.stats.interval import (
    ROUNDING,
    Interval,
    finite_or_not_estimable,
    not_estimable,
    without_spread,
)
from expplat.stats.moments import variance
from expplat.stats.t_interval import t_interval

WELCH = "Welch t"
POOLED = "Welch t, pooled variance where larger"
LOG_RATIO = "log ratio of means"


def standard_error(
    control: Moments,
    treatment: Moments,
    pooled_floor: bool = False,
    proportion: bool = False,
) -> float | None:
    """Return the standard error of the difference of two means, in the metric's unit.

    Args:
        control: Moments of control.
        treatment: Moments of treatment.
        pooled_floor: Take the pooled standard error where it is larger. For arms of unequal size:
            a rare or heavy-tailed metric looks steady in a small arm until the rare thing happens.
        proportion: The values are 0 or 1: add one success and one failure to each arm, so that an
            arm without events is not taken to be certain of having none.

    Returns:
        None below two units in an arm, or where the moments are not finite. 0 where nothing varies.

    Source:
        Agresti and Caffo (2000), The American Statistician 54:280-288, for the added counts. By
        hand: m2 of 32 on 8 units in both arms gives √(8/7) = 1.0690.
    """
    parts = _mean_variances(control, treatment, proportion)
    if parts is None:
        return None
    unpooled = math.sqrt(sum(parts))
    return max(unpooled, _pooled_error(control, treatment)) if pooled_floor else unpooled


def difference(
    control: Moments,
    treatment: Moments,
    alpha: float = 0.05,
    pooled_floor: bool = False,
    apart: float | None = None,
) -> Interval:
    """Return the difference of two means with Welch's t interval; for a test that is read once.

    Args:
        control: Moments of control.
        treatment: Moments of treatment.
        alpha: One less the two-sided confidence level, between 0 and 1.
        pooled_floor: As in `standard_error`.
        apart: The difference, where it is known to more digits than two means of 1e9 have.

    Returns:
        The difference and its standard error in the metric's unit. Not estimable below two units
        in an arm, or where the moments are not finite. Without width, and with a standard error of
        0, where nothing varies in either arm.

    Raises:
        ValueError: If alpha is out of range.

    Source:
        Welch (1947), Biometrika 34:28-35. Means 0 and 1 with m2 of 32 on 8 units each give
        −1.2928 to 3.2928 with p 0.3654.
    """
    critical_z(alpha)
    n, method = control.n + treatment.n, POOLED if pooled_floor else WELCH
    estimate = _apart(control, treatment) if apart is None else apart
    error = standard_error(control, treatment, pooled_floor)
    if error is None or estimate is None:
        reason = "An arm has fewer than two units, or a value that is not finite."
        return not_estimable(n=n, method=method, reason=reason, estimate=estimate)
    if error == 0 or (is_still(control) and is_still(treatment)):
        return replace(without_spread(estimate=estimate, n=n, method=method), standard_error=0.0)
    degrees = _degrees(control, treatment, error)
    return t_interval(estimate, error, degrees, alpha=alpha, n=n, method=method)


def relative_difference(control: Moments, treatment: Moments, alpha: float = 0.05) -> Interval:
    """Return the lift over control, by a normal interval on the log ratio of means.

    Shown, never judged. 0.1 says a tenth more than control.

    Returns:
        Not estimable where a mean is not above 0, or as in `difference`.

    Raises:
        ValueError: If alpha is out of range.

    Source:
        Delta method on the logarithm. By hand: means 1 and 2, each with a standard error of 0.1,
        give 1.0 with exp(ln 2 ± 1.959964 · √(0.01 + 0.0025)) − 1, that is 0.6065 to 1.4899.
    """
    z, n = critical_z(alpha), control.n + treatment.n
    parts = _mean_variances(control, treatment, proportion=False)
    if parts is None or not (control.mean > 0 and treatment.mean > 0):
        reason = "A lift needs means above 0, and two units in each arm."
        return not_estimable(n=n, method=LOG_RATIO, reason=reason)
    logarithm = math.log(treatment.mean) - math.log(control.mean)
    if is_still(control) and is_still(treatment):
        return without_spread(estimate=math.expm1(logarithm), n=n, method=LOG_RATIO)
    error = math.hypot(math.sqrt(parts[0]) / control.mean, math.sqrt(parts[1]) / treatment.mean)
    return finite_or_not_estimable(
        Interval(
            estimate=_expm1(logarithm),
            low=_expm1(logarithm - z * error),
            high=_expm1(logarithm + z * error),
            p=normal_p(logarithm / error),
            n=n,
            method=LOG_RATIO,
        )
    )


def is_still(arm: Moments) -> bool:
    """Whether the spread of at least one value is rounding: far smaller than the values allow."""
    return math.sqrt(max(arm.m2, 0.0) / arm.n) <= ROUNDING * abs(arm.mean)


def _mean_variances(
    control: Moments, treatment: Moments, proportion: bool
) -> tuple[float, float] | None:
    """Return the variance of each arm's mean."""
    one, other = variance(control), variance(treatment)
    if one is None or other is None:
        return None
    if proportion:
        return _agresti_caffo(control), _agresti_caffo(treatment)
    return one / control.n, other / treatment.n


def _agresti_caffo(arm: Moments) -> float:
    share = (arm.mean * arm.n + 1) / (arm.n + 2)
    return max(0.0, share * (1 - share)) / (arm.n + 2)


def _pooled_error(control: Moments, treatment: Moments) -> float:
    within = (max(control.m2, 0.0) + max(treatment.m2, 0.0)) / (control.n + treatment.n - 2)
    return math.sqrt(within * (1 / control.n + 1 / treatment.n))


def _degrees(control: Moments, treatment: Moments, error: float) -> float:
    """Return Welch's degrees of freedom, or the pooled ones where the pooled error was taken."""
    one, other = ((variance(arm) or 0.0) / arm.n / error / error for arm in (control, treatment))
    if one + other < 1 - 1e-9:
        return control.n + treatment.n - 2
    return 1 / (one * one / (control.n - 1) + other * other / (treatment.n - 1))


def _apart(control: Moments, treatment: Moments) -> float | None:
    if control.n == 0 or treatment.n == 0:
        return None
    apart = treatment.mean - control.mean
    return apart if math.isfinite(apart) else None


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 709 else math.inf

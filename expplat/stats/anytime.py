"""Intervals that hold at all times together, without a plan of looks, at a price in power.

All are asymptotic confidence sequences: they take an estimate with its standard error, and say
nothing until a burn-in is over, for at a few units or events a standard error is a guess.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from expplat.stats.distributions import critical_z
from expplat.stats.interval import (
    Interval,
    finite_or_not_estimable,
    not_estimable,
    why_no_error,
)

ANYTIME = "asymptotic confidence sequence"
ANYTIME_BOUND = "asymptotic confidence sequence, lower bound"
ANYTIME_LIFT = "asymptotic confidence sequence, log ratio of means"


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnIn:
    """What was gathered so far, and what must be there before an interval is read."""

    units: tuple[int, ...]
    """By variant."""

    events: tuple[int, ...] = ()
    """By variant: units whose value is not 0, and for a share also those whose value is not 1.
    Empty where the metric has no events."""

    least_units: int = 100
    """That each variant must have."""

    least_events: int = 30
    """That each variant must have."""

    def lacking(self) -> str | None:
        """Return what is not there yet in a sentence, or None."""
        if min(self.units, default=0) < self.least_units:
            return f"Fewer than {self.least_units} units in a variant."
        if self.events and min(self.events) < self.least_events:
            return f"Fewer than {self.least_events} events in a variant."
        return None


def anytime_interval(
    estimate: float,
    standard_error: float | None,
    n: int,
    alpha: float,
    n_tuned: float,
    burn_in: BurnIn | None = None,
) -> Interval:
    """Return a two-sided interval that may be read at any time, as often as one likes.

    Asymptotic: read it from some hundred units on. Its p-value is valid at any time too.

    Args:
        estimate: In the metric's unit.
        standard_error: Of the estimate, in the same unit; None where it could not be computed.
        n: Units of both variants.
        alpha: One less the two-sided confidence level over all times, between 0 and 1.
        n_tuned: Units at which the interval is to be tightest, above 0.
        burn_in: What must be gathered first; None where the caller has seen to it.

    Returns:
        Not estimable before the burn-in is over, or where the standard error is 0 or unknown.

    Raises:
        ValueError: If alpha or n_tuned is out of range.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Annals of Statistics, arXiv
        2103.06476, eq. 9. At 0.05 and n = n_tuned it is 3.0352 standard errors wide on each side.
    """
    weight = _weight(n, alpha, n_tuned)
    reason = _why_not(estimate, standard_error, n, burn_in)
    if reason is not None or standard_error is None:
        return not_estimable(n=n, method=ANYTIME, reason=reason or "", estimate=estimate)
    critical = math.sqrt((weight + 1) / weight * (math.log(weight + 1) - 2 * math.log(alpha)))
    log_e = _exponent(estimate / standard_error, weight) - math.log(weight + 1) / 2
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - critical * standard_error,
            high=estimate + critical * standard_error,
            p=math.exp(-log_e) if log_e > 0 else 1.0,
            n=n,
            method=ANYTIME,
            standard_error=standard_error,
        )
    )


def anytime_bound(
    estimate: float,
    standard_error: float | None,
    n: int,
    alpha: float,
    n_tuned: float,
    burn_in: BurnIn | None = None,
) -> Interval:
    """Return a lower bound that may be read at any time; the upper end is open, and None.

    All of alpha is on this one side. For an upper bound take the estimate with its sign changed.

    Args:
        estimate: As in `anytime_interval`.
        standard_error: As in `anytime_interval`.
        n: As in `anytime_interval`.
        alpha: One less the confidence of the bound over all times, between 0 and one half.
        n_tuned: As in `anytime_interval`.
        burn_in: As in `anytime_interval`.

    Returns:
        As `anytime_interval` does; its p is that of an estimate above 0.

    Raises:
        ValueError: If alpha or n_tuned is out of range.

    Source:
        The same, eq. 134. At 0.025 and n = n_tuned it lies 3.0414 standard errors below.
    """
    weight = _weight(n, 2 * alpha, n_tuned)
    reason = _why_not(estimate, standard_error, n, burn_in)
    if reason is not None or standard_error is None:
        return not_estimable(n=n, method=ANYTIME_BOUND, reason=reason or "", estimate=estimate)
    root = math.sqrt(weight + 1)
    critical = math.sqrt(2 * (weight + 1) / weight * math.log1p(root / (2 * alpha)))
    exponent = _exponent(max(0.0, estimate / standard_error), weight)
    # The bound turned round: the alpha at which it would just touch 0.
    touching = root / (2 * math.expm1(min(exponent, 700.0))) if exponent > 0 else 1.0
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - critical * standard_error,
            high=None,
            p=min(1.0, touching),
            n=n,
            method=ANYTIME_BOUND,
            standard_error=standard_error,
        )
    )


def anytime_lift(
    means: tuple[float, float],
    standard_errors: tuple[float, float],
    n: int,
    alpha: float,
    n_tuned: float,
    burn_in: BurnIn | None = None,
) -> Interval:
    """Return the lift over control with an interval on the log ratio that holds at any time.

    Shown, never judged. 0.1 says a tenth more than control.

    Args:
        means: Of control and treatment.
        standard_errors: Of these means, in the metric's unit.
        n: As in `anytime_interval`.
        alpha: As in `anytime_interval`.
        n_tuned: As in `anytime_interval`.
        burn_in: As in `anytime_interval`.

    Returns:
        Not estimable where a mean is not above 0, or as `anytime_interval` is.

    Raises:
        ValueError: If alpha or n_tuned is out of range.

    Source:
        The same, eq. 9, with the delta method on the logarithm. By hand: means 1 and 2, each with
        a standard error of 0.1, at 0.05 and n = n_tuned give 1.0 with
        exp(ln 2 ± 3.0352 · √(0.01 + 0.0025)) − 1, that is 0.4245 to 1.8081.
    """
    control, treatment = means
    if not (0 < control < math.inf and 0 < treatment < math.inf):
        _weight(n, alpha, n_tuned)
        reason = "A lift needs means above 0."
        return not_estimable(n=n, method=ANYTIME_LIFT, reason=reason)
    logarithm = math.log(treatment) - math.log(control)
    error = math.hypot(standard_errors[0] / control, standard_errors[1] / treatment)
    found = anytime_interval(logarithm, error, n, alpha, n_tuned, burn_in)
    return finite_or_not_estimable(
        replace(
            found,
            estimate=_expm1(found.estimate),
            low=_expm1(found.low),
            high=_expm1(found.high),
            method=ANYTIME_LIFT,
        )
    )


def _weight(n: int, alpha: float, n_tuned: float) -> float:
    """Return the variance of the mixture over that of the estimate; tightest at n = n_tuned."""
    critical_z(alpha)
    if not n_tuned > 0:
        raise ValueError("an interval is tuned to a number of units above 0")
    evidence = -2 * math.log(alpha)
    return n * (evidence + math.log(evidence + 1)) / n_tuned


def _exponent(z: float, weight: float) -> float:
    return weight / (weight + 1) * z * z / 2


def _why_not(
    estimate: float, standard_error: float | None, n: int, burn_in: BurnIn | None
) -> str | None:
    if n <= 0:
        return "There are no units."
    lacking = burn_in.lacking() if burn_in else None
    return lacking or why_no_error(estimate, standard_error)


def _expm1(value: float | None) -> float | None:
    if value is None:
        return None
    return math.expm1(value) if value < 709 else math.inf

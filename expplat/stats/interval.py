"""What every statistic answers with: an estimate and its interval, or why there is none."""

from __future__ import annotations

import math
from dataclasses import dataclass

ROUNDING = 8 * 2.0**-52
"""A spread smaller than this share of the numbers themselves is rounding, not variance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval; every number in it is finite, or None if not estimable."""

    estimate: float | None
    low: float | None
    high: float | None
    p: float | None
    """Two-sided, 0 to 1; None where there is none, and for an interval that is read many times."""

    n: int
    """Pairs of a paired statistic, units of both variants otherwise."""

    method: str
    """Such as `paired t (CR2)`."""

    warnings: tuple[str, ...] = ()
    standard_error: float | None = None
    """Of the estimate, in its unit; None where the interval does not rest on one."""

    degrees: float | None = None
    """Of freedom of the t the interval rests on; None where it rests on a normal, or on neither."""


def not_estimable(*, n: int, method: str, reason: str, estimate: float | None = None) -> Interval:
    """Return an answer without an interval, and say why."""
    shown = estimate if estimate is not None and math.isfinite(estimate) else None
    return Interval(
        estimate=shown, low=None, high=None, p=None, n=n, method=method, warnings=(reason,)
    )


def without_spread(*, estimate: float, n: int, method: str) -> Interval:
    """Return an interval of no width: all differences are one and the same number.

    Its p-value is 1 where that number is 0; otherwise there is no variance to hold it against.
    """
    warning = "The values do not vary: the interval has no width and says nothing of chance."
    p = 1.0 if estimate == 0 else None
    return Interval(
        estimate=estimate,
        low=estimate,
        high=estimate,
        p=p,
        n=n,
        method=method,
        warnings=(warning,),
    )


def finite_or_not_estimable(found: Interval) -> Interval:
    """Return the interval as it is, or one without numbers if any of its numbers is not finite."""
    numbers = (found.estimate, found.low, found.high, found.p, found.standard_error)
    if all(number is None or math.isfinite(number) for number in numbers):
        return found
    reason = "The numbers are too large or not finite."
    return not_estimable(n=found.n, method=found.method, reason=reason, estimate=found.estimate)


def why_no_error(estimate: float, standard_error: float | None) -> str | None:
    """Return why no interval can rest on this standard error, or None where one can."""
    if standard_error is None or not math.isfinite(estimate) or not math.isfinite(standard_error):
        return "An arm has fewer than two units, or a value that is not finite."
    return "The values do not vary." if standard_error <= 0 else None

"""The difference of two proportions of different units: treatment less control."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from expplat.stats.distributions import critical_z, normal_p
from expplat.stats.interval import Interval, not_estimable

FEWEST_EXPECTED = 5.0
"""Expected successes or failures of an arm below which the normal distribution does not serve."""

Z = "two proportions (pooled z, Wald interval)"
NEWCOMBE = "two proportions (Newcombe 10, pooled z)"
AGRESTI_CAFFO = "two proportions (Agresti-Caffo)"
SCORE = "two proportions (Miettinen-Nurminen score)"
FEW = "two proportions (Newcombe 10, Fisher exact: too few events for z)"


class Counts(NamedTuple):
    """Successes among the units of one variant; what counts as one may as well be a failure."""

    successes: int
    n: int


def difference(
    control: Counts, treatment: Counts, method: str = "z", alpha: float = 0.05
) -> Interval:
    """Return the difference of two proportions, for a test that is read once.

    `z` is the textbook's: p by the pooled z, the interval by the unpooled error. Where an expected
    count is below 5, or an arm has nothing but successes or nothing but failures, `z` steps aside
    for Newcombe's interval with the p of Fisher's exact test, and the method and a warning say so.
    The two are not the inverse of one another: p may be above alpha where the interval leaves 0
    out. `newcombe` squares and adds two Wilson intervals. `agresti_caffo` adds a success and a
    failure to each arm. `score` inverts the test of Miettinen and Nurminen, and agrees with its p;
    it is written here because that of statsmodels 0.15 takes a count for a number of units in the
    cubic of the restricted rates, which moves its ends, and fails where an arm has no events.
    None of the intervals is without width where no event was seen.

    Args:
        control: Counts of control.
        treatment: Counts of treatment.
        method: One of `METHODS`.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The difference of two fractions, -1 to 1. `standard_error` is that of the interval, with
        `z` and `agresti_caffo` alone. Not estimable where an arm has no units.

    Raises:
        ValueError: If the counts are none, alpha is out of range, or the method is not known.

    Source:
        Newcombe (1998), Statistics in Medicine 17:873-890; Agresti and Caffo (2000), The American
        Statistician 54:280-288; Miettinen and Nurminen (1985), Statistics in Medicine 4:213-226.
        8502 of 44700 and 8279 of 45489 give −0.008201 with −0.013282 to −0.003121, p 0.0015543.
        56 of 70 and 48 of 80 give −0.3339 to −0.0524 by Newcombe and −0.3382 to −0.0528 by score.
    """
    if method not in METHODS:
        raise ValueError(f"'{method}' is no method for two proportions: {', '.join(METHODS)}")
    critical_z(alpha)
    for arm in (control, treatment):
        if not 0 <= arm.successes <= arm.n:
            raise ValueError(f"{arm.successes} of {arm.n} is not a count of successes")
    if control.n == 0 or treatment.n == 0:
        reason = "An arm has no units."
        return not_estimable(n=control.n + treatment.n, method=SHOWN[method], reason=reason)
    return METHODS[method](control, treatment, alpha)


def restricted_rates(control: Counts, treatment: Counts, apart: float) -> tuple[float, float]:
    """Return the likeliest rates of both arms among those that lie a given difference apart.

    The likelihood is concave along that line, so that the root of its slope is the only one; it is
    searched for, because the closed form loses its digits where events are rare.

    Args:
        control: Counts of control, with units.
        treatment: Counts of treatment, with units.
        apart: Treatment's rate less control's, between -1 and 1.

    Source:
        Miettinen and Nurminen (1985), appendix 1. At 0 both are the pooled rate.
    """
    from scipy.optimize import brentq

    lowest, highest = max(0.0, -apart), min(1.0, 1.0 - apart)

    def slope(rate: float) -> float:
        return _slope(control, rate) + _slope(treatment, rate + apart)

    inside = math.nextafter(lowest, 2), math.nextafter(highest, -1)
    if not inside[0] < inside[1] or slope(inside[0]) <= 0:
        rate = lowest
    elif slope(inside[1]) >= 0:
        rate = highest
    else:
        rate = float(brentq(slope, *inside, xtol=1e-300, rtol=1e-15, maxiter=2_000))
    return rate, min(1.0, max(0.0, rate + apart))


def _slope(arm: Counts, rate: float) -> float:
    """Return the slope of an arm's log likelihood; steep beyond the ends, where it is not."""
    failures = arm.n - arm.successes
    up = arm.successes / max(rate, 1e-300) if arm.successes else 0.0
    down = failures / max(1 - rate, 1e-300) if failures else 0.0
    return up - down


def _z(control: Counts, treatment: Counts, alpha: float) -> Interval:
    if _has_few(control, treatment):
        return _few(control, treatment, alpha)
    estimate, error = _apart(control, treatment), _error(control, treatment)
    low, high = _wald(estimate, error, alpha)
    return Interval(
        estimate=estimate,
        low=low,
        high=high,
        p=_pooled_p(control, treatment),
        n=control.n + treatment.n,
        method=Z,
        standard_error=error,
    )


def _few(control: Counts, treatment: Counts, alpha: float) -> Interval:
    from scipy.stats import fisher_exact

    table = np.array([[arm.successes, arm.n - arm.successes] for arm in (control, treatment)])
    low, high = _newcombe_ends(control, treatment, alpha)
    return Interval(
        estimate=_apart(control, treatment),
        low=low,
        high=high,
        p=min(1.0, float(fisher_exact(table).pvalue)),
        n=control.n + treatment.n,
        method=FEW,
        warnings=("Too few events for z: an interval for rare events was taken instead.",),
    )


def _newcombe(control: Counts, treatment: Counts, alpha: float) -> Interval:
    low, high = _newcombe_ends(control, treatment, alpha)
    few = ("Too few events for the p-value of z.",) if _has_few(control, treatment) else ()
    return Interval(
        estimate=_apart(control, treatment),
        low=low,
        high=high,
        p=_pooled_p(control, treatment),
        n=control.n + treatment.n,
        method=NEWCOMBE,
        warnings=few,
    )


def _agresti_caffo(control: Counts, treatment: Counts, alpha: float) -> Interval:
    one, other = (Counts(arm.successes + 1, arm.n + 2) for arm in (control, treatment))
    error = _error(one, other)
    low, high = _wald(_apart(one, other), error, alpha)
    return Interval(
        estimate=_apart(control, treatment),
        low=low,
        high=high,
        p=normal_p(_apart(one, other) / error),
        n=control.n + treatment.n,
        method=AGRESTI_CAFFO,
        standard_error=error,
    )


def _score(control: Counts, treatment: Counts, alpha: float) -> Interval:
    estimate, error = _apart(control, treatment), _restricted_error(control, treatment, 0.0)
    return Interval(
        estimate=estimate,
        low=-_score_end(treatment, control, alpha),
        high=_score_end(control, treatment, alpha),
        p=normal_p(estimate / error) if error else 1.0,
        n=control.n + treatment.n,
        method=SCORE,
    )


def _score_end(control: Counts, treatment: Counts, alpha: float) -> float:
    """Return the largest difference that the score test does not reject."""
    from scipy.optimize import brentq

    z, estimate = critical_z(alpha), _apart(control, treatment)

    def inside(apart: float) -> float:
        return estimate - apart + z * _restricted_error(control, treatment, apart)

    # Where no event was seen the estimate itself is a root, and the end is the next one.
    start = estimate if inside(estimate) > 0 else estimate + 1e-12
    if start >= 1 or inside(start) <= 0:
        return min(1.0, start)
    return float(brentq(inside, start, 1.0, xtol=1e-16, rtol=1e-14, maxiter=500))


def _restricted_error(control: Counts, treatment: Counts, apart: float) -> float:
    """Return the error of the difference if the rates lie so far apart."""
    rates, n = restricted_rates(control, treatment, apart), control.n + treatment.n
    spread = rates[0] * (1 - rates[0]) / control.n + rates[1] * (1 - rates[1]) / treatment.n
    return math.sqrt(spread * n / (n - 1))


def _wald(estimate: float, error: float, alpha: float) -> tuple[float, float]:
    """Return the estimate ± its error, within what a difference of shares can be."""
    half = critical_z(alpha) * error
    return max(-1.0, estimate - half), min(1.0, estimate + half)


def _newcombe_ends(control: Counts, treatment: Counts, alpha: float) -> tuple[float, float]:
    """Return the ends that two Wilson intervals make, squared and added.

    As statsmodels' `newcomb` to the last digits; its module takes seconds to import.
    """
    z, estimate = critical_z(alpha), _apart(control, treatment)
    below = [_wilson_distance(arm, z, -1) for arm in (control, treatment)]
    above = [_wilson_distance(arm, z, +1) for arm in (control, treatment)]
    low = estimate - math.hypot(below[1], above[0])
    return max(-1.0, low), min(1.0, estimate + math.hypot(above[1], below[0]))


def _wilson_distance(arm: Counts, z: float, side: int) -> float:
    """Return how far an end of Wilson's interval lies from the share."""
    share, weight = arm.successes / arm.n, z * z / arm.n
    half = z * math.sqrt(share * (1 - share) / arm.n + weight / (4 * arm.n))
    end = (share + weight / 2 + side * half) / (1 + weight)
    return abs(min(1.0, max(0.0, end)) - share)


def _pooled_p(control: Counts, treatment: Counts) -> float:
    successes, n = control.successes + treatment.successes, control.n + treatment.n
    if successes in (0, n):
        return 1.0
    # As a product of fractions, for a sum of exact counts may be beyond what a float holds.
    spread = successes / n * ((n - successes) / n) * (1 / control.n + 1 / treatment.n)
    return normal_p(_apart(control, treatment) / math.sqrt(spread))


def _has_few(control: Counts, treatment: Counts) -> bool:
    """Whether an expected count is small, or an arm has nothing but one kind."""
    successes, n = control.successes + treatment.successes, control.n + treatment.n
    rarer = min(successes, n - successes) / n
    still = any(arm.successes in (0, arm.n) for arm in (control, treatment))
    return still or rarer * min(control.n, treatment.n) < FEWEST_EXPECTED


def _apart(control: Counts, treatment: Counts) -> float:
    return treatment.successes / treatment.n - control.successes / control.n


def _error(control: Counts, treatment: Counts) -> float:
    shares = [(arm.successes / arm.n, arm.n) for arm in (control, treatment)]
    return math.sqrt(math.fsum(share * (1 - share) / n for share, n in shares))


METHODS: dict[str, Callable[[Counts, Counts, float], Interval]] = {
    "z": _z,
    "newcombe": _newcombe,
    "agresti_caffo": _agresti_caffo,
    "score": _score,
}
"""By the name that is asked for."""

SHOWN = {"z": Z, "newcombe": NEWCOMBE, "agresti_caffo": AGRESTI_CAFFO, "score": SCORE}
"""What an interval says of the method that was asked for."""

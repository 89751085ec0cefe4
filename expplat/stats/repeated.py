"""The interval of one planned look, and the p-value that belongs to the last of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import critical_z, normal_p
from expplat.stats.interval import (
    Interval,
    finite_or_not_estimable,
    not_estimable,
    why_no_error,
)

REPEATED = "repeated interval (spending)"

WIDEST = 0.999
"""Above this level the intervals are next to nothing, and the p-value is said to be 1."""

MOST_STEPS = 8
CLOSE = 1e-8
"""Of a boundary's size; a p-value is then exact to about as many digits."""


def repeated_interval(
    *, estimate: float, standard_error: float | None, boundary: float, n: int
) -> Interval:
    """Return the interval of one planned look: the estimate ± its boundary times its error.

    All looks' intervals hold the truth together with probability 1 − alpha. Its p-value is
    `repeated_p`; `stagewise_p` has one for a test that has ended. Where nothing varies, or this
    look spends nothing, there is no interval: a variance of 0 is no evidence in a test that may
    stop on it.

    Args:
        estimate: In the metric's unit.
        standard_error: Of the estimate, in the same unit; None where it could not be computed.
        boundary: Critical |z| of the look, from `boundaries`.
        n: Units of both variants.

    Source:
        Jennison and Turnbull (1989), JRSS B 51:305-361.
    """
    reason = why_no_error(estimate, standard_error)
    if reason is None and not math.isfinite(boundary):
        reason = "This look spends nothing of the error budget."
    if reason is not None or standard_error is None:
        return not_estimable(n=n, method=REPEATED, reason=reason or "", estimate=estimate)
    half = boundary * standard_error
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - half,
            high=estimate + half,
            p=None,
            n=n,
            method=REPEATED,
            standard_error=standard_error,
        )
    )


def repeated_p(z: float, information_fractions: Sequence[float], alpha: float) -> float:
    """Return the level at which the last look's repeated interval would just touch 0.

    It is at most `alpha` exactly where the interval at `alpha` leaves 0: that level is asked for
    first, and the answer stays on its side of it. The boundary is nearly a multiple of the normal
    quantile of its level, so that the secant through two levels is at the root in a few steps.

    Args:
        z: Estimate over its standard error at the last look.
        information_fractions: Share of the planned information at each look, in order.
        alpha: The level of the test, between 0 and 1.

    Returns:
        Above 0 and up to 1.

    Source:
        Jennison and Turnbull (1989), section 3. A single look at all of the information gives the
        fixed test: z 1.959964 has p 0.05. By `spend_obf`, five even looks and z 2.0310 have 0.05.
    """
    size, least = abs(z), critical_z(WIDEST)
    quantile = critical_z(alpha)
    boundary = boundaries(information_fractions, alpha)[-1]
    leaves_zero = size >= boundary
    known = (0.0, 0.0)  # a level of 1 has a boundary of 0
    for _ in range(MOST_STEPS):
        if not math.isfinite(boundary) or abs(boundary - size) <= CLOSE * size:
            break
        slope = (boundary - known[1]) / (quantile - known[0])
        known = (quantile, boundary)
        quantile = max(least, quantile + (size - boundary) / slope)
        if quantile == known[0]:
            break
        boundary = boundaries(information_fractions, normal_p(quantile))[-1]
    p = 1.0 if quantile == least or not math.isfinite(boundary) else normal_p(quantile)
    return min(alpha, p) if leaves_zero else max(math.nextafter(alpha, 1.0), p)

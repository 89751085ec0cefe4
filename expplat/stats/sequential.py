"""Tests that are read many times: planned looks with a horizon, and intervals valid at any time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import zip_longest
from typing import NamedTuple

import numpy as np

from expplat.stats.distributions import Floats, critical_z, normal_quantile, normal_tails
from expplat.stats.interval import Interval, finite_or_not_estimable, not_estimable
from expplat.stats.spending import Spending, spend_obf

SMALLEST_STEP = 5e-5
"""A look that adds less of the planned information than this is no look, and spends nothing."""

FAR = 9.0
"""Standard deviations beyond which a path is lost from sight; 1e-19 of them are."""

REPEATED = "repeated interval (spending)"
ANYTIME = "asymptotic confidence sequence"


class _Paths(NamedTuple):
    """Where the test statistic's Brownian path may be, while no boundary has been crossed."""

    places: Floats
    mass: Floats


class _Step(NamedTuple):
    """A look that spends something."""

    position: int
    time: float
    width: float
    """Information added since the last look that spent."""

    error: float
    """Two-sided error that this look spends."""


def boundaries(
    information_fractions: Sequence[float],
    alpha: float = 0.05,
    spending: Spending = spend_obf,
    spending_times: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Return the critical |z| of each look, symmetric, so that all looks together spend alpha.

    Looks may be uneven, and later looks never change the boundaries of earlier ones. A look that
    adds no information, or whose plan spends nothing yet, has a boundary of infinity: nothing
    passes there. So has every look after alpha is spent.

    Args:
        information_fractions: Share of the planned information at each look, in order. A share
            above 1 counts as such in the correlation of the looks; the plan spends all at 1.
        alpha: Two-sided level over all looks, between 0 and 1; half of it on each side.
        spending: How much may be spent by when.
        spending_times: Where calendar time rather than information drives the spending: its share
            at each look. The last look of a test that ran out of days has 1, and spends the rest.

    Raises:
        ValueError: If a fraction is not finite, alpha is out of range, or the lengths differ.

    Source:
        Armitage, McPherson and Rowe (1969), JRSS A 132:235-244, and Lan and DeMets (1983). Five
        even looks at 0.05 by `spend_obf` give 4.8769, 3.3569, 2.6803, 2.2898, 2.0310.
    """
    critical_z(alpha)
    times = information_fractions if spending_times is None else spending_times
    if not all(math.isfinite(t) for t in (*information_fractions, *times)):
        raise ValueError("a share of the planned information must be finite")
    steps = _spending_steps(information_fractions, [spending(t, alpha) for t in times])
    found = [math.inf] * len(information_fractions)
    paths = _Paths(np.zeros(1), np.ones(1))
    for step, following in zip_longest(steps, steps[1:]):
        critical = _critical(paths, step)
        found[step.position] = critical
        if following is not None:
            edge = min(critical, FAR) * math.sqrt(step.time)
            paths = _advanced(paths, step, edge, min(step.width, following.width))
    return tuple(found)


def repeated_interval(
    *, estimate: float, standard_error: float | None, boundary: float, n: int
) -> Interval:
    """Return the interval of one planned look: the estimate ± its boundary times its error.

    All looks' intervals hold the truth together with probability 1 − alpha. It has no p-value.
    Where nothing varies, or this look spends nothing, there is no interval: a variance of 0 is no
    evidence in a test that may stop on it.

    Args:
        estimate: In the metric's unit.
        standard_error: Of the estimate, in the same unit; None where it could not be computed.
        boundary: Critical |z| of the look, from `boundaries`.
        n: Units of both variants.

    Source:
        Jennison and Turnbull (1989), JRSS B 51:305-361.
    """
    reason = _no_error(estimate, standard_error)
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
        )
    )


def anytime_interval(
    estimate: float, standard_error: float | None, n: int, alpha: float, n_tuned: float
) -> Interval:
    """Return an interval that may be read at any time, without a plan, at a price in power.

    Asymptotic: read it from some hundred units on. Its p-value is valid at any time too.

    Args:
        estimate: In the metric's unit.
        standard_error: Of the estimate, in the same unit; None where it could not be computed.
        n: Units of both variants.
        alpha: One less the two-sided confidence level over all times, between 0 and 1.
        n_tuned: Units at which the interval is to be tightest, above 0.

    Raises:
        ValueError: If alpha or n_tuned is out of range.

    Source:
        Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas (2024), Annals of Statistics, arXiv
        2103.06476. At 0.05 and n = n_tuned it is 3.0352 standard errors wide on each side.
    """
    critical_z(alpha)
    if not n_tuned > 0:
        raise ValueError("an interval is tuned to a number of units above 0")
    reason = _no_error(estimate, standard_error) if n > 0 else "There are no units."
    if reason is not None or standard_error is None:
        return not_estimable(n=n, method=ANYTIME, reason=reason or "", estimate=estimate)
    evidence = -2 * math.log(alpha)
    weight = n * (evidence + math.log(evidence + 1)) / n_tuned
    critical = math.sqrt((weight + 1) / weight * (evidence + math.log(weight + 1)))
    z = estimate / standard_error
    log_e = weight / (weight + 1) * z * z / 2 - math.log(weight + 1) / 2
    return finite_or_not_estimable(
        Interval(
            estimate=estimate,
            low=estimate - critical * standard_error,
            high=estimate + critical * standard_error,
            p=math.exp(-log_e) if log_e > 0 else 1.0,
            n=n,
            method=ANYTIME,
        )
    )


def _no_error(estimate: float, standard_error: float | None) -> str | None:
    if standard_error is None or not math.isfinite(estimate) or not math.isfinite(standard_error):
        return "An arm has fewer than two units, or a value that is not finite."
    return "The values do not vary." if standard_error <= 0 else None


def _spending_steps(fractions: Sequence[float], spent_by: Sequence[float]) -> list[_Step]:
    """Return the looks that add information and spend something."""
    if len(fractions) != len(spent_by):
        raise ValueError(f"{len(spent_by)} spending times do not fit {len(fractions)} looks")
    steps: list[_Step] = []
    time = spent = 0.0
    for position, (fraction, total) in enumerate(zip(fractions, spent_by, strict=True)):
        if fraction - time >= SMALLEST_STEP and total > spent:
            steps.append(_Step(position, fraction, fraction - time, total - spent))
            time, spent = fraction, total
    return steps


def _critical(paths: _Paths, step: _Step) -> float:
    """Return the |z| that just the look's error of the surviving paths crosses."""
    # No earlier crossing matters to errors so small, nor could the grid resolve them.
    highest = -normal_quantile(step.error / 2)
    if step.error < 1e-16:
        return highest
    lowest = 0.0
    while highest - lowest > 1e-10:
        middle = (lowest + highest) / 2
        if _crossing(paths, step, middle) > step.error:
            lowest = middle
        else:
            highest = middle
    return highest


def _crossing(paths: _Paths, step: _Step, critical: float) -> float:
    """Return the mass of the paths that lie beyond ± critical at this look."""
    edge, spread = critical * math.sqrt(step.time), math.sqrt(step.width)
    above = normal_tails((edge - paths.places) / spread)
    below = normal_tails((edge + paths.places) / spread)
    return float(paths.mass @ (above + below))


def _advanced(paths: _Paths, step: _Step, edge: float, finest: float) -> _Paths:
    """Return the paths that are inside ± edge after this look, on nodes that suit the next one."""
    places, weights = _nodes(edge, 5 * math.sqrt(finest))
    spread = math.sqrt(step.width)
    distances = (places[:, None] - paths.places[None, :]) / spread
    density = np.exp(-0.5 * distances**2) @ paths.mass / (spread * math.sqrt(2 * math.pi))
    return _Paths(places, weights * density)


def _nodes(edge: float, panel: float) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights on ± edge, 16 to a panel of at most this width."""
    roots, weights = np.polynomial.legendre.leggauss(16)
    count = max(1, math.ceil(2 * edge / panel))
    half = edge / count
    middles = -edge + half * (2 * np.arange(count) + 1)
    places = (middles[:, None] + half * roots[None, :]).ravel()
    return places, np.tile(half * weights, count)

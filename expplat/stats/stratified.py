"""Units of a kind are compared with units of that kind, and the kinds weighed as they occur."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.distributions import critical_z
from expplat.stats.interval import (
    Interval,
    not_estimable,
    without_spread,
)
from expplat.stats.moments import merge, variance
from expplat.stats.t_interval import t_interval
from expplat.stats.two_sample import is_still

POST_STRATIFIED = "post-stratified Welch t"

LEAST_UNITS = 2
"""Of an arm in a stratum; there is no variance below."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stratum:
    control: Moments
    treatment: Moments
    weight: float

    @property
    def units(self) -> int:
        return self.control.n + self.treatment.n

    @property
    def is_thin(self) -> bool:
        return min(self.control.n, self.treatment.n) < LEAST_UNITS


def post_stratified(
    control_by_stratum: Mapping[str, Moments],
    treatment_by_stratum: Mapping[str, Moments],
    weights: Mapping[str, float] | None = None,
    alpha: float = 0.05,
) -> Interval:
    """Return the weighted mean of the strata's differences, with a t interval.

    Strata with fewer than two units in an arm are counted as one, with a warning; if that one is
    still too small, the smallest other joins it. Strata must have been fixed before the exposure,
    such as a country or a kind of user.

    Args:
        control_by_stratum: Moments of control by stratum.
        treatment_by_stratum: Moments of treatment by stratum.
        weights: Each stratum's weight in any scale, at least 0, such as its units in the whole
            product; None for its share of the units of both arms together.
        alpha: One less the two-sided confidence level, between 0 and 1.

    Returns:
        The difference, treatment less control, and its standard error in the metric's unit; the
        degrees of freedom are Welch's, over all arms of all strata. Not estimable without two units
        in an arm, or where a moment is not finite. Without width where nothing varies. The weights
        count as known.

    Raises:
        ValueError: If alpha is out of range, a stratum has no weight, a weight is
            negative or not finite, or all are 0.

    Source:
        Miratrix, Sekhon and Yu (2013), JRSS-B 75:369-396. By hand: differences 1 and 3 in strata
        with 6 and 2 of 8 units give 1.5.
    """
    critical_z(alpha)
    strata = _strata(control_by_stratum, treatment_by_stratum, weights)
    whole = _collapsed(strata)
    n = sum(stratum.units for stratum in strata)
    if not whole or any(_errors(stratum) is None for stratum in whole):
        reason = "An arm has fewer than two units, or a value that is not finite."
        return not_estimable(n=n, method=POST_STRATIFIED, reason=reason)
    found = _interval(whole, n, alpha)
    thin = sum(stratum.is_thin for stratum in strata)
    if not thin:
        return found
    warning = f"Strata with fewer than two units in an arm were not told apart: {thin}."
    return replace(found, warnings=(*found.warnings, warning))


def _strata(
    control: Mapping[str, Moments],
    treatment: Mapping[str, Moments],
    weights: Mapping[str, float] | None,
) -> list[_Stratum]:
    pairs = {
        name: (control.get(name, NO_MOMENTS), treatment.get(name, NO_MOMENTS))
        for name in dict.fromkeys([*control, *treatment, *(weights or ())])
    }
    if weights is None:
        weights = {name: float(one.n + other.n) for name, (one, other) in pairs.items()}
    else:
        _check(weights, pairs)
    total = math.fsum(weights.values())
    return [
        _Stratum(control=one, treatment=other, weight=weights[name] / total)
        for name, (one, other) in pairs.items()
        if weights.get(name)
    ]


def _check(weights: Mapping[str, float], pairs: Mapping[str, tuple[Moments, Moments]]) -> None:
    unweighed = [name for name in pairs if name not in weights]
    if unweighed:
        raise ValueError(f"no weight for the strata {', '.join(unweighed)}")
    if any(not (math.isfinite(weight) and weight >= 0) for weight in weights.values()):
        raise ValueError("weights must be finite and at least 0")
    if not any(weights.values()):
        raise ValueError("all weights are 0")


def _collapsed(strata: Sequence[_Stratum]) -> list[_Stratum]:
    """Return strata that have units enough, those without them counted as one; or none at all."""
    whole = sorted((one for one in strata if not one.is_thin), key=lambda one: -one.units)
    thin = [one for one in strata if one.is_thin]
    if not thin:
        return whole
    rest = functools.reduce(_together, thin)
    while rest.is_thin and whole:
        rest = _together(rest, whole.pop())
    return [] if rest.is_thin else [*whole, rest]


def _together(one: _Stratum, other: _Stratum) -> _Stratum:
    return _Stratum(
        control=merge(one.control, other.control),
        treatment=merge(one.treatment, other.treatment),
        weight=one.weight + other.weight,
    )


def _errors(stratum: _Stratum) -> tuple[float, float] | None:
    """Return the weighted standard errors of both means; None where there are none."""
    one, other = variance(stratum.control), variance(stratum.treatment)
    if one is None or other is None:
        return None
    return (
        stratum.weight * math.sqrt(one / stratum.control.n),
        stratum.weight * math.sqrt(other / stratum.treatment.n),
    )


def _interval(strata: Sequence[_Stratum], n: int, alpha: float) -> Interval:
    estimate = math.fsum(one.weight * (one.treatment.mean - one.control.mean) for one in strata)
    arms = [arm for one in strata for arm in (one.control, one.treatment)]
    parts = [part for one in strata for part in _errors(one) or ()]
    error = math.hypot(*parts)
    if error == 0 or all(is_still(arm) for arm in arms):
        still = without_spread(estimate=estimate, n=n, method=POST_STRATIFIED)
        return replace(still, standard_error=0.0)
    shares = ((part / error) ** 4 / (arm.n - 1) for part, arm in zip(parts, arms, strict=True))
    degrees = 1 / math.fsum(shares)
    return t_interval(estimate, error, degrees, alpha=alpha, n=n, method=POST_STRATIFIED)

"""Evidence from the coin that assigned the units: exact for any values, however heavy their tails.

Under the sharp null the treatment changes no unit's value, so that the values are fixed and only
the assignment is chance. Each unit bets, with a slope, that a value above the centre sits in the
treatment. The bet is divided by its mean over the coin; evidence is the product of all bets,
averaged over the slopes. It holds for a fair coin only: with equal shares it also bears unequal
variances in large samples, which with unequal shares it would not.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from expplat.stats.distributions import Floats
from expplat.stats.paths import Sides

SLOPES = 25
"""Slopes of a two-sided mixture, evenly from −3 to 3 standard deviations, 0 among them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Randomisation:
    """The evidence so far; that of other units merges with it."""

    n: int
    """Units of both variants."""

    slopes: tuple[float, ...]
    """Per unit of the metric."""

    log_weights: tuple[float, ...]
    """Of the slopes in the mixture."""

    log_bets: tuple[float, ...]
    """Logarithm of the product of all units' bets, by slope."""

    @property
    def log_e(self) -> float:
        """The logarithm of the e-value."""
        parts = [w + b for w, b in zip(self.log_weights, self.log_bets, strict=True)]
        top = max(parts)
        return top + math.log(math.fsum(math.exp(part - top) for part in parts))

    @property
    def e_value(self) -> float:
        """At most 1 on average under the sharp null, at any time; capped at the largest float."""
        return math.exp(min(self.log_e, math.log(sys.float_info.max)))

    @property
    def p(self) -> float:
        """Valid at any time; so is the smallest so far, which is the caller's to keep."""
        return math.exp(-self.log_e) if self.log_e > 0 else 1.0


def no_randomisation(effect: float, variance: float, sides: Sides = 2) -> Randomisation:
    """Return the evidence of no units, which is 1.

    Args:
        effect: Difference of means that is hoped for, in the metric's unit, not 0; the evidence
            grows fastest near it. With one side its sign says which.
        variance: Guess of the variance of one unit, in that unit squared, above 0. Both must be
            chosen before the assignments are seen; bad guesses cost power, never validity.
        sides: 1 where only an effect with the sign of `effect` is of interest.

    Raises:
        ValueError: If the effect is 0 or the variance is not above 0, or one is not finite.
    """
    scale = effect / variance if variance > 0 and math.isfinite(variance) else 0.0
    if scale == 0 or not math.isfinite(scale):
        raise ValueError("evidence needs a finite effect that is not 0 and a variance above 0")
    places = np.linspace(-3.0, 3.0, SLOPES)
    places = places if sides == 2 else places[places >= 0]
    logs = -0.5 * places**2
    logs -= math.log(np.exp(logs).sum())
    return Randomisation(
        n=0,
        slopes=tuple((scale * places).tolist()),
        log_weights=tuple(logs.tolist()),
        log_bets=(0.0,) * len(places),
    )


def with_units(
    evidence: Randomisation, values: Floats, is_treated: NDArray[np.bool_], centre: float
) -> Randomisation:
    """Return the evidence with new units, each of which is counted once.

    Args:
        evidence: The evidence so far.
        values: The new units' values, finite.
        is_treated: Whether each was assigned to the treatment, by a fair coin.
        centre: What is taken off each value: a mean of both variants together, such as that of
            earlier units or of these; never one that depends on how these were assigned.

    Raises:
        ValueError: If the lengths differ, or a value or the centre is not finite.

    Source:
        Exponential tilting divided by its mean over the assignment. By hand: one treated unit one
        above the centre bets exp(s/2) / cosh(s/2) at slope s.
    """
    if values.shape != is_treated.shape:
        raise ValueError("every unit needs a value and an assignment")
    halves = (values - centre) / 2
    if not np.isfinite(halves).all():
        raise ValueError("values and their centre must be finite")
    signed = np.where(is_treated, halves, -halves)
    bets = tuple(
        before + _log_bet(slope, signed)
        for before, slope in zip(evidence.log_bets, evidence.slopes, strict=True)
    )
    return replace(evidence, n=evidence.n + len(values), log_bets=bets)


def merged(one: Randomisation, other: Randomisation) -> Randomisation:
    """Return the evidence of both parts, which share no unit.

    Raises:
        ValueError: If they do not bet with the same slopes and weights.
    """
    if (one.slopes, one.log_weights) != (other.slopes, other.log_weights):
        raise ValueError("only evidence of the same mixture merges")
    bets = tuple(a + b for a, b in zip(one.log_bets, other.log_bets, strict=True))
    return replace(one, n=one.n + other.n, log_bets=bets)


def _log_bet(slope: float, signed: Floats) -> float:
    """Return the sum of the logarithms of exp(x) / cosh(x), which is 2 / (1 + exp(−2x))."""
    if slope == 0:
        return 0.0
    with np.errstate(over="ignore"):
        doubled = 2 * slope * signed
    lost = np.log1p(np.exp(-np.abs(doubled))) - np.minimum(doubled, 0.0)
    return len(signed) * math.log(2) - float(lost.sum())

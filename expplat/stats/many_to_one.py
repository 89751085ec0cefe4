"""How far the largest of several z against one shared control gets by chance (Dunnett)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from expplat.stats.distributions import Floats, normal_tails

FARTHEST = 39.0
"""Beyond this a normal density is below what a double holds."""

NODES = 10
"""Of Gauss and Legendre in each panel."""

DEVIATIONS = 200
"""Points of the trapezoidal rule over the estimated standard deviation."""


def chance_of_larger(z: float, n_control: int, n_treatments: Sequence[int]) -> float:
    """Return the chance that the largest |z| of several treatments against one control exceeds z.

    All z share control, so that two of them correlate by the product of √(nᵢ / (nᵢ + n₀)). Given
    control's own deviation they are independent: what is left is one integral, accurate to 1e-9 and
    relatively so far out, down to 1e-300.

    Args:
        z: At least 0.
        n_control: Units of control, at least 1.
        n_treatments: Units of each treatment, at least 1.

    Source:
        Dunnett (1955), Journal of the American Statistical Association 50:1096-1121. One treatment
        gives 2 · (1 − Φ(z)), 0.05 at 1.959964; two of control's size give 0.05 at 2.2121.
    """
    shares = [
        (math.sqrt(n / (n + n_control)), math.sqrt(n_control / (n + n_control)))
        for n in n_treatments
    ]
    points, panel_weights = _panels(z, shares)
    survival = np.zeros_like(points)
    with np.errstate(divide="ignore"):
        for weight, rest in shares:
            above = normal_tails((z - weight * points) / rest)
            below = normal_tails((z + weight * points) / rest)
            survival += np.log1p(-np.minimum(above + below, 1.0))
    density = np.exp(-(points**2) / 2) / math.sqrt(2 * math.pi)
    return min(1.0, float(np.sum(panel_weights * density * -np.expm1(survival))))


def chance_of_larger_t(
    t: float, n_control: int, n_treatments: Sequence[int], degrees: float
) -> float:
    """Return the same for t statistics that share one estimate of the variance.

    The mean of `chance_of_larger` at t times the estimated over the true standard deviation,
    absolute error below 1e-9.

    Source:
        As there. Two treatments of control's size with 10 degrees of freedom give 0.05 at 2.5678.
    """
    spread = 9 / math.sqrt(2 * degrees)
    longest = min(spread, math.log(2 + 80 / degrees) / 2)
    logs = np.linspace(-(spread + 34 / degrees), longest, DEVIATIONS)
    # The density of ln(s), where degrees · s² is chi-squared, up to a factor.
    density = np.exp(degrees * (logs - np.expm1(2 * logs) / 2))
    chances = [chance_of_larger(t * math.exp(y), n_control, n_treatments) for y in logs]
    return min(1.0, float(np.average(chances, weights=density)))


def _panels(z: float, shares: Sequence[tuple[float, float]]) -> tuple[Floats, Floats]:
    """Return nodes and weights, close where the integrand has its peaks and its steps."""
    steps = np.arange(-8.0, 9.0)
    edges = [np.arange(-FARTHEST, FARTHEST + 0.25, 0.25)]
    for weight, rest in shares:
        for sign in (-1, 1):
            edges.append(sign * weight * z + rest * steps)
            edges.append((sign * z + rest * steps) / weight)
    within = np.unique(np.clip(np.concatenate(edges), -FARTHEST, FARTHEST))
    nodes, weights = np.polynomial.legendre.leggauss(NODES)
    middles, halves = (within[1:] + within[:-1]) / 2, np.diff(within) / 2
    points: Floats = (middles[:, None] + halves[:, None] * nodes).ravel()
    panel_weights: Floats = (halves[:, None] * weights).ravel()
    return points, panel_weights

"""Where the statistic of a sequential test may be while no look has ended it.

Under the null, z · √t at the information fraction t is a Brownian motion. Its density over the
paths that no look has stopped is carried from look to look by numerical integration: the recursion
of Armitage, McPherson and Rowe (1969), JRSS A 132:235-244. A drift tilts it without a second walk.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from expplat.stats.distributions import Floats, normal_tails

Sides: TypeAlias = Literal[1, 2]
"""1: only a high z ends the test. 2: a high or a low one does, symmetrically."""

SMALLEST_STEP = 5e-5
"""A look that adds less of the planned information than this is no look, and spends nothing."""

FAR = 9.0
"""Standard deviations beyond which a path is lost from sight; 1e-19 of them are."""

PANEL = 5.0
"""Width of a panel of integration in standard deviations of the smaller of the steps around it."""


PART = 64
"""Nodes that are reached together."""


class Paths(NamedTuple):
    """The paths that no look has stopped, at one time."""

    time: float
    places: Floats
    mass: Floats


class PlannedLook(NamedTuple):
    """A look and what ends the test there."""

    time: float
    critical: float
    """Of |z| or of z; infinity where nothing passes."""


def start(time: float = 0.0, place: float = 0.0) -> Paths:
    """Return the one path that is at this place."""
    return Paths(time, np.full(1, place), np.ones(1))


def above(paths: Paths, look: PlannedLook, drift: float = 0.0) -> float:
    """Return the chance to be on one of the paths and above the critical value at the look.

    Args:
        paths: Where the test may be before the look.
        look: The look; its critical value may be negative.
        drift: Expected z at the planned end; 0 under the null.
    """
    step = look.time - paths.time
    edge = look.critical * math.sqrt(look.time) - drift * step
    tails = normal_tails((edge - paths.places) / math.sqrt(step))
    if not drift:
        return float(paths.mass @ tails)
    # In logarithms, for the tilt alone may be too large for a float.
    with np.errstate(divide="ignore"):
        tilted = np.log(paths.mass) + drift * paths.places - drift * drift * paths.time / 2
    return float(np.exp(tilted) @ tails)


def crossing(paths: Paths, look: PlannedLook, sides: Sides) -> float:
    """Return the chance, without drift, to be on one of the paths and stopped at the look."""
    high = above(paths, look)
    return high if sides == 1 else high + above(mirrored(paths), look)


def mirrored(paths: Paths) -> Paths:
    """Return the paths with the sign of every place changed."""
    return paths._replace(places=-paths.places)


def advanced(
    paths: Paths, look: PlannedLook, sides: Sides, next_step: float, reach: float = FAR
) -> Paths:
    """Return the paths that the look does not stop.

    Args:
        paths: Where the test may be before the look.
        look: The look.
        sides: Whether a low z ends the test too.
        next_step: Information from this look to the next: a small one needs many nodes.
        reach: Standard deviations around the start that are followed.
    """
    root, step = math.sqrt(look.time), look.time - paths.time
    high = min(look.critical, reach) * root
    low = -high if sides == 2 else -reach * root
    places, weights = _nodes(low, max(low, high), PANEL * math.sqrt(min(step, next_step)))
    density = _density(places, paths, math.sqrt(step), reach + FAR)
    return Paths(look.time, places, weights * density)


def walk(
    paths: Paths, looks: Sequence[PlannedLook], sides: Sides, reach: float = FAR
) -> Iterator[tuple[Paths, PlannedLook]]:
    """Yield each look with the paths that no look before it has stopped.

    Args:
        paths: Where the walk begins.
        looks: In order of time, each later than the one before by `SMALLEST_STEP` or more.
        sides: Whether a low z ends the test too.
        reach: As in `advanced`.
    """
    for look, following in pairwise(looks):
        yield paths, look
        paths = advanced(paths, look, sides, following.time - look.time, reach)
    if looks:
        yield paths, looks[-1]


def _nodes(low: float, high: float, panel: float) -> tuple[Floats, Floats]:
    """Return Gauss-Legendre nodes and weights, 16 to a panel of at most this width."""
    roots, weights = np.polynomial.legendre.leggauss(16)
    count = max(1, math.ceil((high - low) / panel))
    half = (high - low) / count / 2
    middles = low + half * (2 * np.arange(count) + 1)
    places = (middles[:, None] + half * roots[None, :]).ravel()
    return places, np.tile(half * weights, count)


def _density(places: Floats, paths: Paths, spread: float, longest: float) -> Floats:
    """Return the density at the places of a normal step from the paths.

    Part by part, for a part is reached only from near it: no step is longer than so many spreads.
    """
    density = np.empty_like(places)
    for first in range(0, len(places), PART):
        part = places[first : first + PART]
        ends = (part[0] - longest * spread, part[-1] + longest * spread)
        near = slice(*np.searchsorted(paths.places, ends))
        distances = (part[:, None] - paths.places[None, near]) / spread
        density[first : first + PART] = np.exp(-0.5 * distances**2) @ paths.mass[near]
    return density / (spread * math.sqrt(2 * math.pi))

"""What may be said after a sequential test has ended: a p-value and a fair estimate.

Ends of the test are ordered by stage: a high z that ended it early is more extreme than one that
ended it later, and at one look a higher z is more extreme. Planned looks that never came are not
asked for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from expplat.stats.paths import (
    FAR,
    SMALLEST_STEP,
    Paths,
    PlannedLook,
    Sides,
    above,
    mirrored,
    start,
    walk,
)


class _Ended(NamedTuple):
    """Where the test ended, and the looks up to there with the paths before each."""

    z: float
    time: float
    walked: tuple[tuple[Paths, PlannedLook], ...]

    def chance(self, drift: float) -> float:
        """Return the chance, at this drift, to end at least as high."""
        return sum(above(paths, look, drift) for paths, look in self.walked)

    def reflected_chance(self) -> float:
        """Return the chance under the null to end at least as low."""
        last = len(self.walked) - 1
        looks = [
            look._replace(critical=-self.z) if position == last else look
            for position, (_, look) in enumerate(self.walked)
        ]
        pairs = zip(self.walked, looks, strict=True)
        return sum(above(mirrored(paths), look) for (paths, _), look in pairs)


def stagewise_p(
    z_values: Sequence[float],
    information_fractions: Sequence[float],
    boundaries: Sequence[float],
    sides: Sides = 2,
) -> float:
    """Return the p-value of a test that has ended, at a boundary or at its last look.

    Uniform under the null, and at most what was spent by the look at which a boundary was crossed.
    Looks after the first crossing are passed over.

    Args:
        z_values: At each look so far, at least one.
        information_fractions: Share of the planned information at each of these looks.
        boundaries: Of each of these looks, from `boundaries` with the same sides.
        sides: 2 for a two-sided p; 1 for the p of a high z.

    Raises:
        ValueError: If the lengths differ, a number is not one, or no look has information.

    Source:
        Tsiatis, Rosner and Mehta (1984), Biometrics 40:797-803. By hand: a first look at z 3 has
        the plain p, 0.0026998; a second one, at twice the information and after a boundary of 3
        that was not reached, has with z 2 the two-sided p 0.04639.
    """
    ended = _ended(z_values, information_fractions, boundaries, sides)
    high = ended.chance(0.0)
    return high if sides == 1 else min(1.0, 2 * min(high, ended.reflected_chance()))


def stagewise_z(
    z_values: Sequence[float],
    information_fractions: Sequence[float],
    boundaries: Sequence[float],
    chance: float = 0.5,
    sides: Sides = 2,
) -> float:
    """Return the z at the end of the test without the optimism of an early end.

    The true standardised effect at which an end at least this high has the given chance. Times the
    standard error at the end, that is the median-unbiased estimate for a chance of 0.5, and the
    ends of a 95 % interval for 0.025 and 0.975.

    Args:
        z_values: As in `stagewise_p`.
        information_fractions: As in `stagewise_p`.
        boundaries: As in `stagewise_p`.
        chance: Between 0 and 1.
        sides: As in `stagewise_p`.

    Raises:
        ValueError: If the chance is out of range, or as `stagewise_p` does.

    Source:
        Emerson and Fleming (1990), Biometrika 77:875-892. A test that ends at its first look gives
        its own z.
    """
    if not 0 < chance < 1:
        raise ValueError(f"a chance must lie between 0 and 1, not at {chance}")
    ended = _ended(z_values, information_fractions, boundaries, sides)
    root = math.sqrt(ended.time)
    low, high, width = ended.z, ended.z, 1.0
    while ended.chance(low / root) > chance:
        low, width = low - width, 2 * width
    while ended.chance(high / root) < chance:
        high, width = high + width, 2 * width
    while high - low > 1e-9:
        middle = (low + high) / 2
        if ended.chance(middle / root) < chance:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _ended(
    z_values: Sequence[float],
    information_fractions: Sequence[float],
    boundaries: Sequence[float],
    sides: Sides,
) -> _Ended:
    """Return the end of the test: its first crossing, else its newest look."""
    if not len(z_values) == len(information_fractions) == len(boundaries):
        raise ValueError("every look needs a z, an information fraction and a boundary")
    if not all(math.isfinite(number) for number in (*z_values, *information_fractions)):
        raise ValueError("a z and a share of the planned information must be finite")
    seen: list[tuple[float, PlannedLook]] = []
    for z, fraction, critical in zip(z_values, information_fractions, boundaries, strict=True):
        if fraction - (seen[-1][1].time if seen else 0.0) < SMALLEST_STEP:
            continue
        seen.append((z, PlannedLook(fraction, critical)))
        if (z if sides == 1 else abs(z)) >= critical:
            break
    if not seen:
        raise ValueError("a test has not ended before it has information")
    z, last = seen[-1]
    looks = [look for _, look in seen[:-1] if math.isfinite(look.critical)]
    walked = walk(start(), [*looks, PlannedLook(last.time, z)], sides, reach=FAR + abs(z))
    return _Ended(z, last.time, tuple(walked))

"""What is left of alpha while a plan of looks is under way, for a test that goes on differently."""

from __future__ import annotations

import math
from collections.abc import Sequence

from expplat.stats.paths import SMALLEST_STEP, PlannedLook, Sides, crossing, start, walk


def conditional_level(
    z_values: Sequence[float],
    information_fractions: Sequence[float],
    boundaries: Sequence[float],
    sides: Sides = 2,
) -> float:
    """Return the chance under the null that the looks still to come would cross a boundary.

    So much alpha has a test that replaces the rest of the plan, on new units only, whatever its
    size and its looks: the whole keeps its level. A test that is to be extended past its planned
    end has to plan so before: with a look there that leaves some of alpha to a later one. Where
    the plan has no later look, nothing is left.

    Args:
        z_values: At each look so far; none before the first.
        information_fractions: Share of the planned information at each planned look, those to
            come among them.
        boundaries: Of each planned look, from `boundaries` with the same sides.
        sides: 2 where the replacing test is two-sided; 1 where only a high z passes.

    Returns:
        1 where a boundary is already crossed, else 0 to 1.

    Raises:
        ValueError: If the lengths do not fit, or a number is not one.

    Source:
        Müller and Schäfer (2001), Biometrics 57:886-891; Koning and van Meer (2026), JRSS B, arXiv
        2501.03982. By hand, one-sided: z 1 at half the information and a last boundary of 1.96
        leave the tail of (1.96 − √0.5) / √0.5, that is 0.03821.
    """
    if len(boundaries) != len(information_fractions) or len(z_values) > len(boundaries):
        raise ValueError("every planned look needs an information fraction and a boundary")
    if not all(math.isfinite(number) for number in (*z_values, *information_fractions)):
        raise ValueError("a z and a share of the planned information must be finite")
    if any(
        (z if sides == 1 else abs(z)) >= critical
        for z, critical in zip(z_values, boundaries, strict=False)
    ):
        return 1.0
    now = len(z_values)
    time = max((0.0, *information_fractions[:now]))
    place = z_values[-1] * math.sqrt(time) if now else 0.0
    looks = _to_come(time, information_fractions[now:], boundaries[now:])
    paths = start(time, place)
    return math.fsum(crossing(before, look, sides) for before, look in walk(paths, looks, sides))


def _to_come(
    time: float, information_fractions: Sequence[float], boundaries: Sequence[float]
) -> list[PlannedLook]:
    """Return the looks that add information and at which something passes."""
    looks: list[PlannedLook] = []
    for fraction, critical in zip(information_fractions, boundaries, strict=True):
        if fraction - time >= SMALLEST_STEP and math.isfinite(critical):
            looks.append(PlannedLook(fraction, critical))
            time = fraction
    return looks

"""A forest plot in the terminal: one interval a line, better to the right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import typer

from expplat.cli._columns import LONGEST_NAME, cell_width, cut, padded, width_of_terminal
from expplat.cli._say import STYLES, say

if TYPE_CHECKING:
    from expplat.domain.analysis import Comparison

NARROWEST, WIDEST = 21, 61
"""Columns of the plot, odd numbers: zero has one of its own."""

LEGEND = "● effect  ├─┤ interval  │ no difference  ┊ what is allowed or matters"


def say_forest(comparisons: Sequence[Comparison]) -> None:
    """Draw every comparison; those of one metric share a scale."""
    from expplat.domain.wording import MARKS

    reaches = reaches_of(comparisons)
    names = [cut(f"{one.metric} · {one.variant}", LONGEST_NAME) for one in comparisons]
    width = max(map(cell_width, names), default=0)
    room = min(max(width_of_terminal() - width - 4, NARROWEST), WIDEST)
    half = (room - 1) // 2
    say(f"{'':{width + 4}}{'worse':<{half}}0{'better':>{half}}")
    for name, one in zip(names, comparisons, strict=True):
        line = typer.style(forest_line(one, reaches[one.metric], half), fg=STYLES[one.ruling])
        say(f"{MARKS[one.ruling]} {padded(name, width)}  {line}".rstrip())
    say(cut(LEGEND, width_of_terminal()))
    if len(reaches) > 1:
        say("Each metric has a scale of its own.")


def reaches_of(comparisons: Sequence[Comparison]) -> Mapping[str, float]:
    """Return, by metric, the largest distance from zero that is drawn."""
    reaches: dict[str, float] = {}
    for one in comparisons:
        ends = (one.effect, one.ci_low, one.ci_high, one.margin, one.min_effect)
        sizes = [abs(end) for end in ends if end is not None]
        reaches[one.metric] = max(reaches.get(one.metric, 0.0), *sizes, 0.0)
    return reaches


def forest_line(one: Comparison, reach: float, half: int) -> str:
    """Draw an interval as text, better to the right.

    Args:
        one: The comparison.
        reach: Distance from zero to either end of the line, in the metric's unit.
        half: Columns on each side of zero.
    """
    cells = [" "] * (2 * half + 1)
    cells[half] = "│"
    if one.effect is None or reach <= 0:
        return "".join(cells)

    def at(value: float) -> int:
        place = half + round(one.direction.sign * value / reach * half)
        return min(max(place, 0), 2 * half)

    if one.ci_low is not None and one.ci_high is not None:
        start, end = sorted((at(one.ci_low), at(one.ci_high)))
        for place in range(start, end + 1):
            cells[place] = "┼" if place == half else "─"
        cells[start], cells[end] = "├", "┤"
    limit = -one.margin if one.margin is not None else one.min_effect
    if limit is not None:
        cells[at(one.direction.sign * limit)] = "┊"
    cells[at(one.effect)] = "●"
    return "".join(cells)

"""Where the marks of a plot stand: pure arithmetic from effects to coordinates.

The templates in `dashboards/` draw what is computed here. Every plot is turned so that better lies
to the right (or up), whichever way the metric itself is better.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from expplat.adapters.report.formatting import signed
from expplat.adapters.report.svg_scale import Interval, Scale, finite, oriented
from expplat.domain.gate import METRIC_GATES, Effect, Gate, GateKind
from expplat.domain.online import Look
from expplat.domain.wording import interval

FOREST_WIDTH = 260.0
FOREST_HEIGHT = 38.0
LOOKS_WIDTH = 620.0
LOOKS_HEIGHT = 250.0


TWO_SIDED = frozenset({GateKind.EQUIVALENCE, GateKind.REPLAY_TRUST})
"""Gates whose margin lies on both sides of no difference."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """One row of a forest plot: zero, an interval and, where a gate asks, its threshold."""

    interval: Interval
    zero: float
    title: str
    threshold: float | None = None
    threshold_label: str = ""
    label_anchor: str = "middle"
    other_threshold: float | None = None
    """Of a gate that allows as much to the other side."""

    width: float = FOREST_WIDTH
    height: float = FOREST_HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class LookMark:
    """One look in the plot of an interval over time."""

    x: float
    interval: Interval
    """Along the vertical axis."""

    decisive: bool
    """False for a look that was too early to decide anything."""

    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """One look before it is placed."""

    effect: Effect
    decisive: bool
    label: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LooksPlot:
    """The interval of one metric over the looks of a test; better is up."""

    marks: tuple[LookMark, ...]
    zero: float
    threshold: float | None
    threshold_label: str
    ticks: tuple[tuple[float, str], ...]
    title: str
    width: float = LOOKS_WIDTH
    height: float = LOOKS_HEIGHT


def threshold_of(gate: Gate | None) -> float | None:
    """Return the line that a gate draws, on the axis where better is positive."""
    if gate is None or gate.kind not in METRIC_GATES | TWO_SIDED:
        return None
    if gate.kind is GateKind.SUPERIORITY:
        return gate.min_effect
    return None if gate.margin is None else -gate.margin


def forest(effect: Effect | None, gate: Gate | None = None, reach: float = 0.0) -> Forest | None:
    """Place one effect on its own scale; None where there is nothing to draw.

    Args:
        effect: In its metric's unit.
        gate: Whose threshold is drawn.
        reach: The largest distance from zero that the scale must hold, to share it among rows.
    """
    if effect is None or finite(effect.difference) is None:
        return None
    line = threshold_of(gate)
    other = -line if line is not None and gate and gate.kind in TWO_SIDED else None
    ends = oriented(effect)
    held = [value for value in (*ends, line, other, reach, -reach) if value is not None]
    scale = Scale.over(held, 8.0, FOREST_WIDTH - 8.0)
    place = None if line is None else scale.at(line)
    return Forest(
        interval=Interval.on(ends, scale),
        zero=scale.at(0.0),
        threshold=place,
        threshold_label="" if line is None else signed(line * effect.sign, effect.unit),
        label_anchor=_anchor(place, FOREST_WIDTH),
        other_threshold=None if other is None else scale.at(other),
        title=f"{effect.metric}: {interval(effect)}",
    )


def looks_plot(looks: Sequence[Look], gate: Gate) -> LooksPlot | None:
    """Place the interval that a gate judges at every look; None where no look has one."""
    drawn = _readings(looks, gate)
    if not drawn:
        return None
    return plot_over_time([_mark(look, effect) for look, effect in drawn], gate)


def plot_over_time(marks: Sequence[Mark], gate: Gate) -> LooksPlot:
    """Place at least one look from left to right, on the axis where better is up."""
    line = threshold_of(gate)
    ends = [end for mark in marks for end in oriented(mark.effect) if end is not None]
    scale = Scale.over([*ends, *([] if line is None else [line])], LOOKS_HEIGHT - 34.0, 12.0)
    step = (LOOKS_WIDTH - 146.0) / len(marks)
    newest = marks[-1].effect
    return LooksPlot(
        marks=tuple(
            LookMark(
                x=round(70.0 + step * (place + 0.5), 1),
                interval=Interval.on(oriented(mark.effect), scale),
                decisive=mark.decisive,
                label=mark.label,
                title=f"{mark.title}: {interval(mark.effect)}",
            )
            for place, mark in enumerate(marks)
        ),
        zero=scale.at(0.0),
        threshold=None if line is None else scale.at(line),
        threshold_label="" if line is None else signed(line * newest.sign, newest.unit),
        ticks=_ticks(scale, newest),
        title=f"{gate.metric} over {len(marks)} looks",
    )


def _readings(looks: Sequence[Look], gate: Gate) -> list[tuple[Look, Effect]]:
    """Return the looks at which the gate had a number, with that number."""
    return [
        (look, verdict.effect)
        for look in looks
        for verdict in look.verdicts
        if (verdict.gate.metric, verdict.gate.kind) == (gate.metric, gate.kind)
        and verdict.effect is not None
        and verdict.effect.difference is not None
    ]


def _mark(look: Look, effect: Effect) -> Mark:
    decisive = look.information_fraction > 0
    kind = f"{look.information_fraction:.0%} of the plan" if decisive else "monitoring only"
    return Mark(
        effect=effect,
        decisive=decisive,
        label=f"day {number_of_days(look)}",
        title=f"Look {look.position + 1}, {look.snapshot.units:,} units, {kind}",
    )


def number_of_days(look: Look) -> str:
    """Write the days since the phase was opened, to a tenth where it matters."""
    days = look.snapshot.days
    return f"{days:.0f}" if days >= 10 or days == int(days) else f"{days:.1f}"


def _anchor(place: float | None, width: float) -> str:
    if place is None or width * 0.2 < place < width * 0.8:
        return "middle"
    return "start" if place <= width * 0.2 else "end"


def _ticks(scale: Scale, effect: Effect) -> tuple[tuple[float, str], ...]:
    """Return three to seven round values with their places, in the metric's own unit."""
    width = scale.high - scale.low
    step = 10.0 ** math.floor(math.log10(width / 3))
    step *= next((factor for factor in (1, 2, 5) if width / (step * factor) <= 6), 10)
    first, last = math.ceil(scale.low / step), math.floor(scale.high / step)
    return tuple(
        (scale.at(count * step), signed(count * step * effect.sign, effect.unit))
        for count in range(first, last + 1)
    )

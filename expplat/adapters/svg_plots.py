"""Where the marks of a plot stand: pure arithmetic from effects to coordinates.

The templates in `dashboards/` draw what is computed here. Every plot is turned so that better lies
to the right (or up), whichever way the metric itself is better.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expplat.adapters.formatting import signed
from expplat.domain.gate import METRIC_GATES, Effect, Gate, GateKind
from expplat.domain.online import Look
from expplat.domain.wording import interval, number

FOREST_WIDTH = 260.0
FOREST_HEIGHT = 38.0
LOOKS_WIDTH = 620.0
LOOKS_HEIGHT = 250.0
STAGES_WIDTH = 520.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A straight map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return the place of a value, in pixels, to a tenth."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    @classmethod
    def over(cls, values: Iterable[float], start: float, end: float) -> Scale:
        """Return a scale that holds zero and all values, with room at both ends."""
        held = [0.0, *(value for value in values if math.isfinite(value))]
        low, high = min(held), max(held)
        if low == high:
            low, high = low - 1.0, high + 1.0
        room = (high - low) * 0.08
        return cls(low=low - room, high=high + room, start=start, end=end)


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """An estimate with its interval, in pixels; ends are None where there is no interval."""

    point: float | None
    start: float | None
    end: float | None

    @property
    def length(self) -> float:
        """Pixels from end to end; 0 where there is no interval."""
        return 0.0 if self.start is None or self.end is None else round(self.end - self.start, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forest:
    """One row of a forest plot: zero, an interval and, where a gate asks, its threshold."""

    interval: Interval
    zero: float
    title: str
    threshold: float | None = None
    threshold_label: str = ""
    label_anchor: str = "middle"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class StageBar:
    """How long one stage takes in one arm, at the 95th percentile."""

    arm: str
    y: float
    length: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StagesPlot:
    """Time of each stage in both arms, as pairs of bars."""

    stages: tuple[tuple[str, float, tuple[StageBar, ...]], ...]
    """Name, place of the name, and the bars."""

    start: float
    height: float
    width: float = STAGES_WIDTH


def threshold_of(gate: Gate | None) -> float | None:
    """Return the line that a gate draws, on the axis where better is positive."""
    if gate is None or gate.kind not in METRIC_GATES:
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
    if effect is None or effect.difference is None or not math.isfinite(effect.difference):
        return None
    line = threshold_of(gate)
    ends = _oriented(effect)
    held = [value for value in (*ends, line, reach, -reach) if value is not None]
    scale = Scale.over(held, 8.0, FOREST_WIDTH - 8.0)
    place = None if line is None else scale.at(line)
    return Forest(
        interval=_interval(ends, scale),
        zero=scale.at(0.0),
        threshold=place,
        threshold_label="" if line is None else signed(line * effect.sign, effect.unit),
        label_anchor=_anchor(place, FOREST_WIDTH),
        title=f"{effect.metric}: {interval(effect)}",
    )


def reach_of(effects: Iterable[Effect | None]) -> float:
    """Return how far the effects reach from zero, so that rows of one unit share a scale."""
    ends = [
        abs(end)
        for effect in effects
        if effect is not None
        for end in (effect.difference, effect.low, effect.high)
        if end is not None and math.isfinite(end)
    ]
    return max(ends, default=0.0)


def looks_plot(looks: Sequence[Look], gate: Gate) -> LooksPlot | None:
    """Place the interval that a gate judges at every look; None where no look has one."""
    drawn = _readings(looks, gate)
    if not drawn:
        return None
    return plot_over_time([_mark(look, effect) for look, effect in drawn], gate)


def plot_over_time(marks: Sequence[Mark], gate: Gate) -> LooksPlot:
    """Place at least one look from left to right, on the axis where better is up."""
    line = threshold_of(gate)
    ends = [end for mark in marks for end in _oriented(mark.effect) if end is not None]
    scale = Scale.over([*ends, *([] if line is None else [line])], LOOKS_HEIGHT - 34.0, 12.0)
    step = (LOOKS_WIDTH - 146.0) / len(marks)
    newest = marks[-1].effect
    return LooksPlot(
        marks=tuple(
            LookMark(
                x=round(70.0 + step * (place + 0.5), 1),
                interval=_interval(_oriented(mark.effect), scale),
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


def stages_plot(arms: Sequence[tuple[str, dict[str, float]]]) -> StagesPlot | None:
    """Place the stages of both arms, in milliseconds; None where no stage was timed."""
    fullest_first = sorted(arms, key=lambda arm: -len(arm[1]))
    names = list(dict.fromkeys(name for _, stages in fullest_first for name in stages))
    longest = max((value for _, stages in arms for value in stages.values()), default=0.0)
    if not names or longest <= 0:
        return None
    start, pitch = 130.0, 46.0
    scale = Scale(low=0.0, high=longest, start=0.0, end=STAGES_WIDTH - start - 130.0)
    rows = tuple(
        (name, round(place * pitch + 22.0, 1), _stage_bars(name, arms, scale, place * pitch))
        for place, name in enumerate(names)
    )
    return StagesPlot(stages=rows, start=start, height=len(names) * pitch + 4.0)


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


def _stage_bars(
    name: str, arms: Sequence[tuple[str, dict[str, float]]], scale: Scale, top: float
) -> tuple[StageBar, ...]:
    return tuple(
        StageBar(
            arm=arm,
            y=round(top + 5.0 + 18.0 * place, 1),
            length=max(scale.at(stages[name]), 1.0),
            label=f"{number(stages[name])} ms",
        )
        for place, (arm, stages) in enumerate(arms)
        if name in stages
    )


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


def _oriented(effect: Effect) -> tuple[float | None, float | None, float | None]:
    """Return difference and ends on the axis where better is positive, lower end first."""
    turned = [
        None if value is None or not math.isfinite(value) else effect.sign * value
        for value in (effect.difference, effect.low, effect.high)
    ]
    point, low, high = turned
    return (point, low, high) if effect.sign > 0 else (point, high, low)


def _interval(ends: tuple[float | None, float | None, float | None], scale: Scale) -> Interval:
    point, low, high = (None if value is None else scale.at(value) for value in ends)
    return Interval(point=point, start=low, end=high)


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

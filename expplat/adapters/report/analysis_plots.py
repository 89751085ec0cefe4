"""Where the marks of an analysis stand: its comparisons and looks, in the plots of all pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from expplat.adapters.report import svg_plots
from expplat.adapters.report.svg_scale import reach_of
from expplat.domain.analysis import Analysis, Comparison, LookReading
from expplat.domain.gate import Effect, Gate, GateKind

MOST_LABELS = 6
"""Looks of a plot that are named; more names would run into each other."""


class Row(NamedTuple):
    """A comparison with its plot; rows of one metric share a scale."""

    comparison: Comparison
    effect: Effect
    plot: svg_plots.Forest | None


class LooksRow(NamedTuple):
    """How one comparison went, look by look."""

    title: str
    plot: svg_plots.LooksPlot


def rows_of(comparisons: Sequence[Comparison]) -> list[Row]:
    """Place every comparison."""
    effects = [effect_of(one) for one in comparisons]
    reaches = {
        name: reach_of(effect for effect in effects if effect.metric == name)
        for name in {effect.metric for effect in effects}
    }
    return [
        Row(one, effect, svg_plots.forest(effect, gate_of(one), reaches[effect.metric]))
        for one, effect in zip(comparisons, effects, strict=True)
    ]


def looks_of(found: Analysis) -> Iterator[LooksRow]:
    """Place the looks of every comparison that has an interval at one of them."""
    for one in found.comparisons:
        readings = [
            look
            for look in found.looks
            if (look.metric, look.variant) == (one.metric, one.variant) and look.effect is not None
        ]
        if readings:
            yield LooksRow(f"{one.metric} · {one.variant}", _looks_plot(one, readings))


def effect_of(one: Comparison) -> Effect:
    """Return a comparison as the evidence that plots and wording know."""
    return Effect(
        metric=one.metric,
        unit=one.unit,
        sign=one.direction.sign,
        control=one.control,
        treatment=one.treatment,
        difference=one.effect,
        low=one.ci_low,
        high=one.ci_high,
        p=one.p,
        n_control=one.n_control,
        n_treatment=one.n_treatment,
        method=one.method,
        relative=one.relative,
        relative_low=one.relative_ci_low,
        relative_high=one.relative_ci_high,
        warnings=one.warnings,
    )


def gate_of(one: Comparison) -> Gate:
    """Return the gate whose threshold the plot draws."""
    if one.margin is not None:
        return Gate(kind=GateKind.NON_INFERIORITY, metric=one.metric, margin=one.margin)
    return Gate(kind=GateKind.SUPERIORITY, metric=one.metric, min_effect=one.min_effect)


def _looks_plot(one: Comparison, readings: Sequence[LookReading]) -> svg_plots.LooksPlot:
    effects = [_reading(one, look) for look in readings]
    every = -(-len(readings) // MOST_LABELS)
    return svg_plots.plot_over_time(
        [
            svg_plots.Mark(
                effect=effect,
                decisive=effect.low is not None,
                label=look.look if place % every == 0 else "",
                title=f"{look.look}, {look.n_control + look.n_treatment:,} units",
            )
            for place, (look, effect) in enumerate(zip(readings, effects, strict=True))
        ],
        gate_of(one),
    )


def _reading(one: Comparison, look: LookReading) -> Effect:
    return replace(
        effect_of(one),
        difference=look.effect,
        low=look.ci_low,
        high=look.ci_high,
        n_control=look.n_control,
        n_treatment=look.n_treatment,
    )

"""From control's mean latency over the stages to treatment's: where the bars stand.

Names and numbers stand beside the bars as text of the page, so that no label meets another.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from expplat.adapters.report.breakdown_reading import mean_latency, stage_name
from expplat.adapters.report.replay_reading import Standing, standing_of
from expplat.adapters.report.svg_scale import Interval, Scale, finite
from expplat.domain.breakdown import StageDelta
from expplat.domain.gate import Effect
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.wording import amount, interval

WATERFALL_WIDTH = 330.0
WATERFALL_HEIGHT = 46.0
CUT_BELOW = 0.4
"""Where all that moves lies within this part of the latency, the axis does not begin at zero."""

LEAST = 1.5
"""Pixels that a bar takes at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaterfallRow:
    """One bar: a variant's mean latency, or what a stage did to it."""

    name: str
    tone: str
    """`control`, `treatment`, or of a stage: `slower`, `faster`, `level`."""

    start: float
    """Left end of the bar, in pixels."""

    length: float
    carried_from: float | None
    """Where the row above ended, in pixels; None for the first."""

    carried_to: float | None
    """Where the row below begins; None for the last."""

    interval: Interval
    title: str
    mean: float | None = None
    """Of a variant: its mean latency, in ms."""

    stage: StageDelta | None = None
    width: float = WATERFALL_WIDTH
    height: float = WATERFALL_HEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class Waterfall:
    """All rows, from control to treatment."""

    rows: tuple[WaterfallRow, ...]
    starts_at: float
    """Value at the left end, in ms; 0 where the whole length of the bars is drawn."""

    @property
    def is_cut(self) -> bool:
        """Whether the bars of the variants are drawn without their beginnings."""
        return self.starts_at > 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    stage: StageDelta
    before: float
    after: float


def waterfall(stages: Sequence[StageDelta]) -> Waterfall | None:
    """Place the bars; None where no stage was timed."""
    control, treatment = mean_latency(stages, CONTROL), mean_latency(stages, TREATMENT)
    if control is None or treatment is None:
        return None
    steps = tuple(_steps(stages, control))
    scale = _scale([control, treatment, *(end for step in steps for end in _held(step))])
    places = [scale.at(control), *(scale.at(step.after) for step in steps), scale.at(treatment)]
    rows = (
        _variant_row(CONTROL, control, scale, None, places[0]),
        *(_stage_row(step, scale) for step in steps),
        _variant_row(TREATMENT, treatment, scale, places[-2], None),
    )
    return Waterfall(rows=rows, starts_at=max(scale.low, 0.0))


def stage_tone(effect: Effect) -> str:
    """Return `slower` or `faster`; `level` where the noise could have done it."""
    match standing_of(effect):
        case Standing.HARMED:
            return "slower"
        case Standing.BETTER:
            return "faster"
        case _:
            return "level"


def _steps(stages: Sequence[StageDelta], control: float) -> Iterable[_Step]:
    running = control
    for stage in stages:
        after = running + (finite(stage.mean.difference) or 0.0)
        yield _Step(stage=stage, before=running, after=after)
        running = after


def _held(step: _Step) -> tuple[float, ...]:
    """Return every value of a step that the scale must hold."""
    ends = (finite(step.stage.mean.low), finite(step.stage.mean.high))
    return (step.after, *(step.before + end for end in ends if end is not None))


def _scale(values: Sequence[float]) -> Scale:
    low, high = min(values), max(values)
    room = (high - low) * 0.12
    if 0 < high - low < CUT_BELOW * high:
        return Scale(low=max(low - room, 0.0), high=high + room, start=0.0, end=WATERFALL_WIDTH)
    bottom = min(low - room, 0.0) if low < 0 else 0.0
    top = max(high, 0.0) * 1.04
    top = top if top > bottom else bottom + 1.0
    return Scale(low=bottom, high=top, start=0.0, end=WATERFALL_WIDTH)


def _variant_row(
    arm: str, mean: float, scale: Scale, carried_from: float | None, carried_to: float | None
) -> WaterfallRow:
    start = scale.at(max(scale.low, 0.0))
    return WaterfallRow(
        name=arm,
        tone=arm,
        start=start,
        length=max(round(scale.at(mean) - start, 1), LEAST),
        carried_from=carried_from,
        carried_to=carried_to,
        interval=Interval(point=None, start=None, end=None),
        title=f"{arm}: {amount(mean, 'ms')} on average",
        mean=mean,
    )


def _stage_row(step: _Step, scale: Scale) -> WaterfallRow:
    effect = step.stage.mean
    before, after = scale.at(step.before), scale.at(step.after)
    low, high = finite(effect.low), finite(effect.high)
    whisker = (
        (step.after, step.before + low, step.before + high)
        if low is not None and high is not None
        else (None, None, None)
    )
    return WaterfallRow(
        name=stage_name(step.stage.stage),
        tone=stage_tone(effect),
        start=min(before, after, WATERFALL_WIDTH - LEAST),
        length=max(round(abs(after - before), 1), LEAST),
        carried_from=before,
        carried_to=after,
        interval=Interval.on(whisker, scale),
        title=f"{stage_name(step.stage.stage)}: {interval(effect)}",
        stage=step.stage,
    )

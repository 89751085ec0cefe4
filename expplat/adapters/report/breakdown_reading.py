"""What a difference is made of, in words and rows: stages, money, segments, repeats."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from expplat.adapters.report.replay_reading import NAMED, Standing, standing_of
from expplat.adapters.report.svg_scale import finite
from expplat.domain.breakdown import CPU, REST, CostLine, StageDelta, VarianceSplit
from expplat.domain.gate import Effect
from expplat.domain.replay import CONTROL, TREATMENT, ArmSummary, ReplayReport
from expplat.domain.wording import amount, change, counted, number
from expplat.gates.segments import harmed_segments
from expplat.metrics.call_totals import RECORDED

HARDLY = 0.05
"""A narrowing of an interval by less than this is not worth paying for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CostRow:
    """What one model costs in one stage, both variants side by side, per 1,000 requests."""

    stage: str
    model: str
    control: CostLine | None
    treatment: CostLine | None

    @property
    def difference(self) -> float:
        """Treatment less control, in USD per 1,000 requests."""
        return _usd(self.treatment) - _usd(self.control)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRow:
    """The effect in one segment, and where its interval lies."""

    name: str
    effect: Effect
    standing: Standing


def stage_name(stage: str) -> str:
    """Name a stage as people read it."""
    return "outside any stage" if stage == REST else stage


def model_name(line: CostLine | CostRow) -> str:
    """Name what is paid for: a model, the processor, or a sum that the log gives."""
    return {CPU: "processor", RECORDED: "as recorded"}.get(line.model, line.model)


def cost_place(line: CostLine | CostRow) -> str:
    """Name where money goes, such as `answer: gpt-large`."""
    return f"{line.stage}: {model_name(line)}" if line.stage else model_name(line)


def mean_latency(stages: Sequence[StageDelta], arm: str) -> float | None:
    """Return an arm's mean latency in ms: its stages add up to it; None where none was timed."""
    if not stages:
        return None
    times = (stage.control if arm == CONTROL else stage.treatment for stage in stages)
    return finite(math.fsum(time.mean_ms for time in times))


def what_moved(stages: Sequence[StageDelta]) -> str:
    """Say which stage made it slower, or faster; empty where no stage was timed."""
    if not stages:
        return ""
    moved = [stage for stage in stages if standing_of(stage.mean) is not Standing.OPEN]
    moved.sort(key=lambda stage: -abs(stage.mean.difference or 0.0))
    if not moved:
        return "No stage moved by more than the noise."
    said = [_moved_text(stage) for stage in moved[:NAMED]]
    return f"{', '.join(said)}; {_others(moved[NAMED:])}."


def latency_change(stages: Sequence[StageDelta]) -> str:
    """Say what a call takes under both variants; empty where no stage was timed."""
    before, after = mean_latency(stages, CONTROL), mean_latency(stages, TREATMENT)
    if before is None or after is None:
        return ""
    took = f"A call takes {amount(after, 'ms')} on average"
    return f"{took}, where control takes {amount(before, 'ms')}."


def cost_rows(arms: Mapping[str, ArmSummary]) -> tuple[CostRow, ...]:
    """Return where the money goes, by stage and model, the dearest first."""
    lines = {
        arm: {(line.stage, line.model): line for line in arms[arm].costs} if arm in arms else {}
        for arm in (CONTROL, TREATMENT)
    }
    places = dict.fromkeys((*lines[TREATMENT], *lines[CONTROL]))
    rows = [
        CostRow(
            stage=stage,
            model=model,
            control=lines[CONTROL].get((stage, model)),
            treatment=lines[TREATMENT].get((stage, model)),
        )
        for stage, model in places
    ]
    return tuple(sorted(rows, key=lambda row: -max(_usd(row.control), _usd(row.treatment))))


def cost_per_1k(arm: ArmSummary) -> float:
    """Return what 1,000 calls of a variant cost, in USD."""
    return float(arm.cost_usd) / max(arm.calls, 1) * 1000


def cost_change(report: ReplayReport) -> str:
    """Say what 1,000 requests cost under both variants, and what the change comes from."""
    if CONTROL not in report.arms or TREATMENT not in report.arms:
        return ""
    before, after = (cost_per_1k(report.arms[arm]) for arm in (CONTROL, TREATMENT))
    text = f"1,000 requests cost {amount(after, 'usd')}, under control {amount(before, 'usd')}"
    text += f" ({change(after / before - 1, 'relative')})" if before > 0 and after != before else ""
    rows = [row for row in cost_rows(report.arms) if row.difference]
    dearest = max(rows, key=lambda row: abs(row.difference), default=None)
    if dearest is not None and len(rows) > 1:
        text += f"; most of the change: {cost_place(dearest)}, {change(dearest.difference, 'usd')}"
    return f"{text}."


def segment_rows(report: ReplayReport) -> tuple[SegmentRow, ...]:
    """Return the segments, the surely harmed ones first, else in the order of the report.

    Harmed is what stays so with Holm's correction over the values of one key.
    """
    harmed = harmed_segments(report.segments)
    rows = [
        SegmentRow(name=name, effect=effect, standing=_standing(effect, name in harmed))
        for name, effects in report.segments.items()
        for effect in effects
    ]
    return tuple(sorted(rows, key=lambda row: row.standing is not Standing.HARMED))


def _standing(effect: Effect, is_harmed: bool) -> Standing:
    if is_harmed:
        return Standing.HARMED
    alone = standing_of(effect)
    return Standing.OPEN if alone is Standing.HARMED else alone


def worst_segment(report: ReplayReport) -> SegmentRow | None:
    """Return the segment that lost most; None where none lost anything."""
    known = [row for row in segment_rows(report) if finite(row.effect.difference) is not None]
    return min((row for row in known if _gain(row) < 0), key=_gain, default=None)


def segments_text(rows: Iterable[SegmentRow]) -> str:
    """Say which segments are harmed."""
    found = list(rows)
    harmed = [row.name for row in found if row.standing is Standing.HARMED]
    if not harmed:
        return f"No segment of {len(found)} is surely harmed."
    rest = len(harmed) - NAMED
    names = ", ".join(harmed[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
    return f"{len(harmed)} of {counted(len(found), 'segment')} surely harmed: {names}."


def variance_text(split: VarianceSplit | None) -> str:
    """Say where the spread comes from, and whether more requests or more repeats would help.

    The variance of the mean difference is (between + within / R) / n; with between 0.04,
    within 0.01 and R = 1 it is 80 % the requests, and a second answer to each narrows the
    interval by 1 - sqrt(0.045 / 0.05) = 5.1 %.
    """
    if split is None or split.repeats < 1:
        return ""
    total = split.between + split.within
    now = split.between + split.within / split.repeats
    if not (math.isfinite(total) and total > 0 and now > 0):
        return ""
    narrower = 1 - math.sqrt((split.between + split.within / (2 * split.repeats)) / now)
    share = f"{split.between / total * 100:.0f} % of the spread is between requests"
    if narrower < HARDLY:
        return f"{share}: more requests help, more repeats hardly do."
    return (
        f"{share}: twice the repeats would narrow the interval by {narrower * 100:.0f} %, "
        "twice the requests by 29 %."
    )


def paid_words(arm: ArmSummary) -> tuple[str, ...]:
    """Say what of an arm's answers was kept from before, and what was asked again."""
    counts = ((arm.kept_calls, "answer"), (arm.repeated_attempts, "attempt"))
    words = ("kept from earlier replays", "repeated")
    return tuple(
        f"{counted(count, noun)} {done}"
        for (count, noun), done in zip(counts, words, strict=True)
        if count
    )


def error_kinds(arms: Mapping[str, ArmSummary]) -> tuple[str, ...]:
    """Return the kinds of error that occurred, in the order of the arms."""
    return tuple(dict.fromkeys(kind for arm in arms.values() for kind in arm.errors))


def _moved_text(stage: StageDelta) -> str:
    name = "what lies outside any stage" if stage.stage == REST else stage.stage
    difference = stage.mean.difference or 0.0
    verb = "added" if difference > 0 else "saved"
    ends = [abs(end) for end in (stage.mean.low, stage.mean.high) if end is not None]
    low, high = min(ends), max(ends)
    return f"{name} {verb} {amount(abs(difference), 'ms')} [{number(low)}, {number(high)}]"


def _others(rest: Sequence[StageDelta]) -> str:
    if not rest:
        return "nothing else moved by more than the noise"
    most = max(abs(stage.mean.difference or 0.0) for stage in rest)
    return f"{counted(len(rest), 'other stage')} moved by at most {amount(most, 'ms')}"


def _gain(row: SegmentRow) -> float:
    return row.effect.sign * (row.effect.difference or 0.0)


def _usd(line: CostLine | None) -> float:
    return 0.0 if line is None else line.usd_per_1k

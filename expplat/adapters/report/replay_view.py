"""All that the page of a replay draws, computed before the first tag is written."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from expplat.adapters.report import breakdown_reading as breakdown
from expplat.adapters.report import replay_reading as reading
from expplat.adapters.report.story_line import gate_of
from expplat.adapters.report.svg_plots import Forest, forest
from expplat.adapters.report.svg_scale import reach_of
from expplat.adapters.report.svg_waterfall import Waterfall, waterfall
from expplat.domain.breakdown import RequestDelta
from expplat.domain.gate import Effect, Gate, GateKind, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport

FIRST_SHOWN = 5
"""Requests of a list that stand open; the others are folded away."""

CHANCE_FROM = 5
"""From so many segments on, the page says that some leave zero by chance."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EffectRow:
    """An effect with its plot."""

    name: str
    effect: Effect
    standing: reading.Standing
    plot: Forest | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestList:
    """The requests that moved most in one direction."""

    title: str
    shown: tuple[RequestDelta, ...]
    folded: tuple[RequestDelta, ...]

    @property
    def has_words(self) -> bool:
        """Whether the texts were kept, not the values alone."""
        return any(
            row.asked or row.control_answer or row.treatment_answer
            for row in (*self.shown, *self.folded)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayView:
    """A replay, ready to be drawn; what has nothing to say is empty, and its section left out."""

    report: ReplayReport
    headline: str
    claim: str
    """Claimed, replayed and how much of the claim that is, in a line."""

    measured: str
    reproduction: reading.Reproduction
    unit: str
    """Of the primary metric."""

    metrics: tuple[EffectRow, ...]
    latency: str
    moved: str
    waterfall: Waterfall | None
    cost: str
    costs: tuple[breakdown.CostRow, ...]
    segments: tuple[EffectRow, ...]
    segments_text: str
    requests: tuple[RequestList, ...]
    error_kinds: tuple[str, ...]
    variance: str
    trust: EffectRow | None
    trust_verdict: Verdict | None

    @property
    def has_noise(self) -> bool:
        """Whether control was held against itself."""
        return any(row.effect.noise_low is not None for row in self.metrics)

    @property
    def many_segments(self) -> bool:
        """Whether some of them must look moved by chance."""
        return len(self.segments) >= CHANCE_FROM


def view_of(report: ReplayReport, proposal: Proposal) -> ReplayView:
    """Read a report once, for its page."""
    primary = proposal.problem.primary_metric
    effect = report.effect_on(primary)
    segments = breakdown.segment_rows(report)
    trusted = _trust_verdict(report)
    return ReplayView(
        report=report,
        headline=reading.headline(report),
        claim=reading.claim_sentence(report, proposal),
        measured=reading.measured_text(report),
        reproduction=reading.reproduction_of(report, proposal),
        unit=effect.unit if effect else "",
        metrics=tuple(_row(one, gate_of(report.verdicts, one.metric)) for one in report.effects),
        latency=breakdown.latency_change(report.stages),
        moved=breakdown.what_moved(report.stages),
        waterfall=waterfall(report.stages),
        cost=breakdown.cost_change(report),
        costs=breakdown.cost_rows(report.arms),
        segments=_segment_rows(segments, report, primary),
        segments_text=breakdown.segments_text(segments) if segments else "",
        requests=tuple(_lists(report)),
        error_kinds=breakdown.error_kinds(report.arms),
        variance=breakdown.variance_text(report.variance),
        trust=None
        if report.trust is None
        else _row(report.trust, trusted.gate if trusted else None),
        trust_verdict=trusted,
    )


def _row(effect: Effect, gate: Gate | None) -> EffectRow:
    return EffectRow(
        name=effect.metric,
        effect=effect,
        standing=reading.standing_of(effect),
        plot=forest(effect, gate),
    )


def _segment_rows(
    rows: Iterable[breakdown.SegmentRow], report: ReplayReport, primary: str
) -> tuple[EffectRow, ...]:
    """Place the segments on one scale."""
    found = tuple(rows)
    gate = gate_of(report.verdicts, primary)
    reach = reach_of(row.effect for row in found)
    return tuple(
        EffectRow(
            name=row.name,
            effect=row.effect,
            standing=row.standing,
            plot=forest(row.effect, gate, reach),
        )
        for row in found
    )


def _lists(report: ReplayReport) -> Iterable[RequestList]:
    for rows, verb in ((report.worst, "lost"), (report.best, "gained")):
        if rows:
            yield RequestList(
                title=f"Requests that {verb} most",
                shown=rows[:FIRST_SHOWN],
                folded=rows[FIRST_SHOWN:],
            )


def _trust_verdict(report: ReplayReport) -> Verdict | None:
    trusted = (v for v in report.verdicts if v.gate.kind is GateKind.REPLAY_TRUST)
    return next(trusted, None)

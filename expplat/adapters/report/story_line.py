"""The line that every page leads with: claimed → replayed → online, each with its source."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from expplat.adapters.report.formatting import claim_text, metric_of
from expplat.adapters.report.svg_plots import number_of_days
from expplat.adapters.report.svg_scale import reach_of
from expplat.domain.gate import METRIC_GATES, Effect, Gate, GateKind, Verdict
from expplat.domain.metric import Metric
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.domain.story import Story
from expplat.domain.wording import NOTHING_YET, interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One of the three numbers of the line claimed → replayed → online."""

    label: str
    metric: str
    text: str
    """The number with its interval."""

    source: str
    """Where the number is from."""

    effect: Effect | None
    """For the plot; None where there is no number yet."""

    gate: Gate | None = None


def line_of(story: Story) -> tuple[Step, Step, Step]:
    """Return the line that every page leads with: claimed, replayed, online."""
    return (
        claimed_step(story.proposal),
        replayed_step(story.proposal, story.replay),
        online_step(story),
    )


def reaches_of(steps: Sequence[Step]) -> dict[str, float]:
    """Return by unit how far its numbers reach, so that those of one unit share a scale."""
    effects = [step.effect for step in steps if step.effect]
    return {
        effect.unit: reach_of(other for other in effects if other.unit == effect.unit)
        for effect in effects
    }


def claimed_step(proposal: Proposal) -> Step:
    """Return what the paper claims, in the unit of the in-house metric it is held against."""
    claim = proposal.paper.claim
    held_against = metric_of(proposal.problem.primary_metric, proposal)
    unit = held_against.unit if held_against else ""
    place = ", ".join(part for part in (claim.table, claim.dataset) if part)
    return Step(
        label="claimed",
        metric=claim.metric,
        text=claim_text(claim, unit),
        source=f"{proposal.paper.reference}; {place}",
        effect=_published(proposal, held_against),
    )


def _published(proposal: Proposal, held_against: Metric | None) -> Effect:
    """Return the claim as an effect, so that it is drawn beside the measured ones."""
    claim = proposal.paper.claim
    return Effect(
        metric=claim.metric,
        unit=held_against.unit if held_against else "",
        sign=held_against.direction.sign if held_against else 1,
        control=None,
        treatment=None,
        difference=claim.effect,
        low=claim.effect_low,
        high=claim.effect_high,
        p=None,
        n_control=0,
        n_treatment=0,
        method="as published",
    )


def replayed_step(proposal: Proposal, report: ReplayReport | None) -> Step:
    """Return what the replay of our own requests measured."""
    primary = proposal.problem.primary_metric
    effect = report.effect_on(primary) if report else None
    source = "not replayed yet"
    if report is not None:
        source = f"{report.plan.requests:,} recorded requests"
        source += f"; {effect.method}" if effect else ""
    return Step(
        label="replayed",
        metric=primary,
        text=interval(effect),
        source=source,
        effect=effect,
        gate=gate_of(report.verdicts if report else (), primary),
    )


def online_step(story: Story) -> Step:
    """Return what the newest look at production traffic measured."""
    effect = story.online
    success = next(
        (gate for gate in story.proposal.online.gates if gate.kind is GateKind.SUPERIORITY), None
    )
    source = "no look at production traffic yet"
    if story.looks:
        newest = story.looks[-1]
        days = number_of_days(newest)
        source = f"{newest.snapshot.units:,} units, look {newest.position + 1}, day {days}"
    return Step(
        label="online",
        metric=(success.metric if success else None) or NOTHING_YET,
        text=interval(effect),
        source=source,
        effect=effect,
        gate=success,
    )


def gate_of(verdicts: tuple[Verdict, ...], metric: str) -> Gate | None:
    """Return the first gate that judges a metric over all requests; None where none does."""
    gates = (verdict.gate for verdict in verdicts if verdict.gate.kind in METRIC_GATES)
    return next((gate for gate in gates if gate.metric == metric and not gate.segment), None)

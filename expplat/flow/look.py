"""look: one reading of an online test, from events to verdicts.

A look that may decide spends a part of the error budget (Lan–DeMets, O'Brien–Fleming type), so it
is written down once and never taken twice on the same events. A look that comes too early to
decide (fewer units or days than the plan asks for) spends nothing: it only watches for harm, with
an interval that holds however often it is read.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from expplat.domain.gate import Effect, Gate, Ruling, Verdict
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.online import ArmStatistics, Look, Moments, Snapshot
from expplat.domain.plain import to_plain
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import OnlinePlan, Proposal
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.errors import StageError
from expplat.flow.desk import Desk
from expplat.gates import judge
from expplat.gates.health import health_verdicts
from expplat.stats import sequential, two_sample
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.srm import sample_ratio

HARM_ALPHA = 0.01
"""Chance that a harmless guardrail is ever called harmed, however often the test is looked at."""

EQUAL_SHARES = (0.5, 0.5)


def take_look(poc: Poc, proposal: Proposal, desk: Desk) -> Look:
    """Read the running test: add up the events, judge every gate, write the look down.

    Safe to repeat: without new events the newest look is returned as it was written, unless time
    alone has made the test ripe for a decision.

    Raises:
        StageError: If no test of the POC is running.
    """
    if poc.stage is not Stage.PROMOTED:
        raise StageError(
            f"{poc.slug} is {poc.stage}; no test of it is running.",
            hint="`expplat promote` starts one, once every offline gate has passed.",
        )
    phase, plan = poc.newest.phase, proposal.online
    with desk.uow as uow:
        past = uow.looks.of(poc.slug, phase)
        if past and past[-1].information_fraction >= 1:
            return past[-1]
        snapshot = uow.events.snapshot(
            slug=poc.slug,
            phase=phase,
            metrics=plan.metrics,
            started_at=started_at(poc),
            now=desk.now(),
        )
        if past and is_repeat(past[-1], snapshot, plan):
            return past[-1]
        look = read(plan, snapshot, past)
        uow.looks.add(look)
        uow.commit()
    return look


def evidence_of(look: Look) -> dict[str, Any]:
    """Return what a transition keeps of the look that it stands on."""
    return {"look": look.position, "verdicts": to_plain(look.verdicts)}


def started_at(poc: Poc) -> datetime:
    """Return when the newest phase was opened."""
    phase = poc.newest.phase
    return next(
        step.at for step in poc.history if step.phase == phase and step.stage is Stage.PROMOTED
    )


def is_repeat(newest: Look, snapshot: Snapshot, plan: OnlinePlan) -> bool:
    """Whether a snapshot has nothing to add to the newest look."""
    if snapshot.watermark != newest.snapshot.watermark:
        return False
    return is_decisive(snapshot, plan) == (newest.information_fraction > 0) and not (
        snapshot.days >= plan.max_days > newest.snapshot.days
    )


def is_decisive(snapshot: Snapshot, plan: OnlinePlan) -> bool:
    """Whether there are units and days enough for a look that may decide."""
    fewest = min(_arm(snapshot, CONTROL).units, _arm(snapshot, TREATMENT).units)
    return fewest >= plan.health.min_units and snapshot.days >= plan.health.min_days


def read(plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]) -> Look:
    """Judge every gate of the plan on a snapshot; pure, so that a look can be read again."""
    fraction = _information_fraction(plan, snapshot)
    spent = [look.information_fraction for look in past if look.information_fraction > 0]
    counts = (_arm(snapshot, CONTROL).units, _arm(snapshot, TREATMENT).units)
    ratio = sample_ratio(counts, EQUAL_SHARES) if sum(counts) else None
    metrics = {metric.name: metric for metric in plan.metrics}
    verdicts = health_verdicts(
        plan.health, snapshot, plan.metrics, srm_p=ratio.p if ratio else None
    )
    for gate in plan.gates:
        metric = metrics[gate.metric or ""]
        fractions = (*spent, fraction) if fraction else ()
        verdicts = (*verdicts, _judge(gate, metric, snapshot, plan, fractions))
    return Look(
        slug=snapshot.slug,
        phase=snapshot.phase,
        position=len(past),
        information_fraction=fraction,
        snapshot=snapshot,
        verdicts=verdicts,
    )


def _judge(
    gate: Gate, metric: Metric, snapshot: Snapshot, plan: OnlinePlan, fractions: tuple[float, ...]
) -> Verdict:
    """Judge one metric gate: harm at any look, everything else only at a decisive one."""
    watched = judge(gate, _watched_effect(gate, metric, snapshot, plan), sized=True)
    if watched.ruling is Ruling.FAIL and gate.margin is not None:
        return watched
    if fractions:
        return judge(gate, _decisive_effect(gate, metric, snapshot, fractions), sized=True)
    if watched.effect is None or watched.effect.low is None:
        return watched
    sentence = f"Too early to decide. {watched.sentence}"
    return replace(watched, ruling=Ruling.UNKNOWN, sentence=sentence)


def _watched_effect(gate: Gate, metric: Metric, snapshot: Snapshot, plan: OnlinePlan) -> Effect:
    """Return the effect with an interval that holds at all looks together."""
    control, treatment = _moments(snapshot, CONTROL, metric), _moments(snapshot, TREATMENT, metric)
    if min(control.n, treatment.n) < plan.hold.min_units:
        few = f"Fewer than {plan.hold.min_units} units in a variant."
        return _effect(
            metric,
            control,
            treatment,
            not_estimable(n=control.n + treatment.n, method=sequential.ANYTIME, reason=few),
        )
    found = sequential.anytime_interval(
        treatment.mean - control.mean,
        _standard_error(metric, control, treatment),
        control.n + treatment.n,
        alpha=min(HARM_ALPHA, gate.alpha),
        n_tuned=plan.max_units,
    )
    return _effect(metric, control, treatment, found)


def _decisive_effect(
    gate: Gate, metric: Metric, snapshot: Snapshot, fractions: tuple[float, ...]
) -> Effect:
    """Return the effect with its repeated interval at this look."""
    control, treatment = _moments(snapshot, CONTROL, metric), _moments(snapshot, TREATMENT, metric)
    found = sequential.repeated_interval(
        estimate=treatment.mean - control.mean,
        standard_error=_standard_error(metric, control, treatment),
        boundary=sequential.boundaries(fractions, alpha=gate.alpha)[-1],
        n=control.n + treatment.n,
    )
    return _effect(metric, control, treatment, found)


def _standard_error(metric: Metric, control: Moments, treatment: Moments) -> float | None:
    is_proportion = metric.kind is MetricKind.PROPORTION
    return two_sample.standard_error(
        control, treatment, pooled_floor=True, proportion=is_proportion
    )


def _effect(metric: Metric, control: Moments, treatment: Moments, found: Interval) -> Effect:
    has_both = bool(control.n and treatment.n)
    return Effect(
        metric=metric.name,
        unit=metric.unit,
        sign=metric.direction.sign,
        control=control.mean if control.n else None,
        treatment=treatment.mean if treatment.n else None,
        difference=treatment.mean - control.mean if has_both else None,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=control.n,
        n_treatment=treatment.n,
        method=found.method,
        warnings=found.warnings,
    )


def _information_fraction(plan: OnlinePlan, snapshot: Snapshot) -> float:
    if not is_decisive(snapshot, plan):
        return 0.0
    if snapshot.days >= plan.max_days:
        return 1.0
    return min(1.0, snapshot.units / plan.max_units)


def _moments(snapshot: Snapshot, variant: str, metric: Metric) -> Moments:
    return _arm(snapshot, variant).metrics.get(metric.name, Moments(n=0, mean=0.0, m2=0.0))


def _arm(snapshot: Snapshot, variant: str) -> ArmStatistics:
    return snapshot.arms.get(variant, ArmStatistics(units=0, metrics={}))

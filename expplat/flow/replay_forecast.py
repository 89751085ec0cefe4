"""forecast of a replay: what it will take and what it can tell, before any call is made."""

from __future__ import annotations

from collections.abc import Iterable

from expplat.domain.forecast import Forecast, GateForecast, RepeatForecast
from expplat.domain.gate import Gate, GateKind
from expplat.domain.poc import Poc, Stage
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    TREATMENT,
    ReplayPlan,
    ReplayReport,
    ReplayRow,
)
from expplat.domain.request import logged_system
from expplat.flow.bench import Bench, planned
from expplat.flow.desk import Desk
from expplat.flow.ports import UnitOfWork
from expplat.flow.replay_planning import spread_of
from expplat.stats import power
from expplat.stats.repeats import RepeatSplit, repeats_that_pay

POWER = 0.8
"""Chance with which a gate is to tell its effect from nothing."""


def forecast(slug: str, *, desk: Desk, bench: Bench) -> Forecast:
    """Return what the next replay of a POC will take, and what it can tell.

    Cost, time and spread are those of the newest replay of the POC, of whatever revision, also of
    one that its budget ended; without one, only the calls are known. The calls are those of all
    treatments; what the gates can tell is said of the first.

    Raises:
        StageError: If the POC cannot be replayed.
        FaultsError: If the log or the code is broken.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        poc.must_be_open_for(Stage.REPLAYED)
        proposal = desk.proposal_of(poc)
        known = _newest_replay(poc, uow)
    calls = left = 0
    for treatment in reversed(proposal.variants.treatments):
        with planned(poc, proposal, bench, 1, treatment) as plan:
            calls += calls_of(plan)
            left += max(0, calls_of(plan) - calls_made(plan, bench.journal.rows(plan)))
    return Forecast(
        slug=slug,
        requests=plan.requests,
        calls=calls,
        calls_left=left,
        usd=_usd_of_call(known) * left if known else None,
        minutes=minutes_of(known, plan, left) if known else None,
        gates=tuple(_gate(gate, plan, known) for gate in proposal.offline_gates),
        repeats=_repeats(known, plan) if known else (),
        primary_unit=_unit(plan, proposal.problem.primary_metric),
        learnt_from=known.plan.replay_id if known else "",
    )


def _newest_replay(poc: Poc, uow: UnitOfWork) -> ReplayReport | None:
    for step in reversed(poc.history):
        if step.stage is Stage.REPLAYED:
            return uow.replays.find(step.evidence["replay_id"])
    return None


def calls_of(plan: ReplayPlan) -> int:
    """Return the calls of a whole replay; a recording is not called, nor held against itself."""
    called = _called(plan)
    again = min(plan.measurement.aa_requests, plan.requests) if CONTROL in called else 0
    return len(called) * plan.rows + again


def calls_made(plan: ReplayPlan, rows: Iterable[ReplayRow]) -> int:
    """Return how many of these calls the journalled rows hold."""
    called = _called(plan)
    if CONTROL in called:
        called |= {CONTROL_AGAIN}
    return sum(len(called.intersection(row.calls)) for row in rows)


def minutes_of(report: ReplayReport, plan: ReplayPlan, calls: int) -> float:
    """Return the minutes of so many calls like a report's, as many at once as the plan allows."""
    if report.stages:
        both_ms = sum(one.control.mean_ms + one.treatment.mean_ms for one in report.stages)
    else:
        both_ms = sum(report.arms[arm].latency_p50_ms for arm in (CONTROL, TREATMENT))
    at_once = plan.measurement.workers * plan.measurement.concurrency
    return calls * both_ms / 2 / at_once / 60_000


def _called(plan: ReplayPlan) -> frozenset[str]:
    """Return the arms that are called."""
    variants = {CONTROL: plan.control, TREATMENT: plan.treatment}
    return frozenset(arm for arm, one in variants.items() if logged_system(one.use) is None)


def _usd_of_call(report: ReplayReport) -> float:
    """Return what a call cost, of those that were paid for at all."""
    arms = [report.arms[arm] for arm in sorted(_called(report.plan))]
    calls = sum(arm.calls for arm in arms)
    return float(sum(arm.cost_usd for arm in arms)) / calls if calls else 0.0


def _gate(gate: Gate, plan: ReplayPlan, known: ReplayReport | None) -> GateForecast:
    metric = next(metric for metric in plan.metrics if metric.name == gate.metric)
    effect = known.effect_on(metric.name) if known and not gate.segment else None
    sd = None if effect is None else spread_of(effect)
    applies = effect.n_control / max(1, known.measured) if effect and known else 1.0
    requests = round(plan.requests * min(1.0, applies))
    smallest = None
    if sd is not None and requests:
        smallest = power.smallest_effect(requests, (sd**2, 0.0), alpha=gate.alpha, power=POWER)
    return GateForecast(
        metric=metric.name,
        unit=metric.unit,
        segment=gate.segment or "",
        asked=(gate.min_effect if gate.kind is GateKind.SUPERIORITY else gate.margin) or 0.0,
        requests=requests,
        sd=sd,
        smallest_effect=smallest,
    )


def _unit(plan: ReplayPlan, metric: str) -> str:
    return next(one.unit for one in plan.metrics if one.name == metric)


def _repeats(report: ReplayReport, plan: ReplayPlan) -> tuple[RepeatForecast, ...]:
    if report.variance is None:
        return ()
    split = RepeatSplit(between=report.variance.between, within=report.variance.within)
    return tuple(
        RepeatForecast(
            repeats=worth.repeats,
            calls=len(_called(plan)) * plan.requests * worth.repeats,
            usd=len(_called(plan)) * plan.requests * worth.repeats * _usd_of_call(report),
            smallest_effect=power.smallest_effect(1, (worth.standard_error**2, 0.0), power=POWER),
        )
        for worth in repeats_that_pay(split, requests=plan.requests)
    )

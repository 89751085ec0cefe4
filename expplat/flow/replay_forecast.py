"""forecast of a replay: what it will take and what it can tell, before any call is made."""

from __future__ import annotations

from expplat.domain.forecast import Forecast, GateForecast, RepeatForecast
from expplat.domain.gate import Gate, GateKind
from expplat.domain.poc import Poc, Stage
from expplat.domain.replay import CONTROL, TREATMENT, ReplayPlan, ReplayReport
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
    one that its budget ended; without one, only the calls are known.

    Raises:
        StageError: If the POC cannot be replayed.
        FaultsError: If the log or the code is broken.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        poc.must_be_open_for(Stage.REPLAYED)
        proposal = desk.proposal_of(poc)
        known = _newest_replay(poc, uow)
    with planned(poc, proposal, bench, attempt=1) as plan:
        calls = _calls(plan)
        left = calls - sum(len(row.calls) for row in bench.journal.rows(plan))
        return Forecast(
            slug=slug,
            requests=plan.requests,
            calls=calls,
            calls_left=max(0, left),
            usd=_usd_of_call(known) * left if known else None,
            minutes=_minutes(known, plan, left) if known else None,
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


def _calls(plan: ReplayPlan) -> int:
    return 2 * plan.rows + min(plan.measurement.aa_requests, plan.requests)


def _usd_of_call(report: ReplayReport) -> float:
    arms = [report.arms[arm] for arm in (CONTROL, TREATMENT) if arm in report.arms]
    calls = sum(arm.calls for arm in arms)
    return float(sum(arm.cost_usd for arm in arms)) / calls if calls else 0.0


def _minutes(report: ReplayReport, plan: ReplayPlan, calls: int) -> float:
    """Return the minutes of so many calls, as many at once as the plan allows."""
    both_ms = [one.control.mean_ms + one.treatment.mean_ms for one in report.stages]
    mean_ms = sum(both_ms) / 2
    at_once = plan.measurement.workers * plan.measurement.concurrency
    return calls * mean_ms / at_once / 60_000


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
            calls=2 * plan.requests * worth.repeats,
            usd=2 * plan.requests * worth.repeats * _usd_of_call(report),
            smallest_effect=power.smallest_effect(1, (worth.standard_error**2, 0.0), power=POWER),
        )
        for worth in repeats_that_pay(split, requests=plan.requests)
    )

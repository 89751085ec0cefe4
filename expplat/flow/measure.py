"""From a plan to a report: run the engine, look, judge, and stop where the answer is clear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from expplat.domain.gate import Gate, Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import Limits, ReplayPlan, ReplayReport, joint_ruling
from expplat.flow import evidence
from expplat.flow.bench import Bench
from expplat.flow.evidence import Gathered
from expplat.flow.evidence_verdicts import unruled
from expplat.flow.ports import Clock, Engine, Progress
from expplat.stats.early_stop import nominal_alpha


@dataclass(frozen=True, slots=True, kw_only=True)
class Runner:
    """What runs a replay, how far it may go, and who is told."""

    engine: Engine
    progress: Progress
    now: Clock
    budget_usd: float | None = None
    """In place of the proposal's; None leaves that as it is."""

    budget_minutes: float | None = None

    def limits(self, plan: ReplayPlan, round_: int) -> Limits:
        """Return how far the engine goes in a round."""
        asked = plan.measurement
        return Limits(
            round=round_,
            budget_usd=asked.budget_usd if self.budget_usd is None else self.budget_usd,
            budget_minutes=(
                asked.budget_minutes if self.budget_minutes is None else self.budget_minutes
            ),
        )


def measure(plan: ReplayPlan, proposal: Proposal, bench: Bench, runner: Runner) -> ReplayReport:
    """Run a replay and judge its offline gates.

    With `early_stop` the requests are taken in random parts. After each part the gates are judged
    on what there is, at the level that this look may spend, and the replay ends when every gate has
    passed or one has failed.

    A replay that its budget ended is judged as `unknown` throughout: what is missing may be what
    matters.
    """
    started_at = runner.now()
    fractions: list[float] = []
    for round_ in range(1, plan.rounds + 1):
        cut = runner.engine.run(plan, runner.progress, runner.limits(plan, round_))
        found = _look(plan, proposal, bench, fractions)
        if cut:
            report = _report(plan, runner, started_at, found, stopped=cut)
            return replace(report, is_cut=True, verdicts=unruled(report.verdicts, cut))
        if round_ < plan.rounds and _is_clear(found.verdicts, proposal.offline_gates):
            why = f"The answer was clear after {found.measured:,} of {plan.requests:,} requests."
            return _report(plan, runner, started_at, found, stopped=why)
    return _report(plan, runner, started_at, found)


def _look(plan: ReplayPlan, proposal: Proposal, bench: Bench, fractions: list[float]) -> Gathered:
    """Return what is known now, each gate judged at the level that this look may spend."""
    if plan.rounds == 1:
        return evidence.gathered(plan, proposal, bench.journal, lambda gate: gate.alpha)
    is_last = len(fractions) == plan.rounds - 1
    share = evidence.measured_requests(plan, bench.journal) / plan.requests
    fractions.append(1.0 if is_last else share)
    times = tuple(fractions)
    return evidence.gathered(
        plan, proposal, bench.journal, lambda gate: nominal_alpha(times, gate.alpha)
    )


def _is_clear(verdicts: tuple[Verdict, ...], gates: tuple[Gate, ...]) -> bool:
    """Whether more requests could hardly change what becomes of the POC.

    A gate on every value of a segment may not have met a rare one yet; so it can only fail early.
    """
    ruling = joint_ruling(verdicts)
    if any((gate.segment or "").endswith("=*") for gate in gates):
        return ruling is Ruling.FAIL
    return ruling is not Ruling.UNKNOWN


def _report(
    plan: ReplayPlan, runner: Runner, started_at: datetime, found: Gathered, *, stopped: str = ""
) -> ReplayReport:
    return ReplayReport(
        plan=plan,
        engine=runner.engine.name,
        started_at=started_at,
        finished_at=runner.now(),
        arms=found.arms,
        effects=found.effects,
        segments=found.segments,
        verdicts=found.verdicts,
        worst=found.worst,
        best=found.best,
        stages=found.stages,
        variance=found.variance,
        trust=found.trust,
        measured=found.measured,
        stopped=stopped,
    )

"""From a plan to a report: run the engine, look, judge, and stop where the answer is clear."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import Limits, ReplayPlan, ReplayReport, joint_ruling
from expplat.flow import evidence
from expplat.flow.bench import Bench
from expplat.flow.evidence import Gathered
from expplat.flow.evidence_verdicts import unruled
from expplat.flow.ports import Clock, Engine, Journal, Progress
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

    def limits(self, plan: ReplayPlan) -> Limits:
        """Return how far the engine goes."""
        asked = plan.measurement
        return Limits(
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
    looks = _Looks(plan, proposal, bench.journal)
    cut = runner.engine.run(plan, runner.progress, runner.limits(plan), looks.is_clear)
    found = looks.last()
    report = _report(plan, runner, started_at, found)
    if cut:
        return replace(report, stopped=cut, is_cut=True, verdicts=unruled(report.verdicts, cut))
    if found.measured < plan.requests:
        why = f"The answer was clear after {found.measured:,} of {plan.requests:,} requests."
        return replace(report, stopped=why)
    return report


class _Looks:
    """The looks at a replay while it runs, and the last one."""

    def __init__(self, plan: ReplayPlan, proposal: Proposal, journal: Journal) -> None:
        self._plan = plan
        self._proposal = proposal
        self._journal = journal
        self._shares: list[float] = []
        self._newest: Gathered | None = None

    def is_clear(self, round_: int) -> bool:
        """Whether a look after this round finds an answer that more would hardly change."""
        measured = evidence.measured_requests(self._plan, self._journal)
        self._shares.append(measured / self._plan.requests)
        found = self._look()
        is_clear = _is_clear(found.verdicts, self._proposal.offline_gates)
        self._newest = found if is_clear else None
        return is_clear

    def last(self) -> Gathered:
        """Return the look that ended the replay, or one at all that there is."""
        if self._newest is not None:
            return self._newest
        if self._plan.rounds > 1:
            self._shares.append(1.0)
        return self._look()

    def _look(self) -> Gathered:
        """Judge each gate on what there is, at the level that this look may spend."""
        shares = tuple(self._shares)

        def alpha_of(gate: Gate) -> float:
            return nominal_alpha(shares, gate.alpha) if shares else gate.alpha

        return evidence.gathered(self._plan, self._proposal, self._journal, alpha_of)


def _is_clear(verdicts: tuple[Verdict, ...], gates: tuple[Gate, ...]) -> bool:
    """Whether more requests could hardly change what becomes of the POC.

    That nothing has moved yet is no evidence in a replay that may stop on it, so an effect without
    any spread proves nothing early. A gate on every value of a segment may not have met a rare one
    yet, so it can only fail early.
    """
    if any(verdict.ruling is Ruling.FAIL and _varies(verdict) for verdict in verdicts):
        return True
    if any((gate.segment or "").endswith("=*") for gate in gates):
        return False
    gains = [verdict for verdict in verdicts if verdict.gate.kind is GateKind.SUPERIORITY]
    return joint_ruling(verdicts) is Ruling.PASS and all(map(_varies, gains))


def _varies(verdict: Verdict) -> bool:
    effect = verdict.effect
    return effect is not None and effect.low != effect.high


def _report(
    plan: ReplayPlan, runner: Runner, started_at: datetime, found: Gathered
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
    )

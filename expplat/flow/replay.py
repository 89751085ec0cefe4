"""replay: the same requests through both variants, judged, committed, copied to MLflow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from expplat.domain.metric import Metric
from expplat.domain.plain import to_plain
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import Proposal
from expplat.domain.replay import (
    CONTROL,
    TREATMENT,
    ArmSummary,
    ReplayPlan,
    ReplayReport,
    ReplayRow,
)
from expplat.errors import TrackingError
from expplat.flow import evidence
from expplat.flow.bench import Bench, planned
from expplat.flow.desk import Desk, Step, write_step
from expplat.flow.ports import (
    Clock,
    Engine,
    Progress,
    ReportPages,
    SpecReader,
    Tracking,
    UnitOfWork,
    UnitOfWorkFactory,
)
from expplat.gates import judge
from expplat.metrics.summary import arm_summary


class Replayed(NamedTuple):
    """A committed replay."""

    poc: Poc
    report: ReplayReport
    is_new: bool
    """False where the same evidence had been judged before."""


def replay(
    slug: str,
    *,
    desk: Desk,
    bench: Bench,
    engine: Engine,
    progress: Progress,
    again: bool = False,
) -> Replayed:
    """Replay the request log through control and treatment, judge the offline gates, commit.

    Safe to repeat: the same file, code, log and prices are judged once, unless `again` asks for a
    new measurement, which the history then shows as such. A replay that was cut off goes on where
    its journal ends. Copying to MLflow is a step of its own, `copy`.

    Raises:
        StageError: If the POC is neither proposed nor replayed.
        FaultsError: If the log or the code is broken.
        EngineError: If the engine gave up; what was measured stays in the journal.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        poc.must_be_open_for(Stage.REPLAYED)
        proposal = desk.proposal_of(poc)
    with planned(poc, proposal, bench, _attempt(poc, again)) as plan:
        with desk.uow as uow:
            known = uow.replays.find(plan.replay_id)
        if known and poc.newest.evidence.get("replay_id") == plan.replay_id:
            return Replayed(poc, known, is_new=False)
        report = known or _measure(plan, proposal, bench, engine, progress, desk.now)
    with desk.uow as uow:
        uow.replays.add(report)
        uow.commit()
    return Replayed(write_step(slug, _step(report), desk), report, is_new=True)


def copy(
    report: ReplayReport,
    proposal: Proposal,
    *,
    tracking: Tracking,
    pages: ReportPages,
    uow: UnitOfWork,
) -> str:
    """Copy a committed replay to MLflow and note it; return where a person can compare the runs.

    Raises:
        TrackingError: If MLflow is out of reach; the replay stands, and `sync` copies it later.
    """
    address = tracking.copy(report, proposal, pages.replay_page(report, proposal))
    with uow:
        uow.replays.mark_copied(report.plan.replay_id, address)
        uow.commit()
    return address


class Synced(NamedTuple):
    """What `sync` did."""

    copied: tuple[str, ...]
    """Ids of the replays that MLflow has received now."""

    waiting: tuple[str, ...]
    """Ids of those that it could not be given."""

    warning: str


def sync(
    *,
    reader: SpecReader,
    tracking: Tracking,
    pages: ReportPages,
    uow: UnitOfWorkFactory,
) -> Synced:
    """Copy every replay that MLflow has not received; stop at the first that it does not take."""
    with uow() as unit:
        reports = unit.replays.uncopied()
        texts = [unit.proposals.text(report.plan.proposal_sha256) for report in reports]
    copied: list[str] = []
    for report, text in zip(reports, texts, strict=True):
        proposal = reader.thaw(text)
        try:
            copy(report, proposal, tracking=tracking, pages=pages, uow=uow())
        except TrackingError as error:
            waiting = tuple(late.plan.replay_id for late in reports[len(copied) :])
            return Synced(tuple(copied), waiting, error.message)
        copied.append(report.plan.replay_id)
    return Synced(tuple(copied), (), "")


def _attempt(poc: Poc, again: bool) -> int:
    """Return which measurement of the present revision this is; 1 unless asked for again."""
    done = 0
    for step in reversed(poc.history):
        if step.stage is not Stage.REPLAYED:
            break
        done += 1
    return done + 1 if again else max(done, 1)


def _measure(
    plan: ReplayPlan,
    proposal: Proposal,
    bench: Bench,
    engine: Engine,
    progress: Progress,
    now: Clock,
) -> ReplayReport:
    started_at = now()
    engine.run(plan, progress)
    rows = tuple(bench.journal.rows(plan))
    effects = evidence.effects_of(rows, plan.metrics, proposal.offline_gates, plan.measurement)
    by_metric = {effect.metric: effect for effect in effects}
    primary = _metric(plan, proposal.problem.primary_metric)
    worst, best = evidence.extremes(rows, primary, plan.measurement)
    return ReplayReport(
        plan=plan,
        engine=engine.name,
        started_at=started_at,
        finished_at=now(),
        arms=_arms(rows),
        effects=effects,
        segments=evidence.segment_effects(rows, primary, plan.measurement),
        verdicts=tuple(
            judge(gate, by_metric.get(gate.metric or "")) for gate in proposal.offline_gates
        ),
        worst=worst,
        best=best,
    )


def _metric(plan: ReplayPlan, name: str) -> Metric:
    return next(metric for metric in plan.metrics if metric.name == name)


def _arms(rows: Sequence[ReplayRow]) -> dict[str, ArmSummary]:
    return {
        arm: arm_summary([row.calls[arm] for row in rows if arm in row.calls])
        for arm in (CONTROL, TREATMENT)
    }


def _step(report: ReplayReport) -> Step:
    passed = len(report.verdicts) - len(report.blockers)
    again = f" (measurement {report.plan.attempt})" if report.plan.attempt > 1 else ""
    return Step(
        stage=Stage.REPLAYED,
        reason=f"{passed} of {len(report.verdicts)} offline gates passed{again}.",
        evidence={
            "replay_id": report.plan.replay_id,
            "verdict_sha256": report.verdict_sha256,
            "verdicts": to_plain(report.verdicts),
        },
    )

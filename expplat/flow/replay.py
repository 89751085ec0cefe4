"""replay: the same requests through both variants, judged, committed, copied to MLflow."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from expplat.domain.gate import Verdict, blockers
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.errors import TrackingError
from expplat.flow.bench import Bench, planned
from expplat.flow.desk import Desk, Step, write_step
from expplat.flow.measure import Runner, measure
from expplat.flow.ports import (
    Journal,
    ReportPages,
    SpecReader,
    Tracking,
    UnitOfWork,
)
from expplat.flow.treatments import evidence_of_replays, replay_ids

SHOWN_OF_EACH = 10
"""Requests whose calls MLflow is given: so many of the worst, of the best, and at random."""


class Replayed(NamedTuple):
    """A committed replay, of each treatment."""

    poc: Poc
    reports: tuple[ReplayReport, ...]
    """One a treatment, the first of the proposal first."""

    is_new: bool
    """False where the same evidence had been judged before."""

    @property
    def blockers(self) -> tuple[Verdict, ...]:
        """The verdicts that keep the POC offline."""
        return tuple(verdict for report in self.reports for verdict in report.blockers)

    @property
    def is_cut(self) -> bool:
        """Whether a budget ended one of them."""
        return any(report.is_cut for report in self.reports)


def replay(slug: str, *, desk: Desk, bench: Bench, runner: Runner, again: bool = False) -> Replayed:
    """Replay the request log through control and each treatment, judge the offline gates, commit.

    Safe to repeat: the same file, code, log and prices are judged once, unless `again` asks for a
    new measurement, which the history then shows as such. A replay that was cut off, by whatever or
    by its budget, goes on where its journal ends. Copying to MLflow is a step of its own, `copy`.

    Raises:
        StageError: If the POC is neither proposed nor replayed.
        FaultsError: If the log or the code is broken.
        EngineError: If the engine gave up; what was measured stays in the journal.
        ConflictError: If the POC has moved on meanwhile, such as by a new revision.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        poc.must_be_open_for(Stage.REPLAYED)
        proposal = desk.proposal_of(poc)
    task = _Task(poc, proposal, _attempt(poc, again))
    found = [
        _measured(task, treatment, desk, bench, runner)
        for treatment in proposal.variants.treatments
    ]
    reports = tuple(report for report, _ in found)
    standing = replay_ids(poc.newest.evidence) if poc.stage is Stage.REPLAYED else {}
    is_known = all(was_known for _, was_known in found)
    if is_known and [*standing.values()] == [report.plan.replay_id for report in reports]:
        return Replayed(poc, reports, is_new=False)
    return Replayed(write_step(poc, _step(reports), desk), reports, is_new=True)


class _Task(NamedTuple):
    """What is replayed, and for which time."""

    poc: Poc
    proposal: Proposal
    attempt: int


def _measured(
    task: _Task, treatment: str, desk: Desk, bench: Bench, runner: Runner
) -> tuple[ReplayReport, bool]:
    """Return the kept report of one treatment, and whether it had been kept whole before."""
    with planned(task.poc, task.proposal, bench, task.attempt, treatment) as plan:
        with desk.uow as uow:
            known = uow.replays.find(plan.replay_id)
        if known is not None and not known.is_cut:
            return known, True
        report = measure(plan, task.proposal, bench, runner)
    with desk.uow as uow:
        uow.replays.add(report)
        uow.commit()
    return report, False


@dataclass(frozen=True, slots=True, kw_only=True)
class Copying:
    """What a copy to MLflow is made with."""

    tracking: Tracking
    journal: Journal
    uow: UnitOfWork


def copy(report: ReplayReport, proposal: Proposal, page: str, copying: Copying) -> str:
    """Copy a committed replay to MLflow and note it; return where a person can compare the runs.

    Args:
        report: What was committed.
        proposal: The revision that it stands on.
        page: The report as `ReportPages` draws it.
        copying: What it is done with.

    Raises:
        TrackingError: If MLflow is out of reach; the replay stands, and `sync` copies it later.
    """
    samples = copying.journal.samples(report.plan, _shown(report))
    address = copying.tracking.copy(report, proposal, page, samples)
    with copying.uow as uow:
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


def sync(*, reader: SpecReader, pages: ReportPages, copying: Callable[[], Copying]) -> Synced:
    """Copy every replay that MLflow has not received; stop at the first that it does not take."""
    with copying().uow as unit:
        reports = unit.replays.uncopied()
        texts = [unit.proposals.text(report.plan.proposal_sha256) for report in reports]
    copied: list[str] = []
    for report, text in zip(reports, texts, strict=True):
        proposal = reader.thaw(text)
        try:
            copy(report, proposal, pages.replay_page(report, proposal), copying())
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
        # A replay that its budget ended is committed, and once more when it is whole.
        stated = step.evidence.get("attempt")
        if stated is not None:
            done = max(done, int(stated))
            break
        done += 1
    return done + 1 if again else max(done, 1)


def _shown(report: ReplayReport) -> frozenset[int]:
    """Return the positions of the requests that MLflow shows call by call."""
    moved = (*report.worst[:SHOWN_OF_EACH], *report.best[:SHOWN_OF_EACH])
    drawn = random.Random(report.plan.replay_id)  # noqa: S311  (a sample to look at)
    some = drawn.sample(range(report.plan.requests), min(SHOWN_OF_EACH, report.plan.requests))
    return frozenset((*some, *(delta.position for delta in moved if delta.position >= 0)))


def _step(reports: tuple[ReplayReport, ...]) -> Step:
    verdicts = [verdict for report in reports for verdict in report.verdicts]
    passed = len(verdicts) - len(blockers(tuple(verdicts)))
    attempt = reports[0].plan.attempt
    again = f" (measurement {attempt})" if attempt > 1 else ""
    cut = "".join(f" {report.stopped}" for report in reports if report.is_cut)
    return Step(
        stage=Stage.REPLAYED,
        reason=f"{passed} of {len(verdicts)} offline gates passed{again}.{cut}",
        evidence=evidence_of_replays(reports),
    )

"""promote: open the flag at the first ramp step, on evidence that is still true."""

from __future__ import annotations

from collections.abc import Sequence

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayPlan, ReplayReport
from expplat.flow.bench import Bench, planned
from expplat.flow.desk import Desk, Step, Stepped, add_step
from expplat.flow.neighbours import conflicts, neighbours
from expplat.flow.plan import plan_verdicts
from expplat.flow.treatments import evidence_of_ids, replay_ids, shared_by


def promote(slug: str, *, desk: Desk, bench: Bench) -> Stepped:
    """Start the online test of a POC whose replay passed every offline gate.

    In this order: every offline verdict is `pass`; code, log and prices are still those of the
    replay; the plan has the power that it needs, and agrees with the plans of the other open flags;
    no emergency brake is on that was pulled in the dark; commit, which opens the flag. Safe to
    repeat.

    Raises:
        StageError: If the POC has not been replayed.
        FaultsError: If the code or the log that the replay stood on is broken now.
        ConflictError: If the POC has moved on meanwhile.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        if poc.stage is Stage.PROMOTED:
            held = desk.held(slug, poc.newest.phase)
            return Stepped(poc, held, f"{_running(poc)} It had been promoted.", is_new=False)
        poc.must_be_open_for(Stage.PROMOTED)
        proposal = desk.proposal_of(poc)
        ids = replay_ids(poc.newest.evidence)
        reports = [uow.replays.find(replay_id) for replay_id in ids.values()]
        clashes = _clashes(slug, proposal, desk)
    standing = (
        *desk.held(slug, poc.newest.phase + 1),
        *standing_before_promotion(poc, proposal, reports, bench),
        *clashes,
    )
    if standing:
        return Stepped(poc, standing, "", is_new=False)
    first = proposal.online.ramp_percent[0]
    step = Step(
        stage=Stage.PROMOTED,
        reason=f"Every offline gate passed; {first:g} % of the units are in the test.",
        traffic_percent=first,
        evidence=evidence_of_ids(ids),
        opens_phase=True,
    )
    with desk.uow as uow:
        uow.pocs.take_turns()
        if clashes := _clashes(slug, proposal, desk):  # another was promoted in this moment
            return Stepped(poc, clashes, "", is_new=False)
        poc = add_step(poc, step, desk)
        uow.commit()
    return Stepped(poc, (), _running(poc), is_new=True)


def _clashes(slug: str, proposal: Proposal, desk: Desk) -> tuple[Verdict, ...]:
    """Return what stands between the plan and those of the open flags; within a unit of work."""
    others = neighbours(slug, uow=desk.uow, reader=desk.reader)
    return tuple(_unknown(sentence) for sentence in conflicts(slug, proposal.online, others))


def standing_before_promotion(
    poc: Poc, proposal: Proposal, reports: Sequence[ReplayReport | None], bench: Bench
) -> tuple[Verdict, ...]:
    """Return what keeps a replayed POC from users; empty when nothing does.

    Args:
        poc: Which POC.
        proposal: Its newest revision.
        reports: The replays that the stage stands on, one a treatment; None for one that is lost.
        bench: What they were measured with.
    """
    known = [report for report in reports if report is not None]
    if len(known) < len(proposal.variants.treatments):
        return (_unknown("A replay that the stage stands on is not in the database."),)
    failed = tuple(verdict for report in known for verdict in report.blockers)
    if failed:
        return failed
    stale: list[Verdict] = []
    for report in known:
        then = report.plan
        with planned(poc, proposal, bench, then.attempt, then.arm) as plan:
            stale += [_unknown(sentence) for sentence in _changes(then, plan)]
    return tuple(stale) or plan_verdicts(shared_by(proposal.online, len(known)))


def _changes(replayed: ReplayPlan, present: ReplayPlan) -> tuple[str, ...]:
    """Name what has changed since the replay: any change makes its verdict stale."""
    compared = (
        ("the experiment file", replayed.proposal_sha256, present.proposal_sha256),
        ("the request log", replayed.log_sha256, present.log_sha256),
        ("the code of control", replayed.control_sha256, present.control_sha256),
        (f"the code of {present.arm}", replayed.treatment_sha256, present.treatment_sha256),
        ("the price table", replayed.prices, present.prices),
    )
    return tuple(
        f"The verdict is stale: {what} changed since the replay; replay again."
        for what, then, today in compared
        if then != today
    )


def _unknown(sentence: str) -> Verdict:
    return Verdict(gate=Gate(kind=GateKind.DATA_QUALITY), ruling=Ruling.UNKNOWN, sentence=sentence)


def _running(poc: Poc) -> str:
    return f"{poc.slug} is in its online test with {poc.newest.traffic_percent:g} % of the units."

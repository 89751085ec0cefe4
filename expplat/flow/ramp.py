"""ramp: let more units into the test, while nothing harms them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict, blockers
from expplat.domain.online import Look
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import Hold, OnlinePlan
from expplat.domain.replay import CONTROL
from expplat.domain.wording import counted
from expplat.flow.desk import Desk, Step, Stepped, write_step
from expplat.flow.look import evidence_of, take_look
from expplat.gates.decision import step_blockers


def ramp(slug: str, *, desk: Desk) -> Stepped:
    """Widen the test by one step, if this step's guardrails, health and hold allow it.

    Nobody changes variant: a step only lengthens the ranges of the flag. At the last step the
    call changes nothing.

    Raises:
        StageError: If no test of the POC is running.
        ConflictError: If the POC has moved on since the look.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        proposal = desk.proposal_of(poc)
    return widen(poc, proposal.online, take_look(poc, proposal, desk), desk)


def widen(poc: Poc, plan: OnlinePlan, look: Look, desk: Desk) -> Stepped:
    """Commit the next step of the ramp on the evidence of a look."""
    present = poc.newest.traffic_percent
    wider = [percent for percent in plan.ramp_percent if percent > present]
    if not wider:
        sentence = f"{poc.slug} is at the last step of its ramp, {present:g} % of the units."
        return Stepped(poc, (), sentence, is_new=False)
    looks = look.by_treatment.values()
    standing = (
        *desk.held(poc.slug, poc.newest.phase),
        *(verdict for one in looks for verdict in step_blockers(one.verdicts)),
        *_hold_blockers(poc, plan.hold, (CONTROL, *look.by_treatment), desk),
    )
    if standing:
        return Stepped(poc, standing, "", is_new=False)
    step = Step(
        stage=Stage.PROMOTED,
        reason=f"No harm at {present:g} %; {wider[0]:g} % of the units are in the test.",
        traffic_percent=wider[0],
        evidence=evidence_of(plan, look),
    )
    sentence = f"{poc.slug} is in its online test with {wider[0]:g} % of the units."
    return Stepped(write_step(poc, step, desk), (), sentence, is_new=True)


def _hold_blockers(
    poc: Poc, hold: Hold, variants: Sequence[str], desk: Desk
) -> tuple[Verdict, ...]:
    """Return what the step has still to wait for: hours and units since it was opened.

    Units that came before it say nothing about it: it may be its width that breaks the tracking.
    """
    opened = poc.newest
    hours = (desk.now() - opened.at) / timedelta(hours=1)
    with desk.reading as uow:
        shown = uow.events.shown_since(opened.at, slug=poc.slug, phase=opened.phase)
    fewest = min(shown.get(variant, 0) for variant in variants)
    waited = Verdict(
        gate=Gate(kind=GateKind.MIN_DAYS, threshold=hold.min_hours / 24),
        ruling=Ruling.PASS if hours >= hold.min_hours else Ruling.UNKNOWN,
        sentence=f"The step has stood {hours:.1f} h of {hold.min_hours:g} h.",
    )
    gathered = Verdict(
        gate=Gate(kind=GateKind.MIN_UNITS, threshold=hold.min_units),
        ruling=Ruling.PASS if fewest >= hold.min_units else Ruling.UNKNOWN,
        sentence=f"{counted(fewest, 'unit')} in the smallest variant since the step was opened, "
        f"{hold.min_units:,} needed.",
    )
    return blockers((gathered, waited))

"""graduate: serve the treatment to everyone, once every online gate has passed."""

from __future__ import annotations

from expplat.domain.online import Look
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import OnlinePlan
from expplat.flow.desk import Desk, Step, Stepped, write_step
from expplat.flow.look import decision_of, evidence_of, standing_at, take_look


def graduate(slug: str, *, desk: Desk) -> Stepped:
    """Take a look, and graduate the POC if its health gates and every online gate pass.

    Safe to repeat; a POC that has graduated stays as it is.

    Raises:
        StageError: If no test of the POC is running.
        ConflictError: If the POC has moved on since the look.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        if poc.stage is Stage.GRADUATED:
            return Stepped(poc, (), f"{slug} has graduated already.", is_new=False)
        poc.must_be_open_for(Stage.GRADUATED)
        proposal = desk.proposal_of(poc)
    return conclude(poc, proposal.online, take_look(poc, proposal, desk), desk)


def conclude(poc: Poc, plan: OnlinePlan, look: Look, desk: Desk) -> Stepped:
    """Commit the graduation on the evidence of a look, or return what stands in the way."""
    standing = (*desk.held(poc.slug, poc.newest.phase), *standing_at(plan, look))
    if standing:
        return Stepped(poc, standing, "", is_new=False)
    decision = decision_of(plan, look)
    served = decision.arm if look.further else "the treatment"
    step = Step(
        stage=Stage.GRADUATED,
        reason=f"{decision.reason} {_whom(plan)} is served {served}.",
        traffic_percent=100.0,
        evidence=evidence_of(plan, look),
    )
    return Stepped(write_step(poc, step, desk), (), f"{poc.slug} has graduated.", is_new=True)


def _whom(plan: OnlinePlan) -> str:
    """Say who is served the treatment: nobody whom the plan kept out for good."""
    is_limited = plan.targeting or plan.holdout or plan.requires
    return "Everyone whom the plan is about" if is_limited else "Everyone"

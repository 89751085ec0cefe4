"""watch: what a person would do with every running test, done by itself."""

from __future__ import annotations

from typing import NamedTuple

from expplat.domain.decision import Action, Decision
from expplat.domain.online import Look
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import OnlinePlan
from expplat.errors import (
    ConfigurationError,
    ConflictError,
    DependencyError,
    InputError,
    TryLaterError,
)
from expplat.flow.desk import Desk, held_closed
from expplat.flow.graduate import conclude
from expplat.flow.look import decision_of, evidence_of, take_look
from expplat.flow.ports import Brake
from expplat.flow.ramp import widen
from expplat.flow.rollback import rollback

WATCHER = "expplat watch"
"""Who signs the transitions that nobody typed."""

RAMP = "ramp"


class Watched(NamedTuple):
    """What became of one running test."""

    slug: str
    action: str
    """`graduate`, `roll_back`, `ramp`, `hold` or `keep_running`."""

    sentence: str


def watch_once(desk: Desk) -> tuple[Watched, ...]:
    """Look at every running test once: roll back what harms, graduate what won, widen the rest.

    Another watcher may run beside this one: the history's key lets one of them take each step.
    A test that cannot be looked at is held, and costs no other test its look.

    Raises:
        DependencyError: If the database or the brake is out of reach.
        Exception: What no test should raise, such as a fault in the code; after the others' looks.
    """
    with desk.uow as uow:
        running = [poc for poc in uow.pocs.all() if poc.stage is Stage.PROMOTED]
    watched, faults = [], []
    for poc in running:
        try:
            watched.append(_watch(poc, desk))
        except (DependencyError, TryLaterError):
            raise
        except Exception as fault:  # noqa: BLE001 - raised below, once the others had their look
            faults.append(fault)
    if faults:
        raise faults[0]
    return tuple(watched)


def _watch(poc: Poc, desk: Desk) -> Watched:
    try:
        brake = desk.brake_on(poc.slug, poc.newest.phase)
        if brake is not None:
            return _stopped(poc, brake, desk)
        with desk.uow:
            proposal = desk.proposal_of(poc)
        look = take_look(poc, proposal, desk)
        decision = decision_of(proposal.online, look)
        return _act(poc, proposal.online, look, decision, desk)
    except ConflictError as error:
        return Watched(poc.slug, Action.KEEP_RUNNING, error.message)
    except (ConfigurationError, InputError) as error:
        return Watched(poc.slug, Action.HOLD, f"{error.message} {error.hint}")


def _stopped(poc: Poc, brake: Brake, desk: Desk) -> Watched:
    """Finish the rollback that closed the flag and came no further; leave a brake by hand alone."""
    if brake.phase is None:
        return Watched(poc.slug, Action.HOLD, held_closed(poc.slug, brake))
    begun = f"{brake.since:%Y-%m-%d %H:%M} UTC"
    reason = f"A rollback that was begun at {begun} had not been committed."
    done = rollback(poc.slug, reason=reason, desk=desk)
    return Watched(poc.slug, Action.ROLL_BACK, f"{done.sentence} {reason}")


def _act(poc: Poc, plan: OnlinePlan, look: Look, decision: Decision, desk: Desk) -> Watched:
    match decision.action:
        case Action.ROLL_BACK:
            kept = evidence_of(plan, look)
            done = rollback(poc.slug, reason=decision.reason, desk=desk, evidence=kept)
            return Watched(poc.slug, decision.action, f"{done.sentence} {decision.reason}")
        case Action.GRADUATE:
            done = conclude(poc, plan, look, desk)
            return Watched(poc.slug, decision.action, f"{done.sentence} {decision.reason}")
        case Action.HOLD:
            return Watched(poc.slug, decision.action, decision.reason)
    widened = widen(poc, plan, look, desk)
    if widened.is_new:
        return Watched(poc.slug, RAMP, widened.sentence)
    standing = widened.standing[0].sentence if widened.standing else decision.reason
    return Watched(poc.slug, decision.action, standing)

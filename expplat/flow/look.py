"""look: one reading of an online test: taken, written down, decided.

How a look is judged stands in `expplat.flow.reading`. A reading that is not decisive is written
down only where it says something new (`is_news`), so that a watcher leaves no row for every minute.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from expplat.domain.decision import Action, Decision
from expplat.domain.gate import Gate, Verdict
from expplat.domain.online import Look
from expplat.domain.plain import to_plain
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import OnlinePlan, Proposal
from expplat.errors import StageError
from expplat.flow.desk import Desk
from expplat.flow.reading import decisive_looks, read
from expplat.flow.treatments import decide_together
from expplat.gates.decision import alarms, decide, standing_in_the_way

WATCHED_GROWTH = 1.1
"""Before the first decisive look, a reading with so many times the events is worth a row, …"""

WATCHED_DAYS = 1.0
"""… and so is one that comes so many days after the newest."""


def take_look(poc: Poc, proposal: Proposal, desk: Desk) -> Look:
    """Read the running test: add up the events, judge every gate, write the look down.

    Safe to repeat, as often as one likes: where a reading has nothing new to say, the newest look
    that was written is returned, and stands. Harm is looked for at each call, also after the
    plan is spent, and always written.

    Raises:
        StageError: If no test of the POC is running.
        ConflictError: If another process has taken a look in the same moment.
    """
    if poc.stage is not Stage.PROMOTED:
        raise StageError(
            f"{poc.slug} is {poc.stage}; no test of it is running.",
            hint="`expplat promote` starts one, once every offline gate has passed.",
        )
    phase, plan = poc.newest.phase, proposal.online
    with desk.reading as uow:  # takes seconds over millions of events, which wait for nothing
        past = uow.looks.of(poc.slug, phase)
        snapshot = uow.events.snapshot(
            slug=poc.slug,
            phase=phase,
            metrics=plan.metrics,
            started_at=started_at(poc),
            now=desk.now(),
        )
    look = read(plan, snapshot, past, proposal.variants.treatments)
    if not is_news(look, past, plan):
        return past[-1]
    with desk.uow as uow:
        uow.looks.add(look)
        uow.commit()
    return look


def decision_of(plan: OnlinePlan, look: Look) -> Decision:
    """Return what follows from a look; pure."""
    looks = look.by_treatment
    decisions = {
        name: decide(one.verdicts, final=is_spent(plan, one), winning=plan.winning)
        for name, one in looks.items()
    }
    return decide_together(decisions, {name: one.verdicts for name, one in looks.items()})


def standing_at(plan: OnlinePlan, look: Look) -> tuple[Verdict, ...]:
    """Return the verdicts that keep a look from graduation; empty where nothing does."""
    if decision_of(plan, look).action is Action.GRADUATE:
        return ()
    return tuple(
        verdict
        for one in look.by_treatment.values()
        for verdict in standing_in_the_way(one.verdicts, plan.winning)
    )


def is_spent(plan: OnlinePlan, look: Look) -> bool:
    """Whether the plan's units or days are used up."""
    return look.information_fraction >= 1 or look.snapshot.days >= plan.max_days


def evidence_of(plan: OnlinePlan, look: Look) -> dict[str, Any]:
    """Return what a transition keeps of the look that it stands on."""
    return {
        "look": look.position,
        "verdicts": to_plain(look.verdicts),
        "decision": to_plain(decision_of(plan, look)),
        **further_verdicts(look),
    }


def further_verdicts(look: Look) -> dict[str, Any]:
    """Return what a look said of the treatments after the first; empty where there are none."""
    said = {name: to_plain(reading.verdicts) for name, reading in look.further.items()}
    return {"further_verdicts": said} if said else {}


def started_at(poc: Poc) -> datetime:
    """Return when the newest phase was opened."""
    phase = poc.newest.phase
    return next(
        step.at for step in poc.history if step.phase == phase and step.stage is Stage.PROMOTED
    )


def is_news(look: Look, past: tuple[Look, ...], plan: OnlinePlan) -> bool:
    """Whether a look says what the newest written one does not.

    News are every decisive look and every new alarm; before the first decisive look also what came
    with many more events, a day later, or after the plan's days.
    """
    if not past or any(one.information_fraction > 0 for one in look.by_treatment.values()):
        return True
    newest = past[-1]
    if _alarms(look) - _alarms(newest):
        return True
    if any(decisive_looks(tuple(one.by_treatment.values())) for one in past):
        return False
    before, now = newest.snapshot, look.snapshot
    return (
        now.watermark > before.watermark * WATCHED_GROWTH
        or now.days - before.days >= WATCHED_DAYS
        or now.days >= plan.max_days > before.days
    )


def _alarms(look: Look) -> frozenset[tuple[str, Gate]]:
    looks = look.by_treatment.items()
    return frozenset((name, gate) for name, one in looks for gate in alarms(one.verdicts))

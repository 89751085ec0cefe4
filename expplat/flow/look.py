"""look: one reading of an online test, from events to verdicts.

A decisive look spends a part of the error budget (Lan–DeMets, O'Brien–Fleming type). There is one
when the plan's least units and days are there, then one each time that the units have grown by
`DECISIVE_STEP` of the plan, and a last one when the plan's units or days are spent: some two
hundred at most, however often the test is read. Every other reading spends nothing: it only
watches for harm, with an interval that holds however often it is read, and it is written down only
where it says something new (`is_news`), so that a watcher leaves no row for every minute.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import lru_cache
from typing import Any

from expplat.domain.gate import Effect, Gate, Ruling, Verdict
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import Look, Snapshot
from expplat.domain.plain import to_plain
from expplat.domain.poc import Poc, Stage
from expplat.domain.proposal import OnlinePlan, Proposal
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.errors import StageError
from expplat.flow.desk import Desk
from expplat.gates import judge
from expplat.gates.decision import alarms, is_harm
from expplat.gates.health import health_verdicts
from expplat.stats import sequential, two_sample
from expplat.stats.interval import Interval, not_estimable
from expplat.stats.srm import sample_ratio

HARM_ALPHA = 0.01
"""Two-sided level of the interval that watches for harm, over all readings together: one that truly
is at its margin is called harmed by it with half this chance. Decisive looks may find harm too, by
their repeated interval, with half of the gate's own alpha."""

HARM_SHARE = 0.1
"""Share of the plan at which that interval is tightest, for early harm is its affair. Late harm is
found by the repeated interval, which is the narrower of the two by then."""

DECISIVE_STEP = 0.005
"""Share of the plan's units that must be new for another decisive look; a crumb spends nothing."""

WATCHED_GROWTH = 1.1
"""Before the first decisive look, a reading with so many times the events is worth a row, …"""

WATCHED_DAYS = 1.0
"""… and so is one that comes so many days after the newest."""

EQUAL_SHARES = (0.5, 0.5)


def take_look(poc: Poc, proposal: Proposal, desk: Desk) -> Look:
    """Read the running test: add up the events, judge every gate, write the look down.

    Safe to repeat, as often as one likes: where a reading has nothing new to say, the newest look
    that was written is returned, and stands. Harm is looked for at each call, also after the
    plan is spent, and always written.

    Raises:
        StageError: If no test of the POC is running.
    """
    if poc.stage is not Stage.PROMOTED:
        raise StageError(
            f"{poc.slug} is {poc.stage}; no test of it is running.",
            hint="`expplat promote` starts one, once every offline gate has passed.",
        )
    phase, plan = poc.newest.phase, proposal.online
    with desk.uow as uow:
        past = uow.looks.of(poc.slug, phase)
        snapshot = uow.events.snapshot(
            slug=poc.slug,
            phase=phase,
            metrics=plan.metrics,
            started_at=started_at(poc),
            now=desk.now(),
        )
        look = read(plan, snapshot, past)
        if not is_news(look, past, plan):
            return past[-1]
        uow.looks.add(look)
        uow.commit()
    return look


def evidence_of(look: Look) -> dict[str, Any]:
    """Return what a transition keeps of the look that it stands on."""
    return {"look": look.position, "verdicts": to_plain(look.verdicts)}


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
    if not past or look.information_fraction > 0:
        return True
    newest = past[-1]
    if alarms(look.verdicts) - alarms(newest.verdicts):
        return True
    if _decisive(past):
        return False
    before, now = newest.snapshot, look.snapshot
    return (
        now.watermark > before.watermark * WATCHED_GROWTH
        or now.days - before.days >= WATCHED_DAYS
        or now.days >= plan.max_days > before.days
    )


def is_decisive(plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]) -> bool:
    """Whether a look at the snapshot may decide: enough units and days, and enough of it new."""
    health = plan.health
    if snapshot.fewest_units < health.min_units or snapshot.days < health.min_days:
        return False
    decisive = _decisive(past)
    if not decisive:
        return True
    if decisive[-1].information_fraction >= 1:
        return False
    new_units = snapshot.units - decisive[-1].snapshot.units
    return _is_spent(plan, snapshot) or new_units >= DECISIVE_STEP * plan.max_units


def read(plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]) -> Look:
    """Judge every gate of the plan on a snapshot; pure, so that a look can be read again."""
    times, information = _clock(plan, snapshot, past)
    counts = (snapshot.arm(CONTROL).units, snapshot.arm(TREATMENT).units)
    ratio = sample_ratio(counts, EQUAL_SHARES) if sum(counts) else None
    metrics = {metric.name: metric for metric in plan.metrics}
    verdicts = health_verdicts(
        plan.health, snapshot, plan.metrics, srm_p=ratio.p if ratio else None
    )
    for gate in plan.gates:
        boundary = _boundary(information, gate.alpha, times) if times else None
        verdict = _judge(gate, metrics[gate.metric or ""], snapshot, plan, boundary)
        verdicts = (*verdicts, verdict)
    return Look(
        slug=snapshot.slug,
        phase=snapshot.phase,
        position=len(past),
        information_fraction=times[-1] if times else 0.0,
        snapshot=snapshot,
        verdicts=verdicts,
    )


def _decisive(past: tuple[Look, ...]) -> tuple[Look, ...]:
    return tuple(look for look in past if look.information_fraction > 0)


def _is_spent(plan: OnlinePlan, snapshot: Snapshot) -> bool:
    return snapshot.units >= plan.max_units or snapshot.days >= plan.max_days


def _clock(
    plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return spending time and information of all decisive looks up to this one.

    They differ where the days end before the units do: then all that is left of the error is
    spent (time 1) on the information that there is. Both are empty where this look is not decisive.
    """
    if not is_decisive(plan, snapshot, past):
        return (), ()
    decisive = _decisive(past)
    times = [look.information_fraction for look in decisive]
    information = [look.snapshot.units / plan.max_units for look in decisive]
    gathered = snapshot.units / plan.max_units
    if information:
        # The last look may come on a day without a new unit; it spends what is left all the same.
        gathered = max(gathered, information[-1] + 2 * sequential.SMALLEST_STEP)
    time = 1.0 if _is_spent(plan, snapshot) else gathered
    return (*times, time), (*information, gathered)


@lru_cache(maxsize=256)
def _boundary(information: tuple[float, ...], alpha: float, times: tuple[float, ...]) -> float:
    """Return the critical |z| of the last of these looks; gates of one alpha share it."""
    return sequential.boundaries(information, alpha=alpha, spending_times=times)[-1]


def _judge(
    gate: Gate, metric: Metric, snapshot: Snapshot, plan: OnlinePlan, boundary: float | None
) -> Verdict:
    """Judge one metric gate: harm at any look, everything else only at a decisive one."""
    watched = judge(gate, _watched_effect(gate, metric, snapshot, plan), sized=True)
    if is_harm(watched):
        return watched
    if boundary is not None:
        return judge(gate, _decisive_effect(metric, snapshot, boundary), sized=True)
    if watched.effect is None or watched.effect.low is None:
        return watched
    sentence = f"Nothing is decided at this look. {watched.sentence}"
    return replace(watched, ruling=Ruling.UNKNOWN, sentence=sentence)


def _watched_effect(gate: Gate, metric: Metric, snapshot: Snapshot, plan: OnlinePlan) -> Effect:
    """Return the effect with an interval that holds at all looks together."""
    control, treatment = _moments(snapshot, metric)
    if min(control.n, treatment.n) < plan.hold.min_units:
        few = f"Fewer than {plan.hold.min_units} units in a variant."
        unread = not_estimable(n=control.n + treatment.n, method=sequential.ANYTIME, reason=few)
        return _effect(metric, control, treatment, unread)
    found = sequential.anytime_interval(
        treatment.mean - control.mean,
        _standard_error(metric, control, treatment),
        control.n + treatment.n,
        alpha=min(HARM_ALPHA, gate.alpha),
        n_tuned=HARM_SHARE * plan.max_units,
    )
    return _effect(metric, control, treatment, found)


def _decisive_effect(metric: Metric, snapshot: Snapshot, boundary: float) -> Effect:
    """Return the effect with its repeated interval at this look."""
    control, treatment = _moments(snapshot, metric)
    found = sequential.repeated_interval(
        estimate=treatment.mean - control.mean,
        standard_error=_standard_error(metric, control, treatment),
        boundary=boundary,
        n=control.n + treatment.n,
    )
    return _effect(metric, control, treatment, found)


def _standard_error(metric: Metric, control: Moments, treatment: Moments) -> float | None:
    is_proportion = metric.kind is MetricKind.PROPORTION
    return two_sample.standard_error(
        control, treatment, pooled_floor=True, proportion=is_proportion
    )


def _effect(metric: Metric, control: Moments, treatment: Moments, found: Interval) -> Effect:
    has_both = bool(control.n and treatment.n)
    return Effect(
        metric=metric.name,
        unit=metric.unit,
        sign=metric.direction.sign,
        control=control.mean if control.n else None,
        treatment=treatment.mean if treatment.n else None,
        difference=treatment.mean - control.mean if has_both else None,
        low=found.low,
        high=found.high,
        p=found.p,
        n_control=control.n,
        n_treatment=treatment.n,
        method=found.method,
        # without its interval, which would hold for one reading only
        relative=two_sample.relative_difference(control, treatment).estimate,
        warnings=found.warnings,
    )


def _moments(snapshot: Snapshot, metric: Metric) -> tuple[Moments, Moments]:
    control, treatment = snapshot.arm(CONTROL), snapshot.arm(TREATMENT)
    return control.moments(metric.name), treatment.moments(metric.name)

"""reading: every gate of an online plan judged on one snapshot; pure, so that it can be done again.

A decisive look may decide. In the mode `planned` it spends a part of the error budget (Lan–DeMets,
O'Brien–Fleming type); in the mode `open_ended` its intervals hold at any number of looks and units.
There is one when the plan's least units and days are there, then one each time that the units have
grown by `DECISIVE_STEP` of the plan, and a last one when the plan's units or days are spent: some
two hundred at most, however often the test is read. Every other reading only watches for harm, with
an interval that holds however often it is read.

Where any one success metric is enough (`winning: any`), each of the k that have not yet won is held
to alpha / k by its own boundary, and the alpha of one that has won goes to the rest (Holm). This is
closed testing, and holds at each look: whoever has won stays out of the count, but the test
graduates only on success metrics and guardrails that pass at one and the same look.

Source:
    Maurer and Bretz (2013), Statistics in Biopharmaceutical Research 5:311-320, for closed testing
    over sequential plans; Lan and DeMets (1983) for the spending.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Metric
from expplat.domain.online import Look, Reading, Snapshot
from expplat.domain.proposal import OnlinePlan
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.online_evidence import open_effect, planned_effect, watched_effect
from expplat.flow.treatments import shared_by
from expplat.gates import judge
from expplat.gates.decision import is_harm
from expplat.gates.health import health_verdicts
from expplat.stats.boundaries import boundaries
from expplat.stats.paths import SMALLEST_STEP
from expplat.stats.srm import sample_ratio

DECISIVE_STEP = 0.005
"""Share of the plan's units that must be new for another decisive look; a crumb spends nothing."""


def read(
    plan: OnlinePlan,
    snapshot: Snapshot,
    past: tuple[Look, ...],
    treatments: Sequence[str] = (TREATMENT,),
) -> Look:
    """Judge every gate of the plan on a snapshot.

    Several treatments are judged one by one against the same control, success at the share of alpha
    that each has; the split is tested once, over all variants together.

    Args:
        plan: As proposed.
        snapshot: What the events add up to.
        past: The looks of the same phase that were written before, oldest first.
        treatments: The treatments in the test, the first one `treatment`.
    """
    counts = [snapshot.arm(arm).units for arm in (CONTROL, *treatments)]
    ratio = sample_ratio(counts, [1.0] * len(counts)) if sum(counts) else None
    srm_p = ratio.p if ratio else None
    if len(treatments) == 1:
        return _read_pair(plan, snapshot, past, srm_p)
    shared = shared_by(plan, len(treatments))
    looks = {
        name: _read_pair(shared, snapshot.pair(name), tuple(look.of(name) for look in past), srm_p)
        for name in treatments
    }
    further = {
        name: Reading(information_fraction=look.information_fraction, verdicts=look.verdicts)
        for name, look in looks.items()
        if name != TREATMENT
    }
    return replace(looks[TREATMENT], snapshot=snapshot, further=further)


def _read_pair(
    plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...], srm_p: float | None
) -> Look:
    """Judge every gate on control and one treatment."""
    reading = _Reading(plan, snapshot, _clock(plan, snapshot, past))
    return Look(
        slug=snapshot.slug,
        phase=snapshot.phase,
        position=len(past),
        information_fraction=reading.clock.times[-1] if reading.clock.times else 0.0,
        snapshot=snapshot,
        verdicts=(
            *health_verdicts(plan.health, snapshot, plan.metrics, srm_p=srm_p),
            *_metric_verdicts(reading, past),
        ),
    )


def decisive_looks(past: tuple[Look, ...]) -> tuple[Look, ...]:
    """Return the looks that could decide."""
    return tuple(look for look in past if look.information_fraction > 0)


def is_decisive(plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]) -> bool:
    """Whether a look at the snapshot may decide: enough units and days, and enough of it new."""
    health = plan.health
    if snapshot.fewest_units < health.min_units or snapshot.days < health.min_days:
        return False
    if past and _is_stale(snapshot, past[-1].snapshot):
        return False
    decisive = decisive_looks(past)
    if not decisive:
        return True
    if decisive[-1].information_fraction >= 1:
        return False
    new_units = snapshot.units - decisive[-1].snapshot.units
    return _is_spent(plan, snapshot) or new_units >= DECISIVE_STEP * plan.max_units


class _Clock(NamedTuple):
    """How far the plan had come at all decisive looks up to this one; empty where it is none."""

    times: tuple[float, ...]
    """How much of the error budget may be spent by when, 0 to 1."""

    information: tuple[float, ...]
    """Units over `max_units`."""


class _Reading(NamedTuple):
    """What every gate of one look is judged on."""

    plan: OnlinePlan
    snapshot: Snapshot
    clock: _Clock


def _is_stale(snapshot: Snapshot, newest: Snapshot) -> bool:
    """Whether a snapshot is older than one that was read before: events are only ever added."""
    return snapshot.watermark < newest.watermark or snapshot.taken_at < newest.taken_at


def _is_spent(plan: OnlinePlan, snapshot: Snapshot) -> bool:
    return snapshot.units >= plan.max_units or snapshot.days >= plan.max_days


def _clock(plan: OnlinePlan, snapshot: Snapshot, past: tuple[Look, ...]) -> _Clock:
    """Return spending time and information of all decisive looks up to this one.

    They differ where the days end before the units do: then all that is left of the error is
    spent (time 1) on the information that there is.
    """
    if not is_decisive(plan, snapshot, past):
        return _Clock((), ())
    decisive = decisive_looks(past)
    times = [look.information_fraction for look in decisive]
    information = [look.snapshot.units / plan.max_units for look in decisive]
    gathered = snapshot.units / plan.max_units
    if information:
        # The last look may come on a day without a new unit; it spends what is left all the same.
        gathered = max(gathered, information[-1] + 2 * SMALLEST_STEP)
    time = 1.0 if _is_spent(plan, snapshot) else gathered
    return _Clock((*times, time), (*information, gathered))


def _metric_verdicts(reading: _Reading, past: tuple[Look, ...]) -> tuple[Verdict, ...]:
    """Judge the metric gates, each at its own alpha, or the success metrics at their shares."""
    plan = reading.plan
    shared = _holm_verdicts(reading, past) if plan.winning == "any" else {}
    return tuple(shared.get(gate) or _judge(gate, reading, gate.alpha) for gate in plan.gates)


def _holm_verdicts(reading: _Reading, past: tuple[Look, ...]) -> dict[Gate, Verdict]:
    """Judge the success metrics where any one is enough: each at alpha over those not yet won."""
    success = [gate for gate in reading.plan.gates if gate.kind is GateKind.SUPERIORITY]
    alpha = min((gate.alpha for gate in success), default=0.0)
    won = {verdict.gate for look in decisive_looks(past) for verdict in _passed(look.verdicts)}
    not_won = [gate for gate in success if gate not in won]
    verdicts: dict[Gate, Verdict] = {}
    judged = success
    while judged:
        level = alpha / max(1, len(not_won))
        verdicts |= {gate: _judge(gate, reading, level) for gate in judged}
        winners = {verdict.gate for verdict in _passed(verdicts.values())} & set(not_won)
        # a winner keeps the verdict of the level at which it won; the rest are judged again
        judged = [gate for gate in judged if gate not in winners] if winners else []
        not_won = [gate for gate in not_won if gate not in winners]
    return verdicts


def _passed(verdicts: Iterable[Verdict]) -> Iterator[Verdict]:
    return (verdict for verdict in verdicts if verdict.ruling is Ruling.PASS)


def _judge(gate: Gate, reading: _Reading, alpha: float) -> Verdict:
    """Judge one metric gate: harm at any look, everything else only at a decisive one."""
    plan, snapshot, clock = reading
    metric = next(metric for metric in plan.metrics if metric.name == gate.metric)
    watched = judge(gate, watched_effect(gate, metric, snapshot, plan), sized=True)
    if is_harm(watched):
        return watched
    if clock.times:
        effect = _decisive_effect(metric, reading, alpha)
        if alpha != gate.alpha:
            effect = replace(effect, method=f"{effect.method}, at alpha {alpha:.3g}")
        return judge(gate, effect, sized=True)
    if watched.effect is None or watched.effect.low is None:
        return watched
    sentence = f"Nothing is decided at this look. {watched.sentence}"
    return replace(watched, ruling=Ruling.UNKNOWN, sentence=sentence)


def _decisive_effect(metric: Metric, reading: _Reading, alpha: float) -> Effect:
    plan, snapshot, clock = reading
    if plan.mode == "open_ended":
        return open_effect(metric, snapshot, plan.max_units, alpha)
    return planned_effect(metric, snapshot, _boundary(clock.information, alpha, clock.times))


@lru_cache(maxsize=1024)
def _boundary(information: tuple[float, ...], alpha: float, times: tuple[float, ...]) -> float:
    """Return the critical |z| of the last of these looks; gates of one alpha share it."""
    return boundaries(information, alpha=alpha, spending_times=times)[-1]

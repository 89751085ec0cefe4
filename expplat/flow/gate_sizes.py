"""How many units a gate needs, and what it tells apart with those it gets."""

from __future__ import annotations

import math
from typing import NamedTuple

from expplat.domain.gate import GateKind
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.planning import GateSize, PlanQuestion
from expplat.domain.proposal import OnlinePlan
from expplat.flow.plan import LEAST_POWER, gates_beside, inflation_of, level_of, sizings
from expplat.stats import power

FEWEST_UNITS = 2
"""In each variant, however clear the effect: one unit has no spread."""


class AskedGate(NamedTuple):
    """One gate, as far as its size goes."""

    metric: str
    unit: str
    is_guardrail: bool

    distance: float | None
    """What must be told apart; None where it is only asked what can be."""

    variance: float
    """Of one unit, the same under both variants; not read where there is a `rising_share`."""

    rising_share: float | None
    """A proportion that is to rise from here; one that is to fall is turned round."""

    alpha: float
    power: float
    """Chance to pass that the gate is sized for."""

    inflation: float
    is_two_sided: bool = False
    """An equivalence gate: both ends of its interval must pass."""


def gates_of_question(question: PlanQuestion) -> tuple[AskedGate, ...]:
    """Return the gates of a question, the success metric first."""
    baseline, alpha = question.baseline, question.alpha / question.treatments
    each, inflation = power_of_each(question), power.INFLATION[question.reading]
    is_share = baseline.kind is MetricKind.PROPORTION
    value, effect = baseline.value or 0.0, question.min_effect
    success = AskedGate(
        metric=baseline.name,
        unit="fraction" if is_share else "",
        is_guardrail=False,
        distance=None if effect is None else abs(effect),
        variance=(baseline.sd or 0.0) ** 2,
        rising_share=_rising(value, is_falling=(effect or 0.0) < 0) if is_share else None,
        alpha=alpha,
        power=each,
        inflation=inflation,
    )
    guardrails = (
        AskedGate(one.name, "", True, one.margin, one.sd**2, None, alpha, each, inflation)
        for one in question.guardrails
    )
    return (success, *guardrails)


def power_of_each(question: PlanQuestion) -> float:
    """Return the chance that each gate needs, so that all pass with the power asked for."""
    beside = len(question.guardrails) + question.unsized_guardrails
    return power.power_of_each(question.power, beside)


def gates_of_plan(plan: OnlinePlan) -> tuple[AskedGate, ...]:
    """Return the gates of a plan whose metrics say what to expect, success metrics first."""
    metrics = {metric.name: metric for metric in plan.metrics}
    known = {sizing.metric for sizing in sizings(plan)}
    asked = [
        _gate_of_plan(place, metrics[gate.metric], plan)
        for place, gate in enumerate(plan.gates)
        if gate.metric in known
    ]
    return tuple(sorted(asked, key=lambda one: one.is_guardrail))


def units_needed(gate: AskedGate, variants: int) -> int | None:
    """Return the units of all variants together; None where no distance is asked for."""
    if gate.distance is None:
        return None
    asked = {"alpha": gate.alpha, "power": gate.power, "inflation": gate.inflation}
    if gate.rising_share is None:
        each = power.units_per_arm(gate.distance, _equal(gate.variance), **asked)
    else:
        each = power.units_per_arm_for_shares(gate.rising_share, gate.distance, **asked)
    return variants * max(FEWEST_UNITS, math.ceil(each))


def smallest_effect(gate: AskedGate, units: float, variants: int) -> float | None:
    """Return what so many units of all variants tell apart; None where nothing is."""
    each = units / variants
    asked = {"alpha": gate.alpha, "power": gate.power, "inflation": gate.inflation}
    if each <= 0:
        return None
    if gate.rising_share is None:
        return power.smallest_effect(each, _equal(gate.variance), **asked)
    return power.smallest_effect_on_share(each, gate.rising_share, **asked)


def size_of(gate: AskedGate, distance: float, units: int, variants: int) -> GateSize:
    """Return a gate with its size, and what it comes to with so many units."""
    return GateSize(
        metric=gate.metric,
        unit=gate.unit,
        is_guardrail=gate.is_guardrail,
        distance=distance,
        units_needed=units_needed(gate, variants) or 0,
        power=_power(gate, distance, units / variants),
        smallest_effect=smallest_effect(gate, units, variants),
    )


def _power(gate: AskedGate, distance: float, units: float) -> float:
    variances = _equal(gate.variance)
    if gate.rising_share is not None:
        shares = gate.rising_share, gate.rising_share + distance
        variances = power.proportion_variance(shares[0]), power.proportion_variance(shares[1])
    found = power.power_at(units, distance, variances, alpha=gate.alpha, inflation=gate.inflation)
    return max(0.0, 2 * found - 1) if gate.is_two_sided else found


def _gate_of_plan(place: int, metric: Metric, plan: OnlinePlan) -> AskedGate:
    gate = plan.gates[place]
    each = power.power_of_each(LEAST_POWER, gates_beside(plan))
    is_success = gate.kind is GateKind.SUPERIORITY
    is_equivalence = gate.kind is GateKind.EQUIVALENCE
    is_share = metric.kind is MetricKind.PROPORTION
    expected = metric.expected or 0.0
    rising = _rising(expected, is_falling=metric.direction is Direction.LOWER)
    return AskedGate(
        metric=metric.name,
        unit=metric.unit,
        is_guardrail=not is_success,
        distance=gate.min_effect if is_success else gate.margin,
        variance=expected * (1 - expected) if is_share else (metric.expected_sd or 0.0) ** 2,
        rising_share=rising if is_share and is_success else None,
        alpha=level_of(gate, plan),
        power=(1 + each) / 2 if is_equivalence else each,
        inflation=inflation_of(plan),
        is_two_sided=is_equivalence,
    )


def _rising(share: float, *, is_falling: bool) -> float:
    """Return a share that is to rise; one that is to fall is counted by its failures."""
    return 1 - share if is_falling else share


def _equal(variance: float) -> tuple[float, float]:
    return variance, variance

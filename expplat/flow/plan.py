"""plan: can the online test find what it looks for, before anyone is let in?"""

from __future__ import annotations

import math
from typing import NamedTuple

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.proposal import OnlinePlan
from expplat.stats import power

LEAST_POWER = 0.8
"""A test with a smaller chance that all its gates pass, where the gain is `min_effect` and nothing
is harmed, is not worth its users."""


class Sizing(NamedTuple):
    """How many units one gate needs."""

    metric: str
    distance: float
    """What must be told apart, in the metric's unit: `min_effect`, or the margin of a guardrail."""

    units_needed: int
    """Both variants together, with the inflation of the plan's mode."""

    max_units: int

    @property
    def is_feasible(self) -> bool:
        """Whether the plan has the units."""
        return self.units_needed <= self.max_units


def sizings(plan: OnlinePlan) -> tuple[Sizing, ...]:
    """Return the size that each gate needs, where its metric says what to expect.

    All gates must pass at once, so each needs more power than the test as a whole; alpha stays.
    Where any one success metric is enough, each is sized to win alone beside the guardrails, at its
    share of alpha.
    """
    metrics = {metric.name: metric for metric in plan.metrics}
    return tuple(
        _sizing(gate, metrics[gate.metric or ""], plan)
        for gate in plan.gates
        if _says_what_to_expect(metrics[gate.metric or ""])
    )


def plan_verdicts(plan: OnlinePlan) -> tuple[Verdict, ...]:
    """Return a verdict for each gate that the plan has too few units for."""
    return tuple(
        Verdict(
            gate=Gate(kind=GateKind.MIN_UNITS, threshold=float(sizing.units_needed)),
            ruling=Ruling.FAIL,
            sentence=(
                f"{sizing.metric} needs {sizing.units_needed} units to tell {sizing.distance:g} "
                f"apart, so that a treatment as good graduates with {LEAST_POWER:.0%} power; "
                f"the plan ends at {sizing.max_units}."
            ),
        )
        for sizing in sizings(plan)
        if not sizing.is_feasible
    )


def _sizing(gate: Gate, metric: Metric, plan: OnlinePlan) -> Sizing:
    is_success = gate.kind is GateKind.SUPERIORITY
    distance = (gate.min_effect if is_success else gate.margin) or 0.0
    each = power.power_of_each(LEAST_POWER, gates_beside(plan))
    per_variant = power.units_per_arm(
        distance,
        _variances(metric, distance * metric.direction.sign if is_success else 0.0),
        alpha=level_of(gate, plan),
        power=(1 + each) / 2 if gate.kind is GateKind.EQUIVALENCE else each,
        inflation=inflation_of(plan),
    )
    return Sizing(metric.name, distance, 2 * math.ceil(per_variant), plan.max_units)


def power_of(plan: OnlinePlan) -> float:
    """Return the least chance that a treatment as good as what is looked for graduates.

    Whatever the dependence of the metrics: 1 less what each gate misses. Where any one success
    metric is enough, the first of them alone has the effect. A gate whose metric does not say what
    to expect is passed over.
    """
    metrics = {metric.name: metric for metric in plan.metrics}
    success = [gate for gate in plan.gates if gate.kind is GateKind.SUPERIORITY]
    idle = success[1:] if plan.winning == "any" else []
    missed = (
        1 - _power(gate, metrics[gate.metric or ""], plan)
        for gate in plan.gates
        if gate not in idle and _says_what_to_expect(metrics[gate.metric or ""])
    )
    return max(0.0, 1 - math.fsum(missed))


def level_of(gate: Gate, plan: OnlinePlan) -> float:
    """Return the two-sided level that a gate has to itself from the start."""
    if plan.winning == "all" or gate.kind is not GateKind.SUPERIORITY:
        return gate.alpha
    levels = [gate.alpha for gate in plan.gates if gate.kind is GateKind.SUPERIORITY]
    return min(levels) / len(levels)


def inflation_of(plan: OnlinePlan) -> float:
    """Return the units that the plan's mode needs, over those of a test that is read once."""
    return power.INFLATION["open_ended" if plan.mode == "open_ended" else "obf"]


def _power(gate: Gate, metric: Metric, plan: OnlinePlan) -> float:
    is_success = gate.kind is GateKind.SUPERIORITY
    distance = (gate.min_effect if is_success else gate.margin) or 0.0
    found = power.power_at(
        plan.max_units / 2,
        distance,
        _variances(metric, distance * metric.direction.sign if is_success else 0.0),
        alpha=level_of(gate, plan),
        inflation=inflation_of(plan),
    )
    return max(0.0, 2 * found - 1) if gate.kind is GateKind.EQUIVALENCE else found


def gates_beside(plan: OnlinePlan) -> int:
    """Return how many gates must pass beside the one that is sized."""
    if plan.winning == "all":
        return len(plan.gates) - 1
    return sum(gate.kind is not GateKind.SUPERIORITY for gate in plan.gates)


def _says_what_to_expect(metric: Metric) -> bool:
    if metric.expected is None:
        return False
    return metric.kind is MetricKind.PROPORTION or metric.expected_sd is not None


def _variances(metric: Metric, change: float) -> tuple[float, float]:
    if metric.kind is MetricKind.PROPORTION:
        expected = metric.expected or 0.0
        moved = min(max(expected + change, 0.0), 1.0)
        return power.proportion_variance(expected), power.proportion_variance(moved)
    variance = (metric.expected_sd or 0.0) ** 2
    return variance, variance

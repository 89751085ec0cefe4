"""plan: can the online test find what it looks for, before anyone is let in?"""

from __future__ import annotations

import math
from typing import NamedTuple

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.proposal import OnlinePlan
from expplat.stats import power

LEAST_POWER = 0.8
"""A test with a smaller chance of finding `min_effect` is not worth its users."""


class Sizing(NamedTuple):
    """How many units one success gate needs."""

    metric: str
    min_effect: float
    units_needed: int
    """Both variants together, with the inflation of the sequential plan."""

    max_units: int

    @property
    def is_feasible(self) -> bool:
        """Whether the plan has the units."""
        return self.units_needed <= self.max_units


def sizings(plan: OnlinePlan) -> tuple[Sizing, ...]:
    """Return the size that each success gate needs, where its metric says what to expect."""
    metrics = {metric.name: metric for metric in plan.metrics}
    return tuple(
        _sizing(gate, metrics[gate.metric or ""], plan)
        for gate in plan.gates
        if gate.kind is GateKind.SUPERIORITY and metrics[gate.metric or ""].expected is not None
    )


def plan_verdicts(plan: OnlinePlan) -> tuple[Verdict, ...]:
    """Return a verdict for each success gate that the plan has too few units for."""
    return tuple(
        Verdict(
            gate=Gate(kind=GateKind.MIN_UNITS, threshold=float(sizing.units_needed)),
            ruling=Ruling.FAIL,
            sentence=(
                f"{sizing.metric} needs {sizing.units_needed} units to show {sizing.min_effect:g} "
                f"with {LEAST_POWER:.0%} power; the plan ends at {sizing.max_units}."
            ),
        )
        for sizing in sizings(plan)
        if not sizing.is_feasible
    )


def _sizing(gate: Gate, metric: Metric, plan: OnlinePlan) -> Sizing:
    least = gate.min_effect or 0.0
    per_variant = power.units_per_arm(
        least,
        _variances(metric, least * metric.direction.sign),
        alpha=gate.alpha,
        power=LEAST_POWER,
        inflation=power.INFLATION["obf"],
    )
    return Sizing(metric.name, least, 2 * math.ceil(per_variant), plan.max_units)


def _variances(metric: Metric, change: float) -> tuple[float, float]:
    expected = metric.expected or 0.0
    if metric.kind is MetricKind.PROPORTION:
        moved = min(max(expected + change, 0.0), 1.0)
        return power.proportion_variance(expected), power.proportion_variance(moved)
    variance = (metric.expected_sd or 0.0) ** 2
    return variance, variance

"""selftest_worlds: what is made up to try a plan on, and what the plan promises there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import NamedTuple

from expplat.domain.decision import Outcome
from expplat.domain.gate import Gate, GateKind
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.flow.plan import LEAST_POWER, power_of, sizings
from expplat.flow.simulation import Simulated, World

WRONG_SPLIT_ERRORS = 10.0
"""How far the wrong split lies from the planned one at the end of the plan, in standard errors."""

FOUND_SPLIT = 0.95
"""Least share of the wrong splits that must be found."""


class Rate(NamedTuple):
    """A share of simulated tests, and what is promised of it."""

    world: str
    """What was true, in words."""

    counted: str
    """What was counted, in words."""

    found: int
    tests: int
    bound: float
    """0 to 1."""

    is_ceiling: bool
    """True where the rate must not be above the bound, False where it must not be below."""

    @property
    def rate(self) -> float:
        """The measured share, 0 to 1."""
        return self.found / self.tests

    @property
    def measured_error(self) -> float:
        """Standard error of the measured share.

        With two tests of each kind added, so that it is not 0 where nothing was found.
        """
        return _standard_error((self.found + 2) / (self.tests + 4), self.tests)

    @property
    def holds(self) -> bool:
        """Whether the rate is inside its bound, give or take three standard errors."""
        beyond = self.rate - self.bound if self.is_ceiling else self.bound - self.rate
        return beyond <= 3 * _standard_error(self.bound, self.tests)


class Promise(NamedTuple):
    """What is counted in a world, and the bound of its share."""

    counted: str
    """In words."""

    count: Callable[[Simulated], int]
    bound: float
    """0 to 1."""

    is_ceiling: bool
    """True where the share must not be above the bound, False where it must not be below."""


class OnlineWorld(NamedTuple):
    """A world, and what is promised there."""

    name: str
    truth: World
    promises: tuple[Promise, ...]

    def rates(self, found: Simulated) -> Iterator[Rate]:
        """Return the rates that were found."""
        for promise in self.promises:
            yield Rate(
                world=self.name,
                counted=promise.counted,
                found=promise.count(found),
                tests=found.tests,
                bound=promise.bound,
                is_ceiling=promise.is_ceiling,
            )


def online_worlds(plan: OnlinePlan) -> tuple[OnlineWorld, ...]:
    """Return what is tried of a plan whose metrics all say what to expect."""
    success = [gate for gate in plan.gates if gate.kind is GateKind.SUPERIORITY]
    guardrails = [gate for gate in plan.gates if gate.kind is GateKind.NON_INFERIORITY]
    won = success if plan.winning == "all" else success[:1]
    shift = WRONG_SPLIT_ERRORS / 2 / math.sqrt(plan.max_units)
    power = min(LEAST_POWER, power_of(plan))
    return (
        OnlineWorld("no effect", World(), (_shipped(min(gate.alpha for gate in success)),)),
        OnlineWorld("effect as planned", World(levels=levels(plan, won)), (_graduated(power),)),
        *(_at_margin(plan, won, gate) for gate in guardrails[:1]),
        _harmed(plan, won, (guardrails or success)[0], power),
        OnlineWorld(
            "a split that was not planned",
            World(treated_share=min(0.9, 0.5 + shift)),
            (
                Promise(
                    "found", lambda found: found.failed.get(GateKind.SRM, 0), FOUND_SPLIT, False
                ),
            ),
        ),
    )


def _at_margin(plan: OnlinePlan, won: list[Gate], guardrail: Gate) -> OnlineWorld:
    truth = levels(plan, won, gain=2.0) | levels(plan, [guardrail], gain=-1.0)
    name = f"{guardrail.metric} at its margin, success won"
    return OnlineWorld(name, World(levels=truth), (_shipped(guardrail.alpha),))


def _harmed(plan: OnlinePlan, won: list[Gate], harmed: Gate, power: float) -> OnlineWorld:
    truth = levels(plan, won) | levels(plan, [harmed], gain=-2.0)
    found = Promise("rejected", lambda found: found.outcomes.get(Outcome.REJECT, 0), power, False)
    name = f"{harmed.metric} worse by twice its limit"
    return OnlineWorld(name, World(levels=truth), (_shipped(harmed.alpha), found))


def _graduated(power: float) -> Promise:
    return Promise("graduated", lambda found: found.outcomes.get(Outcome.GRADUATE, 0), power, False)


def _shipped(alpha: float) -> Promise:
    """Promise that what should not pass seldom does: half of alpha lies on that side."""
    return _graduated(alpha / 2)._replace(is_ceiling=True)


def assumed(plan: OnlinePlan) -> OnlinePlan:
    """Return the plan with something to expect of every metric, so that users can be made up.

    A proportion without one is taken to be a tenth, or as large as its margin asks for; a mean gets
    a spread at which its gate has a power of 95 %.
    """
    limits = {gate.metric: gate.margin or gate.min_effect or 0.0 for gate in plan.gates}
    return replace(
        plan,
        metrics=tuple(
            _assumed(metric, limits.get(metric.name, 0.0), plan.max_units)
            for metric in plan.metrics
        ),
    )


def _assumed(metric: Metric, limit: float, max_units: int) -> Metric:
    if metric.kind is MetricKind.PROPORTION:
        expected = max(0.1, min(0.5, 2 * limit)) if metric.expected is None else metric.expected
        return replace(metric, expected=expected)
    if metric.expected_sd is not None:
        return replace(metric, expected=metric.expected or 0.0)
    errors = 2 * (1.96 + 1.645) * math.sqrt(1.7)  # of an open-ended plan at .05, the largest
    spread = (limit or 1.0) * math.sqrt(max_units) / errors
    return replace(metric, expected=metric.expected or 0.0, expected_sd=spread)


def _standard_error(share: float, tests: int) -> float:
    return math.sqrt(share * (1 - share) / tests)


def levels(
    plan: OnlinePlan, gates: list[Gate], gain: float = 1.0
) -> dict[str, tuple[float, float]]:
    """Return the levels at which the gates' metrics gain so many times what is looked for."""
    metrics = {metric.name: metric for metric in plan.metrics}
    found = {}
    for gate in gates:
        metric = metrics[gate.metric or ""]
        # a strict gate asks for a gain that is surely as large, so it is given twice as much
        size = (gate.margin or gate.min_effect or 0.0) * (2.0 if gate.strict else 1.0)
        control = metric.expected or 0.0
        treatment = control + gain * metric.direction.sign * size
        if metric.kind is MetricKind.PROPORTION:
            treatment = min(max(treatment, 0.0), 1.0)
        found[metric.name] = (control, treatment)
    return found


def _built_in_plan() -> OnlinePlan:
    """Return a plan with three gates and as many units as they need, and no more."""
    endless = OnlinePlan(
        metrics=(
            Metric(
                name="task_success",
                kind=MetricKind.PROPORTION,
                direction=Direction.HIGHER,
                unit="fraction",
                concern=Concern.ACCURACY,
                expected=0.45,
            ),
            Metric(
                name="slow_answer",
                kind=MetricKind.PROPORTION,
                direction=Direction.LOWER,
                unit="fraction",
                concern=Concern.LATENCY,
                expected=0.1,
            ),
            Metric(
                name="cost_usd",
                kind=MetricKind.MEAN,
                direction=Direction.LOWER,
                unit="usd",
                concern=Concern.COST,
                expected=0.001,
                expected_sd=0.001,
            ),
        ),
        gates=(
            Gate(kind=GateKind.SUPERIORITY, metric="task_success", min_effect=0.05),
            Gate(kind=GateKind.NON_INFERIORITY, metric="slow_answer", margin=0.05),
            Gate(kind=GateKind.NON_INFERIORITY, metric="cost_usd", margin=0.0001),
        ),
        max_units=10**9,
        hold=Hold(min_units=100, min_hours=0.0),
        health=Health(min_units=200, min_days=1.0),
    )
    return replace(endless, max_units=max(sizing.units_needed for sizing in sizings(endless)))


BUILT_IN_PLAN = _built_in_plan()
BUILT_IN_METRIC = Metric(
    name="ndcg_at_10", kind=MetricKind.MEAN, direction=Direction.HIGHER, unit="fraction"
)
BUILT_IN_GATE = Gate(kind=GateKind.SUPERIORITY, metric="ndcg_at_10", min_effect=0.02)

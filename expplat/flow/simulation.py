"""simulation: online tests of users that do not exist, read by the functions that read real ones.

Every simulated test is read at even steps of its plan by `flow.reading`, on sums as the database
makes them, and ended by what the gates decide. What is true of the users is said by a `World`, so
that false passes and missed effects can be counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from expplat.domain.decision import Action, Decision, Outcome
from expplat.domain.gate import Ruling
from expplat.domain.metric import Metric, MetricKind
from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.domain.online import ArmStatistics, Look, Snapshot
from expplat.domain.proposal import OnlinePlan
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.look import decision_of
from expplat.flow.reading import read

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
"""When every simulated test was opened."""

LOOKS = 50
"""Looks at a whole plan."""

DRAWN_ONE_BY_ONE = 2_000
"""Units of a step up to which every value is drawn by itself; of larger steps the sums are drawn,
which are normal by then."""

Counts: TypeAlias = NDArray[np.int64]
Told: TypeAlias = Callable[[], None]
"""Called after each simulated test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is true of the users."""

    levels: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Mean by metric under control and under treatment, in its unit; a metric that is not named has
    what it expects under both."""

    treated_share: float = 0.5
    """Chance that a unit is counted under treatment, 0 to 1."""

    days: float | None = None
    """In which the looks are taken; None for the days of the plan."""

    units_until: float = 1.0
    """Share of the looks after which nobody comes any more."""

    units: float = 1.0
    """Units that come, as a share of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walked:
    """One simulated test at its end."""

    decision: Decision
    look: Look
    """The look that the decision stands on."""

    looks: int
    """Looks that were taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What came of many tests."""

    tests: int
    outcomes: Mapping[Outcome, int]
    actions: Mapping[Action, int]
    failed: Mapping[str, int]
    """Tests that ended on a failed gate, by its metric, or by its kind where it has none."""

    plan_used: float
    """Mean share of the plan's units at the end."""

    looks: float
    """Mean number of looks."""

    def share(self, outcome: Outcome) -> float:
        """Return the share of the tests that ended so, 0 to 1."""
        return self.outcomes.get(outcome, 0) / self.tests


def simulate(
    plan: OnlinePlan,
    world: World,
    tests: int,
    *,
    seed: int = 7,
    looks: int = LOOKS,
    told: Told = lambda: None,
) -> Simulated:
    """Run many tests of a plan in one world, each to its end.

    Args:
        plan: Each of its metrics says what to expect.
        world: What is true.
        tests: How many, at least 1.
        seed: The same seed gives the same answer.
        looks: Looks at a whole plan, at least 1.
        told: Called after each test.
    """
    draw = np.random.default_rng(seed)
    outcomes: Counter[Outcome] = Counter()
    actions: Counter[Action] = Counter()
    failed: Counter[str] = Counter()
    used = taken = 0.0
    for _ in range(tests):
        walked = walk(plan, world, draw, looks)
        outcomes[walked.decision.outcome] += 1
        actions[walked.decision.action] += 1
        failed.update(failed_gates(walked.look))
        used += walked.look.snapshot.units / plan.max_units
        taken += walked.looks
        told()
    return Simulated(
        tests=tests,
        outcomes=outcomes,
        actions=actions,
        failed=failed,
        plan_used=used / tests,
        looks=taken / tests,
    )


def walk(plan: OnlinePlan, world: World, draw: np.random.Generator, looks: int = LOOKS) -> Walked:
    """Run one test until something follows from it, or nobody looks any more."""
    past: tuple[Look, ...] = ()
    days = plan.max_days if world.days is None else world.days
    for number, arms in enumerate(arms_at_looks(plan, world, draw, looks), start=1):
        day = min(number * days / looks, plan.max_days)
        past = (*past, read(plan, snapshot_of(arms, day, watermark=number), past))
        decision = decision_of(plan, past[-1])
        if decision.action is not Action.KEEP_RUNNING:
            break
    return Walked(decision=decision, look=past[-1], looks=len(past))


def failed_gates(look: Look) -> set[str]:
    """Return the gates that failed, by metric, or by kind where they have none."""
    return {
        verdict.gate.metric or verdict.gate.kind
        for verdict in look.verdicts
        if verdict.ruling is Ruling.FAIL
    }


def snapshot_of(arms: tuple[ArmStatistics, ArmStatistics], day: float, watermark: int) -> Snapshot:
    """Return a snapshot of control and treatment, so many days after the test began."""
    return Snapshot(
        slug="simulated",
        phase=1,
        watermark=watermark,
        started_at=STARTED,
        taken_at=STARTED + timedelta(days=day),
        arms={CONTROL: arms[0], TREATMENT: arms[1]},
        multiple_exposures=0,
    )


def arms_at_looks(
    plan: OnlinePlan, world: World, draw: np.random.Generator, looks: int
) -> list[tuple[ArmStatistics, ArmStatistics]]:
    """Return the statistics of both variants at every look, added up as the units come."""
    by_then = np.round(np.arange(looks + 1) * world.units * plan.max_units / looks)
    new: Counts = np.diff(by_then).astype(np.int64)
    new[math.ceil(world.units_until * looks) :] = 0
    treated: Counts = draw.binomial(new, world.treated_share)
    units_of = {CONTROL: new - treated, TREATMENT: treated}
    control, treatment = (
        _arm_at_looks(plan.metrics, {name: both[place] for name, both in world.levels.items()},
                      units_of[variant], draw)
        for place, variant in enumerate((CONTROL, TREATMENT))
    )  # fmt: skip
    return list(zip(control, treatment, strict=True))


def _arm_at_looks(
    metrics: tuple[Metric, ...],
    levels: Mapping[str, float],
    units: Counts,
    draw: np.random.Generator,
) -> list[ArmStatistics]:
    gathered = units.cumsum()
    found = {
        metric.name: _moments_at_looks(
            metric, levels.get(metric.name, metric.expected or 0.0), units, draw
        )
        for metric in metrics
    }
    return [
        ArmStatistics(
            units=int(n), metrics={name: moments[look] for name, moments in found.items()}
        )
        for look, n in enumerate(gathered)
    ]


def _moments_at_looks(
    metric: Metric, level: float, units: Counts, draw: np.random.Generator
) -> list[Moments]:
    gathered = units.cumsum()
    if metric.kind is MetricKind.PROPORTION:
        hits = draw.binomial(units, level).cumsum()
        return [_share(int(n), int(k)) for n, k in zip(gathered, hits, strict=True)]
    spread = metric.expected_sd or 0.0
    sums = np.array([_centred_sums(level, spread, int(n), draw) for n in units]).cumsum(axis=0)
    return [
        Moments(n=int(n), mean=level + total / n, m2=max(0.0, squares - total * total / n))
        if n
        else NO_MOMENTS
        for n, (total, squares) in zip(gathered, sums.tolist(), strict=True)
    ]


def _share(n: int, hits: int) -> Moments:
    return Moments(n=n, mean=hits / n, m2=hits * (n - hits) / n) if n else NO_MOMENTS


def _centred_sums(
    level: float, spread: float, n: int, draw: np.random.Generator
) -> tuple[float, float]:
    """Return sum and sum of squares of n values less their true mean.

    Values above 0 are skewed (gamma), as times and costs are; others are normal.
    """
    if n > DRAWN_ONE_BY_ONE:
        return draw.normal(0.0, spread * math.sqrt(n)), spread * spread * draw.chisquare(n)
    if level > 0 and spread > 0:
        values = draw.gamma((level / spread) ** 2, spread * spread / level, n) - level
    else:
        values = draw.normal(0.0, spread, n)
    return float(values.sum()), float(values @ values)

"""What the online half decides over whole tests, by simulation through the functions that decide.

Every simulated test is read at every two hundredths of its plan by `flow.look.read`, on sums as the
database makes them, and ended by `gates.decision.decide`. Each bound is widened by three standard
errors of the simulation itself; `pytest -s` prints what was found.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from expplat.domain.gate import Gate, GateKind, Ruling
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Snapshot
from expplat.domain.proposal import Health, Hold, OnlinePlan
from expplat.flow.look import is_news, read
from expplat.flow.plan import sizings
from expplat.flow.watch import is_spent
from expplat.gates.decision import Action, decide, is_harm
from expplat.stats.srm import sample_ratio

STARTED = datetime(2026, 1, 1, tzinfo=UTC)
MARGIN = 0.05
COST_MARGIN = 0.0001

SUCCESS = Metric(
    name="task_success",
    kind=MetricKind.PROPORTION,
    direction=Direction.HIGHER,
    unit="fraction",
    concern=Concern.ACCURACY,
    expected=0.45,
)
SLOW = Metric(
    name="slow_answer",
    kind=MetricKind.PROPORTION,
    direction=Direction.LOWER,
    unit="fraction",
    concern=Concern.LATENCY,
    expected=0.1,
)
COST = Metric(
    name="cost",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="usd",
    concern=Concern.COST,
    expected=0.001,
    expected_sd=0.001,
)
GATES = (
    Gate(kind=GateKind.SUPERIORITY, metric="task_success", min_effect=0.05),
    Gate(kind=GateKind.NON_INFERIORITY, metric="slow_answer", margin=MARGIN),
    Gate(kind=GateKind.NON_INFERIORITY, metric="cost", margin=COST_MARGIN),
)
ENDLESS = OnlinePlan(
    metrics=(SUCCESS, SLOW, COST),
    gates=GATES,
    max_units=10**9,
    max_days=28.0,
    hold=Hold(min_units=100, min_hours=0.0),
    health=Health(min_units=200, min_days=1.0),
)
PLAN = replace(ENDLESS, max_units=max(sizing.units_needed for sizing in sizings(ENDLESS)))
"""As many units as `flow.plan` says that it needs, and no more."""

GOAL_ONLY = replace(ENDLESS, metrics=(SUCCESS,), gates=GATES[:1])

LATE = replace(GOAL_ONLY, health=Health(min_units=200, min_days=15.0))

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@dataclass(frozen=True)
class World:
    """What is true of the users."""

    success: tuple[float, float] = (0.45, 0.45)
    slow: tuple[float, float] = (0.1, 0.1)
    cost: tuple[float, float] = (0.001, 0.001)
    days: float = 20.0
    """In which the looks are taken."""

    users_until: float = 1.0
    """Share of the looks after which nobody comes any more."""

    units: float = 1.0
    """Units that come, as a share of the plan."""


def arms(plan, world, draw, looks):
    """Moments of both arms at every look, added up as the units come."""
    new = np.diff(np.round(np.arange(looks + 1) * world.units * plan.max_units / looks).astype(int))
    new[math.ceil(world.users_until * looks) :] = 0
    treated = draw.binomial(new, 0.5)
    found = []
    for place, units in enumerate((new - treated, treated)):
        n = units.cumsum()
        # users' costs are exponential: skewed, with a standard deviation as large as the mean
        values = draw.exponential(world.cost[place], int(n[-1]))
        total, squares = values.cumsum()[n - 1], (values**2).cumsum()[n - 1]
        shares = {
            "task_success": draw.binomial(units, world.success[place]).cumsum(),
            "slow_answer": draw.binomial(units, world.slow[place]).cumsum(),
        }
        found.append([
            ArmStatistics(units=int(n[look]), metrics={
                "cost": Moments(
                    n=int(n[look]), mean=total[look] / n[look],
                    m2=squares[look] - total[look] ** 2 / n[look],
                ),
                **{name: proportion(int(n[look]), int(hits[look]))
                   for name, hits in shares.items()},
            })
            for look in range(looks)
        ])  # fmt: skip
    return list(zip(*found, strict=True))


def proportion(n, hits):
    return Moments(n=n, mean=hits / n, m2=hits * (n - hits) / n)


def snapshot(pair, days, watermark):
    return Snapshot(
        slug="poc",
        phase=1,
        watermark=watermark,
        started_at=STARTED,
        taken_at=STARTED + timedelta(days=days),
        arms=dict(zip(("control", "treatment"), pair, strict=True)),
        multiple_exposures=0,
    )


def walk(plan, world, draw, looks=50):
    """Run one test to its end; return the action, the look that it stands on, and all looks."""
    past = ()
    for number, pair in enumerate(arms(plan, world, draw, looks), start=1):
        day = number * world.days / looks
        look = read(plan, snapshot(pair, min(day, plan.max_days), number), past)
        past = (*past, look)
        decision = decide(look.verdicts, final=is_spent(plan, look))
        if decision.action is not Action.KEEP_RUNNING:
            return decision.action, look, past
    return Action.KEEP_RUNNING, look, past


@dataclass(frozen=True)
class Found:
    """What came of many tests."""

    name: str
    tests: int
    actions: Counter
    failed: Counter
    """Tests that ended on a failed gate, by its metric or kind."""

    plan_used: float
    """Mean share of the plan's units at the end."""

    looks: float
    """Mean number of looks."""

    def share(self, action):
        return self.actions[action] / self.tests

    def slack(self, bound):
        """Three standard errors of the simulation at the bound."""
        return 3 * math.sqrt(bound * (1 - bound) / self.tests)

    def __str__(self):
        shares = {str(key): round(count / self.tests, 4) for key, count in self.actions.items()}
        failed = {key: round(count / self.tests, 4) for key, count in self.failed.items()}
        worst = 0.5 / math.sqrt(self.tests)
        return (
            f"{self.name} ({self.tests} tests, s.e. {self.slack(0.025) / 3:.4f} at .025, at most "
            f"{worst:.4f}): {shares}, ended by {failed}, {self.plan_used:.3f} of the plan used, "
            f"{self.looks:.1f} looks"
        )


def many(name, plan, world, tests, seed=7):
    draw = np.random.default_rng(seed)
    actions, failed, used, looks = Counter(), Counter(), 0.0, 0
    for _ in range(tests):
        action, look, past = walk(plan, world, draw)
        actions[action] += 1
        failed.update({v.gate.metric or v.gate.kind.value
                       for v in look.verdicts if v.ruling is Ruling.FAIL})  # fmt: skip
        used += look.snapshot.units / plan.max_units
        looks += len(past)
    found = Found(name, tests, actions, failed, used / tests, looks / tests)
    print(f"\n{found}")
    return found


def test_a_treatment_without_effect_graduates_at_most_one_time_in_forty():
    found = many("no effect, nothing harmed", PLAN, World(), 2500)

    assert found.share(Action.GRADUATE) <= 0.025 + found.slack(0.025)
    assert found.failed["slow_answer"] + found.failed["cost"] <= 0.001 * found.tests
    assert found.failed["srm"] <= (0.001 + found.slack(0.001)) * found.tests
    assert found.plan_used <= 0.7


def test_the_size_that_the_plan_asks_for_has_the_power_that_it_says():
    found = many("effect as planned, nothing harmed", PLAN, World(success=(0.45, 0.50)), 1500)

    assert found.share(Action.GRADUATE) >= 0.80
    assert found.plan_used <= 0.75


def test_a_single_goal_has_its_power_and_is_seldom_called_futile_by_mistake():
    plan = replace(GOAL_ONLY, max_units=sizings(GOAL_ONLY)[0].units_needed)

    found = many("effect as planned, one gate", plan, World(success=(0.45, 0.50)), 2500)

    assert found.share(Action.GRADUATE) >= 0.80 - found.slack(0.80)
    assert found.failed["task_success"] <= 0.03 * found.tests


def test_a_guardrail_at_its_margin_does_not_ship():
    world = World(success=(0.45, 0.55), slow=(0.10, 0.10 + MARGIN))

    found = many("goal won, a guardrail at its margin", PLAN, world, 1500)

    assert found.share(Action.GRADUATE) <= 0.025 + found.slack(0.025)
    # both intervals may call it harmed: .025 by the repeated one, .005 by the anytime one
    assert found.failed["slow_answer"] <= (0.03 + found.slack(0.03)) * found.tests


def test_a_winner_that_harms_nothing_ships():
    found = many("goal won, nothing harmed", PLAN, World(success=(0.45, 0.525)), 1000)

    assert found.share(Action.GRADUATE) >= 0.87
    assert found.failed["slow_answer"] + found.failed["cost"] == 0


def test_a_worse_treatment_never_graduates_and_ends_early():
    found = many("worse by what matters", PLAN, World(success=(0.45, 0.40)), 2000)

    assert found.share(Action.GRADUATE) <= 0.002
    assert found.plan_used <= 0.4


@pytest.mark.parametrize(
    ("name", "plan", "world"),
    [
        ("days end at three fifths of the units", replace(GOAL_ONLY, max_days=12.0), World()),
        ("nobody comes in the last days", GOAL_ONLY, World(days=28.0, users_until=0.6)),
        ("all units are there before the days are", LATE, World(units=1.5)),
    ],
)
def test_the_level_holds_where_days_and_units_do_not_end_together(name, plan, world):
    plan = replace(plan, max_units=PLAN.max_units)

    found = many(name, plan, world, 1500)

    assert found.share(Action.GRADUATE) <= 0.025 + found.slack(0.025)
    assert found.share(Action.HOLD) == found.share(Action.KEEP_RUNNING) == 0


def test_a_rare_event_is_no_harm_by_chance_and_is_caught_where_it_is_real():
    gates = (GATES[0], replace(GATES[1], margin=0.005), GATES[2])
    plan = replace(PLAN, gates=gates)
    same = many("rare events, the same", plan, World(slow=(0.001, 0.001)), 700)
    real = many("rare events, 0 against 2 %", plan, World(slow=(0.0, 0.02)), 300)
    many_more = many("rare events, 0 against 10 %", plan, World(slow=(0.0, 0.10)), 300)

    assert same.failed["slow_answer"] == 0
    assert real.share(Action.ROLL_BACK) == many_more.share(Action.ROLL_BACK) == 1
    assert real.plan_used <= 0.5
    assert many_more.looks <= 6


def test_the_planned_split_is_seldom_called_mismatched():
    tests, looks, alpha = 15_000, 40, 0.001
    draw = np.random.default_rng(11)
    arrived = np.full((tests, looks), 200)
    treated = draw.binomial(arrived, 0.5).cumsum(axis=1)
    units = arrived.cumsum(axis=1)
    alarms = sum(
        any(
            sample_ratio((int(n - t), int(t)), (0.5, 0.5)).p <= alpha
            for n, t in zip(units[test], treated[test], strict=True)
        )
        for test in range(tests)
    )
    error = math.sqrt(alpha * (1 - alpha) / tests)
    print(f"\nsplit as planned: {alarms / tests:.5f} alarms at {alpha} (s.e. {error:.5f})")

    assert alarms / tests <= 0.0017


def test_a_watcher_of_every_minute_leaves_few_looks_and_finds_harm_at_once():
    plan = replace(PLAN, max_units=40_320)
    past, harmed_at = (), 30_000
    for minute in range(2, 28 * 24 * 60):
        n = minute // 2
        slow = 0.1 + 0.9 * max(0, minute - harmed_at) / minute
        pair = [
            ArmStatistics(units=n, metrics={
                "task_success": proportion(n, round((0.45 + 0.05 * place) * n)),
                "slow_answer": proportion(n, round((slow if place else 0.1) * n)),
                "cost": Moments(n=n, mean=0.001, m2=1e-6 * n),
            })
            for place in (0, 1)
        ]  # fmt: skip
        look = read(plan, snapshot(pair, minute / 1440, minute), past)
        if is_news(look, past, plan):
            past = (*past, look)
        if any(is_harm(verdict) for verdict in look.verdicts):
            break
    decisive = sum(written.information_fraction > 0 for written in past)
    print(
        f"\n{minute} readings: {len(past)} looks, {decisive} of them decisive; all treated units "
        f"slow from minute {harmed_at} on are proven harm at minute {minute}"
    )

    assert minute > harmed_at
    assert past[-1] is look
    assert decide(past[-1].verdicts, final=False).action is Action.ROLL_BACK
    assert len(past) <= 300
    assert decisive <= 201

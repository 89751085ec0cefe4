"""The self-test: what is made up, what is promised of it, and that a broken gate is found."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from expplat.domain.decision import Outcome
from expplat.domain.gate import Gate, GateKind, Ruling
from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.flow import reading, replay_simulation, selftest_worlds
from expplat.flow.plan import level_of, power_of, sizings
from expplat.flow.replay_simulation import FINEST, REQUESTS, passes, trial_of
from expplat.flow.selftest import Trials, selftest
from expplat.flow.selftest_worlds import (
    BUILT_IN_GATE,
    BUILT_IN_METRIC,
    BUILT_IN_PLAN,
    Rate,
    assumed,
    online_worlds,
)
from expplat.flow.simulation import World, arms_at_looks, simulate
from expplat.gates import judge
from tests.builders import a_proposal


def told(_done, _total):
    pass


def by_name(rates):
    return {(rate.world, rate.counted): rate for rate in rates}


@pytest.mark.long
def test_the_built_in_plan_keeps_what_it_promises():
    rates = selftest(None, Trials(60, 3, told))

    assert [rate for rate in rates if not rate.holds] == []
    assert len(rates) == 8
    assert {rate.tests for rate in rates} == {60}


def test_the_same_seed_gives_the_same_rates_and_progress_is_told_to_its_end():
    steps = []

    one = selftest(None, Trials(3, 5, lambda done, total: steps.append((done, total))))
    other = selftest(None, Trials(3, 5, told))

    assert one == other
    assert steps[0] == (1, 21)
    assert steps[-1] == (21, 21)


def test_a_gate_that_lets_everything_pass_is_found(monkeypatch):
    def open_gate(gate, effect, *, sized=False):
        return replace(judge(gate, effect, sized=sized), ruling=Ruling.PASS)

    monkeypatch.setattr(reading, "judge", open_gate)
    monkeypatch.setattr(replay_simulation, "judge", open_gate)

    rates = by_name(selftest(None, Trials(8, 3, told)))

    broken = {name for name, rate in rates.items() if not rate.holds}
    assert ("no effect", "graduated") in broken
    assert ("slow_answer at its margin, success won", "graduated") in broken
    assert ("replay without effect", "passed") in broken


def test_a_gate_that_lets_nothing_pass_is_found(monkeypatch):
    def shut_gate(gate, effect, *, sized=False):
        return replace(judge(gate, effect, sized=sized), ruling=Ruling.UNKNOWN)

    monkeypatch.setattr(reading, "judge", shut_gate)
    monkeypatch.setattr(replay_simulation, "judge", shut_gate)

    rates = by_name(selftest(None, Trials(8, 3, told)))

    broken = {name for name, rate in rates.items() if not rate.holds}
    assert ("effect as planned", "graduated") in broken
    assert ("slow_answer worse by twice its limit", "rejected") in broken
    assert ("replay with a planted gain", "passed") in broken


@pytest.mark.parametrize(
    ("found", "is_ceiling", "holds"),
    [(25, True, True), (48, True, False), (47, True, True), (2, False, False), (4, False, True)],
)
def test_a_rate_may_be_three_standard_errors_beyond_its_bound(found, is_ceiling, holds):
    # at .025 of 400 tests one standard error is .0078, so three are 9.4 tests
    rate = Rate("w", "c", found=found - 28 if is_ceiling else found - 3, tests=400,
                bound=0.025, is_ceiling=is_ceiling)  # fmt: skip

    assert rate.holds is holds


def test_a_rate_of_nothing_still_has_an_error():
    rate = Rate("w", "c", found=0, tests=400, bound=0.025, is_ceiling=True)

    assert rate.rate == 0
    assert rate.measured_error == pytest.approx(0.0035, abs=0.0001)


def test_a_plan_that_does_not_say_what_to_expect_is_given_something_that_its_gates_can_find():
    proposal = a_proposal()

    plan = assumed(proposal.online)

    assert all(metric.expected is not None for metric in plan.metrics)
    assert [metric.expected_sd is None for metric in plan.metrics] == [True, False, False]
    assert power_of(plan) > 0.5
    names = [world.name for world in online_worlds(plan)]
    assert "latency_ms at its margin, success won" in names


def test_a_proposal_is_tried_with_its_own_plan_and_its_first_offline_gate():
    proposal = a_proposal(metrics=("recall_at_5", "latency_ms"))

    rates = selftest(proposal, Trials(8, 4, told))

    assert [rate for rate in rates if not rate.holds] == []
    assert {"latency_ms worse by twice its limit", "replay without effect"} <= {
        rate.world for rate in rates
    }


def test_a_plan_without_guardrails_is_harmed_on_its_goal():
    plan = replace(BUILT_IN_PLAN, metrics=BUILT_IN_PLAN.metrics[:1], gates=BUILT_IN_PLAN.gates[:1])

    worlds = {world.name: world for world in online_worlds(plan)}

    assert "task_success worse by twice its limit" in worlds
    assert len(worlds) == 4
    low, high = worlds["task_success worse by twice its limit"].truth.levels["task_success"]
    assert (low, high) == (0.45, pytest.approx(0.35))


def test_where_any_goal_may_win_only_one_is_planted_and_alpha_is_shared():
    goal = BUILT_IN_PLAN.gates[0]
    other = replace(BUILT_IN_PLAN.metrics[0], name="other")
    plan = replace(
        BUILT_IN_PLAN,
        metrics=(*BUILT_IN_PLAN.metrics, other),
        gates=(*BUILT_IN_PLAN.gates, replace(goal, metric="other")),
        winning="any",
    )

    worlds = {world.name: world for world in online_worlds(plan)}

    assert set(worlds["effect as planned"].truth.levels) == {"task_success"}
    assert worlds["no effect"].promises[0].bound == 0.025
    assert [level_of(gate, plan) for gate in plan.gates] == [0.025, 0.05, 0.05, 0.025]
    both = replace(plan, winning="all")
    assert set(online_worlds(both)[1].truth.levels) == {"task_success", "other"}


def test_a_strict_goal_is_given_twice_the_effect_that_it_asks_for():
    strict = replace(BUILT_IN_PLAN.gates[0], strict=True)
    plan = replace(BUILT_IN_PLAN, gates=(strict, *BUILT_IN_PLAN.gates[1:]))

    truth = online_worlds(plan)[1].truth

    assert truth.levels["task_success"] == (0.45, pytest.approx(0.55))


def test_users_have_the_levels_and_the_spread_of_their_world():
    plan = replace(BUILT_IN_PLAN, max_units=40_000)
    world = World(levels={"task_success": (0.4, 0.5), "cost_usd": (0.001, 0.002)})
    draw = np.random.default_rng(1)

    for looks in (1, 50):  # one large step is drawn by its sums, fifty are drawn one by one
        control, treatment = arms_at_looks(plan, world, draw, looks)[-1]

        assert control.units + treatment.units == 40_000
        assert control.units == pytest.approx(20_000, abs=400)
        assert treatment.moments("task_success").mean == pytest.approx(0.5, abs=0.015)
        cost = treatment.moments("cost_usd")
        assert cost.mean == pytest.approx(0.002, abs=0.00003)
        assert (cost.m2 / cost.n) ** 0.5 == pytest.approx(0.001, rel=0.05)


def test_sums_only_grow_and_nobody_comes_after_the_last_user():
    world = World(units_until=0.5, units=1.2)

    arms = arms_at_looks(BUILT_IN_PLAN, world, np.random.default_rng(1), 10)

    units = [control.units + treatment.units for control, treatment in arms]
    assert units == sorted(units)
    assert units[4:] == [units[4]] * 6
    assert units[4] == pytest.approx(0.6 * BUILT_IN_PLAN.max_units, abs=1)


def test_a_world_nobody_comes_to_is_inconclusive():
    found = simulate(BUILT_IN_PLAN, World(units_until=0.0), 3, looks=5)

    assert found.outcomes == {Outcome.INCONCLUSIVE: 3}
    assert found.plan_used == 0


SHARE = Metric(
    name="exact_match", kind=MetricKind.PROPORTION, direction=Direction.HIGHER, unit="fraction"
)


@pytest.mark.parametrize("metric", [BUILT_IN_METRIC, SHARE], ids=["mean", "proportion"])
def test_a_planted_gain_passes_a_replay_and_none_seldom_does(metric):
    gate = replace(BUILT_IN_GATE, min_effect=0.1)
    trial, draw = trial_of(gate, metric), np.random.default_rng(2)

    found = [sum(passes(trial, gain, draw) for _ in range(25)) for gain in (0.0, 2.0)]

    assert found[0] <= 4
    assert found[1] >= 21


def test_a_gate_is_tried_with_its_own_alpha_and_limit():
    gate = Gate(kind=GateKind.SUPERIORITY, metric="m", min_effect=3.0, alpha=0.01, strict=True)

    trial = trial_of(gate, BUILT_IN_METRIC)

    assert (trial.gate.min_effect, trial.gate.alpha, trial.gate.strict) == (3.0, 0.01, False)
    assert trial.requests == REQUESTS


def test_a_proportion_finer_than_can_be_tried_is_tried_coarser():
    trial = trial_of(replace(BUILT_IN_GATE, min_effect=0.0001), SHARE)

    assert (trial.gate.min_effect, trial.requests) == (FINEST, 4000)


def test_the_built_in_plan_has_just_the_units_that_it_needs():
    assert BUILT_IN_PLAN.max_units == max(s.units_needed for s in sizings(BUILT_IN_PLAN))
    assert selftest_worlds.LEAST_POWER <= power_of(BUILT_IN_PLAN) < 0.9

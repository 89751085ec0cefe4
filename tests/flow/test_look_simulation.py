"""What the online half decides over whole tests, by simulation through the functions that decide.

Every simulated test is read at every two hundredths of its plan by `flow.reading.read`, on sums as
the database makes them, and ended by `gates.decision.decide`. Each bound is widened by three
standard errors of the simulation itself; `pytest -s` prints what was found.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from expplat.domain.decision import Action, Outcome
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics
from expplat.domain.proposal import Health
from expplat.flow.look import is_news
from expplat.flow.plan import sizings
from expplat.flow.reading import read
from expplat.flow.selftest_worlds import BUILT_IN_PLAN
from expplat.flow.simulation import LOOKS, World, arms_at_looks, simulate, snapshot_of, walk
from expplat.gates.decision import decide, is_harm
from expplat.stats.srm import sample_ratio
from expplat.stats.two_sample import difference

PLAN = BUILT_IN_PLAN
"""As many units as `flow.plan` says that it needs, and no more."""

ENDLESS = replace(PLAN, max_units=10**9)
SUCCESS, GATES = PLAN.metrics[0], PLAN.gates
MARGIN = GATES[1].margin

GOAL_ONLY = replace(ENDLESS, metrics=(SUCCESS,), gates=GATES[:1])

LATE = replace(GOAL_ONLY, health=Health(min_units=200, min_days=15.0))

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


def world(success=(0.45, 0.45), slow=(0.1, 0.1), cost=(0.001, 0.001), **truth):
    levels = {"task_success": success, "slow_answer": slow, "cost_usd": cost}
    return World(levels=levels, **{"days": 20.0} | truth)


def many(name, plan, truth, tests, looks=LOOKS):
    found = simulate(plan, truth, tests, looks=looks)
    shares = {str(key): round(count / tests, 4) for key, count in found.outcomes.items()}
    failed = {str(key): round(count / tests, 4) for key, count in found.failed.items()}
    print(
        f"\n{name} ({tests} tests, s.e. {math.sqrt(0.025 * 0.975 / tests):.4f} at .025, at most "
        f"{0.5 / math.sqrt(tests):.4f}): {shares}, ended by {failed}, {found.plan_used:.3f} of the "
        f"plan used, {found.looks:.1f} looks"
    )
    return found


def slack(found, bound):
    """Three standard errors of the simulation at the bound."""
    return 3 * math.sqrt(bound * (1 - bound) / found.tests)


def test_a_treatment_without_effect_graduates_at_most_one_time_in_forty():
    found = many("no effect, nothing harmed", PLAN, world(), 2500)

    assert found.share(Outcome.GRADUATE) <= 0.025 + slack(found, 0.025)
    assert (
        found.failed.get("slow_answer", 0) + found.failed.get("cost_usd", 0) <= 0.001 * found.tests
    )
    assert found.failed.get("srm", 0) <= (0.001 + slack(found, 0.001)) * found.tests
    assert found.plan_used <= 0.7


def test_the_size_that_the_plan_asks_for_has_the_power_that_it_says():
    found = many("effect as planned, nothing harmed", PLAN, world(success=(0.45, 0.50)), 1500)

    assert found.share(Outcome.GRADUATE) >= 0.80
    assert found.plan_used <= 0.75


def test_reading_often_costs_little_of_the_power_of_reading_once():
    truth = world(success=(0.45, 0.50))
    plan = replace(GOAL_ONLY, max_units=sizings(GOAL_ONLY)[0].units_needed)
    tests, looks = 2500, 20
    often = many("effect as planned, one gate, 20 looks", plan, truth, tests, looks)
    # of the same users, at the end alone
    draw = np.random.default_rng(7)
    ends = [arms_at_looks(plan, truth, draw, looks)[-1] for _ in range(tests)]
    once = sum(difference(*(arm.moments("task_success") for arm in end)).low > 0 for end in ends)
    print(
        f"\nread once: {once / tests:.4f}, ratio {often.share(Outcome.GRADUATE) * tests / once:.4f}"
    )

    assert often.share(Outcome.GRADUATE) >= 0.97 * once / tests


def test_a_single_goal_has_its_power_and_is_seldom_called_futile_by_mistake():
    plan = replace(GOAL_ONLY, max_units=sizings(GOAL_ONLY)[0].units_needed)

    found = many("effect as planned, one gate", plan, world(success=(0.45, 0.50)), 2500)

    assert found.share(Outcome.GRADUATE) >= 0.80 - slack(found, 0.80)
    assert found.failed.get("task_success", 0) <= 0.03 * found.tests


def test_a_guardrail_at_its_margin_does_not_ship():
    truth = world(success=(0.45, 0.55), slow=(0.10, 0.10 + MARGIN))

    found = many("goal won, a guardrail at its margin", PLAN, truth, 1500)

    assert found.share(Outcome.GRADUATE) <= 0.032
    # both intervals may call it harmed: .025 by the repeated one, .005 by the anytime one
    assert found.failed.get("slow_answer", 0) <= (0.03 + slack(found, 0.03)) * found.tests


def test_a_winner_that_harms_nothing_ships():
    found = many("goal won, nothing harmed", PLAN, world(success=(0.45, 0.525)), 1000)

    assert found.share(Outcome.GRADUATE) >= 0.87
    assert found.failed.get("slow_answer", 0) + found.failed.get("cost_usd", 0) == 0


def test_a_worse_treatment_never_graduates_and_ends_early():
    found = many("worse by what matters", PLAN, world(success=(0.45, 0.40)), 2000)

    assert found.share(Outcome.GRADUATE) <= 0.002
    assert found.plan_used <= 0.4


@pytest.mark.parametrize(
    ("name", "plan", "truth"),
    [
        ("days end at three fifths of the units", replace(GOAL_ONLY, max_days=12.0), world()),
        ("nobody comes in the last days", GOAL_ONLY, world(days=28.0, units_until=0.6)),
        ("all units are there before the days are", LATE, world(units=1.5)),
    ],
)
def test_the_level_holds_where_days_and_units_do_not_end_together(name, plan, truth):
    plan = replace(plan, max_units=PLAN.max_units)

    found = many(name, plan, truth, 1500)

    assert found.share(Outcome.GRADUATE) <= 0.025 + slack(found, 0.025)
    assert found.actions.keys().isdisjoint({Action.HOLD, Action.KEEP_RUNNING})


def test_a_rare_event_is_no_harm_by_chance_and_is_caught_where_it_is_real():
    gates = (GATES[0], replace(GATES[1], margin=0.005), GATES[2])
    plan = replace(PLAN, gates=gates)
    same = many("rare events, the same", plan, world(slow=(0.001, 0.001)), 700)
    real = many("rare events, 0 against 2 %", plan, world(slow=(0.0, 0.02)), 300)
    many_more = many("rare events, 0 against 10 %", plan, world(slow=(0.0, 0.10)), 300)

    assert same.failed.get("slow_answer", 0) == 0
    assert real.share(Outcome.REJECT) == many_more.share(Outcome.REJECT) == 1
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


def proportion(n, hits):
    return Moments(n=n, mean=hits / n, m2=hits * (n - hits) / n)


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
                "cost_usd": Moments(n=n, mean=0.001, m2=1e-6 * n),
            })
            for place in (0, 1)
        ]  # fmt: skip
        look = read(plan, snapshot_of(pair, minute / 1440, minute), past)
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


def several(success_true=0):
    """A plan in which one of three success metrics is enough, and the truth about them."""
    names = ("task_success", "second", "third")
    metrics = tuple(replace(SUCCESS, name=name) for name in names)
    gates = tuple(replace(GATES[0], metric=name) for name in names)
    plan = replace(ENDLESS, metrics=metrics, gates=gates, winning="any")
    plan = replace(plan, max_units=max(sizing.units_needed for sizing in sizings(plan)))
    levels = dict.fromkeys(names[:success_true], (0.45, 0.5))
    return plan, World(levels=levels, days=20.0)


def test_three_tries_are_no_better_than_one():
    won, lost = wins_and_losses("any of three, none true", *several(), 2000)

    assert won <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 2000)
    assert won + lost <= 0.05


def test_where_any_may_win_one_true_effect_is_enough_and_has_its_power():
    found = many("any of three, one true", *several(success_true=1), 800)

    assert found.share(Outcome.GRADUATE) >= 0.80 - slack(found, 0.80)


def test_an_open_ended_test_keeps_its_level_and_has_the_power_that_its_plan_says():
    plan = replace(GOAL_ONLY, mode="open_ended")
    plan = replace(plan, max_units=sizings(plan)[0].units_needed)
    rare = replace(
        plan,
        metrics=(replace(SUCCESS, expected=0.005),),
        gates=(replace(GATES[0], min_effect=0.002),),
    )
    rare = replace(rare, max_units=sizings(rare)[0].units_needed)

    null = wins_and_losses("open-ended, no effect", plan, world(), 1500)
    few = wins_and_losses("open-ended, half a per cent", rare, World(days=20.0), 1500)
    true = many("open-ended, effect as planned", plan, world(success=(0.45, 0.50)), 800)

    assert sum(null) <= 0.0605
    assert sum(few) <= 0.0605
    assert max(null[0], few[0]) <= 0.025 + 3 * math.sqrt(0.025 * 0.975 / 1500)
    assert true.share(Outcome.GRADUATE) >= 0.80 - slack(true, 0.80)


def wins_and_losses(name, plan, truth, tests):
    """Share of the tests that ended with a gain, and with a loss, that is not there."""
    draw = np.random.default_rng(7)
    ends = [walk(plan, truth, draw) for _ in range(tests)]
    won = sum(end.decision.outcome is Outcome.GRADUATE for end in ends) / tests
    lost = sum(any(is_harm(verdict) for verdict in end.look.verdicts) for end in ends) / tests
    print(f"\n{name} ({tests} tests): {won:.4f} called better, {lost:.4f} called worse")
    return won, lost

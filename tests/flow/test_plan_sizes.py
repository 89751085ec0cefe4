"""How many units a plan asks for before anyone is let in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.domain.gate import Ruling
from expplat.domain.metric import MetricKind
from expplat.flow.plan import plan_verdicts, power_of, sizings
from tests.builders import LATENCY, SUCCESS, a_proposal, non_inferiority, superiority

PLAN = replace(
    a_proposal().online,
    metrics=(replace(SUCCESS, expected=0.45),),
    gates=(superiority("task_success", 0.05),),
)


def with_latency(**changes):
    return replace(
        PLAN,
        metrics=(*PLAN.metrics, replace(LATENCY, **changes)),
        gates=(*PLAN.gates, non_inferiority("latency_ms", 20.0)),
    )


def test_a_single_gate_needs_the_units_of_eighty_per_cent_power():
    (sizing,) = sizings(PLAN)

    # (1.960 + 0.842)² · (.2475 + .25) / .05² in each variant, and 7.7 % for reading it often
    assert sizing.units_needed == pytest.approx(2 * 1.077 * 1561.9, abs=3)


def test_a_gate_more_makes_each_gate_need_more_units():
    (sizing,) = sizings(with_latency())

    # nine of ten each, so that eight of ten pass both
    assert sizing.units_needed == pytest.approx(2 * 1.077 * 2090.9, abs=3)


def test_a_guardrail_that_says_what_to_expect_is_sized_for_its_margin():
    plan = with_latency(kind=MetricKind.MEAN, expected=120.0, expected_sd=400.0)

    found = {sizing.metric: (sizing.distance, sizing.units_needed) for sizing in sizings(plan)}
    assert found["latency_ms"][0] == 20.0
    assert found["latency_ms"][1] == pytest.approx(2 * 1.077 * 8405.9, abs=3)


def test_a_guardrail_of_unknown_spread_is_not_sized():
    plan = with_latency(kind=MetricKind.MEAN, expected=120.0)

    assert [sizing.metric for sizing in sizings(plan)] == ["task_success"]


def test_a_plan_with_too_few_units_for_a_gate_is_refused_by_name():
    plan = replace(with_latency(expected=120.0, expected_sd=400.0), max_units=10_000)

    (verdict,) = plan_verdicts(plan)

    assert verdict.ruling is Ruling.FAIL
    assert verdict.sentence.startswith("latency_ms needs 18108 units to tell 20 apart")


def with_second_goal(**changes):
    second = replace(PLAN.metrics[0], name="second")
    return replace(
        PLAN,
        metrics=(*PLAN.metrics, second),
        gates=(*PLAN.gates, superiority("second", 0.05)),
        **changes,
    )


def test_where_any_goal_may_win_each_is_sized_to_win_alone_at_its_share_of_alpha():
    either, both = with_second_goal(winning="any"), with_second_goal()

    # (2.241 + 0.842)² · (.2475 + .25) / .05² in each variant: alpha .025, 80 % power
    assert [sizing.units_needed for sizing in sizings(either)] == pytest.approx(
        [2 * 1.077 * 1891.5] * 2, abs=3
    )
    # alpha .05 and 90 % power each, so that both pass with 80 %
    assert [sizing.units_needed for sizing in sizings(both)] == pytest.approx(
        [2 * 1.077 * 2090.9] * 2, abs=3
    )


def test_an_open_ended_plan_needs_two_thirds_more_units_than_a_test_read_once():
    (sizing,) = sizings(replace(PLAN, mode="open_ended"))

    assert sizing.units_needed == pytest.approx(2 * 1.68 * 1561.9, abs=3)


@pytest.mark.parametrize("winning", ["all", "any"])
@pytest.mark.parametrize("mode", ["planned", "open_ended"])
def test_a_plan_with_just_the_units_it_needs_has_the_power_that_was_asked_for(winning, mode):
    plan = with_second_goal(winning=winning, mode=mode)
    plan = replace(plan, max_units=sizings(plan)[0].units_needed)

    assert power_of(plan) == pytest.approx(0.8, abs=0.001)

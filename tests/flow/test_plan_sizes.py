"""How many units a plan asks for before anyone is let in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.domain.gate import Ruling
from expplat.domain.metric import MetricKind
from expplat.flow.plan import plan_verdicts, sizings
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

"""What a replay will take: recordings cost no calls, and variants without stages take time too."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from expplat.domain.proposal import Measurement, Variant
from expplat.domain.replay import (
    CONTROL,
    CONTROL_AGAIN,
    PRODUCTION_LOG,
    TREATMENT,
    CallRecord,
    ReplayRow,
)
from expplat.flow.replay_forecast import calls_made, calls_of, minutes_of
from tests.builders import a_plan, a_report, an_arm_summary

CALL = CallRecord(latency_ms=1.0, cpu_ms=1.0, cost_usd=Decimal(0), metrics={})
RECORDED = Variant(use="logged:theirs")


def a_plan_of(**variants):
    measurement = Measurement(aa_requests=60, repeats=2)
    return replace(a_plan(), requests=100, measurement=measurement, **variants)


@pytest.mark.parametrize(
    ("variants", "calls"),
    [
        ({}, 2 * 200 + 60),
        ({"control": RECORDED}, 200),
        ({"treatment": RECORDED}, 200 + 60),
        ({"control": RECORDED, "treatment": RECORDED}, 0),
    ],
)
def test_only_what_is_called_counts_as_calls(variants, calls) -> None:
    assert calls_of(a_plan_of(**variants)) == calls


def test_what_production_answered_is_no_call_that_was_made() -> None:
    arms = (CONTROL, TREATMENT, CONTROL_AGAIN, PRODUCTION_LOG)
    row = ReplayRow(
        position=0, request_id="q", cluster="q", segment={}, calls=dict.fromkeys(arms, CALL)
    )

    assert calls_made(a_plan_of(), [row]) == 3
    assert calls_made(a_plan_of(control=RECORDED), [row]) == 1


def test_variants_that_name_no_stage_take_their_median_time() -> None:
    arms = {arm: an_arm_summary(latency_p50_ms=600.0) for arm in (CONTROL, TREATMENT)}
    report = replace(a_report(), arms=arms, stages=())
    plan = replace(a_plan(), measurement=Measurement(workers=2, concurrency=5))

    assert minutes_of(report, plan, calls=1_000) == pytest.approx(1.0)

from decimal import Decimal

import pytest

from expplat.domain.call import Usage
from expplat.domain.plain import to_plain
from expplat.domain.price import PriceTable
from expplat.domain.replay import CONTROL, CallRecord, ReplayRow
from expplat.domain.request import ErrorKind
from expplat.metrics.columns import columns_of
from expplat.metrics.summary import arm_summary

PRICES = PriceTable(as_of="2026-03-01", cpu_hour_usd=Decimal(1))


def a_call(latency_ms, **changed):
    usage = Usage(model="small", input_tokens=3, output_tokens=0)
    fields = {"cpu_ms": 1.0, "cost_usd": Decimal("0.1"), "metrics": {}, "usages": (usage,)}
    return CallRecord(latency_ms=latency_ms, **(fields | changed))


def summed(calls, **changed):
    rows = [
        ReplayRow(
            position=i, request_id=f"q{i}", cluster=f"q{i}", segment={}, calls={CONTROL: call}
        )
        for i, call in enumerate(calls)
    ]
    return arm_summary(columns_of(rows, ()), CONTROL, PRICES, **changed)


def test_calls_add_up_and_percentiles_are_linear():
    calls = [a_call(float(i), stages_ms={"retrieve": float(i)}) for i in range(1, 101)]
    more = Usage(model="large", input_tokens=0, output_tokens=4)
    calls.append(a_call(101.0, error=ErrorKind.TIMEOUT, usages=(more,)))
    calls.append(a_call(102.0, refused=True, stages_ms={"generate": 7.0}))

    found = summed(calls)

    assert found.calls == found.timed_calls == 102
    assert found.errors == {"timeout": 1}
    assert found.refusals == 1
    assert found.latency_p50_ms == 51.5
    assert found.latency_p95_ms == pytest.approx(1 + 0.95 * 101)
    assert found.latency_p99_ms == pytest.approx(1 + 0.99 * 101)
    assert found.cost_usd == Decimal("10.2")
    assert found.stages_p50_ms == {"generate": 7.0, "retrieve": 50.5}
    assert found.stages_p95_ms["retrieve"] == pytest.approx(95.05)
    assert found.stages_p99_ms["retrieve"] == pytest.approx(99.01)
    assert (found.input_tokens, found.output_tokens) == (303, 4)
    whole = sum(line.usd_per_1k for line in found.costs)
    assert whole * 0.102 == pytest.approx(10.2)


def test_percentiles_are_over_timed_calls_and_money_over_all():
    timed = [a_call(float(i), stages_ms={"retrieve": 1.0}) for i in range(1, 10)]
    kept = a_call(900.0, is_timed=False, is_kept=True, stages_ms={"retrieve": 800.0})
    again = a_call(700.0, is_timed=False, attempts=3)

    found = summed([*timed, kept, again])

    assert (found.calls, found.timed_calls, found.kept_calls) == (11, 9, 1)
    assert found.repeated_attempts == 2
    assert found.latency_p50_ms == 5.0
    assert found.latency_p99_ms < 10
    assert found.stages_p99_ms == {"retrieve": 1.0}
    assert found.cost_usd == Decimal("1.1")


def test_setting_up_is_the_median_over_the_workers():
    assert summed([a_call(1.0)], setups_ms=(900.0, 100.0, 300.0)).setup_ms == 300.0
    assert summed([a_call(1.0)]).setup_ms is None


def test_no_calls_are_summed_up_as_zeros_that_can_be_stored():
    found = summed([])

    assert (found.calls, found.latency_p95_ms, found.cost_usd) == (0, 0.0, 0)
    assert to_plain(found)["stages_p50_ms"] == {}

from decimal import Decimal

import pytest

from expplat.domain.plain import to_plain
from expplat.domain.replay import CallRecord
from expplat.domain.request import ErrorKind
from expplat.metrics.summary import arm_summary


def a_call(latency_ms, **changed):
    fields = {"cpu_ms": 1.0, "cost_usd": Decimal("0.1"), "metrics": {}, "input_tokens": 3}
    return CallRecord(latency_ms=latency_ms, **(fields | changed))


def test_calls_add_up_and_percentiles_are_linear():
    calls = [a_call(float(i), stages_ms={"retrieve": float(i)}) for i in range(1, 101)]
    calls.append(a_call(101.0, error=ErrorKind.TIMEOUT, output_tokens=4))
    calls.append(a_call(102.0, refused=True, stages_ms={"generate": 7.0}))

    found = arm_summary(calls)

    assert found.calls == 102
    assert found.errors == {"timeout": 1}
    assert found.refusals == 1
    assert found.latency_p50_ms == 51.5
    assert found.latency_p95_ms == pytest.approx(1 + 0.95 * 101)
    assert found.latency_p99_ms == pytest.approx(1 + 0.99 * 101)
    assert found.cost_usd == Decimal("10.2")
    assert found.stages_p50_ms == {"generate": 7.0, "retrieve": 50.5}
    assert found.stages_p95_ms["retrieve"] == pytest.approx(95.05)
    assert (found.input_tokens, found.output_tokens) == (306, 4)


def test_no_calls_are_summed_up_as_zeros_that_can_be_stored():
    found = arm_summary([])

    assert (found.calls, found.latency_p95_ms, found.cost_usd) == (0, 0.0, 0)
    assert to_plain(found)["stages_p50_ms"] == {}

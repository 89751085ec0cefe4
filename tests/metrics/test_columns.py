"""Rows as columns: what stands where, and what does not."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from expplat.domain.call import Usage
from expplat.domain.price import ModelPrice, PriceTable
from expplat.domain.replay import CONTROL, TREATMENT, CallRecord, ReplayRow
from expplat.domain.request import ErrorKind
from expplat.metrics.call_totals import RECORDED, CallCounter, cost_lines
from expplat.metrics.catalogue import resolve
from expplat.metrics.columns import columns_of
from expplat.metrics.measured import value_of

METRICS = resolve(
    ("recall_at_5", "latency_ms", "latency_p95_ms", "stage_retrieve_ms", "cost_usd_per_1k",
     "error_fraction", "refusal_fraction")
)  # fmt: skip

PRICES = PriceTable(
    as_of="2026-03-01",
    cpu_hour_usd=Decimal("3.6"),
    models={"small": ModelPrice(input_usd=Decimal(1), output_usd=Decimal(4))},
)


def a_call(latency_ms=10.0, **changed):
    fields = {"cpu_ms": 3.0, "cost_usd": Decimal("0.002"), "metrics": {"recall_at_5": 0.4}}
    return CallRecord(latency_ms=latency_ms, **(fields | changed))


def a_row(position, calls, **changed):
    fields = {"request_id": f"q{position}", "cluster": f"q{position}", "segment": {}}
    return ReplayRow(position=position, calls=calls, **(fields | changed))


CALLS = (
    a_call(stages_ms={"retrieve": 4.0}),
    a_call(20.0, is_timed=False, stages_ms={"retrieve": 5.0, "generate": 6.0}, refused=True),
    a_call(30.0, metrics={"recall_at_5": None}),
    a_call(40.0, metrics={}, error=ErrorKind.TIMEOUT),
)


def listed(values):
    return [None if np.isnan(value) else float(value) for value in values]


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_column_holds_what_each_call_counts_as(metric):
    columns = columns_of([a_row(i, {CONTROL: call}) for i, call in enumerate(CALLS)], METRICS)

    found = columns.values(CONTROL, metric)

    assert listed(found) == [value_of(metric, call, "worst") for call in CALLS]


def test_an_arm_that_a_row_lacks_has_no_value_there():
    rows = [a_row(0, {CONTROL: CALLS[0]}), a_row(1, {CONTROL: CALLS[0], TREATMENT: CALLS[3]})]

    columns = columns_of(rows, METRICS)

    assert listed(columns.latencies_ms(TREATMENT)) == [None, 40.0]
    assert columns.has(TREATMENT).tolist() == [False, True]
    assert columns.failed(TREATMENT).tolist() == [False, True]
    assert columns.has("nobody").tolist() == [False, False]
    assert columns.failed("nobody").tolist() == [False, False]


def test_only_timed_calls_have_a_latency_and_stages():
    columns = columns_of([a_row(i, {CONTROL: call}) for i, call in enumerate(CALLS)], METRICS)

    assert listed(columns.latencies_ms(CONTROL)) == [10.0, None, 30.0, 40.0]
    assert listed(columns.stage_ms(CONTROL, "retrieve")) == [4.0, None, None, None]
    assert columns.stages(CONTROL) == ("retrieve",)


def test_rows_in_any_order_are_read_in_that_of_the_log():
    rows = [
        a_row(position, {CONTROL: a_call(10.0 * position + repeat)}, repeat=repeat)
        for position in (2, 0, 1)
        for repeat in (1, 0)
    ]

    columns = columns_of(rows, METRICS)

    assert columns.positions.tolist() == [0, 0, 1, 1, 2, 2]
    assert columns.repeats().tolist() == [0, 1] * 3
    assert listed(columns.latencies_ms(CONTROL)) == [0, 1, 10, 11, 20, 21]
    assert columns.requests == 3


def test_clusters_are_numbered_where_requests_share_one_and_not_where_none_do():
    alone = [a_row(i, {}) for i in range(4)]
    shared = [a_row(i, {}, cluster="aab"[i]) for i in range(3)]
    repeated = [a_row(0, {}, repeat=repeat) for repeat in range(3)]

    assert columns_of(alone, METRICS).clusters is None
    assert columns_of(repeated, METRICS).clusters is None
    first, second, third = columns_of(shared, METRICS).clusters
    assert first == second != third


def test_segments_are_places_in_their_list_of_values():
    rows = [a_row(i, {}, segment=given) for i, given in enumerate(
        ({"topic": "b"}, {"lang": "de"}, {"topic": "a"}, {"topic": "b"})
    )]  # fmt: skip

    columns = columns_of(rows, METRICS)

    assert columns.facts.segments == {"topic": ("b", "a"), "lang": ("de",)}
    assert columns.segment("topic").tolist() == [0, -1, 1, 0]
    assert columns.segment("nothing").tolist() == [-1] * 4


def test_no_rows_are_columns_of_no_length():
    columns = columns_of([], METRICS)

    assert (columns.requests, len(columns.positions), columns.clusters) == (0, 0, None)
    assert len(columns.values(CONTROL, METRICS[0])) == 0


def totals_of(*calls):
    counter = CallCounter()
    for call in calls:
        counter.add(call)
    return counter.totals()


def priced(**changed):
    call = a_call(**changed)
    cost = PRICES.cost_usd(cpu_ms=call.cpu_ms, usages=call.usages)
    return a_call(**changed, cost_usd=cost)


def a_usage(stage, model="small", tokens=(1000, 500)):
    return Usage(stage=stage, model=model, input_tokens=tokens[0], output_tokens=tokens[1])


def test_costs_are_split_by_stage_and_model_and_add_up():
    totals = totals_of(
        priced(
            cpu_ms=10.0,
            stages_cpu_ms={"retrieve": 6.0, "generate": 1.0},
            usages=(a_usage("generate"), a_usage("generate"), a_usage("judge", tokens=(100, 0))),
        ),
        priced(cpu_ms=2.0, is_kept=True),
    )

    found = {(line.stage, line.model): line for line in cost_lines(totals, PRICES)}

    assert found["generate", "small"].usd_per_1k == pytest.approx(500 * 2 * 0.003)
    assert found["generate", "small"].input_tokens == 2000
    assert found["generate", "small"].output_tokens == 1000
    assert found["judge", "small"].usd_per_1k == pytest.approx(500 * 0.0001)
    assert found["retrieve", "cpu"].usd_per_1k == pytest.approx(500 * 6e-6)
    assert found["", "cpu"].usd_per_1k == pytest.approx(500 * 5e-6)
    assert len(found) == 5
    whole = sum(line.usd_per_1k for line in found.values())
    assert whole == pytest.approx(500 * float(totals.cost_usd), rel=1e-12)
    assert [*found][:2] == [("generate", "small"), ("judge", "small")]


def test_what_a_log_says_that_a_call_cost_is_a_line_of_its_own():
    logged = a_call(cpu_ms=0.0, cost_usd=Decimal("0.5"), usages=(a_usage("", model="unknown"),))

    found = cost_lines(totals_of(logged), PRICES)

    assert [(line.model, line.usd_per_1k) for line in found] == [(RECORDED, 500.0), ("unknown", 0)]
    assert found[1].input_tokens == 1000


def test_without_calls_there_are_no_costs():
    assert cost_lines(totals_of(), PRICES) == ()

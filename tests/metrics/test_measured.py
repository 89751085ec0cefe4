from decimal import Decimal

import pytest

from expplat.domain.metric import Direction, Metric, MetricKind
from expplat.domain.replay import CallRecord
from expplat.domain.request import ErrorKind
from expplat.metrics.catalogue import built_in
from expplat.metrics.measured import value_of


def a_call(error=None, **changed):
    fields = {
        "latency_ms": 120.0,
        "cpu_ms": 3.0,
        "cost_usd": Decimal("0.0025"),
        "metrics": {"recall_at_5": 0.4, "exact_match": None},
        "stages_ms": {"retrieve": 80.0},
        "refused": True,
        "error": error,
    }
    return CallRecord(**(fields | changed))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_ms", 120.0),
        ("latency_p95_ms", 120.0),
        ("stage_retrieve_ms", 80.0),
        ("stage_generate_ms", None),
        ("cost_usd_per_1k", 2.5),
        ("error_fraction", 0.0),
        ("refusal_fraction", 1.0),
        ("recall_at_5", 0.4),
        ("exact_match", None),
        ("token_f1", None),
    ],
)
@pytest.mark.parametrize("errors", ["worst", "drop_pair"])
def test_a_call_that_worked_counts_as_it_was_measured(name, value, errors):
    assert value_of(built_in(name), a_call(), errors) == value


@pytest.mark.parametrize(
    ("name", "worst", "dropped"),
    [
        ("latency_ms", 120.0, None),
        ("latency_p99_ms", 120.0, None),
        ("stage_retrieve_ms", 80.0, None),
        ("cost_usd_per_1k", 2.5, None),
        ("error_fraction", 1.0, 1.0),
        ("refusal_fraction", 1.0, None),
        ("over_refusal", 1.0, None),
        ("recall_at_5", 0.0, None),
        ("exact_match", 0.0, None),
    ],
)
def test_a_failed_call_counts_as_the_worst_or_is_dropped(name, worst, dropped):
    failed = a_call(ErrorKind.TIMEOUT, metrics={}, refused=False)

    assert value_of(built_in(name), failed, "worst") == worst
    assert value_of(built_in(name), failed, "drop_pair") == dropped


def test_a_metric_of_ones_own_takes_its_own_worst_value():
    metric = Metric(
        name="latency_ms",
        kind=MetricKind.MEAN,
        direction=Direction.LOWER,
        unit="points",
        use="pocs.own.metrics:points",
        worst=50.0,
    )

    assert value_of(metric, a_call(ErrorKind.BAD_OUTPUT), "worst") == 50.0
    assert value_of(metric, a_call(metrics={"latency_ms": 7.0}), "worst") == 7.0


@pytest.mark.parametrize("errors", ["worst", "drop_pair"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("latency_ms", None),
        ("latency_p95_ms", None),
        ("stage_retrieve_ms", None),
        ("cost_usd_per_1k", 2.5),
        ("recall_at_5", 0.4),
        ("error_fraction", 0.0),
    ],
)
def test_a_call_that_was_not_timed_has_all_but_what_a_clock_says(name, value, errors):
    assert value_of(built_in(name), a_call(is_timed=False), errors) == value


def test_a_failed_call_that_was_not_timed_has_no_latency_either():
    failed = a_call(ErrorKind.TIMEOUT, metrics={}, is_timed=False)

    assert value_of(built_in("latency_ms"), failed, "worst") is None
    assert value_of(built_in("recall_at_5"), failed, "worst") == 0.0

import pytest

from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.errors import InputError, NotFoundError
from expplat.metrics.catalogue import (
    built_in,
    is_latency,
    is_measured,
    is_timed,
    quantile_of,
    resolve,
    stage_of,
    suggestions,
)


def own(name="politeness", kind=MetricKind.MEAN, use="pocs.tone.metrics:politeness"):
    return Metric(name=name, kind=kind, direction=Direction.HIGHER, unit="fraction", use=use)


@pytest.mark.parametrize(
    ("name", "kind", "direction", "unit", "concern"),
    [
        ("recall_at_5", "mean", "higher", "fraction", "accuracy"),
        ("precision_at_1", "mean", "higher", "fraction", "accuracy"),
        ("ndcg_at_10", "mean", "higher", "fraction", "accuracy"),
        ("mrr_at_1000", "mean", "higher", "fraction", "accuracy"),
        ("success_at_3", "proportion", "higher", "fraction", "accuracy"),
        ("exact_match", "proportion", "higher", "fraction", "accuracy"),
        ("token_f1", "mean", "higher", "fraction", "accuracy"),
        ("over_refusal", "proportion", "lower", "fraction", "accuracy"),
        ("correct_refusal", "proportion", "higher", "fraction", "accuracy"),
        ("refusal_fraction", "proportion", "lower", "fraction", "other"),
        ("error_fraction", "proportion", "lower", "fraction", "other"),
        ("latency_ms", "mean", "lower", "ms", "latency"),
        ("latency_p95_ms", "quantile", "lower", "ms", "latency"),
        ("stage_re_rank_ms", "mean", "lower", "ms", "latency"),
        ("cost_usd_per_1k", "mean", "lower", "usd", "cost"),
    ],
)
def test_built_in_metrics_are_what_the_docs_say(name, kind, direction, unit, concern):
    assert built_in(name) == Metric(
        name=name,
        kind=MetricKind(kind),
        direction=Direction(direction),
        unit=unit,
        concern=Concern(concern),
    )


@pytest.mark.parametrize(
    "name",
    [
        "recall_at_0",
        "recall_at_05",
        "recall_at_1001",
        "recall_at_",
        "recall_at_5x",
        "map_at_5",
        "latency_p90_ms",
        "stage__ms",
        "stage_Big_ms",
        "Latency_ms",
        "",
    ],
)
def test_other_names_are_not_built_in(name):
    assert built_in(name) is None


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("recal_at_7", "recall_at_7"),
        ("ndgc_at_10", "ndcg_at_10"),
        ("latency_p95", "latency_p95_ms"),
    ],
)
def test_a_misspelt_name_is_answered_with_the_right_one(wrong, right):
    assert right in suggestions(wrong)
    with pytest.raises(NotFoundError) as caught:
        resolve([wrong])
    assert right in caught.value.hint


def test_a_name_like_no_other_is_answered_with_the_way_to_declare_one():
    with pytest.raises(NotFoundError) as caught:
        resolve(["zzz"])

    assert "use: module:function" in caught.value.hint


def test_names_and_declarations_are_resolved_in_their_order():
    metric = own()

    assert resolve(("latency_ms", metric)) == (built_in("latency_ms"), metric)


def test_a_built_in_metric_may_be_declared_with_its_own_worst_value():
    declared = Metric(
        name="mrr_at_10",
        kind=MetricKind.MEAN,
        direction=Direction.HIGHER,
        unit="fraction",
        worst=-1.0,
    )

    assert resolve([declared]) == (declared,)


@pytest.mark.parametrize(
    "metrics",
    [
        ["latency_ms", "latency_ms"],
        [own("latency_ms")],
        [own("mrr_at_10", MetricKind.COUNT, use=None)],
        [own(kind=MetricKind.QUANTILE)],
        [own(kind=MetricKind.RATIO)],
        [own(use=None)],
    ],
)
def test_contradictions_are_refused(metrics):
    with pytest.raises(InputError):
        resolve(metrics)


@pytest.mark.parametrize(
    ("name", "timed", "measured"),
    [
        ("latency_ms", True, True),
        ("latency_p99_ms", True, True),
        ("stage_retrieve_ms", True, True),
        ("cost_usd_per_1k", True, True),
        ("error_fraction", False, True),
        ("refusal_fraction", False, True),
        ("over_refusal", False, False),
        ("recall_at_5", False, False),
    ],
)
def test_what_is_read_from_a_clock_and_what_from_the_call_is_known(name, timed, measured):
    metric = built_in(name)

    assert is_timed(metric) is timed
    assert is_measured(metric) is measured
    assert is_latency(metric) is (timed and name != "cost_usd_per_1k")


def test_a_metric_of_ones_own_is_neither_timed_nor_measured():
    assert not is_latency(own("latency_ms"))
    assert not is_timed(own("latency_of_words_ms"))
    assert not is_measured(own())


def test_quantiles_and_stages_are_read_off_the_name():
    assert quantile_of(built_in("latency_p99_ms")) == 0.99
    assert stage_of("stage_re_rank_ms") == "re_rank"
    with pytest.raises(InputError):
        quantile_of(built_in("latency_ms"))

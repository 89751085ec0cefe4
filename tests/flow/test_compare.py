"""`compare` end to end: recorded outputs of several systems on the same requests."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from expplat.domain.analysis import Role
from expplat.domain.gate import Ruling
from expplat.domain.question import Correction
from expplat.errors import FaultsError
from tests.flow.tables import check, checks, compared, of, pairs


def failing(frame, share=0.1, variant="b", worst=True):
    """Return the table with failed calls, of hard or of easy requests; their rows hold zeros."""
    rows = frame[frame.variant == variant].sort_values("right" if worst else "ms")
    lost = rows.index[: int(share * len(rows))]
    other = frame.copy()
    other.loc[lost, "error"] = "timeout"
    other.loc[lost, ["score", "ms", "usd"]] = 0.0
    other.loc[lost, "right"] = 1
    return other


def test_the_numbers_are_those_of_scipy():
    frame = pairs(seed=1, lift=0.1)
    wide = frame.pivot(index="request", columns="variant")

    found = compared(frame, "score=mean", "right=proportion", "ms=latency", "usd=cost")
    paired = stats.ttest_rel(wide.score.b, wide.score.control)
    logs = stats.ttest_rel(np.log(wide.ms.b), np.log(wide.ms.control))

    assert of(found, "score").p == pytest.approx(paired.pvalue, rel=1e-9)
    assert of(found, "ms").p == pytest.approx(logs.pvalue, rel=1e-9)
    ratio = np.exp(np.log(wide.ms.b).mean() - np.log(wide.ms.control).mean())
    assert of(found, "ms").effect == pytest.approx(ratio - 1)
    assert of(found, "ms").unit == of(found, "usd").unit == "relative"
    assert of(found, "usd").effect == pytest.approx(wide.usd.b.sum() / wide.usd.control.sum() - 1)
    assert [row.metric for row in found.comparisons if row.role is Role.SHOWN] == [
        "ms_p50", "ms_p95", "ms_p99"
    ]  # fmt: skip


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 10_000), power=st.sampled_from([-9, -4, -1, 1, 4, 9]))
def test_another_unit_changes_no_p_value_and_no_ruling(seed, power):
    frame = pairs(60, seed=seed, lift=0.1)
    scale = 10.0**power
    scaled = frame.assign(score=frame.score * scale, ms=frame.ms * scale, usd=frame.usd * scale)
    metrics = ("score=mean", "ms=latency", "usd=cost", "per=ratio:usd/ms")

    one, other = compared(frame, *metrics), compared(scaled, *metrics)

    for before, after in zip(one.comparisons, other.comparisons, strict=True):
        assert after.p == pytest.approx(before.p, abs=1e-7)
        assert after.ruling is before.ruling
    assert other.verdict.ruling is one.verdict.ruling


def test_an_error_is_no_zero_and_no_fast_answer():
    frame = failing(pairs(200, seed=3), share=0.04, worst=False)

    found = compared(frame, "ms=latency", "usd=cost", "score=mean", error="error")

    assert {of(found, name).n_control for name in ("ms", "usd", "score")} == {192}
    assert of(found, "ms").ruling is Ruling.UNKNOWN
    assert of(found, "errors").treatment == pytest.approx(0.04)
    assert of(found, "errors").role is Role.WATCHED


def test_a_share_counts_a_failed_call_as_wrong_and_shows_the_other_view():
    frame = failing(pairs(200, seed=3), share=0.04)

    found = compared(frame, "right=proportion", error="error")

    both = of(found, "right_where_both_answered")
    assert of(found, "right").n_control == 200
    assert both.n_control == 192
    assert both.role is Role.SHOWN
    assert of(found, "right").treatment < both.treatment


def test_a_share_where_less_is_better_counts_a_failed_call_as_a_yes():
    frame = pairs(100, seed=3).assign(wrong=0)
    frame.loc[frame.index[frame.variant == "b"][:4], "error"] = "timeout"

    found = compared(frame, "wrong=proportion:wrong:lower", error="error")

    assert of(found, "wrong").treatment == pytest.approx(0.04)


def test_survivors_of_many_failures_win_nothing():
    frame = failing(pairs(200, seed=3, lift=1.0), share=0.3)

    found = compared(frame, "score=mean", "ms=latency", error="error")

    assert check(found, "errors").ruling is Ruling.UNKNOWN
    assert of(found, "score").ruling is Ruling.UNKNOWN
    assert found.verdict.ruling is not Ruling.PASS


def test_more_errors_alone_lose():
    frame = failing(pairs(300, seed=3, lift=1.0), share=0.04)

    found = compared(frame, "score=mean", error="error")

    assert of(found, "score").ruling is Ruling.PASS
    assert of(found, "errors").ruling is Ruling.FAIL
    assert found.verdict.ruling is Ruling.FAIL


def test_times_of_zero_are_found_where_no_error_is_named():
    frame = failing(pairs(200, seed=3), share=0.04)

    found = compared(frame, "ms=latency")
    named = compared(frame, "ms=latency", error="error")

    assert check(found, "times_of_zero").ruling is Ruling.FAIL
    assert found.verdict.ruling is Ruling.UNKNOWN
    assert "times_of_zero" not in checks(named)


@pytest.mark.parametrize(("share", "ruling"), [(0.02, Ruling.PASS), (0.2, Ruling.FAIL)])
def test_missing_requests_are_left_out_and_many_are_refused(share, ruling):
    frame = pairs(200, seed=4, lift=1.0)
    lost = frame.index[frame.variant == "b"][: int(200 * share)]

    found = compared(frame.drop(lost), "score=mean")

    assert check(found, "missing_requests").ruling is ruling
    assert check(found, "missing_requests").detail == {"b": 200 * share}
    assert of(found, "score").n_control == 200 - len(lost)
    assert found.verdict.ruling is (Ruling.PASS if ruling is Ruling.PASS else Ruling.UNKNOWN)


def test_repeated_requests_count_by_their_mean():
    frame = pairs(100, seed=5, lift=0.2)
    again = frame.assign(score=frame.score + 0.5)
    halfway = frame.assign(score=frame.score + 0.25)

    found = compared(pd.concat([frame, again]), "score=mean")

    expected = of(compared(halfway, "score=mean"), "score")
    assert check(found, "repeated_requests").detail == {"rows": 200.0}
    assert of(found, "score").n_control == 100
    assert of(found, "score").p == pytest.approx(expected.p, rel=1e-6)


def test_clusters_widen_the_interval_and_few_of_them_are_named():
    frame = pairs(240, seed=6)
    shared = frame.topic.map(dict(enumerate(np.random.default_rng(0).normal(size=40))))
    frame = frame.assign(score=frame.score + shared * (frame.variant == "b"))
    few = frame.assign(topic=frame.topic % 9)

    plain, wide = (of(compared(frame, "score=mean", cluster=name), "score")
                   for name in (None, "topic"))  # fmt: skip

    assert wide.standard_error > 1.5 * plain.standard_error
    assert check(compared(frame, "score=mean", cluster="topic"), "clusters").ruling is Ruling.PASS
    assert check(compared(few, "score=mean", cluster="topic"), "clusters").ruling is Ruling.UNKNOWN


def test_a_segment_says_what_its_own_table_says_and_decides_nothing():
    frame = pairs(200, seed=7, lift=0.5)
    frame = frame.assign(score=frame.score - (frame.kind == "long") * (frame.variant == "b"))

    found = compared(frame, "score=mean", segment="kind", correction=Correction.NONE)
    alone = compared(frame[frame.kind == "long"], "score=mean")

    long, short = found.segments
    assert (long.segment, short.segment) == ("kind=long", "kind=short")
    assert (long.effect, long.p) == (of(alone, "score").effect, of(alone, "score").p)
    assert (long.ruling, short.ruling) == (Ruling.FAIL, Ruling.PASS)
    assert found.verdict.ruling is of(found, "score").ruling


def test_a_segment_of_one_cluster_counts_its_requests():
    frame = pairs(240, seed=7, lift=0.5)

    found = compared(frame, "score=mean", segment="kind", cluster="kind")

    assert {row.n_control for row in found.segments} == {120}
    assert all(row.ci_low is not None for row in found.segments)


def test_max_t_knows_that_two_questions_are_one():
    frame = pairs(200, seed=9, lift=0.06)
    asked = ("one=mean:score", "same=mean:score")

    holm = of(compared(frame, *asked), "one")
    max_t = of(compared(frame, *asked, correction=Correction.MAX_T), "one")

    assert holm.p_adjusted == pytest.approx(2 * holm.p)
    assert max_t.p_adjusted == pytest.approx(max_t.p, abs=0.01)


def test_the_seed_alone_moves_a_bootstrap():
    frame = pairs(120, seed=1)

    one, same, other = (compared(frame, "p95=p95:ms", seed=seed) for seed in (7, 7, 8))

    assert one == same
    assert of(one, "p95").ci_low != of(other, "p95").ci_low


@pytest.mark.parametrize(
    ("metric", "asked", "field"),
    [
        ("right=proportion:right/ms", {}, "--metric"),
        ("score=mean", {"correction": Correction.DUNNETT}, "--correction"),
        ("score=mean", {"alpha": 0.0}, "--alpha"),
    ],
)
def test_what_does_not_fit_is_a_fault(metric, asked, field):
    with pytest.raises(FaultsError) as caught:
        compared(pairs(60), metric, **asked)

    assert [one.field for one in caught.value.faults] == [field]


def test_a_sound_table_sounds_no_alarm_and_few_requests_are_named():
    found = compared(pairs(200), "score=mean", "ms=latency", error="error", cluster="topic")

    assert set(checks(found).values()) == {"pass"}
    assert checks(compared(pairs(12), "score=mean"))["requests"] == "unknown"


def test_rows_without_a_name_are_counted():
    frame = pairs(200, seed=2)
    few = frame.assign(request=frame.request.where(frame.index > 3))
    many = frame.assign(variant=frame.variant.where(frame.index > 60))

    assert check(compared(few, "score=mean"), "nameless_rows").ruling is Ruling.PASS
    assert check(compared(many, "score=mean"), "nameless_rows").ruling is Ruling.FAIL

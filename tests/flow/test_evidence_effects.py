"""Effects of metrics: what counts as a pair, what is compared, and what is said of it."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, PRODUCTION_LOG, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.flow.evidence_effects import TWO_CLOCKS, effects_of, trust_effect
from expplat.flow.evidence_pairs import material_of
from expplat.metrics.columns import columns_of
from expplat.stats import paired
from tests.builders import a_plan, superiority
from tests.flow.replayed_rows import (
    COST,
    ERRORS,
    LATENCY,
    METRICS,
    P95,
    RECALL,
    SUCCESS,
    a_call,
    a_row,
    material,
    rows_of,
)

RECALLS = st.lists(
    st.tuples(*[st.none() | st.floats(0, 1).map(lambda value: round(value, 3))] * 2),
    min_size=2,
    max_size=60,
)


def drawn(n, seed=1):
    draw = np.random.default_rng(seed)
    return draw.random(n).round(3).tolist(), draw.random(n).round(3).tolist()


def the_effect(rows, metric=RECALL, gates=(), **changed):
    return effects_of(material(rows, **changed), [metric], gates)[0]


def test_an_effect_is_the_paired_t_of_both_columns():
    control, treatment = drawn(50)

    found = the_effect(rows_of(control, treatment))

    asked = paired.mean_difference(control, treatment)
    assert (found.difference, found.low, found.high) == (asked.estimate, asked.low, asked.high)
    assert (found.n_control, found.method, found.segment) == (50, "paired t", "")
    assert found.control == pytest.approx(np.mean(control))


def test_requests_of_one_cluster_do_not_count_as_independent():
    control, treatment = drawn(60)
    rows = [replace(row, cluster=f"c{row.position % 7}") for row in rows_of(control, treatment)]

    found = the_effect(rows)

    asked = paired.mean_difference(control, treatment, [row.cluster for row in rows])
    assert (found.low, found.high) == (asked.low, asked.high)
    assert found.method == "paired t (CR2)"


@given(recalls=RECALLS, seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_the_order_of_the_rows_does_not_matter(recalls, seed):
    rows = rows_of(*zip(*recalls, strict=True))
    shuffled = random.Random(seed).sample(rows, len(rows))

    assert effects_of(material(shuffled), METRICS, ()) == effects_of(material(rows), METRICS, ())


@given(
    times=st.lists(st.tuples(st.integers(1, 99), st.integers(1, 99)), min_size=5, max_size=40),
    more=st.integers(1, 1000),
)
@settings(max_examples=25, deadline=None)
def test_a_constant_in_both_arms_changes_no_difference(times, more):
    def rows(added):
        return [
            a_row(
                position,
                {
                    CONTROL: a_call(latency_ms=float(one + added)),
                    TREATMENT: a_call(latency_ms=float(other + added)),
                },
            )
            for position, (one, other) in enumerate(times)
        ]

    before = effects_of(material(rows(0)), (LATENCY, P95), ())
    after = effects_of(material(rows(more)), (LATENCY, P95), ())

    for one, other in zip(before, after, strict=True):
        for name in ("difference", "low", "high"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9)


def test_a_pair_of_which_one_arm_has_no_value_counts_in_neither():
    control, treatment = drawn(40)
    torn = rows_of([*control, 0.9, None], [*treatment, None, 0.1])

    assert the_effect(torn) == the_effect(rows_of(control, treatment))


def test_without_a_single_pair_there_are_no_numbers():
    found = the_effect(rows_of([None, 0.5], [0.5, None]))

    assert (found.control, found.difference, found.low, found.n_control) == (None, None, None, 0)


def test_the_level_is_the_gates_own_unless_the_look_may_spend_less():
    control, treatment = drawn(50)
    rows = rows_of(control, treatment)
    gates = (superiority("recall_at_5", 0.02),)

    usual = the_effect(rows, gates=gates)
    early = effects_of(material(rows), [RECALL], gates, lambda gate: gate.alpha / 10)[0]

    assert usual == the_effect(rows)
    assert early.high - early.low > usual.high - usual.low
    asked = paired.mean_difference(control, treatment, alpha=0.005)
    assert (early.low, early.high) == (asked.low, asked.high)


def test_a_gate_on_a_segment_does_not_change_the_level_of_all_requests():
    rows = rows_of(*drawn(50))
    narrow = replace(superiority("recall_at_5", 0.02), segment="topic=a", alpha=0.001)

    assert the_effect(rows, gates=(narrow,)) == the_effect(rows)


def test_calls_that_were_not_timed_have_a_cost_and_no_latency():
    timed = [
        a_row(i, {CONTROL: a_call(latency_ms=9.0 + i), TREATMENT: a_call(latency_ms=11.0 + 2 * i)})
        for i in range(30)
    ]
    kept = a_call(latency_ms=0.1, is_timed=False, is_kept=True)
    rows = [*timed, *(a_row(i, {CONTROL: kept, TREATMENT: kept}) for i in range(30, 50))]

    assert the_effect(rows, LATENCY) == the_effect(timed, LATENCY)
    assert the_effect(rows, COST).n_control == 50
    assert the_effect(rows, RECALL).n_control == 50


def test_code_whose_module_begins_like_a_log_is_called_and_timed_here():
    plan = a_plan(control=Variant(use="logged_search.variants:Today"))

    material = material_of(plan, columns_of([], plan.metrics))

    assert not material.is_control_logged


def test_the_clock_of_a_log_is_not_held_against_this_machines():
    rows = rows_of(*drawn(50))

    one = [the_effect(rows, metric, is_control_logged=True) for metric in (LATENCY, P95)]
    both = the_effect(rows, P95, is_control_logged=True, is_treatment_logged=True)

    for found in one:
        assert found.warnings == (TWO_CLOCKS,)
        assert (found.difference, found.low, found.high, found.p) == (None,) * 4
        assert (found.control, found.n_control) == (10.0, 50)
        assert found.relative is found.noise_low is None
    assert both.low is not None
    assert the_effect(rows, COST, is_control_logged=True).low is not None
    assert the_effect(rows, RECALL, is_control_logged=True) == the_effect(rows)


def test_the_noise_floor_is_control_against_itself():
    control, treatment = drawn(40)
    again = drawn(40, seed=2)[0]
    rows = [
        replace(row, calls={**row.calls, CONTROL_AGAIN: a_call(again[row.position])})
        if row.position < 30
        else row
        for row in rows_of(control, treatment)
    ]

    found = the_effect(rows)

    asked = paired.mean_difference(control[:30], again[:30])
    assert (found.noise_low, found.noise_high) == (asked.low, asked.high)
    assert the_effect(rows_of(control, treatment)).noise_low is None


def with_a_failure(rows, position):
    failed = a_call(metrics={}, error=ErrorKind.TIMEOUT)
    return [
        replace(row, calls={**row.calls, TREATMENT: failed}) if row.position == position else row
        for row in rows
    ]


def test_failed_calls_count_as_the_worst_and_the_other_view_is_told():
    control, treatment = drawn(40)
    rows = with_a_failure(rows_of(control, treatment), 39)

    worst, dropped = the_effect(rows), the_effect(rows, measured={"errors": "drop_pair"})

    assert worst.difference == pytest.approx(np.mean([*treatment[:39], 0.0]) - np.mean(control))
    assert (worst.n_control, dropped.n_control) == (40, 39)
    assert dropped == the_effect(rows_of(control[:39], treatment[:39]))
    said = worst.warnings[-1]
    assert said.startswith("without the 1 requests with a failed call: ")
    assert the_effect(rows, ERRORS, measured={"errors": "drop_pair"}).treatment == 1 / 40


def repeated(seed=3, requests=30, repeats=3):
    draw = np.random.default_rng(seed)
    values = draw.random((2, requests, repeats)).round(3)
    rows = [
        a_row(
            i,
            {
                CONTROL: a_call(values[0, i, r], latency_ms=10 * values[0, i, r]),
                TREATMENT: a_call(values[1, i, r], latency_ms=10 * values[1, i, r]),
            },
            repeat=r,
        )
        for i in range(requests)
        for r in range(repeats)
    ]
    return rows, values


def test_repeats_of_a_request_are_one_value_each():
    rows, values = repeated()

    found = the_effect(rows, measured={"repeats": 3})

    asked = paired.mean_difference(values[0].mean(axis=1), values[1].mean(axis=1))
    assert (found.low, found.high) == (pytest.approx(asked.low), pytest.approx(asked.high))
    assert (found.n_control, found.method) == (30, "paired t")


def test_repeated_proportions_are_compared_by_their_requests_means():
    rows, values = repeated()

    found = the_effect(rows, SUCCESS, measured={"repeats": 3})

    assert found.method == "paired t"
    assert found.n_control == 30
    assert found.control == pytest.approx(float(np.mean(values[0] > 0)))


def test_quantiles_are_those_of_all_answers_with_the_request_as_cluster():
    rows, values = repeated()

    found = the_effect(rows, P95, measured={"repeats": 3})

    requests = np.repeat(np.arange(30), 3)
    one, other = (10 * values[arm].ravel() for arm in (0, 1))
    asked = paired.quantile_difference(one, other, 0.95, requests, seed=7)
    assert (found.low, found.high) == (pytest.approx(asked.low), pytest.approx(asked.high))
    assert found.n_control == 30
    assert found.control == pytest.approx(float(np.quantile(one, 0.95)))


def test_trust_is_replayed_control_less_what_production_answered():
    control, treatment = drawn(40)
    logged = drawn(40, seed=5)[0]
    rows = [
        replace(row, calls={**row.calls, PRODUCTION_LOG: a_call(logged[row.position])})
        if row.position < 35
        else row
        for row in rows_of(control, treatment)
    ]

    found = trust_effect(material(rows), RECALL)

    asked = paired.mean_difference(logged[:35], control[:35])
    assert found is not None
    assert (found.difference, found.low, found.n_control) == (asked.estimate, asked.low, 35)
    assert found.method == "replayed control less production, paired t"
    assert trust_effect(material(rows_of(control, treatment)), RECALL) is None
    of_latency = trust_effect(material(rows), LATENCY)
    assert of_latency is not None
    assert of_latency.warnings == (TWO_CLOCKS,)


@pytest.mark.parametrize("clusters", [None, 7])
def test_the_effect_of_a_hundred_rows_in_any_kind_of_cluster_is_finite(clusters):
    rows = rows_of(*drawn(100))
    if clusters:
        rows = [replace(row, cluster=f"c{row.position % clusters}") for row in rows]

    found = effects_of(material(rows), METRICS, ())

    assert all(effect.low is not None for effect in found)

"""The metric gates: what passes, what fails, and what is not known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.gate import Effect, Gate, GateKind, Ruling
from expplat.gates import GATES, judge

SUPERIOR = Gate(kind=GateKind.SUPERIORITY, metric="m", min_effect=0.02)
NOT_WORSE = Gate(kind=GateKind.NON_INFERIORITY, metric="m", margin=0.02)
SAME = Gate(kind=GateKind.EQUIVALENCE, metric="m", margin=0.02)


def effect(estimate: float | None, low: float | None, high: float | None, sign: int = 1) -> Effect:
    return Effect(
        metric="m",
        unit="fraction",
        sign=sign,
        control=0.5,
        treatment=None if estimate is None else 0.5 + estimate,
        difference=estimate,
        low=low,
        high=high,
        p=0.01,
        n_control=100,
        n_treatment=100,
        method="by hand",
    )


@pytest.mark.parametrize(
    ("evidence", "ruling"),
    [
        (effect(0.05, 0.01, 0.09), Ruling.PASS),
        (effect(0.01, 0.005, 0.03), Ruling.UNKNOWN),
        (effect(0.05, -0.01, 0.11), Ruling.UNKNOWN),
        (effect(0.005, -0.005, 0.015), Ruling.FAIL),
        (effect(-0.05, -0.09, -0.01), Ruling.FAIL),
    ],
)
def test_superiority_asks_for_significant_and_large_enough(evidence, ruling):
    assert judge(SUPERIOR, evidence).ruling is ruling


def test_where_the_test_was_sized_for_it_significance_decides():
    evidence = effect(0.015, 0.005, 0.025)

    assert judge(SUPERIOR, evidence).ruling is Ruling.UNKNOWN
    assert judge(SUPERIOR, evidence, sized=True).ruling is Ruling.PASS


def test_strict_superiority_asks_that_the_whole_interval_is_large_enough():
    strict = replace(SUPERIOR, strict=True)

    assert judge(strict, effect(0.05, 0.01, 0.09)).ruling is Ruling.UNKNOWN
    assert judge(strict, effect(0.05, 0.02, 0.08)).ruling is Ruling.PASS


def test_a_gain_no_larger_than_control_against_itself_does_not_pass():
    noisy = replace(effect(0.05, 0.01, 0.09), noise_low=-0.06, noise_high=0.06)

    assert judge(SUPERIOR, noisy).ruling is Ruling.UNKNOWN


@pytest.mark.parametrize(
    ("evidence", "ruling"),
    [
        (effect(0.0, -0.01, 0.01), Ruling.PASS),
        (effect(0.0, -0.03, 0.03), Ruling.UNKNOWN),
        (effect(-0.05, -0.08, -0.03), Ruling.FAIL),
        (effect(0.0, -0.02, 0.02), Ruling.UNKNOWN),
    ],
)
def test_non_inferiority_asks_that_harm_beyond_the_margin_is_ruled_out(evidence, ruling):
    assert judge(NOT_WORSE, evidence).ruling is ruling


@pytest.mark.parametrize(
    ("evidence", "ruling"),
    [
        (effect(0.0, -0.01, 0.01), Ruling.PASS),
        (effect(0.0, -0.01, 0.03), Ruling.UNKNOWN),
        (effect(0.05, 0.03, 0.07), Ruling.FAIL),
    ],
)
def test_equivalence_asks_for_both_sides(evidence, ruling):
    assert judge(SAME, evidence).ruling is ruling


@pytest.mark.parametrize("gate", [SUPERIOR, NOT_WORSE, SAME])
def test_where_lower_is_better_everything_is_mirrored(gate):
    for ends in [(0.05, 0.01, 0.09), (0.0, -0.03, 0.03), (-0.05, -0.08, -0.03)]:
        mirrored = effect(-ends[0], -ends[2], -ends[1], sign=-1)

        assert judge(gate, mirrored).ruling is judge(gate, effect(*ends)).ruling


NOT_A_NUMBER = st.sampled_from([None, math.nan, math.inf, -math.inf])
NUMBER = st.floats(allow_nan=False, allow_infinity=False)


@given(
    gate=st.sampled_from([SUPERIOR, NOT_WORSE, SAME]),
    ends=st.tuples(NUMBER, NUMBER, NUMBER),
    broken=st.integers(0, 2),
    value=NOT_A_NUMBER,
    sized=st.booleans(),
)
def test_no_gate_ever_passes_on_evidence_that_is_missing_or_not_a_number(
    gate, ends, broken, value, sized
):
    torn = [value if place == broken else end for place, end in enumerate(ends)]

    assert judge(gate, effect(*torn), sized=sized).ruling is Ruling.UNKNOWN


def test_no_evidence_at_all_is_unknown():
    assert {judge(Gate(kind=kind, metric="m"), None).ruling for kind in GATES} == {Ruling.UNKNOWN}


def test_a_gate_declared_without_its_limit_never_passes():
    for kind in GATES:
        assert judge(Gate(kind=kind, metric="m"), effect(0.5, 0.4, 0.6)).ruling is Ruling.UNKNOWN


@given(
    ends=st.lists(st.floats(-1, 1), min_size=3, max_size=3).map(sorted),
    factor=st.sampled_from([1e-9, 1e-3, 1e3, 1e9]),
    kind=st.sampled_from(list(GATES)),
    sized=st.booleans(),
)
def test_scaling_a_metric_changes_no_ruling(ends, factor, kind, sized):
    low, estimate, high = (round(end, 6) for end in ends)
    gate = Gate(kind=kind, metric="m", min_effect=0.02, margin=0.02)
    scaled = replace(gate, min_effect=0.02 * factor, margin=0.02 * factor)
    here = judge(gate, effect(estimate, low, high), sized=sized)

    there = judge(scaled, effect(estimate * factor, low * factor, high * factor), sized=sized)

    borders = (0.0, 0.02, -0.02)
    on_a_border = any(math.isclose(end, b, rel_tol=1e-6) for end in ends for b in borders if b)
    assert on_a_border or there.ruling is here.ruling


def test_a_handful_of_requests_is_an_anecdote_however_clear_it_looks():
    few = replace(effect(0.5, 0.5, 0.5), n_control=2, n_treatment=2)

    assert {judge(gate, few).ruling for gate in (SUPERIOR, NOT_WORSE, SAME)} == {Ruling.UNKNOWN}


def test_every_verdict_says_a_sentence_with_the_number():
    verdict = judge(SUPERIOR, effect(0.05, 0.01, 0.09))

    assert "+5 pp [+1, +9]" in verdict.sentence
    assert verdict.sentence.endswith(".")

import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from expplat.stats.srm import chi_square_p, sample_ratio


@pytest.mark.parametrize(
    ("counts", "e_value"), [((0, 0), 1), ((1, 0), 1), ((2, 0), 4 / 3), ((1, 1), 2 / 3)]
)
def test_small_counts_give_the_evidence_computed_by_hand(counts, e_value):
    assert sample_ratio(counts, (1, 1), k=2).e_value == pytest.approx(e_value)


@pytest.mark.parametrize("k", [None, 2.0, 1_000.0])
def test_it_is_a_fair_bet_where_the_split_is_as_planned(k):
    """The mean over all outcomes of twelve units is 1: an e-value, and so safe at any look."""
    share = 0.3
    total = sum(
        math.comb(12, c)
        * share**c
        * (1 - share) ** (12 - c)
        * sample_ratio((c, 12 - c), (0.3, 0.7), k=k).e_value
        for c in range(13)
    )

    assert total == pytest.approx(1, abs=1e-9)


def test_one_unit_more_keeps_the_evidence_on_average_whatever_came_before():
    shares = (0.5, 0.3, 0.2)
    for counts in ((5, 0, 1), (60_000, 30_100, 20_000), (200_000, 119_000, 80_500)):
        now = sample_ratio(counts, shares).e_value

        following = [
            sample_ratio([c + (i == arm) for i, c in enumerate(counts)], shares).e_value
            for arm in range(3)
        ]

        assert np.dot(shares, following) == pytest.approx(now, rel=1e-6)


def test_a_split_as_planned_is_no_evidence():
    found = sample_ratio((50_100, 49_900), (0.5, 0.5))

    assert found.p == 1
    assert found.n == 100_000


def test_a_real_mismatch_is_found():
    assert sample_ratio((10_400, 9_600), (0.5, 0.5)).p < 1e-4
    assert sample_ratio((5_010_000, 4_990_000), (0.5, 0.5)).p < 1e-4


def test_an_uneven_plan_is_an_input():
    assert sample_ratio((191_243, 38_218, 38_204, 38_201), (5, 1, 1, 1)).p == 1
    assert sample_ratio((191_243, 38_218, 38_204, 38_201), (1, 1, 1, 1)).p == 0


def test_a_unit_in_an_arm_that_was_to_have_none_is_proof():
    found = sample_ratio((100, 1), (1.0, 0.0))

    assert (found.e_value, found.p) == (sys.float_info.max, 0)
    assert sample_ratio((100, 0), (1.0, 0.0)).p == pytest.approx(1)


@given(st.lists(st.integers(0, 10**12), min_size=2, max_size=4))
def test_no_counts_bring_a_number_out_that_is_not_finite(counts):
    found = sample_ratio(counts, [1 / len(counts)] * len(counts))

    assert math.isfinite(found.e_value)
    assert 0 <= found.p <= 1


@pytest.mark.parametrize(
    ("counts", "shares"),
    [((1, 2), (1.0,)), ((1, -2), (0.5, 0.5)), ((1, 2), (0.0, 0.0)), ((1, 2), (-1.0, 2.0))],
)
def test_what_is_no_split_is_refused(counts, shares):
    with pytest.raises(ValueError, match=r"share|count"):
        sample_ratio(counts, shares)


def test_a_published_split_that_is_read_once_has_its_known_p_value():
    assert chi_square_p((44_700, 45_489), (0.5, 0.5)) == pytest.approx(0.0086, abs=5e-5)
    assert chi_square_p((44_700, 45_489), (1, 1)) == pytest.approx(
        scipy_stats.chi2.sf(6.9024, 1), rel=1e-4
    )
    assert chi_square_p((191_243, 38_218, 38_204, 38_201), (5, 1, 1, 1)) == pytest.approx(
        0.9934, abs=5e-5
    )
    assert chi_square_p((191_243, 38_218, 38_204, 38_201), (1, 1, 1, 1)) < 1e-300


@given(st.lists(st.integers(400, 10**9), min_size=2, max_size=5), st.integers(0, 1_000))
def test_the_fixed_test_is_pearsons(counts, seed):
    shares = np.random.default_rng(seed).uniform(0.5, 1, len(counts))
    expected = shares / shares.sum() * sum(counts)
    if sum(counts) < 1_000:
        return

    found = chi_square_p(counts, shares.tolist())

    assert found == pytest.approx(scipy_stats.chisquare(counts, expected).pvalue, rel=1e-6)


@given(st.integers(0, 400), st.integers(0, 400), st.floats(0.1, 10))
def test_the_fixed_test_of_a_few_units_is_the_exact_one(one, other, odds):
    found = chi_square_p((one, other), (odds, 1.0))

    if one + other:
        exact = scipy_stats.binomtest(one, one + other, odds / (odds + 1)).pvalue
        assert found == pytest.approx(exact, rel=1e-6)
    else:
        assert found == 1


def test_an_arm_that_was_to_have_none_is_proof_with_a_unit_and_no_arm_without():
    assert chi_square_p((100, 90, 1), (1, 1, 0)) == 0
    assert chi_square_p((5_100, 4_900, 0), (1, 1, 0)) == chi_square_p((5_100, 4_900), (1, 1))
    assert chi_square_p((70, 50, 0), (1, 1, 0)) == chi_square_p((70, 50), (1, 1))
    assert chi_square_p((100, 0), (1, 0)) == 1
    assert chi_square_p((0, 0, 0), (1, 1, 1)) == 1


@pytest.mark.parametrize(
    ("counts", "shares"), [((1, 2), (1.0,)), ((1, -2), (0.5, 0.5)), ((1, 2), (0.0, 0.0))]
)
def test_what_is_no_split_is_refused_by_the_fixed_test_too(counts, shares):
    with pytest.raises(ValueError, match=r"share|count"):
        chi_square_p(counts, shares)

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import ttost_ind, ttost_paired

from expplat.stats.equivalence import at_level, non_inferiority_p, tost_p
from expplat.stats.interval import Interval
from expplat.stats.moments import moments_of
from expplat.stats.paired import mean_difference, proportion_difference
from expplat.stats.two_sample import difference

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-6, 0.001, 0.3, 7.0, 1e3, 1e6, 1e9])
BY_HAND = mean_difference([0] * 5, [1, 2, 3, 4, 5])


def arms(seed, n=40, m=60):
    generator = np.random.default_rng(seed)
    return generator.normal(0, 1, n), generator.normal(0.1, 2, m)


@given(SEEDS, st.integers(3, 100))
def test_paired_equivalence_agrees_with_statsmodels(seed, n):
    control, treatment = arms(seed, n, n)
    expected = ttost_paired(treatment, control, -0.4, 0.5)[0]

    found = tost_p(mean_difference(control, treatment), -0.4, 0.5)

    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@given(SEEDS, st.integers(3, 100), st.integers(3, 100))
def test_equivalence_of_two_arms_agrees_with_statsmodels(seed, n, m):
    control, treatment = arms(seed, n, m)
    expected = ttost_ind(treatment, control, -0.4, 0.5, usevar="unequal")[0]

    found = tost_p(difference(moments_of(control), moments_of(treatment)), -0.4, 0.5)

    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("sign", [1, -1])
@given(SEEDS)
def test_non_inferiority_of_pairs_agrees_with_a_shifted_one_sided_t_test(sign, seed):
    control, treatment = arms(seed, 50, 50)
    expected = scipy_stats.ttest_rel(sign * treatment + 0.3, sign * control, alternative="greater")

    found = non_inferiority_p(mean_difference(control, treatment), 0.3, sign)

    assert found == pytest.approx(expected.pvalue, rel=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
@given(SEEDS)
def test_non_inferiority_of_two_arms_agrees_with_a_shifted_welch_test(sign, seed):
    control, treatment = arms(seed)
    expected = scipy_stats.ttest_ind(
        sign * treatment + 0.3, sign * control, equal_var=False, alternative="greater"
    )

    found = non_inferiority_p(difference(moments_of(control), moments_of(treatment)), 0.3, sign)

    assert found == pytest.approx(expected.pvalue, rel=1e-9)


def test_the_numbers_of_the_docstrings_are_right():
    assert non_inferiority_p(BY_HAND, 0) == pytest.approx(0.006618, abs=5e-7)
    assert non_inferiority_p(BY_HAND, 5, -1) == pytest.approx(0.023710, abs=5e-7)
    assert tost_p(BY_HAND, 1, 5) == pytest.approx(0.023710, abs=5e-7)
    assert at_level(BY_HAND, 0.1).low == pytest.approx(1.4926, abs=5e-5)
    assert at_level(BY_HAND, 0.1).high == pytest.approx(4.5074, abs=5e-5)


@given(SEEDS, st.floats(0.01, 0.2))
def test_what_is_proven_is_what_the_interval_at_twice_the_level_shows(seed, level):
    control, treatment = arms(seed, 50, 50)
    found = mean_difference(control, treatment)

    shown = at_level(found, 2 * level)

    assert (non_inferiority_p(found, 0.3) < level) is (shown.low > -0.3)
    assert (tost_p(found, -0.5, 0.6) < level) is (shown.low > -0.5 and shown.high < 0.6)


@given(SEEDS, st.floats(0.001, 0.5))
def test_the_interval_at_a_level_is_the_one_asked_for_from_the_start(seed, alpha):
    control, treatment = arms(seed, 50, 50)
    clusters = [i // 2 for i in range(50)]
    asked = mean_difference(control, treatment, clusters, alpha)

    found = at_level(mean_difference(control, treatment, clusters), alpha)

    assert (found.low, found.high) == pytest.approx((asked.low, asked.high), rel=1e-9)
    assert found.p == asked.p


@settings(max_examples=60)
@given(SEEDS, SCALES)
def test_the_unit_changes_no_p_value(seed, scale):
    control, treatment = arms(seed, 50, 50)
    plain = mean_difference(control, treatment)

    scaled = mean_difference(control * scale, treatment * scale)

    assert tost_p(scaled, -0.4 * scale, 0.5 * scale) == pytest.approx(
        tost_p(plain, -0.4, 0.5), abs=1e-9
    )
    assert non_inferiority_p(scaled, 0.3 * scale) == pytest.approx(
        non_inferiority_p(plain, 0.3), abs=1e-9
    )


@given(SEEDS)
def test_a_constant_added_to_both_variants_changes_no_p_value(seed):
    control, treatment = arms(seed, 50, 50)
    plain = non_inferiority_p(mean_difference(control, treatment), 0.3)

    shifted = non_inferiority_p(mean_difference(control + 1e9, treatment + 1e9), 0.3)

    assert shifted == pytest.approx(plain, abs=1e-7)


def test_an_interval_of_a_normal_has_normal_p_values_and_ends():
    found = Interval(estimate=0.0, low=None, high=None, p=None, n=9, method="z", standard_error=0.5)

    assert non_inferiority_p(found, 1.0) == pytest.approx(scipy_stats.norm.sf(2.0))
    assert at_level(found, 0.05).high == pytest.approx(0.5 * 1.959964)


@pytest.mark.parametrize(
    "found",
    [
        mean_difference([1.0], [2.0]),
        mean_difference([1.0, 2.0], [1.0, 2.0]),
        difference(moments_of([1.0, 1.0]), moments_of([1.0, 1.0])),
        proportion_difference([0, 1, 1], [1, 1, 0]),
    ],
)
def test_without_a_standard_error_nothing_is_proven(found):
    assert non_inferiority_p(found, 10.0) is None
    assert tost_p(found, -10.0, 10.0) is None


def test_an_interval_without_a_standard_error_has_no_ends_at_another_level():
    found = at_level(proportion_difference([0, 1, 1], [1, 1, 0]), 0.1)

    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (lambda: non_inferiority_p(BY_HAND, -0.1), "margin"),
        (lambda: non_inferiority_p(BY_HAND, math.nan), "margin"),
        (lambda: non_inferiority_p(BY_HAND, math.inf), "margin"),
        (lambda: non_inferiority_p(BY_HAND, 1, 0), "sign"),
        (lambda: tost_p(BY_HAND, 1, 1), "low"),
        (lambda: tost_p(BY_HAND, math.nan, 1), "low"),
        (lambda: tost_p(BY_HAND, -math.inf, 1), "low"),
        (lambda: at_level(BY_HAND, 0), "alpha"),
    ],
)
def test_a_margin_that_is_none_is_refused(asked, message):
    with pytest.raises(ValueError, match=message):
        asked()

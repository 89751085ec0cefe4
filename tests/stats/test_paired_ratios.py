import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from expplat.stats.paired import mean_difference, ratio_difference, ratio_of_sums

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-6, 0.001, 0.3, 7.0, 1e3, 1e6, 1e9])


def costs(seed, n=60):
    generator = np.random.default_rng(seed)
    control = generator.gamma(4, 1, n)
    return control, control * generator.gamma(20, 0.055, n)


def by_covariances(numerator, denominator):
    """The variance of a ratio of means from variances and a covariance: the textbook form."""
    n, ratio = len(numerator), np.mean(numerator) / np.mean(denominator)
    table = np.cov(numerator, denominator)
    spread = table[0, 0] - 2 * ratio * table[0, 1] + ratio**2 * table[1, 1]
    return ratio, math.sqrt(spread / n) / np.mean(denominator)


def test_the_ratio_of_sums_is_the_one_computed_by_hand():
    found = ratio_of_sums([1, 2, 3], [2, 2, 5])

    assert found.estimate == 1.5
    assert found.standard_error == pytest.approx(0.25)
    assert found.low == pytest.approx(1.5 * math.exp(-4.302652729911275 / 6))
    assert found.high == pytest.approx(1.5 * math.exp(4.302652729911275 / 6))
    assert found.method == "ratio of sums, paired t"


@given(SEEDS, st.integers(3, 200))
def test_the_standard_error_is_that_of_the_delta_method_by_covariances(seed, n):
    control, treatment = costs(seed, n)
    ratio, error = by_covariances(treatment, control)

    found = ratio_of_sums(control, treatment)

    assert found.estimate == pytest.approx(treatment.sum() / control.sum(), rel=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9)
    t = abs(math.log(ratio)) / (error / ratio)
    assert found.p == pytest.approx(2 * scipy_stats.t.sf(t, n - 1), rel=1e-7)


@settings(max_examples=60)
@given(SEEDS, SCALES)
def test_the_unit_changes_no_ratio_of_sums(seed, scale):
    control, treatment = costs(seed)
    clusters = [i // 2 for i in range(60)]
    plain = ratio_of_sums(control, treatment, clusters)

    scaled = ratio_of_sums(control * scale, treatment * scale, clusters)

    assert scaled.p == pytest.approx(plain.p, abs=1e-7)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high), rel=1e-9)


@given(SEEDS)
def test_swapping_the_variants_gives_the_reciprocal(seed):
    control, treatment = costs(seed)
    there = ratio_of_sums(control, treatment)

    back = ratio_of_sums(treatment, control)

    assert (back.low, back.high) == pytest.approx((1 / there.high, 1 / there.low), rel=1e-9)
    assert back.p == pytest.approx(there.p)


def test_copying_every_request_with_its_cluster_narrows_neither_ratio():
    control, treatment = costs(1)
    copies = [np.repeat(column, 5) for column in (control, treatment)]
    clusters = np.repeat(range(60), 5)

    sums = ratio_of_sums(*copies, clusters)
    ratios = ratio_difference(copies[0], copies[1], copies[1], copies[0], clusters)

    assert sums.low == pytest.approx(ratio_of_sums(control, treatment).low, rel=1e-9)
    once = ratio_difference(control, treatment, treatment, control)
    assert ratios.low == pytest.approx(once.low, rel=1e-9)


@pytest.mark.parametrize("factor", [1.0, 3.0, 1.1])
def test_a_constant_ratio_has_no_width_and_only_that_of_one_has_a_p_value(factor):
    control, _ = costs(2)

    found = ratio_of_sums(control, factor * control)

    assert found.low == found.high == pytest.approx(factor)
    assert found.p == (1 if factor == 1 else None)
    assert "do not vary" in found.warnings[0]


def test_a_cost_that_hangs_on_few_requests_is_warned_of_and_an_even_one_is_not():
    control, treatment = costs(3, 200)
    heavy = treatment.copy()
    heavy[7] = 500.0

    warned = ratio_of_sums(control, heavy).warnings
    silent = ratio_of_sums(control, treatment).warnings

    assert "of the variance is from the top hundredth" in warned[0]
    assert silent == ()


def test_few_clusters_are_warned_of_in_both_ratios():
    control, treatment = costs(4)
    clusters = [i % 29 for i in range(60)]

    sums = ratio_of_sums(control, treatment, clusters)
    ratios = ratio_difference(control, treatment, treatment, control, clusters)

    assert "Only 29 clusters" in sums.warnings[0]
    assert "Only 29 clusters" in ratios.warnings[0]


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        ([], [], "fewer than two"),
        ([1.0], [2.0], "fewer than two"),
        ([0.0, 0.0], [1.0, 2.0], "above 0"),
        ([1.0, 2.0], [0.0, 0.0], "above 0"),
        ([1.0, None], [2.0, 3.0], "not finite"),
        ([1.0, 2.0], [math.inf, 3.0], "not finite"),
        ([1e308, 1e308], [1.0, 2.0], "above 0"),
        ([1e-300, 2e-300], [1e300, 2e300], "too far apart"),
        ([1e300, 2e300], [1e-300, 2e-300], "too far apart"),
    ],
)
def test_a_ratio_of_sums_that_cannot_be_formed_has_a_reason(control, treatment, reason):
    found = ratio_of_sums(control, treatment)

    assert (found.estimate, found.low, found.high, found.p) == (None, None, None, None)
    assert reason in found.warnings[0]


def test_the_difference_of_ratios_is_the_one_computed_by_hand():
    found = ratio_difference([1, 1, 1], [1, 1, 1], [2, 2, 5], [1, 2, 3])

    assert found.estimate == 0.5
    assert found.standard_error == pytest.approx(0.25)
    assert found.low == pytest.approx(0.5 - 4.302652729911275 / 4)
    assert found.high == pytest.approx(0.5 + 4.302652729911275 / 4)


@given(SEEDS)
def test_denominators_of_one_make_it_the_difference_of_means(seed):
    control, treatment = costs(seed)
    clusters, ones = [i // 3 for i in range(60)], np.ones(60)
    expected = mean_difference(control, treatment, clusters)

    found = ratio_difference(control, ones, treatment, ones, clusters)

    assert found.estimate == pytest.approx(expected.estimate, rel=1e-9)
    assert found.low == pytest.approx(expected.low, rel=1e-9, abs=1e-9)
    assert found.p == pytest.approx(expected.p, rel=1e-7)


@given(SEEDS)
def test_against_a_control_that_does_not_vary_it_has_the_error_of_one_ratio(seed):
    numerator, denominator = costs(seed)
    ratio, error = by_covariances(numerator, denominator)

    found = ratio_difference(np.ones(60), np.ones(60), numerator, denominator)

    assert found.estimate == pytest.approx(ratio - 1, abs=1e-12)
    assert found.standard_error == pytest.approx(error, rel=1e-9)


@settings(max_examples=60)
@given(SEEDS, SCALES)
def test_the_unit_of_the_numerators_changes_no_p_value_of_a_difference_of_ratios(seed, scale):
    control, treatment = costs(seed)
    under, over = costs(seed + 1)
    plain = ratio_difference(control, under, treatment, over)

    scaled = ratio_difference(control * scale, under, treatment * scale, over)

    assert scaled.p == pytest.approx(plain.p, abs=1e-7)
    assert scaled.low == pytest.approx(plain.low * scale, rel=1e-9)


def test_pairing_narrows_a_difference_of_ratios_that_move_together():
    control, treatment = costs(5)
    under = np.random.default_rng(5).integers(1, 6, 60)

    together = ratio_difference(control, under, treatment, under)
    apart = ratio_difference(control, under, treatment[::-1], under[::-1])

    assert together.standard_error < 0.5 * apart.standard_error


def test_denominators_that_add_up_to_nothing_have_no_ratio_but_single_zeros_are_fine():
    nothing = ratio_difference([1, 1, 2], [0, 0, 0], [1, 2, 3], [1, 1, 1])
    some = ratio_difference([1, 1, 2], [1, 0, 1], [1, 2, 3], [1, 1, 0])

    assert nothing.estimate is None
    assert "above 0" in nothing.warnings[0]
    assert some.estimate == pytest.approx(6 / 2 - 4 / 2)
    assert some.low is not None


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=12))
def test_no_input_brings_a_number_out_that_is_not_finite(values):
    back, clusters = values[::-1], [i // 3 for i in range(len(values))]
    for found in (
        ratio_of_sums(values, back),
        ratio_of_sums(np.abs(values), np.abs(back), clusters),
        ratio_difference(values, np.abs(values), back, np.abs(back), clusters),
    ):
        numbers = (found.estimate, found.low, found.high, found.p, found.standard_error)

        assert all(number is None or math.isfinite(number) for number in numbers)


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        ratio_difference([1, 2], [1, 2], [1, 2, 3], [1, 2])

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from expplat.stats.paired import (
    geometric_mean_ratio,
    mean,
    mean_difference,
    proportion_difference,
    quantile,
    quantile_difference,
)
from expplat.stats.resampling import resampled_quantiles

SCALES = st.sampled_from([1e-9, 1e-6, 0.001, 0.3, 7.0, 1e3, 1e6, 1e9])
SEEDS = st.integers(0, 10_000)


def drawn(seed, n=40, shift=0.1):
    generator = np.random.default_rng(seed)
    control = generator.lognormal(0, 1, n)
    return control, control * generator.lognormal(shift, 0.5, n)


def cr2_by_matrices(differences, clusters):
    """CR2 in its general form, (I − H)^(-1/2) by eigenvalues; shares no line with the product."""
    names = np.array(clusters)
    n = len(differences)
    residuals = np.array(differences) - np.mean(differences)
    meat = 0.0
    for name in sorted(set(clusters)):
        own = np.flatnonzero(names == name)
        values, vectors = np.linalg.eigh(np.eye(len(own)) - np.ones((len(own), len(own))) / n)
        root = vectors @ np.diag(values**-0.5) @ vectors.T
        meat += float(np.sum(root @ residuals[own])) ** 2
    return math.sqrt(meat) / n


@given(SEEDS, st.integers(2, 200))
def test_without_repeats_it_is_the_paired_t_test_digit_by_digit(seed, n):
    control, treatment = drawn(seed, n)
    expected = scipy_stats.ttest_rel(treatment, control)
    interval = expected.confidence_interval(0.95)

    found = mean_difference(control, treatment, [f"request {i}" for i in range(n)])

    assert found.low == pytest.approx(interval.low, rel=1e-12, abs=1e-12)
    assert found.high == pytest.approx(interval.high, rel=1e-12, abs=1e-12)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    assert found.method == "paired t"
    assert found.n == n


def test_clusters_give_the_error_and_the_degrees_computed_by_hand():
    found = mean_difference([0] * 5, [1, 2, 3, 4, 5], list("aabbc"))

    half = scipy_stats.t.ppf(0.975, 16 / 11) * math.sqrt(26 / 30)
    assert found.estimate == 3
    assert found.low == pytest.approx(3 - half)
    assert found.high == pytest.approx(3 + half)
    assert found.method == "paired t (CR2)"


@given(SEEDS)
def test_clusters_agree_with_the_general_matrix_form(seed):
    control, treatment = drawn(seed, 60)
    clusters = np.random.default_rng(seed).integers(0, 12, 60).tolist()
    sizes = np.bincount(clusters).astype(float)
    degrees = (sizes**2).sum() ** 2 / (sizes**4).sum() - 1

    found = mean_difference(control, treatment, clusters, alpha=0.1)

    error = cr2_by_matrices(treatment - control, clusters)
    assert (found.high - found.low) / 2 == pytest.approx(
        scipy_stats.t.ppf(0.95, degrees) * error, rel=1e-9
    )


def test_copying_every_request_five_times_does_not_narrow_the_interval():
    control, treatment = drawn(3)
    once = mean_difference(control, treatment)

    found = mean_difference(np.repeat(control, 5), np.repeat(treatment, 5), np.repeat(range(40), 5))

    assert found.low == pytest.approx(once.low, rel=1e-9)
    assert found.p == pytest.approx(once.p, rel=1e-7)
    assert mean_difference(np.repeat(control, 5), np.repeat(treatment, 5)).p < once.p / 50


def test_few_clusters_are_warned_of_and_thirty_are_not():
    control, treatment = drawn(4, 60)

    few = mean_difference(control, treatment, [i % 29 for i in range(60)])
    enough = mean_difference(control, treatment, [i % 30 for i in range(60)])

    assert few.warnings == ("Only 29 clusters: the interval is rough below 30.",)
    assert enough.warnings == ()


@settings(max_examples=60)
@given(SEEDS, SCALES)
def test_the_unit_of_the_values_changes_no_p_value_and_scales_the_interval(seed, scale):
    control, treatment = drawn(seed)
    clusters = [i // 2 for i in range(40)]
    plain = mean_difference(control, treatment, clusters)

    scaled = mean_difference(control * scale, treatment * scale, clusters)

    assert scaled.p == pytest.approx(plain.p, abs=1e-9)
    assert scaled.low == pytest.approx(plain.low * scale, rel=1e-9)
    assert scaled.high == pytest.approx(plain.high * scale, rel=1e-9)


@given(SEEDS, SCALES)
def test_the_unit_of_the_values_changes_no_ratio(seed, scale):
    control, treatment = drawn(seed)
    plain = geometric_mean_ratio(control, treatment)

    scaled = geometric_mean_ratio(control * scale, treatment * scale)

    assert scaled.p == pytest.approx(plain.p, abs=1e-9)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high), rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(SEEDS, SCALES)
def test_the_unit_of_the_values_changes_no_bootstrap(seed, scale):
    generator = np.random.default_rng(seed)
    control = generator.integers(1, 6, 30).astype(float)
    treatment = generator.integers(1, 6, 30).astype(float)
    plain = quantile_difference(control, treatment, 0.95, seed=1)

    scaled = quantile_difference(control * scale, treatment * scale, 0.95, seed=1)

    assert scaled.p == pytest.approx(plain.p, abs=1e-7)
    assert scaled.low == pytest.approx(plain.low * scale, rel=1e-9, abs=1e-9 * scale)


@settings(max_examples=60)
@given(SEEDS, st.sampled_from([1e3, 1e6, 1e9]))
def test_a_constant_added_to_both_variants_changes_no_p_value(seed, constant):
    control, treatment = drawn(seed)
    clusters = [i // 2 for i in range(40)]
    plain = mean_difference(control, treatment, clusters)

    shifted = mean_difference(control + constant, treatment + constant, clusters)

    assert shifted.p == pytest.approx(plain.p, abs=1e-7)
    assert shifted.low == pytest.approx(plain.low, abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(SEEDS)
def test_a_constant_added_to_both_variants_changes_no_bootstrap(seed):
    control, treatment = drawn(seed)
    plain = quantile_difference(control, treatment, 0.9, seed=1)

    shifted = quantile_difference(control + 1e9, treatment + 1e9, 0.9, seed=1)

    assert shifted.p == pytest.approx(plain.p, abs=1e-7)
    assert shifted.low == pytest.approx(plain.low, abs=1e-5)


@given(SEEDS, st.integers(3, 100))
def test_the_interval_rests_on_the_standard_error_and_degrees_that_it_names(seed, n):
    control, treatment = drawn(seed, n)
    expected = scipy_stats.ttest_rel(treatment, control)

    found = mean_difference(control, treatment)

    assert found.standard_error == pytest.approx(scipy_stats.sem(treatment - control), rel=1e-9)
    assert found.degrees == expected.df
    assert found.estimate / found.standard_error == pytest.approx(expected.statistic, rel=1e-9)


def test_the_standard_error_of_a_ratio_is_in_the_unit_of_the_ratio():
    found = geometric_mean_ratio([1, 1, 1], [1, 2, 4])

    assert found.standard_error == pytest.approx(2 * math.log(2) / math.sqrt(3))
    assert found.degrees == 2


@given(SEEDS)
def test_swapping_the_variants_turns_the_interval_over(seed):
    control, treatment = drawn(seed)
    there = mean_difference(control, treatment)

    back = mean_difference(treatment, control)

    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p == pytest.approx(there.p)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_differences_that_are_all_the_same_have_no_width_and_no_p_value(scale):
    control = np.linspace(0.1, 0.9, 7) * scale

    found = mean_difference(control, control + 0.1 * scale)

    assert found.low == found.high == found.estimate
    assert found.p is None
    assert "do not vary" in found.warnings[0]


def test_a_variant_held_against_itself_differs_by_nothing():
    found = mean_difference([0.5, 0.7], [0.5, 0.7])

    assert (found.estimate, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_clusters_that_cancel_within_leave_no_width_rather_than_a_certainty():
    found = mean_difference([0] * 6, [1.1, 0.9, 1.2, 0.8, 1.3, 0.7], list("aabbcc"))

    assert found.p is None
    assert "do not vary" in found.warnings[0]


@pytest.mark.parametrize(
    ("control", "treatment", "clusters", "reason"),
    [
        ([], [], None, "fewer than two"),
        ([1.0], [2.0], None, "fewer than two"),
        ([1.0, 2.0, 3.0], [2.0, 2.0, 4.0], ["a", "a", "a"], "one cluster"),
        ([1.0, math.nan, 3.0], [2.0, 2.0, 4.0], None, "not finite"),
        ([1.0, None, 3.0], [2.0, 2.0, 4.0], None, "not finite"),
        ([1.0, math.inf, 3.0], [2.0, math.inf, 4.0], None, "not finite"),
    ],
)
def test_what_cannot_be_estimated_has_no_numbers_and_a_reason(control, treatment, clusters, reason):
    found = mean_difference(control, treatment, clusters)

    assert (found.low, found.high, found.p) == (None, None, None)
    assert reason in found.warnings[0]


def test_one_cluster_that_outweighs_all_others_gives_an_estimate_without_an_interval():
    found = mean_difference([0] * 50, list(range(50)), ["big"] * 49 + ["small"])

    assert found.estimate == 24.5
    assert (found.low, found.high, found.p) == (None, None, None)


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=0, max_size=12))
def test_no_input_brings_a_number_out_that_is_not_finite(values):
    for found in (
        mean_difference(values, values[::-1]),
        geometric_mean_ratio(values, values[::-1]),
        mean_difference(values, values[::-1], [i // 3 for i in range(len(values))]),
    ):
        numbers = (found.estimate, found.low, found.high, found.p)

        assert all(number is None or math.isfinite(number) for number in numbers)


def test_columns_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="no pairs"):
        mean_difference([1, 2, 3], [1, 2])


@pytest.mark.parametrize("alpha", [0, 1, -0.1, math.nan])
def test_a_level_out_of_range_is_refused(alpha):
    with pytest.raises(ValueError, match="alpha"):
        mean_difference([1, 2, 3], [1, 2, 4], alpha=alpha)


def test_the_ratio_of_latencies_is_the_one_computed_by_hand():
    found = geometric_mean_ratio([1, 1, 1], [1, 2, 4])

    half = 4.302652729911275 / math.sqrt(3)
    assert found.estimate == pytest.approx(2)
    assert found.low == pytest.approx(2 ** (1 - half))
    assert found.high == pytest.approx(2 ** (1 + half))


@pytest.mark.parametrize("broken", [0.0, -1.0, math.nan])
def test_a_ratio_needs_values_above_zero(broken):
    found = geometric_mean_ratio([1.0, broken, 2.0], [1.0, 2.0, 3.0])

    assert found.estimate is None
    assert "above 0" in found.warnings[0]


def test_a_constant_ratio_has_no_width():
    found = geometric_mean_ratio([1.0, 2.0, 3.0, 7.0], [1.1, 2.2, 3.3, 7.7])

    assert found.low == found.high == pytest.approx(1.1)


def test_the_bootstrap_agrees_with_a_plain_loop_of_numpy():
    control, treatment = drawn(5, 100)
    generator = np.random.default_rng(99)
    draws = [generator.integers(100, size=100) for _ in range(4_999)]
    loop = [np.quantile(treatment[d], 0.9) - np.quantile(control[d], 0.9) for d in draws]

    found = quantile_difference(control, treatment, 0.9, seed=7)

    assert found.estimate == np.quantile(treatment, 0.9) - np.quantile(control, 0.9)
    width = np.quantile(loop, 0.975) - np.quantile(loop, 0.025)
    assert found.low == pytest.approx(np.quantile(loop, 0.025), abs=0.06 * width)
    assert found.high == pytest.approx(np.quantile(loop, 0.975), abs=0.06 * width)


def test_each_resample_has_numpys_linear_quantile_of_both_columns():
    values = np.array([3.0, 1.0, 4.0, 1.5, 9.0, 2.6])
    clusters = np.array([0, 0, 1, 1, 2, 2])
    possible = set()
    for drawn_clusters in itertools.product(range(3), repeat=3):
        rows = np.concatenate([np.flatnonzero(clusters == k) for k in drawn_clusters])
        pair = (np.quantile(column[rows], 0.7) for column in (values, values[::-1]))
        possible.add(tuple(round(float(each), 9) for each in pair))

    ones, others = resampled_quantiles((values, values[::-1]), clusters, 0.7, 1, 500)

    found = zip(ones.tolist(), others.tolist(), strict=True)
    assert {(round(one, 9), round(other, 9)) for one, other in found} == possible


def test_the_same_seed_gives_the_same_bootstrap_and_another_seed_another():
    control, treatment = drawn(6, 100)

    one = quantile_difference(control, treatment, 0.95, seed=1)

    assert one == quantile_difference(control, treatment, 0.95, seed=1)
    assert one.low != quantile_difference(control, treatment, 0.95, seed=2).low


def test_the_bootstrap_draws_clusters_whole():
    control, treatment = drawn(8, 60)
    apart = quantile_difference(control, treatment, 0.5, seed=1)
    copies = [np.repeat(column, 4) for column in (control, treatment)]

    together = quantile_difference(*copies, 0.5, np.repeat(range(60), 4), seed=1)
    as_if_apart = quantile_difference(*copies, 0.5, seed=1)

    assert together.high - together.low == pytest.approx(apart.high - apart.low, rel=0.25)
    assert as_if_apart.high - as_if_apart.low < 0.75 * (apart.high - apart.low)


@pytest.mark.parametrize(("n", "warned"), [(75, True), (76, False)])
def test_a_95th_percentile_of_few_pairs_is_warned_of(n, warned):
    control, treatment = drawn(9, n)

    found = quantile_difference(control, treatment, 0.95)

    assert bool(found.warnings) is warned


def test_a_p95_interval_needs_more_than_one_pair():
    found = quantile_difference([1.0], [2.0], 0.95)

    assert (found.estimate, found.low, found.p) == (None, None, None)


def test_ten_thousand_pairs_are_bootstrapped_within_seconds():
    import time

    control, treatment = drawn(10, 10_000)
    start = time.process_time()

    quantile_difference(control, treatment, 0.95)

    assert time.process_time() - start < 5


def test_quantiles_are_interpolated_linearly():
    assert quantile([1.0, 2.0, 4.0], 0.75) == 3.0


def test_proportions_that_all_agree_keep_a_width():
    found = proportion_difference([1] * 50, [1] * 50)

    assert found.estimate == 0
    assert found.low == pytest.approx(-found.high) == pytest.approx(-0.0713, abs=5e-5)
    assert found.p == 1


@pytest.mark.parametrize(("won", "lost"), [(0, 0), (0, 9), (3, 4), (1_111, 214)])
def test_the_exact_p_value_of_proportions_is_that_of_statsmodels(won, lost):
    from statsmodels.stats.contingency_tables import mcnemar

    control = [0] * won + [1] * lost + [1, 0]
    treatment = [1] * won + [0] * lost + [1, 0]

    found = proportion_difference(control, treatment, exact=True)

    assert found.p == pytest.approx(mcnemar([[1, lost], [won, 1]], exact=True).pvalue, rel=1e-9)
    assert found.method == "paired proportions (Newcombe 10, exact McNemar)"
    assert found.low == proportion_difference(control, treatment).low


def test_proportions_of_repeated_requests_use_the_clusters():
    control, treatment, clusters = [0, 1] * 20, [1, 1] * 20, [i // 4 for i in range(40)]
    treatment[0] = 0

    found = proportion_difference(control, treatment, clusters)

    assert found == mean_difference(control, treatment, clusters)


def test_a_proportion_of_other_values_than_zero_and_one_is_not_estimable():
    found = proportion_difference([0, 0.5, 1], [1, 1, 1])

    assert found.estimate is None
    assert "0 or 1" in found.warnings[0]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=80))
def test_proportions_and_means_agree_on_the_estimate_and_newcombe_stays_in_range(pairs):
    control, treatment = zip(*pairs, strict=True)
    assume(len(pairs) >= 2)

    found = proportion_difference(control, treatment)

    assert found.estimate == pytest.approx(np.mean(treatment) - np.mean(control))
    assert -1 <= found.low <= found.estimate <= found.high <= 1


def test_a_quantile_out_of_range_and_clusters_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="quantile"):
        quantile_difference([1.0, 2.0], [1.0, 3.0], 95)
    with pytest.raises(ValueError, match="do not fit"):
        mean_difference([1.0, 2.0], [1.0, 3.0], ["a"])


def test_a_mean_is_summed_exactly():
    assert mean([1e16, 1.0, -1e16]) == pytest.approx(1 / 3)

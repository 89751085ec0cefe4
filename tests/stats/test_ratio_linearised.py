import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.stats.adjustment import cuped
from expplat.stats.joint_moments import joint_moments_of, linearised, marginal
from expplat.stats.moments import moments_of, variance
from expplat.stats.two_sample import difference

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-3, 0.7, 1e3, 1e9])


def users(seed, n=80):
    """Sums of clicks and counts of views by user, and the clicks of the month before."""
    generator = np.random.default_rng(seed)
    views = generator.poisson(5, n) + 1.0
    taste = generator.beta(2, 8, n)
    return taste * views + generator.normal(0, 0.3, n), views, taste + generator.normal(0, 0.05, n)


def ratio_of(*columns):
    return marginal(linearised(joint_moments_of(*columns)))


def test_a_ratio_of_three_units_is_the_one_computed_by_hand():
    found = ratio_of([1, 2, 3], [1, 2, 1])

    assert (found.n, found.mean) == (3, 1.5)
    assert found.m2 == pytest.approx(1.96875)


@given(SEEDS)
def test_the_variance_of_a_ratio_is_the_delta_method(seed):
    top, bottom, _ = users(seed)
    spread = np.cov(top, bottom)
    ratio = top.sum() / bottom.sum()
    delta = spread[0, 0] - 2 * ratio * spread[0, 1] + ratio**2 * spread[1, 1]

    found = ratio_of(top, bottom)

    assert found.mean == pytest.approx(ratio, rel=1e-12)
    assert variance(found) == pytest.approx(delta / bottom.mean() ** 2, rel=1e-9)


@given(SEEDS)
def test_the_other_columns_stay_and_their_products_follow(seed):
    top, bottom, before = users(seed)
    unit = top.sum() / bottom.sum() + (top - bottom * top.sum() / bottom.sum()) / bottom.mean()

    found = linearised(joint_moments_of(top, bottom, before))

    expected = joint_moments_of(unit, before)
    assert found.means == pytest.approx(expected.means, rel=1e-12)
    assert np.array(found.products) == pytest.approx(np.array(expected.products), rel=1e-8)


@given(SEEDS, SCALES, SCALES)
def test_the_units_of_both_sums_change_no_p_value(seed, scale, other_scale):
    control, treatment = users(seed)[:2], users(seed + 1)[:2]
    plain = difference(ratio_of(*control), ratio_of(*treatment))

    found = difference(
        *(ratio_of(top * scale, bottom * other_scale) for top, bottom in (control, treatment))
    )

    unit = scale / other_scale
    assert found.p == pytest.approx(plain.p, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((plain.low * unit, plain.high * unit))
    assert found.standard_error == pytest.approx(plain.standard_error * unit)


def test_a_denominator_of_ones_leaves_a_mean():
    values = users(4)[0]

    found = ratio_of(values, np.ones(len(values)))

    assert found.mean == pytest.approx(moments_of(values).mean)
    assert found.m2 == pytest.approx(moments_of(values).m2)


def test_a_ratio_that_is_the_same_in_every_unit_does_not_vary():
    views = users(5)[1]

    found = difference(ratio_of(0.1 * views, views), ratio_of(0.3 * views, views))

    assert (found.low, found.high) == pytest.approx((0.2, 0.2))
    assert found.p is None


@pytest.mark.parametrize("bottom", [[0.0, 0.0, 0.0], [-1.0, 0.0, 1.0], [1.0, math.nan, 1.0]])
def test_a_denominator_without_a_mean_has_no_ratio(bottom):
    assert linearised(joint_moments_of([1.0, 2.0, 3.0], bottom)) is None


def test_a_numerator_that_is_not_finite_is_not_estimable():
    broken = ratio_of([1.0, math.nan, 3.0], [1.0, 1.0, 2.0])

    assert difference(ratio_of([1, 2, 3], [1, 2, 1]), broken).estimate is None


def test_a_ratio_needs_a_denominator():
    with pytest.raises(ValueError, match="denominator"):
        linearised(joint_moments_of([1.0, 2.0]))


def test_a_covariate_narrows_the_interval_of_a_ratio():
    joint = [joint_moments_of(*users(seed, 4_000)) for seed in (6, 7)]
    ratios = [linearised(arm) for arm in joint]

    found = difference(*cuped(ratios))

    assert found.standard_error < 0.8 * difference(*map(marginal, ratios)).standard_error


def clusters(generator, n=60, effect=0.0):
    """Sums over clusters of an outcome, a count of units, and a covariate with a mean of 50."""
    size = generator.poisson(20, n) + 1.0
    before = generator.normal(50, 3, n)
    outcome = before + effect + generator.normal(0, 1, n)
    return outcome * size, size, before * size


def test_the_size_of_a_cluster_makes_its_sum_of_a_covariate_worth_having():
    generator = np.random.default_rng(8)
    arms = [joint_moments_of(*clusters(generator)) for _ in range(2)]
    plain = difference(*(marginal(linearised(arm)) for arm in arms))

    found = difference(*cuped([linearised(arm, keeps_denominator=True) for arm in arms]))
    without_size = difference(*cuped([linearised(arm) for arm in arms]))

    assert found.standard_error < 0.5 * plain.standard_error
    assert without_size.standard_error > 0.9 * plain.standard_error


def requests(generator, n, rate):
    """Requests by user, and how many of them went well: users differ in both."""
    count = generator.poisson(generator.gamma(1, 20, n)) + 1
    return generator.binomial(count, generator.beta(6 * rate, 6 * (1 - rate), n)), count


@pytest.mark.long
@pytest.mark.timeout(600)
def test_requests_of_randomised_users_keep_the_level_as_a_ratio_and_not_as_rows():
    generator, runs, by_user, by_row = np.random.default_rng(20_261_123), 4_000, 0, 0
    for _ in range(runs):
        arms = [requests(generator, 300, 0.5) for _ in range(2)]
        by_user += difference(*(ratio_of(*arm) for arm in arms)).p <= 0.05
        rows = [np.repeat([1.0, 0.0], [good.sum(), (n - good).sum()]) for good, n in arms]
        by_row += difference(*(marginal(joint_moments_of(row)) for row in rows)).p <= 0.05

    for what, hits in (("users, ratio", by_user), ("rows", by_row)):
        share = hits / runs
        error = 1.96 * math.sqrt(share * (1 - share) / runs)
        print(f"false positives, {what}: {share:.4f} ± {error:.4f} ({runs} runs)")
    assert 0.035 <= by_user / runs <= 0.065
    assert by_row / runs > 0.3

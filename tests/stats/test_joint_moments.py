import functools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.moments import JointMoments
from expplat.stats.joint_moments import joint_moments_of, linear_map, marginal, merge_joint
from expplat.stats.moments import moments_of

SEEDS = st.integers(0, 10_000)
NOTHING = JointMoments(n=0, means=(), products=())


def drawn(seed, n=500):
    generator = np.random.default_rng(seed)
    one = generator.lognormal(0, 1, n)
    return one, 3 * one + generator.normal(0, 2, n), generator.poisson(2, n).astype(float)


def products(joint):
    return np.array(joint.products)


def test_joint_moments_of_three_rows_are_those_computed_by_hand():
    found = joint_moments_of([1, 2, 3], [2, 2, 5])

    assert found == JointMoments(n=3, means=(2.0, 3.0), products=((2.0, 3.0), (3.0, 6.0)))


def test_merging_two_parts_gives_the_joint_moments_computed_by_hand():
    merged = merge_joint(joint_moments_of([1, 2], [2, 4]), joint_moments_of([3, 4], [0, 2]))

    assert merged == JointMoments(n=4, means=(2.5, 2.0), products=((5.0, -2.0), (-2.0, 8.0)))


@given(SEEDS)
def test_joint_moments_are_numpys_covariances(seed):
    columns = drawn(seed)

    found = joint_moments_of(*columns)

    assert found.means == pytest.approx(np.mean(columns, axis=1), rel=1e-12)
    assert products(found) / 499 == pytest.approx(np.cov(columns), rel=1e-10)


@given(SEEDS)
def test_sixteen_parts_merge_into_what_one_part_is(seed):
    columns = drawn(seed)
    parts = zip(*(np.array_split(column, 16) for column in columns), strict=True)

    merged = functools.reduce(merge_joint, (joint_moments_of(*part) for part in parts), NOTHING)

    whole = joint_moments_of(*columns)
    assert merged.n == whole.n
    assert merged.means == pytest.approx(whole.means, rel=1e-10)
    assert products(merged) == pytest.approx(products(whole), rel=1e-10)


def test_a_mean_of_a_billion_does_not_eat_the_variance():
    one, other, _ = drawn(1, 10_000)
    far = one + 1e9
    exact = products(joint_moments_of(far - 1e9, other))

    whole = joint_moments_of(far, other)
    merged = merge_joint(
        joint_moments_of(far[:3_000], other[:3_000]), joint_moments_of(far[3_000:], other[3_000:])
    )

    assert products(whole) == pytest.approx(exact, rel=1e-10)
    assert products(merged) == pytest.approx(exact, rel=1e-7)


def test_a_spread_of_a_few_last_digits_is_still_right():
    steps = np.random.default_rng(4).integers(0, 10, 101)

    found = marginal(joint_moments_of(1e9 + steps * 2.0**-23))

    assert found.m2 == pytest.approx(moments_of(steps).m2 * 2.0**-46, rel=1e-9)


def test_a_column_agrees_with_the_moments_of_it_alone():
    columns = drawn(2)

    found = marginal(joint_moments_of(*columns), 1)

    alone = moments_of(columns[1])
    assert (found.n, found.mean) == (alone.n, pytest.approx(alone.mean, rel=1e-13))
    assert found.m2 == pytest.approx(alone.m2, rel=1e-12)


def test_a_constant_column_far_from_zero_has_no_variance():
    assert marginal(joint_moments_of([1e9 + 0.1] * 1_000)).m2 == 0


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_value_that_is_not_finite_spoils_its_own_column_and_no_other(broken):
    found = joint_moments_of([1.0, broken, 2.0], [4.0, 6.0, 8.0])

    assert math.isnan(found.means[0])
    assert math.isnan(found.products[0][0])
    assert math.isnan(found.products[0][1])
    assert marginal(found, 1) == moments_of([4.0, 6.0, 8.0])


def test_merging_a_part_without_units_changes_nothing():
    some = joint_moments_of([1.0, 5.0], [2.0, 3.0])

    for nothing in (NOTHING, joint_moments_of([], [])):
        assert merge_joint(some, nothing) == some
        assert merge_joint(nothing, some) == some


def test_parts_with_other_columns_are_not_merged():
    with pytest.raises(ValueError, match="2 columns"):
        merge_joint(joint_moments_of([1.0], [2.0]), joint_moments_of([1.0]))


@pytest.mark.parametrize("columns", [(), ([1.0, 2.0], [1.0]), ([[1.0, 2.0]],), (1.0,)])
def test_columns_that_do_not_fit_each_other_are_refused(columns):
    with pytest.raises(ValueError, match="columns"):
        joint_moments_of(*columns)


@given(SEEDS)
def test_a_linear_map_is_that_of_the_values(seed):
    one, other, third = drawn(seed)
    joint = joint_moments_of(one, other, third)

    found = linear_map(joint, [(1, -2, 0), (0.5, 0, 1e6)], (3, -1))

    expected = joint_moments_of(one - 2 * other + 3, 0.5 * one + 1e6 * third - 1)
    assert found.means == pytest.approx(expected.means, rel=1e-10)
    assert products(found) == pytest.approx(products(expected), rel=1e-9)


def test_what_cancels_is_constant():
    one, _, third = drawn(3)

    found = linear_map(joint_moments_of(one, 0.1 * one, third), [(0.1, -1, 0), (0, 0, 1)], (0, 0))

    assert marginal(found).m2 == 0
    assert found.products[0][1] == found.products[1][0] == 0
    assert marginal(found, 1).m2 > 0


def test_a_map_of_the_wrong_shape_is_refused():
    with pytest.raises(ValueError, match="shape"):
        linear_map(joint_moments_of([1.0, 2.0]), [(1.0, 2.0)], (0.0,))

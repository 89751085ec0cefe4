import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.moments import merge, moments_of, of_proportion, variance

NUMBERS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40)


def test_moments_of_eight_numbers_are_those_computed_by_hand():
    found = moments_of([2, 4, 4, 4, 5, 5, 7, 9])

    assert found == Moments(n=8, mean=5.0, m2=32.0)
    assert variance(found) == pytest.approx(32 / 7)


def test_merging_two_parts_gives_the_moments_computed_by_hand():
    assert merge(moments_of([1, 2]), moments_of([3, 6])) == Moments(n=4, mean=3.0, m2=14.0)


@given(NUMBERS, NUMBERS)
def test_merging_parts_equals_taking_all_at_once(one, other):
    merged, whole = merge(moments_of(one), moments_of(other)), moments_of(one + other)

    assert merged.n == whole.n
    assert merged.mean == pytest.approx(whole.mean, rel=1e-12, abs=1e-9)
    assert merged.m2 == pytest.approx(whole.m2, rel=1e-9, abs=1e-6)


def test_merging_nothing_changes_nothing():
    some = moments_of([1.0, 5.0])

    assert merge(some, NO_MOMENTS) == some
    assert merge(NO_MOMENTS, some) == some


def test_a_mean_of_a_billion_does_not_eat_the_variance():
    random = Random(1)
    values = [random.gauss(0, 1) for _ in range(10_000)]
    far = [value + 1e9 for value in values]
    exact = moments_of([value - 1e9 for value in far])

    whole = moments_of(far)
    merged = merge(moments_of(far[:3_000]), moments_of(far[3_000:]))

    assert variance(whole) == pytest.approx(variance(exact), rel=1e-7)
    assert variance(merged) == pytest.approx(variance(exact), rel=1e-7)


def test_a_constant_column_far_from_zero_has_no_variance():
    assert variance(moments_of([1e9 + 0.1] * 1_000)) == 0


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_is_not_lost_in_silence(broken):
    found = moments_of([1.0, broken, 2.0])

    assert found.n == 3
    assert variance(found) is None


def test_a_proportion_has_the_moments_of_its_zeros_and_ones():
    found, listed = of_proportion(3, 10), moments_of([1] * 3 + [0] * 7)

    assert (found.n, found.mean) == (10, 0.3)
    assert found.m2 == pytest.approx(listed.m2)
    assert of_proportion(0, 0) == NO_MOMENTS


@pytest.mark.parametrize("successes", [-1, 11])
def test_more_successes_than_units_are_refused(successes):
    with pytest.raises(ValueError, match="successes"):
        of_proportion(successes, 10)


def test_one_value_has_no_variance():
    assert variance(moments_of([4.0])) is None


def test_nothing_has_the_moments_of_nothing():
    assert moments_of([]) == NO_MOMENTS

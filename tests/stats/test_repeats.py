import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.stats.repeats import RepeatSplit, repeats_that_pay, standard_error, variance_split

SEEDS = st.integers(0, 10_000)


def test_a_split_by_hand():
    found = variance_split([[1, 3], [4, 6], [8, 8]])

    assert found.between == pytest.approx(25 / 3)
    assert found.within == pytest.approx(4 / 3)
    assert standard_error(found, requests=3, repeats=2) == pytest.approx(math.sqrt(3))


def test_an_unbalanced_split_by_hand():
    # Means of 2, 5 and 9 around one of 6; the one spread is that of 1 and 3.
    found = variance_split([[1, 3], [5], [9, 9, 9]])

    apart = (2 * (2 - 6) ** 2 + (5 - 6) ** 2 + 3 * (9 - 6) ** 2) / 2
    within = 2 / 3
    assert found.within == pytest.approx(within)
    assert found.between == pytest.approx((apart - within) / ((6 - 14 / 6) / 2))


@settings(deadline=None)
@given(SEEDS, st.integers(2, 12), st.integers(2, 5))
def test_the_error_is_that_of_the_requests_means(seed, requests, repeats):
    table = np.random.default_rng(seed).normal(size=(requests, repeats))
    table += 5 * np.arange(requests)[:, None]

    error = standard_error(variance_split(table), requests=requests, repeats=repeats)

    of_means = table.mean(axis=1).std(ddof=1) / math.sqrt(requests)
    assert error == pytest.approx(of_means)


@settings(deadline=None)
@given(SEEDS)
def test_a_missing_pair_is_as_if_it_were_not_there(seed):
    generator = np.random.default_rng(seed)
    table = generator.normal(size=(6, 3))
    table[generator.integers(6), generator.integers(3)] = math.nan
    lists = [[value for value in row if not math.isnan(value)] for row in table]

    assert variance_split(table) == variance_split(lists) == variance_split([*lists, []])


@settings(deadline=None)
@given(SEEDS, st.sampled_from([1e-6, 0.01, 100.0, 1e6]), st.floats(-1e3, 1e3))
def test_the_unit_and_the_origin_change_nothing_else(seed, scale, shift):
    table = np.random.default_rng(seed).normal(size=(8, 3))
    plain = variance_split(table)

    found = variance_split(scale * (table + shift))

    assert found.within == pytest.approx(scale**2 * plain.within, rel=1e-8)
    assert found.between == pytest.approx(scale**2 * plain.between, rel=1e-7, abs=1e-9 * scale**2)


def test_repeats_that_differ_more_than_requests_leave_nothing_between():
    assert variance_split([[0, 10], [10, 0], [0, 10]]).between == 0


def test_answers_that_never_vary_leave_nothing_within():
    found = variance_split([[1, 1], [2, 2], [4, 4]])

    assert found.within == 0
    assert found.between == pytest.approx(np.var([1, 2, 4], ddof=1))


@pytest.mark.parametrize(
    "differences",
    [[], [[1, 2]], [[1], [2]], [[1, 2], []], [[1, 2], [math.nan]], np.empty((0, 2))],
)
def test_too_little_for_a_split_is_refused(differences):
    with pytest.raises(ValueError, match="needs two requests"):
        variance_split(differences)


def test_an_infinite_difference_is_refused():
    with pytest.raises(ValueError, match="not finite"):
        variance_split([[1, math.inf], [2, 3]])


@pytest.mark.parametrize(("requests", "repeats"), [(0, 1), (1, 0)])
def test_nothing_asked_has_no_error(requests, repeats):
    with pytest.raises(ValueError, match="at least one"):
        standard_error(RepeatSplit(between=1, within=1), requests=requests, repeats=repeats)


def test_repeats_pay_where_answers_vary_and_requests_do_not():
    found = repeats_that_pay(RepeatSplit(between=0, within=1), requests=100, weighed=(1, 4))

    assert [one.standard_error for one in found] == pytest.approx([0.1, 0.05])
    assert [one.share for one in found] == pytest.approx([0, 0.5])


def test_repeats_do_not_pay_where_answers_never_vary():
    found = repeats_that_pay(RepeatSplit(between=4, within=0), requests=100)

    assert [one.repeats for one in found] == [1, 2, 3, 5, 10]
    assert {one.standard_error for one in found} == {0.2}
    assert {one.share for one in found} == {0}


def test_the_split_is_right_on_average():
    generator, runs = np.random.default_rng(1), 2_000
    found = []
    for _ in range(runs):
        own = generator.normal(0, 2, size=(40, 1))
        table = own + generator.normal(0, 3, size=(40, 3))
        table[: generator.integers(1, 20), 2] = math.nan
        found.append(variance_split(table))

    between = np.array([one.between for one in found])
    within = np.array([one.within for one in found])
    assert abs(between.mean() - 4) <= 4 * between.std() / math.sqrt(runs)
    assert abs(within.mean() - 9) <= 4 * within.std() / math.sqrt(runs)

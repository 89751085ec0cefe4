import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from expplat.stats.boundaries import boundaries
from expplat.stats.extension import conditional_level

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def even(looks):
    return tuple(look / looks for look in range(1, looks + 1))


@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.025)])
def test_before_the_first_look_all_of_alpha_is_left(sides, alpha):
    critical = boundaries(FIVE, alpha, sides=sides)

    assert conditional_level((), FIVE, critical, sides) == pytest.approx(alpha, abs=1e-8)


@pytest.mark.parametrize(("looks", "constant"), [(2, 2.178), (5, 2.413), (10, 2.555)])
def test_the_published_constants_of_pocock_cross_with_five_percent(looks, constant):
    found = conditional_level((), even(looks), (constant,) * looks)

    assert found == pytest.approx(0.05, abs=1.5e-4)


@pytest.mark.parametrize(("looks", "constant"), [(2, 1.977), (5, 2.040), (10, 2.087)])
def test_the_published_constants_of_obrien_and_fleming_cross_with_five_percent(looks, constant):
    critical = [constant / math.sqrt(t) for t in even(looks)]

    assert conditional_level((), even(looks), critical) == pytest.approx(0.05, abs=1.5e-4)


@pytest.mark.parametrize(("looks", "published"), [(2, 0.0831), (5, 0.142), (10, 0.193)])
def test_a_test_read_plainly_at_every_look_errs_as_often_as_published(looks, published):
    found = conditional_level((), even(looks), (1.959964,) * looks)

    assert found == pytest.approx(published, abs=5e-4)


def test_with_one_look_to_come_it_is_the_conditional_tail():
    tail = norm.sf((1.96 - math.sqrt(0.5)) / math.sqrt(0.5))

    found = conditional_level((1.0,), (0.5, 1.0), (3.0, 1.96), sides=1)

    assert found == pytest.approx(tail, abs=1e-12)
    assert found == pytest.approx(0.03821, abs=5e-6)


def test_two_sides_add_the_other_tail():
    root = math.sqrt(0.5)
    tails = norm.sf((1.96 - root) / root) + norm.sf((1.96 + root) / root)

    for z in (1.0, -1.0):
        assert conditional_level((z,), (0.5, 1.0), (3.0, 1.96)) == pytest.approx(tails, abs=1e-12)


@pytest.mark.parametrize("sides", [1, 2])
def test_looks_close_upon_each_other_cross_as_often_as_an_independent_integral_says(sides):
    fractions = (0.5, 0.5005, 0.501)
    correlation = np.sqrt(
        np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions)
    )
    low = -2.0 if sides == 2 else -np.inf
    inside = multivariate_normal(np.zeros(3), correlation).cdf((2.0,) * 3, lower_limit=(low,) * 3)

    found = conditional_level((), fractions, (2.0,) * 3, sides)

    assert found == pytest.approx(1 - inside, abs=2e-5)


@pytest.mark.parametrize("sides", [1, 2])
def test_what_is_left_is_alpha_on_average(sides):
    """At a look: 1 where it is crossed, and else what the rest of the plan would spend."""
    critical = boundaries(FIVE, 0.05, sides=sides)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    z = 8 * nodes

    left = [conditional_level((value,), FIVE, critical, sides) for value in z]

    assert np.sum(8 * weights * norm.pdf(z) * left) == pytest.approx(0.05, abs=2e-5)


def test_a_plan_with_a_look_past_its_end_leaves_something_at_the_end():
    """Alpha .05 in all, .04 of it by the planned end, and the rest at one and a half times it."""
    fractions, times = (0.5, 1.0, 1.5), (0.5, 0.9, 1.0)
    critical = boundaries(fractions, spending_times=times)

    left = conditional_level((1.2, 1.9), fractions, critical)

    edge = critical[2] * math.sqrt(1.5)
    tails = norm.sf((edge - 1.9) / math.sqrt(0.5)) + norm.sf((edge + 1.9) / math.sqrt(0.5))
    assert left == pytest.approx(tails, abs=1e-9)
    assert 0.1 < left < 0.5


def test_after_the_last_look_nothing_is_left_and_after_a_crossing_everything():
    assert conditional_level((1.0, 1.0), (0.5, 1.0), (2.5, 2.0)) == 0
    assert conditional_level((1.0, 2.0), (0.5, 1.0), (2.5, 2.0)) == 1
    assert conditional_level((-2.6,), (0.5, 1.0), (2.5, 2.0)) == 1
    assert conditional_level((-2.6,), (0.5, 1.0), (2.5, 2.0), sides=1) < 0.001


def test_looks_that_add_nothing_or_pass_nothing_leave_it_as_it_is():
    plain = conditional_level((1.0,), (0.5, 1.0), (3.0, 1.96))

    padded = conditional_level((1.0,), (0.5, 0.50001, 0.7, 1.0), (3.0, 1.0, math.inf, 1.96))

    assert padded == pytest.approx(plain, abs=1e-9)


def test_a_look_without_information_counts_as_none():
    assert conditional_level((0.0,), (0.0, 1.0), (math.inf, 1.959964)) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("z", "fractions", "critical"),
    [((), (0.5,), (2.0, 2.0)), ((1.0, 1.0), (0.5,), (2.0,))],
)
def test_every_planned_look_needs_its_numbers(z, fractions, critical):
    with pytest.raises(
        ValueError, match=r"^every planned look needs an information fraction and a boundary$"
    ):
        conditional_level(z, fractions, critical)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(
        ValueError, match=r"^a z and a share of the planned information must be finite$"
    ):
        conditional_level((math.nan,), (0.5, 1.0), (2.0, 2.0))

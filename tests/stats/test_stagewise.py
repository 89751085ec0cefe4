import math

import numpy as np
import pytest
from scipy.stats import multivariate_normal, norm

from expplat.stats.boundaries import boundaries
from expplat.stats.stagewise import stagewise_p, stagewise_z

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)
HALF = math.sqrt(0.5)


def above_either(first, second):
    """Chance that one of two z of correlation √½ is above its edge, without being low first."""
    joint = multivariate_normal((0, 0), ((1, HALF), (HALF, 1)))
    return 1 - joint.cdf((first, second))


@pytest.mark.parametrize("z", [3.0, -3.0])
def test_a_test_that_ends_at_its_first_look_has_the_plain_p(z):
    assert stagewise_p((z,), (0.5,), (2.5,)) == pytest.approx(2 * norm.sf(3), rel=1e-9)
    assert stagewise_p((z,), (0.5,), (2.5,), sides=1) == pytest.approx(norm.sf(z), rel=1e-9)


def test_a_second_look_adds_what_the_first_would_have_ended():
    joint = multivariate_normal((0, 0), ((1, HALF), (HALF, 1)))
    stayed_and_low = joint.cdf((3, 2), lower_limit=(-3, -np.inf))
    by_hand = 2 * (1 - stayed_and_low - norm.sf(3))

    found = stagewise_p((1.0, 2.0), (0.5, 1.0), (3.0, 2.1))

    assert found == pytest.approx(by_hand, abs=1e-6)
    assert found == pytest.approx(0.04639, abs=1e-5)


def test_one_side_counts_the_paths_that_were_low():
    found = stagewise_p((-4.0, 2.0), (0.5, 1.0), (3.0, 2.1), sides=1)

    assert found == pytest.approx(above_either(3, 2), abs=1e-6)


def test_what_came_after_the_crossing_is_passed_over():
    short = stagewise_p((3.5,), (0.4,), (3.3,))

    assert stagewise_p((3.5, -2.0), (0.4, 1.0), (3.3, 2.0)) == short
    assert stagewise_p((-3.5, 2.0), (0.4, 1.0), (3.3, 2.0)) == pytest.approx(short, rel=1e-9)


def test_a_statistic_just_at_the_boundary_has_crossed_it():
    assert stagewise_p((3.0, 0.0), (0.5, 1.0), (3.0, 2.0)) == pytest.approx(2 * norm.sf(3))


def test_a_look_at_which_nothing_could_pass_changes_nothing():
    plain = stagewise_p((1.0, 2.0), (0.5, 1.0), (3.0, 2.1))

    padded = stagewise_p(
        (0.0, 0.3, 1.0, 1.0, 2.0), (0.0, 0.2, 0.5, 0.5, 1.0), (9, math.inf, 3.0, 1.5, 2.1)
    )

    assert padded == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.025)])
def test_a_z_on_the_boundary_has_a_p_of_what_was_spent_so_far(sides, alpha):
    critical = boundaries(FIVE, alpha, sides=sides)

    for looks in range(2, 6):
        z = (*(0.0,) * (looks - 1), critical[looks - 1])
        spent = alpha if looks == 5 else None
        found = stagewise_p(z, FIVE[:looks], critical[:looks], sides)
        assert found <= alpha + 1e-9
        if spent:
            assert found == pytest.approx(alpha, abs=1e-6)


def test_the_two_tails_mirror_each_other():
    critical = boundaries(FIVE)

    high = stagewise_p((0.3, -0.2, 2.9), FIVE[:3], critical[:3])
    low = stagewise_p((-0.3, 0.2, -2.9), FIVE[:3], critical[:3])

    assert high == pytest.approx(low, rel=1e-9)


def test_an_earlier_end_is_more_extreme_than_a_later_one():
    critical = boundaries(FIVE)
    ends = [
        stagewise_p((*(0.0,) * k, critical[k] + 0.1), FIVE[: k + 1], critical[: k + 1])
        for k in range(5)
    ]

    assert ends == sorted(ends)
    assert ends[0] < 1e-5


def test_an_end_without_an_effect_has_a_p_near_one():
    assert stagewise_p((0.5, 0.0), (0.5, 1.0), (2.8, 2.0)) == pytest.approx(1, abs=1e-9)


def test_the_z_of_a_first_look_is_its_own():
    assert stagewise_z((3.0,), (0.3,), (2.5,)) == pytest.approx(3, abs=1e-6)
    assert stagewise_z((3.0,), (0.3,), (2.5,), 0.025) == pytest.approx(3 - 1.959964, abs=1e-6)
    assert stagewise_z((-3.0,), (0.3,), (2.5,), 0.975) == pytest.approx(-3 + 1.959964, abs=1e-6)


def test_the_fair_z_of_a_test_that_ended_early_is_smaller():
    critical = boundaries(FIVE)

    fair = stagewise_z((1.5, 2.0, 2.8), FIVE[:3], critical[:3])

    assert 2.3 < fair < 2.8
    mirrored = stagewise_z((-1.5, -2.0, -2.8), FIVE[:3], critical[:3])
    assert mirrored == pytest.approx(-fair, abs=1e-6)


@pytest.mark.parametrize("sides", [1, 2])
def test_the_interval_leaves_zero_out_just_where_p_is_below_alpha(sides):
    critical = boundaries(FIVE, 0.025 * sides, sides=sides)
    for last in (1.5, 2.0, 2.05, 3.0):
        z = (0.1, 0.2, 0.3, 0.4, last)
        low = stagewise_z(z, FIVE, critical, 0.025, sides)
        assert (low > 0) == (stagewise_p(z, FIVE, critical, sides) < 0.025 * sides)


def test_the_fair_z_is_as_often_too_high_as_too_low():
    generator, critical = np.random.default_rng(3), boundaries(FIVE, spending=lambda t, a: a * t)
    for truth in (0.0, 2.0, 4.0):
        steps = generator.normal(truth / 5, math.sqrt(0.2), (400, 5))
        paths = np.cumsum(steps, axis=1) / np.sqrt(FIVE)
        too_high = 0
        for z in paths:
            looks = next((k + 1 for k in range(5) if abs(z[k]) >= critical[k]), 5)
            fair = stagewise_z(z[:looks], FIVE[:looks], critical[:looks])
            too_high += fair > truth * math.sqrt(FIVE[looks - 1])

        assert too_high / 400 == pytest.approx(0.5, abs=0.09)


def test_extreme_ends_stay_finite():
    assert stagewise_z((0.1, 12.0), (0.3, 1.0), (15.0, 2.0)) == pytest.approx(12, abs=1e-3)
    assert stagewise_p((40.0,), (0.3,), (2.0,)) < 1e-300
    assert math.isfinite(stagewise_z((0.1, -7.5), (0.3, 1.0), (5.0, 2.0)))


@pytest.mark.parametrize("chance", [0.0, 1.0, math.nan])
def test_a_chance_that_is_none_is_refused(chance):
    with pytest.raises(ValueError, match="chance"):
        stagewise_z((1.0,), (1.0,), (2.0,), chance)


@pytest.mark.parametrize("z", [(), (1.0, 2.0)])
def test_every_look_needs_its_three_numbers(z):
    with pytest.raises(
        ValueError, match=r"^every look needs a z, an information fraction and a boundary$"
    ):
        stagewise_p(z, (1.0,), (2.0,))


def test_numbers_that_are_none_are_refused():
    with pytest.raises(
        ValueError, match=r"^a z and a share of the planned information must be finite$"
    ):
        stagewise_p((math.nan,), (1.0,), (2.0,))
    with pytest.raises(
        ValueError, match=r"^a z and a share of the planned information must be finite$"
    ):
        stagewise_p((1.0,), (math.inf,), (2.0,))


def test_a_test_without_information_has_not_ended():
    with pytest.raises(ValueError, match=r"^a test has not ended before it has information$"):
        stagewise_p((1.0,), (0.0,), (2.0,))

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from scipy.special import ndtr

from expplat.stats.many_to_one import chance_of_larger, chance_of_larger_t
from expplat.stats.multiplicity import bonferroni, dunnett, dunnett_step_down, holm

SIZES = st.integers(1, 10_000)
ARMS = st.lists(st.tuples(st.floats(-6, 6), SIZES), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("treatments", "degrees", "critical"),
    [
        # Dunnett's own table of two-sided 5 % points, equal sizes.
        (1, 10, 2.23),
        (2, 10, 2.57),
        (3, 20, 2.54),
        (5, 30, 2.66),
    ],
)
def test_the_published_critical_values_have_a_chance_of_five_percent(treatments, degrees, critical):
    found = chance_of_larger_t(critical, 7, [7] * treatments, degrees)

    assert found == pytest.approx(0.05, abs=0.0008)


@pytest.mark.parametrize("z", [0.0, 1e-9, 0.5, 1.959963984540054, 5.0, 20.0, 37.0])
@pytest.mark.parametrize("n", [1, 10, 1_000_000])
def test_one_treatment_has_the_plain_tail_far_out_too(z, n):
    assert chance_of_larger(z, 10, [n]) == pytest.approx(2 * scipy_stats.norm.sf(z), rel=1e-9)


@pytest.mark.parametrize("degrees", [1, 1.5, 2, 7, 40, 1e4, 1e9])
@pytest.mark.parametrize("t", [0.0, 0.4, 2.0, 12.0])
def test_one_treatment_has_the_plain_tail_of_t(t, degrees):
    found = chance_of_larger_t(t, 10, [30], degrees)

    assert found == pytest.approx(2 * scipy_stats.t.sf(t, degrees), abs=1e-9)


@settings(max_examples=40)
@given(st.floats(0, 6), SIZES, SIZES, SIZES)
def test_two_treatments_have_the_bivariate_normal_of_scipy(z, n_control, one, other):
    rho = math.sqrt(one / (one + n_control) * other / (other + n_control))
    # Exact to 1e-15 in two dimensions, unlike in more.
    both = scipy_stats.multivariate_normal([0, 0], [[1, rho], [rho, 1]], allow_singular=True)
    expected = 1 - (both.cdf([z, z]) - 2 * both.cdf([-z, z]) + both.cdf([-z, -z]))

    assert chance_of_larger(z, n_control, [one, other]) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 12), SIZES, st.lists(SIZES, min_size=2, max_size=6))
@example(5.0, 1, [254, 270])
def test_it_is_the_integral_that_half_a_million_equal_steps_find(z, n_control, sizes):
    x = np.linspace(-38, 38, 500_001)
    none_larger = np.ones_like(x)
    for n in sizes:
        weight, rest = (math.sqrt(part / (n + n_control)) for part in (n, n_control))
        none_larger *= ndtr((z - weight * x) / rest) - ndtr((-z - weight * x) / rest)
    expected = np.trapezoid(np.exp(-(x**2) / 2) * (1 - none_larger), x) / math.sqrt(2 * math.pi)

    assert chance_of_larger(z, n_control, sizes) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("n_control", "sizes"), [(10, [8, 9, 12]), (40, [10, 50, 9, 22])])
def test_the_single_step_is_that_of_scipy_within_its_tolerance(n_control, sizes):
    generator = np.random.default_rng(1)
    control = generator.normal(size=n_control)
    treatments = [generator.normal(0.5, 1, n) for n in sizes]
    expected = scipy_stats.dunnett(*treatments, control=control, random_state=1)
    degrees = n_control + sum(sizes) - len(sizes) - 1

    found = dunnett(expected.statistic, n_control, sizes, degrees=degrees)

    assert found == pytest.approx(tuple(expected.pvalue), abs=1e-4)


def test_many_degrees_of_freedom_make_t_normal():
    z, sizes = [2.1, -1.0, 2.9], [50, 80, 20]

    found = dunnett(z, 60, sizes, degrees=1e9)

    assert found == pytest.approx(dunnett(z, 60, sizes), abs=1e-8)


@settings(max_examples=50)
@given(ARMS, SIZES)
def test_it_lies_between_no_correction_and_bonferroni_and_the_step_down_below_holm(arms, n_control):
    z, sizes = (list(column) for column in zip(*arms, strict=True))
    alone = [2 * float(scipy_stats.norm.sf(abs(each))) for each in z]

    single = dunnett(z, n_control, sizes)
    stepped = dunnett_step_down(z, n_control, sizes)

    columns = zip(alone, stepped, single, bonferroni(alone), holm(alone), strict=True)
    for own, step, once, strict, by_holm in columns:
        assert own - 1e-12 <= step <= once + 1e-12
        assert once <= strict + 1e-12
        assert step <= by_holm + 1e-12


def test_the_step_down_judges_each_among_those_that_are_not_stronger():
    found = dunnett_step_down([1.0, -3.0, 2.0], 30, [10, 20, 40])

    assert found == pytest.approx(
        (
            2 * scipy_stats.norm.sf(1.0),
            chance_of_larger(3.0, 30, [20, 40, 10]),
            chance_of_larger(2.0, 30, [40, 10]),
        )
    )


def test_a_weaker_question_is_never_more_certain_than_a_stronger_one():
    found = dunnett_step_down([2.0, 2.0, 1.9999], 30, [10, 20, 40])

    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize(
    ("z", "n_control", "sizes", "degrees", "message"),
    [
        ([1.0], 10, [5, 5], None, "do not fit"),
        ([1.0], 0, [5], None, "at least one unit"),
        ([1.0], 10, [0], None, "at least one unit"),
        ([math.nan], 10, [5], None, "finite"),
        ([math.inf], 10, [5], None, "finite"),
        ([1.0], 10, [5], 0, "degree"),
        ([1.0], 10, [5], math.nan, "degree"),
    ],
)
@pytest.mark.parametrize("adjust", [dunnett, dunnett_step_down])
def test_numbers_that_do_not_fit_are_refused(adjust, z, n_control, sizes, degrees, message):
    with pytest.raises(ValueError, match=message):
        adjust(z, n_control, sizes, degrees=degrees)


def test_no_treatments_have_no_p_values():
    assert dunnett([], 10, []) == dunnett_step_down([], 10, []) == ()

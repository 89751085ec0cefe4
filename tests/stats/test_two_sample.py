import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from expplat.domain.moments import Moments
from expplat.stats.interval import finite_or_not_estimable
from expplat.stats.moments import moments_of, of_proportion
from expplat.stats.two_sample import difference, relative_difference, standard_error

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-3, 0.7, 1e3, 1e9])


def drawn(seed, scale=1.0, n=(60, 45)):
    generator = np.random.default_rng(seed)
    return generator.lognormal(0, 1, n[0]) * scale, generator.lognormal(0.2, 0.7, n[1]) * scale


@given(SEEDS)
def test_the_difference_is_welchs_test(seed):
    control, treatment = drawn(seed)
    expected = scipy_stats.ttest_ind(treatment, control, equal_var=False)
    interval = expected.confidence_interval(0.9)

    found = difference(moments_of(control), moments_of(treatment), alpha=0.1)

    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), rel=1e-10)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-8)
    assert found.standard_error == pytest.approx(expected._standard_error, rel=1e-9)
    assert found.degrees == pytest.approx(expected.df, rel=1e-9)
    assert found.n == 105


@given(SEEDS, SCALES)
def test_the_unit_of_the_values_changes_no_p_value_and_scales_the_interval(seed, scale):
    one, other = drawn(seed)
    plain = difference(moments_of(one), moments_of(other), pooled_floor=True)
    lift = relative_difference(moments_of(one), moments_of(other))

    scaled = difference(moments_of(one * scale), moments_of(other * scale), pooled_floor=True)
    scaled_lift = relative_difference(moments_of(one * scale), moments_of(other * scale))

    assert scaled.p == pytest.approx(plain.p, abs=1e-9)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low * scale, plain.high * scale))
    assert scaled.standard_error == pytest.approx(plain.standard_error * scale)
    assert scaled_lift.p == pytest.approx(lift.p, abs=1e-9)
    assert (scaled_lift.low, scaled_lift.high) == pytest.approx((lift.low, lift.high))


@given(SEEDS)
def test_adding_a_billion_changes_no_p_value(seed):
    # On a grid, so that adding rounds nothing; a mean near 1e9 is itself a multiple of 1.2e-7.
    one, other = (np.round(arm * 1024) / 16 for arm in drawn(seed))
    plain = difference(moments_of(one), moments_of(other))

    moved = difference(moments_of(one + 1e9), moments_of(other + 1e9))

    assert moved.p == pytest.approx(plain.p, abs=1e-7)
    assert (moved.low, moved.high) == pytest.approx((plain.low, plain.high), abs=1e-6)
    assert moved.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


@given(SEEDS)
def test_the_difference_is_that_of_statsmodels(seed):
    control, treatment = drawn(seed)
    welch = CompareMeans(DescrStatsW(treatment), DescrStatsW(control))

    found = difference(moments_of(control), moments_of(treatment))

    _, p, degrees = welch.ttest_ind(usevar="unequal")
    assert (found.p, found.degrees) == pytest.approx((p, degrees), rel=1e-9)
    assert found.standard_error == pytest.approx(welch.std_meandiff_separatevar, rel=1e-9)
    assert (found.low, found.high) == pytest.approx(welch.tconfint_diff(usevar="unequal"), rel=1e-9)


def test_a_standard_error_that_is_not_finite_leaves_nothing_to_read():
    some = difference(Moments(n=8, mean=5.0, m2=32.0), Moments(n=8, mean=6.0, m2=32.0))

    found = finite_or_not_estimable(dataclasses.replace(some, standard_error=math.nan))

    assert (found.standard_error, found.low, found.p) == (None, None, None)
    assert found.warnings


def test_the_error_is_the_one_computed_by_hand():
    arm = Moments(n=8, mean=5.0, m2=32.0)

    assert standard_error(arm, arm) == pytest.approx(math.sqrt(8 / 7))
    assert standard_error(arm, arm, pooled_floor=True) == pytest.approx(math.sqrt(8 / 7))


def test_the_pooled_floor_widens_the_interval_of_a_small_arm_that_saw_nothing_rare():
    control, treatment = of_proportion(50, 9_000), of_proportion(1, 1_000)
    plain = standard_error(control, treatment)

    floored = standard_error(control, treatment, pooled_floor=True)

    assert floored > 1.5 * plain
    found = difference(control, treatment, pooled_floor=True)
    assert found.high - found.low > 1.5 * difference(control, treatment).high


def test_the_pooled_floor_agrees_with_the_pooled_t_test_where_it_binds():
    control = moments_of([float(i % 7) for i in range(90)])
    treatment = moments_of([3.0, 3.1, 2.9, 3.2, 3.3])
    expected = scipy_stats.ttest_ind_from_stats(
        treatment.mean,
        math.sqrt(treatment.m2 / 4),
        5,
        control.mean,
        math.sqrt(control.m2 / 89),
        90,
    )

    found = difference(control, treatment, pooled_floor=True)

    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)


def test_an_arm_without_events_is_not_taken_to_be_certain_of_having_none():
    none = of_proportion(0, 5_000)

    assert standard_error(none, none) == 0
    assert standard_error(none, none, proportion=True) == pytest.approx(
        math.sqrt(2 * (1 / 5_002) * (1 - 1 / 5_002) / 5_002)
    )


@pytest.mark.parametrize(("one", "other"), [(0, 500), (1, 100)])
def test_rare_errors_that_became_many_are_seen(one, other):
    found = difference(of_proportion(one, 5_000), of_proportion(other, 5_000))

    assert found.low > 0.01
    assert found.p < 1e-12


def test_a_published_game_experiment_has_its_known_interval():
    found = difference(of_proportion(8_502, 44_700), of_proportion(8_279, 45_489))

    assert found.estimate == pytest.approx(-0.008201, abs=1e-6)
    assert found.p == pytest.approx(0.0015543, rel=0.01)
    assert (found.low, found.high) == pytest.approx((-0.013282, -0.003121), abs=2e-6)


def test_arms_that_do_not_vary_have_a_difference_without_width():
    still = Moments(n=10, mean=1e9, m2=0.0)

    found = difference(still, Moments(n=10, mean=1e9 + 1, m2=1e-13))

    assert (found.low, found.high, found.p, found.standard_error) == (1, 1, None, 0)
    assert difference(still, still).p == 1


@pytest.mark.parametrize(
    "arm",
    [
        Moments(n=0, mean=0.0, m2=0.0),
        Moments(n=1, mean=3.0, m2=0.0),
        Moments(n=9, mean=math.nan, m2=math.nan),
        Moments(n=9, mean=1.0, m2=math.inf),
    ],
)
def test_an_arm_without_variance_to_speak_of_is_not_estimable(arm):
    whole = Moments(n=8, mean=5.0, m2=32.0)

    for found in (
        difference(whole, arm),
        difference(arm, whole),
        relative_difference(whole, arm),
    ):
        assert (found.low, found.high, found.p) == (None, None, None)
        assert found.standard_error is None
        assert found.warnings
    assert standard_error(whole, arm) is None


def test_the_lift_is_the_one_computed_by_hand():
    control = Moments(n=11, mean=1.0, m2=1.1)
    treatment = Moments(n=11, mean=2.0, m2=1.1)

    found = relative_difference(control, treatment)

    half = 1.959963984540054 * math.sqrt(0.01 + 0.0025)
    assert found.estimate == pytest.approx(1)
    assert found.low == pytest.approx(2 * math.exp(-half) - 1)
    assert found.high == pytest.approx(2 * math.exp(half) - 1)


@pytest.mark.parametrize("mean", [0.0, -2.0])
def test_a_lift_over_nothing_is_not_estimable(mean):
    found = relative_difference(Moments(n=9, mean=mean, m2=1.0), Moments(n=9, mean=1.0, m2=1.0))

    assert found.estimate is None


def test_the_lift_of_arms_that_do_not_vary_has_no_width():
    found = relative_difference(Moments(n=9, mean=2.0, m2=0.0), Moments(n=9, mean=3.0, m2=0.0))

    assert found.low == found.high == pytest.approx(0.5)

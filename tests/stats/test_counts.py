import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats import rates

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.counts import Events, dispersion, rate_difference, rate_ratio
from expplat.stats.moments import moments_of

ARMS = st.builds(Events, st.integers(0, 2_000), st.floats(0.01, 1e6))


@settings(deadline=None)
@given(ARMS, ARMS)
def test_the_difference_is_square_and_add_of_two_score_intervals(control, treatment):
    """Written out: (x + z²/2 ± z √(x + z²/4)) / exposure for each rate."""
    found = rate_difference(control, treatment)

    z = scipy_stats.norm.isf(0.025)
    rate, ends = [], []
    for x, t in (control, treatment):
        half = z * math.sqrt(x + z * z / 4)
        rate.append(x / t)
        ends.append(((x + z * z / 2 - half) / t, (x + z * z / 2 + half) / t))
    below = math.hypot(rate[1] - ends[1][0], ends[0][1] - rate[0])
    above = math.hypot(ends[1][1] - rate[1], rate[0] - ends[0][0])
    scale = sum(rate) + above
    assert found.low == pytest.approx(rate[1] - rate[0] - below, rel=1e-9, abs=1e-12 * scale)
    assert found.high == pytest.approx(rate[1] - rate[0] + above, rel=1e-9, abs=1e-12 * scale)
    assert found.low < found.high


@settings(deadline=None, max_examples=50)
@given(
    st.builds(Events, st.integers(3, 2_000), st.floats(0.1, 1e3)),
    st.builds(Events, st.integers(3, 2_000), st.floats(0.1, 1e3)),
)
def test_the_ratio_is_the_score_interval_that_its_test_inverts(control, treatment):
    found = rate_ratio(control, treatment)

    for end in (found.low, found.high):
        test = rates.test_poisson_2indep(
            *treatment, *control, value=end, method="score", compare="ratio"
        )
        assert test.pvalue == pytest.approx(0.05, rel=1e-6)
    at_one = rates.test_poisson_2indep(*treatment, *control, method="score", compare="ratio")
    assert found.p == pytest.approx(at_one.pvalue, rel=1e-9, abs=1e-300)
    assert found.estimate == pytest.approx(
        treatment.number / treatment.exposure / (control.number / control.exposure)
    )


def test_small_counts_have_the_intervals_computed_by_hand():
    none = rate_difference(Events(0, 10), Events(0, 10))
    even = rate_ratio(Events(4, 10), Events(4, 10))

    assert (none.low, none.high) == pytest.approx((-0.384146, 0.384146), abs=1e-6)
    assert none.p == 1
    assert (even.low, even.high) == pytest.approx((0.274236, 3.646493), abs=1e-6)


@settings(deadline=None)
@given(ARMS, ARMS, st.sampled_from([1e-6, 1e-3, 60.0, 3_600.0, 1e6]))
def test_the_unit_of_time_changes_no_p_value_and_scales_the_interval(control, treatment, unit):
    one, other = (Events(arm.number, arm.exposure * unit) for arm in (control, treatment))

    plain, scaled = rate_difference(control, treatment), rate_difference(one, other)
    ratio, same_ratio = rate_ratio(control, treatment), rate_ratio(one, other)

    assert scaled.p == pytest.approx(plain.p, rel=1e-6, abs=1e-290)
    width = plain.high - plain.low
    assert scaled.low * unit == pytest.approx(plain.low, abs=1e-9 * width)
    if ratio.low is not None:
        assert (same_ratio.low, same_ratio.high) == pytest.approx((ratio.low, ratio.high))


def test_unequal_exposure_is_taken_into_account():
    found = rate_difference(Events(900, 9_000.0), Events(100, 1_000.0))

    assert found.estimate == 0
    assert found.p == pytest.approx(1)


def test_a_ratio_over_no_events_is_not_estimable_and_that_of_none_is_nought():
    assert rate_ratio(Events(0, 10), Events(5, 10)).low is None
    nought = rate_ratio(Events(5, 10), Events(0, 10))
    assert (nought.estimate, nought.low) == (0, 0)
    assert 0 < nought.high < 1


def test_an_arm_without_exposure_is_not_estimable():
    for ask in (rate_difference, rate_ratio):
        found = ask(Events(0, 0), Events(5, 10))

        assert (found.estimate, found.low, found.p) == (None, None, None)


@pytest.mark.parametrize(
    ("control", "alpha"),
    [
        (Events(-1, 10), 0.05),
        (Events(1, -10), 0.05),
        (Events(1, math.inf), 0.05),
        (Events(1, math.nan), 0.05),
        (Events(1, 10), 0.0),
    ],
)
def test_what_is_no_count_or_level_is_refused(control, alpha):
    for ask in (rate_difference, rate_ratio):
        with pytest.raises(ValueError, match=r"count|alpha"):
            ask(control, Events(5, 10), alpha)


def test_dispersion_is_variance_over_mean():
    assert dispersion(moments_of([2, 4, 4, 4, 5, 5, 7, 9])) == pytest.approx(32 / 35)
    assert dispersion(NO_MOMENTS) is None
    assert dispersion(Moments(n=5, mean=0.0, m2=0.0)) is None


def test_poisson_counts_warn_of_nothing_and_clumped_ones_do():
    generator = np.random.default_rng(3)
    plain = dispersion(moments_of(generator.poisson(3, 20_000)))
    clumped = dispersion(moments_of(generator.poisson(generator.gamma(1, 3, 20_000))))
    arms = Events(60_000, 20_000.0), Events(61_000, 20_000.0)

    assert plain == pytest.approx(1, abs=0.05)
    assert clumped == pytest.approx(4, abs=0.4)
    assert rate_difference(*arms, dispersion=plain).warnings == ()
    assert "units" in rate_difference(*arms, dispersion=clumped).warnings[0]
    assert "units" in rate_ratio(*arms, dispersion=clumped).warnings[0]


@pytest.mark.long
@pytest.mark.parametrize("means", [(2.0, 2.0), (1.0, 6.0), (40.0, 60.0)])
def test_the_intervals_of_counts_hold_the_truth_as_often_as_they_say(means):
    """4,000 runs at exposures of 1 and 2; the Monte Carlo error is printed."""
    generator = np.random.default_rng(11)
    drawn = [generator.poisson(mean, 4_000) for mean in means]
    truth = means[1] / 2 - means[0]
    hits = 0
    for one, other in zip(*drawn, strict=True):
        found = rate_difference(Events(int(one), 1.0), Events(int(other), 2.0))
        hits += found.low <= truth <= found.high
    share = hits / 4_000
    print(f"{means}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / 4_000):.4f}")

    assert share >= 0.94

import math

import numpy as np
import pytest

from expplat.stats.moments import moments_of
from expplat.stats.two_sample import difference
from expplat.stats.winsorised import cap_of, tail_share, winsorised, winsorised_difference


def test_values_above_the_cap_become_the_cap():
    assert winsorised([1, 5, 9], 5).tolist() == [1, 5, 5]


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_not_capped_but_seen(broken):
    assert math.isnan(winsorised([1.0, broken], 5)[1])
    assert winsorised_difference([1.0, 2.0, broken], [1.0, 2.0, 3.0], 0.5).p is None


def test_the_cap_is_a_quantile_of_all_arms_together():
    assert cap_of(([1, 2, 3], [4, 100]), 0.75) == 4
    assert math.isnan(cap_of(([], []), 0.5))


def test_the_difference_is_the_one_computed_by_hand():
    found = winsorised_difference([1, 2, 3], [4, 100], 0.75)

    assert found.estimate == 2
    assert found.standard_error == pytest.approx(1 / math.sqrt(3))
    assert found.method == "Welch t, capped at 4"


def test_a_cap_at_the_top_changes_nothing():
    generator = np.random.default_rng(1)
    one, other = generator.lognormal(size=50), generator.lognormal(size=60)

    found = winsorised_difference(one, other, 1.0, alpha=0.1)

    plain = difference(moments_of(one), moments_of(other), alpha=0.1)
    assert (found.low, found.high, found.p) == (plain.low, plain.high, plain.p)


def test_one_unit_far_out_no_longer_drowns_the_others():
    generator = np.random.default_rng(2)
    one, other = generator.normal(10, 1, 2_000), generator.normal(10.2, 1, 2_000)
    one[0] = 50_000

    found = winsorised_difference(one, other, 0.999)

    assert difference(moments_of(one), moments_of(other)).p > 0.2
    assert found.p < 1e-6


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_values_changes_no_p_value(scale):
    generator = np.random.default_rng(3)
    one, other = generator.lognormal(0, 2, 300), generator.lognormal(0.1, 2, 300)

    found = winsorised_difference(one * scale, other * scale, 0.99)

    assert found.p == pytest.approx(winsorised_difference(one, other, 0.99).p, abs=1e-9)


@pytest.mark.parametrize("q", [0.0, -0.1, 1.1, math.nan])
def test_a_cap_at_no_quantile_is_refused(q):
    with pytest.raises(ValueError, match="quantile"):
        cap_of(([1.0],), q)


def test_the_tail_holds_the_share_computed_by_hand():
    assert tail_share([0, 0, 0, 4]) == pytest.approx(0.75)
    assert tail_share([0, 0, 0, 4], share=1.0) == pytest.approx(1)
    assert tail_share([0, 0, 0, 4], share=0.5) == pytest.approx(10 / 12)


def test_the_tail_of_a_whole_number_of_values_takes_no_value_more():
    values = [0.0] * 297 + [10.0, -10.0, 20.0]

    found = tail_share(values)

    mean = 20 / 300
    squares = sorted((value - mean) ** 2 for value in values)
    assert found == pytest.approx(sum(squares[-3:]) / sum(squares))


@pytest.mark.parametrize("scale", [1e-200, 1e-9, 1e9, 1e200])
def test_the_tail_does_not_depend_on_the_unit(scale):
    values = np.random.default_rng(4).lognormal(0, 2, 1_000)

    assert tail_share(values * scale) == pytest.approx(tail_share(values))


def test_revenue_hangs_on_few_and_a_normal_does_not():
    generator = np.random.default_rng(5)

    assert tail_share(generator.lognormal(0, 2.5, 10_000)) > 0.7
    assert tail_share(generator.normal(size=10_000)) == pytest.approx(0.085, abs=0.02)


@pytest.mark.parametrize("values", [[], [1.0], [3.0, 3.0, 3.0], [1e9 + 0.1] * 9, [1.0, math.nan]])
def test_what_does_not_vary_has_no_tail(values):
    assert tail_share(values) is None


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(ValueError, match="share"):
        tail_share([1.0, 2.0], share)

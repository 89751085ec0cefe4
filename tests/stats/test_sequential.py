import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from expplat.stats.sequential import anytime_interval, boundaries, repeated_interval
from expplat.stats.spending import (
    SPENDING,
    spend_hsd,
    spend_obf,
    spend_pocock,
    spend_power,
)

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (spend_obf, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        (spend_pocock, (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_five_even_looks_have_the_published_boundaries(spending, published):
    assert boundaries(FIVE, 0.05, spending) == pytest.approx(published, abs=1.5e-4)


@pytest.mark.parametrize("spending", SPENDING.values())
def test_uneven_looks_spend_what_the_plan_says_by_an_independent_integral(spending):
    times = (0.17, 0.45, 0.8)
    critical = boundaries(times, 0.05, spending)

    for looks in (1, 2, 3):
        own = np.array(times[:looks])
        correlation = np.sqrt(np.minimum.outer(own, own) / np.maximum.outer(own, own))
        edges = np.array(critical[:looks])
        inside = multivariate_normal(np.zeros(looks), correlation).cdf(edges, lower_limit=-edges)
        assert 1 - inside == pytest.approx(spending(times[looks - 1], 0.05), abs=2e-5)


def test_a_single_look_at_the_end_is_the_plain_test():
    assert boundaries((1.0,)) == pytest.approx((norm.isf(0.025),))


def test_a_look_that_adds_nothing_has_an_infinite_boundary_and_costs_nothing():
    with_repeats = boundaries((0.0, 0.2, 0.2, 0.4, 0.40001, 0.6, 0.8, 1.0))

    assert [with_repeats[i] for i in (0, 2, 4)] == [math.inf] * 3
    assert [with_repeats[i] for i in (1, 3, 5, 6, 7)] == pytest.approx(boundaries(FIVE))


def test_after_all_is_spent_nothing_passes_any_more():
    assert boundaries((0.5, 1.0, 1.2))[2] == math.inf


def test_overrunning_spends_all_at_the_last_look():
    over = boundaries((0.5, 0.9, 1.1))

    assert over[2] < boundaries((0.5, 0.9, 0.95))[2]
    assert math.isfinite(over[2])


def test_a_test_that_ran_out_of_days_spends_the_rest_at_its_last_look():
    planned = boundaries((0.3, 0.6))

    ended = boundaries((0.3, 0.6), spending_times=(0.3, 1.0))

    assert ended[0] == planned[0]
    assert ended[1] < planned[1]
    assert ended[1] == pytest.approx(1.96, abs=0.01)


def test_later_looks_do_not_change_the_boundaries_of_earlier_ones():
    for k in range(1, 5):
        assert boundaries(FIVE[:k]) == pytest.approx(boundaries(FIVE)[:k], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12))
def test_random_looks_never_spend_more_than_alpha(fractions):
    fractions = sorted(fractions)
    critical = np.array(boundaries(fractions))
    generator = np.random.default_rng(1)
    steps = generator.normal(size=(20_000, len(fractions))) * np.sqrt(np.diff([0, *fractions]))
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)

    crossed = np.mean(np.any(np.abs(z) > critical, axis=1))

    assert np.all(critical >= 1.9599)
    assert crossed <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 20_000)


def test_a_hundred_looks_take_less_than_three_tenths_of_a_second():
    boundaries((1.0,))
    start = time.process_time()

    found = boundaries([look / 100 for look in range(1, 101)])

    assert time.process_time() - start < 0.3
    assert found[-1] == pytest.approx(2.185, abs=1e-3)


@pytest.mark.parametrize("broken", [(0.5, math.nan), (math.inf,)])
def test_a_fraction_that_is_not_finite_is_refused(broken):
    with pytest.raises(ValueError, match="finite"):
        boundaries(broken)


def test_spending_times_must_fit_the_looks():
    with pytest.raises(ValueError, match="fit"):
        boundaries((0.5, 1.0), spending_times=(1.0,))


@pytest.mark.parametrize("spending", [*SPENDING.values(), spend_hsd(0), spend_hsd(1)])
def test_every_plan_starts_at_nothing_ends_at_alpha_and_never_takes_back(spending):
    spent = [spending(t / 50, 0.05) for t in range(-1, 60)]

    assert spent[:2] == [0, 0]
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(0.05)


def test_plans_spend_what_was_computed_by_hand():
    assert spend_obf(0.6, 0.05) == pytest.approx(0.00762, abs=5e-6)
    assert spend_pocock(0.5, 0.05) == pytest.approx(0.0310, abs=5e-5)
    assert spend_hsd(-4)(0.5, 0.05) == pytest.approx(0.00596, abs=5e-6)
    assert spend_power(3)(0.5, 0.05) == pytest.approx(0.00625)


def test_a_power_of_nothing_is_refused():
    with pytest.raises(ValueError, match="power"):
        spend_power(0)


def test_a_repeated_interval_is_the_boundary_times_the_error_and_has_no_p_value():
    found = repeated_interval(estimate=0.5, standard_error=0.1, boundary=2.5, n=1_000)

    assert (found.low, found.high, found.p) == (0.25, 0.75, None)


@pytest.mark.parametrize(
    ("error", "boundary"), [(0.1, math.inf), (0.0, 2.0), (None, 2.0), (math.nan, 2.0)]
)
def test_a_look_that_cannot_decide_has_an_estimate_and_no_interval(error, boundary):
    found = repeated_interval(estimate=0.5, standard_error=error, boundary=boundary, n=10)

    assert (found.estimate, found.low, found.high) == (0.5, None, None)
    assert found.warnings


def test_the_anytime_interval_is_as_wide_as_its_formula_where_it_is_tuned():
    found = anytime_interval(0.0, 1.0, n=5_000, alpha=0.05, n_tuned=5_000)

    assert found.high == -found.low == pytest.approx(3.0352, abs=5e-5)
    assert found.p == 1


def test_the_anytime_interval_is_tightest_where_it_is_tuned():
    """Width by n at an error that shrinks as 1/√n, over the width of the plain interval."""
    widths = [
        anytime_interval(0.0, 1.0, n=n, alpha=0.05, n_tuned=5_000).high
        for n in (500, 2_500, 5_000, 10_000, 50_000)
    ]

    assert min(widths) == widths[2]


@given(
    st.floats(-8, 8),
    st.integers(1, 10**9),
    st.floats(0.001, 0.2),
    st.sampled_from([1e-9, 1.0, 1e9]),
)
def test_the_anytime_p_value_is_below_alpha_just_where_zero_is_outside(z, n, alpha, scale):
    found = anytime_interval(z * scale, scale, n=n, alpha=alpha, n_tuned=1_000)

    outside = found.low > 0 or found.high < 0
    if abs(found.p - alpha) > 1e-9:
        assert outside == (found.p < alpha)


@given(st.floats(-5, 5), st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_of_the_values_changes_no_anytime_p_value(z, scale):
    plain = anytime_interval(z, 1.0, n=700, alpha=0.05, n_tuned=1_000)

    scaled = anytime_interval(z * scale, scale, n=700, alpha=0.05, n_tuned=1_000)

    assert scaled.p == pytest.approx(plain.p, abs=1e-12)
    assert scaled.low == pytest.approx(plain.low * scale, rel=1e-9, abs=1e-12 * scale)


@pytest.mark.parametrize(("n", "error"), [(0, 1.0), (10, 0.0), (10, None), (10, math.inf)])
def test_an_anytime_interval_of_nothing_has_no_ends(n, error):
    found = anytime_interval(0.5, error, n=n, alpha=0.05, n_tuned=100)

    assert (found.low, found.high, found.p) == (None, None, None)


def test_an_anytime_interval_must_be_tuned_to_some_units():
    with pytest.raises(ValueError, match="tuned"):
        anytime_interval(0.5, 1.0, n=10, alpha=0.05, n_tuned=0)

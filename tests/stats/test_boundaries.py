import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from expplat.stats.boundaries import boundaries
from expplat.stats.spending import SPENDING, spend_hsd, spend_obf, spend_pocock, spend_power

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


def even(looks):
    return tuple(look / looks for look in range(1, looks + 1))


@pytest.mark.parametrize(
    ("spending", "published"),
    [
        (spend_obf, (2.9626, 1.9686)),
        (spend_obf, (3.7103, 2.5114, 1.9930)),
        (spend_obf, (4.3326, 2.9631, 2.3590, 2.0141)),
        (spend_obf, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        (spend_pocock, (2.1570, 2.2010)),
        (spend_pocock, (2.2794, 2.2949, 2.2959)),
        (spend_pocock, (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
        (spend_hsd(-4), (3.0107, 2.5465, 1.9992)),
        (spend_power(1), (2.3940, 2.2938, 2.2000)),
    ],
)
@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.025)])
def test_even_looks_have_the_published_boundaries(spending, published, sides, alpha):
    found = boundaries(even(len(published)), alpha, spending, sides=sides)

    assert found == pytest.approx(published, abs=1.5e-4)


@pytest.mark.parametrize("spending", [*SPENDING.values(), spend_hsd(1), spend_power(0.5)])
@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.05), (2, 0.6), (1, 0.4)])
def test_uneven_looks_spend_what_the_plan_says_by_an_independent_integral(spending, sides, alpha):
    times = (0.17, 0.45, 0.8)
    two_sided = alpha * 2 / sides
    critical = boundaries(times, alpha, spending, sides=sides)

    for looks in (1, 2, 3):
        own = np.array(times[:looks])
        correlation = np.sqrt(np.minimum.outer(own, own) / np.maximum.outer(own, own))
        edges = np.array(critical[:looks])
        low = -edges if sides == 2 else np.full(looks, -np.inf)
        inside = multivariate_normal(np.zeros(looks), correlation).cdf(edges, lower_limit=low)
        spent = spending(times[looks - 1], two_sided) * sides / 2
        assert 1 - inside == pytest.approx(spent, abs=3e-5)


def test_looks_close_upon_each_other_spend_what_the_plan_says_by_an_independent_integral():
    times = np.array((0.5, 0.5005, 0.501, 1.0))
    edges = np.array(boundaries(times, spending=spend_power(1)))
    correlation = np.sqrt(np.minimum.outer(times, times) / np.maximum.outer(times, times))

    inside = multivariate_normal(np.zeros(4), correlation).cdf(edges, lower_limit=-edges)

    assert 1 - inside == pytest.approx(0.05, abs=3e-5)


def test_the_first_look_has_the_quantile_of_what_it_spends():
    assert boundaries((0.5,), 0.05, spend_power(1))[0] == pytest.approx(norm.isf(0.0125), abs=1e-9)
    assert boundaries((0.5,), 0.05, spend_power(1), sides=1)[0] == pytest.approx(
        norm.isf(0.025), abs=1e-9
    )


def test_a_single_look_at_the_end_is_the_plain_test():
    assert boundaries((1.0,)) == pytest.approx((norm.isf(0.025),))
    assert boundaries((1.0,), 0.05, sides=1) == pytest.approx((norm.isf(0.05),))


def test_one_side_that_may_spend_much_still_has_boundaries_above_the_plain_test():
    found = boundaries(even(20), 0.49, spend_power(6), sides=1)

    assert norm.isf(0.49) < found[-1] < 0.05


def test_a_low_statistic_costs_the_upper_side_nothing():
    """A path that was low may still end high, which a two-sided test would have stopped."""
    one = boundaries(FIVE, 0.2, spend_pocock, sides=1)

    two = boundaries(FIVE, 0.4, spend_pocock, sides=2)

    assert one[0] == pytest.approx(two[0], abs=1e-9)
    assert all(a > b + 1e-5 for a, b in zip(one[2:], two[2:], strict=True))


def test_a_look_that_adds_nothing_has_an_infinite_boundary_and_costs_nothing():
    with_repeats = boundaries((0.0, 0.2, 0.2, 0.4, 0.40001, 0.6, 0.8, 1.0))

    assert [with_repeats[i] for i in (0, 2, 4)] == [math.inf] * 3
    assert [with_repeats[i] for i in (1, 3, 5, 6, 7)] == pytest.approx(boundaries(FIVE))


def test_the_smallest_step_is_a_look():
    assert math.isfinite(boundaries((5e-5, 1.0), spending=spend_power(1))[0])
    assert boundaries((4.9e-5, 1.0), spending=spend_power(1))[0] == math.inf


def test_a_look_before_anything_is_spent_has_an_infinite_boundary_and_costs_nothing():
    found = boundaries((0.3, 0.6, 1.0), spending_times=(0.0, 0.6, 1.0))

    assert found[0] == math.inf
    assert found[1:] == pytest.approx(boundaries((0.6, 1.0)), abs=1e-9)


def test_after_all_is_spent_nothing_passes_any_more():
    assert boundaries((0.5, 1.0, 1.2))[2] == math.inf


def test_overrunning_spends_all_at_the_last_look():
    over = boundaries((0.5, 0.9, 1.1))

    assert over[2] < boundaries((0.5, 0.9, 0.95))[2]
    assert math.isfinite(over[2])


@pytest.mark.parametrize("spending", SPENDING.values())
@pytest.mark.parametrize("last", [0.7, 1.0, 1.3])
@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.025)])
def test_under_and_over_running_spends_just_alpha_by_an_independent_integral(
    spending, last, sides, alpha
):
    fractions = np.array((0.25, 0.6, last))
    critical = np.array(boundaries(fractions, alpha, spending, (0.25, 0.6, 1.0), sides))

    correlation = np.sqrt(
        np.minimum.outer(fractions, fractions) / np.maximum.outer(fractions, fractions)
    )
    low = -critical if sides == 2 else np.full(3, -np.inf)
    inside = multivariate_normal(np.zeros(3), correlation).cdf(critical, lower_limit=low)

    assert 1 - inside == pytest.approx(alpha, abs=2e-5)


def test_a_test_that_ran_out_of_days_spends_the_rest_at_its_last_look():
    planned = boundaries((0.3, 0.6))

    ended = boundaries((0.3, 0.6), spending_times=(0.3, 1.0))

    assert ended[0] == planned[0]
    assert ended[1] < planned[1]
    assert ended[1] == pytest.approx(1.96, abs=0.01)


@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.05), (1, 0.025)])
def test_later_looks_do_not_change_the_boundaries_of_earlier_ones(sides, alpha):
    whole = boundaries(FIVE, alpha, sides=sides)

    for k in range(1, 5):
        assert boundaries(FIVE[:k], alpha, sides=sides) == pytest.approx(whole[:k], abs=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12),
    st.sampled_from([*SPENDING.values()]),
    st.sampled_from([1, 2]),
)
def test_random_looks_never_spend_more_than_alpha(fractions, spending, sides):
    fractions = sorted(fractions)
    critical = np.array(boundaries(fractions, 0.05, spending, sides=sides))
    generator = np.random.default_rng(1)
    steps = generator.normal(size=(20_000, len(fractions))) * np.sqrt(np.diff([0, *fractions]))
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)

    crossed = np.mean(np.any((np.abs(z) if sides == 2 else z) > critical, axis=1))

    assert np.all(critical >= norm.isf(0.05 / sides) - 1e-4)
    assert crossed <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 20_000)


@pytest.mark.parametrize("sides", [1, 2])
def test_a_hundred_looks_take_less_than_three_tenths_of_a_second(sides):
    boundaries((1.0,))
    start = time.process_time()

    found = boundaries(even(100), 0.025 * sides, sides=sides)

    assert time.process_time() - start < 0.3
    assert found[-1] == pytest.approx(2.1854, abs=1e-4)


@pytest.mark.parametrize("sides", [1, 2])
def test_a_thousand_looks_take_a_few_seconds(sides):
    boundaries((1.0,))
    start = time.process_time()

    found = boundaries(even(1_000), 0.025 * sides, sides=sides)

    assert time.process_time() - start < 4
    assert found[-1] == pytest.approx(2.2232, abs=1e-4)


def test_errors_too_small_to_see_still_have_their_boundary():
    first, second, last = boundaries((0.001, 0.01, 1.0))

    assert first > second > 20
    assert last == pytest.approx(norm.isf(0.025), abs=1e-6)


@pytest.mark.parametrize("broken", [(0.5, math.nan), (math.inf,)])
def test_a_fraction_that_is_not_finite_is_refused(broken):
    with pytest.raises(ValueError, match=r"^a share of the planned information must be finite$"):
        boundaries(broken)


def test_a_spending_time_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="finite"):
        boundaries((0.5,), spending_times=(math.nan,))


def test_spending_times_must_fit_the_looks():
    with pytest.raises(ValueError, match=r"^1 spending times do not fit 2 looks$"):
        boundaries((0.5, 1.0), spending_times=(1.0,))


@pytest.mark.parametrize(("alpha", "sides"), [(0.0, 2), (1.0, 2), (0.5, 1), (math.nan, 1)])
def test_an_alpha_that_is_none_is_refused(alpha, sides):
    with pytest.raises(ValueError, match=rf"^alpha must lie .* {sides / 2} here, not at {alpha}$"):
        boundaries((1.0,), alpha, spend_pocock, sides=sides)


def test_no_looks_have_no_boundaries():
    assert boundaries(()) == ()

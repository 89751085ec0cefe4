import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.stats.anytime import BurnIn, anytime_bound, anytime_interval, anytime_lift


def test_the_anytime_interval_is_as_wide_as_its_formula_where_it_is_tuned():
    found = anytime_interval(0.0, 1.0, n=5_000, alpha=0.05, n_tuned=5_000)

    assert found.high == -found.low == pytest.approx(3.0352, abs=5e-5)
    assert found.p == 1


def test_the_anytime_bound_is_as_far_as_its_formula_where_it_is_tuned():
    found = anytime_bound(0.0, 1.0, n=5_000, alpha=0.025, n_tuned=5_000)

    assert found.low == pytest.approx(-3.0414, abs=5e-5)
    assert (found.high, found.p) == (None, 1)


def test_the_anytime_interval_is_tightest_where_it_is_tuned():
    """Width by n at an error that shrinks as 1/√n, over the width of the plain interval."""
    widths = [
        anytime_interval(0.0, 1.0, n=n, alpha=0.05, n_tuned=5_000).high
        for n in (500, 2_500, 5_000, 10_000, 50_000)
    ]

    assert min(widths) == widths[2]


def test_the_anytime_bound_is_tightest_near_where_it_is_tuned():
    bounds = [
        anytime_bound(0.0, 1.0, n=n, alpha=0.025, n_tuned=5_000).low
        for n in (500, 2_500, 5_000, 10_000, 50_000)
    ]

    assert max(bounds) == bounds[2]


@pytest.mark.parametrize("read", [anytime_interval, anytime_bound])
@given(
    z=st.floats(-8, 8),
    n=st.integers(1, 10**9),
    alpha=st.floats(0.001, 0.2),
    scale=st.sampled_from([1e-9, 1.0, 1e9]),
)
def test_the_anytime_p_value_is_below_alpha_just_where_zero_is_outside(read, z, n, alpha, scale):
    found = read(z * scale, scale, n=n, alpha=alpha, n_tuned=1_000)

    outside = found.low > 0 or (found.high is not None and found.high < 0)
    if abs(found.p - alpha) > 1e-9:
        assert outside == (found.p < alpha)


@pytest.mark.parametrize("read", [anytime_interval, anytime_bound])
@given(z=st.floats(-5, 5), scale=st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_of_the_values_changes_no_anytime_p_value(read, z, scale):
    plain = read(z, 1.0, n=700, alpha=0.05, n_tuned=1_000)

    scaled = read(z * scale, scale, n=700, alpha=0.05, n_tuned=1_000)

    assert scaled.p == pytest.approx(plain.p, abs=1e-12)
    assert scaled.low == pytest.approx(plain.low * scale, rel=1e-9, abs=1e-12 * scale)


@given(z=st.floats(0, 30), n=st.integers(1, 10**7))
def test_the_p_of_a_bound_is_no_smaller_than_that_of_its_own_mixture(z, n):
    """The mixture over half a normal is exact in the limit; the bound is its closed-form cover."""
    evidence = -2 * math.log(0.1)
    weight = n * (evidence + math.log(evidence + 1)) / 1_000
    at = z * math.sqrt(weight / (weight + 1))
    share = 0.5 * math.erfc(-at / math.sqrt(2))
    log_e = math.log(2 * share) + at * at / 2 - math.log(weight + 1) / 2

    found = anytime_bound(z, 1.0, n=n, alpha=0.05, n_tuned=1_000)

    assert found.p >= min(1.0, math.exp(-log_e)) * (1 - 1e-9)


def test_an_effect_beyond_all_doubt_has_a_finite_p():
    for read in (anytime_interval, anytime_bound):
        found = read(1e200, 1e-150, n=1_000, alpha=0.05, n_tuned=1_000)
        assert 0 <= found.p < 1e-300


@pytest.mark.parametrize("read", [anytime_interval, anytime_bound])
@pytest.mark.parametrize(
    ("n", "error", "reason"),
    [
        (0, 1.0, "There are no units."),
        (10, 0.0, "The values do not vary."),
        (10, None, "An arm has fewer than two units, or a value that is not finite."),
        (10, math.inf, "An arm has fewer than two units, or a value that is not finite."),
    ],
)
def test_an_anytime_reading_of_nothing_has_no_ends(read, n, error, reason):
    found = read(0.5, error, n=n, alpha=0.05, n_tuned=100)

    assert (found.estimate, found.low, found.high, found.p) == (0.5, None, None, None)
    assert found.warnings == (reason,)


@pytest.mark.parametrize("read", [anytime_interval, anytime_bound])
def test_an_anytime_reading_must_be_tuned_to_some_units(read):
    with pytest.raises(ValueError, match="tuned"):
        read(0.5, 1.0, n=10, alpha=0.05, n_tuned=0)


@pytest.mark.parametrize(
    ("read", "alpha"), [(anytime_interval, 0.0), (anytime_interval, 1.0), (anytime_bound, 0.5)]
)
def test_an_alpha_that_is_none_is_refused(read, alpha):
    with pytest.raises(ValueError, match="alpha"):
        read(0.5, 1.0, n=10, alpha=alpha, n_tuned=100)


def test_a_lift_is_what_was_computed_by_hand():
    found = anytime_lift((1.0, 2.0), (0.1, 0.1), n=100, alpha=0.05, n_tuned=100)

    assert (found.estimate, found.low, found.high) == pytest.approx((1.0, 0.4245, 1.8081), abs=5e-5)


@given(st.floats(0.01, 1e6), st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_changes_no_lift(mean, scale):
    plain = anytime_lift((mean, 1.0), (mean / 9, 0.1), n=700, alpha=0.05, n_tuned=1_000)

    scaled = anytime_lift(
        (mean * scale, scale), (mean * scale / 9, 0.1 * scale), n=700, alpha=0.05, n_tuned=1_000
    )

    assert scaled.p == pytest.approx(plain.p, rel=1e-9)
    assert scaled.low == pytest.approx(plain.low, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("means", [(0.0, 1.0), (1.0, 0.0), (-1.0, 1.0), (math.nan, 1.0)])
def test_a_lift_over_nothing_is_none(means):
    found = anytime_lift(means, (0.1, 0.1), n=100, alpha=0.05, n_tuned=100)

    assert (found.estimate, found.low, found.warnings) == (
        None,
        None,
        ("A lift needs means above 0.",),
    )


def test_a_lift_without_bounds_in_sight_is_not_estimable():
    found = anytime_lift((1.0, 1.0), (1e9, 1e9), n=100, alpha=0.05, n_tuned=100)

    assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize(
    ("burn_in", "reason"),
    [
        (BurnIn(units=(99, 1_000)), "Fewer than 100 units in a variant."),
        (BurnIn(units=()), "Fewer than 100 units in a variant."),
        (BurnIn(units=(500, 500), events=(30, 29)), "Fewer than 30 events in a variant."),
        (BurnIn(units=(5, 6), least_units=6), "Fewer than 6 units in a variant."),
        (
            BurnIn(units=(500, 500), events=(2, 40), least_events=3),
            "Fewer than 3 events in a variant.",
        ),
    ],
)
def test_before_its_burn_in_is_over_nothing_is_read_and_the_reason_is_given(burn_in, reason):
    for found in (
        anytime_interval(0.5, 0.01, 1_000, 0.05, 1_000, burn_in),
        anytime_bound(0.5, 0.01, 1_000, 0.05, 1_000, burn_in),
        anytime_lift((1.0, 1.5), (0.01, 0.01), 1_000, 0.05, 1_000, burn_in),
    ):
        assert (found.low, found.p, found.warnings) == (None, None, (reason,))
        assert found.estimate == pytest.approx(0.5)


def test_after_its_burn_in_the_interval_is_the_same_as_without_one():
    plain = anytime_interval(0.5, 0.01, 1_000, 0.05, 1_000)

    for burn_in in (BurnIn(units=(100, 100)), BurnIn(units=(100, 900), events=(30, 30))):
        assert anytime_interval(0.5, 0.01, 1_000, 0.05, 1_000, burn_in) == plain


def test_a_thousand_looks_at_pure_chance_stay_inside_both_ways():
    generator, runs = np.random.default_rng(2), 400
    n = np.arange(100, 10_001, 10)
    outside = {anytime_interval: 0, anytime_bound: 0}
    for _ in range(runs):
        z = np.cumsum(generator.normal(size=10_000))[n - 1] / np.sqrt(n)
        for read in outside:
            widths = -read(0.0, 1.0, n=1_000, alpha=0.05, n_tuned=1_000).low
            candidates = z if read is anytime_bound else np.abs(z)
            # the narrowest bound of all sorts out the looks that cannot be outside
            outside[read] += any(
                read(float(c), 1.0, int(k), 0.05, 1_000).low > 0
                for c, k in zip(candidates, n, strict=True)
                if c > 0.9 * widths
            )

    assert all(hits / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs) for hits in outside.values())

import itertools
import math
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.stats.randomisation import merged, no_randomisation, with_units

WIDE = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=8)


def arrays(values, is_treated):
    return np.array(values, dtype=float), np.array(is_treated, dtype=bool)


def test_one_unit_bets_what_was_computed_by_hand():
    fresh = no_randomisation(1.0, 1.0)

    found = with_units(fresh, *arrays([3.0], [True]), centre=2.0)

    by_hand = [math.exp(s / 2) / math.cosh(s / 2) for s in fresh.slopes]
    assert np.exp(found.log_bets) == pytest.approx(by_hand)
    weighed = sum(math.exp(w) * b for w, b in zip(fresh.log_weights, by_hand, strict=True))
    assert found.e_value == pytest.approx(weighed)


def test_no_units_are_evidence_of_one():
    fresh = no_randomisation(0.1, 2.0)

    assert (fresh.n, fresh.e_value, fresh.p) == (0, pytest.approx(1), pytest.approx(1))


def test_slopes_lie_around_the_effect_over_the_variance():
    both, one = no_randomisation(0.5, 2.0), no_randomisation(-0.5, 2.0, sides=1)

    assert (min(both.slopes), max(both.slopes)) == (-0.75, 0.75)
    assert (min(one.slopes), max(one.slopes)) == (-0.75, 0)
    assert both.slopes[12] == 0
    assert (len(both.slopes), len(one.slopes)) == (25, 13)
    assert sum(map(math.exp, both.log_weights)) == pytest.approx(1)
    assert sum(map(math.exp, one.log_weights)) == pytest.approx(1)


@pytest.mark.parametrize("sides", [1, 2])
@given(values=WIDE, scale=st.sampled_from([1e-6, 1e-2, 1.0, 1e3]))
def test_over_all_assignments_the_evidence_is_one_on_average_whatever_the_values(
    sides, values, scale
):
    """The exact promise: for any values, were they ever so heavy-tailed."""
    fresh = no_randomisation(scale, 1.0, sides)
    centre = sum(values) / len(values)

    found = [
        with_units(fresh, *arrays(values, coins), centre).e_value
        for coins in itertools.product((False, True), repeat=len(values))
    ]

    assert np.mean(found) == pytest.approx(1, rel=1e-9)


def test_it_is_the_same_in_one_part_or_in_many():
    generator = np.random.default_rng(1)
    values, coins = generator.normal(size=1_000), generator.random(1_000) < 0.5
    fresh = no_randomisation(0.1, 1.0)
    whole = with_units(fresh, values, coins, centre=0.2)

    one_by_one = with_units(fresh, values[:600], coins[:600], centre=0.2)
    one_by_one = with_units(one_by_one, values[600:], coins[600:], centre=0.2)
    side_by_side = merged(
        with_units(fresh, values[:300], coins[:300], centre=0.2),
        with_units(fresh, values[300:], coins[300:], centre=0.2),
    )

    assert one_by_one.n == side_by_side.n == whole.n == 1_000
    assert one_by_one.log_bets == pytest.approx(whole.log_bets, abs=1e-9)
    assert side_by_side.log_bets == pytest.approx(whole.log_bets, abs=1e-9)


def test_a_true_effect_is_found_and_its_sign_seen_by_one_side():
    generator = np.random.default_rng(2)
    coins = generator.random(4_000) < 0.5
    values = generator.normal(size=4_000) + 0.3 * coins

    both, right, wrong = (
        with_units(no_randomisation(effect, 1.0, sides), values, coins, centre=0.15).p
        for effect, sides in ((0.2, 2), (0.2, 1), (-0.2, 1))
    )

    assert both < 1e-6
    assert right < both
    assert wrong == 1


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1e3, 1e9])
def test_the_unit_of_the_values_changes_no_evidence(scale):
    generator = np.random.default_rng(3)
    values, coins = generator.lognormal(size=500), generator.random(500) < 0.5
    plain = with_units(no_randomisation(0.1, 1.0), values, coins, centre=1.5)

    scaled = with_units(
        no_randomisation(0.1 * scale, scale**2), values * scale, coins, centre=1.5 * scale
    )

    assert scaled.log_e == pytest.approx(plain.log_e, rel=1e-9)


def test_values_beyond_measure_overflow_nothing():
    values = np.array([1e300, -1e300, 1e308, 1.0])
    fresh = no_randomisation(1e3, 1.0)

    against = with_units(fresh, values, np.array([False, True, False, True]), centre=0.0)
    many = with_units(fresh, np.full(5_000, 9.0), np.ones(5_000, dtype=bool), centre=0.0)

    assert 0 < against.e_value < 17
    assert many.e_value == pytest.approx(sys.float_info.max)
    assert many.p == 0
    assert math.isfinite(many.log_e)


def test_a_unit_at_most_doubles_the_evidence():
    found = with_units(no_randomisation(1.0, 1e-9), *arrays([1e9], [True]), centre=0.0)

    assert 1 <= found.e_value <= 2


@pytest.mark.parametrize(
    ("effect", "variance"), [(0.0, 1.0), (1.0, 0.0), (1.0, math.inf), (math.nan, 1.0), (1.0, -1.0)]
)
def test_a_mixture_needs_an_effect_and_a_variance(effect, variance):
    with pytest.raises(ValueError, match="evidence needs"):
        no_randomisation(effect, variance)


@pytest.mark.parametrize(("value", "centre"), [(math.nan, 0.0), (math.inf, 0.0), (1.0, math.nan)])
def test_a_value_that_is_not_finite_is_refused(value, centre):
    with pytest.raises(ValueError, match="finite"):
        with_units(no_randomisation(1.0, 1.0), *arrays([value], [True]), centre=centre)


def test_every_unit_needs_an_assignment():
    with pytest.raises(ValueError, match="assignment"):
        with_units(no_randomisation(1.0, 1.0), *arrays([1.0, 2.0], [True]), centre=0.0)


def test_evidence_of_different_mixtures_does_not_merge():
    with pytest.raises(ValueError, match="mixture"):
        merged(no_randomisation(1.0, 1.0), no_randomisation(2.0, 1.0))

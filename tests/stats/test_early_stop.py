import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import critical_z
from expplat.stats.early_stop import NEXT_TO_NOTHING, nominal_alpha
from expplat.stats.spending import spend_hsd

FIFTHS = (0.2, 0.4, 0.6, 0.8, 1.0)


def levels(fractions, alpha=0.05):
    return [nominal_alpha(fractions[: look + 1], alpha) for look in range(len(fractions))]


def test_five_even_looks_have_the_levels_of_their_plan():
    found = levels(FIFTHS)

    assert found == pytest.approx([0.0011433, 0.0028261, 0.0071098, 0.0176124, 0.0428344], rel=1e-4)
    assert found[0] == pytest.approx(0.05 * math.expm1(0.8) / math.expm1(4))


def test_one_look_at_everything_is_the_ordinary_interval():
    assert nominal_alpha((1.0,), 0.05) == pytest.approx(0.05, rel=1e-9)
    assert nominal_alpha((1.0,), 0.05) <= 0.05


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(0.01, 0.99), max_size=4).map(sorted), st.sampled_from([0.01, 0.05, 0.1]))
def test_all_looks_together_spend_alpha(earlier, alpha):
    fractions = (*earlier, 1.0)

    found = levels(fractions, alpha)

    assert all(0 < level <= alpha for level in found)
    assert sum(found) >= alpha * (1 - 1e-9)
    planned = boundaries(fractions, alpha, spend_hsd(-4.0))
    assert [critical_z(level) for level in found] == pytest.approx(
        [min(one, critical_z(NEXT_TO_NOTHING)) for one in planned], rel=1e-6
    )


@pytest.mark.parametrize("fractions", [(0.5, 0.5), (0.0,), (1.0, 1.0)])
def test_a_look_that_adds_nothing_spends_next_to_nothing(fractions):
    assert nominal_alpha(fractions, 0.05) == NEXT_TO_NOTHING


def test_later_looks_do_not_change_earlier_ones():
    assert levels((0.3, 0.7))[0] == levels((0.3, 0.31, 1.0))[0]


@pytest.mark.parametrize(
    ("fractions", "alpha"), [((), 0.05), ((math.nan,), 0.05), ((1.0,), 0.0), ((1.0,), 1.0)]
)
def test_a_plan_that_makes_no_sense_is_refused(fractions, alpha):
    with pytest.raises(ValueError, match=r"look|finite|alpha"):
        nominal_alpha(fractions, alpha)


def test_looking_five_times_passes_no_more_often_than_looking_once():
    generator, runs = np.random.default_rng(1), 100_000
    times = np.array(FIFTHS)
    z = np.cumsum(generator.normal(size=(runs, 5)) * math.sqrt(0.2), axis=1) / np.sqrt(times)

    crossed = (z > [critical_z(level) for level in levels(FIFTHS)]).any(axis=1).mean()
    naive = (z > critical_z(0.05)).any(axis=1).mean()

    error = math.sqrt(0.025 * 0.975 / runs)
    assert abs(crossed - 0.025) <= 4 * error
    assert naive > 0.06

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.stats.multiplicity import holm


def test_three_p_values_are_adjusted_as_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_it_is_the_closed_test_that_rejects_only_what_every_larger_question_rejects(p_values):
    places = range(len(p_values))
    asked = [s for size in places for s in itertools.combinations(places, size + 1)]
    expected = [
        max(min(1.0, len(s) * min(p_values[i] for i in s)) for s in asked if place in s)
        for place in places
    ]

    assert holm(p_values) == pytest.approx(tuple(expected))


def test_a_question_without_a_p_value_still_counts_as_asked():
    assert holm([0.01, None]) == (0.02, None)
    assert holm([]) == ()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="p-value"):
        holm([p])

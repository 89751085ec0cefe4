import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from expplat.stats.multiplicity import holm


def test_three_p_values_are_adjusted_as_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_it_agrees_with_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]

    assert holm(p_values) == pytest.approx(tuple(expected))


def test_a_question_without_a_p_value_still_counts_as_asked():
    assert holm([0.01, None]) == (0.02, None)
    assert holm([]) == ()


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(p):
    with pytest.raises(ValueError, match="p-value"):
        holm([p])

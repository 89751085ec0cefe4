"""The interval that most statistics end in."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from expplat.stats.t_interval import t_interval


def test_the_example_by_hand():
    found = t_interval(3.0, math.sqrt(0.5), 4.0, alpha=0.05, n=5, method="paired t")

    assert (found.low, found.high) == pytest.approx((1.0368, 4.9632), abs=5e-5)
    assert (found.standard_error, found.degrees, found.n) == (math.sqrt(0.5), 4.0, 5)


@given(
    st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.floats(1.0, 1e6), st.sampled_from([0.01, 0.05])
)
def test_it_is_that_of_scipy(estimate, error, degrees, alpha):
    found = t_interval(estimate, error, degrees, alpha=alpha, n=9, method="t")

    ends = stats.t.interval(1 - alpha, degrees, loc=estimate, scale=error)
    assert (found.low, found.high) == pytest.approx(ends, rel=1e-9, abs=1e-9 * error)
    assert found.p == pytest.approx(2 * stats.t.sf(abs(estimate / error), degrees), rel=1e-9)


def test_numbers_beyond_all_bounds_have_no_interval():
    found = t_interval(1e308, 1e308, 1.0, alpha=0.01, n=9, method="t")

    assert found.low is found.high is found.p is None

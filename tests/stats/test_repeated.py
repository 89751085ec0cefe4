import math

import pytest

from expplat.stats.repeated import repeated_interval


def test_a_repeated_interval_is_the_boundary_times_the_error_and_has_no_p_value():
    found = repeated_interval(estimate=0.5, standard_error=0.1, boundary=2.5, n=1_000)

    assert (found.low, found.high, found.p) == (0.25, 0.75, None)
    assert (found.standard_error, found.n) == (0.1, 1_000)


@pytest.mark.parametrize(
    ("error", "boundary", "reason"),
    [
        (0.1, math.inf, "This look spends nothing of the error budget."),
        (0.1, math.nan, "This look spends nothing of the error budget."),
        (0.0, 2.0, "The values do not vary."),
        (None, 2.0, "An arm has fewer than two units, or a value that is not finite."),
        (math.nan, 2.0, "An arm has fewer than two units, or a value that is not finite."),
    ],
)
def test_a_look_that_cannot_decide_has_an_estimate_and_no_interval(error, boundary, reason):
    found = repeated_interval(estimate=0.5, standard_error=error, boundary=boundary, n=10)

    assert (found.estimate, found.low, found.high) == (0.5, None, None)
    assert found.warnings == (reason,)

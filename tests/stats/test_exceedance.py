import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.moments import NO_MOMENTS
from expplat.stats.exceedance import exceedance_moments, exceedances
from expplat.stats.moments import of_proportion
from expplat.stats.two_proportions import Counts
from expplat.stats.two_sample import difference, standard_error

VALUES = st.lists(st.floats(0, 100), min_size=1, max_size=60)


def test_a_value_at_the_bound_keeps_it_and_one_that_never_came_does_not():
    assert exceedances([1, 2, 3, math.inf], bound=2) == Counts(2, 4)
    assert exceedances([], bound=2) == Counts(0, 0)


def test_the_share_over_users_is_the_one_computed_by_hand():
    found = exceedance_moments([3, 1, 3, 1], 2, ["a", "b", "c", "c"])

    assert (found.n, found.mean) == (3, 0.5)
    assert found.m2 == pytest.approx(2 * 0.375**2)


@given(VALUES)
def test_where_each_value_is_its_own_cluster_it_is_a_proportion(values):
    counts = exceedances(values, 50)

    found = exceedance_moments(values, 50, list(range(len(values))))

    expected = of_proportion(*counts)
    assert (found.n, found.mean) == (expected.n, pytest.approx(expected.mean))
    assert found.m2 == pytest.approx(expected.m2, abs=1e-12)


@given(VALUES, st.integers(2, 5))
def test_repeating_every_value_within_its_cluster_changes_nothing(values, times):
    users = [position // 3 for position in range(len(values))]

    found = exceedance_moments(values * times, 50, users * times)

    once = exceedance_moments(values, 50, users)
    assert (found.n, found.mean) == (once.n, pytest.approx(once.mean))
    assert found.m2 == pytest.approx(once.m2, abs=1e-12)


@given(VALUES, st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_of_the_values_changes_nothing(values, scale):
    powers = 2.0 ** round(math.log2(scale))

    assert exceedances([v * powers for v in values], 50 * powers) == exceedances(values, 50)


@pytest.mark.parametrize(("value", "bound"), [(math.nan, 1.0), (1.0, math.nan), (1.0, math.inf)])
def test_what_cannot_be_compared_is_refused(value, bound):
    with pytest.raises(ValueError, match="held against"):
        exceedances([value], bound)
    with pytest.raises(ValueError, match="held against"):
        exceedance_moments([value], bound, ["a"])


def test_clusters_must_fit_the_values():
    with pytest.raises(ValueError, match="fit"):
        exceedance_moments([1.0, 2.0], 1, ["a"])
    assert exceedance_moments([], 1, []) == NO_MOMENTS


@pytest.mark.long
def test_over_users_it_is_right_and_over_requests_it_is_wrong():
    """2,000 runs of 150 users an arm with 1 to 19 requests, of whom some are always slow."""
    generator = np.random.default_rng(7)
    runs, users = 2_000, 150
    wrong = {"users": 0, "requests": 0}
    for _ in range(runs):
        clustered, plain = [], []
        for _arm in range(2):
            who = np.repeat(np.arange(users), generator.integers(1, 20, users))
            values = np.exp(
                generator.normal(0, 0.6, users)[who] + generator.normal(0, 0.5, len(who))
            )
            clustered.append(exceedance_moments(list(values), 2.5, list(who)))
            plain.append(of_proportion(*exceedances(values, 2.5)))
        wrong["users"] += difference(*clustered).p < 0.05
        wrong["requests"] += abs(plain[1].mean - plain[0].mean) > 1.96 * standard_error(*plain)
    for unit, hits in wrong.items():
        share = hits / runs
        print(f"{unit}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f}")

    assert wrong["users"] / runs <= 0.062
    assert wrong["requests"] / runs > 0.15

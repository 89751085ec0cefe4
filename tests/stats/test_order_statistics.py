import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.moments import NO_MOMENTS
from expplat.stats.order_statistics import quantile_difference, quantile_moments
from expplat.stats.two_sample import standard_error

SEEDS = st.integers(0, 10_000)
QUANTILES = st.sampled_from([0.05, 0.5, 0.9, 0.95])


def latencies(seed, n=400, factor=1.0):
    return np.random.default_rng(seed).lognormal(0, 0.8, n) * factor


def test_the_error_of_evenly_spread_values_is_the_one_computed_by_hand():
    values = np.arange(1_001.0)

    found = quantile_difference(values, values + 3, 0.95)

    one = math.sqrt(0.95 * 0.05 * 1_000 * 1_000 / 1_001)
    assert one == pytest.approx(6.8886, abs=5e-5)
    assert found.estimate == pytest.approx(3)
    assert found.standard_error == pytest.approx(one * math.sqrt(2))
    assert (found.low + found.high) / 2 == pytest.approx(3)
    assert found.warnings == ()


@given(SEEDS, QUANTILES)
def test_the_error_of_moments_is_that_of_the_quantile(seed, q):
    control, treatment = latencies(seed), latencies(seed + 1, n=300)
    moments = quantile_moments(control, q), quantile_moments(treatment, q)

    found = quantile_difference(control, treatment, q)

    assert moments[1].mean - moments[0].mean == pytest.approx(found.estimate)
    assert standard_error(*moments) == pytest.approx(found.standard_error)
    assert moments[0].mean == pytest.approx(float(np.quantile(control, q)))
    assert (moments[0].n, moments[1].n) == (400, 300)


@given(SEEDS, QUANTILES, st.sampled_from([1e-9, 1e-3, 1e3, 1e9]))
def test_the_unit_of_the_values_changes_no_p_value_and_scales_the_interval(seed, q, scale):
    one, other = latencies(seed), latencies(seed + 1)

    plain = quantile_difference(one, other, q)
    scaled = quantile_difference(one * scale, other * scale, q)

    assert scaled.p == pytest.approx(plain.p, abs=1e-9)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low * scale, plain.high * scale))


@given(SEEDS)
def test_the_order_of_the_values_changes_nothing(seed):
    values, users = latencies(seed), np.arange(400) // 4
    order = np.random.default_rng(seed).permutation(400)

    plain = quantile_moments(values, 0.9, list(users))
    shuffled = quantile_moments(values[order], 0.9, list(users[order]))

    assert (shuffled.n, shuffled.mean) == (plain.n, plain.mean)
    assert shuffled.m2 == pytest.approx(plain.m2)


@given(SEEDS, QUANTILES)
def test_swapping_the_variants_turns_the_interval_over(seed, q):
    one, other = latencies(seed), latencies(seed + 1, n=250)

    there, back = quantile_difference(one, other, q), quantile_difference(other, one, q)

    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p == pytest.approx(there.p)


@given(SEEDS)
def test_clusters_of_one_value_are_values_of_their_own(seed):
    one, other = latencies(seed), latencies(seed + 1)
    plain = quantile_difference(one, other, 0.9)

    found = quantile_difference(one, other, 0.9, list(range(400)), list(range(400)))

    # The variance of the clusters is a sample's (n − 1), and that of the share is not.
    assert found.low == pytest.approx(plain.low, abs=0.02 * plain.standard_error)
    assert found.n == plain.n
    assert "clustered" in found.method


@settings(max_examples=30)
@given(SEEDS)
def test_repeating_every_value_within_its_cluster_does_not_narrow_the_interval(seed):
    one, other = latencies(seed), latencies(seed + 1)
    users = [*range(400)]
    once = quantile_difference(one, other, 0.9, users, users)

    repeated = quantile_difference(np.tile(one, 5), np.tile(other, 5), 0.9, users * 5, users * 5)

    assert repeated.standard_error == pytest.approx(once.standard_error, rel=0.15)
    assert repeated.n == once.n == 800
    naive = quantile_difference(np.tile(one, 5), np.tile(other, 5), 0.9)
    assert naive.standard_error < 0.9 * once.standard_error


def test_repeats_that_are_taken_for_new_values_narrow_the_interval_by_the_root_of_their_number():
    users, shares = [*range(400)], []
    for seed in range(0, 600, 2):
        one, other = latencies(seed), latencies(seed + 1)
        once = quantile_difference(one, other, 0.9, users, users)
        naive = quantile_difference(np.tile(one, 5), np.tile(other, 5), 0.9)
        shares.append(naive.standard_error / once.standard_error)

    assert np.median(shares) == pytest.approx(5**-0.5, rel=0.1)
    assert np.quantile(shares, 0.95) < 0.7


def test_too_few_values_warn_by_how_many_independent_ones_there_are():
    values, users = latencies(1, n=200), [position // 10 for position in range(200)]
    steady = np.repeat(np.random.default_rng(1).lognormal(0, 0.8, 20), 10)

    assert quantile_difference(values[:75], values, 0.95).warnings == (
        "The quantile 0.95 needs 76 independent values in each arm.",
    )
    assert quantile_difference(values[:76], values, 0.95).warnings == ()
    assert quantile_difference(values[:75], values, 0.5).warnings == ()
    assert quantile_difference(steady, steady, 0.95, users, users).warnings


def test_values_that_are_all_one_have_an_interval_without_width_that_says_so():
    found = quantile_difference([7.0] * 90, [7.0] * 80, 0.5)

    assert (found.low, found.high, found.p) == (0, 0, 1)
    assert found.warnings


@pytest.mark.parametrize("values", [[], [1.0], [1.0, math.nan, 2.0], [1.0, math.inf, 2.0]])
def test_an_arm_without_an_error_to_speak_of_is_not_estimable(values):
    whole = latencies(2)

    for found in (quantile_difference(values, whole, 0.5), quantile_difference(whole, values, 0.5)):
        assert (found.low, found.high, found.p) == (None, None, None)
        assert found.warnings


def test_one_cluster_is_not_estimable():
    whole = latencies(2)

    found = quantile_difference(whole, whole, 0.5, ["a"] * 400, ["a"] * 400)

    assert found.low is None
    assert found.estimate == 0


def test_moments_of_hardly_anything_say_so():
    assert quantile_moments([], 0.5) == NO_MOMENTS
    assert (quantile_moments([3.0], 0.5).n, quantile_moments([3.0], 0.5).mean) == (1, 3)
    assert math.isnan(quantile_moments([3.0, math.nan], 0.5).mean)


@pytest.mark.parametrize(
    ("q", "users", "alpha"),
    [(0.0, None, 0.05), (1.0, None, 0.05), (0.5, ["a"], 0.05), (0.5, None, 2)],
)
def test_what_cannot_be_asked_is_refused(q, users, alpha):
    with pytest.raises(ValueError, match=r"quantile|clusters|alpha"):
        quantile_difference([1.0, 2.0], [1.0, 2.0], q, users, users, alpha)


def report(what, hits, runs):
    """Print and return the share of runs that hit."""
    share = hits / runs
    print(f"{what}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f} ({runs} runs)")
    return share


@pytest.mark.long
@pytest.mark.parametrize("n", [500, 4_000])
@pytest.mark.parametrize(("q", "factor"), [(0.95, 1.0), (0.95, 1.5), (0.5, 1.0)])
def test_the_interval_holds_the_truth_as_often_as_it_says(n, q, factor):
    """3,000 runs of lognormal latencies with sigma 0.8."""
    generator = np.random.default_rng(5)
    truth = math.exp(0.8 * {0.5: 0.0, 0.95: 1.6448536269514722}[q]) * (factor - 1)
    hits = 0
    for _ in range(3_000):
        arms = generator.lognormal(0, 0.8, n), factor * generator.lognormal(0, 0.8, n)
        found = quantile_difference(*arms, q)
        hits += found.low <= truth <= found.high

    assert 0.94 <= report(f"q {q}, factor {factor}, n {n}", hits, 3_000) <= 0.985


@pytest.mark.long
def test_the_interval_over_users_holds_the_truth_where_that_over_requests_does_not():
    """1,500 runs of 200 users an arm with 1 to 9 requests, half of whose spread is the user's."""
    generator = np.random.default_rng(6)
    hits = {"users": 0, "requests": 0}
    for _ in range(1_500):
        values, users = [], []
        for _arm in range(2):
            who = np.repeat(np.arange(200), generator.integers(1, 10, 200))
            own = generator.normal(0, 0.57, 200)[who]
            values.append(np.exp(own + generator.normal(0, 0.57, len(who))))
            users.append(who.tolist())
        by_users = quantile_difference(*values, 0.9, *users)
        by_requests = quantile_difference(*values, 0.9)
        hits["users"] += by_users.low <= 0 <= by_users.high
        hits["requests"] += by_requests.low <= 0 <= by_requests.high

    assert report("over users", hits["users"], 1_500) >= 0.94
    assert report("over requests", hits["requests"], 1_500) < 0.92

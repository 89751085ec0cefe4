import math

import numpy as np
import pytest
from scipy.stats import binom, ks_2samp

from expplat.stats import paired_quantiles, resampling, windows
from expplat.stats.paired import quantile_difference, quantile_ratio
from expplat.stats.windows import from_windows

N = 3_000


def latencies(seed, n=N):
    generator = np.random.default_rng(seed)
    base = generator.lognormal(5, 0.7, n)
    return tuple(base * generator.lognormal(0, 0.4, n) for _ in range(2))


def ragged(seed, n=N):
    """Clusters of one to some twenty, whose requests are alike."""
    generator = np.random.default_rng(seed)
    clusters = np.repeat(np.arange(n), 1 + generator.negative_binomial(1, 0.2, n))[:n]
    own = generator.normal(size=n)[clusters]
    return clusters, tuple(np.exp(own + generator.normal(size=n)) for _ in range(2))


def plainly(pairs, clusters, q, monkeypatch, resamples=2_000):
    """The method that draws every cluster one by one, at any number of pairs."""
    monkeypatch.setattr(resampling, "WINDOWS_FROM", math.inf)
    return resampling.resampled_quantiles(pairs, clusters, q, 1, resamples)


@pytest.mark.parametrize("reach", [0.0, 8.0])
@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("kind", ["alone", "tied", "fives", "ragged"])
def test_resamples_are_those_of_the_plain_method_whatever_the_reach(kind, q, reach, monkeypatch):
    clusters, pairs = np.arange(N), latencies(1)
    if kind == "tied":
        pairs = tuple(np.round(column, -2) for column in pairs)
    elif kind == "fives":
        clusters = np.arange(N) // 5
    elif kind == "ragged":
        clusters, pairs = ragged(2)
    plain = plainly(pairs, clusters, q, monkeypatch)

    found = from_windows(pairs, clusters, q, 2, 500 if reach == 0 else 2_000, reach)

    for one, other in (*zip(found, plain, strict=True), (found[1] - found[0], plain[1] - plain[0])):
        assert ks_2samp(one, other, method="asymp").pvalue > 1e-4


@pytest.mark.parametrize("few_alike", [1, 8, 1_000])
def test_each_order_statistic_is_drawn_as_often_as_the_binomial_says(few_alike, monkeypatch):
    monkeypatch.setattr(windows, "MARGIN", 1)
    monkeypatch.setattr(windows, "FEW_ALIKE", few_alike)
    n, draws = 41, 10_000
    ranks = np.arange(n, dtype=np.float64)

    control, treatment = from_windows((ranks, ranks[::-1].copy()), np.arange(n), 0.5, 3, draws, 0.5)

    # The median is at most the k-th value where at least 21 of 41 draws are among the first k.
    reached = binom.sf(20, n, np.arange(1, n + 1) / n)
    for column in (control, treatment):
        shares = np.array([np.mean(column <= rank) for rank in ranks])
        errors = np.sqrt(reached * (1 - reached) / draws)
        assert np.all(np.abs(shares - reached) <= 4.5 * errors + 1e-12)


def test_both_columns_are_drawn_together():
    control, _ = latencies(3)

    ones, others = from_windows((control, 2 * control), np.arange(N), 0.95, 5, 2_000, 1.0)

    assert np.array_equal(others, 2 * ones)
    assert len(np.unique(ones)) > 50


@pytest.mark.parametrize("per_cluster", [1, 4])
def test_the_same_seed_gives_the_same_resamples(per_cluster):
    clusters = np.arange(N) // per_cluster

    one = from_windows(latencies(4), clusters, 0.9, 11, 300)
    other = from_windows(latencies(4), clusters, 0.9, 11, 300)

    assert np.array_equal(one, other)
    assert not np.array_equal(one, from_windows(latencies(4), clusters, 0.9, 12, 300))


@pytest.mark.parametrize("q", [0.0001, 0.5, 0.9999])
def test_a_column_without_spread_has_one_quantile(q):
    same = np.full(N, 7.25)

    found = from_windows((same, same), np.arange(N) // 3, q, 1, 200)

    assert np.all(np.asarray(found) == 7.25)


def test_large_samples_are_drawn_from_windows_and_small_ones_keep_their_digits():
    large, small = latencies(6, 2_000), latencies(6, 1_999)

    from_large = resampling.resampled_quantiles(large, np.arange(2_000), 0.9, 1, 50)
    from_small = resampling.resampled_quantiles(small, np.arange(1_999), 0.9, 1, 50)

    assert np.array_equal(from_large, from_windows(large, np.arange(2_000), 0.9, 1, 50))
    # By numpy's own quantile of the pairs that the seed draws.
    drawn = np.random.default_rng(1).integers(1_999, size=(50, 1_999))
    assert from_small[0] == pytest.approx(np.quantile(small[0][drawn], 0.9, axis=1), rel=1e-12)


def test_the_digits_of_a_large_sample_stay_as_they_are():
    control, treatment = latencies(7, 5_000)

    found = quantile_difference(control, treatment, 0.95, np.arange(5_000) // 5, seed=7)

    assert found.low == pytest.approx(-22.153759532499105, rel=1e-12)
    assert found.high == pytest.approx(37.726431263427585, rel=1e-12)


@pytest.mark.parametrize("statistic", [quantile_difference, quantile_ratio])
def test_a_level_that_the_resamples_do_not_resolve_has_no_interval(statistic):
    control, treatment = latencies(8, 300)

    finest = statistic(control, treatment, 0.95, alpha=paired_quantiles.FINEST)
    finer = statistic(control, treatment, 0.95, alpha=0.99 * paired_quantiles.FINEST)

    assert None not in (finest.low, finest.high)
    assert (finer.estimate, finer.low, finer.high) == (finest.estimate, None, None)
    assert finer.warnings == ("4,999 resamples resolve no level below 0.0004.",)


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("q", [0.5, 0.95, 0.99])
@pytest.mark.parametrize("per_cluster", [1, 5, 40])
def test_interval_ends_of_20_000_pairs_are_those_of_the_plain_method(per_cluster, q, monkeypatch):
    n, seeds = 20_000, 8
    generator = np.random.default_rng(9)
    clusters = np.arange(n) // per_cluster
    own = generator.normal(0, 0.7, n)[clusters]
    pairs = tuple(np.exp(5 + own + generator.normal(0, 0.4, n)) for _ in range(2))

    def ends(found):
        return np.quantile(found[1] - found[0], (0.025, 0.975))

    by_windows = np.array([ends(from_windows(pairs, clusters, q, s, 4_999)) for s in range(seeds)])
    monkeypatch.setattr(resampling, "WINDOWS_FROM", math.inf)
    plain = np.array(
        [
            ends(resampling.resampled_quantiles(pairs, clusters, q, 100 + seed, 4_999))
            for seed in range(seeds)
        ]
    )

    apart = by_windows.mean(axis=0) - plain.mean(axis=0)
    error = np.sqrt((by_windows.var(axis=0, ddof=1) + plain.var(axis=0, ddof=1)) / seeds)
    width = np.diff(plain.mean(axis=0))[0]
    print(
        f"p{100 * q:g}, clusters of {per_cluster}: ends apart by {apart / width} of the width, "
        f"Monte Carlo error {error / width}"
    )
    assert np.all(np.abs(apart) <= 3.5 * error)
    assert np.all(error <= 0.02 * width)

"""Long: how often paired intervals and adjusted p-values are wrong, measured, with seeds.

Each share is printed with 1.96 of its Monte Carlo error. A bound on coverage is the promise itself
where it is below 0.95, and the truth may lie on it: then a run misses it by chance one time in two.
"""

import math

import numpy as np
import pytest

from expplat.stats.max_t import max_t
from expplat.stats.multiplicity import holm
from expplat.stats.paired import (
    geometric_mean_ratio,
    mean_difference,
    proportion_difference,
    quantile_ratio,
    ratio_difference,
    ratio_of_sums,
)

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]


def report(what, hits, runs):
    """Print and return the share of runs that hit."""
    share = hits / runs
    print(f"{what}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f} ({runs} runs)")
    return share


def held(found, truth):
    return found.low is not None and found.low <= truth <= found.high


def skewed_deltas(generator, n):
    """Seven in ten tie; of the others most gain a little, and some lose much."""
    moved = generator.random(n) < 0.3
    gain = generator.beta(2, 8, n)
    loss = -generator.beta(2, 3, n)
    return np.where(moved, np.where(generator.random(n) < 0.69, gain, loss), 0.0)


SKEWED_MEAN = 0.3 * (0.69 * 0.2 - 0.31 * 0.4)


@pytest.mark.parametrize(("n", "least"), [(50, 0.935), (200, 0.94), (1_000, 0.94)])
def test_paired_intervals_hold_the_truth_of_skewed_deltas(n, least):
    generator, runs = np.random.default_rng(10), 20_000

    hits = sum(
        held(mean_difference(np.zeros(n), skewed_deltas(generator, n)), SKEWED_MEAN)
        for _ in range(runs)
    )

    assert least <= report(f"paired t, skewed deltas, n = {n}", hits, runs) <= 0.975


@pytest.mark.parametrize(("n", "least"), [(50, 0.935), (200, 0.94), (1_000, 0.94)])
def test_intervals_of_paired_proportions_hold_the_truth(n, least):
    generator, runs, hits = np.random.default_rng(11), 20_000, 0
    for _ in range(runs):
        kind = generator.choice(4, size=n, p=(0.6, 0.08, 0.05, 0.27))
        found = proportion_difference((kind == 0) | (kind == 2), (kind == 0) | (kind == 1))
        hits += held(found, 0.03)

    assert least <= report(f"Newcombe, won 8 % and lost 5 %, n = {n}", hits, runs) <= 0.985


@pytest.mark.parametrize("n", [50, 200, 1_000])
def test_mcnemar_keeps_its_level_exactly_and_the_mid_p_about(n):
    generator, runs = np.random.default_rng(14), 10_000
    exact = mid = 0
    for _ in range(runs):
        kind = generator.choice(4, size=n, p=(0.6, 0.065, 0.065, 0.27))
        columns = (kind == 0) | (kind == 2), (kind == 0) | (kind == 1)
        exact += proportion_difference(*columns, exact=True).p <= 0.05
        mid += proportion_difference(*columns).p <= 0.05

    assert report(f"exact McNemar, no difference, n = {n}", exact, runs) <= 0.05
    assert report(f"mid-p McNemar, no difference, n = {n}", mid, runs) <= 0.055


def latencies(generator, n):
    """Requests are easy or hard for both variants; treatment takes a tenth longer."""
    base = generator.lognormal(5, 0.7, n)
    control, treatment = (base * generator.lognormal(0, 0.4, n) for _ in range(2))
    return control, 1.1 * treatment


@pytest.mark.parametrize(("n", "least"), [(50, 0.935), (200, 0.94), (1_000, 0.94)])
def test_ratios_of_latencies_hold_the_truth(n, least):
    generator, runs = np.random.default_rng(15), 10_000

    hits = sum(held(geometric_mean_ratio(*latencies(generator, n)), 1.1) for _ in range(runs))

    assert least <= report(f"geometric mean ratio, n = {n}", hits, runs) <= 0.975


@pytest.mark.parametrize(
    ("n", "least", "runs"), [(50, 0.935, 2_000), (200, 0.94, 2_000), (1_000, 0.94, 600)]
)
def test_ratios_of_p95_hold_the_truth(n, least, runs):
    generator = np.random.default_rng(16)

    hits = sum(held(quantile_ratio(*latencies(generator, n), 0.95), 1.1) for _ in range(runs))

    assert report(f"p95 ratio, paired bootstrap, n = {n}", hits, runs) >= least


@pytest.mark.parametrize(
    ("n", "sigma", "least"),
    [
        (50, 0.8, 0.915),
        (200, 0.8, 0.93),
        (1_000, 0.8, 0.935),
        (50, 1.2, 0.87),
        (200, 1.2, 0.91),
        (1_000, 1.2, 0.925),
    ],
)
def test_ratios_of_sums_miss_more_often_where_tails_are_heavy_and_warn_of_it(n, sigma, least):
    generator, runs, hits, below, warned = np.random.default_rng(17), 6_000, 0, 0, 0
    for _ in range(runs):
        base = generator.lognormal(0, sigma, n)
        control, treatment = (base * generator.lognormal(0, 0.4, n) for _ in range(2))
        found = ratio_of_sums(control, 1.1 * treatment)
        hits += held(found, 1.1)
        below += found.high < 1.1
        warned += any("Heavy tail" in warning for warning in found.warnings)

    what = f"ratio of sums, lognormal {sigma}, n = {n}"
    assert report(what, hits, runs) >= least
    report(f"{what}, all of it below the truth", below, runs)
    assert report(f"{what}, warned", warned, runs) >= 0.3


@pytest.mark.parametrize(("n", "least"), [(50, 0.925), (200, 0.94), (1_000, 0.94)])
def test_differences_of_ratios_hold_the_truth(n, least):
    generator, runs, hits = np.random.default_rng(18), 10_000, 0
    for _ in range(runs):
        easy = generator.beta(4, 2, n)
        made = 1 + generator.poisson(4, (2, n))
        supported = generator.binomial(made, easy)
        found = ratio_difference(supported[0], made[0], supported[1], made[1])
        hits += held(found, 0.0)

    assert report(f"difference of ratios, claims by answer, n = {n}", hits, runs) >= least


def ragged(generator, count):
    """Clusters of five on average, some of one and some of twenty, with an ICC of a half."""
    sizes = 1 + generator.negative_binomial(1, 0.2, count)
    clusters = np.repeat(np.arange(count), sizes)
    own = generator.exponential(size=count) - 1
    return clusters, own[clusters] + generator.exponential(size=len(clusters)) - 1


@pytest.mark.parametrize(("count", "least"), [(50, 0.92), (200, 0.93)])
def test_ragged_skewed_clusters_hold_the_truth(count, least):
    generator, runs, hits = np.random.default_rng(13), 10_000, 0
    for _ in range(runs):
        clusters, deltas = ragged(generator, count)
        hits += held(mean_difference(np.zeros(len(deltas)), deltas, clusters), 0.0)

    assert report(f"CR2, {count} ragged clusters, ICC .5", hits, runs) >= least


def test_clusters_of_costs_hold_the_truth_too():
    generator, runs = np.random.default_rng(19), 4_000
    sums = ratios = 0
    for _ in range(runs):
        clusters, deltas = ragged(generator, 50)
        control = np.full(len(deltas), 10.0)
        treatment = 11 + deltas
        sums += held(ratio_of_sums(control, treatment, clusters), 1.1)
        ratios += held(ratio_difference(control, control, treatment, control, clusters), 0.1)

    assert report("ratio of sums, 50 ragged clusters", sums, runs) >= 0.92
    assert report("difference of ratios, 50 ragged clusters", ratios, runs) >= 0.92


def test_repeated_requests_do_not_make_false_positives():
    generator, runs, naive, clustered = np.random.default_rng(12), 4_000, 0, 0
    clusters = np.repeat(np.arange(40), 25)
    for _ in range(runs):
        deltas = generator.normal(size=40)[clusters] + generator.normal(size=1_000)
        clustered += mean_difference(np.zeros(1_000), deltas, clusters).p <= 0.05
        naive += mean_difference(np.zeros(1_000), deltas).p <= 0.05

    assert 0.03 <= report("clustered false positives, 40 x 25", clustered, runs) <= 0.07
    assert report("the same without clusters", naive, runs) > 0.4


def correlated(generator, n, k, shared):
    """Columns of skewed deltas with mean 0 that share a part of what moves them."""
    table = math.sqrt(shared) * (generator.exponential(size=(n, 1)) - 1)
    return table + math.sqrt(1 - shared) * (generator.exponential(size=(n, k)) - 1)


def any_false_pass(draw, seed, runs=4_000):
    """Count the runs in which max-T, and Holm over t-tests, pass any of the null questions."""
    generator = np.random.default_rng(seed)
    by_max_t = by_holm = 0
    for run in range(runs):
        table = draw(generator)
        zeros = np.zeros(len(table))
        by_max_t += min(max_t(table, seed=run, resamples=999)) <= 0.05
        by_holm += min(holm([mean_difference(zeros, column).p for column in table.T])) <= 0.05
    return by_max_t, by_holm, runs


@pytest.mark.parametrize("shared", [0.0, 0.8])
def test_max_t_keeps_the_chance_of_any_false_pass_of_symmetric_differences(shared):
    def symmetric(generator):
        return correlated(generator, 200, 5, shared) - correlated(generator, 200, 5, shared)

    by_max_t, by_holm, runs = any_false_pass(symmetric, 20)

    report(f"Holm, five null, symmetric, correlation {shared}", by_holm, runs)
    what = f"max-T, five null, symmetric, correlation {shared}"
    assert 0.038 <= report(what, by_max_t, runs) <= 0.06


@pytest.mark.parametrize(("n", "most"), [(200, 0.08), (1_000, 0.065)])
def test_max_t_passes_too_often_where_few_differences_are_skewed_as_holm_does(n, most):
    by_max_t, by_holm, runs = any_false_pass(lambda g: correlated(g, n, 5, 0.0), 24)

    theirs = report(f"Holm, five null, skewness 2, n = {n}", by_holm, runs)
    ours = report(f"max-T, five null, skewness 2, n = {n}", by_max_t, runs)
    assert ours <= most
    assert ours <= theirs + 0.01


def test_max_t_keeps_its_level_of_differences_that_mostly_tie():
    def tied(generator):
        return np.column_stack([skewed_deltas(generator, 200) - SKEWED_MEAN for _ in range(5)])

    by_max_t, by_holm, runs = any_false_pass(tied, 25)

    report("Holm, five null, 70 % ties, n = 200", by_holm, runs)
    assert report("max-T, five null, 70 % ties, n = 200", by_max_t, runs) <= 0.07


def test_max_t_keeps_its_level_over_ragged_clusters():
    generator, runs, hits = np.random.default_rng(21), 3_000, 0
    for run in range(runs):
        clusters, first = ragged(generator, 50)
        second = first + generator.exponential(size=len(first)) - 1
        table = np.column_stack([first, second])
        hits += min(max_t(table, clusters, seed=run, resamples=999)) <= 0.05

    assert report("max-T, two null, 50 ragged skewed clusters", hits, runs) <= 0.08


def test_max_t_keeps_its_level_for_the_null_questions_beside_true_ones():
    generator, runs, hits = np.random.default_rng(22), 4_000, 0
    for run in range(runs):
        table = correlated(generator, 200, 5, 0.8) + np.array([1, 1, 0, 0, 0])
        hits += min(max_t(table, seed=run, resamples=999)[2:]) <= 0.05

    assert report("max-T, three null beside two true", hits, runs) <= 0.06


@pytest.mark.parametrize(("shared", "gain"), [(0.0, -0.01), (0.8, 0.05)])
def test_max_t_finds_more_than_holm_where_questions_correlate(shared, gain):
    generator, runs = np.random.default_rng(23), 2_000
    by_max_t = by_holm = 0
    for run in range(runs):
        table = correlated(generator, 200, 8, shared)
        table[:, 0] += 0.2
        alone = [mean_difference(np.zeros(200), column).p for column in table.T]
        by_holm += holm(alone)[0] <= 0.05
        by_max_t += max_t(table, seed=run, resamples=999)[0] <= 0.05

    ours = report(f"power of max-T, one true of eight, correlation {shared}", by_max_t, runs)
    theirs = report(f"power of Holm, one true of eight, correlation {shared}", by_holm, runs)
    assert ours - theirs >= gain

"""Long: how often the intervals are wrong, measured. Seeded; each prints its Monte Carlo error."""

import math

import numpy as np
import pytest

from expplat.domain.moments import Moments
from expplat.stats.paired import mean_difference, proportion_difference
from expplat.stats.sequential import anytime_interval, boundaries, repeated_interval
from expplat.stats.srm import sample_ratio
from expplat.stats.two_sample import standard_error

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]

USERS_PER_LOOK = 200


def report(what, hits, runs):
    """Print and return the share of runs that hit."""
    share = hits / runs
    print(f"{what}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f} ({runs} runs)")
    return share


def conversions(share):
    return lambda generator, n: (generator.random(n) < share).astype(float)


def revenue(sigma):
    """One user in twenty pays, and what they pay is lognormal."""
    return lambda generator, n: np.where(
        generator.random(n) < 0.05, generator.lognormal(0, sigma, n), 0.0
    )


def paths(generator, draw, looks, treated=0.5, lift=0.0):
    """Yield both arms' moments at each look of one experiment, users assigned one by one."""
    n = looks * USERS_PER_LOOK
    values, is_treated = draw(generator, n), generator.random(n) < treated
    values = values + lift * is_treated
    ends = np.arange(1, looks + 1) * USERS_PER_LOOK - 1
    arms = []
    for mask in (~is_treated, is_treated):
        count = np.cumsum(mask)[ends]
        total = np.cumsum(values * mask)[ends]
        squares = np.cumsum(values * values * mask)[ends]
        mean = total / np.maximum(count, 1)
        arms.append([*zip(count, mean, squares - count * mean * mean, strict=True)])
    for one, other in zip(*arms, strict=True):
        yield tuple(Moments(n=int(c), mean=float(m), m2=float(v)) for c, m, v in (one, other))


def excludes_zero(found):
    return found.low is not None and (found.low > 0 or found.high < 0)


def any_look_differs(arms_by_look, critical, **variance):
    """Whether the planned test and the anytime interval ever call a difference."""
    planned = anytime = False
    units = len(critical) * USERS_PER_LOOK
    for (control, treatment), boundary in zip(arms_by_look, critical, strict=True):
        estimate, n = treatment.mean - control.mean, control.n + treatment.n
        error = standard_error(control, treatment, **variance)
        planned = planned or excludes_zero(
            repeated_interval(estimate=estimate, standard_error=error, boundary=boundary, n=n)
        )
        anytime = anytime or excludes_zero(anytime_interval(estimate, error, n, 0.05, units))
    return planned, anytime


@pytest.mark.parametrize("looks", [20, 100])
@pytest.mark.parametrize(
    ("name", "draw", "variance"),
    [
        ("5 % convert", conversions(0.05), {}),
        ("5 % convert, counts added", conversions(0.05), {"proportion": True}),
        ("30 % convert", conversions(0.3), {}),
        ("revenue, sigma 1.0", revenue(1.0), {}),
    ],
)
def test_looking_often_does_not_make_false_positives(name, draw, variance, looks):
    generator, runs = np.random.default_rng(20_261_122), 4_000
    critical = boundaries([look / looks for look in range(1, looks + 1)])

    called = [
        any_look_differs(paths(generator, draw, looks), critical, **variance) for _ in range(runs)
    ]

    planned, anytime = (sum(column) for column in zip(*called, strict=True))
    assert 0.030 <= report(f"LD-OBF, {looks} looks, {name}", planned, runs) <= 0.0605
    assert report(f"anytime, {looks} looks, {name}", anytime, runs) <= 0.0605


def test_a_thousand_looks_do_not_make_false_positives_either():
    generator, runs, looks = np.random.default_rng(5), 4_000, 1_000
    critical = np.array(boundaries([look / looks for look in range(1, looks + 1)]))
    times = np.arange(1, looks + 1)

    hits = sum(
        bool(np.any(np.abs(np.cumsum(generator.normal(size=looks)) / np.sqrt(times)) > critical))
        for _ in range(runs)
    )

    assert 0.030 <= report("LD-OBF, 1,000 looks", hits, runs) <= 0.0605


def test_the_planned_test_keeps_95_percent_of_the_power_of_one_look_at_the_end():
    generator, runs, looks = np.random.default_rng(6), 10_000, 100
    critical = np.array(boundaries([look / looks for look in range(1, looks + 1)]))
    times = np.arange(1, looks + 1)
    drift = (1.959964 + 0.841621) / math.sqrt(looks)

    z = np.cumsum(generator.normal(drift, 1, (runs, looks)), axis=1) / np.sqrt(times)

    found = report("power of LD-OBF where one look has .80", np.any(z > critical, 1).sum(), runs)
    assert found >= 0.76


def test_a_tenth_treated_needs_and_has_the_pooled_floor():
    generator, runs, looks = np.random.default_rng(7), 2_000, 100
    critical = boundaries([look / looks for look in range(1, looks + 1)])

    called = [
        any_look_differs(
            paths(generator, revenue(1.0), looks, treated=0.1), critical, pooled_floor=True
        )
        for _ in range(runs)
    ]

    planned, anytime = (sum(column) for column in zip(*called, strict=True))
    assert report("LD-OBF, 10 % treated, pooled floor", planned, runs) <= 0.0605
    assert report("anytime, 10 % treated, pooled floor", anytime, runs) <= 0.0605


def smallest_ratio_p(generator, share, looks=100):
    treated = np.cumsum(generator.binomial(USERS_PER_LOOK, share, looks))
    totals = USERS_PER_LOOK * np.arange(1, looks + 1)
    return min(
        sample_ratio((int(n - t), int(t)), (0.5, 0.5)).p
        for t, n in zip(treated, totals, strict=True)
    )


def test_sample_ratio_alarms_are_as_rare_as_they_claim_to_be():
    generator, runs = np.random.default_rng(8), 10_000

    hits = sum(smallest_ratio_p(generator, 0.5) <= 0.001 for _ in range(runs))

    assert report("SRM false alarms at .001, 100 looks", hits, runs) <= 0.0017


def test_a_split_of_48_to_52_is_found_within_twenty_thousand_units():
    generator, runs = np.random.default_rng(9), 2_000

    hits = sum(smallest_ratio_p(generator, 0.52) <= 0.001 for _ in range(runs))

    assert report("SRM finds 48/52 at .001", hits, runs) >= 0.93


def skewed_deltas(generator, n):
    """Seven in ten tie; of the others most gain a little, and some lose much. Mean 0.004."""
    moved = generator.random(n) < 0.3
    gain = generator.beta(2, 8, n)
    loss = -generator.beta(2, 3, n)
    return np.where(moved, np.where(generator.random(n) < 0.69, gain, loss), 0.0)


SKEWED_MEAN = 0.3 * (0.69 * 0.2 - 0.31 * 0.4)


@pytest.mark.parametrize(("n", "least"), [(50, 0.935), (200, 0.935), (1_000, 0.94)])
def test_paired_intervals_hold_the_truth_of_skewed_deltas(n, least):
    generator, runs = np.random.default_rng(10), 4_000

    held = 0
    for _ in range(runs):
        found = mean_difference(np.zeros(n), skewed_deltas(generator, n))
        held += found.low <= SKEWED_MEAN <= found.high

    assert least <= report(f"paired coverage, n = {n}", held, runs) <= 0.975


@pytest.mark.parametrize(("n", "least"), [(50, 0.935), (1_000, 0.935)])
def test_intervals_of_paired_proportions_hold_the_truth(n, least):
    generator, runs, held = np.random.default_rng(11), 4_000, 0
    for _ in range(runs):
        kind = generator.choice(4, size=n, p=(0.6, 0.08, 0.05, 0.27))
        found = proportion_difference((kind == 0) | (kind == 2), (kind == 0) | (kind == 1))
        held += found.low <= 0.03 <= found.high

    assert least <= report(f"Newcombe coverage, n = {n}", held, runs) <= 0.985


def test_repeated_requests_do_not_make_false_positives():
    generator, runs, naive, clustered = np.random.default_rng(12), 4_000, 0, 0
    clusters = np.repeat(np.arange(40), 25)
    for _ in range(runs):
        deltas = generator.normal(size=40)[clusters] + generator.normal(size=1_000)
        clustered += mean_difference(np.zeros(1_000), deltas, clusters).p <= 0.05
        naive += mean_difference(np.zeros(1_000), deltas).p <= 0.05

    assert 0.03 <= report("clustered false positives, 40 x 25", clustered, runs) <= 0.07
    assert report("the same without clusters", naive, runs) > 0.4


def test_ragged_skewed_clusters_do_not_make_many_false_positives():
    generator, runs, hits = np.random.default_rng(13), 4_000, 0
    for _ in range(runs):
        clusters = np.repeat(np.arange(50), 1 + generator.poisson(4, 50))
        own = generator.exponential(size=50) - 1
        deltas = own[clusters] + generator.exponential(size=len(clusters)) - 1
        hits += mean_difference(np.zeros(len(clusters)), deltas, clusters).p <= 0.05

    assert 0.03 <= report("clustered false positives, ragged and skewed", hits, runs) <= 0.08

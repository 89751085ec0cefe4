"""Long: how often online tests that are read many times are wrong. Seeded; Monte Carlo errors."""

import functools
import math
from typing import NamedTuple

import numpy as np
import pytest
from scipy.stats import binom, kstest

from expplat.domain.moments import Moments
from expplat.stats.anytime import BurnIn, anytime_bound, anytime_interval
from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import normal_quantile
from expplat.stats.extension import conditional_level
from expplat.stats.power import INFLATION, proportion_variance, smallest_effect
from expplat.stats.randomisation import no_randomisation, with_units
from expplat.stats.spending import SPENDING, spend_hsd, spend_obf, spend_pocock
from expplat.stats.srm import sample_ratio
from expplat.stats.stagewise import stagewise_p
from expplat.stats.two_sample import standard_error

pytestmark = [pytest.mark.long, pytest.mark.timeout(1_200)]

USERS_PER_LOOK = 200
RUNS = 4_000
PAYING = 0.05


class Arms(NamedTuple):
    """Sums up to each look: arrays of runs x looks x (control, treatment)."""

    n: np.ndarray
    mean: np.ndarray
    m2: np.ndarray
    events: np.ndarray
    """Units that converted or paid; for the ratio, units."""

    @property
    def apart(self):
        return self.mean[..., 1] - self.mean[..., 0]


def report(what, hits, runs):
    """Print and return the share of runs that hit."""
    share = hits / runs
    print(f"{what}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f} ({runs} runs)")
    return share


def of_sums(n, total, squares, events):
    n, total, squares, events = (np.cumsum(part, axis=1) for part in (n, total, squares, events))
    mean = total / np.maximum(n, 1)
    return Arms(n, mean, np.maximum(squares - n * mean * mean, 0), events)


def conversions(share):
    """Draw units that convert, by binomial counts; the lift is a share too."""

    def draw(generator, n, lift):
        yes = generator.binomial(n, np.array([share, share + lift]))
        return of_sums(n, yes, yes, yes)

    return draw


def revenue(sigma):
    """One user in twenty pays, and what they pay is lognormal; the lift falls on everyone."""

    def draw(generator, n, lift):
        payers = generator.binomial(n, PAYING)
        paid = generator.lognormal(0, sigma, payers.sum())
        cell = np.repeat(np.arange(payers.size), payers.ravel())
        total = np.bincount(cell, paid, payers.size).reshape(n.shape)
        squares = np.bincount(cell, paid * paid, payers.size).reshape(n.shape)
        shift = np.array([0.0, lift])
        lifted = squares + 2 * shift * total + shift * shift * n
        return of_sums(n, total + shift * n, lifted, payers)

    return draw


@functools.cache
def kinds_of_users():
    """Return requests, answered requests and share of each kind of user; they are of two minds."""
    requests, answered, share = [], [], []
    for count in range(1, 9):
        often = 0.5**count / (1 - 0.5**8)
        for yes in range(count + 1):
            chance = (binom.pmf(yes, count, 0.2) + binom.pmf(yes, count, 0.7)) / 2
            requests.append(count)
            answered.append(yes)
            share.append(often * chance)
    return np.array(requests, float), np.array(answered, float), np.array(share)


def ratio(generator, n, lift):
    """Answered requests over requests, linearised by user; no lift is known here."""
    assert lift == 0
    requests, answered, share = kinds_of_users()
    users = np.cumsum(generator.multinomial(n, share / share.sum()), axis=1)
    n = users.sum(axis=-1)
    asked, yes = users @ requests, users @ answered
    mean = yes / np.maximum(asked, 1)
    squares = users @ answered**2 - 2 * mean * (users @ (answered * requests))
    squares = squares + mean * mean * (users @ requests**2)
    per_user = np.maximum(asked, 1) / np.maximum(n, 1)
    return Arms(n, mean, squares / per_user**2, n)


KINDS = {
    "5 % convert": (conversions(0.05), True),
    ".5 % convert": (conversions(0.005), True),
    "30 % convert": (conversions(0.3), True),
    "revenue, sigma 1.0": (revenue(1.0), False),
    "revenue, sigma 1.5": (revenue(1.5), False),
    "ratio by user": (ratio, False),
}
"""Outcome by name, and whether it is a proportion."""


def experiments(generator, draw, runs, looks, treated=0.5, lift=0.0, users=USERS_PER_LOOK):
    """Yield runs in parts that fit into memory; users are assigned one by one."""
    for first in range(0, runs, 500):
        part = min(500, runs - first)
        ours = generator.binomial(users, treated, (part, looks))
        yield draw(generator, np.stack([users - ours, ours], axis=-1), lift)


def errors(arms, **variance):
    """Return the standard error at each look as the online gate computes it."""
    rows = zip(
        *(part.reshape(-1, 2).tolist() for part in (arms.n, arms.mean, arms.m2)), strict=True
    )
    found = [
        standard_error(
            Moments(n=n[0], mean=mean[0], m2=m2[0]),
            Moments(n=n[1], mean=mean[1], m2=m2[1]),
            **variance,
        )
        for n, mean, m2 in rows
    ]
    return np.array(found, dtype=float).reshape(arms.apart.shape)


def even(looks):
    return [look / looks for look in range(1, looks + 1)]


@functools.cache
def planned_edges(looks, spending=spend_obf):
    return np.array(boundaries(even(looks), spending=spending))


@functools.cache
def open_edges(looks, users=USERS_PER_LOOK):
    """Half-widths of the anytime interval in standard errors, tightest at the plan."""
    return np.array(
        [
            anytime_interval(0.0, 1.0, users * look, 0.05, users * looks).high
            for look in range(1, looks + 1)
        ]
    )


def called(arms, error, edges):
    """Whether each run ever calls a difference; a variance of 0 is no evidence."""
    return np.any((np.abs(arms.apart) > edges * error) & (error > 0), axis=1)


@pytest.mark.parametrize("name", KINDS)
def test_looking_a_hundred_times_does_not_make_false_positives(name):
    draw, proportion = KINDS[name]
    generator, planned, opened = np.random.default_rng(20_261_122), 0, 0
    for arms in experiments(generator, draw, RUNS, 100):
        error = errors(arms, pooled_floor=True, proportion=proportion)
        planned += called(arms, error, planned_edges(100)).sum()
        opened += called(arms, error, open_edges(100)).sum()

    planned = report(f"LD-OBF, 100 looks, {name}", planned, RUNS)
    opened = report(f"anytime, 100 looks, {name}", opened, RUNS)
    assert 0.030 <= planned <= 0.0605
    assert opened <= 0.0605


def test_looking_a_thousand_times_does_not_make_false_positives_either():
    generator, runs, looks, users, hits = np.random.default_rng(5), 3_000, 1_000, 40, 0
    for arms in experiments(generator, conversions(0.05), runs, looks, users=users):
        error = errors(arms, pooled_floor=True, proportion=True)
        hits += called(arms, error, planned_edges(looks)).sum()

    assert 0.030 <= report("LD-OBF, 1,000 looks, 5 % convert", hits, runs) <= 0.0605


@pytest.mark.parametrize("name", KINDS)
def test_a_tenth_treated_is_safe_or_has_not_enough_data(name):
    draw, proportion = KINDS[name]
    generator, runs = np.random.default_rng(7), 2_000
    planned = hits = early = unread = 0
    for arms in experiments(generator, draw, runs, 100, treated=0.1):
        error = errors(arms, pooled_floor=True, proportion=proportion)
        enough = np.array(
            [
                BurnIn(units=tuple(n), events=tuple(events)).lacking() is None
                for n, events in zip(
                    arms.n.reshape(-1, 2).tolist(), arms.events.reshape(-1, 2).tolist(), strict=True
                )
            ]
        ).reshape(error.shape)
        planned += called(arms, error, planned_edges(100)).sum()
        early += called(arms, error, open_edges(100)).sum()
        hits += called(arms, np.where(enough, error, np.nan), open_edges(100)).sum()
        unread += (~enough[:, -1]).sum()

    assert report(f"LD-OBF, 10 % treated, {name}", planned, runs) <= 0.0605
    report(f"anytime, 10 % treated, {name}, never enough data", unread, runs)
    assert report(f"anytime, 10 % treated, {name}, no burn-in", early, runs) <= 0.0605
    assert report(f"anytime, 10 % treated, {name}", hits, runs) <= 0.0605


def smallest_lift(base, units):
    """Return the lift of a share that one look at the end finds with .80."""
    lift = 0.0
    for _ in range(20):  # the lifted share varies a little more, so that it lifts itself
        variances = (proportion_variance(base), proportion_variance(base + lift))
        lift = smallest_effect(units, variances)
    return lift


def stops(arms, error, edges):
    """Return, by run, the share of the plan at the stop, and the sign called (0: none)."""
    crossed = np.abs(arms.apart) > edges * error
    looks = crossed.shape[1]
    ended = crossed.any(axis=1)
    first = np.where(ended, crossed.argmax(axis=1), looks - 1)
    signs = np.sign(arms.apart[np.arange(len(first)), first])
    return (first + 1) / looks, np.where(ended, signs, 0)


@pytest.mark.parametrize(
    ("name", "inflation", "least", "latest"),
    [("obf", 1.0, 0.95, 0.75), ("obf", INFLATION["obf"], 0.97, 0.74), ("hsd(-4)", 1.0, 0.96, 0.75)],
)
def test_a_planned_test_keeps_the_power_of_one_look_and_ends_early(name, inflation, least, latest):
    """Against a z-test read once, without inflation, at the effect where that has .80."""
    runs, looks, base, units = 6_000, 100, 0.05, 10_000
    lift = smallest_lift(base, units)
    users = round(USERS_PER_LOOK * inflation)
    once = wins = losses = 0
    stopped = []
    for arms in experiments(np.random.default_rng(6), conversions(base), runs, 100, lift=lift):
        last = arms._replace(**{f: getattr(arms, f)[:, -1:] for f in Arms._fields})
        once += called(last, errors(last), 1.959964).sum()
    for arms in experiments(
        np.random.default_rng(66), conversions(base), runs, looks, lift=lift, users=users
    ):
        error = errors(arms, pooled_floor=True, proportion=True)
        stop, sign = stops(arms, error, planned_edges(looks, SPENDING[name]))
        wins, losses = wins + (sign > 0).sum(), losses + (sign < 0).sum()
        stopped.extend(stop)

    once = report("power of one look at the end", once, runs)
    power = report(f"power of {name}, {inflation} of the plan", wins, runs)
    print(f"  {power / once:.3f} of it; mean stop at {np.mean(stopped):.3f} of the plan")
    assert power >= least * once
    assert np.mean(stopped) <= latest
    assert report("  wrong direction", losses, runs) <= 0.002


@pytest.mark.parametrize("kind", ["null", "lift"])
@pytest.mark.parametrize("sigma", [1.0, 1.5])
def test_the_coin_is_safe_on_heavy_tails_and_finds_more_than_the_anytime_interval(sigma, kind):
    """20,000 users in 20 looks, at the effect where one look has .80."""
    generator, runs, looks, users = np.random.default_rng(9), 600, 20, 1_000
    second = PAYING * math.exp(2 * sigma**2)
    mean = PAYING * math.exp(sigma**2 / 2)
    variance = second - mean**2
    planned = 2.8016 * math.sqrt(4 * variance / (looks * users))
    lift = planned if kind == "lift" else 0.0
    edges, fresh = open_edges(looks, users), no_randomisation(planned, variance)
    coin = interval = 0
    for _ in range(runs):
        n = looks * users
        paid = np.where(generator.random(n) < PAYING, generator.lognormal(0, sigma, n), 0.0)
        treated = generator.random(n) < 0.5
        paid = paid + lift * treated
        ends = np.arange(users, n + 1, users) - 1
        count, total, squares = (
            np.stack([np.cumsum(part * ~treated)[ends], np.cumsum(part * treated)[ends]], axis=-1)
            for part in (np.ones(n), paid, paid * paid)
        )
        means = total / count
        arms = Arms(count[None], means[None], (squares - count * means**2)[None], count[None])
        interval += called(arms, errors(arms, pooled_floor=True), edges)[0]
        coin += smallest_coin_p(fresh, paid.reshape(looks, -1), treated.reshape(looks, -1)) <= 0.05

    coin = report(f"coin, sigma {sigma}, {kind}", coin, runs)
    interval = report(f"anytime, sigma {sigma}, {kind}", interval, runs)
    assert coin <= 0.05 if kind == "null" else coin >= interval


def smallest_coin_p(evidence, values, treated):
    """Return the smallest p over the looks; stops where it is small enough."""
    centre = float(values[0].mean())
    for batch, coins in zip(values, treated, strict=True):
        evidence = with_units(evidence, batch, coins, centre)
        if evidence.p <= 0.05:
            return evidence.p
        centre += (float(batch.mean()) - centre) * len(batch) / evidence.n
    return 1.0


def smallest_ratio_p(generator, share, looks=100):
    treated = np.cumsum(generator.binomial(USERS_PER_LOOK, share, looks)).tolist()
    return min(
        sample_ratio((USERS_PER_LOOK * look - count, count), (0.5, 0.5)).p
        for look, count in enumerate(treated, start=1)
    )


def test_sample_ratio_alarms_are_as_rare_as_they_claim_to_be():
    generator, runs = np.random.default_rng(8), 10_000

    hits = sum(smallest_ratio_p(generator, 0.5) <= 0.001 for _ in range(runs))

    assert report("SRM false alarms at .001, 100 looks", hits, runs) <= 0.0017


def test_a_split_of_48_to_52_is_found_within_twenty_thousand_units():
    generator, runs = np.random.default_rng(9), 4_000

    hits = sum(smallest_ratio_p(generator, 0.52) <= 0.001 for _ in range(runs))

    assert report("SRM finds 48/52 at .001", hits, runs) >= 0.94


@pytest.mark.parametrize("spending", [spend_obf, spend_pocock, spend_hsd(-4)])
def test_one_sided_boundaries_hold_their_level_over_a_hundred_looks(spending):
    generator, runs, looks = np.random.default_rng(11), 20_000, 100
    critical = np.array(boundaries(even(looks), 0.025, spending, sides=1))
    z = np.cumsum(generator.normal(size=(runs, looks)), axis=1) / np.sqrt(np.arange(1, looks + 1))

    share = report("one-sided boundaries at .025", np.any(z > critical, axis=1).sum(), runs)

    assert share == pytest.approx(0.025, abs=4 * math.sqrt(0.025 * 0.975 / runs))


@pytest.mark.parametrize("name", ["5 % convert", "revenue, sigma 1.0"])
def test_the_one_sided_anytime_bound_holds_its_level_on_both_sides(name):
    draw, proportion = KINDS[name]
    generator, high, low = np.random.default_rng(12), 0, 0
    edges = np.array(
        [
            -anytime_bound(0.0, 1.0, USERS_PER_LOOK * look, 0.05, USERS_PER_LOOK * 50).low
            for look in range(1, 101)
        ]
    )
    for arms in experiments(generator, draw, RUNS, 100):
        error = errors(arms, pooled_floor=True, proportion=proportion)
        high += np.any(arms.apart > edges * error, axis=1).sum()
        low += np.any(-arms.apart > edges * error, axis=1).sum()

    assert report(f"anytime bound at .05, {name}, above", high, RUNS) <= 0.05
    assert report(f"anytime bound at .05, {name}, below", low, RUNS) <= 0.05


@pytest.mark.parametrize(("sides", "alpha"), [(2, 0.2), (1, 0.1)])
def test_the_p_of_a_test_that_has_ended_is_uniform_under_the_null(sides, alpha):
    generator, runs = np.random.default_rng(13), 3_000
    fractions = np.array((0.15, 0.3, 0.62, 0.8, 1.0))
    critical = boundaries(fractions, alpha, spend_pocock, sides=sides)
    steps = generator.normal(size=(runs, 5)) * np.sqrt(np.diff([0.0, *fractions]))
    z = np.cumsum(steps, axis=1) / np.sqrt(fractions)

    p = np.array([stagewise_p(row, fractions, critical, sides) for row in z])

    for level in (0.025, 0.05, alpha, 0.5):
        share = report(f"stagewise p below {level}", (p < level).sum(), runs)
        assert share == pytest.approx(level, abs=4 * math.sqrt(level * (1 - level) / runs))
    assert kstest(p, "uniform").pvalue > 0.001


def test_a_test_that_is_extended_when_it_looks_hopeful_keeps_its_level():
    """After the planned end: where something is left, as many new units as were planned."""
    generator, runs, hits, longer = np.random.default_rng(14), 20_000, 0, 0
    fractions, times = (0.5, 1.0, 1.25), (0.5, 0.8, 1.0)
    critical = boundaries(fractions, 0.05, spending_times=times, sides=1)
    steps = generator.normal(size=(runs, 2)) * math.sqrt(0.5)
    paths = np.cumsum(steps, axis=1) / np.sqrt(fractions[:2])
    for z, fresh in zip(paths, generator.normal(size=runs), strict=True):
        left = conditional_level(z, fractions, critical, sides=1)
        # A promising test doubles its new units, and reads them alone.
        promising = 0.05 < left < 1
        longer += promising
        hits += left == 1 or fresh > -normal_quantile(left)

    report("extended where hopeful", longer, runs)
    share = report("false positives of a test that may be extended, .05", hits, runs)
    assert share == pytest.approx(0.05, abs=4 * math.sqrt(0.05 * 0.95 / runs))

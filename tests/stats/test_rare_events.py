import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from expplat.stats import rare_events
from expplat.stats.anytime import anytime_interval
from expplat.stats.moments import of_proportion
from expplat.stats.rare_events import (
    anytime_difference,
    exact_difference,
    exact_harm,
    log_evidence,
    rare_event_harm,
)
from expplat.stats.two_proportions import Counts
from expplat.stats.two_sample import standard_error

HARM = (rare_event_harm, exact_harm)
INTERVALS = (anytime_difference, exact_difference)


@st.composite
def arms(draw):
    sizes = [draw(st.integers(1, 20_000)) for _ in range(2)]
    return tuple(Counts(draw(st.integers(0, n)), n) for n in sizes)


def outcomes(n, rates):
    """Every pair of counts of two arms of n units, and its probability."""
    chances = [scipy_stats.binom.pmf(range(n + 1), n, rate) for rate in rates]
    for one, other in itertools.product(range(n + 1), repeat=2):
        yield Counts(one, n), Counts(other, n), float(chances[0][one] * chances[1][other])


@pytest.mark.parametrize("ask", HARM)
@pytest.mark.parametrize("n", [10, 5_000, 1_000_000])
def test_without_any_event_there_is_an_interval_with_width_and_no_harm(ask, n):
    found = ask(0, 0, n, n, margin=0.0)

    assert found.low < 0 < found.high
    assert found.high == pytest.approx(-found.low)
    assert found.p == 1
    assert found.high < 20 / n


@pytest.mark.parametrize("ask", HARM)
@pytest.mark.parametrize(("one", "other"), [(0, 500), (1, 100)])
def test_rare_errors_that_became_many_are_harm(ask, one, other):
    found = ask(one, other, 5_000, 5_000, margin=0.01)

    assert found.low > 0.01
    assert 0 < found.p < 1e-4


def test_harm_is_called_from_so_many_events_against_none():
    once = [exact_harm(0, events, 5_000, 5_000, 0.0).p < 0.05 for events in (6, 7)]
    always = [rare_event_harm(0, events, 5_000, 5_000, 0.0).p < 0.05 for events in (9, 10)]

    assert once == [False, True]
    assert always == [False, True]


def test_fewer_bad_events_are_no_harm():
    for ask in HARM:
        found = ask(100, 1, 5_000, 5_000, margin=0.0)

        assert found.p == pytest.approx(1)
        assert found.high < 0


@pytest.mark.parametrize("ask", HARM)
@settings(deadline=None, max_examples=60)
@given(arms(), st.sampled_from([0.0, 0.001, 0.01, 0.2]), st.sampled_from([0.01, 0.05, 0.3]))
def test_p_is_below_alpha_just_where_the_lower_end_is_above_the_margin(ask, both, margin, alpha):
    control, treatment = both

    found = ask(control.successes, treatment.successes, control.n, treatment.n, margin, alpha)

    if abs(found.low - margin) > 1e-9:
        assert (found.p < alpha) == (found.low > margin)


@pytest.mark.parametrize("ask", INTERVALS)
@settings(deadline=None, max_examples=60)
@given(arms())
def test_swapping_the_variants_turns_the_interval_over(ask, both):
    control, treatment = both

    there, back = ask(control, treatment), ask(treatment, control)

    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), rel=1e-6, abs=1e-10)
    assert -1 <= there.low < there.high <= 1
    assert there.low <= there.estimate <= there.high


@settings(deadline=None, max_examples=60)
@given(arms())
def test_the_interval_of_one_look_is_no_wider_than_that_of_all(both):
    once, always = exact_difference(*both), anytime_difference(*both)

    if all(5 <= arm.successes <= arm.n - 5 for arm in both):
        assert once.high - once.low < always.high - always.low
    elif min(both[0].n, both[1].n) >= 30:
        assert once.high - once.low < 1.6 * (always.high - always.low)


def test_a_smaller_alpha_widens_the_interval():
    for ask in INTERVALS:
        widths = []
        for alpha in (0.2, 0.05, 0.001):
            found = ask(Counts(3, 900), Counts(9, 1_100), alpha)
            widths.append(found.high - found.low)

        assert widths == sorted(widths)


def test_the_evidence_is_the_one_computed_by_hand(monkeypatch):
    monkeypatch.setattr(rare_events, "PRIORS", ((0.5, 0.5, 1.0),))

    assert log_evidence(Counts(0, 1), Counts(1, 1), 0.0) == pytest.approx(0.0)
    assert log_evidence(Counts(0, 2), Counts(2, 2), 0.0) == pytest.approx(
        math.log(0.375 * 0.375 / 0.5**4)
    )


def test_the_weights_of_the_mixture_are_one_in_all():
    assert math.fsum(weight for *_, weight in rare_events.PRIORS) == pytest.approx(1)


@pytest.mark.parametrize("rates", [(0.0, 0.0), (0.02, 0.02), (0.1, 0.3), (0.5, 0.5), (0.9, 0.6)])
def test_the_evidence_against_the_truth_is_at_most_one_on_average(rates):
    """By all outcomes of nine units in each arm: an e-value."""
    mean = math.fsum(
        chance * math.exp(log_evidence(control, treatment, rates[1] - rates[0]))
        for control, treatment, chance in outcomes(9, rates)
        if chance
    )

    assert 0 < mean <= 1 + 1e-12


@pytest.mark.parametrize("ask", INTERVALS)
def test_both_hold_the_truth_often_enough_by_all_outcomes(ask):
    """Not by simulation: every outcome of twelve units in each arm, over a grid of true rates."""
    found = {
        (one, other): ask(Counts(one, 12), Counts(other, 12), 0.1)
        for one, other in itertools.product(range(13), repeat=2)
    }
    for rates in itertools.product((0.001, 0.03, 0.1, 0.25, 0.5, 0.8, 0.99), repeat=2):
        truth = rates[1] - rates[0]

        held = math.fsum(
            chance
            for control, treatment, chance in outcomes(12, rates)
            if (interval := found[control.successes, treatment.successes]).low
            <= truth
            <= interval.high
        )

        assert held >= 0.9


@pytest.mark.parametrize(
    ("control", "treatment", "apart"),
    [
        (Counts(0, 5_000), Counts(7, 5_000), 0.0),
        (Counts(3, 900), Counts(40, 1_100), 0.01),
        (Counts(60, 100), Counts(70, 90), -0.05),
        (Counts(20, 1_000_000), Counts(60, 100_000), 0.0001),
    ],
)
def test_the_exact_p_value_is_the_largest_of_a_fine_grid(control, treatment, apart):
    rates = np.unique(np.concatenate([np.linspace(0, 1, 4_001), np.geomspace(1e-7, 1, 40_001)]))
    rates = rates[(rates + apart >= 0) & (rates + apart <= 1)]
    tails = scipy_stats.binom.cdf(*control, rates) * scipy_stats.binom.sf(
        treatment.successes - 1, treatment.n, rates + apart
    )
    product = tails.max()

    found = rare_events._p_once(control, treatment, apart)

    assert found == pytest.approx(product * (1 - math.log(product)), rel=1e-4)


@pytest.mark.parametrize(
    ("rate", "ratios"),
    [
        (0.0, (1.02, 1.37, 1.87, 2.41)),
        (0.001, (None, 1.37, 1.44, 1.57)),
        (0.01, (1.51, 1.54, 1.65, 1.79)),
        (0.1, (1.70, 1.81, 1.94, 2.06)),
    ],
)
def test_it_is_as_much_wider_than_the_asymptotic_sequence_as_the_table_says(rate, ratios):
    for n, expected in zip((500, 5_000, 50_000, 500_000), ratios, strict=True):
        events = round(rate * n)
        arm = of_proportion(events, n)
        error = standard_error(arm, arm, proportion=True)
        asymptotic = anytime_interval(0.0, error, 2 * n, 0.05, 2 * n)

        found = anytime_difference(Counts(events, n), Counts(events, n))

        if expected is not None:
            assert found.high / asymptotic.high == pytest.approx(expected, abs=0.006)
            assert f"{expected:.2f}" in rare_events.__doc__


@pytest.mark.parametrize("ask", HARM)
def test_an_arm_without_units_is_not_estimable(ask):
    found = ask(0, 3, 0, 9, margin=0.1)

    assert (found.estimate, found.low, found.p) == (None, None, None)


@pytest.mark.parametrize("ask", HARM)
@pytest.mark.parametrize(
    ("events", "margin", "alpha", "said"),
    [
        (10, 0.1, 0.05, "count"),
        (-1, 0.1, 0.05, "count"),
        (1, -0.1, 0.05, "margin"),
        (1, math.nan, 0.05, "margin"),
        (1, 1.0, 0.05, "margin"),
        (1, 0.1, 0.0, "alpha"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask, events, margin, alpha, said):
    with pytest.raises(ValueError, match=said):
        ask(events, 3, 9, 9, margin, alpha)


def report(what, hits, runs):
    """Print and return the share of runs that hit."""
    share = hits / runs
    print(f"{what}: {share:.4f} ± {1.96 * math.sqrt(share * (1 - share) / runs):.4f} ({runs} runs)")
    return share


@pytest.mark.long
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("treated", [0.5, 0.9])
@pytest.mark.parametrize(("rate", "margin"), [(0.0005, 0.0), (0.005, 0.0), (0.001, 0.004)])
def test_over_a_hundred_looks_it_keeps_its_level_where_the_asymptotic_sequence_may_not(
    rate, margin, treated
):
    """2,000 tests of 20,000 units, treatment just at the margin: harm is called by chance alone."""
    generator = np.random.default_rng(8)
    runs, looks, per_look = 2_000, 100, 200
    exact = asymptotic = 0
    for _ in range(runs):
        sizes = generator.binomial(per_look, treated, looks)
        new = (
            generator.binomial(per_look - sizes, rate),
            generator.binomial(sizes, rate + margin),
        )
        events = [np.cumsum(arm).tolist() for arm in new]
        n = [np.cumsum(arm).tolist() for arm in (per_look - sizes, sizes)]
        called = [False, False]
        for look in range(looks):
            one, other = (Counts(events[arm][look], n[arm][look]) for arm in (0, 1))
            if min(one.n, other.n) < 2:
                continue
            over = other.successes / other.n - one.successes / one.n - margin
            called[0] |= over > 0 and log_evidence(one, other, margin) >= math.log(20)
            error = standard_error(of_proportion(*one), of_proportion(*other))
            if error:
                found = anytime_interval(over, error, one.n + other.n, 0.05, looks * per_look)
                called[1] |= found.low > 0
        exact += called[0]
        asymptotic += called[1]

    report(f"asymptotic at {rate}, margin {margin}, {treated} treated", asymptotic, runs)
    assert report(f"exact at {rate}, margin {margin}, {treated} treated", exact, runs) <= 0.05


@pytest.mark.long
def test_it_finds_a_rate_of_errors_that_grew_tenfold():
    """1,000 tests of 20,000 units, 1 in 1,000 against 1 in 100, looked at a hundred times."""
    generator = np.random.default_rng(9)
    found = 0
    for _ in range(1_000):
        one, other = (np.cumsum(generator.binomial(100, r, 100)).tolist() for r in (0.001, 0.01))
        found += any(
            log_evidence(Counts(one[look], n), Counts(other[look], n), 0.001) >= math.log(20)
            and other[look] > one[look] + 0.001 * n
            for look, n in enumerate(range(100, 10_001, 100))
        )

    assert report("tenfold errors found", found, 1_000) > 0.99

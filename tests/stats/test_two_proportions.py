import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from statsmodels.stats import proportion as sm

from expplat.stats.two_proportions import METHODS, Counts, difference, restricted_rates

GAME = Counts(8_502, 44_700), Counts(8_279, 45_489)
PAGE = Counts(17_489, 145_274), Counts(17_264, 145_310)


@st.composite
def arms(draw, largest=5_000):
    sizes = [draw(st.integers(1, largest)) for _ in range(2)]
    return tuple(Counts(draw(st.integers(0, n)), n) for n in sizes)


def of_statsmodels(control, treatment, method, alpha):
    return sm.confint_proportions_2indep(
        *treatment, *control, method=method, compare="diff", alpha=alpha
    )


@pytest.mark.parametrize("method", ["z", "newcombe", "score", "agresti_caffo"])
def test_a_published_game_experiment_has_its_known_interval_by_every_method(method):
    found = difference(*GAME, method=method)

    assert found.estimate == pytest.approx(-0.008201, abs=5e-7)
    assert (found.low, found.high) == pytest.approx((-0.013282, -0.003121), abs=1e-6)
    assert found.p == pytest.approx(0.0015543, abs=2e-6)


def test_the_textbook_test_of_two_published_experiments_has_their_known_numbers():
    game, page = difference(*GAME), difference(*PAGE)

    assert (game.low, game.high) == pytest.approx((-0.0132816, -0.0031210), abs=5e-8)
    assert game.p == pytest.approx(0.0015542500)
    assert page.estimate == pytest.approx(-0.0015782, abs=5e-8)
    assert (page.low, page.high) == pytest.approx((-0.003938, 0.000781), abs=5e-7)
    assert page.p == pytest.approx(0.189883, abs=5e-7)


@pytest.mark.parametrize(
    ("method", "ends"), [("newcombe", (-0.3339, -0.0524)), ("score", (-0.3382, -0.0528))]
)
def test_a_published_table_has_its_published_interval(method, ends):
    found = difference(Counts(56, 70), Counts(48, 80), method=method)

    assert (found.low, found.high) == pytest.approx(ends, abs=6e-5)


@settings(deadline=None)
@given(arms(), st.floats(0.001, 0.3))
def test_what_statsmodels_has_is_what_it_says(both, alpha):
    control, treatment = both

    newcombe = difference(control, treatment, "newcombe", alpha)
    agresti = difference(control, treatment, "agresti_caffo", alpha)

    expected = of_statsmodels(control, treatment, "newcomb", alpha)
    assert (newcombe.low, newcombe.high) == pytest.approx(expected, rel=1e-9, abs=1e-15)
    low, high = of_statsmodels(control, treatment, "agresti-caffo", alpha)
    assert agresti.low == pytest.approx(max(-1, low), rel=1e-9, abs=1e-15)
    assert agresti.high == pytest.approx(min(1, high), rel=1e-9, abs=1e-15)


@settings(deadline=None)
@given(arms(largest=200_000), st.floats(0.001, 0.3))
def test_the_textbook_test_is_that_of_statsmodels_or_says_that_it_stepped_aside(both, alpha):
    control, treatment = both
    found = difference(control, treatment, "z", alpha)
    successes, n = (one + other for one, other in zip(*both, strict=True))
    rarer = min(successes, n - successes) / n * min(control.n, treatment.n)
    still = any(arm.successes in (0, arm.n) for arm in both)

    if rarer < 5 or still:
        assert "Fisher" in found.method
        assert found.warnings
        assert found.standard_error is None
    else:
        low, high = of_statsmodels(control, treatment, "wald", alpha)
        assert found.low == pytest.approx(max(-1, low), rel=1e-9, abs=1e-15)
        assert found.high == pytest.approx(min(1, high), rel=1e-9, abs=1e-15)
        _, p = sm.proportions_ztest(
            [treatment.successes, control.successes], [treatment.n, control.n]
        )
        assert found.p == pytest.approx(p, rel=1e-9, abs=1e-300)
        assert found.warnings == ()


@settings(deadline=None)
@given(arms(largest=300))
def test_with_few_events_p_is_that_of_the_exact_test(both):
    control, treatment = both

    found = difference(control, treatment)

    if "Fisher" in found.method:
        table = [[arm.successes, arm.n - arm.successes] for arm in both]
        assert found.p == pytest.approx(scipy_stats.fisher_exact(table)[1])


@settings(deadline=None)
@given(arms())
@example((Counts(0, 5_000), Counts(0, 5_000)))
def test_the_score_p_value_is_that_of_statsmodels(both):
    control, treatment = both
    found = difference(control, treatment, "score")

    with np.errstate(all="ignore"):
        test = sm.test_proportions_2indep(*treatment, *control, method="score", compare="diff")

    expected = 1.0 if math.isnan(test.pvalue) else test.pvalue
    assert found.p == pytest.approx(expected, rel=1e-9, abs=1e-300)


def restricted_by_the_cubic(control, treatment, apart):
    """Miettinen and Nurminen's closed form, by the roots of the cubic."""
    (x0, n0), (x1, n1) = control, treatment
    n, x = n0 + n1, x0 + x1
    l2 = (n1 + 2 * n0) * apart - n - x
    l1 = (n0 * apart - n - 2 * x0) * apart + x
    l0 = x0 * apart * (1 - apart)
    roots = np.roots([n, l2, l1, l0])
    inside = [
        root.real
        for root in roots
        if abs(root.imag) < 1e-6 and 0 < root.real < 1 and 0 < root.real + apart < 1
    ]
    return max(
        inside,
        key=lambda root: (
            scipy_stats.binom.logpmf(x0, n0, root) + scipy_stats.binom.logpmf(x1, n1, root + apart)
        ),
    )


@settings(deadline=None)
@given(st.integers(1, 99), st.integers(1, 149), st.floats(-0.6, 0.6))
def test_the_restricted_rates_are_those_of_the_closed_form(one, other, apart):
    control, treatment = Counts(one, 100), Counts(other, 150)

    rates = restricted_rates(control, treatment, apart)

    assert rates[0] == pytest.approx(restricted_by_the_cubic(control, treatment, apart), abs=1e-6)
    assert rates[1] - rates[0] == pytest.approx(apart, abs=1e-12)


@settings(deadline=None)
@given(arms(), st.sampled_from([0.01, 0.05, 0.2]))
def test_the_score_interval_ends_where_its_test_rejects(both, alpha):
    control, treatment = both
    found = difference(control, treatment, "score", alpha)
    n = control.n + treatment.n

    for end in (found.low, found.high):
        if abs(end) < 1:
            rates = restricted_rates(control, treatment, end)
            parts = zip(rates, (control.n, treatment.n), strict=True)
            spread = math.fsum(rate * (1 - rate) / size for rate, size in parts)
            z = (found.estimate - end) / math.sqrt(spread * n / (n - 1))
            assert abs(z) == pytest.approx(scipy_stats.norm.isf(alpha / 2), rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [10, 5_000, 10_000_000])
def test_no_event_in_either_arm_leaves_an_interval_with_width(method, n):
    for events in (0, n):
        found = difference(Counts(events, n), Counts(events, n), method=method)

        assert found.low < 0 < found.high
        assert found.p == 1
        assert found.high - found.low < 12 / n or n == 10


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("one", "other"), [(0, 500), (1, 100)])
def test_rare_errors_that_became_many_are_seen_by_every_method(method, one, other):
    found = difference(Counts(one, 5_000), Counts(other, 5_000), method=method)

    assert found.low > 0.01
    assert 0 < found.p < 1e-20


@pytest.mark.parametrize("method", ["z", "newcombe", "score"])
def test_a_p_value_far_out_is_small_and_not_none(method):
    found = difference(Counts(30_000, 200_000), Counts(36_900, 200_000), method=method)

    assert 1e-200 < found.p < 1e-150


@settings(deadline=None)
@given(arms(), st.sampled_from(sorted(METHODS)))
def test_swapping_the_variants_turns_it_over_and_the_truth_stays_inside(both, method):
    control, treatment = both

    there, back = difference(control, treatment, method), difference(treatment, control, method)

    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), rel=1e-7, abs=1e-12)
    assert back.p == pytest.approx(there.p)
    assert -1 <= there.low <= there.high <= 1
    assert there.low < there.high


def test_an_arm_without_units_is_not_estimable():
    found = difference(Counts(0, 0), Counts(3, 9))

    assert (found.estimate, found.low, found.p) == (None, None, None)
    assert found.warnings


@pytest.mark.parametrize(
    ("control", "method", "alpha", "said"),
    [
        (Counts(10, 9), "z", 0.05, "count"),
        (Counts(-1, 9), "z", 0.05, "count"),
        (Counts(1, 9), "wald", 0.05, "method"),
        (Counts(1, 9), "z", 1.5, "alpha"),
    ],
)
def test_what_cannot_be_asked_is_refused(control, method, alpha, said):
    with pytest.raises(ValueError, match=said):
        difference(control, Counts(3, 9), method, alpha)


@pytest.mark.long
@pytest.mark.parametrize("shares", [(0.3, 0.3), (0.05, 0.08), (0.004, 0.004)])
def test_the_intervals_hold_the_truth_as_often_as_they_say(shares):
    """5,000 runs of 400 and 600 units; the Monte Carlo error is printed."""
    generator = np.random.default_rng(20)
    runs = 5_000
    drawn = [
        generator.binomial(n, share, runs) for n, share in zip((400, 600), shares, strict=True)
    ]
    truth = shares[1] - shares[0]
    for method in METHODS:
        hits = 0
        for one, other in zip(*drawn, strict=True):
            found = difference(Counts(int(one), 400), Counts(int(other), 600), method)
            hits += found.low <= truth <= found.high
        share = hits / runs
        error = 1.96 * math.sqrt(share * (1 - share) / runs)
        print(f"{method} at {shares}: {share:.4f} ± {error:.4f} ({runs} runs)")
        assert share >= 0.94

"""scipy: t-tests, exact tests, e-values and score intervals from its likelihoods."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats
from scipy.optimize import minimize_scalar

from expplat.stats.distributions import mcnemar_exact_p
from expplat.stats.paired import geometric_mean_ratio, mean_difference
from expplat.stats.srm import chi_square_p, sample_ratio
from expplat.stats.two_proportions import Counts
from expplat.stats.two_proportions import difference as difference_of_proportions
from expplat.stats.two_sample import difference
from tests.peers.asking import agrees
from tests.peers.comparing import ASKED, COUNTS, LARGE_SPLITS, SAMPLES, both, mean_of

ALPHAS = ASKED["alphas"]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_difference_of_means_is_welchs(sample: str, alpha: float) -> None:
    values = (SAMPLES[sample][variant]["value"] for variant in ("treatment", "control"))
    test = scipy_stats.ttest_ind(*values, equal_var=False)
    ends = test.confidence_interval(1 - alpha)

    found = difference(*both(sample, mean_of), alpha=alpha)

    assert (found.low, found.high, found.p) == (
        agrees(ends.low),
        agrees(ends.high),
        agrees(test.pvalue),
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_paired_difference_of_means_is_the_paired_t(sample: str, alpha: float) -> None:
    before, after = (SAMPLES[sample]["treatment"][column] for column in ("pre", "value"))
    test = scipy_stats.ttest_rel(after, before)
    ends = test.confidence_interval(1 - alpha)

    found = mean_difference(before, after, alpha=alpha)

    assert (found.low, found.high, found.p) == (
        agrees(ends.low),
        agrees(ends.high),
        agrees(test.pvalue),
    )


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", ["steady", "skewed", "small arm"])
def test_a_geometric_mean_ratio_is_the_paired_t_of_logarithms(sample: str, alpha: float) -> None:
    before, after = (SAMPLES[sample]["control"][column] for column in ("pre", "value"))
    test = scipy_stats.ttest_rel(np.log(after), np.log(before))
    ends = test.confidence_interval(1 - alpha)

    found = geometric_mean_ratio(before, after, alpha=alpha)

    assert (found.low, found.high, found.p) == (
        agrees(np.exp(ends.low)),
        agrees(np.exp(ends.high)),
        agrees(test.pvalue),
    )


@pytest.mark.parametrize("split", LARGE_SPLITS)
def test_the_fixed_test_of_a_split_is_pearsons(split: str) -> None:
    counts, shares = ASKED["splits"][split]["counts"], ASKED["splits"][split]["shares"]
    test = scipy_stats.chisquare(counts, np.array(shares) * sum(counts))

    assert chi_square_p(counts, shares) == agrees(test.pvalue)


@pytest.mark.parametrize("k", [100.0, 1_000.0, 10_000.0])
@pytest.mark.parametrize("split", ASKED["splits"])
def test_the_e_value_of_a_split_is_a_ratio_of_likelihoods(split: str, k: float) -> None:
    counts, shares = ASKED["splits"][split]["counts"], np.array(ASKED["splits"][split]["shares"])
    mixed = scipy_stats.dirichlet_multinomial(k * shares, sum(counts)).logpmf(counts)
    planned = scipy_stats.multinomial(sum(counts), shares).logpmf(counts)

    found = sample_ratio(counts, shares.tolist(), k)

    assert np.log(found.e_value) == pytest.approx(mixed - planned, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize(("one", "other"), [(6, 16), (3, 3), (0, 5), (120, 90)])
def test_mcnemars_exact_p_is_the_binomial_one(one: int, other: int) -> None:
    expected = scipy_stats.binomtest(one, one + other).pvalue

    assert mcnemar_exact_p(one, other) == agrees(expected)


@pytest.mark.parametrize("counts", ["common", "many", "equal"])
def test_the_p_value_of_two_proportions_is_that_of_their_table(counts: str) -> None:
    table = [[arm.successes, arm.n - arm.successes] for arm in COUNTS[counts]]
    expected = scipy_stats.chi2_contingency(table, correction=False).pvalue

    found = difference_of_proportions(*COUNTS[counts], method="z")

    assert found.p == agrees(expected)


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("counts", COUNTS)
def test_a_score_interval_ends_where_the_likelihood_says(counts: str, alpha: float) -> None:
    control, treatment = COUNTS[counts]

    found = difference_of_proportions(control, treatment, method="score", alpha=alpha)

    limit = scipy_stats.norm.isf(alpha / 2)
    assert found.low is not None
    assert found.high is not None
    assert score_z(control, treatment, found.low) == pytest.approx(limit, rel=1e-7)
    assert score_z(control, treatment, found.high) == pytest.approx(-limit, rel=1e-7)


def score_z(control: Counts, treatment: Counts, apart: float) -> float:
    """Return Miettinen and Nurminen's z, at the likeliest rates that lie so far apart.

    A search for a maximum finds its place to the square root of the rounding: hence 1e-7.
    """

    def unlikely(rate: float) -> float:
        arms = ((control, rate), (treatment, rate + apart))
        return -sum(scipy_stats.binom.logpmf(arm.successes, arm.n, share) for arm, share in arms)

    bounds = (max(0.0, -apart) + 1e-12, min(1.0, 1 - apart) - 1e-12)
    rate = minimize_scalar(unlikely, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    n = control.n + treatment.n
    spread = sum(
        share * (1 - share) / arm.n for arm, share in ((control, rate), (treatment, rate + apart))
    )
    estimate = treatment.successes / treatment.n - control.successes / control.n
    return float((estimate - apart) / np.sqrt(spread * n / (n - 1)))

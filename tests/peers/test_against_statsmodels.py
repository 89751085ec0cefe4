"""statsmodels: Welch's interval, least squares, proportions, adjusted p-values, power.

Not held against: its score interval of two proportions. In 0.15.0 the restricted rates behind it do
not maximise the likelihood (a coefficient of the cubic has control's successes where Miettinen and
Nurminen have control's units; reported as statsmodels/statsmodels#10269). Measured on the counts
asked here: ends up to 1.2e-4 from ours, and none at all for one pair. At a difference of 0, where
the p-value is taken, the cubic is not used, and we agree. `test_against_scipy` holds our interval
against a maximum found by search.
"""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.regression.linear_model import OLS
from statsmodels.stats import proportion
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.weightstats import CompareMeans

from expplat.stats.adjustment import cuped, lin
from expplat.stats.distributions import mcnemar_exact_p
from expplat.stats.multiplicity import benjamini_hochberg, bonferroni, holm
from expplat.stats.power import units_per_arm
from expplat.stats.two_proportions import difference as difference_of_proportions
from expplat.stats.two_sample import difference
from tests.peers.asking import agrees
from tests.peers.comparing import ASKED, COUNTS, SAMPLES, both, mean_of, with_covariate

ALPHAS = ASKED["alphas"]


def columns(sample: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return values, covariate and treatment of all units, control's first."""
    arms = [SAMPLES[sample][variant] for variant in ("control", "treatment")]
    value, before = (np.concatenate([arm[column] for arm in arms]) for column in ("value", "pre"))
    return value, before, np.repeat([0.0, 1.0], [len(arm["value"]) for arm in arms])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_difference_of_means_is_the_same(sample: str, alpha: float) -> None:
    values = (SAMPLES[sample][variant]["value"] for variant in ("treatment", "control"))
    compared = CompareMeans.from_data(*values)
    low, high = compared.tconfint_diff(alpha, usevar="unequal")

    found = difference(*both(sample, mean_of), alpha=alpha)

    assert (found.low, found.high) == (agrees(low), agrees(high))
    assert found.p == agrees(compared.ttest_ind(usevar="unequal")[1])


@pytest.mark.parametrize("sample", SAMPLES)
def test_an_adjusted_difference_is_that_of_residuals_of_all_units_together(sample: str) -> None:
    value, before, treated = columns(sample)
    left = OLS(value, np.column_stack([np.ones_like(before), before])).fit().resid
    compared = CompareMeans.from_data(left[treated == 1], left[treated == 0])

    found = difference(*cuped(both(sample, with_covariate)))

    assert (found.low, found.high) == tuple(
        agrees(end) for end in compared.tconfint_diff(usevar="unequal")
    )


@pytest.mark.parametrize("sample", SAMPLES)
def test_lins_estimate_is_the_treatments_coefficient(sample: str) -> None:
    value, before, treated = columns(sample)
    centred = before - before.mean()
    design = np.column_stack([np.ones_like(centred), treated, centred, treated * centred])

    control, treatment = lin(both(sample, with_covariate))

    assert treatment.mean - control.mean == agrees(OLS(value, design).fit().params[1])


@pytest.mark.parametrize("counts", COUNTS)
def test_the_p_value_of_the_score_is_the_same(counts: str) -> None:
    control, treatment = COUNTS[counts]
    expected = proportion.test_proportions_2indep(
        *treatment, *control, method="score", compare="diff", correction=True
    ).pvalue

    found = difference_of_proportions(control, treatment, method="score")

    assert found.p == agrees(expected)


@pytest.mark.parametrize("counts", ["common", "many", "equal"])
def test_the_p_value_of_two_proportions_is_the_pooled_z(counts: str) -> None:
    successes, units = zip(*COUNTS[counts], strict=True)

    found = difference_of_proportions(*COUNTS[counts], method="z")

    assert found.p == agrees(proportion.proportions_ztest(successes, units)[1])


@pytest.mark.parametrize("p_values", ASKED["p_values"])
def test_adjusted_p_values_are_the_same(p_values: str) -> None:
    asked = ASKED["p_values"][p_values]
    ours = {"holm": holm, "bonferroni": bonferroni, "fdr_bh": benjamini_hochberg}

    found = {method: adjust(asked) for method, adjust in ours.items()}

    assert found == {
        method: tuple(agrees(p) for p in multipletests(asked, method=method)[1]) for method in ours
    }


@pytest.mark.parametrize(("one", "other"), [(6, 16), (3, 3), (0, 5), (120, 90)])
def test_mcnemars_exact_p_is_the_same(one: int, other: int) -> None:
    expected = mcnemar([[10, one], [other, 10]], exact=True).pvalue

    assert mcnemar_exact_p(one, other) == agrees(expected)


@pytest.mark.parametrize("power", [0.8, 0.95])
@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_units_that_a_test_needs_are_the_same(alpha: float, power: float) -> None:
    """One side of it at half of alpha, for the far tail is left out of ours; its search for the
    root stops at 1e-8 or better."""
    expected = NormalIndPower().solve_power(
        effect_size=0.1, alpha=alpha / 2, power=power, alternative="larger"
    )

    found = units_per_arm(0.2, (4.0, 4.0), alpha=alpha, power=power)

    assert found == pytest.approx(expected, rel=1e-8)

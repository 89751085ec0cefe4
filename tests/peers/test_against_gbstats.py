"""gbstats 0.8.0, the newest on the package index: what we compute by its methods, it computes too.

Not held against: its one-sided test for a smaller treatment, whose upper bound lies below its own
estimate in this release; anything relative, which it bounds by the delta method on the ratio of
differences, where we take the log ratio; and a weight of 0 in its test of the split, for which it
still counts a degree of freedom.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from expplat.domain.moments import Moments
from expplat.stats.adjustment import cuped
from expplat.stats.anytime import anytime_interval
from expplat.stats.moments import of_proportion
from expplat.stats.order_statistics import quantile_moments
from expplat.stats.srm import chi_square_p
from expplat.stats.two_sample import difference, standard_error
from tests.peers.asking import agrees, as_recorded, ask, long_and_with_peers, recorded
from tests.peers.comparing import (
    ASKED,
    COUNTS,
    LARGE_SPLITS,
    SAMPLES,
    assert_same,
    both,
    mean_of,
    ratio_of,
    with_covariate,
)

ANSWERS = recorded("gbstats")
ALPHAS = [str(alpha) for alpha in ASKED["alphas"]]


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_difference_of_means_is_the_same(sample: str, alpha: str) -> None:
    found = difference(*both(sample, mean_of), alpha=float(alpha))

    assert_same(found, ANSWERS["mean"][sample][alpha])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_a_difference_of_ratios_is_the_same(sample: str, alpha: str) -> None:
    found = difference(*both(sample, ratio_of), alpha=float(alpha))

    assert_same(found, ANSWERS["ratio"][sample][alpha])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_an_adjusted_difference_is_the_same(sample: str, alpha: str) -> None:
    found = difference(*cuped(both(sample, with_covariate)), alpha=float(alpha))

    assert_same(found, ANSWERS["cuped"][sample][alpha])


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("counts", COUNTS)
def test_a_difference_of_proportions_is_the_same_with_its_divisor(counts: str, alpha: str) -> None:
    """It divides a proportion's squares by n, we by n − 1 as for any other mean; t for both."""
    arms = [of_proportion(*arm) for arm in COUNTS[counts]]
    control, treatment = (replace(arm, m2=arm.m2 * (arm.n - 1) / arm.n) for arm in arms)

    found = difference(control, treatment, alpha=float(alpha))

    assert_same(found, ANSWERS["proportion"][counts][alpha])


@pytest.mark.parametrize("tuning", ASKED["tunings"])
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("sample", SAMPLES)
def test_an_anytime_interval_is_the_same(sample: str, alpha: str, tuning: float) -> None:
    control, treatment = both(sample, mean_of)

    found = anytime_interval(
        treatment.mean - control.mean,
        standard_error(control, treatment),
        control.n + treatment.n,
        alpha=float(alpha),
        n_tuned=tuning,
    )

    assert_same(found, ANSWERS["sequential"][sample][f"{alpha} {tuning}"])


@pytest.mark.parametrize("q", ASKED["quantiles"])
@pytest.mark.parametrize("latencies", ASKED["latencies"])
def test_a_difference_of_quantiles_is_the_same_with_its_divisor(latencies: str, q: float) -> None:
    """Its variance has a factor of (n − 1) / n more, and its t counts the degrees of a mean."""
    values = ASKED["latencies"][latencies]

    control, treatment = (
        scaled(quantile_moments(values[variant], q)) for variant in ("control", "treatment")
    )

    assert_same(difference(control, treatment), ANSWERS["quantile"][latencies][str(q)])


def scaled(arm: Moments) -> Moments:
    return replace(arm, m2=arm.m2 * (arm.n - 1) / arm.n)


@pytest.mark.parametrize("split", LARGE_SPLITS)
def test_the_fixed_test_of_a_split_is_the_same(split: str) -> None:
    asked = ASKED["splits"][split]

    assert chi_square_p(asked["counts"], asked["shares"]) == agrees(ANSWERS["split"][split])


class TestAskedAnew:
    pytestmark = long_and_with_peers

    def test_gbstats_says_what_was_recorded(self) -> None:
        assert json.loads(ask("gbstats")) == as_recorded("gbstats")

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.stats.paired import quantile_ratio
from expplat.stats.resampling import resampled_quantiles

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-6, 0.001, 0.3, 7.0, 1e3, 1e6, 1e9])


def latencies(seed, n=100):
    generator = np.random.default_rng(seed)
    control = generator.lognormal(3, 0.8, n)
    return control, control * generator.lognormal(0.1, 0.3, n)


def test_the_ends_are_quantiles_of_the_resampled_ratios():
    control, treatment = latencies(1)
    ones, others = resampled_quantiles((control, treatment), np.arange(100), 0.95, 7, 4_999)

    found = quantile_ratio(control, treatment, 0.95, alpha=0.1, seed=7)

    assert found.estimate == np.quantile(treatment, 0.95) / np.quantile(control, 0.95)
    assert (found.low, found.high) == tuple(np.quantile(others / ones, (0.05, 0.95)))
    above = np.count_nonzero(others <= ones)
    assert found.p == pytest.approx(min(1.0, 2 * (min(above, 4_999 - above) + 1) / 5_000))
    assert found.method == "paired bootstrap of the ratio of p95"


def test_twice_the_same_latencies_are_a_ratio_of_two_in_every_resample():
    control, _ = latencies(2)

    found = quantile_ratio(control, 2 * control, 0.95)

    assert (found.estimate, found.low, found.high) == (2, 2, 2)
    assert found.p == pytest.approx(2 / 5_000)


def test_a_variant_against_itself_has_a_ratio_of_one_and_a_p_value_of_one():
    control, _ = latencies(3)

    found = quantile_ratio(control, control, 0.95)

    assert (found.low, found.high, found.p) == (1, 1, 1)


@settings(max_examples=20, deadline=None)
@given(SEEDS, SCALES)
def test_the_unit_changes_no_ratio_of_quantiles(seed, scale):
    control, treatment = latencies(seed, 40)
    plain = quantile_ratio(control, treatment, 0.9)

    scaled = quantile_ratio(control * scale, treatment * scale, 0.9)

    assert scaled.p == pytest.approx(plain.p, abs=1e-7)
    assert (scaled.low, scaled.high) == pytest.approx((plain.low, plain.high), rel=1e-9)


def test_swapping_the_variants_gives_the_reciprocal():
    control, treatment = latencies(4)
    there = quantile_ratio(control, treatment, 0.95, seed=3)

    back = quantile_ratio(treatment, control, 0.95, seed=3)

    assert back.estimate == pytest.approx(1 / there.estimate)
    assert back.p == there.p
    assert back.high == pytest.approx(1 / there.low, rel=0.01)


def test_clusters_are_drawn_whole():
    control, treatment = (np.repeat(column, 4) for column in latencies(5, 60))

    together = quantile_ratio(control, treatment, 0.5, np.repeat(range(60), 4))
    as_if_apart = quantile_ratio(control, treatment, 0.5)

    assert as_if_apart.high - as_if_apart.low < 0.75 * (together.high - together.low)


def test_few_pairs_and_few_clusters_are_warned_of():
    control, treatment = latencies(6, 60)

    found = quantile_ratio(control, treatment, 0.95, [i // 3 for i in range(60)])

    assert found.warnings == (
        "60 pairs are few for p95: it needs 76.",
        "Only 20 clusters: the interval is rough below 30.",
    )


@pytest.mark.parametrize(
    ("control", "treatment", "reason"),
    [
        ([1.0], [2.0], "fewer than two"),
        ([1.0, math.nan], [2.0, 3.0], "not finite"),
        ([1.0, 2.0], [2.0, math.inf], "not finite"),
        ([1.0, -2.0], [2.0, 3.0], "0 or above"),
        ([0.0, 0.0, 0.0, 5.0], [2.0, 3.0, 4.0, 5.0], "is 0 in a resample"),
    ],
)
def test_a_ratio_that_cannot_be_formed_has_no_numbers_and_a_reason(control, treatment, reason):
    found = quantile_ratio(control, treatment, 0.95)

    assert (found.estimate, found.low, found.high, found.p) == (None, None, None, None)
    assert reason in found.warnings[0]


@pytest.mark.parametrize("q", [0, 1, 95])
def test_a_quantile_out_of_range_is_refused(q):
    with pytest.raises(ValueError, match="quantile"):
        quantile_ratio([1.0, 2.0], [1.0, 3.0], q)

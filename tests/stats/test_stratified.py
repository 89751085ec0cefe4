import math

import numpy as np
import pytest
from statsmodels.stats.weightstats import CompareMeans, DescrStatsW

from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.stats.moments import moments_of, of_proportion
from expplat.stats.stratified import post_stratified
from expplat.stats.two_sample import difference


def arm(n, mean, m2=10.0):
    return Moments(n=n, mean=mean, m2=m2)


def test_strata_weigh_by_their_share_of_both_arms():
    found = post_stratified(
        {"new": arm(4, 0.0), "old": arm(1 + 1, 5.0)}, {"new": arm(2 + 4, 1.0), "old": arm(2, 8.0)}
    )

    assert found.estimate == pytest.approx((10 * 1 + 4 * 3) / 14)
    assert found.n == 14


def test_the_error_is_the_one_computed_by_hand():
    control = {"a": arm(5, 1.0, 20.0), "b": arm(9, 2.0, 72.0)}
    treatment = {"a": arm(5, 2.0, 20.0), "b": arm(9, 5.0, 72.0)}

    found = post_stratified(control, treatment, {"a": 1, "b": 3})

    parts = [1 / 16, 1 / 16, 9 / 16, 9 / 16]
    degrees = sum(parts) ** 2 / (2 * (1 / 16) ** 2 / 4 + 2 * (9 / 16) ** 2 / 8)
    assert found.estimate == pytest.approx(0.25 + 2.25)
    assert found.standard_error == pytest.approx(math.sqrt(20 / 16))
    assert found.degrees == pytest.approx(degrees)
    assert found.high - found.estimate == pytest.approx(found.estimate - found.low)


def test_one_stratum_is_welchs_test():
    generator = np.random.default_rng(1)
    one, other = generator.normal(0, 1, 30), generator.normal(0.5, 2, 50)
    welch = CompareMeans(DescrStatsW(other), DescrStatsW(one))

    found = post_stratified({"all": moments_of(one)}, {"all": moments_of(other)})

    assert found.p == pytest.approx(welch.ttest_ind(usevar="unequal")[1], rel=1e-9)
    assert (found.low, found.high) == pytest.approx(welch.tconfint_diff(usevar="unequal"), rel=1e-9)


def test_strata_take_out_what_lies_between_them():
    generator = np.random.default_rng(2)
    kinds = {"small": 0.0, "large": 100.0}
    control = {kind: moments_of(generator.normal(mean, 1, 500)) for kind, mean in kinds.items()}
    treatment = {
        "small": moments_of(generator.normal(0.2, 1, 550)),
        "large": moments_of(generator.normal(100.2, 1, 450)),
    }

    found = post_stratified(control, treatment)

    assert found.standard_error < 0.05
    assert found.low < 0.2 < found.high


def test_strata_with_too_few_units_count_as_one():
    control = {"de": of_proportion(40, 100), "fr": of_proportion(1, 1), "it": of_proportion(0, 3)}
    treatment = {"de": of_proportion(50, 100), "fr": of_proportion(0, 3), "it": of_proportion(1, 1)}

    found = post_stratified(control, treatment)

    rest = (of_proportion(1, 4), of_proportion(1, 4))
    expected = post_stratified(
        {"de": control["de"], "rest": rest[0]}, {"de": treatment["de"], "rest": rest[1]}
    )
    assert (found.estimate, found.low) == (expected.estimate, expected.low)
    assert "told apart: 2" in found.warnings[0]
    assert expected.warnings == ()


def test_a_stratum_that_one_arm_lacks_joins_the_smallest_other():
    control = {"de": arm(50, 1.0), "fr": arm(20, 2.0), "it": arm(9, 3.0)}
    treatment = {"de": arm(50, 2.0), "fr": arm(20, 4.0)}

    found = post_stratified(control, treatment)

    joined = post_stratified(
        {"de": arm(50, 1.0), "rest": Moments(n=29, mean=67 / 29, m2=20 + 20 * 9 / 29)},
        {"de": arm(50, 2.0), "rest": arm(20, 4.0)},
    )
    assert found.estimate == pytest.approx(joined.estimate)
    assert found.standard_error == pytest.approx(joined.standard_error)
    assert found.n == 149


@pytest.mark.parametrize(
    ("control", "treatment"),
    [
        ({}, {}),
        ({"a": arm(9, 1.0)}, {}),
        ({"a": arm(9, 1.0)}, {"b": arm(1, 1.0)}),
        ({"a": arm(9, 1.0)}, {"a": Moments(n=9, mean=math.nan, m2=math.nan)}),
        ({"a": NO_MOMENTS}, {"a": NO_MOMENTS}),
    ],
)
def test_arms_without_units_or_numbers_are_not_estimable(control, treatment):
    found = post_stratified(control, treatment)

    assert (found.estimate, found.low, found.p, found.standard_error) == (None, None, None, None)
    assert found.warnings


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_the_unit_of_the_values_changes_no_p_value(scale):
    one, other = (arm(40, 1.0, 30.0), arm(60, 1.2, 80.0))
    plain = post_stratified({"a": one, "b": other}, {"a": other, "b": one})
    one, other = (arm(40, scale, 30 * scale**2), arm(60, 1.2 * scale, 80 * scale**2))

    found = post_stratified({"a": one, "b": other}, {"a": other, "b": one})

    assert found.p == pytest.approx(plain.p, abs=1e-9)
    assert found.high == pytest.approx(plain.high * scale)


def test_strata_that_do_not_vary_have_a_difference_without_width():
    found = post_stratified({"a": arm(4, 1.0, 0.0)}, {"a": arm(4, 2.0, 0.0)})

    assert (found.low, found.high, found.p, found.standard_error) == (1, 1, None, 0)


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"a": 1}, "no weight"), ({"a": 1, "b": -1}, "at least 0"), ({"a": 0, "b": 0}, "all weights")],
)
def test_weights_that_cannot_be_are_refused(weights, said):
    with pytest.raises(ValueError, match=said):
        post_stratified(
            {"a": arm(9, 1.0), "b": arm(9, 1.0)}, {"a": arm(9, 1.0), "b": arm(9, 1.0)}, weights
        )


def test_an_alpha_that_is_none_is_refused():
    with pytest.raises(ValueError, match="alpha"):
        post_stratified({"a": arm(9, 1.0)}, {"a": arm(9, 1.0)}, alpha=1.5)


@pytest.mark.long
def test_post_stratification_keeps_the_level_and_is_narrower_than_the_plain_difference():
    generator, runs, held, plain_width, width = np.random.default_rng(3), 4_000, 0, 0.0, 0.0
    for _ in range(runs):
        kind = generator.choice(4, 120, p=(0.6, 0.3, 0.08, 0.02))
        values, treated = kind + generator.exponential(size=120), generator.random(120) < 0.5
        arms = [
            {str(k): moments_of(values[mask & (kind == k)]) for k in range(4)}
            for mask in (~treated, treated)
        ]
        found = post_stratified(*arms)
        plain = difference(moments_of(values[~treated]), moments_of(values[treated]))
        held += found.low <= 0 <= found.high
        width, plain_width = width + found.high - found.low, plain_width + plain.high - plain.low

    share = held / runs
    error = 1.96 * math.sqrt(share * (1 - share) / runs)
    print(f"coverage, post-stratified, 120 units: {share:.4f} ± {error:.4f} ({runs} runs)")
    assert 0.935 <= share <= 0.97
    assert width < 0.9 * plain_width

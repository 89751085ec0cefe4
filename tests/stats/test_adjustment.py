import functools
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency

from expplat.domain.moments import NO_MOMENTS, JointMoments, Moments
from expplat.stats.adjustment import balance, cuped, lin, variance_kept, with_missing_indicator
from expplat.stats.joint_moments import joint_moments_of, marginal, merge_joint
from expplat.stats.moments import moments_of, of_proportion, variance
from expplat.stats.two_sample import difference

SEEDS = st.integers(0, 10_000)
SCALES = st.sampled_from([1e-9, 1e-3, 0.7, 1e3, 1e9])
BOTH = pytest.mark.parametrize("adjusted", [cuped, lin])
VOTERS = (
    Path(__file__).parents[2].parent / "shared" / "data" / "abtests" / "voter_turnout_4arm.parquet"
)
VOTER_ARMS = ("Control", "Civic Duty", "Hawthorne", "Neighbors")


def drawn(seed, n=(60, 45), columns=2):
    """Outcome and covariates of both arms, each arm of shape (1 + columns, n)."""
    generator = np.random.default_rng(seed)
    slopes = generator.normal(1, 0.5, columns)
    arms = []
    for place, count in enumerate(n):
        known = generator.normal(0, 10, (columns, count))
        outcome = (1 + 0.3 * place) * slopes @ known + generator.normal(place, 8, count)
        # On a grid, so that adding 1e9 rounds nothing.
        arms.append(np.round(np.vstack([outcome, known]) * 1024) / 1024)
    return arms


def joints(arms, scales=1.0, offsets=0.0):
    return [joint_moments_of(*(arm * scales + offsets)) for arm in arms]


def design(arms):
    """Outcome, and intercept, treatment, centred covariates and their products with it."""
    together = np.hstack(arms)
    treated = np.repeat([0.0, 1.0], [arm.shape[1] for arm in arms])
    known = together[1:] - together[1:].mean(axis=1, keepdims=True)
    return together[0], np.column_stack(
        [np.ones(len(treated)), treated, known.T, (known * treated).T]
    )


@given(SEEDS)
def test_the_slope_of_cuped_is_least_squares_over_all_units(seed):
    arms = drawn(seed)
    together = np.hstack(arms)
    slopes = sm.OLS(together[0], sm.add_constant(together[1:].T)).fit().params[1:]
    overall = together[1:].mean(axis=1)

    found = cuped(joints(arms))

    for arm, moments in zip(arms, found, strict=True):
        expected = moments_of(arm[0] - slopes @ (arm[1:] - overall[:, np.newaxis]))
        assert moments.n == expected.n
        assert moments.mean == pytest.approx(expected.mean, rel=1e-9, abs=1e-9)
        assert moments.m2 == pytest.approx(expected.m2, rel=1e-9)


@given(SEEDS)
def test_the_effect_of_lin_is_the_coefficient_of_the_fit_with_products(seed):
    arms = drawn(seed)
    fit = sm.OLS(*design(arms)).fit()

    found = difference(*lin(joints(arms)))

    assert found.estimate == pytest.approx(fit.params[1], rel=1e-9, abs=1e-9)


@given(SEEDS)
def test_the_error_of_lin_is_that_of_each_arms_own_regression(seed):
    arms = drawn(seed)
    overall = np.hstack(arms)[1:].mean(axis=1)
    own = [sm.OLS(arm[0], sm.add_constant(arm[1:].T - overall)).fit() for arm in arms]

    found = lin(joints(arms))

    for arm, fit in zip(found, own, strict=True):
        assert arm.mean == pytest.approx(fit.params[0], rel=1e-9, abs=1e-9)
        assert math.sqrt(variance(arm) / arm.n) == pytest.approx(fit.bse[0], rel=1e-9)


@pytest.mark.parametrize(
    ("n", "mean_off", "most_off"), [(200, 0.005, 0.05), (5_000, 0.0005, 0.005)]
)
def test_the_error_of_lin_is_near_the_robust_one(n, mean_off, most_off):
    off = []
    for seed in range(40):
        arms = drawn(seed, (n, n))
        robust = sm.OLS(*design(arms)).fit().HC2_se[1]
        off.append(difference(*lin(joints(arms))).standard_error / robust - 1)

    assert abs(np.mean(off)) < mean_off
    assert np.max(np.abs(off)) < most_off


@BOTH
@given(seed=SEEDS, scale=SCALES, known=SCALES)
def test_the_units_of_outcome_and_covariates_change_no_p_value(adjusted, seed, scale, known):
    arms = drawn(seed)
    plain = difference(*adjusted(joints(arms)))

    found = difference(*adjusted(joints(arms, np.array([[scale], [known], [1 / known]]))))

    assert found.p == pytest.approx(plain.p, abs=1e-9)
    assert (found.low, found.high) == pytest.approx((plain.low * scale, plain.high * scale))


@BOTH
@given(seed=SEEDS)
def test_adding_a_billion_to_every_column_changes_no_p_value(adjusted, seed):
    arms = [64 * arm for arm in drawn(seed)]
    plain = difference(*adjusted(joints(arms)))

    found = difference(*adjusted(joints(arms, offsets=1e9)))

    # A mean near 1e9 is itself a multiple of 1.2e-7; the standard error here is about 100.
    assert found.p == pytest.approx(plain.p, abs=1e-8)
    assert found.standard_error == pytest.approx(plain.standard_error, rel=1e-9)


@BOTH
@given(seed=SEEDS)
def test_sixteen_parts_say_what_one_part_says(adjusted, seed):
    arms = drawn(seed, (600, 500))
    nothing = JointMoments(n=0, means=(), products=())
    merged = [
        functools.reduce(merge_joint, joints(np.array_split(arm, 16, axis=1)), nothing)
        for arm in arms
    ]

    found, whole = difference(*adjusted(merged)), difference(*adjusted(joints(arms)))

    assert found.estimate == pytest.approx(whole.estimate, rel=1e-10, abs=1e-10)
    assert found.standard_error == pytest.approx(whole.standard_error, rel=1e-10)


@BOTH
@pytest.mark.parametrize(
    "idle",
    [
        lambda known, _: np.full_like(known, 5.0),
        lambda known, _: np.full_like(known, 1e9 + 0.1),
        lambda known, _: np.zeros_like(known),
        lambda known, _: known * -3e6,
        lambda known, _: known + 1e9,
        np.full_like,
    ],
    ids=["constant", "constant, far", "zero", "scaled", "far", "the arm itself"],
)
def test_a_covariate_that_says_nothing_new_changes_nothing(adjusted, idle):
    arms = drawn(1, columns=1)
    more = [np.vstack([arm, idle(arm[1], place)]) for place, arm in enumerate(arms)]

    found = adjusted(joints(more))

    for arm, expected in zip(found, adjusted(joints(arms)), strict=True):
        assert arm.mean == pytest.approx(expected.mean, rel=1e-7)
        assert arm.m2 == pytest.approx(expected.m2, rel=1e-7)


def test_an_arm_whose_covariate_is_known_twice_has_no_more_slopes_for_it():
    arms = drawn(9, (4, 60), columns=1)
    twice = [np.vstack([arm, arm[1]]) for arm in arms]

    assert difference(*lin(joints(twice))).p == pytest.approx(difference(*lin(joints(arms))).p)


@BOTH
def test_without_covariates_the_outcome_stays_as_it_is(adjusted):
    arms = joints(drawn(2, columns=0))

    assert adjusted(arms) == tuple(marginal(arm) for arm in arms)


@BOTH
def test_an_outcome_that_the_covariate_explains_whole_has_no_variance(adjusted):
    known = [arm[1] for arm in drawn(3)]
    arms = [joint_moments_of(0.1 * one + 5, one) for one in known]

    found = difference(*adjusted(arms))

    assert found.standard_error == 0
    assert found.estimate == pytest.approx(0, abs=1e-12)


@BOTH
def test_an_arm_without_units_stays_without(adjusted):
    arms = joints(drawn(4))
    nothing = JointMoments(n=0, means=(), products=())

    found = adjusted([*arms, nothing])

    assert found == (*adjusted(arms), NO_MOMENTS)
    assert adjusted([nothing]) == (NO_MOMENTS,)
    assert adjusted([]) == ()


@BOTH
@pytest.mark.parametrize("row", [0, 1])
def test_a_value_that_is_not_finite_makes_every_arm_not_estimable(adjusted, row):
    arms = drawn(5)
    arms[0][row, 7] = math.nan

    found = adjusted(joints(arms))

    assert difference(*found).estimate is None
    assert [arm.n for arm in found] == [60, 45]


@BOTH
def test_arms_with_other_columns_are_refused(adjusted):
    with pytest.raises(ValueError, match="columns"):
        adjusted([joint_moments_of([1.0, 2.0], [1.0, 3.0]), joint_moments_of([1.0, 2.0])])


def test_an_arm_with_no_more_units_than_slopes_has_no_error():
    arms = drawn(6, (3, 60))

    assert difference(*lin(joints(arms))).low is None


def test_variance_kept_is_the_share_of_the_squared_errors():
    plain = difference(moments_of([1, 2, 3]), moments_of([2, 3, 4]))

    assert variance_kept(plain, replace(plain, standard_error=plain.standard_error / 2)) == (
        pytest.approx(0.25)
    )
    assert variance_kept(replace(plain, standard_error=0.0), plain) is None
    assert variance_kept(plain, replace(plain, standard_error=None)) is None


def test_the_balance_of_yes_and_no_is_pearsons_test():
    counts = ((3, 10), (7, 10), (40, 90))
    expected = chi2_contingency([(yes, n - yes) for yes, n in counts], correction=False)

    assert balance([of_proportion(*count) for count in counts]) == pytest.approx(expected.pvalue)
    assert balance([of_proportion(3, 10), of_proportion(7, 10)]) == pytest.approx(0.0736, abs=5e-5)


def test_the_balance_of_nothing_but_two_means_is_far_from_even():
    assert balance([Moments(n=50, mean=0.0, m2=0.0), Moments(n=50, mean=1.0, m2=0.0)]) < 1e-20


@pytest.mark.parametrize(("scale", "offset"), [(1e-9, 0), (1e9, 0), (1, 1e9)])
def test_the_balance_does_not_depend_on_the_unit(scale, offset):
    arms = [arm[0] for arm in drawn(7)]

    found = balance([moments_of(arm * scale + offset) for arm in arms])

    assert found == pytest.approx(balance([moments_of(arm) for arm in arms]), abs=1e-7)


def test_balance_without_two_arms_or_numbers_is_unknown():
    some = moments_of([1.0, 2.0])

    assert balance([]) is None
    assert balance([some, NO_MOMENTS]) is None
    assert balance([some, moments_of([1.0, math.nan])]) is None


def test_values_that_are_all_the_same_are_balanced():
    assert balance([Moments(n=5, mean=1e9, m2=0.0), Moments(n=9, mean=1e9, m2=1e-9)]) == 1


def test_a_covariate_of_the_time_after_is_out_of_balance():
    generator = np.random.default_rng(10)

    p = balance([moments_of(generator.normal(mean, 1, 2_000)) for mean in (0, 0, 0.2)])

    assert p < 1e-6


def test_a_gap_is_filled_with_the_mean_of_the_others_and_told():
    filled, is_missing = with_missing_indicator([1, math.nan, 3])

    assert filled.tolist() == [1, 2, 3]
    assert is_missing.tolist() == [0, 1, 0]
    assert with_missing_indicator([math.nan])[0].tolist() == [0]


@BOTH
def test_with_the_indicator_it_does_not_matter_what_fills_the_gaps(adjusted):
    arms = drawn(8, columns=1)
    gaps = [np.arange(arm.shape[1]) % 3 == 0 for arm in arms]

    one, other = (
        adjusted(
            [
                joint_moments_of(arm[0], np.where(gap, fill, arm[1]), gap)
                for arm, gap in zip(arms, gaps, strict=True)
            ]
        )
        for fill in (0.0, 123.0)
    )

    for first, second in zip(one, other, strict=True):
        assert first.mean == pytest.approx(second.mean)
        assert first.m2 == pytest.approx(second.m2)


@pytest.fixture(scope="module")
def voters():
    if not VOTERS.is_file():
        pytest.skip("the voter turnout file is not beside the checkout")
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(VOTERS, columns=["messages", "primary2006", "primary2004"])
    arm = table["messages"].to_numpy(zero_copy_only=False)
    columns = [table[name].to_numpy() for name in ("primary2006", "primary2004")]
    return [joint_moments_of(*(column[arm == name] for column in columns)) for name in VOTER_ARMS]


@pytest.mark.parametrize(
    ("place", "effect", "low", "high", "kept"),
    [
        (1, 0.018036, 0.013013, 0.023059, 0.9755),
        (2, 0.025294, 0.020247, 0.030342, 0.9741),
        (3, 0.080343, 0.075148, 0.085538, 0.9697),
    ],
)
def test_the_voters_have_their_known_adjusted_effects(voters, place, effect, low, high, kept):
    plain = difference(marginal(voters[0]), marginal(voters[place]))
    adjusted = cuped(voters)

    found = difference(adjusted[0], adjusted[place])

    assert found.estimate == pytest.approx(effect, abs=6e-7)
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-7)
    assert variance_kept(plain, found) == pytest.approx(kept, abs=6e-5)


def test_the_voters_have_the_slope_and_the_balance_they_are_known_for(voters):
    total = functools.reduce(merge_joint, voters)
    alone = cuped([total])[0]

    p = balance([marginal(arm, 1) for arm in voters])

    slope = total.products[0][1] / total.products[1][1]
    assert slope == pytest.approx(0.152880, abs=6e-7)
    assert alone.m2 == pytest.approx(total.products[0][0] - slope * total.products[0][1])
    assert p == pytest.approx(0.092, abs=5e-4)

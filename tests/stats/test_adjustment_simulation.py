"""Long: how often adjusted intervals are wrong, measured. Each prints its Monte Carlo error."""

import math

import numpy as np
import pytest

from expplat.stats.adjustment import cuped, lin, variance_kept, with_missing_indicator
from expplat.stats.joint_moments import joint_moments_of, marginal
from expplat.stats.two_sample import difference

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

BOTH = pytest.mark.parametrize("adjusted", [cuped, lin])


def report(what, hits, runs):
    share = hits / runs
    error = 1.96 * math.sqrt(share * (1 - share) / runs)
    print(f"{what}: {share:.4f} ± {error:.4f} ({runs} runs)")
    return share


def users(generator, n):
    """A skewed outcome that follows its own past; other slopes under treatment. True effect 0.2."""
    past = generator.lognormal(0, 0.7, n)
    treated = generator.random(n) < 0.5
    noise = generator.exponential(1, n) - 1
    centred = past - math.exp(0.245)
    return past, treated, past + treated * (0.2 + 0.3 * centred) + noise, 0.2 + 0.3 * centred.mean()


@BOTH
@pytest.mark.parametrize(("n", "least"), [(100, 0.935), (400, 0.94), (2_000, 0.94)])
def test_adjusted_intervals_hold_the_truth(adjusted, n, least):
    generator, runs, held, narrower = np.random.default_rng(20_261_124), 4_000, 0, 0.0
    for _ in range(runs):
        past, treated, outcome, effect = users(generator, n)
        arms = [joint_moments_of(outcome[mask], past[mask]) for mask in (~treated, treated)]
        found = difference(*adjusted(arms))
        held += found.low <= effect <= found.high
        narrower += variance_kept(difference(*map(marginal, arms)), found) / runs

    share = report(f"{adjusted.__name__} coverage, n = {n}, variance {narrower:.2f}", held, runs)
    assert least <= share <= 0.975
    assert narrower < 0.85


def adjusted_with_gaps(generator, n, fill_by_arm):
    """P-value of no effect where half of the users have no past."""
    past = generator.normal(0, 1, n)
    outcome = 2 * past + generator.normal(0, 1, n)
    treated = generator.random(n) < 0.5
    known = np.where(generator.random(n) < 0.5, past, math.nan)
    columns = np.array(with_missing_indicator(known))
    if fill_by_arm:
        for mask in (~treated, treated):
            columns[:, mask] = with_missing_indicator(known[mask])
    arms = [joint_moments_of(outcome[mask], *columns[:, mask]) for mask in (~treated, treated)]
    return difference(*cuped(arms)).p


def test_gaps_filled_over_all_arms_keep_the_level_and_gaps_filled_by_arm_do_not():
    generator, runs = np.random.default_rng(20_261_125), 4_000

    together, by_arm = (
        sum(adjusted_with_gaps(generator, 300, by_arm) <= 0.05 for _ in range(runs))
        for by_arm in (False, True)
    )

    assert 0.035 <= report("false positives, gaps filled over all arms", together, runs) <= 0.065
    assert report("false positives, gaps filled by arm", by_arm, runs) > 0.08


def test_many_covariates_of_few_units_draw_the_effect_of_cuped_to_zero_and_not_that_of_lin():
    generator, runs, effect = np.random.default_rng(20_261_126), 4_000, 1.0
    hits, estimates = {cuped: 0, lin: 0}, {cuped: 0.0, lin: 0.0}
    for _ in range(runs):
        control, treatment = generator.normal(size=(2, 9, 40))
        for adjusted in hits:
            hits[adjusted] += (
                difference(*adjusted([joint_moments_of(*control), joint_moments_of(*treatment)])).p
                <= 0.05
            )
        treatment[0] += effect
        for adjusted in hits:
            found = difference(
                *adjusted([joint_moments_of(*control), joint_moments_of(*treatment)])
            )
            estimates[adjusted] += found.estimate / runs

    for adjusted, hit in hits.items():
        what = f"false positives, {adjusted.__name__}, 8 covariates, 2 x 40 units"
        assert 0.035 <= report(what, hit, runs) <= 0.065
    assert estimates[lin] == pytest.approx(1, abs=0.015)
    assert estimates[cuped] == pytest.approx(1 - 8 / 80, abs=0.015)

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_effectsize

from expplat.stats.boundaries import boundaries
from expplat.stats.distributions import critical_z, normal_quantile
from expplat.stats.power import (
    INFLATION,
    days_needed,
    joint_power,
    paired_power,
    paired_requests,
    power_at,
    power_of_each,
    proportion_variance,
    sd_of_discordant,
    smallest_effect,
    smallest_effect_on_share,
    units_per_arm,
    units_per_arm_for_shares,
)
from expplat.stats.spending import SPENDING


@pytest.mark.parametrize(("base", "units"), [(0.1204, 17_212.6), (0.1902, 24_656.8)])
def test_one_point_more_needs_the_known_number_of_units(base, units):
    assert units_per_arm_for_shares(base, 0.01) == pytest.approx(units, abs=0.05)


@pytest.mark.parametrize(("base", "units"), [(0.1204, 17_210.1), (0.1902, 24_657.0)])
def test_on_the_arcsine_scale_it_is_the_number_of_statsmodels(base, units):
    effect = abs(proportion_effectsize(base + 0.01, base))
    theirs = NormalIndPower().solve_power(effect, alpha=0.05, power=0.8)

    assert theirs == pytest.approx(units, abs=0.05)
    assert units_per_arm(effect, (1.0, 1.0)) == pytest.approx(theirs, rel=5e-6)
    assert units_per_arm_for_shares(base, 0.01) == pytest.approx(theirs, rel=3e-4)


@given(st.floats(0.05, 1.5), st.floats(0.2, 5), st.floats(0.6, 0.99), st.sampled_from([0.01, 0.05]))
def test_means_have_the_power_that_statsmodels_gives_them(effect, sd, power, alpha):
    units = units_per_arm(effect, (sd**2, sd**2), alpha=alpha, power=power)

    theirs = NormalIndPower().power(effect / sd, units, alpha)

    # theirs counts a significant loss as a find, too
    assert power == pytest.approx(theirs, abs=2e-4)


def test_so_many_units_make_the_test_reject_as_often_as_asked():
    units = units_per_arm(0.3, (9.0, 4.0), alpha=0.02, power=0.9)

    z = norm(loc=0.3 / (13.0 / units) ** 0.5)
    assert z.sf(norm.isf(0.01)) == pytest.approx(0.9)


@pytest.mark.parametrize("inflation", INFLATION.values())
def test_units_effect_and_power_belong_together(inflation):
    variances = (2.0, 3.0)
    units = units_per_arm(0.2, variances, power=0.9, inflation=inflation)

    assert smallest_effect(units, variances, power=0.9, inflation=inflation) == pytest.approx(0.2)
    assert power_at(units, -0.2, variances, inflation=inflation) == pytest.approx(0.9)


def test_a_sequential_plan_needs_its_inflation_more():
    plain = units_per_arm(1.0, (4.0, 4.0))

    assert units_per_arm(1.0, (4.0, 4.0), inflation=INFLATION["obf"]) == pytest.approx(
        1.077 * plain
    )


@pytest.mark.parametrize(("guardrails", "each"), [(0, 0.8), (1, 0.9), (3, 0.95)])
def test_guardrails_share_the_missed_power_with_the_success_metric(guardrails, each):
    assert power_of_each(0.8, guardrails) == pytest.approx(each)


def test_without_variance_everything_is_found():
    assert power_at(10, 0.1, (0.0, 0.0)) == 1
    assert power_at(10, 0.0, (0.0, 0.0)) == 0


@pytest.mark.parametrize(
    "ask",
    [
        lambda: units_per_arm(0.0, (1.0, 1.0)),
        lambda: units_per_arm(1.0, (1.0, 1.0), power=1.0),
        lambda: units_per_arm_for_shares(0.95, 0.1),
        lambda: smallest_effect(0, (1.0, 1.0)),
        lambda: power_at(0, 1.0, (1.0, 1.0)),
        lambda: power_of_each(0.8, -1),
        lambda: proportion_variance(-0.1),
        lambda: joint_power([]),
        lambda: joint_power([0.9, 1.1]),
        lambda: days_needed(-1, 10),
        lambda: days_needed(1, 0),
        lambda: days_needed(1, 10, 0),
        lambda: smallest_effect_on_share(0, 0.1),
        lambda: smallest_effect_on_share(10, 1.1),
        lambda: paired_requests(0.1, -1.0),
        lambda: paired_power(10, 0.1, -1.0),
        lambda: sd_of_discordant(0.6, 0.6),
        lambda: sd_of_discordant(-0.1, 0.6),
    ],
)
def test_questions_without_an_answer_are_refused(ask):
    with pytest.raises(ValueError, match=r".+"):
        ask()


@given(st.floats(0.01, 0.99), st.floats(200, 1e7), st.sampled_from(sorted(INFLATION.values())))
def test_what_is_found_on_a_share_is_what_needs_so_many_units(base, units, inflation):
    effect = smallest_effect_on_share(units, base, power=0.9, inflation=inflation)

    if effect is None:
        whole = units_per_arm_for_shares(base, 1 - base, power=0.9, inflation=inflation)
        assert whole >= units
    else:
        again = units_per_arm_for_shares(base, effect, power=0.9, inflation=inflation)
        assert again == pytest.approx(units, rel=1e-6)


def test_a_share_that_cannot_rise_enough_is_never_found():
    assert smallest_effect_on_share(20, 0.9) is None


def test_gates_pass_together_as_independent_ones_do_and_at_least_so_often():
    found = joint_power([0.9, 0.8])

    assert found.independent == pytest.approx(0.72)
    assert found.at_least == pytest.approx(0.7)
    assert joint_power([0.3, 0.3]).at_least == 0


@pytest.mark.parametrize("guardrails", [0, 1, 3, 9])
def test_gates_that_share_the_missed_power_pass_together_as_often_as_asked(guardrails):
    each = power_of_each(0.8, guardrails)

    found = joint_power([each] * (guardrails + 1))

    assert found.at_least == pytest.approx(0.8)
    assert found.independent >= found.at_least


def test_days_follow_from_the_share_of_the_traffic():
    assert days_needed(3_000, 1_000) == pytest.approx(3.0)
    assert days_needed(3_000, 1_000, traffic_percent=20) == pytest.approx(15.0)


def test_a_replay_needs_requests_by_the_spread_of_its_pairs():
    assert paired_requests(0.02, 0.3) == pytest.approx((2.801585 * 15) ** 2, rel=1e-5)
    assert paired_power(paired_requests(0.02, 0.3, power=0.9), 0.02, 0.3) == pytest.approx(0.9)


def test_the_spread_of_two_shares_is_that_of_their_pairs():
    pairs = np.repeat([-1.0, 1.0, 0.0], [5, 8, 87])

    assert sd_of_discordant(0.05, 0.08) == pytest.approx(pairs.std())


LOOKS = 100


def critical_values(plan):
    """Critical |z| of a hundred even looks; the confidence sequence by its formula."""
    times = np.arange(1, LOOKS + 1) / LOOKS
    if plan != "open_ended":
        return np.array(boundaries(list(times), 0.05, SPENDING[plan]))
    evidence = -2 * math.log(0.05)
    weight = times * (evidence + math.log(evidence + 1))
    return np.sqrt((weight + 1) / weight * (evidence + np.log(weight + 1)))


@pytest.mark.parametrize("plan", sorted(set(INFLATION) - {"fixed"}))
@pytest.mark.parametrize("power", [0.8, 0.95])
def test_with_its_inflation_a_plan_has_the_power_of_a_test_read_once(plan, power):
    generator, runs = np.random.default_rng(3), 10_000
    times = np.arange(1, LOOKS + 1) / LOOKS
    drift = (critical_z(0.05) + normal_quantile(power)) * math.sqrt(INFLATION[plan])
    steps = generator.standard_normal((runs, LOOKS)) / math.sqrt(LOOKS)
    z = np.cumsum(steps, axis=1) / np.sqrt(times) + drift * np.sqrt(times)

    found = float(np.mean(np.any(z > critical_values(plan), axis=1)))

    slack = 3 * math.sqrt(power * (1 - power) / runs)
    assert power - slack <= found <= power + slack + 0.03


def test_without_guardrails_each_power_is_the_joint_one_however_small() -> None:
    assert power_of_each(2.87e-78, 0) == 2.87e-78

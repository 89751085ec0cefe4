import pytest
from scipy.stats import norm

from expplat.stats.power import (
    INFLATION,
    power_at,
    power_of_each,
    proportion_variance,
    smallest_effect,
    units_per_arm,
    units_per_arm_for_shares,
)


@pytest.mark.parametrize(("base", "units"), [(0.1204, 17_212.6), (0.1902, 24_656.8)])
def test_one_point_more_needs_the_known_number_of_units(base, units):
    assert units_per_arm_for_shares(base, 0.01) == pytest.approx(units, abs=0.05)


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
    ],
)
def test_questions_without_an_answer_are_refused(ask):
    with pytest.raises(ValueError, match=r".+"):
        ask()

import math

import pytest

from expplat.stats.spending import SPENDING, spend_hsd, spend_obf, spend_pocock, spend_power


@pytest.mark.parametrize(
    "spending", [*SPENDING.values(), spend_hsd(0), spend_hsd(1), spend_power(1)]
)
@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.9])
def test_every_plan_starts_at_nothing_ends_at_alpha_and_never_takes_back(spending, alpha):
    spent = [spending(t / 50, alpha) for t in range(-1, 101)]

    assert spent[:2] == [0, 0]
    assert spent == sorted(spent)
    assert spent[51:] == pytest.approx([alpha] * 51)
    assert max(spent) <= alpha * (1 + 1e-12)


@pytest.mark.parametrize("spending", [*SPENDING.values(), spend_hsd(0), spend_power(1)])
def test_every_plan_has_spent_something_by_the_middle_and_keeps_something(spending):
    assert 0 < spending(0.5, 0.05) < 0.05


def test_plans_spend_what_was_computed_by_hand():
    assert spend_obf(0.2, 0.05) == pytest.approx(1.08e-6, abs=5e-9)
    assert spend_obf(0.6, 0.05) == pytest.approx(0.00762, abs=5e-6)
    assert spend_pocock(0.5, 0.05) == pytest.approx(0.0310057, abs=5e-8)
    assert spend_hsd(-4)(0.5, 0.05) == pytest.approx(0.00596, abs=5e-6)
    assert spend_hsd(1)(0.5, 0.05) == pytest.approx(0.0311230, abs=5e-8)
    assert spend_hsd(0)(0.5, 0.05) == pytest.approx(0.025)
    assert spend_power(3)(0.5, 0.05) == pytest.approx(0.00625)
    assert spend_power(0.5)(0.25, 0.05) == pytest.approx(0.025)


def test_the_plan_of_obrien_and_fleming_never_spends_more_than_alpha_by_rounding():
    assert all(spend_obf(1.0, k / 1_000) <= k / 1_000 for k in range(1, 1_000))


def test_the_named_plans_are_the_families_at_their_numbers():
    assert SPENDING["obf"] is spend_obf
    assert SPENDING["pocock"] is spend_pocock
    assert SPENDING["hsd(-4)"](0.3, 0.05) == spend_hsd(-4)(0.3, 0.05)
    assert SPENDING["power(3)"](0.3, 0.05) == spend_power(3)(0.3, 0.05)
    assert len(SPENDING) == 4


@pytest.mark.parametrize("rho", [0, -1])
def test_a_power_of_nothing_is_refused(rho):
    with pytest.raises(ValueError, match=r"^the power of a spending function must be above 0$"):
        spend_power(rho)


@pytest.mark.parametrize("alpha", [0.0, 2.0, math.nan])
def test_obrien_and_fleming_refuse_an_alpha_that_is_none(alpha):
    with pytest.raises(ValueError, match="alpha"):
        spend_obf(0.5, alpha)

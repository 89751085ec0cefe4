import math

import pytest
from scipy import stats as scipy_stats

from expplat.stats.proportions import newcombe_paired


def test_it_gives_the_published_interval_of_a_therapy():
    found = newcombe_paired(both=59, only_treatment=6, only_control=16, neither=80)

    assert found.estimate == pytest.approx(-0.0621, abs=5e-5)
    assert found.low == pytest.approx(-0.1186, abs=5e-5)
    assert found.high == pytest.approx(-0.0046, abs=5e-5)


def test_without_correlation_it_squares_and_adds_two_wilson_intervals():
    found = newcombe_paired(both=9, only_treatment=8, only_control=3, neither=4)

    treatment = scipy_stats.binomtest(17, 24).proportion_ci(method="wilson")
    control = scipy_stats.binomtest(12, 24).proportion_ci(method="wilson")
    below = math.hypot(17 / 24 - treatment.low, control.high - 0.5)
    above = math.hypot(treatment.high - 17 / 24, 0.5 - control.low)
    assert found.low == pytest.approx(5 / 24 - below)
    assert found.high == pytest.approx(5 / 24 + above)


@pytest.mark.parametrize(("one", "other"), [(0, 0), (0, 5), (1, 7), (4, 4), (30, 50)])
def test_its_p_value_is_the_mid_p_of_mcnemar(one, other):
    found = newcombe_paired(both=10, only_control=one, only_treatment=other, neither=10)

    fewer = scipy_stats.binom(one + other, 0.5)
    expected = 2 * fewer.cdf(min(one, other)) - fewer.pmf(min(one, other))
    assert found.p == pytest.approx(min(1.0, expected))


@pytest.mark.parametrize(
    ("won", "lost", "exact"),
    [
        (604, 223, 2.5211337777857585e-41),
        (392, 280, 1.776985079125339e-05),
        (383, 95, 5.116157326696527e-42),
        (1_111, 214, 2.766488398240557e-146),
    ],
)
def test_the_exact_p_value_is_right_far_out_and_never_below_the_mid_p(won, lost, exact):
    counts = {"both": 10, "only_control": lost, "only_treatment": won, "neither": 10}
    by_integers = 2 * sum(math.comb(won + lost, k) for k in range(lost + 1))

    found = newcombe_paired(**counts, exact=True)

    assert found.p == pytest.approx(exact, rel=1e-9)
    assert found.p == pytest.approx(by_integers / 2 ** (won + lost - 1) / 2, rel=1e-9)
    assert found.p > newcombe_paired(**counts).p > found.p / 2


def test_the_published_therapy_has_its_two_p_values():
    counts = {"both": 59, "only_treatment": 6, "only_control": 16, "neither": 80}

    assert newcombe_paired(**counts, exact=True).p == pytest.approx(0.0525, abs=5e-5)
    assert newcombe_paired(**counts).p == pytest.approx(0.0347, abs=5e-5)


def test_a_positive_correlation_narrows_it_and_a_negative_one_widens_it():
    widths = [
        found.high - found.low
        for found in (
            newcombe_paired(both=20, only_treatment=2, only_control=2, neither=20),
            newcombe_paired(both=11, only_treatment=11, only_control=11, neither=11),
            newcombe_paired(both=2, only_treatment=20, only_control=20, neither=2),
        )
    ]

    assert widths == sorted(widths)
    assert widths[0] < 0.7 * widths[1] < 0.7 * widths[2]


def test_swapping_the_variants_turns_it_over():
    there = newcombe_paired(both=20, only_control=3, only_treatment=9, neither=8)

    back = newcombe_paired(both=20, only_control=9, only_treatment=3, neither=8)

    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))
    assert back.p == there.p


def test_a_negative_count_is_refused():
    with pytest.raises(ValueError, match="negative"):
        newcombe_paired(both=-1, only_control=3, only_treatment=9, neither=8)


def test_one_pair_is_not_estimable():
    assert newcombe_paired(both=1, only_control=0, only_treatment=0, neither=0).low is None

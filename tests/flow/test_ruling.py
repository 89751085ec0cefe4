"""How effects become rulings, and rulings a verdict: the same for `analyze` and `compare`."""

from __future__ import annotations

import itertools

import pytest

from expplat.domain.analysis import Finding, Role
from expplat.domain.gate import Effect, Ruling
from expplat.domain.metric import Direction
from expplat.domain.question import AskedKind, AskedMetric, Correction, Standard
from expplat.flow.ruling import Measured, comparisons_of, corrected, overall

GOAL = AskedMetric(name="goal", kind=AskedKind.MEAN, column="goal")
SAFE = AskedMetric(
    name="cost", kind=AskedKind.MEAN, column="cost", margin=1.0, direction=Direction.LOWER
)
STANDARD = Standard()


def measured(metric=GOAL, *, effect=1.0, low=0.5, high=1.5, p=0.001, variant="b", **more):
    found = Effect(
        metric=metric.name,
        unit="",
        sign=metric.direction.sign,
        control=10.0,
        treatment=None if effect is None else 10.0 + effect,
        difference=effect,
        low=low,
        high=high,
        p=p,
        n_control=500,
        n_treatment=500,
        method="Welch t",
    )
    return Measured(metric, variant, found, 0.25, **more)


def ruled(*several, standard=STANDARD, refusal=None):
    adjusted = corrected(several, standard.correction)
    comparisons = comparisons_of(several, adjusted, standard, refusal)
    return comparisons, overall(comparisons, refusal)


def test_a_significant_gain_passes():
    (one,), verdict = ruled(measured())

    assert one.ruling is verdict.ruling is Ruling.PASS
    assert verdict.sentence.startswith("b wins: ")


def test_a_gain_that_does_not_hold_among_all_that_was_asked_is_unknown():
    several = [measured(p=0.03, low=0.01)] + [
        measured(GOAL, effect=0.0, low=-1.0, high=1.0, p=0.9, variant=name) for name in "cd"
    ]

    comparisons, verdict = ruled(*several)
    alone, _ = ruled(*several, standard=Standard(correction=Correction.NONE))

    assert comparisons[0].p_adjusted == pytest.approx(0.09)
    assert comparisons[0].ruling is verdict.ruling is Ruling.UNKNOWN
    assert "among all that was asked" in comparisons[0].sentence
    assert alone[0].ruling is Ruling.PASS


def test_guardrails_take_no_part_in_the_correction():
    goal, guardrail = measured(p=0.04, low=0.01), measured(SAFE, effect=0.1, low=-0.2, high=0.4)

    comparisons, verdict = ruled(goal, guardrail)

    assert comparisons[0].p_adjusted == 0.04
    assert verdict.ruling is Ruling.PASS


@pytest.mark.parametrize(
    ("low", "high", "ruling"),
    [(-0.5, 0.5, Ruling.PASS), (0.5, 1.5, Ruling.UNKNOWN), (1.1, 1.5, Ruling.FAIL)],
)
def test_a_won_goal_ships_only_with_every_guardrail_proven(low, high, ruling):
    guardrail = measured(SAFE, effect=(low + high) / 2, low=low, high=high)

    _, verdict = ruled(measured(), guardrail)

    assert verdict.ruling is ruling


def test_a_goal_that_surely_lost_fails_though_another_won():
    other = AskedMetric(name="other", kind=AskedKind.MEAN, column="other")

    _, verdict = ruled(measured(), measured(other, effect=-1.0, low=-1.5, high=-0.5))

    assert verdict.ruling is Ruling.FAIL
    assert "other" in verdict.sentence


def test_a_gain_below_what_matters_is_no_pass():
    least = AskedMetric(name="goal", kind=AskedKind.MEAN, column="goal", min_effect=1.2)

    (open_one,), _ = ruled(measured(least))
    (small,), _ = ruled(measured(least, high=1.1))

    assert open_one.ruling is Ruling.UNKNOWN
    assert small.ruling is Ruling.FAIL


def test_one_treatment_of_several_may_win():
    lost = measured(effect=-1.0, low=-1.5, high=-0.5, variant="c")

    _, verdict = ruled(measured(), lost)
    _, both_lost = ruled(lost, lost._replace(variant="d"))

    assert verdict.ruling is Ruling.PASS
    assert both_lost.ruling is Ruling.FAIL


def test_a_failed_health_check_leaves_everything_unknown():
    refusal = Finding(check="srm", ruling=Ruling.FAIL, p=1e-9, detail={}, sentence="Off.")

    comparisons, verdict = ruled(measured(), measured(SAFE, effect=5.0, low=4.0, high=6.0),
                                 refusal=refusal)  # fmt: skip

    assert {one.ruling for one in comparisons} == {Ruling.UNKNOWN}
    assert verdict.ruling is Ruling.UNKNOWN
    assert "srm" in verdict.sentence


def test_a_doubt_keeps_a_gain_from_passing():
    (one,), _ = ruled(measured(doubt="one unit alone makes it."))

    assert one.ruling is Ruling.UNKNOWN
    assert "one unit alone" in one.sentence


def test_what_is_only_shown_decides_nothing_and_what_is_watched_may_only_fail():
    worse = {"effect": -1.0, "low": -1.5, "high": -0.5}

    _, shown = ruled(measured(), measured(**worse, view=Role.SHOWN))
    _, watched = ruled(measured(), measured(**worse, view=Role.WATCHED))
    _, fine = ruled(measured(), measured(effect=0.0, low=-1.0, high=1.0, view=Role.WATCHED))

    assert shown.ruling is fine.ruling is Ruling.PASS
    assert watched.ruling is Ruling.FAIL


@pytest.mark.parametrize(
    "holes",
    [holes for n in (1, 2, 3) for holes in itertools.combinations(("effect", "low", "p"), n)],
)
def test_nothing_that_is_missing_leads_to_a_pass(holes):
    (one,), verdict = ruled(measured(**dict.fromkeys(holes)))

    assert one.ruling is verdict.ruling is Ruling.UNKNOWN


@pytest.mark.parametrize("metric", [GOAL, SAFE])
@pytest.mark.parametrize("effect", [-5.0, 0.0, 0.5])
def test_an_interval_without_width_is_no_evidence(metric, effect):
    (one,), verdict = ruled(measured(metric, effect=effect, low=effect, high=effect, p=0.0))

    assert one.ruling is verdict.ruling is Ruling.UNKNOWN
    assert "nothing varies" in one.sentence


def test_no_comparison_is_no_pass():
    _, verdict = ruled()

    assert verdict.ruling is Ruling.UNKNOWN

"""What a replay says in words: the same on its page, in Markdown and in the terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.adapters.report import breakdown_reading as breakdown
from expplat.adapters.report.replay_reading import (
    Standing,
    claim_sentence,
    headline,
    measured_text,
    reproduction_of,
    standing_of,
)
from expplat.domain.breakdown import VarianceSplit
from expplat.domain.gate import Ruling
from tests.builders import a_proposal, a_verdict, an_effect
from tests.rich_reports import (
    a_report_of_nothing,
    a_rich_report,
    a_segment_effect,
    a_stage,
    an_arm_with_costs,
)


def claiming(effect: float):
    proposal = a_proposal()
    claim = replace(proposal.paper.claim, effect=effect)
    return replace(proposal, paper=replace(proposal.paper, claim=claim))


def replaying(difference: float | None, low: float | None, high: float | None, **more):
    effect = an_effect(difference=difference, low=low, high=high, **more)
    return a_rich_report(effects=(effect,))


def test_the_ratio_is_the_replayed_effect_over_the_claimed_one():
    found = reproduction_of(replaying(0.0087, -0.0348, 0.0516), claiming(0.03))

    assert found.text == "29 % [−116, +172] of the claim"
    assert found.ratio == pytest.approx(0.29)


def test_a_claim_below_zero_keeps_the_ends_in_order():
    found = reproduction_of(replaying(-0.02, -0.03, -0.01), claiming(-0.04))

    assert (found.ratio, found.low, found.high) == pytest.approx((0.5, 0.25, 0.75))


def test_an_effect_without_an_interval_has_a_ratio_without_one():
    assert reproduction_of(replaying(0.02, None, None), claiming(0.04)).text == "50 % of the claim"


@pytest.mark.parametrize(
    ("report", "proposal", "words"),
    [
        (replaying(None, None, None), claiming(0.03), "no replayed effect"),
        (replaying(0.02, 0.01, 0.03), claiming(0.0), "no difference at all"),
        (replaying(0.02, 0.01, 0.03), claiming(2.4), "larger than 1"),
        (a_report_of_nothing(), claiming(0.03), "no replayed effect"),
    ],
)
def test_what_is_not_comparable_says_why(report, proposal, words):
    found = reproduction_of(report, proposal)

    assert found.ratio is None
    assert words in found.text
    assert words in claim_sentence(report, proposal)


def test_a_metric_that_is_no_fraction_is_not_held_against_a_claim():
    proposal = claiming(0.03)
    proposal = replace(proposal, problem=replace(proposal.problem, primary_metric="latency_ms"))

    assert "counted in ms" in reproduction_of(a_rich_report(), proposal).text


def test_the_headline_names_what_failed_and_what_is_not_known():
    said = headline(a_rich_report())

    assert said.startswith("2 of 4 gates stand in the way")
    assert "failed: non inferiority of recall_at_5 in topic=syntax" in said
    assert "not known: superiority of recall_at_5" in said


def test_a_headline_of_many_blockers_stays_a_sentence():
    verdicts = tuple(a_verdict(Ruling.FAIL) for _ in range(9))

    assert "and 6 more" in headline(a_rich_report(verdicts=verdicts))


def test_a_replay_without_verdicts_proves_nothing():
    assert headline(a_report_of_nothing()) == "No gate was judged, so nothing is proven."


def test_all_passed_says_that_nothing_stands_in_the_way():
    one = a_rich_report(verdicts=(a_verdict(),))

    assert headline(one) == "Nothing stands in the way: the one gate passed."


@pytest.mark.parametrize(
    ("effect", "standing"),
    [
        (a_segment_effect(-0.061), Standing.HARMED),
        (a_segment_effect(0.063), Standing.BETTER),
        (a_segment_effect(0.01), Standing.OPEN),
        (replace(a_segment_effect(0.063), sign=-1), Standing.HARMED),
        (replace(a_segment_effect(0.063), low=None), Standing.OPEN),
        (replace(a_segment_effect(0.063), noise_low=-0.1, noise_high=0.1), Standing.OPEN),
    ],
)
def test_an_interval_stands_on_one_side_or_is_open(effect, standing):
    assert standing_of(effect) is standing


def test_the_stage_that_made_it_slower_is_named_with_its_interval():
    said = breakdown.what_moved(a_rich_report().stages)

    assert said == "rerank added 21.3 ms [20.15, 22.45]; nothing else moved by more than the noise."


def test_a_stage_that_got_faster_saved_time():
    said = breakdown.what_moved((a_stage("answer", 40.0, -8.0, 1.0),))

    assert said == "answer saved 8 ms [7, 9]; nothing else moved by more than the noise."


def test_of_many_stages_that_moved_the_largest_are_named():
    stages = tuple(a_stage(f"s{k}", 50.0, float(k), 0.1) for k in range(1, 7))

    said = breakdown.what_moved(stages)

    assert said.startswith("s6 added 6 ms")
    assert said.endswith("3 other stages moved by at most 3 ms.")


def test_no_stage_is_blamed_for_noise():
    said = breakdown.what_moved((a_stage("answer", 40.0, 1.0, 2.0),))

    assert said == "No stage moved by more than the noise."
    assert breakdown.what_moved(()) == ""


def test_harmed_segments_come_first_and_are_named():
    rows = breakdown.segment_rows(a_rich_report())

    assert [row.name for row in rows][:2] == ["topic=syntax", "topic=billing"]
    assert breakdown.segments_text(rows) == "1 of 6 segments surely harmed: topic=syntax."


def test_the_worst_segment_is_the_worst_for_the_metric_and_not_the_smallest_number():
    slow = {"a=1": (replace(a_segment_effect(0.5), sign=-1),), "a=2": (a_segment_effect(-0.1),)}

    worst = breakdown.worst_segment(a_rich_report(segments=slow))

    assert worst is not None
    assert worst.name == "a=1"


def test_no_segment_is_the_worst_where_none_lost_anything():
    gained = {"a=1": (a_segment_effect(0.5),), "a=2": (a_segment_effect(0.0),)}

    assert breakdown.worst_segment(a_rich_report(segments=gained)) is None


def test_costs_of_both_variants_stand_side_by_side():
    rows = breakdown.cost_rows(a_rich_report().arms)

    assert [(row.stage, row.model) for row in rows] == [
        ("answer", "gpt-small"),
        ("retrieve", "cpu"),
        ("", "cpu"),
    ]
    assert rows[0].difference == pytest.approx(0.1025)


def test_a_model_that_only_the_treatment_uses_has_a_row_of_its_own():
    control = replace(an_arm_with_costs(), costs=())
    rows = breakdown.cost_rows({"control": control, "treatment": an_arm_with_costs()})

    assert [row.control for row in rows] == [None, None, None]
    assert rows[0].difference == pytest.approx(0.41)


def test_the_change_of_cost_is_said_with_its_share():
    said = breakdown.cost_change(a_rich_report())

    assert said.startswith("1,000 requests cost 0.525 USD, under control 0.423 USD (+24.26 %)")


def test_the_spread_says_whether_repeats_would_help():
    split = VarianceSplit(metric="m", repeats=1, between=0.041, within=0.009, requests=10)

    much = breakdown.variance_text(replace(split, within=0.2))
    little = breakdown.variance_text(replace(split, repeats=5))

    assert little == (
        "82 % of the spread is between requests: more requests help, more repeats hardly do."
    )
    assert "twice the repeats would narrow the interval by 24 %" in much


def test_twice_the_repeats_of_the_documented_example_narrow_it_by_five_percent():
    split = VarianceSplit(metric="m", repeats=1, between=0.04, within=0.01, requests=10)

    assert "narrow the interval by 5 %" in breakdown.variance_text(split)


@pytest.mark.parametrize("between", [0.0, float("nan"), float("inf")])
def test_a_spread_that_is_none_says_nothing(between):
    split = VarianceSplit(metric="m", repeats=2, between=between, within=0.0, requests=10)

    assert breakdown.variance_text(split) == ""


def test_a_replay_that_stopped_early_says_how_far_it_came():
    assert measured_text(a_rich_report()) == "720 of 1,200 requests, 3 answers each"
    assert measured_text(a_report_of_nothing()) == "500 requests"


@pytest.mark.parametrize(("others", "standing"), [(0, Standing.HARMED), (19, Standing.OPEN)])
def test_one_segment_of_many_that_chance_explains_is_not_called_harmed(others, standing) -> None:
    lost = an_effect(difference=-0.05, low=-0.099, high=-0.001, p=0.045)
    level = an_effect(difference=0.0, low=-0.05, high=0.05, p=0.99)
    segments = {"topic=first": (lost,), **{f"topic=t{n}": (level,) for n in range(others)}}

    rows = breakdown.segment_rows(a_rich_report(segments=segments))

    assert {row.name: row.standing for row in rows}["topic=first"] is standing

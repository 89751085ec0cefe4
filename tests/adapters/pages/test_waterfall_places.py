"""Where the bars of the waterfall stand, from control's latency to treatment's."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.report.svg_waterfall import WATERFALL_WIDTH, Waterfall, waterfall
from expplat.domain.breakdown import REST
from tests.rich_reports import a_rich_report, a_stage, an_extreme_report

SIZE = st.floats(0, 1e9, allow_nan=False)


def placed(*stages) -> Waterfall:
    found = waterfall(stages)
    assert found is not None
    return found


def test_each_bar_begins_where_the_one_above_it_ended():
    rows = placed(*a_rich_report().stages).rows

    assert [row.carried_from for row in rows[1:]] == [row.carried_to for row in rows[:-1]]


def test_the_bars_lead_from_control_to_treatment():
    rows = placed(a_stage("retrieve", 20.0, 5.0), a_stage("answer", 30.0, -12.0)).rows

    assert [row.name for row in rows] == ["control", "retrieve", "answer", "treatment"]
    assert [row.mean for row in rows] == [50.0, None, None, pytest.approx(43.0)]
    assert rows[-1].start + rows[-1].length == pytest.approx(rows[-1].carried_from, abs=0.2)


def test_slower_leads_to_the_right_and_faster_to_the_left():
    slower, faster = placed(a_stage("a", 20.0, 9.0), a_stage("b", 30.0, -9.0)).rows[1:3]

    assert (slower.tone, faster.tone) == ("slower", "faster")
    assert slower.carried_to > slower.carried_from
    assert faster.carried_to < faster.carried_from


def test_a_difference_that_the_noise_could_have_made_is_neither_slower_nor_faster():
    unsure = a_stage("a", 20.0, 1.0, half=2.0)
    within = a_stage("b", 20.0, 1.0, half=0.5)
    within = replace(within, mean=replace(within.mean, noise_low=-1.5, noise_high=1.5))

    rows = placed(unsure, within).rows

    assert [row.tone for row in rows[1:3]] == ["level", "level"]


def test_small_differences_of_a_long_call_are_drawn_large_on_an_axis_that_says_so():
    found = placed(a_stage("answer", 900.0, 3.0), a_stage(REST, 4.0, 0.0))

    assert found.is_cut
    assert 800 < found.starts_at < 904
    assert found.rows[1].length > WATERFALL_WIDTH / 4


def test_large_differences_are_drawn_from_zero():
    found = placed(a_stage("answer", 100.0, 90.0))

    assert not found.is_cut
    assert found.starts_at == 0


def test_a_replay_without_stages_has_no_waterfall():
    assert waterfall(()) is None


def test_a_stage_whose_difference_is_not_known_leaves_the_line_where_it_was():
    stage = a_stage("answer", 100.0, 0.0)
    unknown = replace(stage, mean=replace(stage.mean, difference=None, low=None, high=None))

    row = placed(unknown).rows[1]

    assert row.carried_from == row.carried_to
    assert row.interval.start is None


@given(st.lists(st.tuples(SIZE, SIZE, SIZE), min_size=1, max_size=14))
def test_every_bar_and_whisker_stands_inside_its_plot(sizes):
    stages = [
        a_stage(f"s{place}", control, treatment - control, half)
        for place, (control, treatment, half) in enumerate(sizes)
    ]

    rows = placed(*stages).rows

    places = [
        place
        for row in rows
        for place in (row.start, row.start + row.length, row.interval.start, row.interval.end)
        if place is not None
    ]
    assert [place for place in places if not -0.2 <= place <= WATERFALL_WIDTH + 1.6] == []


def test_all_stages_of_an_extreme_replay_are_placed():
    assert len(placed(*an_extreme_report().stages).rows) == 14

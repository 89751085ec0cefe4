from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.report.six_checks import six_checks
from expplat.adapters.report.svg_plots import FOREST_WIDTH, forest, looks_plot
from expplat.adapters.report.svg_scale import reach_of
from expplat.domain.gate import Gate, GateKind, Ruling
from tests.adapters.pages.example_stories import (
    ANSWER_GATE,
    LATENCY,
    LATENCY_GATE,
    LOOKS,
    RECALL,
    RECALL_GATE,
    SUCCESS_GATE,
    all_stories,
    effect,
    running_story,
)


def test_better_lies_to_the_right_also_where_lower_is_better() -> None:
    gain = forest(effect(RECALL, 0.6, 0.04, 0.01))
    slower = forest(effect(LATENCY, 184.0, 31.0, 14.0))
    faster = forest(effect(LATENCY, 184.0, -31.0, 14.0))

    assert gain is not None
    assert slower is not None
    assert faster is not None
    assert gain.interval.point is not None
    assert slower.interval.point is not None
    assert faster.interval.point is not None
    assert gain.interval.point > gain.zero
    assert slower.interval.point < slower.zero
    assert faster.interval.point > faster.zero


def test_the_threshold_of_superiority_lies_right_of_zero_and_a_margin_left() -> None:
    superiority = forest(effect(RECALL, 0.6, 0.04, 0.01), RECALL_GATE)
    margin = forest(effect(LATENCY, 184.0, 31.0, 14.0), LATENCY_GATE)

    assert superiority is not None
    assert margin is not None
    assert superiority.threshold is not None
    assert margin.threshold is not None
    assert superiority.threshold > superiority.zero
    assert margin.threshold < margin.zero
    assert (superiority.threshold_label, margin.threshold_label) == ("+2 pp", "+60 ms")


def test_a_margin_to_both_sides_is_drawn_on_both() -> None:
    gate = Gate(kind=GateKind.REPLAY_TRUST, metric="recall_at_5", margin=0.02)

    drawn = forest(effect(RECALL, 0.6, 0.0, 0.01), gate)

    assert drawn is not None
    assert drawn.threshold is not None
    assert drawn.other_threshold is not None
    assert drawn.threshold < drawn.zero < drawn.other_threshold


@given(
    difference=st.floats(-1e9, 1e9),
    half=st.floats(0, 1e9),
)
def test_the_ends_of_an_interval_stand_around_its_point_within_the_plot(
    difference: float, half: float
) -> None:
    drawn = forest(effect(RECALL, 0.0, difference, half), RECALL_GATE)

    assert drawn is not None
    places = (drawn.interval.start, drawn.interval.point, drawn.interval.end)
    assert all(place is not None and 0 <= place <= FOREST_WIDTH for place in places)
    assert sorted(place for place in places if place is not None) == list(places)


def test_rows_with_one_reach_share_their_scale() -> None:
    small, large = effect(RECALL, 0.6, 0.01, 0.005), effect(RECALL, 0.6, 0.08, 0.02)
    reach = reach_of((small, large))

    drawn = [forest(one, None, reach) for one in (small, large)]

    assert len({plot.zero for plot in drawn if plot}) == 1


def test_an_infinite_or_missing_difference_is_not_drawn() -> None:
    one = effect(RECALL, 0.6, 0.01, 0.005)

    assert forest(replace(one, difference=float("inf"))) is None
    assert forest(replace(one, difference=None)) is None
    assert forest(None) is None


@pytest.mark.parametrize("gate", [SUCCESS_GATE, ANSWER_GATE])
def test_a_look_is_drawn_for_each_reading_and_the_monitoring_ones_are_marked(gate: Gate) -> None:
    plot = looks_plot(LOOKS, gate)

    assert plot is not None
    assert [mark.decisive for mark in plot.marks] == [False, False, True, True, True, True]
    assert [mark.x for mark in plot.marks] == sorted(mark.x for mark in plot.marks)


def test_the_six_checks_are_unknown_until_they_are_measured() -> None:
    rulings = [check.ruling for check in six_checks(all_stories()[0])]

    assert [check.number for check in six_checks(running_story())] == [1, 2, 3, 4, 5, 6]
    assert rulings == [
        Ruling.PASS,
        Ruling.UNKNOWN,
        Ruling.UNKNOWN,
        Ruling.UNKNOWN,
        Ruling.PASS,
        Ruling.UNKNOWN,
    ]


def test_a_failed_accuracy_gate_fails_the_third_check_and_no_other() -> None:
    rejected = next(s for s in all_stories() if s.poc.slug == "long_context")

    rulings = {check.number: check.ruling for check in six_checks(rejected)}

    assert rulings[3] is Ruling.FAIL
    assert rulings[4] is Ruling.PASS

"""What is served keeps the contract, whoever may enter: for any state that a plan can lead to."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.growthbook.conditions import condition
from expplat.adapters.growthbook.payload import render
from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState

ARMS = ("control", "treatment", *(f"treatment_{letter}" for letter in "bcdefgh"))
TARGETING: list[dict[str, Any]] = [{}, {"country": "CH"}, {"$or": [{"a": {"$gt": 1}}, {"b": 2}]}]

hundredths = st.integers(min_value=1, max_value=9_999).map(lambda number: number / 100)


@st.composite
def exclusions(draw) -> Exclusion:
    begins = draw(st.integers(min_value=0, max_value=9_999))
    ends = draw(st.integers(min_value=begins + 1, max_value=10_000))
    return Exclusion(group="rag", from_percent=begins / 100, to_percent=ends / 100)


states = st.builds(
    FlagState,
    slug=st.just("fusion"),
    phase=st.integers(min_value=1, max_value=50),
    stage=st.sampled_from((Stage.PROMOTED, Stage.GRADUATED, Stage.ROLLED_BACK)),
    traffic_percent=st.floats(min_value=0, max_value=100),
    unit=st.just("user_id"),
    changed_at=st.just(datetime(2026, 11, 22, tzinfo=UTC)),
    is_closed=st.booleans(),
    arms=st.integers(min_value=2, max_value=len(ARMS)).map(lambda count: ARMS[:count]),
    targeting=st.sampled_from(TARGETING),
    exclusion=st.none() | exclusions(),
    holdout=st.none() | st.builds(Holdout, name=st.just("search_2026"), percent=hundredths),
    requires=st.none() | st.just("parent"),
    winner=st.sampled_from(ARMS[1:]),
)


def served(state: FlagState) -> dict[str, Any]:
    return json.loads(render([state]).body)["features"][state.slug]


def is_on_the_grid(share: float) -> bool:
    return share == round(share, 4)


@given(states)
def test_boundaries_lie_on_buckets_and_follow_from_coverage_and_weights_too(state):
    for rule in served(state)["rules"]:
        if "force" in rule:
            continue
        starts = [round(start, 4) for start in (0, *itertools.accumulate(rule["weights"]))]
        made = [
            [start, round(start + round(rule["coverage"] * weight, 4), 4)]
            for start, weight in zip(starts, rule["weights"], strict=False)
        ]
        assert rule["ranges"] == made
        assert starts[-1] == 1
        assert all(map(is_on_the_grid, (*rule["weights"], *itertools.chain(*rule["ranges"]))))
        assert 0 <= rule["coverage"] <= 1
        assert len(rule["meta"]) == len(rule["variations"]) == len(rule["ranges"])


@given(states)
def test_arms_are_equal_do_not_overlap_and_are_never_wider_than_asked_for(state):
    (rule, *_) = [*(r for r in served(state)["rules"] if r.get("name") == state.slug), None]
    if rule is None:
        assert not state.is_test
        return
    widths = {round(end - start, 4) for start, end in rule["ranges"]}
    ends = [end for _, end in rule["ranges"]]
    assert len(widths) == 1
    assert all(end <= start for end, (start, _) in zip(ends, rule["ranges"][1:], strict=False))
    asked = state.traffic_percent / 100
    assert asked - len(state.arms) * 2e-4 <= sum(widths) * len(state.arms) <= asked + 1e-9


@given(states)
def test_nothing_is_null_or_forced_by_a_share_and_a_closed_flag_has_no_rule(state):
    body = render([state]).body
    feature = served(state)

    assert b"null" not in body
    assert not any("force" in rule and "coverage" in rule for rule in feature["rules"])
    assert all(rule["hashVersion"] == 2 for rule in feature["rules"] if "force" not in rule)
    if not state.is_test and not state.is_graduated:
        assert feature == {"defaultValue": "control", "rules": []}
    if state.is_test:
        assert feature["defaultValue"] == "control"


@pytest.mark.parametrize("count", range(2, 9))
@given(percents=st.lists(st.floats(min_value=0, max_value=100), min_size=2, max_size=2).map(sorted))
def test_a_ramp_only_lengthens_the_ranges_of_any_number_of_arms(count, percents):
    narrow, wide = (
        served(a_state(traffic_percent=percent, arms=ARMS[:count]))["rules"][0]["ranges"]
        for percent in percents
    )

    assert [start for start, _ in narrow] == [start for start, _ in wide]
    assert all(a <= b for (_, a), (_, b) in zip(narrow, wide, strict=True))


def a_state(**changes: Any) -> FlagState:
    state = {
        "slug": "fusion",
        "phase": 1,
        "stage": Stage.PROMOTED,
        "traffic_percent": 100.0,
        "unit": "user_id",
        "changed_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return FlagState(**state | changes)


def test_three_arms_share_the_units_as_the_contract_says():
    rule = served(a_state(arms=ARMS[:3]))["rules"][0]

    assert rule["variations"] == ["control", "treatment", "treatment_b"]
    assert rule["meta"][2] == {"key": "treatment_b", "name": "Treatment b"}
    assert rule["weights"] == [0.3333, 0.3334, 0.3333]
    assert rule["ranges"] == [[0, 0.3333], [0.3333, 0.6666], [0.6667, 1.0]]


def test_an_exclusion_and_a_prerequisite_are_rendered_as_the_contract_says():
    exclusion = Exclusion(group="rag", from_percent=0, to_percent=33.33)

    rule = served(a_state(exclusion=exclusion, requires="parent"))["rules"][0]

    assert rule["filters"] == [
        {"seed": "rag", "ranges": [[0.0, 0.3333]], "hashVersion": 2, "attribute": "user_id"}
    ]
    assert rule["parentConditions"] == [
        {"id": "parent", "condition": {"value": {"$in": [*ARMS[1:8]]}}}
    ]
    assert "condition" not in rule


def test_graduation_serves_those_whom_the_evidence_is_about():
    everybody = served(a_state(stage=Stage.GRADUATED))
    some = served(a_state(stage=Stage.GRADUATED, targeting={"country": "CH"}, winner="treatment_b"))

    assert everybody == {"defaultValue": "treatment", "rules": []}
    assert some == {
        "defaultValue": "control",
        "rules": [
            {
                "id": "fusion.p1.graduated",
                "force": "treatment_b",
                "hashAttribute": "user_id",
                "condition": {"country": {"$eq": "CH"}},
            }
        ],
    }


def test_a_graduated_flag_keeps_its_holdout_and_nothing_else():
    holdout = Holdout(name="search_2026", percent=5)
    exclusion = Exclusion(group="rag", from_percent=0, to_percent=50)

    feature = served(a_state(stage=Stage.GRADUATED, holdout=holdout, exclusion=exclusion))

    (rule,) = feature["rules"]
    assert feature["defaultValue"] == "treatment"
    assert (rule["key"], rule["ranges"]) == ("holdout-search_2026", [[0, 0.05], [0.05, 1]])
    assert rule["variations"] == ["control", "control"]
    assert [arm.get("passthrough") for arm in rule["meta"]] == [None, True]


@pytest.mark.parametrize(
    ("stated", "served_as"),
    [
        ({"a": "CH"}, {"a": {"$eq": "CH"}}),
        ({"a": {"$gt": 5}}, {"a": {"$type": "number", "$gt": 5}}),
        ({"a": {"$gte": "b", "$ne": "c"}}, {"a": {"$type": "string", "$gte": "b", "$ne": "c"}}),
        ({"a": {"$vlt": "2.0"}}, {"a": {"$type": "string", "$vlt": "2.0"}}),
        (
            {"$not": {"a": {"$not": {"$lt": 1}}}},
            {"$not": {"a": {"$not": {"$type": "number", "$lt": 1}}}},
        ),
        (
            {"$or": [{"a": {"$elemMatch": {"$lt": 1}}}]},
            {"$or": [{"a": {"$elemMatch": {"$type": "number", "$lt": 1}}}]},
        ),
    ],
)
def test_a_condition_says_of_each_comparison_which_type_it_is_meant_for(stated, served_as):
    assert condition(stated) == served_as

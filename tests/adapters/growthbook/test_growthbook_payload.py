from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.growthbook.payload import UpstreamFlags, render
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState

AT = datetime(2026, 11, 22, 8, 0, 29, 686_999, tzinfo=UTC)
STATE = FlagState(
    slug="hybrid_rrf",
    phase=2,
    stage=Stage.PROMOTED,
    traffic_percent=20.0,
    unit="user_id",
    changed_at=AT,
)


def feature(state: FlagState) -> dict:
    return json.loads(render([state]).body)["features"][state.slug]


def rule(percent: float) -> dict:
    return feature(replace(STATE, traffic_percent=percent))["rules"][0]


def test_a_running_test_is_rendered_field_by_field_as_the_contract_says():
    payload = render([STATE])

    assert json.loads(payload.body) == {
        "status": 200,
        "features": {
            "expplat": {"defaultValue": True},
            "hybrid_rrf": {
                "defaultValue": "control",
                "rules": [
                    {
                        "id": "hybrid_rrf.p2",
                        "key": "hybrid_rrf.p2",
                        "name": "hybrid_rrf",
                        "phase": "2",
                        "variations": ["control", "treatment"],
                        "meta": [
                            {"key": "control", "name": "Control"},
                            {"key": "treatment", "name": "Treatment"},
                        ],
                        "hashAttribute": "user_id",
                        "hashVersion": 2,
                        "seed": "hybrid_rrf.p2",
                        "weights": [0.5, 0.5],
                        "coverage": 0.2,
                        "ranges": [[0, 0.1], [0.5, 0.6]],
                        "disableStickyBucketing": True,
                    }
                ],
            },
        },
        "experiments": [],
        "savedGroups": {},
        "dateUpdated": "2026-11-22T08:00:29.686Z",
    }
    assert payload.revision == 1_795_334_429_686
    assert payload.etag.startswith('W/"r1795334429686-')


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({"stage": Stage.GRADUATED}, "treatment"),
        ({"stage": Stage.GRADUATED, "is_closed": True}, "control"),
        ({"stage": Stage.ROLLED_BACK}, "control"),
        ({"is_closed": True}, "control"),
    ],
)
def test_without_a_test_a_flag_is_a_constant(changes, value):
    assert feature(replace(STATE, **changes)) == {"defaultValue": value, "rules": []}


def test_the_features_are_never_empty():
    assert json.loads(render([]).body)["features"] == {"expplat": {"defaultValue": True}}


@given(st.floats(min_value=0, max_value=100))
def test_arms_are_equal_on_the_grid_of_buckets_and_never_wider_than_asked_for(percent):
    (zero, control_end), (half, treatment_end) = rule(percent)["ranges"]

    for boundary in (control_end, treatment_end):
        assert boundary == round(boundary, 4)
    assert (zero, half) == (0, 0.5)
    assert treatment_end - half == pytest.approx(control_end, abs=1e-12)
    assert rule(percent)["coverage"] == pytest.approx(2 * control_end, abs=1e-12)
    assert percent / 100 - 2e-4 - 1e-9 <= 2 * control_end <= percent / 100 + 1e-9


def test_a_ramp_only_lengthens_the_ranges():
    steps = [rule(percent) for percent in (5, 20, 50, 100)]

    for arm, start in ((0, 0), (1, 0.5)):
        ranges = [step["ranges"][arm] for step in steps]
        assert [low for low, _ in ranges] == [start] * 4
        assert [high for _, high in ranges] == sorted(high for _, high in ranges)
    assert steps[-1]["ranges"] == [[0, 0.5], [0.5, 1.0]]
    assert len({step["seed"] for step in steps}) == 1


def test_a_new_phase_is_a_new_key_and_a_new_seed():
    third = feature(replace(STATE, phase=3))["rules"][0]

    assert (third["key"], third["seed"]) == ("hybrid_rrf.p3", "hybrid_rrf.p3")


def test_the_same_flags_are_the_same_payload_whatever_else_happened():
    before = render([STATE])

    assert render([replace(STATE, changed_at=AT + timedelta(days=1))], before.served) == before
    assert render([STATE]).body == before.body


def test_another_payload_has_a_higher_revision_even_where_clocks_disagree():
    before = render([STATE])
    earlier = replace(STATE, traffic_percent=50.0, changed_at=AT - timedelta(days=1))

    after = render([earlier], before.served)

    assert after.revision == before.revision + 1
    assert after.revision > before.revision
    assert after.etag != before.etag


def test_the_order_of_the_flags_does_not_change_a_byte():
    other = replace(STATE, slug="a_first")

    assert render([STATE, other]).body == render([other, STATE]).body


def test_the_body_is_one_line_without_a_null():
    body = render([replace(STATE, unit="a\nb")]).body

    assert b"\n" not in body
    assert b"null" not in body


UPSTREAM = UpstreamFlags(
    features={"theirs": {"defaultValue": 1}, "hybrid_rrf": {"defaultValue": "theirs"}},
    experiments=[{"key": "visual"}],
    saved_groups={"staff": ["ada"]},
    changed_at=AT - timedelta(days=1),
)


def test_what_is_upstream_is_served_along_and_ours_wins():
    document = json.loads(render([STATE], None, UPSTREAM).body)

    assert document["features"]["theirs"] == {"defaultValue": 1}
    assert document["features"]["hybrid_rrf"] == feature(STATE)
    assert document["experiments"] == [{"key": "visual"}]
    assert document["savedGroups"] == {"staff": ["ada"]}


def test_the_newer_of_the_two_changes_is_the_revision():
    newer = replace(UPSTREAM, changed_at=AT + timedelta(days=1))

    assert render([STATE], None, UPSTREAM).revision == render([STATE]).revision
    assert render([STATE], None, newer).revision > render([STATE]).revision


@pytest.mark.parametrize(
    "change", [{"features": {}}, {"experiments": []}, {"saved_groups": {"staff": []}}]
)
def test_each_change_upstream_is_a_new_revision_and_the_same_again_is_none(change):
    before = render([STATE], None, UPSTREAM)

    again = render([STATE], before.served, replace(UPSTREAM, changed_at=AT))
    changed = render([STATE], before.served, replace(UPSTREAM, **change))

    assert again == before
    assert changed.revision == before.revision + 1


def test_it_is_known_which_flags_are_ours():
    assert render([STATE], None, UPSTREAM).slugs == {"hybrid_rrf", "expplat"}

from __future__ import annotations

import pytest

from expplat.adapters.wire import growthbook_track

JAVASCRIPT = {
    "event_name": "Experiment Viewed",
    "properties_json": {
        "experimentId": "poc.p1",
        "variationId": "treatment",
        "hashAttribute": "user_id",
        "hashValue": "user-1",
    },
    "user_id": "user-1",
    "device_id": "device-1",
    "session_id": None,
    "url": "https://shop.test/",
    "context_json": {"plan": "pro"},
    "sdk_language": "js",
}
PYTHON = {
    "event_name": "$$experiment_viewed",
    "properties_json": {
        "experiment_id": "poc.p1",
        "variation_id": 1,
        "variation_key": "treatment",
        "in_experiment": True,
        "hash_used": True,
        "hash_attribute": "user_id",
        "hash_value": "user-1",
    },
    "user_id": "user-1",
    "context_json": {"plan": "pro"},
    "sdk_language": "python",
}
PHP = {
    "event_name": "Experiment Viewed",
    "properties": {"experimentId": "poc.p1", "variationId": 1},
    "attributes": {"id": "user-1", "plan": "pro"},
}


def translate(event):
    return growthbook_track.translate(event, lambda: "new")


@pytest.mark.parametrize("event", [JAVASCRIPT, PYTHON, PHP])
def test_every_plugin_says_who_was_shown_what(event):
    incoming = translate(event)

    assert incoming.kind == "exposure"
    assert incoming.event["experiment"] == "poc.p1"
    assert incoming.event["variation"] in ("treatment", 1)
    assert incoming.event["unit"] == "user-1"
    assert incoming.event["attributes"]["plan"] == "pro"
    assert {"id", "timestamp"}.isdisjoint(incoming.event)


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({"properties_json": {"hashAttribute": "id"}}, "device-1"),
        ({"properties_json": {"hashAttribute": "plan"}}, "pro"),
        ({"properties_json": {"hashAttribute": "user_id"}}, "user-1"),
        ({"properties_json": {}}, "user-1"),
        ({"properties_json": {}, "user_id": None}, "device-1"),
        ({"properties_json": {"hashValue": 17}}, "17"),
        ({"properties_json": {}, "user_id": None, "device_id": None}, None),
    ],
)
def test_a_unit_is_what_was_hashed_else_user_else_device(changes, unit):
    incoming = translate(JAVASCRIPT | changes)

    assert incoming.event.get("unit") == unit


def test_an_event_of_another_name_is_an_outcome_with_an_id_of_ours():
    event = JAVASCRIPT | {"event_name": "Answer Rated", "properties_json": {"value": 4}}

    incoming = translate(event)

    assert incoming.kind == "outcome"
    assert incoming.event == {
        "id": "new",
        "metric": "Answer Rated",
        "value": 4,
        "unit": "user-1",
        "properties": {"value": 4},
    }


@pytest.mark.parametrize(
    "event",
    [
        JAVASCRIPT | {"event_name": "Feature Evaluated"},
        PYTHON | {"event_name": "$$feature_evaluated"},
        PYTHON | {"properties_json": PYTHON["properties_json"] | {"in_experiment": False}},
    ],
)
def test_evaluations_and_those_outside_are_ignored(event):
    assert translate(event).kind == "ignored"


@pytest.mark.parametrize(
    "event", [None, 5, [], {}, {"event_name": {}}, {"event_name": "x", "properties_json": [1]}]
)
def test_nonsense_is_handed_on_to_be_refused(event):
    assert translate(event).kind == "outcome"

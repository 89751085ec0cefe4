from __future__ import annotations

import pytest

from expplat.adapters.wire import segment

TRACK = {
    "type": "track",
    "event": "Experiment Viewed",
    "messageId": "m1",
    "userId": "user-1",
    "anonymousId": "browser-1",
    "timestamp": "2026-06-01T12:00:00.000+00:00",
    "context": {"ip": "10.0.0.1"},
    "properties": {"experiment_id": "hybrid_rrf.p1", "variation_id": "treatment"},
}


def a_track(**changes):
    properties = changes.pop("properties", TRACK["properties"])
    return TRACK | changes | {"properties": properties}


def test_a_view_is_an_exposure_with_the_id_of_its_message():
    incoming = segment.translate(TRACK)

    assert incoming.kind == "exposure"
    assert incoming.event == {
        "id": "m1",
        "experiment": "hybrid_rrf.p1",
        "variation": "treatment",
        "unit": "user-1",
        "timestamp": "2026-06-01T12:00:00.000+00:00",
        "properties": TRACK["properties"],
    }


@pytest.mark.parametrize(
    ("event", "properties"),
    [
        ("experiment_viewed", {"experimentId": "poc", "variationId": "control"}),
        ("$$experiment_viewed", {"experiment_id": "poc", "variation_key": "control"}),
        ("$feature_flag_called", {"$feature_flag": "poc", "$feature_flag_response": "control"}),
        ("$experiment_started", {"Experiment name": "poc", "Variant name": "control"}),
    ],
)
def test_exposures_go_by_many_names(event, properties):
    incoming = segment.translate(a_track(event=event, properties=properties))

    assert incoming.kind == "exposure"
    assert (incoming.event["experiment"], incoming.event["variation"]) == ("poc", "control")


@pytest.mark.parametrize(
    ("properties", "variation"),
    [
        ({"variation_id": 1}, 1),
        ({"variation_id": "1"}, 1),
        ({"variation_id": 1, "variation_key": "control"}, "control"),
        ({"variationId": "treatment_b"}, "treatment_b"),
        ({"variation_id": 0}, 0),
        ({"variation_id": "1234567890"}, "1234567890"),
    ],
)
def test_a_variation_is_a_name_first_and_a_number_else(properties, variation):
    incoming = segment.translate(a_track(properties={"experiment_id": "poc"} | properties))

    assert incoming.event["variation"] == variation


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({}, "user-1"),
        ({"userId": None}, "browser-1"),
        ({"userId": 17}, "17"),
        ({"properties": {"hash_value": "tenant-9"}}, "tenant-9"),
        ({"properties": {"hashValue": 9}}, "9"),
        ({"properties": {"hashAttribute": "anonymous_id"}}, "browser-1"),
        ({"properties": {"hash_attribute": "user_id"}}, "user-1"),
        ({"properties": {"hash_attribute": "tenant"}}, "user-1"),
        ({"properties": {"hash_attribute": []}}, "user-1"),
    ],
)
@pytest.mark.parametrize("event", ["Experiment Viewed", "task_success"])
def test_a_unit_is_what_was_hashed_else_the_user(event, changes, unit):
    incoming = segment.translate(a_track(event=event, **changes))

    assert incoming.event["unit"] == unit


@pytest.mark.parametrize(
    ("properties", "value"),
    [({"value": 0}, 0), ({"revenue": 9.5}, 9.5), ({"value": 1, "revenue": 2}, 1), ({}, None)],
)
def test_every_other_event_is_an_outcome_of_its_name(properties, value):
    incoming = segment.translate(a_track(event="Order Completed", properties=properties))

    assert incoming.kind == "outcome"
    assert incoming.event["metric"] == "Order Completed"
    assert incoming.event.get("value") == value


@pytest.mark.parametrize(
    ("stated", "instant"),
    [
        ("2026-06-01T12:00:00Z", "2026-06-01T12:00:00Z"),
        (1_780_315_200, "2026-06-01T12:00:00+00:00"),
        (1_780_315_200_250, "2026-06-01T12:00:00.250000+00:00"),
        (10**30, 10**30),
        (10**400, 10**400),
        (float("inf"), float("inf")),
        (True, True),
        ("soon", "soon"),
    ],
)
def test_a_time_may_be_a_number_since_1970(stated, instant):
    incoming = segment.translate(a_track(timestamp=stated))

    assert incoming.event["timestamp"] == instant


@pytest.mark.parametrize(
    "event",
    [
        {"type": "identify", "userId": "u", "traits": {}},
        {"type": "page", "name": "Home"},
        a_track(event="Feature Evaluated"),
        a_track(event="$$feature_evaluated"),
        a_track(properties={"experiment_id": "poc", "in_experiment": False}),
    ],
)
def test_what_is_neither_is_ignored(event):
    assert segment.translate(event).kind == "ignored"


@pytest.mark.parametrize("event", [None, 5, "text", [], {}, {"type": "track", "event": []}])
def test_nonsense_is_handed_on_to_be_refused(event):
    assert segment.translate(event).kind == "outcome"


@pytest.mark.parametrize(
    "document",
    [{"writeKey": "eik_x", "sentAt": "2026-06-01T12:00:00Z"}, {}, [], None, {"writeKey": 5}],
)
def test_key_and_moment_of_sending_stand_beside_the_batch(document):
    is_whole = isinstance(document, dict) and len(document) == 2

    assert segment.write_key(document) == ("eik_x" if is_whole else None)
    assert (segment.sent_at(document) is not None) is is_whole

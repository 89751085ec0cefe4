"""What clients of Segment, RudderStack and GrowthBook send, over a real socket."""

from __future__ import annotations

import base64
import gzip
import json
import logging

import pytest

from expplat.api.access import HideKeys

VIEW = {
    "type": "track",
    "event": "Experiment Viewed",
    "messageId": "m1",
    "userId": "u1",
    "properties": {"experiment_id": "hybrid_rrf.p1", "variation_id": "treatment"},
}
RATED = {"type": "track", "event": "rated", "messageId": "m2", "userId": "u1", "properties": {}}
TRACKED = {
    "event_name": "Experiment Viewed",
    "properties_json": {
        "experimentId": "hybrid_rrf.p1",
        "variationId": "treatment",
        "hashAttribute": "user_id",
        "hashValue": "u1",
    },
    "user_id": "u1",
}


@pytest.fixture
def server(shared_server):
    return shared_server


@pytest.fixture
def walk(shared_walk):
    return shared_walk


@pytest.fixture
def ingest(walk):
    """An ingest key of this test's own."""
    return walk.key("ingest")


@pytest.fixture
def browser(walk):
    """A client key of this test's own that may send events."""
    return walk.key("client", writes_events=True)


def basic(secret):
    return {"Authorization": f"Basic {base64.b64encode(f'{secret}:'.encode()).decode()}"}


def test_a_batch_of_calls_is_exposures_outcomes_and_the_rest(server, ingest):
    bad = VIEW | {"messageId": "m3", "properties": {"experiment_id": "nothing"}}
    body = {"batch": [VIEW, {"type": "page"}, RATED, bad, VIEW]}

    answer = server.post("/v1/batch", json=body, headers=basic(ingest))

    receipt = answer.json()
    assert answer.status_code == 200
    assert (receipt["received"], receipt["accepted"], receipt["duplicates"]) == (5, 2, 1)
    assert (receipt["ignored"], receipt["rejected"], receipt["success"]) == (1, 1, True)
    assert [(fault["index"], fault["id"]) for fault in receipt["errors"]] == [(3, "m3")]


def test_the_write_key_may_stand_in_the_body_alone(server, ingest):
    answer = server.post("/v1/batch", json={"batch": [RATED], "writeKey": ingest})

    assert answer.json()["accepted"] == 1


def test_the_key_of_the_header_stands_above_that_of_the_body(server, ingest):
    body = {"batch": [RATED], "writeKey": ingest}

    answer = server.post("/v1/batch", json=body, headers=basic("eik_unknown"))

    assert answer.status_code == 401


@pytest.mark.parametrize("body", [{"batch": []}, {"batch": [], "writeKey": 5}, []])
def test_a_batch_without_a_key_is_refused(server, body):
    assert server.post("/v1/batch", json=body).status_code == 401


def test_a_key_that_opens_something_else_is_refused(server, walk):
    for kind in ("client", "admin"):
        secret = walk.key(kind)

        assert server.post("/v1/batch", json=[], headers=basic(secret)).status_code == 403
        assert server.post("/track", params={"client_key": secret}, json=[]).status_code == 403


@pytest.mark.parametrize("key", ["ingest", "browser"])
def test_a_plugin_sends_text_with_its_key_in_the_address(server, request, key):
    secret = request.getfixturevalue(key)
    rated = TRACKED | {"event_name": "rated", "properties_json": {"value": 3}}
    seen = TRACKED | {"event_name": "Feature Evaluated"}

    answer = server.post(
        "/track",
        params={"client_key": secret},
        content=json.dumps([TRACKED, rated, rated, seen]),
        headers={"Content-Type": "text/plain;charset=UTF-8", "Origin": "https://shop.test"},
    )

    receipt = answer.json()
    assert (receipt["accepted"], receipt["ignored"], receipt["rejected"]) == (3, 1, 0)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_page_may_ask_before_it_sends(server, browser):
    answer = server.options(
        "/track",
        params={"client_key": browser},
        headers={"Origin": "https://shop.test", "Access-Control-Request-Method": "POST"},
    )

    assert answer.status_code == 200
    assert "POST" in answer.headers["access-control-allow-methods"]


def test_an_unknown_key_is_told_with_cors(server):
    answer = server.post("/track", params={"client_key": "sdk-unknown"}, json=[TRACKED])

    assert answer.status_code == 401
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_secret_in_an_address_is_not_logged_whole(walk, ingest):
    arguments = ("1.2.3.4", "POST", f"/track?client_key={ingest}", "1.1", 200)
    record = logging.LogRecord("uvicorn.access", 20, "", 0, "%s %s %s %s %s", arguments, None)
    HideKeys().filter(record)

    assert ingest not in record.getMessage()


HOSTILE = {
    "nothing": b"",
    "half": b'{"batch": [',
    "NaN": b'{"batch": [{"event": "x", "properties": {"value": NaN}}]}',
    "deep": b"[" * 200_000,
    "number": b"5",
    "null": b"null",
    "batch of null": b'{"batch": null}',
    "not utf-8": b'["\xff\xfe"]',
}


@pytest.mark.parametrize("path", ["/v1/batch", "/track"])
@pytest.mark.parametrize("name", HOSTILE)
def test_what_cannot_be_read_is_the_senders_fault(server, ingest, path, name):
    answer = server.post(path, content=HOSTILE[name], headers=basic(ingest))

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


NONSENSE = [
    b"5",
    b"null",
    b"[]",
    b'"text"',
    b"{}",
    b'{"event":"m","event_name":"m","userId":{},"user_id":[],"messageId":[]}',
    b'{"event":"m","event_name":"m","userId":"\\ud800","user_id":"\\ud800","messageId":"a"}',
    b'{"event":"m","event_name":"m","userId":"u","user_id":"u","messageId":"a",'
    b'"properties":{"value":1e400}}',
    b'{"event":"m","event_name":"m","userId":"u","user_id":"u","messageId":"a","properties":[1]}',
    b'{"event":"m","event_name":"m","userId":"u","user_id":"u","messageId":"a","timestamp":1e300}',
    b'{"event":"m","event_name":"m","userId":"u","user_id":"u","messageId":"a","properties":'
    b'{"x":' + b"[" * 900 + b"]" * 900 + b"}}",
]


@pytest.mark.parametrize("path", ["/v1/batch", "/track"])
@pytest.mark.parametrize("event", NONSENSE)
def test_nonsense_is_refused_and_its_neighbours_are_kept(server, ingest, path, event):
    good = json.dumps(RATED | TRACKED).encode()

    answer = server.post(path, content=b"[" + event + b"," + good + b"]", headers=basic(ingest))

    assert answer.status_code == 200
    assert answer.json()["accepted"] >= 1
    assert answer.json()["received"] == 2


@pytest.mark.parametrize("path", ["/v1/batch", "/track"])
@pytest.mark.parametrize(
    ("content", "headers", "status"),
    [
        (gzip.compress(b'[{"event":"m"}]'), {"Content-Encoding": "gzip"}, 200),
        (gzip.compress(b" " * 20_000_000), {"Content-Encoding": "gzip"}, 413),
        (b"x", {"Content-Encoding": "gzip"}, 400),
        (b"[" + b",".join([b"{}"] * 5_001) + b"]", {}, 413),
        (b"[" + b" " * 1_000_000 + b"]", {}, 413),
        (b"[]", {"Content-Type": "application/x-www-form-urlencoded"}, 415),
        (b"[]", {"Content-Encoding": "br"}, 415),
    ],
)
def test_bodies_have_limits(server, ingest, path, content, headers, status):
    answer = server.post(path, content=content, headers=basic(ingest) | headers)

    assert answer.status_code == status

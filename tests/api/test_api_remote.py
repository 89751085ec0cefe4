"""Flags of one user, evaluated here, over a real socket."""

from __future__ import annotations

import json

import pytest

from tests.serving import eventually

SLUG = "hybrid_rrf"
USER = {"attributes": {"user_id": "user-1"}}


@pytest.fixture
def key(walk):
    return walk.key("client", delivery="remote")


@pytest.fixture
def promoted(walk, server, key):
    walk.promote(SLUG, 100.0)
    eventually(lambda: SLUG in evaluated(server, key).json()["features"])


def evaluated(server, key, body=None, **options):
    if body is None:
        body = USER
    return server.post(f"/api/eval/{key}", json=body, **options)


def test_every_flag_is_only_what_it_is_for_the_user(server, key, promoted):
    answer = evaluated(server, key)

    document = answer.json()
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-sse-support"] == "enabled"
    assert document["features"]["expplat"] == {"defaultValue": True}
    flag = document["features"][SLUG]
    (rule,) = flag["rules"]
    assert set(flag) == {"defaultValue", "rules"}
    assert set(rule) == {"force", "tracks"}
    assert flag["defaultValue"] == rule["force"]
    (track,) = rule["tracks"]
    assert track["experiment"]["key"] == f"{SLUG}.p1"
    assert track["result"]["hashValue"] == "user-1"
    assert track["result"]["value"] == rule["force"]
    assert track["experiment"]["variations"].count({}) == 1
    assert "condition" not in track["experiment"]
    assert None not in track["experiment"].values()


def test_users_fall_into_both_arms(server, key, promoted):
    users = [{"attributes": {"user_id": f"user-{i}"}} for i in range(30)]

    values = {evaluated(server, key, u).json()["features"][SLUG]["defaultValue"] for u in users}

    assert values == {"control", "treatment"}


def test_a_user_without_the_attribute_gets_control_and_is_not_tracked(server, key, promoted):
    flag = evaluated(server, key, {}).json()["features"][SLUG]

    assert flag == {"defaultValue": "control"}


def test_a_forced_variation_is_given_and_not_tracked(server, key, promoted):
    values = []
    for index in (0, 1):
        body = USER | {"forcedVariations": {f"{SLUG}.p1": index}}
        values.append(evaluated(server, key, body).json()["features"][SLUG])

    assert values == [{"defaultValue": "control"}, {"defaultValue": "treatment"}]


def test_a_forced_feature_is_given_whatever_its_rules_say(server, key, promoted):
    body = USER | {"forcedFeatures": [[SLUG, "forced"], ["nothing_of_this_name", 1]]}

    features = evaluated(server, key, body).json()["features"]

    assert features[SLUG] == {"defaultValue": "forced"}
    assert "nothing_of_this_name" not in features


def test_a_rollback_has_another_date_and_another_value(server, walk, key, promoted):
    before = evaluated(server, key).json()
    walk.roll_back(SLUG)

    eventually(lambda: evaluated(server, key).json()["dateUpdated"] > before["dateUpdated"])

    assert evaluated(server, key).json()["features"][SLUG] == {"defaultValue": "control"}


@pytest.mark.parametrize("delivery", ["plain", "encrypted"])
def test_a_key_whose_clients_evaluate_themselves_is_refused(server, walk, delivery):
    answer = evaluated(server, walk.key("client", delivery=delivery))

    assert answer.status_code == 400
    assert answer.json()["status"] == 400


def test_an_unknown_key_gets_what_sdks_understand(server):
    answer = evaluated(server, "sdk-unknown")

    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "error": "Invalid API Key"}
    assert answer.headers["x-unrecoverable"] == "1"


BROKEN = [
    b"",
    b"{",
    b"[]",
    b'{"attributes":[1]}',
    b'{"attributes":{"user_id":NaN}}',
    b'{"attributes":{"user_id":1e400}}',
    b'{"attributes":{"user_id":' + b"9" * 5_000 + b"}}",
    b'{"attributes":' + b'{"a":' * 40 + b"1" + b"}" * 41,
    b"[" * 100_000,
    b"\xff\xfe",
    b'{"forcedVariations":{"a":"treatment"}}',
    b'{"forcedVariations":{"a":true}}',
    b'{"forcedFeatures":[["a"]]}',
    b'{"forcedFeatures":[[["a"],1]]}',
    b'{"forcedFeatures":{"a":1}}',
    b'{"url":1}',
    b'{"url":"http://["}',
    json.dumps({"attributes": {f"a{i}": i for i in range(1_001)}}).encode(),
    json.dumps({"forcedVariations": {f"a{i}": i for i in range(1_001)}}).encode(),
    json.dumps({"forcedFeatures": [["a", i] for i in range(1_001)]}).encode(),
]


@pytest.mark.parametrize("body", BROKEN, ids=range(len(BROKEN)))
def test_a_malformed_body_is_refused_in_the_form_that_sdks_read(server, key, promoted, body):
    answer = server.post(f"/api/eval/{key}", content=body)

    assert answer.status_code == 400
    assert answer.json()["status"] == 400
    assert "user-1" not in answer.text


@pytest.mark.parametrize("value", ["\ud800", "ü" * 1000, 0, -1.5, True, None, [], {"a": [1]}])
def test_strange_attributes_are_evaluated(server, key, promoted, value):
    answer = server.post(f"/api/eval/{key}", content=json.dumps({"attributes": {"user_id": value}}))

    assert answer.status_code == 200
    assert answer.json()["features"][SLUG]["defaultValue"] in ("control", "treatment")


def test_a_body_over_the_limit_is_refused(server, key):
    answer = server.post(f"/api/eval/{key}", content=b" " * 1_100_000)

    assert answer.status_code == 413


@pytest.mark.parametrize(
    "path", ["/api/features/sdk-x", "/sub/sdk-x", "/api/eval/sdk-x", "/ofrep/v1/evaluate/flags"]
)
def test_a_preflight_allows_every_header_that_clients_send(server, path):
    headers = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type,x-api-key,if-none-match",
    }

    answer = server.options(path, headers=headers)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert {"GET", "POST"} <= set(answer.headers["access-control-allow-methods"].split(", "))
    allowed = answer.headers["access-control-allow-headers"].split(", ")
    assert {"*", "Authorization"} <= set(allowed)  # the asterisk does not stand for it
    assert "access-control-allow-credentials" not in answer.headers


def test_pages_elsewhere_are_not_let_in_to_anything_else(server):
    for path in ("/", "/v1/pocs", "/health"):
        assert "access-control-allow-origin" not in server.get(path).headers

"""The OpenFeature Remote Evaluation Protocol, over a real socket."""

from __future__ import annotations

import json

import httpx2
import pytest
from sqlalchemy import select

from expplat.adapters.sql.tables import exposures
from expplat.api.memory import exposure_log
from expplat.errors import DatabaseError
from tests.serving import EventStream, eventually, serving

SLUG = "hybrid_rrf"
BULK = "/ofrep/v1/evaluate/flags"
ONE = f"{BULK}/{SLUG}"


@pytest.fixture
def key(walk):
    return walk.key("client")


@pytest.fixture
def promoted(walk, server, key):
    walk.promote(SLUG, 100.0)
    eventually(lambda: ask(server, key).status_code == 200)


def ask(server, key, path=ONE, **context):
    body = {"context": context or {"targetingKey": "user-1"}}
    return server.post(path, json=body, headers={"Authorization": f"Bearer {key}"})


def kept(platform):
    with platform.sql_engine.connect() as connection:
        rows = connection.execute(select(exposures.c.unit, exposures.c.variant, exposures.c.phase))
        return sorted(map(tuple, rows))


def test_a_user_in_a_test_is_told_arm_and_experiment(server, key, promoted):
    answer = ask(server, key)

    document = answer.json()
    assert document["key"] == SLUG
    assert document["reason"] == "SPLIT"
    assert document["value"] == document["variant"]
    assert document["value"] in ("control", "treatment")
    assert document["metadata"] == {"experiment": f"{SLUG}.p1"}
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["access-control-allow-origin"] == "*"


def test_the_targeting_key_is_the_unit_unless_the_context_names_the_unit(server, key, promoted):
    users = [f"user-{i}" for i in range(20)]
    by_key = [ask(server, key, targetingKey=user).json()["variant"] for user in users]
    by_name = [ask(server, key, user_id=user).json()["variant"] for user in users]
    by_both = [ask(server, key, targetingKey="x", user_id=u).json()["variant"] for u in users]

    assert by_key == by_name == by_both
    assert set(by_key) == {"control", "treatment"}


def test_outside_of_the_test_the_default_is_given(server, key, walk):
    walk.promote(SLUG, 0.02)
    eventually(lambda: ask(server, key).status_code == 200)

    document = ask(server, key).json()

    assert (document["reason"], document["variant"]) == ("DEFAULT", "control")
    assert document["metadata"] == {}


@pytest.mark.parametrize("is_graduated", [True, False])
def test_after_the_test_everybody_is_given_one_value_without_a_unit(
    server, key, walk, promoted, is_graduated
):
    (walk.graduate if is_graduated else walk.roll_back)(SLUG)
    eventually(lambda: ask(server, key).json()["reason"] == "STATIC")

    document = server.post(ONE, headers={"X-API-Key": key}).json()

    assert document["value"] == ("treatment" if is_graduated else "control")
    assert document["variant"] == document["value"]


def test_a_flag_that_is_no_text_has_a_variant_too(server, key, promoted):
    document = ask(server, key, f"{BULK}/expplat").json()

    assert (document["value"], document["variant"], document["reason"]) == (True, "on", "STATIC")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "PARSE_ERROR"),
        (b"[]", 400, "PARSE_ERROR"),
        (b'{"context":{"a":1e400}}', 400, "PARSE_ERROR"),
        (b'{"context":[1]}', 400, "INVALID_CONTEXT"),
        (b'{"context":{"targetingKey":7}}', 400, "INVALID_CONTEXT"),
        (b'{"context":{}}', 400, "TARGETING_KEY_MISSING"),
        (b"{}", 400, "TARGETING_KEY_MISSING"),
        (b"", 400, "TARGETING_KEY_MISSING"),
        (b'{"context":{"targetingKey":""}}', 400, "TARGETING_KEY_MISSING"),
    ],
)
def test_a_request_that_cannot_be_evaluated_is_told_why(server, key, promoted, body, status, code):
    answer = server.post(ONE, content=body, headers={"X-API-Key": key})

    assert answer.status_code == status
    assert answer.json()["key"] == SLUG
    assert answer.json()["errorCode"] == code
    assert answer.json()["errorDetails"]


def test_an_unknown_flag_is_not_found(server, key, promoted):
    answer = ask(server, key, f"{BULK}/nothing")

    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "FLAG_NOT_FOUND"
    assert answer.json()["errorDetails"]


@pytest.mark.parametrize("path", [ONE, BULK])
@pytest.mark.parametrize("kind", ["none", "unknown", "ingest", "admin"])
def test_only_a_client_key_opens_it(server, walk, path, kind):
    made = {"none": "", "unknown": "sdk-unknown"}
    secret = made[kind] if kind in made else walk.key(kind)
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}

    answer = server.post(path, json={}, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["errorDetails"]
    assert answer.headers["access-control-allow-origin"] == "*"


def test_all_flags_come_at_once_and_a_client_that_has_them_is_told_so(server, key, promoted):
    answer = ask(server, key, BULK)
    headers = {"X-API-Key": key, "If-None-Match": answer.headers["etag"]}
    body = {"context": {"targetingKey": "user-1"}}

    again = server.post(BULK, json=body, headers=headers)
    users = ({"context": {"targetingKey": f"u{i}"}} for i in range(20))
    others = {server.post(BULK, json=user, headers=headers).status_code for user in users}

    flags = {flag["key"]: flag for flag in answer.json()["flags"]}
    assert flags[SLUG] == ask(server, key).json()
    assert set(flags) == {SLUG, "expplat"}
    assert (again.status_code, again.content) == (304, b"")
    assert others == {200, 304}  # the other arm, and the same one


def test_of_all_flags_only_that_which_needs_a_unit_fails_without_one(server, key, promoted):
    flags = server.post(BULK, json={}, headers={"X-API-Key": key}).json()["flags"]

    by_key = {flag["key"]: flag for flag in flags}
    assert by_key["expplat"]["value"] is True
    assert by_key[SLUG]["errorCode"] == "TARGETING_KEY_MISSING"


def test_a_change_is_said_on_the_stream_that_the_answer_names(server, key, walk, promoted):
    answer = ask(server, key, BULK)
    (stream,) = answer.json()["eventStreams"]
    assert stream["type"] == "sse"
    assert stream["inactivityDelaySec"] > 0
    events = EventStream(f"{server.base_url}{stream['endpoint']['requestUri']}")
    eventually(lambda: events.payloads)

    walk.graduate(SLUG)

    assert eventually(lambda: len(events.payloads) == 2) < 1.0
    assert not [line for line in events.lines if line.startswith("event:")]
    message = events.payloads[-1]
    assert message["type"] == "refetchEvaluation"
    assert message["etag"] == server.get(f"/api/features/{key}").headers["etag"]
    assert isinstance(message["lastModified"], int)
    headers = {"X-API-Key": key, "If-None-Match": answer.headers["etag"]}
    fresh = server.post(BULK, json={"context": {"targetingKey": "user-1"}}, headers=headers)
    assert fresh.status_code == 200


def test_a_stream_without_a_key_is_refused(server):
    assert server.get("/ofrep/v1/stream").status_code == 401
    assert server.get("/ofrep/v1/stream?client_key=sdk-x").status_code == 401


def test_an_evaluation_by_a_key_that_writes_events_is_kept_as_exposure_once(
    server, walk, platform, promoted
):
    key = walk.key("client", writes_events=True)
    variants = {}
    for _ in range(3):
        for user in ("u1", "u2", "u3"):
            variants[user] = ask(server, key, targetingKey=user).json()["variant"]
        ask(server, key, BULK, targetingKey="u4")
    ask(server, key, f"{BULK}/expplat", targetingKey="u5")

    assert [(unit, variant) for unit, variant, _ in kept(platform) if unit != "u4"] == sorted(
        variants.items()
    )
    assert [unit for unit, _, _ in kept(platform)] == ["u1", "u2", "u3", "u4"]


def test_an_evaluation_by_a_key_that_only_reads_is_no_exposure(server, key, platform, promoted):
    ask(server, key, targetingKey="u1")

    assert kept(platform) == []


def test_flags_are_evaluated_while_the_database_is_away_and_kept_when_it_is_back(
    platform, walk, monkeypatch
):
    key = walk.key("client", writes_events=True)
    walk.promote(SLUG, 100.0)
    monkeypatch.setattr(exposure_log, "RETRY_S", 0.1)
    true_uow = platform.uow

    def away(**options):
        raise DatabaseError("The database does not answer.")

    with serving(platform) as address, httpx2.Client(base_url=address) as server:
        ask(server, key, targetingKey="u0")
        monkeypatch.setattr(platform, "uow", away)

        answers = [ask(server, key, targetingKey=f"u{i}") for i in range(1, 6)]

        assert {answer.status_code for answer in answers} == {200}
        assert max(answer.elapsed.total_seconds() for answer in answers) < 1.0
        assert [unit for unit, _, _ in kept(platform)] == ["u0"]
        monkeypatch.setattr(platform, "uow", true_uow)
        eventually(lambda: len(kept(platform)) == 6)


def test_what_waits_is_kept_when_the_server_ends(platform, walk):
    key = walk.key("client", writes_events=True)
    walk.promote(SLUG, 100.0)
    with serving(platform) as address, httpx2.Client(base_url=address) as server:
        bodies = [json.dumps({"context": {"targetingKey": f"u{i}"}}) for i in range(50)]
        for body in bodies:
            server.post(ONE, content=body, headers={"X-API-Key": key})

    assert len(kept(platform)) == 50

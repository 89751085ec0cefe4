"""How the clients of each key are served: plain, encrypted, or only told to ask again."""

from __future__ import annotations

import json
import logging

import growthbook
import httpx2
import pytest

from expplat.api.memory import deliveries
from expplat.flow import keys
from tests.serving import EventStream, ServerProcess, eventually, serving

SLUG = "hybrid_rrf"


@pytest.fixture
def promoted(walk, server):
    """A server that serves a test."""
    key = walk.key("client")
    walk.promote(SLUG, 50.0)
    eventually(lambda: SLUG in server.get(f"/api/features/{key}").json()["features"])
    return server.get(f"/api/features/{key}").json()


def opened(document, payload_key):
    return {
        name: json.loads(growthbook.decrypt(document[f"encrypted{name.title()}"], payload_key))
        for name in ("features", "experiments")
    } | {
        "savedGroups": json.loads(growthbook.decrypt(document["encryptedSavedGroups"], payload_key))
    }


def test_an_encrypted_payload_holds_what_a_plain_one_shows(server, walk, promoted):
    key = walk.new_key("client", delivery="encrypted")

    answer = server.get(f"/api/features/{key.secret}")

    document = answer.json()
    assert (document["features"], document["experiments"]) == ({}, [])
    assert "savedGroups" not in document
    plain = {name: promoted[name] for name in ("features", "experiments", "savedGroups")}
    assert opened(document, key.key.payload_key) == plain
    assert document["dateUpdated"] == promoted["dateUpdated"]
    assert answer.headers["x-sse-support"] == "enabled"


def test_a_client_that_has_the_encrypted_flags_is_told_so(server, walk, promoted):
    path = f"/api/features/{walk.key('client', delivery='encrypted')}"
    etag = server.get(path).headers["etag"]

    answer = server.get(path, headers={"If-None-Match": etag})

    assert (answer.status_code, answer.content) == (304, b"")
    walk.graduate(SLUG)
    eventually(lambda: server.get(path, headers={"If-None-Match": etag}).status_code == 200)


def test_two_keys_encrypt_differently(server, walk, promoted):
    paths = [f"/api/features/{walk.key('client', delivery='encrypted')}" for _ in range(2)]

    one, other = (server.get(path) for path in paths)

    assert one.json()["encryptedFeatures"] != other.json()["encryptedFeatures"]
    assert one.headers["etag"] != other.headers["etag"]


def test_another_process_serves_the_same_encrypted_bytes(platform, walk):
    path = f"/api/features/{walk.key('client', delivery='encrypted')}"
    walk.promote(SLUG, 20.0)
    processes = [ServerProcess(platform.settings.workspace) for _ in range(2)]
    with processes[0], processes[1]:
        answers = [httpx2.get(process.address + path) for process in processes]

    assert answers[0].content == answers[1].content
    assert answers[0].headers["etag"] == answers[1].headers["etag"]


def test_an_encrypted_stream_sends_what_the_endpoint_answers(server, walk, promoted):
    key = walk.key("client", delivery="encrypted")
    events = EventStream(f"{server.base_url}/sub/{key}")
    eventually(lambda: events.payloads)

    walk.graduate(SLUG)

    assert eventually(lambda: len(events.payloads) == 2) < 1.0
    assert events.payloads[-1] == server.get(f"/api/features/{key}").json()
    assert events.lines.count("event: features") == 2


def test_a_rotated_key_serves_the_same_bytes_as_the_old_one(server, walk, platform, promoted):
    old = walk.new_key("client", delivery="encrypted")
    new = keys.rotate(old.key.key_id, uow=platform.uow(), now=platform.now)

    assert (
        server.get(f"/api/features/{old.secret}").content
        == server.get(f"/api/features/{new.secret}").content
    )


def test_a_key_that_is_evaluated_here_is_told_to_ask_so(server, walk):
    answer = server.get(f"/api/features/{walk.key('client', delivery='remote')}")

    assert answer.status_code == 400
    assert answer.json()["error"] == "Remote evaluation required for this connection"
    assert "x-unrecoverable" not in answer.headers


def test_the_stream_of_such_a_key_says_only_that_something_changed(server, walk):
    events = EventStream(f"{server.base_url}/sub/{walk.key('client', delivery='remote')}")
    eventually(lambda: "event: features-updated" in events.lines)
    beginning = list(events.lines)

    walk.promote(SLUG, 50.0)

    assert eventually(lambda: events.lines.count("event: features-updated") == 2) < 1.0
    assert beginning[:2] == ["retry: 5000", ""]
    assert beginning[2].startswith("id: ")
    assert beginning[3:] == ["event: features-updated", "data: ", ""]
    assert "event: features" not in events.lines
    ids = [int(line.removeprefix("id: ")) for line in events.lines if line.startswith("id: ")]
    assert ids[0] < ids[1]


@pytest.mark.parametrize("delivery", ["plain", "encrypted"])
def test_clients_of_a_long_payload_are_told_to_poll_and_the_log_says_so_once(
    server, walk, monkeypatch, caplog, delivery
):
    monkeypatch.setattr(deliveries, "MAX_STREAMED_BYTES", 10)
    key = walk.key("client", delivery=delivery)
    caplog.set_level(logging.WARNING, "expplat.api")

    answers = [server.get(f"/api/features/{key}") for _ in range(3)]
    walk.promote(SLUG, 50.0)
    etag = answers[0].headers["etag"]
    eventually(lambda: server.get(f"/api/features/{key}").headers["etag"] != etag)

    assert all("x-sse-support" not in answer.headers for answer in answers)
    told = [record for record in caplog.records if "told to poll" in record.getMessage()]
    assert len(told) == 1
    assert key[:8] in told[0].getMessage()
    assert key not in told[0].getMessage()


def test_a_payload_that_breaks_every_stream_is_only_announced(platform, walk, monkeypatch):
    monkeypatch.setattr(deliveries, "MAX_LINE_BYTES", 10)
    with serving(platform) as address:
        events = EventStream(f"{address}/sub/{walk.key('client')}")

        eventually(lambda: "event: features-updated" in events.lines)

        assert events.payloads == []
        assert "data: " in events.lines

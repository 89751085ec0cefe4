"""A server that adds the flags of a team's own GrowthBook to ours."""

from __future__ import annotations

import json
import logging

import growthbook
import httpx2
import pytest

from expplat.errors import ConfigurationError
from expplat.settings import Settings
from tests.serving import (
    EventStream,
    Walk,
    a_platform,
    environment,
    eventually,
    serving,
)
from tests.upstreams import KEY, PAYLOAD, Upstream

SLUG = "hybrid_rrf"


@pytest.fixture
def upstream():
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def settings(upstream):
    return {
        "EXPPLAT_UPSTREAM_HOST": upstream.address,
        "EXPPLAT_UPSTREAM_CLIENT_KEY": KEY,
        "EXPPLAT_UPSTREAM_EVERY_S": "0.05",
    }


@pytest.fixture
def merging(tmp_path, settings):
    """A platform with that upstream."""
    platform = a_platform(tmp_path / "workspace", **settings)
    yield platform
    platform.sql_engine.dispose()


def features(address, key):
    return httpx2.get(f"{address}/api/features/{key}").json()["features"]


def test_their_flags_are_served_with_ours_and_ours_win(merging):
    walk = Walk(merging)
    key = walk.key("client")
    walk.promote(SLUG, 20.0)
    with serving(merging) as address:
        document = httpx2.get(f"{address}/api/features/{key}").json()

    assert document["features"]["theirs"] == PAYLOAD["features"]["theirs"]
    assert document["features"][SLUG]["rules"][0]["coverage"] == 0.2
    assert document["features"]["expplat"] == {"defaultValue": True}
    assert document["experiments"] == PAYLOAD["experiments"]
    assert document["savedGroups"] == PAYLOAD["savedGroups"]


def test_encrypted_clients_are_served_theirs_too(merging):
    key = Walk(merging).new_key("client", delivery="encrypted")
    with serving(merging) as address:
        document = httpx2.get(f"{address}/api/features/{key.secret}").json()

    sealed, seal = document["encryptedSavedGroups"], key.key.payload_key
    assert json.loads(growthbook.decrypt(sealed, seal)) == PAYLOAD["savedGroups"]
    assert "theirs" in growthbook.decrypt(document["encryptedFeatures"], seal)


def test_their_flags_are_evaluated_here_with_their_groups(merging):
    walk = Walk(merging)
    remote, plain = walk.key("client", delivery="remote"), walk.key("client", writes_events=True)
    with serving(merging) as address, httpx2.Client(base_url=address) as client:
        values = {
            user: client.post(f"/api/eval/{remote}", json={"attributes": {"id": user}}).json()
            for user in ("ada", "bob")
        }
        answer = client.post(
            "/ofrep/v1/evaluate/flags/theirs",
            json={"context": {"targetingKey": "ada"}},
            headers={"X-API-Key": plain},
        )

    assert values["ada"]["features"]["theirs"]["defaultValue"] == "new"
    assert values["bob"]["features"]["theirs"]["defaultValue"] == "old"
    assert (answer.json()["value"], answer.json()["reason"]) == ("new", "TARGETING_MATCH")


def test_a_change_upstream_reaches_streams_with_a_later_id(merging, upstream):
    with serving(merging) as address:
        events = EventStream(f"{address}/sub/{Walk(merging).key('client')}")
        eventually(lambda: events.payloads)

        upstream.say(features={"theirs": {"defaultValue": "newest"}})

        assert eventually(lambda: events.served("theirs") == {"defaultValue": "newest"}) < 1.0
        ids = [int(line.removeprefix("id: ")) for line in events.lines if line.startswith("id: ")]
        assert ids == sorted(set(ids))


def test_unchanged_flags_make_no_new_revision(merging, upstream):
    with serving(merging) as address:
        key = Walk(merging).key("client")
        etag = httpx2.get(f"{address}/api/features/{key}").headers["etag"]
        seen = len(upstream.requests)
        eventually(lambda: len(upstream.requests) > seen + 3)

        assert httpx2.get(f"{address}/api/features/{key}").headers["etag"] == etag
        assert {status for _, _, status in upstream.requests[1:]} == {304}


@pytest.mark.parametrize("fault", ["garbage", "500", "away"])
def test_an_upstream_that_fails_changes_nothing_and_is_warned_of_once(
    merging, upstream, caplog, fault
):
    walk = Walk(merging)
    key = walk.key("client")
    caplog.set_level(logging.WARNING, "expplat.api")
    with serving(merging) as address:
        eventually(lambda: "theirs" in features(address, key))

        if fault == "away":
            upstream.stop()
        else:
            upstream.status, upstream.body = (500, b"") if fault == "500" else (200, b"<html>")
        eventually(lambda: "last known" in caplog.text)
        walk.promote(SLUG, 50.0)
        eventually(lambda: features(address, key)[SLUG].get("rules"))

        assert features(address, key)["theirs"] == PAYLOAD["features"]["theirs"]
        assert httpx2.get(f"{address}/health").status_code == 200
        assert caplog.text.count("last known") == 1
        if fault != "away":
            upstream.status = 200
            upstream.say(features={"theirs": {"defaultValue": "back"}})
            eventually(lambda: features(address, key)["theirs"] == {"defaultValue": "back"})
            assert "is back" in caplog.text


def test_a_server_that_starts_while_it_is_away_serves_the_last_good_copy(
    tmp_path, merging, settings, upstream
):
    path = f"/api/features/{Walk(merging).key('client')}"
    again = a_platform(tmp_path / "workspace", **settings)
    with serving(merging) as address:
        answers = [httpx2.get(address + path)]
    upstream.stop()
    with serving(again) as address:
        answers.append(httpx2.get(address + path))
    again.sql_engine.dispose()

    assert "theirs" in answers[0].json()["features"]
    assert answers[0].content == answers[1].content
    assert answers[0].headers["etag"] == answers[1].headers["etag"]


def test_a_server_that_never_saw_it_starts_without_it(merging, upstream):
    upstream.stop()
    key = Walk(merging).key("client")

    with serving(merging) as address:
        assert set(features(address, key)) == {"expplat"}


def test_a_rule_that_the_sdk_cannot_read_takes_no_other_flag_away(merging, upstream):
    strange = {"condition": ["a"], "force": 1, "coverage": "half", "filters": 7}
    upstream.say(features=PAYLOAD["features"] | {"strange": {"rules": [strange]}})
    walk = Walk(merging)
    remote, plain = walk.key("client", delivery="remote"), walk.key("client")
    with serving(merging) as address, httpx2.Client(base_url=address) as client:
        evaluated = client.post(f"/api/eval/{remote}", json={"attributes": {"id": "ada"}})
        bulk = client.post("/ofrep/v1/evaluate/flags", json={}, headers={"X-API-Key": plain})

    assert evaluated.json()["features"]["theirs"]["defaultValue"] == "new"
    assert bulk.status_code == 200


@pytest.mark.parametrize(
    "address",
    [
        "ftp://cdn.example.com", "file:///etc/passwd", "cdn.example.com", "http://", "https://[",
        "https://user:secret@cdn.example.com", "https://cdn.example.com?a=1", "http://a:99999",
    ],
)  # fmt: skip
def test_an_address_that_is_none_of_a_growthbook_is_refused_without_its_password(tmp_path, address):
    more = {"EXPPLAT_UPSTREAM_HOST": address, "EXPPLAT_UPSTREAM_CLIENT_KEY": KEY}
    env = environment(tmp_path, **more)

    with pytest.raises(ConfigurationError, match="EXPPLAT_UPSTREAM_HOST") as raised:
        Settings.from_env(env, tmp_path)

    assert "secret" not in raised.value.message


@pytest.mark.parametrize(
    "more",
    [
        {"EXPPLAT_UPSTREAM_HOST": "https://cdn.example.com"},
        {"EXPPLAT_UPSTREAM_CLIENT_KEY": KEY},
        {
            "EXPPLAT_UPSTREAM_HOST": "https://cdn.example.com",
            "EXPPLAT_UPSTREAM_CLIENT_KEY": "../admin",
        },
    ],
)
def test_an_upstream_is_named_by_address_and_key(tmp_path, more):
    with pytest.raises(ConfigurationError, match="EXPPLAT_UPSTREAM"):
        Settings.from_env(environment(tmp_path, **more), tmp_path)

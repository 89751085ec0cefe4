from __future__ import annotations

import pytest

from tests.serving import eventually


def features_of(server, key):
    return server.get(f"/api/features/{key}").json()["features"]


def test_a_client_key_gets_every_flag(server, walk):
    key = walk.key("client")
    walk.promote("hybrid_rrf", 20.0)
    eventually(lambda: "hybrid_rrf" in features_of(server, key))

    answer = server.get(f"/api/features/{key}")

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "x-sse-support" in answer.headers["access-control-expose-headers"]
    assert answer.headers["x-sse-support"] == "enabled"
    assert answer.headers["cache-control"] == "public, max-age=0, must-revalidate"
    assert answer.json()["features"]["hybrid_rrf"]["rules"][0]["coverage"] == 0.2


@pytest.mark.parametrize("shape", ["{}", '"other", {}', "strong", "*"])
def test_a_client_that_has_the_flags_is_told_so_without_a_body(server, walk, shape):
    key = walk.key("client")
    etag = server.get(f"/api/features/{key}").headers["etag"]
    offered = etag.removeprefix("W/") if shape == "strong" else shape.format(etag)

    answer = server.get(f"/api/features/{key}", headers={"If-None-Match": offered})

    assert (answer.status_code, answer.content) == (304, b"")
    assert answer.headers["etag"] == etag


def test_a_change_has_another_etag_and_a_later_date(server, walk):
    key = walk.key("client")
    before = server.get(f"/api/features/{key}")

    walk.promote("hybrid_rrf", 5.0)

    etag = {"If-None-Match": before.headers["etag"]}
    eventually(lambda: server.get(f"/api/features/{key}", headers=etag).status_code == 200)
    assert server.get(f"/api/features/{key}").json()["dateUpdated"] > before.json()["dateUpdated"]


@pytest.mark.parametrize("path", ["/api/features/{}", "/sub/{}"])
@pytest.mark.parametrize("kind", ["unknown", "ingest", "admin", "revoked"])
def test_a_key_that_is_no_live_client_key_gets_what_sdks_understand(server, walk, path, kind):
    secret = (
        "sdk-unknown" if kind == "unknown" else walk.key("client" if kind == "revoked" else kind)
    )
    if kind == "revoked":
        walk.revoke(secret)
        eventually(lambda: server.get(path.format(secret)).status_code == 400)

    answer = server.get(path.format(secret))

    assert answer.status_code == 400
    assert answer.json() == {"status": 400, "error": "Invalid API Key"}
    assert answer.headers["x-unrecoverable"] == "1"
    assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/api/features/sdk-x", "/sub/sdk-x"])
def test_browsers_may_ask_from_anywhere(server, path):
    answer = server.options(path, headers={"Origin": "https://shop.example"})

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == "*"


def test_a_payload_too_long_for_some_streams_tells_sdks_to_poll(server, walk, monkeypatch):
    monkeypatch.setattr("expplat.api.memory.deliveries.MAX_STREAMED_BYTES", 10)

    answer = server.get(f"/api/features/{walk.key('client')}")

    assert answer.status_code == 200
    assert "x-sse-support" not in answer.headers

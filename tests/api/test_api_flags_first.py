from __future__ import annotations

import pytest

from expplat.api.flags_first import FlagsFirst
from expplat.flow import keys
from tests.serving import eventually


@pytest.fixture
def taken(monkeypatch):
    """Whether each request took the short way, the newest last."""
    taken = []
    answer = FlagsFirst.answer

    def noted(self, scope):
        ready = answer(self, scope)
        taken.append(ready is not None)
        return ready

    monkeypatch.setattr(FlagsFirst, "answer", noted)
    return taken


@pytest.fixture
def server(shared_server):
    return shared_server


@pytest.fixture(scope="module")
def secrets(shared_walk):
    """A client key of each kind."""
    platform = shared_walk.platform
    return {
        delivery: keys.create(
            "client", "test", uow=platform.uow(), now=platform.now, delivery=delivery
        ).secret
        for delivery in keys.DELIVERIES
    }


@pytest.fixture(autouse=True)
def _in_memory(server, secrets, taken):
    """Wait until the server has the keys in memory."""
    for delivery in ("plain", "encrypted"):
        path = f"/api/features/{secrets[delivery]}"
        eventually(lambda path=path: server.get(path) and taken[-1])


def told(answer):
    headers = {name: value for name, value in answer.headers.items() if name != "date"}
    return answer.status_code, headers, answer.content


@pytest.mark.parametrize("offered", ["", "{etag}", "*", '"other"', 'W/"a",{etag}', "{strong}"])
@pytest.mark.parametrize("delivery", keys.DELIVERIES)
@pytest.mark.parametrize("method", ["GET", "OPTIONS", "POST", "HEAD"])
def test_the_short_way_answers_as_the_route_does(
    server, secrets, taken, monkeypatch, method, delivery, offered
):
    path = f"/api/features/{secrets[delivery]}"
    etag = server.get(path).headers.get("etag", "")
    offered = offered.format(etag=etag, strong=etag.removeprefix("W/"))
    headers = {"If-None-Match": offered} if offered else {}

    first = server.request(method, path, headers=headers)

    assert taken[-1] is (method == "GET" and delivery != "remote")
    monkeypatch.setattr(FlagsFirst, "answer", lambda self, scope: None)
    assert told(server.request(method, path, headers=headers)) == told(first)


@pytest.mark.parametrize(
    ("key", "host", "is_short"),
    [
        ("plain", "LOCALHOST:1234", True),
        ("plain", "[::1]:80", True),
        ("plain", "evil.example", False),
        ("unknown", "localhost", False),
    ],
)
def test_only_what_is_plain_takes_the_short_way(server, secrets, taken, key, host, is_short):
    server.get(f"/api/features/{secrets.get(key, 'sdk-unknown')}", headers={"Host": host})

    assert taken[-1] is is_short


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:x", "[::1"])
def test_another_host_is_refused_for_flags_too(server, secrets, host):
    path = f"/api/features/{secrets['plain']}"

    assert server.get(path, headers={"Host": host}).status_code == 400


def test_a_change_and_a_revocation_arrive_by_the_short_way(server, shared_walk):
    shared_walk.promote("late_chunking", 50.0)
    secret = shared_walk.key("client")
    path = f"/api/features/{secret}"
    eventually(lambda: "late_chunking" in server.get(path).json().get("features", {}))

    shared_walk.roll_back("late_chunking")

    eventually(lambda: server.get(path).json()["features"]["late_chunking"]["rules"] == [])
    shared_walk.revoke(secret)
    eventually(lambda: server.get(path).status_code == 400)

from __future__ import annotations

import json
import re

import httpx2

from expplat.api import stream
from expplat.errors import DatabaseError
from tests.serving import EventStream, Walk, a_platform, eventually, serving


def open_stream(server, key) -> EventStream:
    events = EventStream(f"{server.base_url}/sub/{key}")
    eventually(lambda: events.payloads)
    return events


def test_a_stream_begins_with_the_retry_time_and_the_whole_payload(server, walk):
    key = walk.key("client")

    events = open_stream(server, key)

    assert events.lines[:2] == ["retry: 5000", ""]
    assert re.fullmatch(r"id: \d+", events.lines[2])
    assert events.lines[3] == "event: features"
    assert events.lines[4] == f"data: {server.get(f'/api/features/{key}').text}"
    assert events.lines[5] == ""


def test_a_stream_is_not_to_be_buffered_or_kept(server, walk):
    with server.stream("GET", f"/sub/{walk.key('client')}") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-cache, no-transform"
        assert answer.headers["x-accel-buffering"] == "no"


def test_every_step_arrives_within_a_second_with_a_growing_id_and_date(server, walk):
    events = open_stream(server, walk.key("client"))
    steps = [
        lambda: walk.promote("hybrid_rrf", 5.0),
        lambda: walk.promote("hybrid_rrf", 100.0),
        lambda: walk.graduate("hybrid_rrf"),
        lambda: walk.roll_back("hybrid_rrf"),
    ]

    for count, step in enumerate(steps, start=2):
        step()
        assert eventually(lambda count=count: len(events.payloads) == count) < 1.0

    assert events.served("hybrid_rrf") == {"defaultValue": "control", "rules": []}
    ids = [int(line.removeprefix("id: ")) for line in events.lines if line.startswith("id: ")]
    dates = [payload["dateUpdated"] for payload in events.payloads]
    assert ids == sorted(set(ids))
    assert dates == sorted(set(dates))


def test_a_client_that_comes_late_gets_what_it_missed(server, walk):
    key = walk.key("client")
    open_stream(server, key)
    walk.promote("hybrid_rrf", 5.0)
    walk.graduate("hybrid_rrf")
    eventually(lambda: '"defaultValue":"treatment"' in server.get(f"/api/features/{key}").text)

    late = open_stream(server, key)

    assert late.served("hybrid_rrf")["defaultValue"] == "treatment"


def test_a_silent_stream_pings_with_comments(platform, walk, monkeypatch):
    monkeypatch.setattr(stream, "PING_EVERY_S", 0.1)
    with serving(platform) as address:
        events = EventStream(f"{address}/sub/{walk.key('client')}")

        eventually(lambda: events.lines.count(": ping") >= 3)

        assert len(events.payloads) == 1


def test_a_stream_of_a_revoked_key_ends(server, walk):
    key = walk.key("client")
    events = open_stream(server, key)

    walk.revoke(key)

    assert eventually(lambda: events.is_over) < 1.0


def test_the_brake_reaches_streams_and_so_does_its_release(server, walk, platform):
    walk.promote("hybrid_rrf", 50.0)
    events = open_stream(server, walk.key("client"))
    eventually(lambda: events.served("hybrid_rrf"))

    platform.flags.close("hybrid_rrf", platform.now())

    assert eventually(lambda: not events.served("hybrid_rrf")["rules"]) < 1.0
    (platform.settings.state_dir / "closed" / "hybrid_rrf").unlink()
    assert eventually(lambda: events.served("hybrid_rrf")["rules"]) < 1.0
    dates = [payload["dateUpdated"] for payload in events.payloads]
    assert dates == sorted(set(dates))


def test_two_servers_on_one_database_serve_the_same(tmp_path, database_url):
    first, second = (
        a_platform(tmp_path / "workspace", EXPPLAT_DATABASE_URL=database_url) for _ in range(2)
    )
    walk = Walk(first)
    key = walk.key("client")
    with serving(first) as one, serving(second) as other:
        streams = [EventStream(f"{address}/sub/{key}") for address in (one, other)]
        eventually(lambda: all(events.payloads for events in streams))

        walk.promote("hybrid_rrf", 5.0)

        assert eventually(lambda: all(e.served("hybrid_rrf") for e in streams)) < 0.5
        assert json.dumps(streams[0].payloads[-1]) == json.dumps(streams[1].payloads[-1])
    for platform in (first, second):
        platform.sql_engine.dispose()


def test_a_key_that_cannot_be_looked_up_is_not_refused_but_asked_to_come_again(
    platform, walk, monkeypatch
):
    true_uow = platform.uow

    def away(**options):
        raise DatabaseError("The database does not answer.")

    with serving(platform) as address:
        monkeypatch.setattr(platform, "uow", away)
        with httpx2.stream("GET", f"{address}/sub/sdk-younger-than-the-outage") as answer:
            lines = answer.iter_lines()
            beginning = next(lines)

            monkeypatch.setattr(platform, "uow", true_uow)
            rest = list(lines)

    assert answer.status_code == 200
    assert beginning == "retry: 5000"
    assert not [line for line in rest if line.startswith(("event", "data"))]

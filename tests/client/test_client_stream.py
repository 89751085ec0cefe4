from __future__ import annotations

import random
import time

import pytest

from expplat.client import Pace
from expplat.client._backoff import Backoff
from expplat.client._stream import Event, EventReader, StreamError
from tests.client.faults import ALL_CONTROL, CLIENT_KEY, a_payload, rule_of
from tests.serving import eventually

CALM = Pace(exit_s=0.05)
"""As services have it."""

STREAM = (
    b": ping\n\nretry: 5000\r\n\r\nid: 7\r\nevent: features\ndata: {\ndata: }\n\n: x\n\ndata:y\n\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_are_the_same_however_the_bytes_arrive(size):
    reader = EventReader()

    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    events = [event for chunk in chunks for event in reader.feed(chunk)]

    assert events == [Event("features", b"{\n}"), Event("message", b"y")]
    assert reader.retry_s == 5.0


def test_a_line_of_five_megabytes_is_read_and_a_longer_one_is_not():
    reader, chunk = EventReader(), b"x" * 65_536
    reader.feed(b"data: ")
    for _ in range(75):
        assert reader.feed(chunk) == []
    (event,) = reader.feed(b"\n\n")

    assert len(event.data) == 75 * 65_536
    with pytest.raises(StreamError):
        feed_all(reader, [chunk] * 80)
    with pytest.raises(StreamError):
        feed_all(EventReader(), [b"data: " + chunk + b"\n"] * 80)


def feed_all(reader, chunks):
    for chunk in chunks:
        reader.feed(chunk)


def test_waits_grow_are_drawn_and_begin_where_the_server_says():
    backoff = Backoff(0.5, 30.0, draw=lambda: 1.0)

    assert [backoff.wait_s() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.succeeded()
    assert backoff.wait_s(at_least_s=5.0) == 5.5
    assert Backoff(0.5, 30.0, draw=lambda: 0.0).wait_s(5.0) == 5.0
    assert len({Backoff(0.5, 30.0).wait_s() for _ in range(50)}) == 50


@pytest.mark.parametrize("asked_s", [0.0, 5.0])
def test_a_thousand_clients_that_lose_their_stream_come_back_spread_out(asked_s):
    dice = random.Random(1)
    attempts: list[float] = []
    for _ in range(1000):
        backoff, at = Backoff(0.5, 30.0, draw=dice.random), 0.0
        backoff.lost_stream()
        while at < 300:
            at += backoff.wait_s(asked_s)
            attempts.append(at)

    per_second = [0] * 400
    for at in attempts:
        per_second[int(at)] += 1
    steady = sum(per_second[150:300]) / 150

    assert max(per_second[:300]) <= 2 * steady


def gets(server, path):
    return [at for at, asked in server.requests if asked.startswith(path)]


def test_a_change_arrives_through_the_stream_at_once(new_client, server):
    client = new_client(server.url, pace=CALM)
    eventually(lambda: client.variant("reranker", unit="u") == "treatment")
    eventually(lambda: gets(server, "/sub/"))

    server.serve(a_payload("2026-03-03T00:00:00Z", ALL_CONTROL))

    assert eventually(lambda: client.variant("reranker", unit="u") == "control") < 1.0
    assert len(gets(server, "/api/")) == 1


def test_a_large_payload_arrives_through_the_stream_too(new_client, server):
    client = new_client(server.url, pace=CALM)
    eventually(lambda: gets(server, "/sub/"))
    features = {f"flag_{n}": rule_of(f"flag_{n}", 100.0) for n in range(3000)} | ALL_CONTROL

    server.serve(a_payload("2026-03-03T00:00:00Z", features))
    assert len(server.good) > 1_000_000
    eventually(lambda: client.stats().flags > 3000, within_s=10)

    assert client.assign("flag_2999", unit="u").source == "test"


def test_a_stream_that_says_nothing_is_given_up_and_the_watch_goes_on_beside_it(new_client, server):
    server.retry_ms = None
    pace = Pace(poll_s=0.2, silence_s=0.5, first_retry_s=0.01, longest_retry_s=0.1, exit_s=0.05)
    client = new_client(server.url, pace=pace)

    eventually(lambda: len(gets(server, "/sub/")) >= 3)

    assert len(gets(server, "/api/")) >= 3
    assert client.stats().flags_confirmed_s_ago < 0.5


def test_streams_that_end_at_once_are_no_hot_loop(new_client, server):
    client = new_client(server.url, pace=CALM)
    eventually(lambda: client.stats().flags_origin == "network")
    server.retry_ms = 300
    until = time.monotonic() + 2
    while time.monotonic() < until:
        server._epoch += 1
        time.sleep(0.01)

    assert 1 <= len(gets(server, "/sub/")) <= 6


def test_an_unknown_key_is_asked_for_again_but_not_often(new_client, server):
    client = new_client(server.url, client_key="sdk-unknown", pace=CALM)

    time.sleep(1.0)

    assert client.variant("reranker", unit="u") == "control"
    assert len(server.requests) < 10
    assert not gets(server, f"/sub/{CLIENT_KEY}")


def test_the_same_flags_are_not_sent_again(new_client, server):
    client = new_client(server.url, pace=Pace(poll_s=0.05, exit_s=0.05))
    eventually(lambda: len(gets(server, "/api/")) >= 5)

    assert client.stats().flags_origin == "network"
    assert client.stats().flags == 3

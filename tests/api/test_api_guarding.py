"""Work on the database that hangs, and keys that send too fast."""

from __future__ import annotations

import asyncio
import threading
import time

import httpx2
import pytest
from starlette.exceptions import HTTPException

from expplat.api.limits.rates import MAX_BUCKETS, Rate, Rates
from expplat.api.limits.workers import Guard
from expplat.errors import ConfigurationError, ConflictError, DatabaseError, TryLaterError
from expplat.settings import Settings
from tests.serving import Walk, a_platform, environment, serving


@pytest.fixture
def gate():
    """Holds work until it is opened; open at the end of the test."""
    event = threading.Event()
    yield event
    event.set()


def run(*works, **options):
    """Do all the works at once under one guard; return results and errors in order."""

    async def main():
        guard = Guard(**options)
        return await asyncio.gather(*(guard.run(work) for work in works), return_exceptions=True)

    return asyncio.run(main())


def test_what_work_returns_or_raises_comes_back():
    def fail():
        raise ConflictError("no")

    result, error = run(lambda: 7, fail)

    assert result == 7
    assert isinstance(error, ConflictError)


def test_work_that_hangs_is_answered_at_the_deadline(gate):
    started = time.monotonic()

    (error,) = run(gate.wait, deadline_s=0.2)

    assert isinstance(error, DatabaseError)
    assert 0.15 < time.monotonic() - started < 1.0


def test_work_beyond_what_may_wait_is_refused_at_once_and_never_begins(gate):
    begun = []

    def work():
        begun.append(1)
        gate.wait()

    errors = run(*[work] * 10, at_once=2, waiting=3, deadline_s=0.2)

    assert [type(error) for error in errors] == [DatabaseError] * 5 + [TryLaterError] * 5
    assert len(begun) == 2


def test_no_more_work_runs_at_once_than_is_allowed():
    lock = threading.Lock()
    running = peak = 0

    def work():
        nonlocal running, peak
        with lock:
            running += 1
            peak = max(peak, running)
        time.sleep(0.01)
        with lock:
            running -= 1

    errors = [r for r in run(*[work] * 60, at_once=4, waiting=60) if r is not None]

    assert errors == []
    assert peak == 4


def test_work_that_waited_past_its_deadline_is_not_done_later(gate):
    done = []

    async def main():
        guard = Guard(at_once=1, waiting=5, deadline_s=0.1)
        results = await asyncio.gather(
            guard.run(gate.wait), guard.run(lambda: done.append(1)), return_exceptions=True
        )
        gate.set()
        return results, await guard.run(lambda: "free again")

    results, later = asyncio.run(main())

    assert [type(result) for result in results] == [DatabaseError, DatabaseError]
    assert later == "free again"
    assert done == []


def test_flags_and_health_are_served_while_every_piece_of_work_hangs(platform, walk, gate):
    client_key, ingest = walk.key("client"), walk.key("ingest")
    walk.promote("hybrid_rrf", 50.0)
    true_uow = platform.uow

    def uow(**options):
        if not options.get("readonly"):
            gate.wait()
        return true_uow(**options)

    platform.uow = uow
    headers = {"Authorization": f"Bearer {ingest}"}
    answers = []

    def post():
        events = [{"id": "o1", "unit": "u1", "metric": "m"}]
        answers.append(client.post("/v1/outcomes", json=events, headers=headers))

    with (
        serving(platform) as address,
        httpx2.Client(
            base_url=address, timeout=20, limits=httpx2.Limits(max_connections=None)
        ) as client,
    ):
        senders = [threading.Thread(target=post) for _ in range(100)]
        for sender in senders:
            sender.start()
        time.sleep(0.5)
        asked = time.monotonic()
        assert client.get(f"/api/features/{client_key}").status_code == 200
        assert client.get("/health").status_code == 200
        seconds = time.monotonic() - asked
        for sender in senders:
            sender.join()
        gate.set()

    assert seconds < 1.0
    assert max(answer.elapsed.total_seconds() for answer in answers) < 7.0
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.headers["retry-after"] for answer in answers} == {"5"}


class Hand:
    """A clock that is moved by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def rates(**rate):
    hand = Hand()
    return Rates({"events": Rate(**rate)}, hand), hand


def test_a_bucket_holds_a_burst_and_fills_again():
    limits, hand = rates(per_second=10.0, burst=100.0)
    for _ in range(100):
        limits.admit("events", "a")
    with pytest.raises(HTTPException) as refusal:
        limits.admit("events", "a", 25)
    assert (refusal.value.status_code, refusal.value.headers) == (429, {"Retry-After": "3"})
    limits.admit("events", "b", 100)

    hand.now = 2.5

    limits.admit("events", "a", 25)
    with pytest.raises(HTTPException):
        limits.admit("events", "a")


def test_more_than_a_burst_is_admitted_when_the_bucket_is_full():
    limits, _ = rates(per_second=1.0, burst=10.0)

    limits.admit("events", "a", 1_000)

    with pytest.raises(HTTPException):
        limits.admit("events", "a", 1)


def test_a_rate_of_nothing_is_no_limit():
    limits, _ = rates(per_second=0.0, burst=0.0)

    for _ in range(1_000):
        limits.admit("events", "a", 1_000_000)


def test_buckets_do_not_pile_up():
    limits, _ = rates(per_second=1.0, burst=1.0)

    for number in range(MAX_BUCKETS + 100):
        limits.admit("events", str(number))

    assert len(limits._buckets) == MAX_BUCKETS


def test_a_connection_that_sends_too_fast_is_told_429_and_others_go_on(tmp_path):
    platform = a_platform(tmp_path / "workspace", EXPPLAT_MAX_EVENTS_PER_SECOND="10")
    walk = Walk(platform)
    events = [{"id": f"o{i}", "unit": "u", "metric": "m"} for i in range(60)]
    with serving(platform) as address:

        def post(secret):
            headers = {"Authorization": f"Bearer {secret}"}
            return httpx2.post(f"{address}/v1/outcomes", json=events, headers=headers)

        one, other = walk.key("ingest"), walk.key("ingest")
        statuses = [post(one).status_code, post(one).status_code, post(other).status_code]
        refused = post(one)

    assert statuses == [200, 429, 200]
    assert 1 <= int(refused.headers["retry-after"]) <= 10
    platform.sql_engine.dispose()


def test_an_admin_key_reads_sixty_times_a_minute(server, walk):
    headers = {"Authorization": f"Bearer {walk.key('admin')}"}

    statuses = [server.get("/v1/pocs", headers=headers).status_code for _ in range(62)]

    assert statuses[:60] == [200] * 60
    assert statuses[-1] == 429


def test_flags_are_read_far_faster_than_any_client_asks_before_one_is_refused(tmp_path):
    platform = a_platform(tmp_path / "workspace", EXPPLAT_MAX_FLAG_READS_PER_SECOND="10")
    key = Walk(platform).key("client")
    with serving(platform) as address, httpx2.Client(base_url=address) as client:
        statuses = [client.get(f"/api/features/{key}").status_code for _ in range(60)]
        with client.stream("GET", f"/sub/{key}") as stream:
            assert stream.status_code == 200

    assert statuses[:40] == [200] * 40
    assert statuses[-1] == 429
    platform.sql_engine.dispose()


@pytest.mark.parametrize("rate", ["fast", "-1", "nan", "inf"])
def test_a_malformed_rate_is_a_configuration_error(tmp_path, rate):
    env = environment(tmp_path, EXPPLAT_MAX_EVENTS_PER_SECOND=rate)

    with pytest.raises(ConfigurationError, match="EXPPLAT_MAX_EVENTS_PER_SECOND"):
        Settings.from_env(env, tmp_path)

"""Kills, freezes and outages under load: what was acknowledged is kept, once."""

from __future__ import annotations

import random
import signal
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx2
import pytest

from expplat.adapters.sql.migrate import upgrade
from tests.senders import SLUG, Batch, Kept, Senders, must_hold_all
from tests.serving import ServerProcess, Walk, a_platform, eventually, is_healthy, serving

HEALTHY_WITHIN_S = 5.0


def a_place(tmp_path, url):
    """Return a platform with a promoted test, and the environment of its servers."""
    more = {"EXPPLAT_WATCH_EVERY_S": "0"}
    if url.startswith("postgresql"):
        more["EXPPLAT_DATABASE_URL"] = url
    platform = a_platform(tmp_path / "workspace", **more)
    walk = Walk(platform)
    walk.promote(SLUG, 50.0)
    return platform, walk, more


def stood_in_line_s(server):
    """Return how long a process has waited for a processor that others had; not its own fault."""
    return int(Path(f"/proc/{server.process.pid}/schedstat").read_text().split()[1]) / 1e9


class Fleet:
    """Server processes that are killed and started again."""

    def __init__(self, platform, more, count):
        self._start = lambda: ServerProcess(platform.settings.workspace, **more)
        self._stack = ExitStack()
        self.restarts_s = []
        self.servers = [self._started() for _ in range(count)]
        self.addresses = [server.address for server in self.servers]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stack.close()

    def _started(self):
        return self._stack.enter_context(self._start())

    def kill(self):
        """End one at once and start another; keep how long it was until that one was healthy."""
        place = random.randrange(len(self.servers))
        self.servers[place].process.kill()
        self.servers[place].process.wait()
        started = time.monotonic()
        self.servers[place] = self._started()
        self.restarts_s.append(time.monotonic() - started - stood_in_line_s(self.servers[place]))
        self.addresses[place] = self.servers[place].address

    def freeze(self, seconds):
        """Stop one where it is, and let it go on."""
        process = random.choice(self.servers).process
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)


def survive(platform, walk, more, *, servers, kills, freezes, batches):
    """Send the batches through so many faults; return the account and the times of restarts."""
    faults = ["kill"] * kills + ["freeze"] * freezes
    random.shuffle(faults)
    each = -(-len(batches) // len(faults))
    # Shorter than a freeze: who waits in vain sends again, and races with itself.
    secret = walk.key("ingest")
    with Fleet(platform, more, servers) as fleet:
        with Senders(secret, fleet.addresses, timeout_s=1.5) as senders:
            for number, fault in enumerate(faults):
                senders.give(batches[number * each : (number + 1) * each])
                time.sleep(random.uniform(0.0, 0.15))
                if fault == "kill":
                    fleet.kill()
                else:
                    fleet.freeze(2.0)
        with Senders(secret, fleet.addresses) as late:
            late.give(batches, times=1)
    assert late.account.accepted == 0
    return senders.account, fleet.restarts_s


def test_a_kill_and_a_freeze_lose_nothing(tmp_path):
    platform, walk, more = a_place(tmp_path, "")
    batches = [Batch(number) for number in range(12)]

    account, _ = survive(platform, walk, more, servers=1, kills=1, freezes=1, batches=batches)

    must_hold_all(Kept.of(platform), batches, account)
    platform.sql_engine.dispose()


@pytest.mark.long
def test_ten_thousand_events_survive_twenty_kills_and_four_freezes(tmp_path, database_url):
    platform, walk, more = a_place(tmp_path, database_url)
    batches = [Batch(number) for number in range(200)]

    account, restarts_s = survive(
        platform, walk, more, servers=2, kills=20, freezes=4, batches=batches
    )

    must_hold_all(Kept.of(platform), batches, account)
    assert account.statuses["cut off"] >= 10, "the faults met no load"
    assert len(restarts_s) == 20
    assert statistics.median(restarts_s) <= 3.0
    assert max(restarts_s) <= HEALTHY_WITHIN_S
    platform.sql_engine.dispose()


def faults_of(server, database):
    """Return ways in which a PostgreSQL goes away and comes back."""

    def cut():
        server.cut_connections(database)

    def restart():
        server.halt()
        time.sleep(random.uniform(0.0, 0.5))
        server.start()

    def pause():
        server.pause()
        time.sleep(random.uniform(0.2, 1.0))
        server.resume()

    return {"cut": cut, "restart": restart, "pause": pause}


@contextmanager
def a_database(server):
    name = server.new_database()
    upgrade(server.url(name))
    try:
        yield name
    finally:
        server.drop(name)


@pytest.fixture(scope="module")
def own_postgres(new_postgres_server):
    """A server that is restarted and paused; others' tests must not stand on it."""
    server = new_postgres_server()
    yield server
    server.stop()


def is_well(address, secret):
    """Whether the service says that it is healthy, and keeps a batch besides."""
    headers = {"Authorization": f"Bearer {secret}"}
    try:
        url, batch = f"{address}/v1/batch", Batch(0).as_json()
        answer = httpx2.post(url, json=batch, headers=headers, timeout=10)
    except httpx2.TransportError:
        return False
    return answer.status_code == 200 and is_healthy(address)


def go_away_and_come_back(tmp_path, server, faults):
    """Let the database go away so often under load; return what was told, kept and measured."""
    with a_database(server) as name:
        platform, walk, more = a_place(tmp_path, server.url(name))
        make = faults_of(server, name)
        secret = walk.key("ingest")
        recoveries_s = []
        batches = []
        with (
            ServerProcess(platform.settings.workspace, **more) as service,
            Senders(secret, [service.address]) as senders,
        ):
            for fault in faults:
                new = [Batch(len(batches) + i) for i in range(6)]
                batches += new
                senders.give(new)
                time.sleep(random.uniform(0.0, 0.1))
                make[fault]()
                recoveries_s.append(eventually(lambda: is_well(service.address, secret), 30))
                halves = Kept.of(platform).half_states(batches)
                assert halves == [], f"after a {fault}"
        kept = Kept.of(platform)
        platform.sql_engine.dispose()
    return kept, batches, senders.account, recoveries_s


def test_a_database_that_goes_away_leaves_no_half_of_a_batch(tmp_path, own_postgres):
    kept, batches, account, recoveries_s = go_away_and_come_back(
        tmp_path, own_postgres, ["cut", "restart", "pause"]
    )

    must_hold_all(kept, batches, account)
    assert max(recoveries_s) <= HEALTHY_WITHIN_S


@pytest.mark.long
def test_a_database_that_goes_away_fifty_times_leaves_no_half_of_a_batch(tmp_path, own_postgres):
    faults = ["cut"] * 24 + ["restart"] * 13 + ["pause"] * 13
    random.shuffle(faults)

    kept, batches, account, recoveries_s = go_away_and_come_back(tmp_path, own_postgres, faults)

    must_hold_all(kept, batches, account)
    assert max(recoveries_s) <= HEALTHY_WITHIN_S
    assert set(account.statuses) <= {"200", "503", "refused", "cut off"}
    assert account.statuses["503"] >= 10, "the faults met no load"


def test_a_database_that_hangs_is_answered_503_within_six_seconds(tmp_path, own_postgres):
    with a_database(own_postgres) as name:
        platform, walk, _ = a_place(tmp_path, own_postgres.url(name))
        headers = {"Authorization": f"Bearer {walk.key('ingest')}"}
        admin = {"Authorization": f"Bearer {walk.key('admin')}"}
        client_key = walk.key("client")
        with (
            serving(platform) as address,
            httpx2.Client(base_url=address, timeout=20) as client,
            ThreadPoolExecutor() as pool,
        ):
            assert client.post("/v1/batch", json=Batch(0).as_json(), headers=headers).json()[
                "accepted"
            ]
            eventually(lambda: client.get("/v1/pocs", headers=admin).status_code == 200)
            own_postgres.pause()
            try:
                started = time.monotonic()
                posting = pool.submit(
                    client.post, "/v1/batch", json=Batch(1).as_json(), headers=headers
                )
                reading = pool.submit(client.get, "/v1/pocs", headers=admin)
                post, read = posting.result(), reading.result()
                seconds = time.monotonic() - started
                started = time.monotonic()
                flags = client.get(f"/api/features/{client_key}")
                health = client.get("/health")
                beside_s = time.monotonic() - started
            finally:
                own_postgres.resume()
            recovery_s = eventually(lambda: client.get("/health").status_code == 200)
            eventually(
                lambda: (
                    client.post("/v1/batch", json=Batch(1).as_json(), headers=headers).status_code
                    == 200
                )
            )
        kept = Kept.of(platform)
        platform.sql_engine.dispose()

    assert (post.status_code, read.status_code, health.status_code) == (503, 503, 503)
    assert {post.headers["retry-after"], read.headers["retry-after"]} == {"5"}
    assert seconds < 6.0
    assert flags.status_code == 200
    assert beside_s < 0.5
    assert recovery_s <= HEALTHY_WITHIN_S
    assert kept.exposures == sorted(Batch(0).exposure_ids + Batch(1).exposure_ids)


@pytest.mark.long
def test_a_server_ends_when_it_is_told_to_though_its_database_hangs(tmp_path, own_postgres):
    with a_database(own_postgres) as name:
        platform, walk, more = a_place(tmp_path, own_postgres.url(name))
        secret = walk.key("ingest")
        platform.sql_engine.dispose()
        with (
            ServerProcess(platform.settings.workspace, **more) as service,
            ThreadPoolExecutor() as pool,
        ):
            assert is_well(service.address, secret)
            own_postgres.pause()
            try:
                waiting = pool.submit(is_well, service.address, secret)
                time.sleep(0.3)
                seconds = service.terminate()
            finally:
                own_postgres.resume()

    assert waiting.result() is False
    assert seconds < 8.0

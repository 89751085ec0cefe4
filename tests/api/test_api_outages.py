"""What a server does while something outside is away, and when it is told to end."""

from __future__ import annotations

import os
import subprocess
import sys

import httpx2
import pytest

from expplat.adapters.sql.engine import make_engine, parse_url
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.api import health
from expplat.api.app import create_app_from_env
from expplat.errors import ConfigurationError, DatabaseError
from tests.serving import EventStream, ServerProcess, Walk, a_platform, eventually, serving


@pytest.fixture
def away(platform, monkeypatch):
    """Take the database of the platform away; call it again with False to bring it back."""
    true_uow = platform.uow

    def uow(**options):
        if is_away:
            raise DatabaseError("The database does not answer.")
        return true_uow(**options)

    is_away = False

    def take(away=True):
        nonlocal is_away
        is_away = away

    monkeypatch.setattr(platform, "uow", uow)
    monkeypatch.setattr(health, "MAX_SILENCE_S", 0.5)
    return take


def test_a_healthy_server_says_so_without_a_key(server):
    answer = server.get("/health")

    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_flags_are_served_and_braked_while_the_database_is_away(platform, walk, away):
    key, ingest = walk.key("client"), walk.key("ingest")
    walk.promote("hybrid_rrf", 50.0)
    with serving(platform) as address, httpx2.Client(base_url=address) as client:
        events = EventStream(f"{address}/sub/{key}")
        eventually(lambda: events.served("hybrid_rrf"))

        away()
        eventually(lambda: client.get("/health").status_code == 503)

        assert client.get("/health").headers["retry-after"] == "5"
        assert client.get(f"/api/features/{key}").json()["features"]["hybrid_rrf"]["rules"]
        refused = client.post(
            "/v1/outcomes", json=[], headers={"Authorization": f"Bearer {ingest}"}
        )
        assert refused.status_code == 503
        assert refused.headers["retry-after"] == "5"
        platform.flags.close("hybrid_rrf", platform.now())
        assert eventually(lambda: not events.served("hybrid_rrf")["rules"]) < 1.0

        away(False)
        eventually(lambda: client.get("/health").status_code == 200)
        assert not client.get(f"/api/features/{key}").json()["features"]["hybrid_rrf"]["rules"]


def test_whoever_asks_during_an_outage_is_not_told_where_the_database_is(
    platform, monkeypatch, caplog
):
    engine = make_engine(parse_url("postgresql://ada:hunter2@127.0.0.1:1/expplat"))
    with serving(platform) as address:
        monkeypatch.setattr(platform, "uow", lambda **options: SqlUnitOfWork(engine, **options))
        answer = httpx2.post(
            f"{address}/v1/outcomes", json=[], headers={"Authorization": "Bearer eik_unknown"}
        )

    assert (answer.status_code, answer.json()["code"]) == (503, "database")
    assert not [word for word in ("127.0.0.1", "ada", "hunter2", "psycopg") if word in answer.text]
    (told,) = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert "ada:***@127.0.0.1:1/expplat" in told


def test_a_brake_that_cannot_be_read_closes_every_flag(platform, walk):
    key = walk.key("client")
    walk.promote("hybrid_rrf", 50.0)
    with serving(platform) as address, httpx2.Client(base_url=address) as client:
        assert client.get(f"/api/features/{key}").json()["features"]["hybrid_rrf"]["rules"]
        folder = platform.settings.state_dir / "closed"

        folder.write_text("no folder")

        def rules():
            return client.get(f"/api/features/{key}").json()["features"]["hybrid_rrf"]["rules"]

        assert eventually(lambda: not rules()) < 1.0
        folder.unlink()
        assert eventually(rules) < 1.0


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_server_does_not_start_without_its_database(platform, away):
    away()
    with pytest.raises(AssertionError, match="did not start"), serving(platform):
        pass


def test_the_tick_goes_on_after_it_failed(platform):
    calls = []

    def tick():
        calls.append(1)
        raise (DatabaseError("away") if len(calls) % 2 else RuntimeError("a defect"))

    with serving(platform, tick=tick, watch_every_s=0.05):
        eventually(lambda: len(calls) >= 4)


def test_a_server_of_the_environment_watches_the_running_tests(platform, walk):
    walk.promote("hybrid_rrf", 50.0)

    def looks():
        with platform.uow(readonly=True) as uow:
            return uow.looks.of("hybrid_rrf", 1)

    with ServerProcess(platform.settings.workspace, EXPPLAT_WATCH_EVERY_S="0.1"):
        eventually(looks, within_s=30)


@pytest.mark.parametrize("seconds", ["often", "-1", "nan", "inf"])
def test_a_malformed_interval_is_said_before_the_server_starts(platform, monkeypatch, seconds):
    monkeypatch.setenv("EXPPLAT_WORKSPACE", str(platform.settings.workspace))
    monkeypatch.setenv("EXPPLAT_WATCH_EVERY_S", seconds)

    with pytest.raises(ConfigurationError, match="EXPPLAT_WATCH_EVERY_S"):
        create_app_from_env()


def test_a_server_ends_at_once_with_open_streams(tmp_path):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    key, admin = walk.key("client"), walk.key("admin")
    with ServerProcess(tmp_path / "workspace") as server:
        streams = [EventStream(f"{server.address}/sub/{key}") for _ in range(20)]
        eventually(lambda: all(events.payloads for events in streams))
        httpx2.get(f"{server.address}/?key={admin}")

        seconds = server.terminate()

        assert seconds < 5.0
        assert all(events.is_over or events.join() is None for events in streams)
        printed = server.output()
        assert admin not in printed
        assert "Traceback" not in printed


def test_a_server_that_starts_later_serves_the_same_bytes(platform, walk):
    path = f"/api/features/{walk.key('client')}"
    walk.promote("hybrid_rrf", 20.0)
    answers = []
    with serving(platform) as address:
        answers.append(httpx2.get(address + path))
    with ServerProcess(platform.settings.workspace) as server:
        answers.append(httpx2.get(server.address + path))

    assert answers[0].headers["etag"] == answers[1].headers["etag"]
    assert answers[0].content == answers[1].content


def test_the_server_imports_no_engine_and_no_tracking(tmp_path):
    heavy = "print([m for m in ('ray','mlflow','pandas','scipy','sklearn') if m in sys.modules])"
    code = f"import sys; from expplat.api.app import create_app_from_env as c; c(); {heavy}"
    found = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"EXPPLAT_WORKSPACE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert found.stdout.strip() == "[]"

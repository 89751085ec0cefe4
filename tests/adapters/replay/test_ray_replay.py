"""The Ray engine: one Ray for all these tests, and one of its own where it is killed."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.local_engine import LocalEngine
from expplat.adapters.replay.ray_engine import RayEngine
from expplat.adapters.replay.ray_session import close_session, ensure_session
from expplat.domain.proposal import Variant
from expplat.domain.replay import TREATMENT
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, InputError
from tests.adapters.replay.running import (
    ALL,
    STEP_CLOCK,
    journal_bytes,
    none_left,
    parent_of,
    silent,
    started,
    wait_for_lines,
    workers,
)

pytestmark = pytest.mark.ray

SECRET_ENV = {
    "OPENAI_API_KEY": "s1",
    "GITHUB_TOKEN": "s2",
    "db_password": "s3",
    "EXPPLAT_DATABASE_URL": "s4",
    "MLFLOW_TRACKING_URI": "s5",
    "WANTED_API_KEY": "s6",
    "EXPPLAT_PASS_ENV": "WANTED_API_KEY",
    "HARMLESS": "s7",
}


FAST = Variant(use="pocs.trouble.variants:sound")


@pytest.fixture(scope="session")
def state_dir(tmp_path_factory):
    """The state folder of the Ray that these tests share, started among secrets."""
    folder = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRET_ENV.items():
            patch.setenv(name, value)
        ensure_session(address="", state_dir=folder, workers=2, code=())
        assert {name: os.environ.get(name) for name in SECRET_ENV} == SECRET_ENV
    yield folder
    close_session()


@pytest.fixture
def engine(state_dir):
    """The Ray engine."""
    return RayEngine("", state_dir)


def test_ray_writes_the_bytes_of_the_local_engine(make_plan, state_dir, capfd):
    trouble = {"r1": "raises", "r4": "gives_garbage", "r5": "gives_dict", "r9": "prints"}
    local, ray = make_plan(requests=12, trouble=trouble), make_plan(requests=12, trouble=trouble)
    LocalEngine(clock=STEP_CLOCK).run(local, silent, ALL)
    capfd.readouterr()
    seen = []

    RayEngine("", state_dir, clock=STEP_CLOCK).run(
        ray, lambda done, total: seen.append((done, total)), ALL
    )

    assert journal_bytes(ray) == journal_bytes(local)
    assert seen[0] == (0, 12)
    assert seen[-1] == (12, 12)
    assert capfd.readouterr().out == ""


def test_workers_inherit_no_secrets(make_plan, engine, tmp_path, monkeypatch):
    monkeypatch.setenv("WANTED_API_KEY", "s6")
    monkeypatch.setenv("EXPPLAT_PASS_ENV", "WANTED_API_KEY")
    note = tmp_path / "note"
    plan = make_plan(requests=1, note=str(note), trouble={"r0": "shows_its_environment"})

    engine.run(plan, silent, ALL)

    names = set((tmp_path / "note.env").read_text().split())
    assert names & set(SECRET_ENV) == {"WANTED_API_KEY"}
    assert {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"} <= names
    assert not {name for name in names if name.startswith("RAY_")}
    assert "RAY_AUTH_MODE" not in os.environ


def test_nothing_of_ray_listens_beyond_the_loopback_interface(make_plan, engine):
    engine.run(make_plan(requests=1), silent, ALL)

    mine = {int(inode) for pid in _family(os.getpid()) for inode in _socket_inodes(pid)}
    listening = [address for address, inode in _listeners() if inode in mine]
    assert len(listening) >= 4
    assert {address for address in listening if not _is_loopback(address)} == set()


def test_ray_answers_nobody_without_the_token(make_plan, engine, state_dir, tmp_path):
    engine.run(make_plan(requests=1), silent, ALL)
    import ray

    address = ray.get_runtime_context().gcs_address
    token = state_dir / "ray" / "token"
    environment = {**os.environ, "HOME": str(tmp_path), "RAY_AUTH_MODE": "token"}
    script = (
        "import ray\n"
        "from ray._raylet import GcsClient\n"
        f"print('let in', GcsClient(address={address!r}).cluster_id.hex() != '')\n"
    )

    refused = _python(script, {**environment, "RAY_AUTH_TOKEN": "0" * 64})
    let_in = _python(script, {**environment, "RAY_AUTH_TOKEN_PATH": str(token)})

    assert "let in" not in refused.stdout
    assert "AuthenticationError" in refused.stderr
    assert "let in" in let_in.stdout
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert not (tmp_path / ".ray").exists()


def test_what_a_worker_refuses_comes_home_as_itself(make_plan, engine):
    unpriced = make_plan(requests=1, trouble={"r0": "uses_an_unpriced_model"})
    unready = make_plan(treatment=Variant(use="pocs.trouble.variants:Unready"))

    with pytest.raises(InputError, match="nameless") as caught:
        engine.run(unpriced, silent, ALL)
    with pytest.raises(EngineError, match=r"index\.bin"):
        engine.run(unready, silent, ALL)

    assert "priced are: small" in caught.value.hint


def test_a_call_that_ends_its_worker_costs_one_row(make_plan, engine, tmp_path, capfd):
    note = tmp_path / "note"
    plan = make_plan(
        requests=9,
        note=str(note),
        trouble={"r1": "dies", "r7": "hangs_in_c"},
        measurement={"timeout_s": 1.0},
    )

    engine.run(plan, silent, ALL)

    rows = list(ReplayJournal().rows(plan))
    errors = {row.request_id: row.calls[TREATMENT].error for row in rows}
    paid = note.read_text().split()
    assert [row.position for row in rows] == list(range(9))
    assert {name: error for name, error in errors.items() if error} == {
        "r1": ErrorKind.VARIANT_BUG,
        "r7": ErrorKind.TIMEOUT,
    }
    assert rows[1].calls[TREATMENT].latency_ms == 1000
    assert (paid.count("r1"), paid.count("r7")) == (2, 1)
    assert capfd.readouterr().out == ""


@pytest.mark.long
def test_ctrl_c_ends_ray_quickly_and_leaves_a_journal(make_plan, tmp_path):
    note = tmp_path / "note"
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.2, "note": str(note)})
    plan = make_plan(requests=40, control=slow, treatment=slow)
    process = started(plan, tmp_path, "ray")
    wait_for_lines(note, 9, process)
    before = time.monotonic()

    os.killpg(process.pid, signal.SIGINT)
    printed, errors = process.communicate(timeout=60)

    spent_s = time.monotonic() - before
    assert none_left(str(tmp_path), 5) == []
    rows = list(ReplayJournal().rows(plan))
    assert spent_s < 15
    assert errors.strip().endswith("KeyboardInterrupt")
    assert printed == ""
    assert 2 <= len(rows) < 40
    LocalEngine().run(replace(plan, control=FAST, treatment=FAST), silent, ALL)
    assert len(list(ReplayJournal().rows(plan))) == 40


def test_an_actor_that_is_killed_leaves_nothing_and_costs_no_row(make_plan, engine, tmp_path):
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.05})
    deadly = {"trouble": {"r1": "leaves_children"}, "note": str(tmp_path / "note")}
    treatment = Variant(use="pocs.trouble.deadly:Deadly", params=deadly)
    measurement = {"workers": 1, "aa_requests": 0}
    plan = make_plan(requests=20, control=slow, treatment=treatment, measurement=measurement)
    killed = []

    def kill_once(done, total):
        if done >= 4 and not killed:
            killed.append(parent_of(parent_of(workers(plan)[0])))
            os.kill(killed[0], signal.SIGKILL)

    engine.run(plan, kill_once, ALL)

    rows = list(ReplayJournal().rows(plan))
    assert len(killed) == 1
    assert [row.position for row in rows] == list(range(20))
    assert {call.error for row in rows for call in row.calls.values()} == {None}
    assert none_left(str(tmp_path), 5) == []


def test_where_ray_does_not_start_the_same_rows_come_from_local_processes(
    make_plan, tmp_path, state_dir
):
    close_session()
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ray").write_text("in the way of the token's folder")
    local, fallen = make_plan(requests=4), make_plan(requests=4)
    LocalEngine(clock=STEP_CLOCK).run(local, silent, ALL)
    engine = RayEngine("", tmp_path / "state", clock=STEP_CLOCK)

    stopped = engine.run(fallen, silent, ALL)

    assert (stopped, engine.name) == ("", "local")
    assert engine.notice.startswith("Ray does not start: ")
    assert journal_bytes(fallen) == journal_bytes(local)


@pytest.mark.long
def test_a_replay_whose_driver_was_killed_goes_on_without_paying_twice(make_plan, tmp_path):
    note = tmp_path / "note"
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.05, "note": str(note)})
    plan = make_plan(requests=60, control=slow, treatment=slow)
    for kill in range(2):
        process = started(plan, tmp_path, "ray")
        wait_for_lines(note, 20 * (kill + 1), process)
        process.kill()
        process.communicate()
        assert none_left(str(tmp_path), 90) == []

    finished = started(plan, tmp_path, "ray")
    printed, _ = finished.communicate(timeout=120)

    rows = list(ReplayJournal().rows(plan))
    calls = sum(len(row.calls) for row in rows)
    paid = len(note.read_text().split())
    assert printed == "done ray\n"
    assert len(rows) == 60
    # At worst each of the two workers loses a request of three calls a kill.
    assert calls <= paid <= calls + 2 * 2 * 3


@pytest.mark.parametrize("address", ["auto", "ray://127.0.0.1:10001", "127.0.0.1:port", ":6379"])
def test_what_is_no_address_of_a_cluster_is_said_to_be_none(make_plan, tmp_path, address):
    with pytest.raises(EngineError, match="is no address"):
        RayEngine(address, tmp_path).run(make_plan(requests=1), silent, ALL)


def test_an_address_where_nobody_listens_is_an_engine_error(make_plan, tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"

    with pytest.raises(EngineError, match=f"cannot be reached at {address}"):
        RayEngine(address, tmp_path).run(make_plan(requests=1), silent, ALL)


def _python(script, environment, *arguments):
    return subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _family(pid):
    """This process and all below it; threads and processes that end meanwhile are passed over."""
    found = [pid]
    for task in _entries(Path(f"/proc/{pid}/task")):
        try:
            children = (task / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            found += _family(int(child))
    return found


def _entries(folder):
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _socket_inodes(pid):
    for descriptor in _entries(Path(f"/proc/{pid}/fd")):
        try:
            target = os.readlink(descriptor)
        except OSError:
            continue
        if target.startswith("socket:["):
            yield target[8:-1]


def _listeners():
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            words = line.split()
            if words[3] == "0A":
                yield words[1].partition(":")[0], int(words[9])


def _is_loopback(address):
    """As the kernel writes them: bytes of each word in the order of this machine."""
    mapped = "0000000000000000FFFF00000100007F"
    return address in ("0100007F", mapped, "00000000000000000000000001000000")

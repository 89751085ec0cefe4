"""A replay on a Ray cluster whose nodes were started by hand, each on a loopback address."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.local_engine import LocalEngine
from expplat.adapters.replay.ray_engine import RayEngine
from expplat.adapters.replay.ray_session import close_session
from expplat.domain.proposal import Variant
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError
from tests.adapters.replay.running import (
    ALL,
    STEP_CLOCK,
    journal_bytes,
    none_left,
    silent,
    started,
    wait_for_lines,
)

pytestmark = [pytest.mark.ray, pytest.mark.long, pytest.mark.timeout(600)]

START_S = 120


class Cluster:
    """Nodes that are processes of this machine; what they are started with has no other effect."""

    def __init__(self, folder, auth_mode):
        # Ray's sockets lie below its folder, and their paths may not be long.
        self.folder = folder
        self.token = folder / "token"
        self.token.write_text(secrets.token_hex(32))
        self.token.chmod(0o600)
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": auth_mode,
            "RAY_AUTH_TOKEN_PATH": str(self.token),
            "RAY_USAGE_STATS_ENABLED": "0",
            "NODE_SECRET": "s",
        }
        self.nodes = []
        with socket.socket() as unused:
            unused.bind(("127.0.0.2", 0))
            self.address = f"127.0.0.2:{unused.getsockname()[1]}"

    def add(self, *options):
        """Start a node, and wait until it says that it is up."""
        log = self.folder / f"node-{len(self.nodes)}.log"
        common = ("--num-cpus=1", f"--object-store-memory={80 << 20}", "--block")
        with log.open("wb") as out:
            node = subprocess.Popen(
                [str(Path(sys.executable).with_name("ray")), "start", *options, *common],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        self.nodes.append(node)
        deadline = time.monotonic() + START_S
        while b"Ray runtime started" not in log.read_bytes():
            assert node.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    def close(self):
        for node in self.nodes:
            with contextlib.suppress(ProcessLookupError):
                node.terminate()
        for node in self.nodes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                node.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(node.pid, signal.SIGKILL)


@contextlib.contextmanager
def cluster(nodes, auth_mode="token"):
    folder = Path(tempfile.mkdtemp(prefix="ray-"))
    made = Cluster(folder, auth_mode)
    host, _, port = made.address.partition(":")
    try:
        made.add(
            "--head",
            f"--node-ip-address={host}",
            f"--port={port}",
            "--include-dashboard=false",
            f"--temp-dir={folder}/r",
        )
        for number in range(1, nodes):
            made.add(f"--address={made.address}", f"--node-ip-address=127.0.0.{2 + number}")
        yield made
    finally:
        close_session()
        made.close()
        left = none_left(str(folder), 20)
        shutil.rmtree(folder, ignore_errors=True)
        assert left == []


@pytest.fixture(scope="module")
def two_nodes():
    with cluster(2) as made:
        yield made


@pytest.fixture(autouse=True)
def _disconnected():
    yield
    close_session()


def test_two_nodes_write_the_rows_of_the_local_engine(
    two_nodes, make_plan, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(two_nodes.token))
    trouble = {"r1": "raises", "r4": "gives_garbage", "r5": "gives_dict", "r7": "hangs_in_c"}
    made = {"requests": 24, "trouble": trouble, "measurement": {"timeout_s": 2.0}}
    local, ray = make_plan(**made), make_plan(**made)
    LocalEngine(clock=STEP_CLOCK).run(local, silent, ALL)
    capfd.readouterr()
    engine = RayEngine(two_nodes.address, tmp_path / "state", clock=STEP_CLOCK)

    stopped = engine.run(ray, silent, ALL)

    printed = capfd.readouterr()
    setups = {len(spent) for spent in ReplayJournal().setups_ms(ray).values()}
    assert (stopped, engine.name, engine.notice) == ("", "ray", "")
    assert journal_bytes(ray) == journal_bytes(local)
    # One worker on each node, which has one CPU; and one more for the call that hung.
    assert setups == {3}
    assert (printed.out, printed.err) == ("", "")


def test_workers_on_a_node_see_what_is_allowed_there_and_what_is_passed(
    two_nodes, make_plan, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(two_nodes.token))
    monkeypatch.setenv("WANTED_API_KEY", "s")
    monkeypatch.setenv("EXPPLAT_PASS_ENV", "WANTED_API_KEY")
    note = tmp_path / "note"
    plan = make_plan(requests=1, note=str(note), trouble={"r0": "shows_its_environment"})

    RayEngine(two_nodes.address, tmp_path / "state").run(plan, silent, ALL)

    names = set((tmp_path / "note.env").read_text().split())
    assert "WANTED_API_KEY" in names
    assert not {"NODE_SECRET", "RAY_AUTH_TOKEN_PATH", "RAY_AUTH_MODE"} & names


def test_a_cluster_with_another_token_is_an_engine_error(
    two_nodes, make_plan, tmp_path, monkeypatch
):
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    engine = RayEngine(two_nodes.address, tmp_path / "state")

    with pytest.raises(EngineError, match="cannot be reached") as caught:
        engine.run(make_plan(requests=1), silent, ALL)

    assert "RAY_AUTH_TOKEN_PATH" in caught.value.hint


def test_a_node_that_is_killed_costs_no_row(make_plan, tmp_path, monkeypatch):
    note = tmp_path / "note"
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.1, "note": str(note)})
    plan = make_plan(requests=60, control=slow, treatment=slow)
    with cluster(2) as made:
        monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(made.token))
        process = started(plan, tmp_path, "ray", made.address)
        wait_for_lines(note, 40, process)

        os.killpg(made.nodes[1].pid, signal.SIGKILL)
        printed, errors = process.communicate(timeout=90)

    rows = list(ReplayJournal().rows(plan))
    assert printed == "done ray\n", errors
    assert [row.position for row in rows] == list(range(60))
    assert {call.error for row in rows for call in row.calls.values()} == {None}
    assert none_left(str(tmp_path), 5) == []


def test_a_cluster_that_asks_for_no_token_is_refused_unless_that_is_wanted(
    make_plan, tmp_path, monkeypatch
):
    monkeypatch.delenv("EXPPLAT_RAY_WITHOUT_TOKEN", raising=False)
    plan = make_plan(requests=3, trouble={"r1": "raises"})
    with cluster(1, auth_mode="disabled") as made:
        with pytest.raises(EngineError, match="lets anybody in"):
            RayEngine(made.address, tmp_path / "state").run(plan, silent, ALL)
        monkeypatch.setenv("EXPPLAT_RAY_WITHOUT_TOKEN", "1")

        RayEngine(made.address, tmp_path / "state").run(plan, silent, ALL)

    rows = list(ReplayJournal().rows(plan))
    assert rows[1].calls["treatment"].error is ErrorKind.VARIANT_BUG

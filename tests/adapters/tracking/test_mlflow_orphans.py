"""Runs that a killed process has left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from expplat.adapters.tracking.runs import HEARTBEAT, STALE_MS, WRITER
from tests.adapters.tracking.full_report import full_report
from tests.adapters.tracking.local_store import Store

HALFWAY = """
import sys, time
from pathlib import Path
from mlflow import MlflowClient
from tests.adapters.tracking.full_report import full_report
from tests.adapters.tracking.local_store import Store

def hang(*args, **kwargs):
    print("halfway", flush=True)
    time.sleep(600)

MlflowClient.log_text = hang
folder, slug = sys.argv[1:]
Store(Path(folder)).copy(full_report(slug))
"""


def left_running(store: Store, slug: str, role: str = "control", **changes: str) -> str:
    """Leave a run of a POC as a process of another host does that has just begun it."""
    tags = {
        "expplat.replay_id": "ab" * 12,
        "expplat.role": role,
        WRITER: "elsewhere 1",
        HEARTBEAT: str(int(time.time() * 1000)),
    } | {name.replace("_", ".", 1): value for name, value in changes.items()}
    client = store.client
    run = client.create_run(store.experiment_id(slug), tags=tags, run_name=role)
    return str(run.info.run_id)


def status(store: Store, run_id: str) -> tuple[str, str]:
    info = store.client.get_run(run_id).info
    return info.status, info.lifecycle_stage


def ended_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait(30)
    return process.pid


@pytest.fixture
def slug(store: Store, request: pytest.FixtureRequest) -> str:
    """A POC that has a copy."""
    name = f"orphans_{request.node.name.partition('[')[0][5:40]}"
    store.copy(full_report(name))
    return name


def test_a_run_whose_process_is_gone_is_marked_as_killed_by_the_next_copy(
    store: Store, slug: str
) -> None:
    here = f"{socket.gethostname()} {ended_process()}"
    left = left_running(store, slug, expplat_writer=here)

    store.copy(full_report("another_poc"))

    assert status(store, left) == ("KILLED", "active")


def test_half_a_copy_is_deleted_where_a_whole_one_exists(store: Store, slug: str) -> None:
    here = f"{socket.gethostname()} {ended_process()}"
    left = left_running(store, slug, expplat_replay_id="5e" * 12, expplat_writer=here)

    store.copy(full_report("another_poc"))

    assert status(store, left)[1] == "deleted"
    assert len(store.runs(slug)) == 3


def test_a_run_that_nobody_has_touched_for_ten_minutes_is_marked_as_killed(
    store: Store, slug: str
) -> None:
    old = str(int(time.time() * 1000) - STALE_MS - 1000)
    left = left_running(store, slug, expplat_heartbeat=old)

    store.copy(full_report("another_poc"))

    assert status(store, left) == ("KILLED", "active")


def test_a_run_without_a_heartbeat_is_marked_as_killed(store: Store, slug: str) -> None:
    left = left_running(store, slug, expplat_heartbeat="")

    store.copy(full_report("another_poc"))

    assert status(store, left) == ("KILLED", "active")


def test_a_run_that_another_process_is_writing_is_left_alone(store: Store, slug: str) -> None:
    elsewhere = left_running(store, slug)
    here = left_running(store, slug, expplat_writer=f"{socket.gethostname()} {os.getppid()}")
    same = left_running(store, slug, expplat_replay_id="5e" * 12)

    store.copy(full_report(slug))

    for run_id in (elsewhere, here, same):
        assert status(store, run_id) == ("RUNNING", "active")


def test_a_run_that_is_not_ours_is_left_alone(store: Store, slug: str) -> None:
    client = store.client
    theirs = client.create_run(store.experiment_id(slug)).info.run_id

    store.copy(full_report("another_poc"))

    assert status(store, theirs) == ("RUNNING", "active")


def test_a_copy_that_was_killed_half_way_leaves_nothing_behind_after_the_next(
    store: Store,
) -> None:
    command = [sys.executable, "-c", HALFWAY, str(store.folder), "killed"]
    process: Any = subprocess.Popen(
        command, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "halfway\n"
    process.send_signal(signal.SIGKILL)
    process.wait(30)
    process.stdout.close()
    client = store.client
    (left,) = [
        run
        for run in client.search_runs([store.experiment_id("killed")])
        if run.info.status == "RUNNING"
    ]

    store.copy(full_report("killed"))

    runs = store.runs("killed")
    assert {run.info.status for run in runs.values()} == {"FINISHED"}
    assert set(runs) == {"control", "treatment", "verdict"}
    assert status(store, left.info.run_id)[1] == "deleted"

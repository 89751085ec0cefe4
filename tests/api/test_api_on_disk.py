"""An acknowledgement stands behind a sync, and a full disk takes none of them back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest

from expplat.adapters.sql.migrate import upgrade
from tests.senders import SLUG, Batch
from tests.serving import (
    ServerProcess,
    Walk,
    a_platform,
    environment,
    eventually,
    free_port,
    is_healthy,
)

ACKNOWLEDGEMENTS = 40


def strace_or_skip():
    program = shutil.which("strace")
    if program is None:
        pytest.skip("there is no strace on this machine")
    tried = subprocess.run([program, "-o", os.devnull, "true"], capture_output=True, check=False)
    if tried.returncode:
        pytest.skip("this machine does not let a process be traced")
    return program


@contextmanager
def syncs_of(processes, file):
    """Keep the moments of every sync of these processes and their threads in a file."""
    arguments = [word for process in processes for word in ("-p", str(process))]
    tracer = subprocess.Popen(
        [strace_or_skip(), "-f", "-ttt", "-e", "trace=fsync,fdatasync", "-o", file, *arguments],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert "attached" in tracer.stderr.readline()
        time.sleep(0.5)
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)
        tracer.stderr.close()


def moments_in(file):
    return [float(found) for found in re.findall(r"^\d+ +(\d+\.\d+) f", file.read_text(), re.M)]


def acknowledgements(address, secret):
    """Send small batches; return when each was sent and when it was answered."""
    spans = []
    with httpx2.Client(headers={"Authorization": f"Bearer {secret}"}) as client:
        for number in range(ACKNOWLEDGEMENTS):
            started = time.time()
            answer = client.post(f"{address}/v1/batch", json=Batch(number, size=2).as_json())
            spans.append((started, time.time()))
            assert answer.json()["accepted"] == 2
    return spans


def acknowledged_behind_a_sync(spans, moments):
    return sum(any(begin <= moment <= end for moment in moments) for begin, end in spans)


@pytest.mark.long
def test_every_acknowledgement_of_a_sqlite_stands_behind_a_sync(tmp_path):
    strace_or_skip()
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    walk.promote(SLUG, 50.0)
    secret = walk.key("ingest")
    with (
        ServerProcess(platform.settings.workspace, EXPPLAT_WATCH_EVERY_S="0") as server,
        syncs_of([server.process.pid], tmp_path / "syncs"),
    ):
        spans = acknowledgements(server.address, secret)

    moments = moments_in(tmp_path / "syncs")
    assert acknowledged_behind_a_sync(spans, moments) == ACKNOWLEDGEMENTS
    platform.sql_engine.dispose()


@pytest.mark.long
def test_every_acknowledgement_of_a_postgresql_stands_behind_a_sync(tmp_path, new_postgres_server):
    strace_or_skip()
    postgres = new_postgres_server()
    postgres.set("fsync", "on")
    url = postgres.url(postgres.new_database())
    upgrade(url)
    more = {"EXPPLAT_DATABASE_URL": url, "EXPPLAT_WATCH_EVERY_S": "0"}
    platform = a_platform(tmp_path / "workspace", **more)
    walk = Walk(platform)
    walk.promote(SLUG, 50.0)
    secret = walk.key("ingest")
    with (
        ServerProcess(platform.settings.workspace, **more) as server,
        syncs_of(postgres.processes(), tmp_path / "syncs"),
    ):
        spans = acknowledgements(server.address, secret)

    moments = moments_in(tmp_path / "syncs")
    assert acknowledged_behind_a_sync(spans, moments) == ACKNOWLEDGEMENTS
    platform.sql_engine.dispose()
    postgres.stop()


SMALL_DISK = """
set -e
mount -t tmpfs -o size=6m none "$0"
cp -a "$1/." "$0/"
head -c 3000000 /dev/zero > "$0/ballast"
shift
exec "$@"
"""


@contextmanager
def on_a_small_disk(workspace, state_dir, mount):
    """Run the server with its state on a disk of six megabytes, three of them taken."""
    if subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let a process mount a disk of its own")
    mount.mkdir()
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        ["unshare", "-rm", "sh", "-c", SMALL_DISK, mount, state_dir,
         sys.executable, "-m", "uvicorn", "--factory", "expplat.api.app:create_app_from_env",
         "--port", str(port)],
        env=os.environ
        | environment(workspace, EXPPLAT_STATE_DIR=str(mount), EXPPLAT_WATCH_EVERY_S="0"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(lambda: server.poll() is not None or is_healthy(address), within_s=20)
        assert server.poll() is None
        yield address, Path(f"/proc/{server.pid}/root{mount}")
    finally:
        server.kill()
        server.wait()


def test_a_full_disk_takes_back_nothing_and_what_comes_later_is_kept(tmp_path):
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    walk.promote(SLUG, 50.0)
    headers = {"Authorization": f"Bearer {walk.key('ingest')}"}
    platform.sql_engine.dispose()
    state_dir = platform.settings.state_dir
    with (
        on_a_small_disk(tmp_path / "workspace", state_dir, tmp_path / "disk") as (address, disk),
        httpx2.Client(base_url=address, headers=headers, timeout=20) as client,
    ):

        def send(number):
            return client.post("/v1/batch", json=Batch(number, size=500).as_json())

        answers = {}
        while 503 not in answers.values() and len(answers) < 100:
            answers[len(answers)] = send(len(answers)).status_code
        refused = send(1_000)
        (disk / "ballast").unlink()
        eventually(lambda: send(1_000).status_code == 200)
        again = [send(number).status_code for number in answers]
        taken = [number for number, status in answers.items() if status == 200]
        # A copy, because SQLite would follow the link out of the other's sight of the disk.
        for ending in ("", "-wal"):
            shutil.copyfile(disk / f"expplat.db{ending}", tmp_path / f"copy.db{ending}")
        with closing(sqlite3.connect(tmp_path / "copy.db")) as connection:
            kept = {row[0] for row in connection.execute("SELECT event_id FROM outcomes")}
            count = connection.execute("SELECT count(*) FROM outcomes").fetchone()[0]
            sound = connection.execute("PRAGMA integrity_check").fetchone()[0]

    assert set(answers.values()) == {200, 503}
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert set(again) == {200}
    assert len(taken) >= 1
    assert kept == {i for number in (*answers, 1_000) for i in Batch(number, 500).outcome_ids}
    assert count == len(kept)
    assert sound == "ok"

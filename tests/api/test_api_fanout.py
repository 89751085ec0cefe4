"""Many streams at once, and several servers on one database."""

from __future__ import annotations

import json
import queue
import resource
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.serving import EventStream, ServerProcess, Walk, a_platform, eventually

SLUG = "hybrid_rrf"
SUBSCRIBERS = Path(__file__).with_name("subscribers.py")


@contextmanager
def subscribed(server, key, count):
    """Open so many streams in another process; yield what it says, one line a message."""
    command = [sys.executable, str(SUBSCRIBERS), "127.0.0.1", str(server.port), f"/sub/{key}"]
    process = subprocess.Popen([*command, str(count)], stdout=subprocess.PIPE, text=True)
    lines = queue.SimpleQueue()

    def read():
        for line in process.stdout:
            lines.put(json.loads(line))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield lines
    finally:
        process.kill()
        process.wait()
        reader.join(5)
        process.stdout.close()


def open_files_at_least(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"this machine opens {hard} files at most")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))


@pytest.mark.long
@pytest.mark.parametrize("delivery", ["plain", "encrypted"])
def test_the_last_of_a_thousand_streams_has_a_change_within_a_second(tmp_path, delivery):
    open_files_at_least(4_096)
    platform = a_platform(tmp_path / "workspace")
    walk = Walk(platform)
    key = walk.key("client", delivery=delivery)
    walk.promote(SLUG, 1.0)
    seconds = []
    with (
        ServerProcess(tmp_path / "workspace") as server,
        subscribed(server, key, 1_000) as lines,
    ):
        lines.get(timeout=60)
        for percent in range(2, 32):
            walk.promote(SLUG, float(percent))
            committed = time.monotonic()
            seconds.append(lines.get(timeout=10)["last"] - committed)

    print(f"{delivery}: {sorted(seconds)}")
    assert len(seconds) == 30
    assert max(seconds) < 1.0
    platform.sql_engine.dispose()


def test_three_servers_on_one_database_have_a_change_within_half_a_second(tmp_path, postgresql_url):
    workspace, more = tmp_path / "workspace", {"EXPPLAT_DATABASE_URL": postgresql_url}
    platform = a_platform(workspace, **more)
    walk = Walk(platform)
    key = walk.key("client")
    seconds = []
    servers = [ServerProcess(workspace, **more) for _ in range(3)]  # they start side by side
    with servers[0], servers[1], servers[2]:
        streams = [EventStream(f"{server.address}/sub/{key}") for server in servers]
        eventually(lambda: all(events.payloads for events in streams))
        for percent in range(5, 15):
            walk.promote(SLUG, float(percent))
            seconds.append(
                eventually(lambda percent=percent: all(e.serves(SLUG, percent) for e in streams))
            )
        paths = [f"{server.address}/api/features/{key}" for server in servers]
        bodies = {httpx2.get(path).content for path in paths}
    platform.sql_engine.dispose()

    assert max(seconds) < 0.5
    assert len(bodies) == 1


def test_a_server_with_two_hundred_streams_ends_within_five_seconds(tmp_path):
    platform = a_platform(tmp_path / "workspace")
    key = Walk(platform).key("client")
    with (
        ServerProcess(tmp_path / "workspace") as server,
        subscribed(server, key, 200) as lines,
    ):
        lines.get(timeout=30)

        seconds = server.terminate()

    platform.sql_engine.dispose()
    assert seconds < 5.0

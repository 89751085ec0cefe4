"""Runs replays in processes of their own, for tests that end them."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from expplat.adapters.replay_journal import journal_path
from expplat.domain.plain import canonical_json

RUN = Path(__file__).parents[2] / "assets" / "replay" / "run_replay.py"


def silent(done, total):
    """A progress that nobody looks at."""


def started(plan, tmp_path, engine="local"):
    """Start the replay in a process group of its own, as a shell does."""
    file = tmp_path / "plan.json"
    file.write_bytes(canonical_json(plan))
    return subprocess.Popen(
        [sys.executable, str(RUN), engine, str(file), str(tmp_path / "state")],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def journal_bytes(plan):
    return [journal_path(plan, shard).read_bytes() for shard in range(plan.shards)]


def wait_for_lines(note, lines, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if note.exists() and note.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.002)

"""Runs replays in processes of their own, for tests that end them, and looks for what is left."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from expplat.adapters.replay.journal_files import journal_path
from expplat.adapters.replay.sweeps import ClockSource
from expplat.domain.plain import canonical_json
from expplat.domain.replay import Limits

ASSETS = Path(__file__).parents[2] / "assets" / "replay"
RUN = ASSETS / "run_replay.py"

STEP_CLOCK = ClockSource(use="clocks:step_clock", folder=str(ASSETS))
"""A clock that is a 1,024th of a second later at each look."""

ALL = Limits()
"""No budget, one round."""


def silent(done, total):
    """A progress that nobody looks at."""


def started(plan, tmp_path, engine="local", address=""):
    """Start the replay in a process group of its own, as a shell does."""
    file = tmp_path / "plan.json"
    file.write_bytes(canonical_json(plan))
    return subprocess.Popen(
        [sys.executable, str(RUN), engine, str(file), str(tmp_path / "state"), address],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def journal_bytes(plan):
    """Return the lines of the journal in the order of the log, without their order in time."""
    return [sorted(journal_path(plan, shard).read_bytes().splitlines()) for shard in _shards(plan)]


def journal_lines(plan):
    """Return how many rows are written."""
    paths = (journal_path(plan, shard) for shard in _shards(plan))
    return sum(path.read_bytes().count(b"\n") for path in paths if path.exists())


def wait_for_lines(note, lines, process):
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if note.exists() and note.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.002)


def workers(plan):
    """Return the processes that this replay's variants run in: they are below a keeper."""
    found = processes_that_mention(plan.folder)
    return [pid for pid in found if parent_of(pid) in found and _leads_a_session(pid)]


def processes_that_mention(word):
    """Return the processes in whose command line the word stands, but this one."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid():
            with contextlib.suppress(OSError):
                if word.encode() in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return found


def none_left(word, within_s):
    """Wait until no process mentions the word; return those that do so in the end."""
    deadline = time.monotonic() + within_s
    while (left := processes_that_mention(word)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return left


def _shards(plan):
    return range(plan.shards)


def below(pid):
    """Return a process and all that it has started, while they have not been orphaned."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*"):
        with contextlib.suppress(OSError):
            for child in (task / "children").read_text().split():
                found += below(int(child))
    return found


def none_alive(pids, within_s):
    """Wait until none of these processes is alive; return those that are in the end."""
    deadline = time.monotonic() + within_s
    while (left := [pid for pid in pids if _is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    return left


def _is_alive(pid):
    with contextlib.suppress(OSError):
        return _stat(pid)[0] != "Z"
    return False


def parent_of(pid):
    with contextlib.suppress(OSError):
        return int(_stat(pid)[1])
    return 0


def _leads_a_session(pid):
    with contextlib.suppress(OSError):
        return int(_stat(pid)[3]) == pid
    return False


def _stat(pid):
    """The fields from the state on: state, parent, group, session."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()

"""A replay that is cut off goes on where its journal ends."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from expplat.adapters.local_replay import LocalEngine
from expplat.adapters.replay_journal import (
    Progressed,
    ReplayJournal,
    ShardJournal,
    journal_path,
    locked,
)
from expplat.domain.plain import canonical_json
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.errors import ConflictError, EngineError, TryLaterError
from tests.adapters.replay.running import journal_bytes, silent, started, wait_for_lines


def test_a_killed_replay_pays_no_call_twice_but_those_in_flight(make_plan, tmp_path):
    note = tmp_path / "note"
    both = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.003, "note": str(note)})
    plan = make_plan(requests=60, control=both, treatment=both, measurement={"shard_requests": 25})
    draw = random.Random(11)
    kills = 4
    for kill in range(kills):
        process = started(plan, tmp_path)
        wait_for_lines(note, 25 * (kill + 1) + draw.randrange(10), process)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    finished = started(plan, tmp_path)
    printed, _ = finished.communicate(timeout=60)

    rows = list(ReplayJournal().rows(plan))
    expected = Counter({row.request_id: len(row.calls) for row in rows})
    paid = Counter(note.read_text().split())
    assert printed == "done\n"
    assert [row.request_id for row in rows] == [f"r{n}" for n in range(60)]
    assert not expected - paid
    again = paid - expected
    assert len(again) <= kills
    assert sum(again.values()) <= 3 * kills


def test_a_resumed_replay_writes_the_bytes_of_an_unbroken_one(make_plan, step_clock):
    unbroken, broken = make_plan(requests=8), make_plan(requests=8)
    LocalEngine(clock_factory=step_clock).run(unbroken, silent)
    LocalEngine(clock_factory=step_clock).run(broken, silent)
    path = journal_path(broken, 1)
    path.write_bytes(path.read_bytes()[:-20])

    LocalEngine(clock_factory=step_clock).run(broken, silent)

    assert journal_bytes(broken) == journal_bytes(unbroken)


@pytest.mark.parametrize("torn", [1, 60, 400])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(make_plan, torn):
    plan = make_plan(requests=3)
    LocalEngine().run(plan, silent)
    path = journal_path(plan, 0)
    path.write_bytes(path.read_bytes()[:-torn])

    seen = [row.request_id for row in ReplayJournal().rows(plan)]
    with ShardJournal(plan, 0) as journal:
        held = journal.count

    assert seen == ["r0", "r1"]
    assert held == 2
    assert path.read_bytes().endswith(b"}\n")


def test_a_finished_replay_is_not_run_again(make_plan, tmp_path):
    note = tmp_path / "note"
    plan = make_plan(requests=4, note=str(note))
    LocalEngine().run(plan, silent)
    paid = note.read_text()
    seen = []

    LocalEngine().run(plan, lambda done, total: seen.append((done, total)))

    assert note.read_text() == paid
    assert seen == [(4, 4)]


def test_progress_counts_the_journalled_rows(make_plan):
    seen = []

    LocalEngine().run(make_plan(requests=4), lambda done, total: seen.append((done, total)))

    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_journal_of_another_plan_is_refused(make_plan):
    plan, other = make_plan(requests=2), make_plan(requests=2)
    LocalEngine().run(plan, silent)
    (Path(other.folder) / "plan.json").write_bytes((Path(plan.folder) / "plan.json").read_bytes())

    with pytest.raises(ConflictError, match="another replay"):
        LocalEngine().run(other, silent)
    with pytest.raises(ConflictError, match="another replay"):
        list(ReplayJournal().rows(other))


@pytest.mark.parametrize("broken", [b"{}\n", b"nonsense\n", b'{"position": 0}\n'])
def test_a_journal_that_is_broken_within_is_not_read_on(make_plan, broken):
    plan = make_plan(requests=3)
    LocalEngine().run(plan, silent)
    path = journal_path(plan, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + broken + lines[2])

    with pytest.raises(EngineError, match="line 2"):
        list(ReplayJournal().rows(plan))


def test_the_same_replay_is_not_run_twice_at_once(make_plan, tmp_path):
    both = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.5})
    plan = make_plan(requests=20, control=both, treatment=both)
    process = started(plan, tmp_path)
    try:
        while not (Path(plan.folder) / "plan.json").exists():
            time.sleep(0.01)

        with pytest.raises(TryLaterError, match="another process"):
            LocalEngine().run(plan, silent)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def test_a_lock_ends_with_its_process_though_a_child_lives_on(tmp_path):
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from expplat.adapters.replay_journal import locked\n"
        "with locked(Path(sys.argv[1]), wait_s=1):\n"
        "    if os.fork() == 0:\n"
        "        time.sleep(5)\n"
        "        os._exit(0)\n"
        "    print('held', flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    path = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    process.wait()

    with locked(path, wait_s=1):
        held = True

    assert held


def test_ctrl_c_ends_a_replay_within_a_call_and_leaves_a_journal(make_plan, tmp_path):
    note = tmp_path / "note"
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.3, "note": str(note)})
    plan = make_plan(requests=20, control=slow, treatment=slow)
    process = started(plan, tmp_path)
    wait_for_lines(note, 6, process)
    before = time.monotonic()

    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)

    rows = list(ReplayJournal().rows(plan))
    assert time.monotonic() - before < 3
    assert errors.strip().endswith("KeyboardInterrupt")
    assert 1 <= len(rows) <= 3
    assert {call.error for row in rows for call in row.calls.values()} == {None}


def test_rows_are_counted_while_they_are_written_and_after_a_tear(make_plan):
    plan = make_plan(requests=3)
    LocalEngine().run(plan, silent)
    path = journal_path(plan, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    counter = Progressed(plan)
    before = counter.rows(0)
    path.write_bytes(whole)

    after = counter.rows(0)

    assert (before, after, counter.total()) == (2, 3, 3)


def test_a_row_is_one_line_of_canonical_json(make_plan):
    plan = make_plan(requests=1)

    LocalEngine().run(plan, silent)

    (line,) = journal_path(plan, 0).read_bytes().splitlines()
    assert canonical_json(json.loads(line)) == line
    assert {CONTROL, TREATMENT} <= set(json.loads(line)["calls"])

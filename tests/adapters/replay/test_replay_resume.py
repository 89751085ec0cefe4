"""A replay that is cut off goes on where its journal ends."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.journal_files import journal_path
from expplat.adapters.replay.local_engine import LocalEngine
from expplat.adapters.replay.order import Interleaving
from expplat.domain.plain import canonical_json
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, TREATMENT, Limits
from expplat.errors import ConflictError, TryLaterError
from tests.adapters.replay.running import (
    ALL,
    STEP_CLOCK,
    journal_bytes,
    journal_lines,
    none_left,
    processes_that_mention,
    silent,
    started,
    wait_for_lines,
    workers,
)

MOST_CALLS_OF_A_ROW = 3

KILLS = [5, pytest.param(20, marks=pytest.mark.long)]


@pytest.fixture
def make_noting(make_plan, tmp_path):
    """Makes plans whose variants note each call that is paid for, and take 5 ms for it."""

    def made(name, **measurement):
        params = {"seconds": 0.005, "note": str(tmp_path / name)}
        both = Variant(use="pocs.trouble.variants:sound", params=params)
        measured = {"shard_requests": 25, "aa_requests": 9, **measurement}
        return make_plan(requests=150, control=both, treatment=both, measurement=measured)

    return made


def surplus(plan, note):
    """Return which requests were asked more often than their rows tell, and how often."""
    rows = list(ReplayJournal().rows(plan))
    needed = Counter({row.request_id: len(row.calls) for row in rows})
    paid = Counter(note.read_text().split())
    assert not needed - paid
    return paid - needed


@pytest.mark.parametrize("kills", KILLS)
def test_kills_of_the_whole_tree_change_no_row_and_repeat_only_what_was_in_flight(
    make_noting, tmp_path, kills
):
    plan, whole = make_noting("note"), make_noting("whole")
    LocalEngine(clock=STEP_CLOCK).run(whole, silent, ALL)
    draw, hit = random.Random(11), 0
    for _ in range(kills):
        done = journal_lines(plan)
        process = started(plan, tmp_path)
        while process.poll() is None and journal_lines(plan) < done + draw.randint(1, 6):
            time.sleep(0.001)
        hit += process.poll() is None
        for pid in processes_that_mention(str(tmp_path)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.communicate()
        assert none_left(str(tmp_path), 5) == []

    finished = started(plan, tmp_path)
    printed, _ = finished.communicate(timeout=60)

    again = surplus(plan, tmp_path / "note")
    assert hit >= kills - 1
    assert printed == "done local\n"
    assert journal_bytes(plan) == journal_bytes(whole)
    assert len(again) <= hit * plan.measurement.workers
    assert again.total() <= hit * plan.measurement.workers * MOST_CALLS_OF_A_ROW
    assert none_left(str(tmp_path), 0) == []


@pytest.mark.parametrize("kills", KILLS)
def test_kills_of_a_worker_change_no_row_and_repeat_only_what_was_in_flight(
    make_noting, tmp_path, kills
):
    plan, whole = make_noting("note", workers=1), make_noting("whole", workers=1)
    LocalEngine(clock=STEP_CLOCK).run(whole, silent, ALL)
    draw, hit = random.Random(7), 0
    process = started(plan, tmp_path)
    for _ in range(kills):
        done = journal_lines(plan)
        # A call that two workers died of would count as a bug: let the next one get on first.
        while process.poll() is None and journal_lines(plan) < done + draw.randint(2, 6):
            time.sleep(0.001)
        for worker in workers(plan):
            os.kill(worker, signal.SIGKILL)
            hit += 1

    printed, _ = process.communicate(timeout=90)

    again = surplus(plan, tmp_path / "note")
    assert hit >= kills - 1
    assert printed == "done local\n"
    assert journal_bytes(plan) == journal_bytes(whole)
    assert len(again) <= hit
    assert again.total() <= hit * MOST_CALLS_OF_A_ROW
    assert none_left(str(tmp_path), 0) == []


def test_a_resumed_replay_writes_the_bytes_of_an_unbroken_one(make_plan):
    unbroken, broken = make_plan(requests=8), make_plan(requests=8)
    LocalEngine(clock=STEP_CLOCK).run(unbroken, silent, ALL)
    LocalEngine(clock=STEP_CLOCK).run(broken, silent, ALL)
    path = journal_path(broken, 1)
    path.write_bytes(path.read_bytes()[:-20])

    LocalEngine(clock=STEP_CLOCK).run(broken, silent, ALL)

    assert journal_bytes(broken) == journal_bytes(unbroken)


def test_a_finished_replay_is_not_run_again(make_plan, tmp_path):
    note = tmp_path / "note"
    plan = make_plan(requests=4, note=str(note))
    LocalEngine().run(plan, silent, ALL)
    paid = note.read_text()
    seen = []

    LocalEngine().run(plan, lambda done, total: seen.append((done, total)), ALL)

    assert note.read_text() == paid
    assert seen == [(4, 4)]


def test_progress_counts_the_journalled_rows(make_plan):
    seen = []

    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.2})
    plan = make_plan(requests=2, control=slow, measurement={"repeats": 2, "workers": 1})

    LocalEngine().run(plan, lambda done, total: seen.append((done, total)), ALL)

    assert seen == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_journal_of_another_plan_is_refused(make_plan):
    plan, other = make_plan(requests=2), make_plan(requests=2)
    LocalEngine().run(plan, silent, ALL)
    (Path(other.folder) / "plan.json").write_bytes((Path(plan.folder) / "plan.json").read_bytes())

    with pytest.raises(ConflictError, match="another replay"):
        LocalEngine().run(other, silent, ALL)
    with pytest.raises(ConflictError, match="another replay"):
        list(ReplayJournal().rows(other))


def test_the_same_replay_is_not_run_twice_at_once(make_plan, tmp_path):
    both = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.5})
    plan = make_plan(requests=20, control=both, treatment=both)
    process = started(plan, tmp_path)
    try:
        while not (Path(plan.folder) / "plan.json").exists():
            time.sleep(0.01)

        with pytest.raises(TryLaterError, match="another process"):
            LocalEngine().run(plan, silent, ALL)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


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
    assert 1 <= len(rows) <= 4
    assert none_left(str(tmp_path), 0) == []
    assert {call.error for row in rows for call in row.calls.values()} == {None}


def test_a_row_is_one_line_of_canonical_json(make_plan):
    plan = make_plan(requests=1)

    LocalEngine().run(plan, silent, ALL)

    (line,) = journal_path(plan, 0).read_bytes().splitlines()
    assert canonical_json(json.loads(line)) == line
    assert {CONTROL, TREATMENT} <= set(json.loads(line)["calls"])


def test_a_budget_that_is_spent_stops_the_run_and_the_next_one_goes_on(make_plan, tmp_path):
    note = tmp_path / "note"
    both = Variant(use="pocs.trouble.variants:sound", params={"note": str(note)})
    plan = make_plan(requests=30, control=both, treatment=both)

    first = LocalEngine().run(plan, silent, Limits(budget_usd=0.0002))
    done = journal_lines(plan)
    second = LocalEngine().run(plan, silent, Limits(budget_usd=0.0002))
    last = LocalEngine().run(plan, silent, ALL)

    assert "budget of 0.0002 USD is spent" in first
    assert "budget of 0.0002 USD is spent" in second
    assert 0 < done < 30
    assert (last, journal_lines(plan)) == ("", 30)
    assert surplus(plan, note).total() == 0


def test_rounds_are_run_until_it_is_enough_by_workers_that_stay_warm(make_plan):
    plan = make_plan(requests=60, measurement={"early_stop": True, "aa_requests": 0, "workers": 1})
    done = []

    def is_enough(number):
        done.append((number, journal_lines(plan)))
        return number == 3

    LocalEngine().run(plan, silent, ALL, is_enough)

    assert [number for number, _ in done] == [1, 2, 3]
    assert 0 < done[0][1] < done[1][1] < done[2][1] == journal_lines(plan) < 60
    assert len(ReplayJournal().setups_ms(plan)["control"]) == 1


def test_a_replay_that_is_not_enough_goes_on_to_its_end(make_plan):
    plan = make_plan(requests=60, measurement={"early_stop": True, "aa_requests": 0})

    LocalEngine().run(plan, silent, ALL, lambda number: False)

    assert journal_lines(plan) == 60


def test_where_calls_overlap_the_timed_requests_are_answered_first(make_plan):
    measurement = {"concurrency": 4, "latency_requests": 6, "shard_requests": 10, "workers": 1}
    plan = make_plan(requests=30, measurement=measurement)

    LocalEngine().run(plan, silent, ALL)

    order = Interleaving(plan.measurement, plan.requests)
    for shard in range(plan.shards):
        lines = journal_path(plan, shard).read_bytes().splitlines()
        timed = [order.is_timed(json.loads(line)["position"]) for line in lines]
        assert timed == sorted(timed, reverse=True)
    rows = {row.position: row for row in ReplayJournal().rows(plan)}
    assert {n for n, row in rows.items() if row.calls[CONTROL].is_timed} == {
        n for n in range(30) if order.is_timed(n)
    }

"""A call that hangs, exits, crashes or leaks costs itself alone, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from fnmatch import fnmatch

import pytest

from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.journal_files import journal_path
from expplat.adapters.replay.local_engine import LocalEngine
from expplat.adapters.replay.worker_child import LOG_BYTES
from expplat.adapters.replay.worker_environment import ALLOWED, THREADS
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, InputError
from tests.adapters.replay.running import (
    ALL,
    STEP_CLOCK,
    journal_bytes,
    none_left,
    parent_of,
    processes_that_mention,
    silent,
    started,
    wait_for_lines,
    workers,
)


@pytest.fixture
def make_deadly(make_plan, tmp_path):
    """Makes plans whose treatment does what it is told, and notes each call that it is asked."""

    def made(trouble, *, requests=6, use="Deadly", **measurement):
        params = {"trouble": trouble, "note": str(tmp_path / "note")}
        return make_plan(
            requests=requests,
            treatment=Variant(use=f"pocs.trouble.deadly:{use}", params=params),
            measurement={"timeout_s": 1.0, "aa_requests": 0, "workers": 1, **measurement},
        )

    return made


def errors(plan):
    rows = list(ReplayJournal().rows(plan))
    assert [row.position for row in rows] == list(range(plan.requests))
    assert {row.calls[CONTROL].error for row in rows} == {None}
    found = {row.request_id: row.calls[TREATMENT].error for row in rows}
    return {name: error for name, error in found.items() if error}


def asked(tmp_path):
    """How often the treatment was asked what."""
    return Counter((tmp_path / "note").read_text().split())


@pytest.mark.parametrize("trouble", ["hangs_deaf", "leaves_children_and_hangs"])
def test_a_call_that_no_alarm_reaches_is_ended_in_time_and_made_once(
    make_deadly, tmp_path, trouble
):
    plan = make_deadly({"r1": trouble})

    LocalEngine().run(plan, silent, ALL)

    ended_at = journal_path(plan, 0).with_suffix(".fatal").stat().st_mtime
    began_at = (tmp_path / "note.hung").stat().st_mtime
    assert errors(plan) == {"r1": ErrorKind.TIMEOUT}
    assert asked(tmp_path)["r1"] == 1
    # Its time limit is 1 s; a moment of it is over when the variant says that it hangs.
    assert 1.5 < ended_at - began_at < 1 + 2
    assert none_left(str(tmp_path), 0) == []


@pytest.mark.parametrize("trouble", ["exits", "segfaults"])
def test_a_call_that_ends_its_process_is_a_bug_at_once(make_deadly, tmp_path, trouble):
    plan = make_deadly({"r1": trouble, "r5": trouble})

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {"r1": ErrorKind.VARIANT_BUG, "r5": ErrorKind.VARIANT_BUG}
    assert set(asked(tmp_path).values()) == {1}


def test_a_call_whose_process_is_killed_is_made_twice_at_most(make_deadly, tmp_path):
    plan = make_deadly({"r1": "is_killed"})

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {"r1": ErrorKind.VARIANT_BUG}
    assert asked(tmp_path) == {"r0": 1, "r1": 2, **{f"r{n}": 1 for n in range(2, 6)}}


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ("exits", ErrorKind.VARIANT_BUG),
        pytest.param("segfaults", ErrorKind.VARIANT_BUG, marks=pytest.mark.long),
        pytest.param("hangs_deaf", ErrorKind.TIMEOUT, marks=pytest.mark.long),
    ],
)
def test_of_several_calls_under_way_the_guilty_one_alone_is_charged(
    make_deadly, tmp_path, trouble, kind
):
    plan = make_deadly(
        {"r7": trouble}, requests=12, concurrency=4, latency_requests=0, shard_requests=12
    )

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {"r7": kind}
    assert asked(tmp_path)["r7"] <= 2
    assert max(asked(tmp_path).values()) <= 2


def test_a_fatal_call_is_passed_over_by_the_next_run_too(make_deadly, tmp_path):
    plan = make_deadly({"r1": "exits"})
    LocalEngine().run(plan, silent, ALL)
    path = journal_path(plan, 0)
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {"r1": ErrorKind.VARIANT_BUG}
    assert asked(tmp_path)["r1"] == 1


@pytest.mark.long
def test_calls_that_end_their_process_again_and_again_end_the_run(make_deadly):
    plan = make_deadly({f"r{n}": "exits" for n in range(12)}, requests=12)

    with pytest.raises(EngineError, match="11 calls ended their processes") as caught:
        LocalEngine().run(plan, silent, ALL)

    assert "passes over" in caught.value.hint


def test_a_setup_that_ends_its_process_is_told_by_what_it_printed(make_deadly):
    plan = make_deadly({}, use="DiesInSetup")

    with pytest.raises(EngineError, match="there is no index here") as caught:
        LocalEngine().run(plan, silent, ALL)

    assert "3 worker processes" in caught.value.message


def test_what_a_worker_refuses_comes_home_as_itself(make_plan):
    unpriced = make_plan(requests=1, trouble={"r0": "uses_an_unpriced_model"})

    with pytest.raises(InputError, match="nameless") as caught:
        LocalEngine().run(unpriced, silent, ALL)

    assert "priced are: small" in caught.value.hint


def test_memory_beyond_the_limit_costs_the_call_that_takes_it(make_deadly):
    plan = make_deadly({"r1": "hogs", "r2": "takes_little"}, memory_mb=256)

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {"r1": ErrorKind.VARIANT_BUG}


def test_processes_that_a_variant_leaves_behind_are_gone_when_the_run_is(make_deadly, tmp_path):
    plan = make_deadly({"r1": "leaves_children"})

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {}
    assert none_left(str(tmp_path), 0) == []


def test_a_copy_of_the_worker_that_a_variant_forks_writes_nothing(make_deadly):
    plan = make_deadly({"r1": "forks_and_comes_back"})

    LocalEngine().run(plan, silent, ALL)

    assert errors(plan) == {}
    assert len(list(ReplayJournal().rows(plan))) == 6


def test_a_variant_sees_the_allowed_environment_an_empty_input_and_the_workspace(
    make_deadly, tmp_path, monkeypatch
):
    for name in ("OPENAI_API_KEY", "EXPPLAT_DATABASE_URL", "HARMLESS", "WANTED", "LC_TIME"):
        monkeypatch.setenv(name, "value")
    monkeypatch.setenv("EXPPLAT_PASS_ENV", "WANTED, MISSING")
    plan = make_deadly({"r0": "shows_itself", "r1": "reads"})

    LocalEngine().run(plan, silent, ALL)

    pid, folder, *names = (tmp_path / "note.seen").read_text().splitlines()
    told = set(names) & set(os.environ) - set(THREADS) - {"WANTED"}
    assert int(pid) != os.getpid()
    assert folder == plan.workspace
    assert {"WANTED", "LC_TIME", "PATH", *THREADS} <= set(names)
    assert {name for name in told if not any(fnmatch(name, may) for may in ALLOWED)} == set()
    assert not {"OPENAI_API_KEY", "EXPPLAT_DATABASE_URL", "HARMLESS", "EXPPLAT_PASS_ENV"} & {*names}
    assert errors(plan) == {}


def test_a_flood_of_output_costs_neither_the_call_nor_the_disk(make_deadly, tmp_path, capfd):
    plan = make_deadly({"r1": "floods"}, timeout_s=20.0)

    LocalEngine().run(plan, silent, ALL)

    log = next((tmp_path / plan.replay_id / "workers").iterdir())
    assert errors(plan) == {}
    assert log.stat().st_size == LOG_BYTES
    assert capfd.readouterr().out == ""


def test_variants_are_closed_once_a_worker(make_deadly, tmp_path):
    plan = make_deadly({}, workers=2)

    LocalEngine().run(plan, silent, ALL)

    assert (tmp_path / "note.closed").read_text().split() == ["closed", "closed"]


def test_ctrl_c_ends_a_call_that_hangs_and_all_processes(make_deadly, tmp_path):
    plan = make_deadly({"r1": "leaves_children_and_hangs"}, timeout_s=60.0)
    process = started(plan, tmp_path)
    wait_for_lines(tmp_path / "note", 2, process)
    before = time.monotonic()

    os.killpg(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=20)

    assert time.monotonic() - before < 3
    assert said.strip().endswith("KeyboardInterrupt")
    assert none_left(str(tmp_path), 0) == []


def test_nothing_is_left_seconds_after_the_engine_was_killed(make_deadly, tmp_path):
    plan = make_deadly({"r1": "leaves_children_and_hangs"}, timeout_s=60.0)
    process = started(plan, tmp_path)
    wait_for_lines(tmp_path / "note", 2, process)
    deadline = time.monotonic() + 10
    while len(found := processes_that_mention(str(tmp_path))) < 5 and time.monotonic() < deadline:
        time.sleep(0.01)

    process.kill()
    process.communicate()

    assert len(found) == 5
    assert none_left(str(tmp_path), 5) == []


def test_a_worker_whose_keeper_is_killed_is_replaced_and_nothing_is_left(make_plan, tmp_path):
    note = tmp_path / "note"
    slow = Variant(use="pocs.trouble.variants:sound", params={"seconds": 0.05, "note": str(note)})
    measurement = {"workers": 1, "aa_requests": 0}
    plan = make_plan(requests=12, control=slow, treatment=slow, measurement=measurement)
    whole = make_plan(requests=12, control=slow, treatment=slow, measurement=measurement)
    LocalEngine(clock=STEP_CLOCK).run(whole, silent, ALL)
    note.unlink()
    process = started(plan, tmp_path)
    wait_for_lines(note, 6, process)
    (worker,) = workers(plan)

    os.kill(parent_of(worker), signal.SIGKILL)
    printed, _ = process.communicate(timeout=30)

    assert printed == "done local\n"
    assert journal_bytes(plan) == journal_bytes(whole)
    assert none_left(str(tmp_path), 0) == []

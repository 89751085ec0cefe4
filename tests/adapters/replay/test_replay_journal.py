"""The journal: what is written is read, in the order of the log, whatever was torn meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.replay.journal import ReplayJournal, ShardJournal, note_setup
from expplat.adapters.replay.journal_files import answers_path, journal_path, locked
from expplat.adapters.replay.journal_rows import line_of, row_of
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.progress import Progressed
from expplat.adapters.replay.shard_notes import (
    calls_under_way,
    fatal_calls,
    finished_rows,
    forget_calls,
    note_fatal,
)
from expplat.domain.call import Usage
from expplat.domain.plain import canonical_json, from_plain
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT, CallRecord, ReplayRow
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, TryLaterError

CALL = CallRecord(
    latency_ms=12.5,
    cpu_ms=0.25,
    cost_usd=Decimal("1E-7"),
    metrics={"recall_at_5": 1.0, "exact_match": None},
    stages_ms={"retrieve": 3.5},
    stages_cpu_ms={"retrieve": 0.125},
    usages=(Usage(model="small", input_tokens=10, output_tokens=2, stage="retrieve"),),
)


def a_row(position, repeat=0, **changes):
    calls = {CONTROL: CALL, TREATMENT: replace(CALL, **changes)}
    return ReplayRow(
        position=position,
        repeat=repeat,
        request_id=f"r{position}",
        cluster=f"r{position}",
        segment={},
        calls=calls,
    )


def journalled(plan, shard, keys):
    with ShardJournal(plan, shard) as journal:
        for position, repeat in keys:
            journal.add(a_row(position, repeat), {CONTROL: f"control {position}.{repeat}"})


numbers = st.floats(allow_nan=False, allow_infinity=False)
calls = st.builds(
    CallRecord,
    latency_ms=st.one_of(numbers, st.integers(0, 10**6)),
    cpu_ms=numbers,
    cost_usd=st.decimals(allow_nan=False, allow_infinity=False, places=12),
    metrics=st.dictionaries(st.text(max_size=5), st.one_of(st.none(), numbers, st.integers(0, 9))),
    stages_ms=st.dictionaries(st.text(max_size=5), numbers),
    stages_cpu_ms=st.dictionaries(st.text(max_size=5), numbers),
    usages=st.lists(
        st.builds(
            Usage,
            model=st.text(max_size=5),
            input_tokens=st.integers(0, 10**9),
            output_tokens=st.integers(0, 10**9),
            stage=st.text(max_size=5),
        ),
        max_size=2,
    ).map(tuple),
    refused=st.booleans(),
    error=st.one_of(st.none(), st.sampled_from(ErrorKind)),
    error_message=st.text(max_size=9),
    is_timed=st.booleans(),
    attempts=st.integers(1, 9),
    is_kept=st.booleans(),
)
rows = st.builds(
    ReplayRow,
    position=st.integers(0, 10**9),
    repeat=st.integers(0, 99),
    request_id=st.text(max_size=9),
    cluster=st.text(max_size=9),
    segment=st.dictionaries(st.text(max_size=5), st.text(max_size=5)),
    calls=st.dictionaries(st.sampled_from([CONTROL, TREATMENT, CONTROL_AGAIN]), calls),
)


@given(rows)
def test_the_fast_way_to_write_and_read_a_row_is_the_generic_one(row):
    line = line_of(row)

    assert line == canonical_json(row) + b"\n"
    assert row_of(line) == from_plain(ReplayRow, json.loads(line)) == row


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_is_never_written(number):
    with pytest.raises(ValueError, match="JSON"):
        line_of(a_row(0, latency_ms=number))


def test_rows_are_read_in_the_order_of_the_log_however_they_were_written(make_plan):
    plan = make_plan(requests=6, measurement={"repeats": 2})
    journalled(plan, 1, [(5, 1), (3, 0), (4, 1)])
    journalled(plan, 0, [(2, 0), (0, 1), (0, 0)])

    found = [(row.position, row.repeat) for row in ReplayJournal().rows(plan)]

    assert found == [(0, 0), (0, 1), (2, 0), (3, 0), (4, 1), (5, 1)]


def test_a_writer_knows_what_the_journal_holds(make_plan):
    plan = make_plan(requests=3, measurement={"repeats": 2})
    journalled(plan, 0, [(2, 1), (0, 0)])

    with ShardJournal(plan, 0) as journal:
        journal.add(a_row(1), {})
        done = journal.done

    assert done == {(2, 1), (0, 0), (1, 0)}


@pytest.mark.parametrize("torn", [1, 60, 300])
def test_a_torn_last_line_is_passed_over_and_then_cut_off(make_plan, torn):
    plan = make_plan(requests=3)
    journalled(plan, 0, [(0, 0), (1, 0), (2, 0)])
    for path in (journal_path(plan, 0), answers_path(plan, 0)):
        content = path.read_bytes()
        path.write_bytes(
            content[: -min(torn, 20)] if path.suffix == ".answers" else content[:-torn]
        )

    seen = [row.request_id for row in ReplayJournal().rows(plan)]
    journalled(plan, 0, [(2, 0)])

    assert seen == ["r0", "r1"]
    assert [row.request_id for row in ReplayJournal().rows(plan)] == ["r0", "r1", "r2"]
    assert ReplayJournal().samples(plan, [2])[0].answers == {CONTROL: "control 2.0"}


@pytest.mark.parametrize(
    "broken",
    [
        b"{}\n",
        b"nonsense\n",
        b'{"position": 0}\n',
        b"[]\n",
        line_of(a_row(0)),
        line_of(a_row(7)),
        line_of(a_row(1, repeat=1)),
    ],
)
def test_a_journal_that_is_broken_within_is_neither_read_nor_written_on(make_plan, broken):
    plan = make_plan(requests=3)
    journalled(plan, 0, [(0, 0), (1, 0), (2, 0)])
    path = journal_path(plan, 0)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + broken + lines[2])

    with pytest.raises(EngineError, match="line 2"):
        list(ReplayJournal().rows(plan))
    with pytest.raises(EngineError, match="line 2"):
        ShardJournal(plan, 0)


def test_samples_carry_the_words_of_the_first_answers(make_plan):
    plan = make_plan(requests=6, measurement={"repeats": 2})
    journalled(plan, 1, [(4, 1), (4, 0), (3, 0)])
    journalled(plan, 0, [(1, 0)])

    samples = ReplayJournal().samples(plan, {4, 1, 5})

    assert [sample.row.position for sample in samples] == [1, 4]
    assert [sample.row.repeat for sample in samples] == [0, 0]
    assert [sample.asked for sample in samples] == ["question 1", "question 4"]
    assert samples[1].answers == {CONTROL: "control 4.0"}


def test_half_a_character_in_an_answer_is_replaced(make_plan):
    plan = make_plan(requests=1)
    with ShardJournal(plan, 0) as journal:
        journal.add(a_row(0), {CONTROL: "half \ud800"})

    (sample,) = ReplayJournal().samples(plan, [0])

    assert sample.answers == {CONTROL: "half ?"}


def test_setups_are_gathered_by_arm_over_the_workers(make_plan):
    plan = make_plan(requests=1)
    note_setup(plan, "a", {CONTROL: 1.5, TREATMENT: 3})
    note_setup(plan, "b", {CONTROL: 2.5})

    assert ReplayJournal().setups_ms(plan) == {CONTROL: (1.5, 2.5), TREATMENT: (3.0,)}


def test_calls_under_way_are_known_from_outside_until_they_rest(make_plan):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0) as journal:
        journal.note_call(0, 1, 0, CONTROL)
        journal.note_call(2, 2, 0, CONTROL_AGAIN)
        both = calls_under_way(plan, 0)
        journal.note_rest(0)
        journal.note_call(2, 2, 0, TREATMENT)
        one = calls_under_way(plan, 0)
    forget_calls(plan, 0)

    assert [call.key for call in both] == [(1, 0, CONTROL), (2, 0, CONTROL_AGAIN)]
    assert [call.key for call in one] == [(2, 0, TREATMENT)]
    assert one[0].since >= both[1].since
    assert calls_under_way(plan, 0) == ()


def test_a_fatal_call_is_remembered_though_the_note_after_it_was_torn(make_plan):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0):
        note_fatal(plan, 0, (1, 0, TREATMENT), ErrorKind.TIMEOUT)
    with journal_path(plan, 0).with_suffix(".fatal").open("ab") as file:
        file.write(b'{"call":[2')
    note_fatal(plan, 0, (2, 0, CONTROL), ErrorKind.VARIANT_BUG)

    assert fatal_calls(plan, 0) == {
        (1, 0, TREATMENT): ErrorKind.TIMEOUT,
        (2, 0, CONTROL): ErrorKind.VARIANT_BUG,
    }


def test_a_shard_is_finished_up_to_the_sweep_that_was_marked(make_plan):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0) as journal:
        journal.add(a_row(0), {})
        journal.finish(Sweep(2, timed_only=True))

    finished = [
        finished_rows(plan, 0, sweep)
        for sweep in (Sweep(1), Sweep(2, timed_only=True), Sweep(2), Sweep(3, timed_only=True))
    ]

    assert finished == [1, 1, None, None]


def test_a_mark_that_outlived_its_rows_counts_for_nothing(make_plan):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0) as journal:
        for position in range(3):
            journal.add(a_row(position), {})
        journal.finish(Sweep(1))
    before = Progressed(plan).unfinished(Sweep(1))
    path = journal_path(plan, 0)
    path.write_bytes(path.read_bytes()[:-9])

    assert before == []
    assert Progressed(plan).unfinished(Sweep(1)) == [0]


def test_rows_are_counted_while_they_are_written_and_after_a_tear(make_plan):
    plan = make_plan(requests=3)
    journalled(plan, 0, [(2, 0), (0, 0), (1, 0)])
    path = journal_path(plan, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[:-30])
    counter = Progressed(plan)
    before = counter.rows(0)
    path.write_bytes(whole)

    after = counter.rows(0)

    assert (before, after, counter.total()) == (2, 3, 3)


def test_what_was_spent_is_what_was_paid_for_in_this_replay(make_plan):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0) as journal:
        journal.add(a_row(0, cost_usd=Decimal("0.25")), {})
        journal.add(a_row(1, cost_usd=Decimal(100), is_kept=True), {})

    assert Progressed(plan).spent_usd() == Decimal("0.25") + 2 * CALL.cost_usd


def test_a_shard_is_written_by_one_process_at_a_time(make_plan):
    plan = make_plan(requests=3)
    script = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from expplat.adapters.replay.journal_files import locked\n"
        "with locked(Path(sys.argv[1]), wait_s=1):\n"
        "    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    journal_path(plan, 0).parent.mkdir()
    lock = journal_path(plan, 0).with_suffix(".lock")
    holder = subprocess.Popen([sys.executable, "-c", script, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"

        with pytest.raises(TryLaterError, match="another process"):
            ShardJournal(plan, 0, wait_s=0.2)
    finally:
        holder.kill()
        holder.communicate()


def test_a_lock_ends_with_its_process_though_a_child_lives_on(tmp_path):
    script = (
        "import os, sys, time\n"
        "from pathlib import Path\n"
        "from expplat.adapters.replay.journal_files import locked\n"
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


def test_a_full_disk_is_said_in_plain_words(make_plan, monkeypatch):
    plan = make_plan(requests=3)
    with ShardJournal(plan, 0) as journal:

        def full(descriptor, text):
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(EngineError, match="No space left") as caught:
                journal.add(a_row(0), {})

    assert "Make room" in caught.value.hint

"""Sweeps, repeats, and what is under way at once."""

from __future__ import annotations

from collections import defaultdict
from itertools import chain

import pytest

from expplat.adapters.replay.journal import ReplayJournal, ShardJournal
from expplat.adapters.replay.journal_files import claim
from expplat.adapters.replay.order import Interleaving, Sweep
from expplat.adapters.replay.shard_notes import calls_under_way, finished_rows
from expplat.adapters.replay.worker import Worker
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, CONTROL_AGAIN, TREATMENT
from expplat.domain.request import ErrorKind
from expplat.errors import InputError
from tests.adapters.replay.working import POCS, worked

AT_ONCE = {"concurrency": 4, "latency_requests": 3, "shard_requests": 30, "aa_requests": 0}


class Purse:
    """A budget of so many rows, as the worker asks it."""

    def __init__(self, rows):
        self.rows = rows
        self.spent = []

    def over(self):
        return "It is spent." if len(self.spent) >= self.rows else ""

    def spend(self, usd):
        self.spent.append(usd)


def counting(**params):
    return Variant(use=f"{POCS}:CountsBeside", params=params)


def test_only_what_is_timed_is_answered_alone(make_plan):
    plan = make_plan(requests=30, control=counting(), treatment=counting(), measurement=AT_ONCE)
    order = Interleaving(plan.measurement, plan.requests)

    rows = worked(plan)

    calls = [(row.position, call) for row in rows for call in row.calls.values()]
    assert all(call.is_timed is order.is_timed(position) for position, call in calls)
    assert {call.metrics["length"] for _, call in calls if call.is_timed} == {0.0}
    beside = [call.metrics["length"] for _, call in calls if not call.is_timed]
    assert 1.0 <= max(beside) <= 3.0


@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
def test_timed_calls_are_made_in_the_main_thread(make_plan, measurement):
    threads = Variant(use=f"{POCS}:knows_its_thread")
    plan = make_plan(requests=20, control=threads, measurement=measurement)

    rows = worked(plan)

    found = {(row.calls[CONTROL].is_timed, row.calls[CONTROL].metrics["length"]) for row in rows}
    expected = {(True, float(len("main thread")))}
    if measurement:
        expected |= {(False, float(len("another thread")))}
    assert found == expected


def test_a_timed_sweep_leaves_the_rest_to_the_next(make_plan):
    plan = make_plan(requests=20, measurement=AT_ONCE)
    order = Interleaving(plan.measurement, plan.requests)

    first = worked(plan, sweep=Sweep(1, timed_only=True))
    is_marked = finished_rows(plan, 0, Sweep(1)), finished_rows(plan, 0, Sweep(1, timed_only=True))
    rest = worked(plan, sweep=Sweep(1))

    assert [row.position for row in first] == [n for n in range(20) if order.is_timed(n)]
    assert is_marked == (None, 3)
    assert [row.position for row in rest] == list(range(20))
    assert finished_rows(plan, 0, Sweep(1)) == 20


def test_a_round_takes_its_requests_and_those_before_it(make_plan):
    plan = make_plan(requests=40, measurement={"early_stop": True, "shard_requests": 40})
    order = Interleaving(plan.measurement, plan.requests)

    seen = [worked(plan, sweep=Sweep(number)) for number in (1, 3, 5)]

    for number, rows in zip((1, 3, 5), seen, strict=True):
        wanted = [n for n in range(40) if order.round_of(n, cluster_of(n)) <= number]
        assert [row.position for row in rows] == wanted
    assert 0 < len(seen[0]) < len(seen[1]) < len(seen[2]) == 40


def cluster_of(number):
    return "first" if number < 2 else f"r{number}"


@pytest.mark.parametrize("measurement", [{}, {**AT_ONCE, "aa_requests": 3}])
def test_every_repeat_is_a_row_and_only_the_first_has_a_noise_floor(make_plan, measurement):
    plan = make_plan(requests=9, measurement={"repeats": 3, **measurement})

    rows = worked(plan)

    assert [(row.position, row.repeat) for row in rows] == [
        (position, repeat) for position in range(9) for repeat in range(3)
    ]
    floors = {row.repeat for row in rows if CONTROL_AGAIN in row.calls}
    assert floors == {0}
    assert all({CONTROL, TREATMENT} <= set(row.calls) for row in rows)


def test_what_the_journal_holds_is_not_called_again(make_plan, tmp_path):
    note = tmp_path / "note"
    plan = make_plan(requests=20, note=str(note), measurement=AT_ONCE)
    worked(plan, sweep=Sweep(1, timed_only=True))
    worked(plan)

    worked(plan)

    assert sorted(note.read_text().split()) == sorted(f"r{n}" for n in range(20))


@pytest.mark.parametrize("measurement", [{"shard_requests": 30}, AT_ONCE])
def test_a_spent_budget_stops_within_what_is_under_way(make_plan, measurement):
    plan = make_plan(requests=30, measurement=measurement)
    purse = Purse(rows=7)
    claim(plan)

    with Worker(plan, budget=purse) as worker:
        stopped = worker.run_shard(0, Sweep(1))

    rows = list(ReplayJournal().rows(plan))
    assert stopped == "It is spent."
    assert 7 <= len(rows) <= 7 + plan.measurement.concurrency - 1
    assert len(purse.spent) == len(rows)
    assert sum(purse.spent) == pytest.approx(
        float(sum(call.cost_usd for row in rows for call in row.calls.values()))
    )
    assert finished_rows(plan, 0, Sweep(1)) is None


def test_warming_up_is_paid_for_too(make_plan):
    plan = make_plan(requests=3, measurement={"warmup": 2})
    purse = Purse(rows=99)

    worked(plan, budget=purse)

    assert len(purse.spent) == 2 + 3
    assert min(purse.spent) > 0


@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
def test_a_poisoned_call_is_journalled_and_not_made(make_plan, tmp_path, measurement):
    note = tmp_path / "note"
    plan = make_plan(requests=12, note=str(note), measurement={"timeout_s": 2.0, **measurement})
    poisoned = {
        (4, 0, TREATMENT): ErrorKind.TIMEOUT,
        (5, 0, CONTROL): ErrorKind.VARIANT_BUG,
    }

    rows = worked(plan, poisoned=poisoned)

    assert [rows[4].calls[TREATMENT].error, rows[5].calls[CONTROL].error] == [
        ErrorKind.TIMEOUT,
        ErrorKind.VARIANT_BUG,
    ]
    assert rows[4].calls[TREATMENT].latency_ms == 2000.0
    assert rows[4].calls[CONTROL].error is None
    assert "r4" not in note.read_text().split()


def test_one_at_a_time_finds_the_call_that_ends_the_process(make_plan):
    plan = make_plan(requests=12, control=counting(), treatment=counting(), measurement=AT_ONCE)
    claim(plan)

    with Worker(plan) as worker:
        worker.run_shard(0, Sweep(1), is_alone=True)

    rows = list(ReplayJournal().rows(plan))
    order = Interleaving(plan.measurement, plan.requests)
    assert {call.metrics["length"] for row in rows for call in row.calls.values()} == {0.0}
    assert [row.calls[CONTROL].is_timed for row in rows] == [order.is_timed(n) for n in range(12)]


def test_a_model_without_a_price_ends_the_work_and_keeps_what_was_paid(make_plan):
    trouble = {"r9": "uses_an_unpriced_model"}
    plan = make_plan(requests=30, trouble=trouble, measurement=AT_ONCE)

    with pytest.raises(InputError, match="nameless"):
        worked(plan)

    found = {row.request_id for row in ReplayJournal().rows(plan)}
    assert "r9" not in found
    assert len(found) < 30


@pytest.mark.parametrize("kind", ["plain", "Batch"])
@pytest.mark.parametrize("measurement", [{"aa_requests": 0}, AT_ONCE])
def test_each_call_and_each_scoring_is_noted_for_itself(make_plan, monkeypatch, kind, measurement):
    notes = defaultdict(list)
    monkeypatch.setattr(ShardJournal, "note_rest", lambda _, slot: notes[slot].append("rest"))
    monkeypatch.setattr(ShardJournal, "note_call", lambda _, slot, *call: notes[slot].append(call))
    variant = Variant(use=f"{POCS}:{kind}")
    plan = make_plan(requests=10, control=variant, treatment=variant, measurement=measurement)

    rows = worked(plan)

    order = Interleaving(plan.measurement, plan.requests)
    for row in rows:
        first, second = ((row.position, 0, arm) for arm in order.arms(row.position))
        between = [] if order.is_timed(row.position) else ["rest"]
        noted = [first, *between, second, *between, first, second, "rest"]
        assert any(noted == slot[n : n + len(noted)] for slot in notes.values() for n in range(99))


def test_no_call_is_noted_once_all_are_done(make_plan):
    plan = make_plan(requests=12, measurement=AT_ONCE)

    worked(plan)

    assert calls_under_way(plan, 0) == ()


def test_answers_are_kept_in_words_for_people(make_plan):
    trouble = {"r1": "gives_text", "r2": "raises", "r3": "gives_long_text"}
    plan = make_plan(requests=4, trouble=trouble)

    worked(plan)

    samples = ReplayJournal().samples(plan, [0, 1, 2, 3])
    answers = [sample.answers.get(TREATMENT, "nothing") for sample in samples]
    assert answers[:3] == ["about question 0", "so", "nothing"]
    assert len(answers[3]) == 4000
    assert "question 1" in samples[1].asked


@pytest.mark.parametrize(
    "measurement", [{"shard_requests": 100}, {**AT_ONCE, "shard_requests": 100}]
)
def test_everything_that_can_go_wrong_is_counted_under_its_kind(make_plan, measurement):
    troubles = {
        ErrorKind.VARIANT_BUG: ["raises", "exits"],
        ErrorKind.TIMEOUT: ["times_out"],
        ErrorKind.BAD_OUTPUT: [
            "gives_ten_megabytes",
            "gives_half_a_character",
            "gives_garbage",
            "gives_nan",
            "gives_bytes",
        ],
    }
    trouble = {f"r{10 + n}": name for n, name in enumerate(chain(*troubles.values()))}
    trouble |= {f"r{n}": "raises" for n in range(60, 64)}
    plan = make_plan(requests=100, trouble=trouble, measurement=measurement)

    rows = worked(plan)

    errors = [row.calls[TREATMENT].error for row in rows]
    assert len(rows) == 100
    assert {kind: errors.count(kind) for kind in troubles} == {
        ErrorKind.VARIANT_BUG: 6,
        ErrorKind.TIMEOUT: 1,
        ErrorKind.BAD_OUTPUT: 5,
    }
    assert errors.count(None) == 100 - 12

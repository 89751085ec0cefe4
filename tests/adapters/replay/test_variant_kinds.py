"""Functions, classes, coroutines and batches answer alike, and are measured alike."""

from __future__ import annotations

import asyncio
import gc
import re
import statistics
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from expplat.adapters.replay.answering import Batched, Ground
from expplat.adapters.replay.calls import Asked, Guard, machine_clock
from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.journal_files import claim
from expplat.adapters.replay.loop import OwnCpu, WorkerLoop
from expplat.adapters.replay.order import Interleaving, Sweep
from expplat.adapters.replay.variant_loading import CodeError, must_fit
from expplat.adapters.replay.worker import Worker
from expplat.domain.proposal import Variant
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.domain.request import ErrorKind, Request, logged_system
from expplat.errors import EngineError
from tests.adapters.replay.working import POCS, worked

AT_ONCE = {"concurrency": 4, "latency_requests": 2, "shard_requests": 24}
KINDS = ["plain", "waiting", "Plain", "Waiting", "Batch", "WaitingBatch"]


def a_variant(name, **params):
    return Variant(use=f"{POCS}:{name}", params=params)


def answers(plan, arm):
    """What does not hang on a clock, of every call of an arm."""
    calls = [row.calls[arm] for row in worked(plan)]
    return [(call.metrics, call.usages, call.error, call.is_timed) for call in calls]


@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_variant_gives_the_same_rows(make_plan, kind, measurement):
    plan = make_plan(
        requests=12,
        control=a_variant("plain", suffix="!"),
        treatment=a_variant(kind, suffix="!"),
        measurement=measurement,
    )

    given = answers(plan, TREATMENT)

    assert given == answers(plan, CONTROL)
    assert given[0][0] == {"recall_at_5": 1.0, "exact_match": None, "length": 17.0}
    assert given[0][1][0].model == "small"


@pytest.mark.parametrize("kind", KINDS)
def test_stages_and_cpu_are_timed_in_every_kind(make_plan, kind, step_clock):
    plan = make_plan(requests=1, control=a_variant(kind))

    (row,) = worked(plan, clock_factory=step_clock)

    call = row.calls[CONTROL]
    tick_ms = round(1000 / 1024, 6)
    assert call.stages_ms == call.stages_cpu_ms == {"retrieve": tick_ms}
    assert call.latency_ms == call.cpu_ms == round(3 * 1000 / 1024, 6)


@pytest.mark.parametrize("kind", ["plain", "waiting"])
def test_a_wait_of_ten_milliseconds_reads_as_ten(make_plan, tmp_path, kind):
    use = "pocs.kinds.timing:asleep" if kind == "waiting" else "pocs.kinds.timing:sleeping"
    plan = make_plan(requests=60, control=Variant(use=use), measurement={"aa_requests": 0})

    rows = worked(plan)

    quick, _, _ = statistics.quantiles(row.calls[CONTROL].latency_ms for row in rows)
    # Not the median, which the benchmark looks at: other tests may run on this machine's cores.
    assert 10.0 <= quick <= 10.6


def test_setup_is_handed_the_workspace_and_its_assets(make_plan):
    use = Variant(use=f"{POCS}:Ready", assets={"words": "pocs/kinds/words.txt"})
    plan = make_plan(requests=1, control=use)

    (row,) = worked(plan)

    assert row.calls[CONTROL].error is None
    assert row.calls[CONTROL].metrics["length"] == len("words from a file")


def test_an_asset_that_is_not_there_is_said_before_any_call(make_plan):
    use = Variant(use=f"{POCS}:Ready", assets={"words": "pocs/kinds/nowhere.txt"})
    plan = make_plan(requests=1, treatment=use)

    with pytest.raises(EngineError, match=r"nowhere\.txt"):
        worked(plan)

    assert list(ReplayJournal().rows(plan)) == []


def test_setup_calls_and_close_of_an_asynchronous_variant_share_a_loop(make_plan, tmp_path):
    note = tmp_path / "closed"
    plan = make_plan(
        requests=10, control=a_variant("OnOneLoop", note=str(note)), measurement=AT_ONCE
    )

    rows = worked(plan)

    assert {row.calls[CONTROL].metrics["length"] for row in rows} == {len("same")}
    assert note.read_text() == "same"


def test_setting_up_is_timed_by_arm_and_apart_from_the_calls(make_plan, tmp_path):
    note = tmp_path / "closed"
    plan = make_plan(requests=1, control=a_variant("OnOneLoop", note=str(note)))

    (row,) = worked(plan)

    setups = ReplayJournal().setups_ms(plan)
    assert set(setups) == {CONTROL, TREATMENT}
    assert 20 <= setups[CONTROL][0] < 5000
    assert row.calls[CONTROL].latency_ms < setups[CONTROL][0]


def test_the_collector_leaves_alone_what_setting_up_made(make_plan):
    frozen = gc.get_freeze_count()
    plan = make_plan(requests=1, control=Variant(use="pocs.kinds.timing:frozen"))

    claim(plan)

    with Worker(plan) as worker:
        worker.run_shard(0, Sweep(1))

    (row,) = ReplayJournal().rows(plan)
    assert row.calls[CONTROL].metrics["length"] == len("frozen")
    assert gc.get_freeze_count() == frozen


def test_a_batch_takes_as_many_as_there_are_slots_and_a_timed_call_is_one(make_plan):
    plan = make_plan(
        requests=26,
        control=a_variant("Sizes"),
        treatment=a_variant("Sizes"),
        measurement={**AT_ONCE, "aa_requests": 0},
    )
    order = Interleaving(plan.measurement, plan.requests)

    rows = worked(plan)

    sizes = {
        is_timed: {
            call.metrics["length"]
            for row in rows
            for call in row.calls.values()
            if order.is_timed(row.position) is is_timed
        }
        for is_timed in (True, False)
    }
    assert {call.error for row in rows for call in row.calls.values()} == {None}
    assert sizes[True] == {1.0}
    assert 2.0 <= max(sizes[False]) <= 4.0


def test_who_has_an_answer_does_not_wait_for_the_next_batch():
    begun, seconds = threading.Barrier(3), {"r2": 0.5}

    def code(requests, calls):
        time.sleep(max(seconds.get(request.request_id, 0.1) for request in requests))
        return ["so" for _ in requests]

    guard = Guard(Path("/nowhere"))
    batched = Batched(code, Ground(guard, WorkerLoop(guard), timeout_s=5.0, concurrency=2))

    def asked(name):
        begun.wait()
        time.sleep(0.05 if name == "r2" else 0.0)
        request = Request(request_id=name, input={})
        since = time.perf_counter()
        batched.attempt(Asked(request, machine_clock(), lambda: None, is_timed=False))
        return time.perf_counter() - since

    with ThreadPoolExecutor(3) as pool:
        spent = list(pool.map(asked, ["r0", "r1", "r2"]))

    assert max(spent[:2]) < 0.4
    assert spent[2] > 0.5


def test_what_can_answer_alone_is_timed_alone(make_plan):
    plan = make_plan(requests=8, control=a_variant("Both"), measurement=AT_ONCE)

    rows = worked(plan)

    found = {(row.calls[CONTROL].is_timed, row.calls[CONTROL].metrics["length"]) for row in rows}
    assert found == {(True, float(len("alone"))), (False, float(len("in a batch")))}


@pytest.mark.parametrize(
    ("kind", "error", "words"),
    [
        ("raises", ErrorKind.VARIANT_BUG, "KeyError: 'r9'"),
        ("too few", ErrorKind.BAD_OUTPUT, "list of as many answers"),
        ("a dict", ErrorKind.BAD_OUTPUT, "returned a dict"),
    ],
)
def test_a_batch_that_goes_wrong_costs_its_own_requests_only(make_plan, kind, error, words):
    plan = make_plan(requests=26, control=a_variant("Troubled", kind=kind), measurement=AT_ONCE)

    rows = worked(plan)

    failed = {row.request_id: row.calls[CONTROL] for row in rows if row.calls[CONTROL].error}
    assert "r9" in failed
    assert len(failed) <= 4
    assert {call.error for call in failed.values()} == {error}
    assert words in failed["r9"].error_message


@pytest.mark.parametrize("measurement", [{}, AT_ONCE])
@pytest.mark.parametrize("use", ["hangs", "hangs_on"])
def test_an_asynchronous_call_is_cancelled_at_its_time_limit(make_plan, use, measurement):
    plan = make_plan(
        requests=3, treatment=a_variant(use), measurement={"timeout_s": 0.2, **measurement}
    )

    rows = worked(plan)

    calls = [row.calls[TREATMENT] for row in rows]
    assert {call.error for call in calls} == {ErrorKind.TIMEOUT}
    assert all(200 <= call.latency_ms < 1000 for call in calls)
    assert {row.calls[CONTROL].error for row in rows} == {None}


@pytest.mark.parametrize(
    ("use", "errors"),
    [
        ("exits", [None, ErrorKind.VARIANT_BUG, None]),
        ("leaves_a_task_that_exits", [None, None, None]),
        ("sees_its_cancelled_wait", [ErrorKind.VARIANT_BUG] * 3),
    ],
)
def test_nothing_that_a_coroutine_does_ends_the_loop(make_plan, use, errors):
    rows = worked(make_plan(requests=3, treatment=a_variant(use)))

    assert [row.calls[TREATMENT].error for row in rows] == errors


def test_a_coroutine_pays_for_its_own_cpu_time_alone(make_plan):
    burns = a_variant("burns", seconds=0.004)
    plan = make_plan(
        requests=24,
        control=burns,
        treatment=burns,
        measurement={"concurrency": 8, "latency_requests": 0, "shard_requests": 24},
    )

    rows = worked(plan)

    calls = [call for row in rows for call in row.calls.values()]
    assert 4.0 <= statistics.median(call.cpu_ms for call in calls) < 12.0
    assert 4.0 <= statistics.median(call.stages_cpu_ms["burn"] for call in calls) < 12.0
    assert statistics.median(call.latency_ms for call in calls) > 16.0


def test_only_the_call_that_blocks_the_loop_is_held_for_late():
    begun = Counter()

    async def blocks():
        time.sleep(0.9)

    async def waits():
        await asyncio.sleep(0)

    def ran(loop, name, work):
        own = OwnCpu(machine_clock())
        return loop.shared(work, own, lambda: begun.update([name]), timeout_s=0.1)

    with WorkerLoop(Guard(Path("/nowhere"))) as loop, ThreadPoolExecutor(2) as pool:
        blocking = pool.submit(ran, loop, "blocks", blocks)
        time.sleep(0.05)
        waiting = pool.submit(ran, loop, "waits", waits)
        kinds = [blocking.result().answer.kind, waiting.result().answer]

    assert begun == {"waits": 1}
    assert kinds == [ErrorKind.TIMEOUT, None]


@pytest.mark.parametrize(
    ("use", "system"),
    [
        ("logged", "production"),
        ("logged:theirs", "theirs"),
        ("pocs.logged:x", None),
        ("logged_search:X", None),
    ],
)
def test_a_use_that_names_the_log_names_no_code(use, system):
    assert logged_system(use) == system


class Setup:
    def setup(self, context, more):
        """Asks for more than there is."""

    def __call__(self, request, call):
        return "so"


class Close:
    def close(self, context):
        """Asks for what there is not."""

    def __call__(self, request, call):
        return "so"


class Nothing:
    """Cannot answer."""


class BatchOfThirtyTwo:
    batch = 32


class HalfABatch:
    def batch(self, requests):
        return []


def in_parts(request, call):
    yield "so"


async def in_awaited_parts(request, call):
    yield "so"


def one_argument(request):
    return "so"


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (Setup, r"setup\(self\) or setup\(self, context\)"),
        (Close, r"close\(self\)"),
        (Nothing, r"batch\(self, requests, calls\)"),
        (BatchOfThirtyTwo, r"batch\(self, requests, calls\)"),
        (in_parts, "Return one Output"),
        (in_awaited_parts, "Return one Output"),
        (7, "Name a function"),
        (HalfABatch, ""),
        (one_argument, ""),
    ],
)
def test_what_is_no_variant_is_refused_with_a_hint(found, words):
    with pytest.raises(CodeError) as caught:
        must_fit(found, {})

    assert caught.value.message
    assert re.search(words, caught.value.hint)

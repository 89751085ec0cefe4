"""What a worker process does with one shard: call, score, journal, request by request."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import itertools
import json
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, nullcontext
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

from expplat.adapters.replay.answering import Ground
from expplat.adapters.replay.arms import Arms
from expplat.adapters.replay.budget import Budget
from expplat.adapters.replay.call_cache import CallCache
from expplat.adapters.replay.calls import ClockFactory, Guard, machine_clock
from expplat.adapters.replay.journal import ShardJournal, note_setup
from expplat.adapters.replay.journal_files import shard_path
from expplat.adapters.replay.keeping import Keeping
from expplat.adapters.replay.loop import WorkerLoop
from expplat.adapters.replay.order import Interleaving, Sweep
from expplat.adapters.replay.rows import Done, Job, Poisoned, Rows
from expplat.adapters.replay.slots import Slot, Slots
from expplat.adapters.replay.variant_loading import workspace_imports
from expplat.domain.replay import ReplayPlan


class Worker:
    """Holds both variants, set up once, and runs shard after shard through them.

    A variant sees the request without its references, as production would send it, and every call
    gets a request of its own, so that no variant can spoil the other's. Calls that are timed are
    made in the main thread, one at a time; others in as many threads as the plan has slots.
    """

    def __init__(
        self,
        plan: ReplayPlan,
        *,
        clock_factory: ClockFactory = machine_clock,
        workspace: Path | None = None,
        budget: Budget | None = None,
        cache: CallCache | None = None,
    ) -> None:
        self._plan = plan
        self._workspace = workspace or Path(plan.workspace)
        self._order = Interleaving(plan.measurement, plan.requests)
        self._guard = Guard(self._workspace)
        self._loop = WorkerLoop(self._guard)
        self._arms = Arms(plan, self._workspace, self._ground())
        keeping = Keeping(plan, cache)
        self._rows = Rows(plan, self._arms, self._guard, keeping, clock_factory)
        self._budget = budget
        self._stack = ExitStack()
        self._is_warm = False

    def __enter__(self) -> Self:
        """Import the code and set both variants up; note how long that took.

        Raises:
            EngineError: If that fails; it says which variant, and why.
        """
        with ExitStack() as stack:
            stack.enter_context(workspace_imports(self._workspace))
            stack.enter_context(self._guard)
            stack.enter_context(self._loop)
            self._arms.set_up()
            stack.callback(self._arms.close)
            self._rows.scoring.load(self._arms.loaded)
            stack.enter_context(_one_thread())
            stack.enter_context(_settled_memory())
            self._stack = stack.pop_all()
        if self._arms.setups_ms:
            note_setup(self._plan, uuid.uuid4().hex, self._arms.setups_ms)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the variants that want to be closed, and forget the code."""
        self._stack.close()

    def run_shard(
        self,
        shard: int,
        sweep: Sweep,
        poisoned: Poisoned | None = None,
        *,
        is_alone: bool = False,
    ) -> str:
        """Complete a sweep of a shard; what its journal holds is not called again.

        Args:
            shard: Number of the shard.
            sweep: Which of its requests.
            poisoned: Calls that ended a process; they are not made again, and count as failed.
            is_alone: Whether to answer one request at a time though the plan has more slots, so
                that a call which ends this process is known.

        Returns:
            Why it stopped before the end, such as a budget that was spent; empty where it did not.

        Raises:
            EngineError: If the journal cannot be written.
            InputError: If a variant used a model without a price: nothing it costs would be true.
            TryLaterError: If another process holds the shard.
        """
        with ShardJournal(self._plan, shard) as journal:
            work = _Work(journal, poisoned or {})
            stopped = self._warm_up(shard, work)
            stopped = stopped or self._alone(self._jobs(shard, sweep, journal, is_timed=True), work)
            if not stopped and not sweep.timed_only:
                rest = self._jobs(shard, sweep, journal, is_timed=False)
                stopped = (self._alone if is_alone else self._together)(rest, work)
            if not stopped:
                journal.finish(sweep)
        return stopped

    def _ground(self) -> Ground:
        measured = self._plan.measurement
        return Ground(self._guard, self._loop, measured.timeout_s, measured.concurrency)

    def _alone(self, jobs: Iterator[Job], work: _Work) -> str:
        """Answer requests one by one, in this thread."""
        slot = Slot(work.journal, 0)
        for job in jobs:
            if stopped := self._over():
                return stopped
            self._add(self._rows.done(job, slot, work.poisoned), work.journal)
        return ""

    def _together(self, jobs: Iterator[Job], work: _Work) -> str:
        """Answer as many requests at once as the plan has slots."""
        stopped = ""
        with Slots[Done](work.journal, self._plan.measurement.concurrency) as slots:
            for job in jobs:
                if stopped := self._over():
                    break
                slots.begin(partial(self._rows.done, job, poisoned=work.poisoned))
                if slots.are_full:
                    self._settle(slots, work.journal)
            while not slots.are_at_rest:
                self._settle(slots, work.journal)
        return stopped

    def _settle(self, slots: Slots[Done], journal: ShardJournal) -> None:
        """Journal the next row that is done.

        One that cannot be made ends the work; those that are under way beside it are paid for, and
        are journalled first.
        """
        ended = slots.next()
        while ended.exception() is not None and not slots.are_at_rest:
            beside = slots.next()
            if beside.exception() is None:
                self._add(beside.result(), journal)
        self._add(ended.result(), journal)

    def _add(self, done: Done, journal: ShardJournal) -> None:
        journal.add(done.row, done.answers)
        if self._budget is not None:
            self._budget.spend(float(done.spent_usd))

    def _over(self) -> str:
        return "" if self._budget is None else self._budget.over()

    def _jobs(
        self, shard: int, sweep: Sweep, journal: ShardJournal, *, is_timed: bool
    ) -> Iterator[Job]:
        """Give the requests of a sweep that the journal does not hold, repeat by repeat."""
        for repeat in range(self._plan.measurement.repeats):
            for position, line in self._lines(shard):
                if (
                    (position, repeat) not in journal.done
                    and self._order.is_timed(position) is is_timed
                    and self._round_of(position, line) <= sweep.round
                ):
                    yield Job(position, repeat, line, is_timed)

    def _lines(self, shard: int) -> Iterator[tuple[int, str]]:
        first = shard * self._plan.measurement.shard_requests
        with shard_path(self._plan, shard).open(encoding="utf-8") as lines:
            yield from enumerate(lines, first)

    def _round_of(self, position: int, line: str) -> int:
        if self._plan.rounds == 1:
            return 1
        plain = json.loads(line)
        cluster = plain.get("cluster")
        return self._order.round_of(position, plain["request_id"] if cluster is None else cluster)

    def _warm_up(self, shard: int, work: _Work) -> str:
        """Answer the first requests of the shard unmeasured, once in this worker's life."""
        if self._is_warm:
            return ""
        slot = Slot(work.journal, 0)
        count = self._plan.measurement.warmup
        shown = list(itertools.islice(self._lines(shard), count))
        for position, line in itertools.islice(itertools.cycle(shown), count):
            if stopped := self._over():
                return stopped
            spent = self._rows.warm_up(Job(position, 0, line, is_timed=True), slot, work.poisoned)
            if self._budget is not None:
                self._budget.spend(float(spent))
        self._is_warm = True
        return ""


class _Work(NamedTuple):
    """What the answers to a shard's requests go into, and which calls are not made."""

    journal: ShardJournal
    poisoned: Poisoned


class _settled_memory:  # noqa: N801  (reads as the function that it stands for)
    """Keeps what setting up has made out of the collector's way: its pauses would hit one arm."""

    def __enter__(self) -> None:
        gc.collect()
        gc.freeze()

    def __exit__(self, *ended: object) -> None:
        gc.unfreeze()


def _one_thread() -> AbstractContextManager[Any]:
    """Hold linear algebra to one thread: the CPU time of a call is that of its thread."""
    if importlib.util.find_spec("threadpoolctl") is None:
        return nullcontext()
    limits = importlib.import_module("threadpoolctl").threadpool_limits(limits=1)
    return cast("AbstractContextManager[Any]", limits)

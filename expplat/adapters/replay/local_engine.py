"""Runs a replay on this machine: supervised worker processes, and nothing else to install."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from types import TracebackType
from typing import Self

from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.supervisor import Supervisor, must_be_few
from expplat.adapters.replay.sweeps import MACHINE_CLOCK, ClockSource, Watch, hosting_of, run_sweeps
from expplat.adapters.replay.worker_child import Hosting
from expplat.domain.replay import Limits, ReplayPlan
from expplat.flow.ports import IsEnough, Progress, never

POLL_S = 0.1
"""Time between two looks at the journals."""


class LocalEngine:
    """The engine `local`: as many worker processes as the plan says, without Ray, the same rows.

    What a variant prints stands in the folder of the replay. A variant that hangs, exits or
    crashes costs its own call. When the run has ended, however it has, none of the processes that
    it or the variants have started is left.
    """

    name = "local"
    notice = ""

    def __init__(self, *, clock: ClockSource = MACHINE_CLOCK) -> None:
        self._clock = clock

    def run(
        self,
        plan: ReplayPlan,
        progress: Progress,
        limits: Limits,
        is_enough: IsEnough = never,
    ) -> str:
        """Complete the journal of the plan; what it holds is not called again. See `Engine`.

        Returns:
            The budget that ended it, in a sentence; empty where none did.

        Raises:
            ConflictError: If the folder holds another plan's journal.
            EngineError: If a variant cannot be set up or ends its processes too often, or the
                journal cannot be written; what was journalled stays.
            InputError: If a variant used a model without a price.
            TryLaterError: If another process runs the same replay.
        """
        return run_sweeps(
            plan,
            progress,
            is_enough,
            lambda found: LocalCrew(hosting_of(plan, limits, found, self._clock)),
        )


class LocalCrew:
    """Supervisors in threads of this process, which take shard after shard from one queue."""

    def __init__(self, hosting: Hosting) -> None:
        self._plan = hosting.plan
        workers = range(hosting.plan.measurement.workers)
        self._supervisors = [Supervisor(hosting, slot) for slot in workers]
        self._waiting: deque[int] = deque()
        self._taken: set[int] = set()
        self._finished: set[int] = set()
        self._stopped = ""

    def __enter__(self) -> Self:
        """Begin; the workers are started with their first shards."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the variants close, where all went well, side by side; end all processes."""
        with ThreadPoolExecutor(len(self._supervisors)) as pool:
            closing = [
                pool.submit(supervisor.__exit__, kind, error, trace)
                for supervisor in self._supervisors
            ]
            for future in closing:
                future.result()

    def finish(self, sweep: Sweep, shards: Collection[int], watch: Watch) -> str:
        """Complete a sweep of these shards; return why it ended before that, else nothing.

        Raises:
            ExpplatError: What a worker refuses; the others are ended.
        """
        self._waiting.extend(shards)
        with ThreadPoolExecutor(len(self._supervisors)) as pool:
            try:
                working = {
                    pool.submit(self._work, supervisor, sweep)
                    for supervisor in self._supervisors[: len(shards)]
                }
                while working:
                    done, working = wait(working, POLL_S, FIRST_COMPLETED)
                    self._show(watch)
                    for future in done:
                        future.result()
                    fatal = sum(supervisor.fatal for supervisor in self._supervisors)
                    must_be_few(fatal, self._plan)
            except BaseException:
                self._waiting.clear()
                for supervisor in self._supervisors:
                    supervisor.end()
                raise
        return self._stopped

    def _work(self, supervisor: Supervisor, sweep: Sweep) -> None:
        """Take shards until none is left, or one says that it is enough."""
        while not self._stopped:
            try:
                shard = self._waiting.popleft()
            except IndexError:
                return
            self._taken.add(shard)
            self._stopped = supervisor.run_shard(shard, sweep) or self._stopped
            self._finished.add(shard)

    def _show(self, watch: Watch) -> None:
        """Have the rows counted in the shards that were taken since the last time."""
        finished = set(self._finished)
        watch(set(self._taken))
        self._taken -= finished
        self._finished -= finished

"""Runs a replay in this process, one call after another: for debugging and for tests."""

from __future__ import annotations

from expplat.adapters.clean_stdout import stdout_kept_clean
from expplat.adapters.replay_call import ClockFactory, machine_clock
from expplat.adapters.replay_journal import held
from expplat.adapters.replay_worker import Worker
from expplat.domain.replay import ReplayPlan
from expplat.flow.ports import Progress


class LocalEngine:
    """The engine `local`: the same worker as Ray's, without Ray, and the same rows.

    What a variant prints goes to stderr. A variant that ends its process ends this one, and one
    that hangs in C hangs it: nobody stands outside to help. The journal survives both.
    """

    name = "local"

    def __init__(self, *, clock_factory: ClockFactory = machine_clock) -> None:
        self._clock_factory = clock_factory

    def run(self, plan: ReplayPlan, progress: Progress) -> None:
        """Complete the journal of the plan; what it holds already is not called again.

        Raises:
            ConflictError: If the folder holds another plan's journal.
            EngineError: If a variant cannot be set up, or the journal not be written.
            TryLaterError: If another process runs the same replay.
        """
        with held(plan) as found:
            left, done = found.unfinished(), found.total()
            progress(done, plan.requests)
            if not left:
                return
            with stdout_kept_clean(), Worker(plan, clock_factory=self._clock_factory) as worker:
                for shard in left:
                    for _ in worker.run_shard(shard):
                        done += 1
                        progress(done, plan.requests)

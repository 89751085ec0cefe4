"""What every engine does: sweep after sweep over the shards that are left, in one folder."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from expplat.adapters.replay.budget import prepare
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.progress import Progressed, held
from expplat.adapters.replay.worker_child import Hosting
from expplat.adapters.replay.worker_environment import passed
from expplat.domain.replay import Limits, ReplayPlan
from expplat.flow.ports import IsEnough, Progress

KEPT_ANSWERS = "calls.db"
"""Beside the folders of the replays, which share it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockSource:
    """Where the clocks of calls come from, if not from the machine."""

    use: str = ""
    """`module:attribute` of what makes them; empty for the machine's own."""

    folder: str = ""
    """Folder that the module is imported from."""


MACHINE_CLOCK = ClockSource()


class Crew(Protocol):
    """The workers of one run."""

    def finish(self, sweep: Sweep, shards: Collection[int], watch: Watch) -> str:
        """Complete a sweep of these shards; return why it ended before that, else nothing."""


Watch = Callable[[Collection[int]], None]
"""Told in which shards rows may have been added; called now and then."""


def sweeps_of(plan: ReplayPlan) -> Iterator[Sweep]:
    """Return the sweeps of a replay in their order.

    Where calls overlap, the requests that are timed come first, one by one; they all belong to
    the first round.
    """
    measurement = plan.measurement
    if measurement.concurrency > 1 and measurement.latency_requests > 0:
        yield Sweep(1, timed_only=True)
    for number in range(1, plan.rounds + 1):
        yield Sweep(number)


def run_sweeps(
    plan: ReplayPlan,
    progress: Progress,
    is_enough: IsEnough,
    hired: Callable[[Progressed], AbstractContextManager[Crew]],
) -> str:
    """Complete the journal of a plan, with workers that are hired if need be, and stay warm.

    Raises:
        ConflictError: If the folder holds another plan's journal.
        TryLaterError: If another process runs the same replay.
        ExpplatError: What the workers raise.
    """
    with held(plan) as found, ExitStack() as stack:
        found.count(range(plan.shards))
        progress(found.total(), plan.rows)
        crew: Crew | None = None

        def watch(shards: Collection[int]) -> None:
            before = found.total()
            found.count(shards)
            if found.total() > before:
                progress(found.total(), plan.rows)

        for sweep in sweeps_of(plan):
            left = found.unfinished(sweep)
            if left:
                crew = crew or stack.enter_context(hired(found))
                stopped = crew.finish(sweep, left, watch)
                if stopped:
                    return stopped
            is_round = not sweep.timed_only and sweep.round < plan.rounds
            if is_round and is_enough(sweep.round):
                break
    return ""


def hosting_of(plan: ReplayPlan, limits: Limits, found: Progressed, clock: ClockSource) -> Hosting:
    """Return what the workers of a run are told; their budget begins now."""
    spent_usd = 0.0
    if limits.budget_usd is not None:
        spent_usd = float(found.spent_usd())
    if limits.budget_usd is not None or limits.budget_minutes is not None:
        prepare(Path(plan.folder), plan.measurement.workers, spent_usd)
    kept = str(Path(plan.folder).parent / KEPT_ANSWERS)
    return Hosting(
        plan=plan,
        workspace=plan.workspace,
        limits=limits,
        spent_usd=spent_usd,
        started=time.monotonic(),
        passed=passed(os.environ),
        cache=kept if plan.measurement.keep_answers else "",
        clock=clock.use,
        clock_path=clock.folder,
    )

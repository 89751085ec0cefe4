"""Runs a replay on Ray: actors that are handed one shard at a time.

Ray core alone, not `ray.data`: nothing of the log passes through the driver, and a worker's journal
is what it has done, whatever becomes of it.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import expplat
from expplat.adapters.clean_stdout import stdout_kept_clean
from expplat.adapters.ray_session import close_session, ensure_session
from expplat.adapters.replay_call import ClockFactory, machine_clock
from expplat.adapters.replay_journal import (
    Progressed,
    call_under_way,
    forget_call,
    held,
)
from expplat.adapters.replay_worker import CLOSE_TIMEOUT_S, SETUP_TIMEOUT_S, Worker
from expplat.domain.replay import ReplayPlan
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, ExpplatError
from expplat.flow.ports import Progress

POLL_S = 0.3
"""Time between two looks at the journals."""

GRACE_S = 5.0
"""What a call may take beyond its time limit before its worker is ended from outside."""

SHARED_FOLDER_GRACE_S = 60.0
"""The same on a cluster, whose shared folder shows another node's notes late."""

DEATHS_OF_A_CALL = 2
"""Workers that one call may end; it is then journalled as a bug, and passed over."""

FATAL_CALLS = 10
"""Calls that may end their workers, in one run, before the engine gives up."""

DEATHS_IN_SETUP = 3
"""Workers that may end before their first call, in one run, before the engine gives up."""


class RayEngine:
    """The engine `ray`: actors on this machine, or on the cluster at `address`.

    On a cluster, the workspace and expplat are sent along; the state folder, which holds the
    shards and the journal, must be the same folder on every node (a shared file system).

    A worker that dies is replaced, and its shard goes on where the journal ends. A call that was
    under way in two workers that died is journalled as `variant_bug`; one that hangs where no
    alarm reaches it is ended with its worker and journalled as `timeout`.
    """

    name = "ray"

    def __init__(
        self,
        address: str,
        state_dir: Path,
        *,
        clock_factory: ClockFactory = machine_clock,
    ) -> None:
        self._address = address
        self._state_dir = state_dir
        self._clock_factory = clock_factory

    def run(self, plan: ReplayPlan, progress: Progress) -> None:
        """Complete the journal of the plan; what it holds already is not called again.

        Raises:
            ConflictError: If the folder holds another plan's journal.
            EngineError: If Ray is out of reach, a variant cannot be set up, or ends its workers
                more often than allowed; what was journalled stays.
            InputError: If a variant used a model without a price.
            TryLaterError: If another process runs the same replay.
        """
        with held(plan) as found, stdout_kept_clean():
            left = found.unfinished()
            progress(found.total(), plan.requests)
            if left:
                self._run(plan, left, found, progress)

    def _run(
        self, plan: ReplayPlan, left: list[int], found: Progressed, progress: Progress
    ) -> None:
        crew: _Crew | None = None
        is_sound = False
        try:
            ensure_session(
                address=self._address,
                state_dir=self._state_dir,
                workers=plan.measurement.workers,
                code=(Path(plan.workspace), Path(expplat.__file__).parent),
            )
            crew = _Crew(plan, self._clock_factory, is_remote=bool(self._address))
            crew.finish(left, found, progress)
            is_sound = True
        except ExpplatError:
            is_sound = True
            raise
        finally:
            if not is_sound or (crew is not None and crew.deaths):
                # Ray reports dead workers on stdout, late: it must not outlive this block.
                close_session()


class Outcome(NamedTuple):
    """What came of a shard: an error is sent home as plain words, not as an exception."""

    error: ExpplatError | None = None


class ShardActor:
    """A worker process of Ray."""

    def __init__(self, plan: ReplayPlan, clock_factory: ClockFactory, is_remote: bool) -> None:
        _drop_output()
        # A cluster unpacks the workspace that it was sent into the current folder.
        workspace = Path.cwd() if is_remote else Path(plan.workspace)
        self._worker = Worker(plan, clock_factory=clock_factory, workspace=workspace)
        self._is_set_up = False

    def run_shard(self, shard: int, poisoned: dict[tuple[int, str], ErrorKind]) -> Outcome:
        """Complete the journal of a shard."""
        try:
            if not self._is_set_up:
                self._worker.__enter__()
                self._is_set_up = True
            for _ in self._worker.run_shard(shard, poisoned):
                pass
        except ExpplatError as error:
            return Outcome(error)
        return Outcome()

    def close(self) -> None:
        """Close the variants."""
        if self._is_set_up:
            self._worker.__exit__(None, None, None)


@dataclass
class _Post:
    """An actor at work on a shard."""

    actor: Any
    shard: int
    call: tuple[int, str] | None = None
    since: float = field(default_factory=time.monotonic)
    is_hung: bool = False


class _Crew:
    """The actors of one run, and what is known of the calls that ended some of them."""

    def __init__(self, plan: ReplayPlan, clock_factory: ClockFactory, *, is_remote: bool) -> None:
        import ray

        self._ray: Any = ray
        self._plan = plan
        self._clock_factory = clock_factory
        self._is_remote = is_remote
        self._grace_s = SHARED_FOLDER_GRACE_S if is_remote else GRACE_S
        self._size = plan.measurement.workers
        if is_remote:
            # An actor that no node has a CPU for would be waited for without end.
            self._size = min(self._size, max(1, int(self._ray.cluster_resources().get("CPU", 0))))
        self._actors = ray.remote(num_cpus=int(is_remote), max_restarts=0)(ShardActor)
        self._idle: list[Any] = []
        self._posts: dict[Any, _Post] = {}
        self._poisoned: dict[tuple[int, str], ErrorKind] = {}
        self.deaths: Counter[tuple[int, str] | None] = Counter()
        """Workers that died, by the call that was under way; None for their setup."""

    def finish(self, left: list[int], found: Progressed, progress: Progress) -> None:
        """Complete the shards that are left."""
        waiting = deque(left)
        try:
            while waiting or self._posts:
                self._staff(waiting)
                ready, _ = self._ray.wait(list(self._posts), num_returns=1, timeout=POLL_S)
                for reference in ready:
                    self._settle(reference, waiting, found)
                for post in self._posts.values():
                    self._watch(post)
                    found.rows(post.shard)
                progress(found.total(), self._plan.requests)
            self._close()
        finally:
            for actor in [*self._idle, *(post.actor for post in self._posts.values())]:
                self._ray.kill(actor)

    def _staff(self, waiting: deque[int]) -> None:
        """Hand each free actor one shard; hire until there are as many as asked for."""
        while waiting and len(self._posts) < self._size:
            actor = self._idle.pop() if self._idle else self._hired()
            shard = waiting.popleft()
            forget_call(self._plan, shard)
            reference = actor.run_shard.remote(shard, self._poisoned)
            self._posts[reference] = _Post(actor, shard)

    def _hired(self) -> Any:
        return self._actors.remote(self._plan, self._clock_factory, self._is_remote)

    def _settle(self, reference: Any, waiting: deque[int], found: Progressed) -> None:
        """Take a finished shard, or give a dead worker's shard to the next one."""
        post = self._posts.pop(reference)
        try:
            outcome = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            self._bury(post, error)
            waiting.appendleft(post.shard)
            return
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise EngineError(f"A worker failed: {str(cause).splitlines()[-1][:300]}") from error
        self._idle.append(post.actor)
        found.rows(post.shard)
        if outcome.error is not None:
            raise outcome.error

    def _bury(self, post: _Post, error: Exception) -> None:
        """Hold a worker's death against the call that was under way."""
        call = call_under_way(self._plan, post.shard)
        self.deaths[call] += 1
        if call is None:
            if self.deaths[call] >= DEATHS_IN_SETUP:
                raise EngineError(
                    f"{DEATHS_IN_SETUP} workers died before their first call: "
                    f"{str(error).splitlines()[0][:300]}",
                    hint="`--engine local` shows what the code does in this process.",
                ) from error
            return
        if post.is_hung:
            self._poisoned[call] = ErrorKind.TIMEOUT
        elif self.deaths[call] >= DEATHS_OF_A_CALL:
            self._poisoned[call] = ErrorKind.VARIANT_BUG
        if len(self._poisoned) > FATAL_CALLS:
            position, arm = call
            raise EngineError(
                f"{len(self._poisoned)} calls ended their workers, the last one {arm} on the "
                f"request at position {position}.",
                hint="Mend the variant; or replay again, which passes over these calls.",
            )

    def _watch(self, post: _Post) -> None:
        """End a worker whose call has not come back, nor been interrupted, in its time."""
        call, now = call_under_way(self._plan, post.shard), time.monotonic()
        if call != post.call:
            post.call, post.since = call, now
        # A call is followed by its scoring, which has the same limit.
        limit_s = 2 * self._plan.measurement.timeout_s if call else 2 * SETUP_TIMEOUT_S
        if now - post.since > limit_s + self._grace_s and not post.is_hung:
            post.is_hung = True
            self._ray.kill(post.actor)

    def _close(self) -> None:
        """Let the variants close, if they do so quickly."""
        closing = [actor.close.remote() for actor in self._idle]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=CLOSE_TIMEOUT_S)


def _drop_output() -> None:
    """Drop what variants print: a flood of it would fill the disk with Ray's logs."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    sys.stdout = sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  (for good)

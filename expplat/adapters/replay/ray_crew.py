"""Supervisors in Ray actors: handed shard after shard, replaced where one is lost."""

from __future__ import annotations

import os
import platform
import select
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from expplat.adapters.replay.arms import CLOSE_TIMEOUT_S
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.supervisor import (
    EndedError,
    Supervisor,
    must_be_few,
    plain_error,
    raised_again,
)
from expplat.adapters.replay.sweeps import Watch
from expplat.adapters.replay.worker_child import END_TIMEOUT_S, Hosting
from expplat.errors import EngineError, ExpplatError

POLL_S = 0.2
"""Time between two looks at the journals."""

SHARDS_AHEAD = 2
"""Shards that an actor is handed at once, so that it never waits for the next."""

LOSSES = 3
"""Actors that may be lost, in one run and one place, with no shard finished in between."""


ROOM_TIMEOUT_S = 600.0
"""How long a run waits for the first node that has room for an actor."""


class Outcome(NamedTuple):
    """What came of a shard: an error is sent home as plain words, not as an exception."""

    stopped: str = ""
    error: tuple[str, str, str] | None = None
    fatal: int = 0
    """Calls that have ended this actor's worker processes so far."""


class SupervisorActor:
    """A supervisor in a process of Ray; its worker is a process of its own below it."""

    def __init__(self, hosting: Hosting, slot: int, passed_s: float, driver: int) -> None:
        """Begin; `driver` is the engine's process where it is on this machine, else 0."""
        there = replace(hosting, started=time.monotonic() - passed_s)
        self._supervisor = Supervisor(there if driver else _moved(there), slot)
        if driver and sys.platform == "linux":
            threading.Thread(target=self._end_with, args=(driver,), daemon=True).start()

    def _end_with(self, driver: int) -> None:
        """End with the engine: Ray itself notices seconds later, and every call costs."""
        try:
            life = os.pidfd_open(driver)
        except OSError:
            self._supervisor.end()
            return
        select.select([life], [], [])
        os.close(life)
        self._supervisor.end()

    def is_there(self) -> bool:
        """Answer, once there is somebody to do so."""
        return True

    def run_shard(self, shard: int, sweep: Sweep) -> Outcome:
        """Complete a sweep of a shard."""
        try:
            stopped = self._supervisor.run_shard(shard, sweep)
        except ExpplatError as error:
            return Outcome(error=plain_error(error), fatal=self._supervisor.fatal)
        except EndedError:
            return Outcome(stopped="The worker was ended.")
        return Outcome(stopped, fatal=self._supervisor.fatal)

    def close(self) -> None:
        """Let the variants close, and end the process."""
        self._supervisor.__exit__(None, None, None)

    def end(self) -> None:
        """End the process at once, though a shard is under way."""
        self._supervisor.end()


@dataclass
class _Place:
    """Where an actor is, or is waited for."""

    slot: int
    actor: Any
    since: float
    is_there: bool = False
    """Whether some node had room for it, and it has begun."""


class _Post(NamedTuple):
    """A shard in the hands of an actor."""

    place: _Place
    shard: int


class RayCrew:
    """The actors of one run."""

    def __init__(self, hosting: Hosting, *, is_remote: bool) -> None:
        import ray

        self._ray: Any = ray
        self._hosting = hosting
        self._is_remote = is_remote
        self._size = hosting.plan.measurement.workers
        if is_remote:
            # Actors that no node will ever have a CPU for need not be asked for.
            self._size = min(self._size, max(1, int(self._ray.cluster_resources().get("CPU", 0))))
        self._hire = self._ray.remote(
            num_cpus=int(is_remote), max_restarts=0, concurrency_groups={"ending": 1}
        )(SupervisorActor)
        self._places: dict[int, _Place] = {}
        self._calls: dict[Any, _Place] = {}
        self._posts: dict[Any, _Post] = {}
        self._waiting: deque[int] = deque()
        self._fatal: Counter[int] = Counter()
        self._lost: Counter[int] = Counter()
        self.losses = 0
        """Actors that were lost in this run."""

    def __enter__(self) -> Self:
        """Begin; actors are hired for the first shards."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the variants close, where all went well; end all processes, then the actors."""
        actors = [place.actor for place in self._places.values()]
        there = [place.actor for place in self._places.values() if place.is_there]
        try:
            if error is None:
                closing = [actor.close.remote() for actor in there]
                limit_s = 2 * CLOSE_TIMEOUT_S + END_TIMEOUT_S
            else:
                closing = [
                    actor.end.options(concurrency_group="ending").remote() for actor in there
                ] + list(self._posts)
                limit_s = END_TIMEOUT_S
            if closing:
                self._ray.wait(closing, num_returns=len(closing), timeout=limit_s)
        finally:
            for actor in actors:
                self._ray.kill(actor)

    def finish(self, sweep: Sweep, shards: Collection[int], watch: Watch) -> str:
        """Complete a sweep of these shards; return why it ended before that, else nothing.

        Raises:
            EngineError: If actors are lost again and again.
            ExpplatError: What a worker refuses.
        """
        self._waiting.extend(shards)
        stopped = ""
        while self._posts or (self._waiting and not stopped):
            if not stopped:
                self._hire_missing()
                self._hand_out(sweep)
            under_way = {post.shard for post in self._posts.values()}
            pending = [*self._posts, *self._calls]
            ready, _ = self._ray.wait(pending, num_returns=1, timeout=POLL_S)
            for reference in ready:
                stopped = self._settled(reference) or stopped
            watch(under_way)
        self._waiting.clear()
        return stopped

    def _hire_missing(self) -> None:
        """Ask for as many actors as there are shards for; one that is lost is asked for again.

        Raises:
            EngineError: If no node has had room for any of them in a long time.
        """
        now = time.monotonic()
        for slot in range(min(self._size, len(self._waiting))):
            if slot not in self._places:
                passed_s = now - self._hosting.started
                driver = 0 if self._is_remote else os.getpid()
                actor = self._hire.remote(self._hosting, slot, passed_s, driver)
                self._places[slot] = _Place(slot, actor, now)
                self._calls[actor.is_there.remote()] = self._places[slot]
        places = self._places.values()
        if all(not place.is_there and now - place.since > ROOM_TIMEOUT_S for place in places):
            raise EngineError(
                f"No node of the Ray cluster has had a free CPU for {ROOM_TIMEOUT_S:g} s.",
                hint="`ray status` shows who holds them.",
            )

    def _hand_out(self, sweep: Sweep) -> None:
        """Hand shards to the actor that holds the fewest, until each holds enough."""
        there = [place for place in self._places.values() if place.is_there]
        while self._waiting and there:
            held = Counter(post.place.slot for post in self._posts.values())
            place = min(there, key=lambda one: held[one.slot])
            # At the end nobody may wait for a slow actor's second shard while others are free.
            if held[place.slot] >= (SHARDS_AHEAD if len(self._waiting) > self._size else 1):
                return
            shard = self._waiting.popleft()
            self._posts[place.actor.run_shard.remote(shard, sweep)] = _Post(place, shard)

    def _settled(self, reference: Any) -> str:
        """Take a finished shard or greet an actor; where that is lost, note what it held."""
        post = self._posts.pop(reference, None)
        place = post.place if post else self._calls.pop(reference)
        try:
            answer = self._ray.get(reference)
        except self._ray.exceptions.RayActorError as error:
            if post:
                self._waiting.appendleft(post.shard)
            self._bury(place, error)
            return ""
        except self._ray.exceptions.RayError as error:
            cause = getattr(error, "cause", None) or error
            raise EngineError(f"A worker failed: {str(cause).splitlines()[-1][:300]}") from error
        place.is_there = True
        return self._heard(place, answer) if post else ""

    def _heard(self, place: _Place, outcome: Outcome) -> str:
        """Return why a shard was stopped before its end; empty where it was not."""
        if outcome.error is not None:
            raise raised_again(*outcome.error)
        self._fatal[place.slot] = max(self._fatal[place.slot], outcome.fatal)
        must_be_few(self._fatal.total(), self._hosting.plan)
        self._lost[place.slot] = 0
        return outcome.stopped

    def _bury(self, place: _Place, error: Exception) -> None:
        """Let another be hired for an actor that is gone; each of its shards comes this way."""
        if self._places.get(place.slot) is not place:
            return
        del self._places[place.slot]
        self.losses += 1
        self._lost[place.slot] += 1
        if self._lost[place.slot] >= LOSSES:
            raise EngineError(
                f"{LOSSES} actors of Ray were lost, one after the other: "
                f"{str(error).splitlines()[0][:300]}",
                hint="`--engine local` replays without Ray.",
            ) from error


def _moved(hosting: Hosting) -> Hosting:
    """Return what is different on a node of a cluster: where the workspace is, and the cache.

    Ray unpacks the workspace that it was sent into the current folder. Kept answers are a file of
    each node's own: SQLite does not share one across machines.
    """
    cache = Path(hosting.cache)
    return replace(
        hosting,
        workspace=str(Path.cwd()),
        cache=str(cache.with_stem(f"{cache.stem}-{platform.node()}")) if hosting.cache else "",
    )

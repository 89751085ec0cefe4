"""Stands beside a worker process: starts it, watches its calls, ends it, replaces it."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from expplat.adapters.replay.arms import CLOSE_TIMEOUT_S, SETUP_TIMEOUT_S
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.shard_notes import (
    NotedCall,
    calls_under_way,
    fatal_calls,
    forget_calls,
    note_fatal,
)
from expplat.adapters.replay.worker_child import Hosting, PrintedLog, WorkerChild
from expplat.domain.replay import ReplayPlan
from expplat.domain.request import ErrorKind
from expplat.errors import EngineError, ExpplatError, FaultsError, InputError

WATCH_S = 0.1
"""Time between two looks at the calls under way."""

GRACE_S = 1.0
"""What a call may take beyond its time limit before its process is ended from outside."""

DEATHS_OF_A_CALL = 2
"""Processes that one call may take with it where nobody knows whether it was the call."""

DEATHS_ELSEWHERE = 3
"""Processes that may end outside any call, in one run, before the engine gives up."""

FATAL_CALLS = 10
FATAL_SHARE = 0.05
"""Calls that may end their processes, in one run, before the engine gives up: so many, or this
share of all that are planned."""

FROM_OUTSIDE = frozenset({-signal.SIGKILL, -signal.SIGTERM, -signal.SIGHUP, -signal.SIGINT, None})
"""Exit codes of a worker that somebody else may have ended; None where even the keeper is gone."""


class EndedError(Exception):
    """The supervisor was told to end while it was at work; nobody but its engine sees this."""


class Death(NamedTuple):
    """How a worker process has ended."""

    code: int | None
    """Its exit code, or the signal that ended it, negative; None where that is not known."""

    calls: tuple[NotedCall, ...]
    """What was under way."""

    late: tuple[NotedCall, ...] = ()
    """The calls for whose sake it was ended: they did not come back in their time."""


class Supervisor:
    """Runs shards in a worker process that stays warm, and goes on in another where one ends.

    A call that does not come back within its time limit and a second is ended with its process,
    counts as `timeout`, and is not made again. A process that ends itself costs the call that was
    under way: it counts as `variant_bug`. Where several were under way, they are made again one by
    one, to find out which it was. A process that somebody else has killed costs nothing at first:
    the call is made once more.
    """

    def __init__(self, hosting: Hosting, slot: int) -> None:
        self._hosting = hosting
        self._plan = hosting.plan
        self._slot = slot
        self._log = PrintedLog(Path(self._plan.folder) / "workers" / f"{slot}.log")
        self._child: WorkerChild | None = None
        self._is_ready = False
        self._deaths: Counter[tuple[int, int, str] | None] = Counter()
        self.fatal = 0
        """Calls that have ended their process, so far."""
        self._is_ended = False
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Begin; the worker is started with its first shard."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let the variants close, where all went well; then end the process and all below it."""
        if self._child is None:
            return
        if error is None and self._is_ready and not self._is_ended:
            self._child.tell({"close": True})
            deadline = time.monotonic() + 2 * CLOSE_TIMEOUT_S + GRACE_S
            while time.monotonic() < deadline:
                answer = self._child.answer(WATCH_S)
                if answer is not None:
                    break
        self._child.end()
        self._child = None

    def end(self) -> None:
        """End the process at once, from any thread; whoever is in `run_shard` leaves it."""
        with self._lock:
            self._is_ended = True
            if self._child is not None:
                self._child.cut()

    def run_shard(self, shard: int, sweep: Sweep) -> str:
        """Complete a sweep of a shard; return why it stopped before that, else nothing.

        Raises:
            EndedError: If `end` was called meanwhile.
            EngineError: If variants cannot be set up, or end their process again and again.
            ExpplatError: What else the worker refuses, as it says it.
        """
        is_alone = False
        while True:
            forget_calls(self._plan, shard)
            child = self._staffed()
            poisoned = fatal_calls(self._plan, shard)
            child.tell(
                {
                    "shard": shard,
                    "sweep": list(sweep),
                    "alone": is_alone,
                    "poisoned": [[*call, kind.value] for call, kind in poisoned.items()],
                }
            )
            outcome = self._watched(child, shard)
            if isinstance(outcome, str):
                return outcome
            self._judge(outcome, shard)
            is_alone = is_alone or (len(outcome.calls) > 1 and not outcome.late)

    def _staffed(self) -> WorkerChild:
        """Return the process that is there, or a new one."""
        with self._lock:
            if self._is_ended:
                raise EndedError
            if self._child is None:
                self._is_ready = False
                self._child = WorkerChild(self._hosting, self._slot, self._log)
            return self._child

    def _watched(self, child: WorkerChild, shard: int) -> str | Death:
        """Wait for the shard's end or the process's; end a call that does not come back."""
        while True:
            answer = child.answer(WATCH_S)
            if answer is None:
                late = self._late(child, shard)
                if late:
                    child.end()
                    return self._buried(Death(None, calls_under_way(self._plan, shard), late))
            elif "ready" in answer:
                self._is_ready = True
            elif "ended" in answer:
                calls = calls_under_way(self._plan, shard)
                return self._buried(Death(answer["ended"], calls))
            elif "error" in answer:
                raise raised_again(*answer["error"])
            else:
                return str(answer["stopped"])

    def _late(self, child: WorkerChild, shard: int) -> tuple[NotedCall, ...]:
        """Return the calls that are over their time.

        Raises:
            EngineError: If the setup is.
        """
        now = time.monotonic()
        if not self._is_ready:
            if now - child.started > 2 * SETUP_TIMEOUT_S + GRACE_S:
                raise EngineError(
                    f"The setup of the variants has not ended within {2 * SETUP_TIMEOUT_S:g} s."
                )
            return ()
        limit_s = self._plan.measurement.timeout_s + GRACE_S
        calls = calls_under_way(self._plan, shard)
        return tuple(call for call in calls if now - call.since > limit_s)

    def _buried(self, death: Death) -> Death:
        with self._lock:
            self._child = None
            if self._is_ended:
                raise EndedError
        return death

    def _judge(self, death: Death, shard: int) -> None:
        """Hold the death of a process against the calls that were under way."""
        for call in death.late:
            self._poison(shard, call, ErrorKind.TIMEOUT)
        if death.late:
            return
        if not death.calls:
            self._give_up_at_last()
        for call in death.calls:
            self._deaths[call.key] += 1
            is_known = len(death.calls) == 1 and death.code not in FROM_OUTSIDE
            if is_known or self._deaths[call.key] >= DEATHS_OF_A_CALL:
                self._poison(shard, call, ErrorKind.VARIANT_BUG)

    def _poison(self, shard: int, call: NotedCall, kind: ErrorKind) -> None:
        note_fatal(self._plan, shard, call.key, kind)
        self.fatal += 1
        which = f"{call.arm} on the request at position {call.position}"
        must_be_few(self.fatal, self._plan, which)

    def _give_up_at_last(self) -> None:
        """Count a process that ended outside any call."""
        self._deaths[None] += 1
        if self._deaths[None] >= DEATHS_ELSEWHERE:
            where = "outside their calls" if self._is_ready else "before their first call"
            said = self._log.last_line[:300] or "they printed nothing"
            raise EngineError(
                f"{DEATHS_ELSEWHERE} worker processes ended {where}: {said}",
                hint=f"What they printed stands in {self._log.path}.",
            )


def must_be_few(fatal: int, plan: ReplayPlan, last: str = "") -> None:
    """Raise EngineError where so many calls have ended their processes that it makes no sense."""
    if fatal > max(FATAL_CALLS, FATAL_SHARE * 2 * plan.rows):
        which = f", the last one {last}" if last else ""
        raise EngineError(
            f"{fatal} calls ended their processes{which}.",
            hint="Mend the variant; or replay again, which passes over these calls.",
        )


def raised_again(code: str, message: str, hint: str) -> ExpplatError:
    """Return an error of our own tree that was told by its code."""
    if code == FaultsError.code:
        return InputError(message, hint)
    kinds: list[type[ExpplatError]] = [ExpplatError]
    for kind in kinds:
        if kind.code == code:
            return kind(message, hint)
        kinds += kind.__subclasses__()
    return EngineError(message, hint)


def plain_error(error: ExpplatError) -> tuple[str, str, str]:
    """Return an error as plain words, which travel anywhere."""
    return error.code, error.message, error.hint

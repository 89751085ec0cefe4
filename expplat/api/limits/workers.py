"""Threads of their own for work that may hang, so that it takes none from everything else."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

from expplat.errors import DatabaseError, TryLaterError

R = TypeVar("R")

AT_ONCE = 16
"""Pieces of work that run at the same time; the pool has connections for all of them."""

WAITING = 64
"""Pieces of work that may wait for their turn; one more is refused at once."""

DEADLINE_S = 5.0
"""Seconds after which an answer is given, whether or not the work has ended."""

IDLE_S = 10.0
"""Seconds after which a thread without work ends."""


class Guard:
    """Threads for work on the database. They are daemons: one that hangs keeps no server alive."""

    def __init__(
        self, *, at_once: int = AT_ONCE, waiting: int = WAITING, deadline_s: float = DEADLINE_S
    ) -> None:
        self._at_once = at_once
        self._most = at_once + waiting
        self._deadline_s = deadline_s
        self._jobs: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._threads = 0

    async def run(self, work: Callable[[], R]) -> R:
        """Do the work; as `guarding.guarded` says."""
        result: Future[R] = Future()
        self._submit(result, work)
        awaited = asyncio.wrap_future(result)
        try:
            done, _ = await asyncio.wait({awaited}, timeout=self._deadline_s)
            if done:
                return awaited.result()
        finally:
            awaited.cancel()  # work that has not begun never will
        raise DatabaseError(
            "The database has not answered in time.",
            hint="Send it again: what was kept after all is known by its id.",
        )

    def _submit(self, result: Future[Any], work: Callable[[], Any]) -> None:
        with self._lock:
            if self._unfinished >= self._most:
                raise TryLaterError("Too much work waits for the database.", hint="Send it again.")
            self._unfinished += 1
            self._jobs.put((result, work))
            if self._threads < min(self._at_once, self._unfinished):
                self._threads += 1
                threading.Thread(target=self._work_off, name="expplat guard", daemon=True).start()

    def _work_off(self) -> None:
        while True:
            try:
                result, work = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                with self._lock:
                    if self._jobs.empty():
                        self._threads -= 1
                        return
                continue
            try:
                _do(result, work)
            finally:
                del result, work  # they hold bodies of requests
                with self._lock:
                    self._unfinished -= 1


def _do(result: Future[Any], work: Callable[[], Any]) -> None:
    if not result.set_running_or_notify_cancel():
        return
    try:
        value = work()
    except BaseException as error:  # noqa: BLE001 - a thread begins here; who waits must be told
        result.set_exception(error)
    else:
        result.set_result(value)

"""The event loop of a worker: asynchronous variants are set up, called and closed on it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Generator
from types import TracebackType
from typing import Any, ClassVar, Self

from expplat.adapters.replay.calls import Attempt, Clock, Guard, in_time, late, machine_clock

_BLOCKED_S = 0.5
"""Seconds after which a call that should have been cancelled shows that the loop is blocked."""

_END_S = 5.0
"""Seconds that tasks which variants left behind are given to end."""


class WorkerLoop:
    """One event loop in a thread of its own, so that clients live on the loop of their calls.

    The thread is begun with the first call, for most workers never need it.
    """

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._is_closing = False

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the tasks that are left, and the loop, if it can be ended."""
        if self._loop is None or self._thread is None:
            return
        self._is_closing = True
        asyncio.run_coroutine_threadsafe(_cancelled_others(), self._loop).add_done_callback(
            lambda _: self._loop and self._loop.call_soon_threadsafe(self._loop.stop)
        )
        self._thread.join(_END_S)
        if not self._thread.is_alive():
            self._loop.close()

    def run(self, work: Callable[[], Awaitable[Any]], *, timeout_s: float) -> Any:
        """Return what the work gives, or a Failure where it raised or was cancelled for its time.

        What waits for nothing keeps the loop for itself, and cannot be cancelled.
        """
        return self.attempted(work, machine_clock(), timeout_s=timeout_s).answer

    def attempted(
        self, work: Callable[[], Awaitable[Any]], clock: Clock, *, timeout_s: float
    ) -> Attempt:
        """Do the work on the loop, alone, and read the clock there."""
        timed = self._timed(work, clock, timeout_s)
        return asyncio.run_coroutine_threadsafe(timed, self._started()).result()

    def shared(
        self,
        work: Callable[[], Awaitable[Any]],
        own: OwnCpu,
        begin: Callable[[], None],
        *,
        timeout_s: float,
    ) -> Attempt:
        """Do the work on the loop, beside others.

        While another one keeps the loop for itself, this one is said to begin anew: it is not the
        one that has to be ended.
        """
        timed = self._timed(lambda: own.measured(work()), own.clock, timeout_s)
        future = asyncio.run_coroutine_threadsafe(timed, self._started())
        while True:
            try:
                return future.result(timeout_s + _BLOCKED_S)
            except TimeoutError:
                if future.done():
                    raise
                if OwnCpu.running not in (None, own):
                    begin()

    async def _timed(
        self, work: Callable[[], Awaitable[Any]], clock: Clock, timeout_s: float
    ) -> Attempt:
        cpu_start = wall_start = wall_s = cpu_s = 0.0
        limit = asyncio.timeout(timeout_s)
        try:
            async with limit:
                cpu_start, wall_start = clock.cpu(), clock.wall()
                try:
                    answer = await work()
                finally:
                    wall_s, cpu_s = clock.wall() - wall_start, clock.cpu() - cpu_start
        except BaseException as error:  # noqa: BLE001  (guards user code, which may raise anything)
            answer = late(timeout_s) if limit.expired() else self._guard.failure_of(error)
        return in_time(Attempt(answer, wall_s, cpu_s), timeout_s)

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._serve, args=(self._loop,), daemon=True)
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the loop until it is stopped; a task that wants to exit ends neither."""
        asyncio.set_event_loop(loop)
        while not self._is_closing:
            try:
                loop.run_forever()
            except BaseException:  # noqa: BLE001,S112  (guards user code: a task may raise anything)
                continue


class OwnCpu:
    """CPU time that one coroutine takes between its waits, while others share its thread."""

    running: ClassVar[OwnCpu | None] = None
    """Whose step it is, on the one loop that there is."""

    def __init__(self, clock: Clock) -> None:
        self._cpu = clock.cpu
        self.clock = Clock(clock.wall, self.read)
        """Wall time, and this coroutine's CPU time."""
        self._since: float | None = None
        self._spent_s = 0.0

    def read(self) -> float:
        """Return the seconds that it has taken so far."""
        running_s = 0.0 if self._since is None else self._cpu() - self._since
        return self._spent_s + running_s

    def measured(self, work: Awaitable[Any]) -> Awaitable[Any]:
        """Return the work, measured step by step; tasks that it starts are not seen."""
        return _Measured(self, work)

    def step(self, go_on: Callable[[Any], Any], value: Any) -> Any:
        """Do one step of it."""
        self._since = self._cpu()
        OwnCpu.running = self
        try:
            return go_on(value)
        finally:
            OwnCpu.running = None
            self._spent_s += self._cpu() - self._since
            self._since = None


class _Measured:
    """Hands each step of a coroutine through its clock."""

    def __init__(self, own: OwnCpu, work: Awaitable[Any]) -> None:
        self._own = own
        self._work = work

    def __await__(self) -> Generator[Any, Any, Any]:
        inner: Any = self._work.__await__()
        go_on, value = inner.send, None
        while True:
            try:
                waited_for = self._own.step(go_on, value)
            except StopIteration as end:
                return end.value
            try:
                value = yield waited_for
                go_on = inner.send
            except BaseException as error:  # noqa: BLE001  (handed on, whatever it is)
                go_on, value = inner.throw, error


async def _cancelled_others() -> None:
    """Cancel every other task, and wait a moment for them."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_END_S / 2)

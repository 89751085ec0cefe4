"""One guarded attempt at a call of user code: its clock, its time limit, what became of it."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from expplat.adapters.replay.failures import Failure, failure_of
from expplat.adapters.replay.variant_output import BadOutputError, output_of
from expplat.domain.call import WAITING, Call, Usage
from expplat.domain.request import ErrorKind, Output, Request

STAGES = 50
"""Stages that one call may name, each in at most a hundred characters."""

MOST_TOKENS = 10**12
"""Tokens that one usage may book."""

_NAME_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class Clock:
    """What a call is timed with, in seconds: wall time, and CPU time of the calling thread."""

    wall: Callable[[], float]
    cpu: Callable[[], float]


ClockFactory = Callable[[], Clock]
"""Makes the clock of one attempt; an engine pickles it on its way to a worker."""


def machine_clock() -> Clock:
    """Return this machine's own clock, which never goes backwards."""
    return Clock(time.perf_counter, time.thread_time)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request on its way to a variant."""

    request: Request
    clock: Clock
    begin: Callable[[], None]
    """Told when the call really begins: from then on its time limit runs."""

    is_timed: bool
    """Whether it is the only call under way."""


class Attempt(NamedTuple):
    """What came of one attempt, as it came."""

    answer: Any
    """What the variant returned, or a Failure."""

    wall_s: float
    """Waits included."""

    cpu_s: float


class Checked(NamedTuple):
    """What an attempt gave, once it was looked at."""

    output: Output | None
    failure: Failure | None
    stages_ms: Mapping[str, float]
    stages_cpu_ms: Mapping[str, float]
    usages: tuple[Usage, ...]


class Guard:
    """Runs user code: nothing that it raises comes through, but a person's own Ctrl-C.

    The time limit is an alarm of the operating system, which interrupts Python code and waits
    that Python knows of, in the main thread. It does not interrupt a loop in C, nor any code in
    another thread or code that takes the alarm for itself; there the whole process is ended from
    outside.
    """

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self._interrupted = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the alarm, and watch for Ctrl-C."""
        if _is_main_thread():
            self._before = {
                signal.SIGALRM: signal.signal(signal.SIGALRM, _ring),
                signal.SIGINT: signal.signal(signal.SIGINT, self._note_interrupt),
            }
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give both back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def run(self, work: Callable[[], Any], *, timeout_s: float) -> Any:
        """Return what the work returns, or a Failure where it raised or took too long."""
        rings = _is_main_thread()
        try:
            try:
                if rings:
                    _set_alarm(timeout_s)
                return work()
            finally:
                if rings:
                    _stop_alarm()
        except _TimeIsUp:
            _stop_alarm()
            return late(timeout_s)
        except BaseException as error:  # noqa: BLE001  (guards user code, which may raise anything)
            return self.failure_of(error)

    def run_own(self, work: Callable[[], Any]) -> Any:
        """Return what code of ours makes of what users gave it, or a Failure where it raised."""
        try:
            return work()
        except BaseException as error:  # noqa: BLE001  (guards user code, which may raise anything)
            return self.failure_of(error)

    def failure_of(self, error: BaseException) -> Failure:
        """Return what an exception of user code makes of its call; a person's Ctrl-C goes on."""
        if self._interrupted:
            raise error
        return failure_of(error, self.workspace)

    def _note_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        before = self._before.get(signal.SIGINT)
        if callable(before):
            before(number, frame)


def late(timeout_s: float) -> Failure:
    """Return the failure of what took too long."""
    return Failure(ErrorKind.TIMEOUT, f"It took over {timeout_s:g} s.")


def attempted(work: Callable[[], Any], clock: Clock, guard: Guard, *, timeout_s: float) -> Attempt:
    """Do the work in this thread, and read the clock as close around it as can be."""
    wall_start = cpu_start = wall_s = cpu_s = 0.0

    def timed() -> Any:
        nonlocal wall_start, cpu_start, wall_s, cpu_s
        cpu_start = clock.cpu()
        wall_start = clock.wall()
        try:
            return work()
        finally:
            wall_s = clock.wall() - wall_start
            cpu_s = clock.cpu() - cpu_start

    answer = guard.run(timed, timeout_s=timeout_s)
    return in_time(Attempt(answer, wall_s, cpu_s), timeout_s)


def in_time(attempt: Attempt, timeout_s: float) -> Attempt:
    """Return the attempt, failed where it took longer than it may, whatever it returned in the end.

    No alarm reaches some code, and other code catches it.
    """
    if attempt.wall_s <= timeout_s or isinstance(attempt.answer, Failure):
        return attempt
    return attempt._replace(answer=late(timeout_s))


def checked(answer: Any, call: Call) -> Checked:
    """Return what a variant returned and booked, made sure of.

    Raises:
        BadOutputError: If it is not what it should be.
    """
    failure = answer if isinstance(answer, Failure) else None
    return Checked(
        output=None if failure else output_of(answer),
        failure=failure,
        stages_ms=_stages(call.stages_ms),
        stages_cpu_ms=_stages(call.stages_cpu_ms),
        usages=tuple([_usage(usage) for usage in call.usages]),
    )


def milliseconds(seconds: float) -> float:
    """Return milliseconds, to the nanosecond, at least 0."""
    return round(max(0.0, seconds * 1000), 6)


def latency_ms(attempt: Attempt, stages_ms: Mapping[str, float]) -> float:
    """Return the wall time of an attempt without its waits."""
    return milliseconds(attempt.wall_s - stages_ms.get(WAITING, 0.0) / 1000)


class _TimeIsUp(BaseException):
    """Raised by the alarm; not an Exception, so that user code does not catch it by accident."""


def _ring(number: int, frame: FrameType | None) -> NoReturn:
    raise _TimeIsUp


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _set_alarm(timeout_s: float) -> None:
    # Again each second: user code may catch what the first one raised.
    signal.setitimer(signal.ITIMER_REAL, timeout_s, 1.0)


def _stop_alarm() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.0)


def _stages(spent_ms: Mapping[Any, float]) -> dict[str, float]:
    if len(spent_ms) > STAGES:
        raise BadOutputError(f"It named {len(spent_ms)} stages; {STAGES} are the most.")
    if not all(map(math.isfinite, spent_ms.values())):
        raise BadOutputError("It timed a stage at no finite number.")
    return {_name(name): milliseconds(spent / 1000) for name, spent in spent_ms.items()}


def _usage(usage: Usage) -> Usage:
    if not (_is_count(usage.input_tokens) and _is_count(usage.output_tokens)):
        raise BadOutputError(f"It booked tokens that are no counts: {usage!r}.")
    return Usage(
        model=_name(usage.model),
        input_tokens=int(usage.input_tokens),
        output_tokens=int(usage.output_tokens),
        stage=_name(usage.stage),
    )


def _name(name: Any) -> str:
    return str(name).encode("utf-8", "replace").decode()[:_NAME_CHARACTERS]


def _is_count(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, Integral):
        return False
    return 0 <= int(value) <= MOST_TOKENS

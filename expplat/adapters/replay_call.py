"""One guarded call of user code: its clock, its time limit, what became of it."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from expplat.adapters.variant_output import BadOutputError, output_of
from expplat.adapters.workspace_sources import MESSAGE_CHARACTERS, last_words
from expplat.domain.call import WAITING, Call, Usage
from expplat.domain.request import ErrorKind, Output, Request

STAGES = 50
"""Stages that one call may name, each in at most a hundred characters."""


@dataclass(frozen=True, slots=True)
class Clock:
    """What a call is timed with, in seconds: wall time, and CPU time of the calling thread."""

    wall: Callable[[], float]
    cpu: Callable[[], float]


ClockFactory = Callable[[], Clock]
"""Makes the clock of one call; an engine pickles it on its way to a worker."""


def machine_clock() -> Clock:
    """Return this machine's own clock, which never goes backwards."""
    return Clock(time.perf_counter, time.thread_time)


class Failure(NamedTuple):
    """Why a call has no result."""

    kind: ErrorKind
    message: str


class Timed(NamedTuple):
    """One call, answered or failed."""

    output: Output | None
    failure: Failure | None
    latency_ms: float
    cpu_ms: float
    stages_ms: Mapping[str, float]
    usages: tuple[Usage, ...]


class Guard:
    """Runs user code: nothing that it raises comes through, but a person's own Ctrl-C.

    The time limit is an alarm of the operating system, which interrupts Python code and waits
    that Python knows of. It does not interrupt a loop in C, nor any code outside the main thread;
    there the Ray engine ends the whole worker instead, and the local engine waits.
    """

    def __init__(self, workspace: Path) -> None:
        self._workspace = workspace
        self._interrupted = False
        self._rings = threading.current_thread() is threading.main_thread()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        """Take the alarm, and watch for Ctrl-C."""
        if self._rings:
            self._before = {
                signal.SIGALRM: signal.getsignal(signal.SIGALRM),
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
        try:
            try:
                self._set_alarm(timeout_s)
                return work()
            finally:
                self._stop_alarm()
        except _TimeIsUp:
            self._stop_alarm()
            return Failure(ErrorKind.TIMEOUT, f"It took over {timeout_s:g} s.")
        except BadOutputError as error:
            return Failure(ErrorKind.BAD_OUTPUT, str(error)[:MESSAGE_CHARACTERS])
        except TimeoutError as error:
            return Failure(ErrorKind.TIMEOUT, last_words(error, self._workspace))
        except BaseException as error:
            if self._interrupted:
                raise
            return Failure(ErrorKind.VARIANT_BUG, last_words(error, self._workspace))

    def _set_alarm(self, timeout_s: float) -> None:
        if self._rings:
            signal.signal(signal.SIGALRM, _ring)
            signal.setitimer(signal.ITIMER_REAL, timeout_s, 1.0)

    def _stop_alarm(self) -> None:
        if self._rings:
            signal.setitimer(signal.ITIMER_REAL, 0.0)

    def _note_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        before = self._before.get(signal.SIGINT)
        if callable(before):
            before(number, frame)


class _TimeIsUp(BaseException):
    """Raised by the alarm; not an Exception, so that user code does not catch it by accident."""


def _ring(number: int, frame: FrameType | None) -> NoReturn:
    raise _TimeIsUp


def timed(
    variant: Callable[..., Any], request: Request, clock: Clock, guard: Guard, timeout_s: float
) -> Timed:
    """Call a variant once and return what came out and how long it took, waits taken off."""
    call = Call(clock.wall)
    wall_start = cpu_start = wall_s = cpu_s = 0.0

    def work() -> Any:
        nonlocal wall_start, cpu_start, wall_s, cpu_s
        cpu_start = clock.cpu()
        wall_start = clock.wall()
        try:
            return variant(request, call)
        finally:
            wall_s = clock.wall() - wall_start
            cpu_s = clock.cpu() - cpu_start

    answer = guard.run(work, timeout_s=timeout_s)
    output = guard.run(lambda: _output_and_booked(answer, call), timeout_s=timeout_s)
    failure = next((found for found in (answer, output) if isinstance(found, Failure)), None)
    stages_ms, usages = ({}, ()) if isinstance(output, Failure) else output[1:]
    return Timed(
        output=None if failure else output[0],
        failure=failure,
        latency_ms=_ms(wall_s - stages_ms.get(WAITING, 0.0) / 1000),
        cpu_ms=_ms(cpu_s),
        stages_ms=stages_ms,
        usages=usages,
    )


def _output_and_booked(
    answer: Any, call: Call
) -> tuple[Output | None, dict[str, float], tuple[Usage, ...]]:
    stages_ms = {_stage_name(name): _ms(spent / 1000) for name, spent in call.stages_ms.items()}
    if len(stages_ms) > STAGES:
        raise BadOutputError(f"It named {len(stages_ms)} stages; {STAGES} are the most.")
    for usage in call.usages:
        if not all(_is_count(n) for n in (usage.input_tokens, usage.output_tokens)):
            raise BadOutputError(f"It booked tokens that are no counts: {usage!r}.")
    output = None if isinstance(answer, Failure) else output_of(answer)
    return output, stages_ms, tuple(call.usages)


def _stage_name(name: Any) -> str:
    return str(name).encode("utf-8", "replace").decode()[:100]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _ms(seconds: float) -> float:
    """Return milliseconds, to the nanosecond, at least 0."""
    return round(max(0.0, seconds * 1000), 6)

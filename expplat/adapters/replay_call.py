"""One guarded call of user code: its clock, its time limit, what it may return."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from numbers import Real
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, NamedTuple, NoReturn, Self

from expplat.adapters.variant_loading import MESSAGE_CHARACTERS, last_words
from expplat.domain.call import WAITING, Call, Usage
from expplat.domain.request import ErrorKind, Output, Request

OUTPUT_CHARACTERS = 1_000_000
"""Text and ids of one output together; what is longer is `bad_output`."""

STAGES = 50
"""Stages that one call may name, each in at most a hundred characters."""

_OUTPUT_FIELDS = frozenset(field.name for field in fields(Output))


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


class BadOutputError(Exception):
    """What user code returned cannot be used."""


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


def output_of(answer: Any) -> Output:
    """Return what a variant returned as an Output.

    Raises:
        BadOutputError: If it is neither an Output, a text, nor a dict of Output's fields.
    """
    match answer:
        case Output():
            given: Mapping[Any, Any] = {name: getattr(answer, name) for name in _OUTPUT_FIELDS}
        case str():
            given = {"text": answer}
        case Mapping():
            given = answer
        case _:
            raise BadOutputError(
                f"It returned a {type(answer).__name__}; an Output, a text or a dict is asked for."
            )
    unknown = ", ".join(sorted(repr(name) for name in given if name not in _OUTPUT_FIELDS))
    if unknown:
        raise BadOutputError(f"It returned a dict with unknown fields: {unknown}.")
    text, retrieved = _text(given.get("text", ""), "text"), given.get("retrieved", ())
    if not isinstance(retrieved, list | tuple):
        raise BadOutputError(f"`retrieved` is a {type(retrieved).__name__}, not a list of ids.")
    ids = tuple(_text(found, "retrieved") for found in retrieved)
    if len(text) + sum(map(len, ids)) > OUTPUT_CHARACTERS:
        raise BadOutputError(f"It returned over {OUTPUT_CHARACTERS:,} characters.")
    refused = _unboxed(given.get("refused", False))
    if not isinstance(refused, bool):
        raise BadOutputError(f"`refused` is a {type(refused).__name__}, not true or false.")
    return Output(
        text=text, retrieved=ids, refused=refused, confidence=_confidence(given.get("confidence"))
    )


def number_of(value: Any, name: str) -> float | None:
    """Return what a metric returned as a finite number, or None where it does not apply.

    Raises:
        BadOutputError: If it is anything else.
    """
    value = _unboxed(value)
    if value is None:
        return None
    if not isinstance(value, Real):
        raise BadOutputError(f"The metric {name} is a {type(value).__name__}, not a number.")
    number = float(value)
    if number - number != 0:
        raise BadOutputError(f"The metric {name} is {number}, not a finite number.")
    return number


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadOutputError(f"`{name}` holds a {type(value).__name__}, not text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadOutputError(f"`{name}` is not text: it holds half a character.") from None
    return value


def _confidence(value: Any) -> float | None:
    value = _unboxed(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise BadOutputError(f"`confidence` is {value!r}, not a number from 0 to 1.")
    return float(value)


def _unboxed(value: Any) -> Any:
    """Return the Python value in a scalar of numpy's kind."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value


def _stage_name(name: Any) -> str:
    return str(name).encode("utf-8", "replace").decode()[:100]


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _ms(seconds: float) -> float:
    """Return milliseconds, to the nanosecond, at least 0."""
    return round(max(0.0, seconds * 1000), 6)


@contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send to stderr what anybody, also below Python, prints to stdout meanwhile."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)

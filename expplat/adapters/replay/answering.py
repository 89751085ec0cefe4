"""The ways in which code answers: function or class, plain or asynchronous, alone or in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from expplat.adapters.replay.calls import Asked, Attempt, Clock, Guard, attempted
from expplat.adapters.replay.failures import Failure
from expplat.adapters.replay.loop import OwnCpu, WorkerLoop
from expplat.adapters.replay.variant_loading import batch_of, is_asynchronous
from expplat.domain.call import Call
from expplat.domain.request import ErrorKind

GATHER_S = 0.005
"""Seconds that a batch which is not full waits for one more request."""


class Answering(Protocol):
    """One way to call a variant."""

    def attempt(self, asked: Asked) -> tuple[Attempt, Call]:
        """Call it once; whatever goes wrong is in what this returns."""


@dataclass(frozen=True, slots=True)
class Ground:
    """What user code is run with."""

    guard: Guard
    loop: WorkerLoop
    timeout_s: float
    concurrency: int


def answering_of(variant: Any, ground: Ground) -> Answering:
    """Return how a variant is called; one that has both `__call__` and `batch` is timed alone."""
    batch = batch_of(variant)
    if batch is None:
        return Single(variant, ground)
    alone = Single(variant, ground) if callable(variant) else None
    return Batched(batch, ground, alone)


class Single:
    """Calls a variant with one request at a time, from as many threads as there are slots."""

    def __init__(self, code: Callable[..., Any], ground: Ground) -> None:
        self._code = code
        self._runner = _runner_of(code, ground)

    def attempt(self, asked: Asked) -> tuple[Attempt, Call]:
        """Call it once."""
        clock, run = self._runner(asked)
        call = Call(clock.wall, clock.cpu)
        return run(lambda: self._code(asked.request, call), asked.begin), call


class _Place:
    """A request that waits for its batch."""

    __slots__ = ("asked", "result")

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self.result: tuple[Attempt, Call] | None = None


class Batched:
    """Calls a variant with the requests of several slots at once, one batch after another.

    A request that is timed is a batch of its own. All requests of a batch took its whole time, and
    each an equal part of its CPU time; one that raises fails all of them.
    """

    def __init__(
        self, code: Callable[..., Any], ground: Ground, alone: Answering | None = None
    ) -> None:
        self._code = code
        self._most = ground.concurrency
        self._runner = _runner_of(code, ground)
        self._alone = alone
        self._change = threading.Condition()
        self._waiting: list[_Place] = []
        self._is_busy = False

    def attempt(self, asked: Asked) -> tuple[Attempt, Call]:
        """Answer the request, with others or alone."""
        if asked.is_timed:
            return self._alone.attempt(asked) if self._alone else self._answered([asked])[0]
        place = _Place(asked)
        if self._is_to_lead(place):
            try:
                self._answer(self._gathered())
            finally:
                with self._change:
                    self._is_busy = False
                    self._change.notify_all()
        assert place.result is not None
        return place.result

    def _is_to_lead(self, place: _Place) -> bool:
        """Wait until somebody has answered the request, or nobody is answering any."""
        with self._change:
            self._waiting.append(place)
            self._change.notify_all()
            while place.result is None:
                if not self._is_busy:
                    self._is_busy = True
                    return True
                self._change.wait()
            return False

    def _gathered(self) -> list[_Place]:
        """Take all who wait, once every slot does, or nobody has come for a moment."""
        with self._change:
            count = 0
            while count < len(self._waiting) < self._most:
                count = len(self._waiting)
                self._change.wait(GATHER_S)
            taken, self._waiting = self._waiting, []
            return taken

    def _answer(self, places: Sequence[_Place]) -> None:
        results = self._answered([place.asked for place in places])
        for place, result in zip(places, results, strict=True):
            place.result = result

    def _answered(self, batch: Sequence[Asked]) -> list[tuple[Attempt, Call]]:
        clock, run = self._runner(batch[0])
        calls = [Call(clock.wall, clock.cpu) for _ in batch]
        requests = [asked.request for asked in batch]

        def begin() -> None:
            for asked in batch:
                asked.begin()

        whole = run(lambda: self._code(requests, list(calls)), begin)
        answers = _answers_of(whole.answer, len(batch))
        cpu_s = whole.cpu_s / len(batch)
        return [
            (Attempt(answer, whole.wall_s, cpu_s), call)
            for answer, call in zip(answers, calls, strict=True)
        ]


def _answers_of(answer: Any, count: int) -> Sequence[Any]:
    """Return an answer for each request of a batch: the same failure for all, where it failed."""
    if isinstance(answer, Failure):
        return [answer] * count
    if isinstance(answer, list | tuple) and len(answer) == count:
        return answer
    given = f"one of {len(answer)}" if isinstance(answer, list) else f"a {type(answer).__name__}"
    words = f"A batch of {count} asks for a list of as many answers; it returned {given}."
    return [Failure(ErrorKind.BAD_OUTPUT, words)] * count


_Run = Callable[[Callable[[], Any], Callable[[], None]], Attempt]
"""Does the work, once it has said that it begins."""

_Runner = Callable[[Asked], tuple[Clock, _Run]]


def _runner_of(code: Callable[..., Any], ground: Ground) -> _Runner:
    """Return what gives the clock of a call, and what runs it: this thread, or the loop."""
    return partial(_on_the_loop if is_asynchronous(code) else _here, ground)


def _here(ground: Ground, asked: Asked) -> tuple[Clock, _Run]:
    def run(work: Callable[[], Any], begin: Callable[[], None]) -> Attempt:
        begin()
        return attempted(work, asked.clock, ground.guard, timeout_s=ground.timeout_s)

    return asked.clock, run


def _on_the_loop(ground: Ground, asked: Asked) -> tuple[Clock, _Run]:
    own = None if asked.is_timed else OwnCpu(asked.clock)

    def run(work: Callable[[], Any], begin: Callable[[], None]) -> Attempt:
        begin()
        if own is None:
            return ground.loop.attempted(work, asked.clock, timeout_s=ground.timeout_s)
        return ground.loop.shared(work, own, begin, timeout_s=ground.timeout_s)

    return asked.clock if own is None else own.clock, run

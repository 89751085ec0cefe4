"""One answer: an attempt, and more of them where somebody else stands in the way."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from expplat.adapters.replay.answering import Answering
from expplat.adapters.replay.calls import (
    Asked,
    Attempt,
    Checked,
    Guard,
    checked,
    latency_ms,
    milliseconds,
)
from expplat.adapters.replay.failures import Failure
from expplat.domain.call import WAITING, Call, Usage
from expplat.domain.request import Output

BASE_S = 0.5
"""Longest wait before the second attempt; it doubles with each further one."""

CAP_S = 30.0
"""Longest wait of our own choosing."""

MOST_ASKED_S = 120.0
"""Longest wait that we take from somebody who asks for one; beyond it the failure stands."""

SPREAD_FRACTION = 0.1
"""Of a wait that was asked for, what may come on top, so that not all come back at once."""

FREE_RETRIES = 10
"""Retries that each worker may make whatever it has answered."""

RETRIES_FRACTION = 0.25
"""Retries that a worker may make for each answer, beyond the free ones."""


class RetryBudget:
    """Holds the retries of one worker to a quarter of its answers, and a few.

    Where everything fails, retries would multiply what is spent, and make the failure last.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers = 0
        self._retries = 0

    def count_answer(self) -> None:
        """Count an answer that was asked for."""
        with self._lock:
            self._answers += 1

    def take(self) -> bool:
        """Take one retry, if there is one left."""
        with self._lock:
            if self._retries >= FREE_RETRIES + RETRIES_FRACTION * self._answers:
                return False
            self._retries += 1
            return True


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One answer to one request, however many attempts it took."""

    output: Output | None = None
    failure: Failure | None = None
    latency_ms: float = 0.0
    """Of the last attempt, without its waits."""

    cpu_ms: float = 0.0
    """Of all attempts."""

    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Of the last attempt, and all waits between attempts."""

    stages_cpu_ms: Mapping[str, float] = field(default_factory=dict)
    usages: tuple[Usage, ...] = ()
    """Of all attempts: those that failed were paid for too."""

    attempts: int = 1


class Retrying:
    """Asks a variant until it has answered, or has failed for good."""

    def __init__(self, guard: Guard, *, attempts: int, timeout_s: float) -> None:
        self._guard = guard
        self._attempts = attempts
        self._timeout_s = timeout_s
        self._budget = RetryBudget()

    def answered(
        self, answering: Answering, ask: Callable[[], Asked], rest: Callable[[], None], draw: str
    ) -> Answered:
        """Return the answer.

        Args:
            answering: How the variant is called.
            ask: Makes the request anew for each attempt.
            rest: Told when a wait begins, in which no time limit runs.
            draw: Seeds the waits of this call.
        """
        self._budget.count_answer()
        found = self.once(answering, ask)
        while (wait_s := self._wait_s(found, draw)) is not None:
            rest()
            since = time.perf_counter()
            time.sleep(wait_s)
            waited_ms = milliseconds(time.perf_counter() - since)
            found = _joined(found, self.once(answering, ask), waited_ms)
        return found

    def once(self, answering: Answering, ask: Callable[[], Asked]) -> Answered:
        """Return what one attempt gives."""
        attempt, call = answering.attempt(ask())
        looked_at = self._checked(attempt, call)
        return Answered(
            output=looked_at.output,
            failure=looked_at.failure,
            latency_ms=latency_ms(attempt, looked_at.stages_ms),
            cpu_ms=milliseconds(attempt.cpu_s),
            stages_ms=looked_at.stages_ms,
            stages_cpu_ms=looked_at.stages_cpu_ms,
            usages=looked_at.usages,
        )

    def _checked(self, attempt: Attempt, call: Call) -> Checked:
        found = self._guard.run(lambda: checked(attempt.answer, call), timeout_s=self._timeout_s)
        return Checked(None, found, {}, {}, ()) if isinstance(found, Failure) else found

    def _wait_s(self, found: Answered, draw: str) -> float | None:
        """Return how long to wait for another attempt; None where there is to be none."""
        failure = found.failure
        if failure is None or not failure.is_retried or found.attempts >= self._attempts:
            return None
        if (failure.retry_after_s or 0.0) > MOST_ASKED_S or not self._budget.take():
            return None
        chance = random.Random(f"{draw}:{found.attempts}").random()  # noqa: S311  (a wait)
        if failure.retry_after_s is not None:
            return failure.retry_after_s * (1 + SPREAD_FRACTION * chance)
        return min(CAP_S, BASE_S * 2.0 ** (found.attempts - 1)) * chance


def _joined(before: Answered, last: Answered, waited_ms: float) -> Answered:
    """Return the last attempt's answer, with what the ones before it cost."""
    waiting = before.stages_ms.get(WAITING, 0.0) + last.stages_ms.get(WAITING, 0.0)
    return replace(
        last,
        stages_ms={**last.stages_ms, WAITING: waited_ms + waiting},
        cpu_ms=before.cpu_ms + last.cpu_ms,
        usages=before.usages + last.usages,
        attempts=before.attempts + 1,
    )

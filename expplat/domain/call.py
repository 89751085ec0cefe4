"""The measuring object that a variant is handed with each request."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

WAITING = "waiting"
"""The stage under which waits for a rate limit are booked; they are not the technique's latency."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that one call of a model took; the price table turns them into dollars."""

    model: str
    input_tokens: int
    output_tokens: int


class Call:
    """Times the stages of one request and counts its tokens.

    A variant writes `with call.stage("retrieve"): …` and `call.usage(model=…, …)`. Stages may
    repeat (their times add up) and may not nest in themselves; what is timed is wall time.
    """

    __slots__ = ("_clock", "stages_ms", "usages")

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock = clock
        self.stages_ms: dict[str, float] = {}
        self.usages: list[Usage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the request, in milliseconds, under a name of your own."""
        start = self._clock()
        try:
            yield
        finally:
            spent_ms = (self._clock() - start) * 1000
            self.stages_ms[name] = self.stages_ms.get(name, 0.0) + spent_ms

    def waiting(self) -> AbstractContextManager[None]:
        """Time a wait for somebody's rate limit; it is taken off the latency."""
        return self.stage(WAITING)

    def usage(self, *, model: str, input_tokens: int, output_tokens: int) -> None:
        """Book the tokens of one model call.

        Args:
            model: A name that stands in `prices.yaml`; a model without a price is an error.
            input_tokens: At least 0.
            output_tokens: At least 0.
        """
        self.usages.append(
            Usage(model=model, input_tokens=input_tokens, output_tokens=output_tokens)
        )

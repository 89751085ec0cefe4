"""The measuring object that a variant is handed with each request, and what it may raise."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

WAITING = "waiting"
"""The stage under which waits for a rate limit are booked; they are not the technique's latency."""


class RateLimitedError(Exception):
    """Somebody asked us to come back later; the replay waits, and calls again."""

    def __init__(self, message: str = "", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        """Seconds that were asked for; None where nothing was said."""


class ProviderError(Exception):
    """Somebody that the variant depends on has failed; the replay calls again, a little later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SetupContext:
    """What `setup` is handed, where it takes an argument."""

    workspace: Path
    """The folder that holds `pocs/`."""

    assets: Mapping[str, Path] = field(default_factory=dict)
    """Files of the variant by the names that the proposal gives them; their content is part of
    what the variant is."""

    def asset(self, name: str) -> Path:
        """Return the path of an asset.

        Raises:
            KeyError: If the proposal names none of that name.
        """
        return self.assets[name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens that one call of a model took; the price table turns them into dollars."""

    model: str
    input_tokens: int
    output_tokens: int
    stage: str = ""
    """The stage in which it was booked; empty outside any."""


class Call:
    """Times the stages of one request and counts its tokens.

    A variant writes `with call.stage("retrieve"): …` and `call.usage(model=…, …)`. Stages may
    repeat (their times add up) and stand side by side: a stage within a stage is timed in both.
    What is timed is wall time, and CPU time of the thread.
    """

    __slots__ = ("_clock", "_cpu_clock", "_open", "stages_cpu_ms", "stages_ms", "usages")

    def __init__(
        self,
        clock: Callable[[], float] = time.perf_counter,
        cpu_clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._clock = clock
        self._cpu_clock = cpu_clock
        self._open: list[str] = []
        self.stages_ms: dict[str, float] = {}
        self.stages_cpu_ms: dict[str, float] = {}
        self.usages: list[Usage] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of the request, in milliseconds, under a name of your own."""
        self._open.append(name)
        start, cpu_start = self._clock(), self._cpu_clock()
        try:
            yield
        finally:
            cpu_ms = (self._cpu_clock() - cpu_start) * 1000
            spent_ms = (self._clock() - start) * 1000
            self._open.pop()
            self.stages_ms[name] = self.stages_ms.get(name, 0.0) + spent_ms
            self.stages_cpu_ms[name] = self.stages_cpu_ms.get(name, 0.0) + cpu_ms

    def waiting(self) -> AbstractContextManager[None]:
        """Time a wait for somebody's rate limit; it is taken off the latency."""
        return self.stage(WAITING)

    def usage(self, *, model: str, input_tokens: int, output_tokens: int) -> None:
        """Book the tokens of one model call, under the stage that is open.

        Args:
            model: A name that stands in `prices.yaml`; a model without a price is an error.
            input_tokens: At least 0.
            output_tokens: At least 0.
        """
        self.usages.append(
            Usage(
                model=model,
                input_tokens=input_tokens,
                output_tokens=output_tokens,
                stage=self._open[-1] if self._open else "",
            )
        )

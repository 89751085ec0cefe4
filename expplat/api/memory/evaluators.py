"""The evaluator of the newest flags, made when somebody first asks for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from anyio import CapacityLimiter, to_thread

from expplat.adapters.growthbook.payload import Payload

if TYPE_CHECKING:
    from expplat.adapters.growthbook.evaluation import Evaluator

R = TypeVar("R")

AT_ONCE = 4
"""Evaluations of many flags that run at the same time, in threads of their own: none waits behind
work for a database that hangs."""


class Evaluators:
    """One evaluator a payload, shared by all requests."""

    def __init__(self, payload: Callable[[], Payload]) -> None:
        self._newest = payload
        self._made: tuple[Payload, Evaluator] | None = None
        self._making = asyncio.Lock()
        self._limiter = CapacityLimiter(AT_ONCE)

    async def newest(self) -> Evaluator:
        """Return what evaluates the newest flags."""
        payload = self._newest()
        made = self._made
        if made is not None and made[0] is payload:
            return made[1]
        async with self._making:
            if self._made is None or self._made[0] is not payload:
                self._made = (payload, await self.in_thread(partial(_evaluator, payload)))
            return self._made[1]

    async def in_thread(self, work: Callable[[], R]) -> R:
        """Return what long work returns, without holding up the event loop."""
        return await to_thread.run_sync(work, limiter=self._limiter)


def _evaluator(payload: Payload) -> Evaluator:
    # Imported by the first who needs it: the SDK takes longer to load than a server to start.
    from expplat.adapters.growthbook.evaluation import Evaluator

    return Evaluator(payload)

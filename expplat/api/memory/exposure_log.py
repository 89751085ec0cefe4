"""Keeps what evaluations here have shown: there, to evaluate a flag is to be exposed to it.

An evaluation is answered once its exposures are committed; but a database that is away makes nobody
wait for a flag, so then they are answered first, and kept as soon as it is back.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from expplat.errors import ExpplatError
from expplat.flow.event_judging import Incoming

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from expplat.adapters.growthbook.evaluation import Shown

log = logging.getLogger("expplat.api")

PATIENCE_S = 0.25
"""Seconds that an answer waits for the commit of its exposures."""

RETRY_S = 1.0
MAX_BATCH = 1_000
MAX_WAITING = 100_000
MAX_SEEN = 200_000
"""Exposures that are known to be kept, so that a user who is evaluated again costs nothing."""

Keep = Callable[[str, list[Incoming]], "Awaitable[object]"]
"""Commits exposures of a connection, or raises ExpplatError."""


_Key = tuple[str, "Shown"]
"""A connection and what one of its clients was shown."""


class _Waiting(NamedTuple):
    at: datetime
    kept: asyncio.Future[None]


class ExposureLog:
    """One for a server; used on its event loop alone."""

    def __init__(self, keep: Keep, now: Callable[[], datetime]) -> None:
        self._keep = keep
        self._now = now
        self._waiting: dict[_Key, _Waiting] = {}
        self._seen: OrderedDict[_Key, None] = OrderedDict()
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_away = False

    def start(self) -> None:
        """Begin to keep what is put in."""
        self._task = asyncio.create_task(self._run())

    async def close(self, patience_s: float) -> None:
        """Wait so long until everything is kept, then end."""
        if self._task is None:
            return
        waiting = [one.kept for one in self._waiting.values()]
        if waiting:
            await asyncio.wait(waiting, timeout=patience_s)
        self._task.cancel()
        await asyncio.wait({self._task})
        if self._waiting:
            log.error("%d exposures could not be kept.", len(self._waiting))

    async def put(self, connection: str, shown: Iterable[Shown]) -> None:
        """Keep exposures; return when they are committed, or after a quarter of a second."""
        keys = [(connection, one) for one in shown if not self._is_known((connection, one))]
        new = [key for key in keys if key not in self._waiting]
        if len(self._waiting) + len(new) > MAX_WAITING:
            log.error("%d exposures are not kept: %d wait already.", len(new), len(self._waiting))
            return
        loop, at = asyncio.get_running_loop(), self._now()
        self._waiting |= {key: _Waiting(at, loop.create_future()) for key in new}
        self._woken.set()
        waiting = [self._waiting[key].kept for key in keys]
        if waiting and not self._is_away:
            await asyncio.wait(waiting, timeout=PATIENCE_S)

    def _is_known(self, key: _Key) -> bool:
        if key not in self._seen:
            return False
        self._seen.move_to_end(key)
        return True

    async def _run(self) -> None:
        while True:
            await self._woken.wait()
            self._woken.clear()
            while self._waiting:
                await self._keep_some()

    async def _keep_some(self) -> None:
        connection, _ = next(iter(self._waiting))
        first = itertools.islice(self._waiting.items(), MAX_BATCH)
        some = [(key, one.at) for key, one in first if key[0] == connection]
        try:
            await self._keep(connection, [_exposure(shown, at) for (_, shown), at in some])
        except ExpplatError as error:
            if not self._is_away:
                log.warning("Exposures wait to be kept: %s", error.message)
            self._is_away = True
            await asyncio.sleep(RETRY_S)
            return
        except Exception:
            # The entry point of a task: one that died unseen would keep nothing ever again.
            log.exception("%d exposures are not kept.", len(some))
        self._is_away = False
        self._settle([key for key, _ in some])

    def _settle(self, keys: list[_Key]) -> None:
        for key in keys:
            self._seen[key] = None
            kept = self._waiting.pop(key).kept
            if not kept.done():
                kept.set_result(None)
        while len(self._seen) > MAX_SEEN:
            self._seen.popitem(last=False)


def _exposure(shown: Shown, at: datetime) -> Incoming:
    event = {
        "experiment": shown.tracking_key,
        "variation": shown.variation,
        "unit": shown.unit,
        # Stated, so that one that had to wait still happened when it did.
        "timestamp": at.isoformat(),
        "feature": shown.flag,
        "source": "ofrep",
    }
    return Incoming(kind="exposure", event=event)

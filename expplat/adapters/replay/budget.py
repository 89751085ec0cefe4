"""What a replay may cost, counted by all of its worker processes together."""

from __future__ import annotations

import math
import os
import threading
import time
from array import array
from pathlib import Path
from types import TracebackType
from typing import Self

from expplat.domain.replay import Limits

FILE = "budget.f8"
"""In the replay's folder: one float of 8 bytes for earlier runs, then one for each slot, in USD."""

CELL = 8
MOST_SLOTS = 4_096


def prepare(folder: Path, slots: int, spent_usd: float) -> None:
    """Begin the count of a run anew; called once, before any of its workers starts.

    Args:
        folder: The replay's own.
        slots: Worker processes that there will be, at most 4,096.
        spent_usd: What earlier runs have spent, by their journals; at least 0.

    Raises:
        ValueError: If a number is out of range.
        OSError: If the folder cannot be written.
    """
    if not 0 <= slots <= MOST_SLOTS:
        raise ValueError(f"a budget has 0 to {MOST_SLOTS} slots, not {slots}")
    cells = array("d", [_amount(spent_usd), *([0.0] * slots)])
    fresh = folder / f"{FILE}.{os.getpid()}"
    fresh.write_bytes(cells.tobytes())
    # Renamed, not emptied: a worker of an earlier run that is still about writes into the old one.
    fresh.replace(folder / FILE)


class Budget:
    """Adds up what the workers of one replay spend, and says when it is enough.

    Each worker writes its own slot of a small file in the replay's folder, and sums all of them:
    nobody waits for anybody. A replay that is stopped so has spent at most what the calls cost
    that were under way. A worker that takes another's place takes its slot too, and adds to what
    stands there; what a call cost that never reached the journal is known to this run alone.

    The file is seen by those who see the folder. On a cluster whose nodes share it through a
    network file system, a node learns of the others as late as that file system tells it; nodes
    that share no folder each count for themselves, and may together spend as many times the budget.
    """

    def __init__(
        self, folder: Path, slot: int, limits: Limits, *, spent_usd: float, started: float
    ) -> None:
        """Open the count; begin one where `prepare` was not called here, as on another node.

        Args:
            folder: The replay's own.
            slot: Number of this worker among those of its replay, from 0.
            limits: How far the run goes.
            spent_usd: What earlier runs have spent; counts only where there is no file yet.
            started: When the run began, in seconds of this machine's `time.monotonic`.

        Raises:
            ValueError: If a number is out of range.
            OSError: If the folder cannot be written.
        """
        if not 0 <= slot < MOST_SLOTS:
            raise ValueError(f"a slot lies between 0 and {MOST_SLOTS - 1}, not at {slot}")
        self._limits = limits
        self._started = started
        self._place = CELL * (1 + slot)
        self._lock = threading.Lock()
        self._file = _opened(folder / FILE, _amount(spent_usd))
        own = os.pread(self._file, CELL, self._place)
        self._own = array("d", own)[0] if len(own) == CELL else 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what was spent stays in it."""
        os.close(self._file)

    def spend(self, usd: float) -> None:
        """Count what a call has cost; from any thread.

        Raises:
            ValueError: If it is not finite, or below 0.
        """
        amount = _amount(usd)
        with self._lock:
            self._own += amount
            os.pwrite(self._file, array("d", [self._own]).tobytes(), self._place)

    def spent_usd(self) -> float:
        """Return what all workers have spent, earlier runs included."""
        return sum(array("d", os.pread(self._file, CELL * (1 + MOST_SLOTS), 0)))

    def over(self) -> str:
        """Return which budget is spent, in one sentence; empty while none is."""
        usd, minutes = self._limits.budget_usd, self._limits.budget_minutes
        if usd is not None and (spent := self.spent_usd()) >= usd:
            after = f"after {self._minutes():.1f} minutes"
            return f"The budget of {usd:g} USD is spent: {spent:.4f} USD {after}."
        if minutes is not None and (passed := self._minutes()) >= minutes:
            cost = f"{self.spent_usd():.4f} USD were spent"
            return f"The budget of {minutes:g} minutes is over: {cost} in {passed:.1f} minutes."
        return ""

    def _minutes(self) -> float:
        return (time.monotonic() - self._started) / 60


def _amount(usd: float) -> float:
    if not (math.isfinite(usd) and usd >= 0):
        raise ValueError(f"what is spent is a finite number of 0 or above, not {usd}")
    return float(usd)


def _opened(path: Path, spent_usd: float) -> int:
    """Open the file; whoever makes it puts what earlier runs have spent into its first cell."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    os.pwrite(descriptor, array("d", [spent_usd]).tobytes(), 0)
    return descriptor

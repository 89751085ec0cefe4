"""Clocks that tests hold in their hands."""

from __future__ import annotations

import itertools
from collections.abc import Callable

from expplat.adapters.replay.calls import Clock


def step_clock() -> Clock:
    """Return a clock that is a 1,024th of a second later at each look: exact in binary."""
    return Clock(_ticking(), _ticking())


def _ticking() -> Callable[[], float]:
    ticks = itertools.count()
    return lambda: next(ticks) / 1024

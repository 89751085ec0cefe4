"""Which exposures were recorded already: the first counts, so the others need not be sent."""

from __future__ import annotations

import threading
from collections import OrderedDict

from expplat.client._facts import Shown

MAX_REMEMBERED = 100_000


class Recorded:
    """The newest exposures, up to a bound; one that was forgotten is sent again, and harmless."""

    def __init__(self, bound: int = MAX_REMEMBERED) -> None:
        self._bound = bound
        self._shown: OrderedDict[Shown, None] = OrderedDict()
        self._lock = threading.RLock()

    def is_new(self, shown: Shown) -> bool:
        """Remember an exposure; false if it was remembered before."""
        with self._lock:
            if shown in self._shown:
                self._shown.move_to_end(shown)
                return False
            self._shown[shown] = None
            if len(self._shown) > self._bound:
                self._shown.popitem(last=False)
            return True

    def forget(self, shown: Shown) -> None:
        """It could not be kept after all."""
        with self._lock:
            self._shown.pop(shown, None)

    def release_after_fork(self) -> None:
        """Another thread may have held the lock, and it is not here to give it back."""
        self._lock = threading.RLock()

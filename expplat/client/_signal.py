"""A `threading.Event` that may be set from a signal handler, wherever the handler broke in."""

from __future__ import annotations

import contextlib
from queue import Empty, SimpleQueue


class Signal:
    """Wakes threads that wait for it, and stays set until it is cleared.

    An event has a lock in it: set from a handler that interrupted its own setting, it would wait
    for itself. The `put` of this queue has none, and a fork finds none held.
    """

    def __init__(self) -> None:
        self._tokens: SimpleQueue[None] = SimpleQueue()

    def is_set(self) -> bool:
        """Whether a wait would return at once."""
        return not self._tokens.empty()

    def set(self) -> None:
        """Wake whoever waits, and whoever will."""
        if not self.is_set():
            self._tokens.put(None)

    def clear(self) -> None:
        """Make the next wait wait."""
        with contextlib.suppress(Empty):
            while True:
                self._tokens.get_nowait()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is set; false if time was over first."""
        try:
            self._tokens.get(timeout=timeout_s)
        except Empty:
            return False
        # For the others who wait, too.
        self.set()
        return True

"""Wakes the streams when there is something new to send."""

from __future__ import annotations

import asyncio


class Bell:
    """Rung from any thread, heard by every stream of the event loop."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._next_ring = asyncio.Event()
        self.is_over = False
        """Whether the server is closing, so that streams must end."""

    def hang(self) -> None:
        """Attach it to the running event loop; before that, nobody listens."""
        self._loop = asyncio.get_running_loop()

    def ring(self) -> None:
        """Wake everyone; safe in threads and in signal handlers."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    def end(self) -> None:
        """Wake everyone for the last time."""
        self.is_over = True
        self.ring()

    def next_ring(self) -> asyncio.Event:
        """Return what the next ring sets; ask before you look at what may have changed."""
        return self._next_ring

    def _wake(self) -> None:
        rung, self._next_ring = self._next_ring, asyncio.Event()
        rung.set()

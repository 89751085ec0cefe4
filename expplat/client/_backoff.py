"""How long to wait before trying again: long enough that a crowd of clients is no storm."""

from __future__ import annotations

from collections.abc import Callable
from random import SystemRandom

# Of the system, for a forked process would otherwise draw what its parent draws.
_DRAW = SystemRandom().random

_CROWD_ATTEMPT = 5
"""A stream that was up is lost by every client in the same moment, so waits begin wide."""


class Backoff:
    """Waits drawn evenly from a window that doubles with each attempt (full jitter)."""

    def __init__(self, first_s: float, longest_s: float, draw: Callable[[], float] = _DRAW) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._draw = draw
        self._attempt = 0

    def wait_s(self, at_least_s: float = 0.0) -> float:
        """Return how long to wait now; each call is one more attempt.

        Args:
            at_least_s: What the server asks for. The window begins there: waits cut off at it
                would bring everybody back in the same moment.
        """
        window_s = min(self._longest_s, self._first_s * 2.0**self._attempt)
        self._attempt = min(self._attempt + 1, 60)
        return at_least_s + window_s * self._draw()

    def lost_stream(self) -> None:
        """A connection that was good has ended: the next wait is one of a crowd's."""
        self._attempt = _CROWD_ATTEMPT

    def succeeded(self) -> None:
        """What was tried has worked: begin anew."""
        self._attempt = 0

"""The client's one outer guard: whatever goes wrong inside, the host service goes on."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

logger = logging.getLogger("expplat.client")

EVERY_S = 60.0
"""The same complaint is logged once a minute, however often it has reason to be."""

P = ParamSpec("P")
T = TypeVar("T")


class Complaints:
    """Warnings for the log, each kind of them once a minute, and the newest for `stats()`."""

    def __init__(self) -> None:
        self.newest: str | None = None
        self._last: dict[str, float] = {}
        # A signal may interrupt a thread that holds it, and complain itself.
        self._lock = threading.RLock()

    def about(self, kind: str, message: str, *, error: BaseException | None = None) -> None:
        """Log a warning, unless one of its kind was logged within the last minute."""
        self.newest = message
        now = time.monotonic()
        with self._lock:
            if now - self._last.get(kind, -EVERY_S) < EVERY_S:
                return
            self._last[kind] = now
        logger.warning("%s", message, exc_info=error)

    def release_after_fork(self) -> None:
        """Another thread may have held the lock, and it is not here to give it back."""
        self._lock = threading.RLock()


def attempt(owner: object, place: str, action: Callable[[], T], default: Callable[[], T]) -> T:
    """Do something that must not harm the host: where it fails, log why, and take the default.

    Args:
        owner: Its `complaints` hear of a failure.
        place: What the log calls it.
        action: What is done.
        default: Gives what is returned instead.
    """
    try:
        return action()
    except Exception as error:  # noqa: BLE001  (the one outer guard: the host must go on)
        _complain(owner, place, error)
        return default()


def guarded(default: Callable[[], T]) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make a method of an object with `complaints` never raise: it returns the default instead."""

    def decorate(method: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(method)
        def guarded_method(*args: P.args, **kwargs: P.kwargs) -> T:
            return attempt(args[0], method.__name__, lambda: method(*args, **kwargs), default)

        return guarded_method

    return decorate


def _complain(owner: object, place: str, error: BaseException) -> None:
    complaints = getattr(owner, "complaints", None)
    if isinstance(complaints, Complaints):
        message = f"expplat.client failed inside `{place}`; the service goes on: {error!r}"
        complaints.about(f"{place} {type(error).__name__}", message, error=error)

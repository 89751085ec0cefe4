"""How a process ends or doubles: normally, by SIGTERM, by a fork; clients are told of each."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from types import FrameType
from typing import Protocol


class Ending(Protocol):
    """Whoever wants to know."""

    def end(self, timeout_s: float) -> None:
        """Finish within the time; never raise."""

    def after_fork(self) -> None:
        """Forget what belongs to the parent process; never raise."""


EXIT_S = 5.0
"""How long the end of a process is held up at most, by all clients together."""

# Held until they are closed: a client that a service keeps no hold of has events to send too.
_open: set[Ending] = set()


def watch(client: Ending, *, handle_sigterm: bool) -> None:
    """Tell a client of the end of the process, and of forks."""
    _open.add(client)
    is_main = threading.current_thread() is threading.main_thread()
    # Whoever handles it already knows better what to do first, and exits normally.
    if handle_sigterm and is_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_sigterm)


def forget(client: Ending) -> None:
    """Tell it nothing any more."""
    _open.discard(client)


def _end_all() -> None:
    deadline = time.monotonic() + EXIT_S
    for client in tuple(_open):
        client.end(max(0.0, deadline - time.monotonic()))


def _on_sigterm(number: int, _frame: FrameType | None) -> None:
    _end_all()
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    # The first process of a container is spared by the kernel.
    os._exit(128 + number)


def _after_fork() -> None:
    for client in tuple(_open):
        client.after_fork()


atexit.register(_end_all)
os.register_at_fork(after_in_child=_after_fork)

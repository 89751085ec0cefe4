"""A thread that does one thing again and again."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from expplat.errors import ExpplatError

log = logging.getLogger("expplat.api")


class Ticker:
    """Calls `work` every so many seconds, in a thread of its own, until it is stopped."""

    def __init__(self, name: str, every_s: float, work: Callable[[], object]) -> None:
        self._every_s = every_s
        self._work = work
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin; the first call comes after one interval."""
        self._thread.start()

    def stop(self, patience_s: float) -> None:
        """Let no further call begin, and wait so long for the present one."""
        self._stopped.set()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while not self._stopped.wait(self._every_s):
            try:
                self._work()
            except ExpplatError as error:
                log.warning("%s: %s %s", self._thread.name, error.message, error.hint)
            except Exception:
                # The entry point of a thread: one that died unseen would leave a test unwatched.
                log.exception("%s failed; it goes on.", self._thread.name)

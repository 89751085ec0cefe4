"""The newest revision that was served, on disk: dates go on after a restart where they ended."""

from __future__ import annotations

import json
import logging
from pathlib import Path

from expplat.adapters.durable import replace_file
from expplat.adapters.growthbook.payload import Served

log = logging.getLogger("expplat.api")


class ServedFile:
    """A file in the state folder; without it a payload is dated by the histories alone."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> Served | None:
        """Return what was kept; None where there is nothing that can be read."""
        try:
            stored = json.loads(self._file.read_bytes())
            return Served(int(stored["revision"]), str(stored["content"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, served: Served) -> None:
        """Write it down; where that cannot be done, it is told and that is all."""
        try:
            replace_file(self._file, json.dumps(served._asdict()))
        except OSError as error:
            log.warning("The date of the flags cannot be kept in %s: %s", self._file.parent, error)

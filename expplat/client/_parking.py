"""Where events lie that the server would not even read, for people to look at."""

from __future__ import annotations

import json
import os
from pathlib import Path

from expplat.client._private_file import must_be_ours


def park(path: Path, value: object, *, at_most: int) -> bool:
    """Append a line to a file that its owner alone can read; false if the file is full.

    Raises:
        OSError: If it cannot be written.
        UntrustedFileError: If somebody else could have written it.
    """
    line = json.dumps(value).encode("ascii") + b"\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    with open(os.open(path, flags, 0o600), "ab") as file:
        status = os.fstat(file.fileno())
        must_be_ours(status)
        if status.st_size + len(line) > at_most:
            return False
        file.write(line)
    return True

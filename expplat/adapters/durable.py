"""What is written must outlive a power cut: a file's name is as durable as its folder."""

from __future__ import annotations

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows which files the folder holds.

    Raises:
        OSError: If it cannot be opened or written.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

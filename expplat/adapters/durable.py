"""What is written must outlive a power cut: a file's name is as durable as its folder."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def replace_file(place: Path, content: str) -> None:
    """Write a file that only its owner may read; on disk, whole, when this returns.

    Whoever reads it meanwhile finds the old one or the new one. Its folder is made where there is
    none.

    Raises:
        OSError: If it cannot be written; then it is as it was.
    """
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        descriptor = os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        fresh.replace(place)
    finally:
        fresh.unlink(missing_ok=True)
    sync_folder(place.parent)


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

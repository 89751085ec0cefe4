"""Files that are believed only if nobody else can have written them."""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from pathlib import Path


class UntrustedFileError(Exception):
    """A file that somebody else could have written, or that is no file."""


def make_private_folder(folder: Path) -> None:
    """Make a folder that only its owner can look into; one that is there stays as it is.

    Raises:
        OSError: If it cannot be made.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def must_be_private_folder(folder: Path) -> None:
    """Check that nobody else can have put files into a folder.

    Raises:
        OSError: If it is a link, of another owner, or open to others.
    """
    status = os.lstat(folder)
    is_folder = stat.S_ISDIR(status.st_mode)
    if not is_folder or status.st_uid != os.geteuid() or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is open to others")


def read_private(path: Path, at_most: int) -> bytes | None:
    """Return what a file holds; None if there is none.

    Raises:
        UntrustedFileError: If it is a symbolic link, no regular file, too large, of another owner,
            or open to writing for others.
        OSError: If it cannot be read.
    """
    try:
        # Without waiting: what lies there may be a pipe that nobody writes to.
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(file, "rb") as opened:
        must_be_ours(os.fstat(file))
        if os.fstat(file).st_size > at_most:
            raise UntrustedFileError("it is too large")
        return opened.read(at_most + 1)


def must_be_ours(status: os.stat_result) -> None:
    """Check that nobody else can have written a file.

    Raises:
        UntrustedFileError: If somebody could.
    """
    if not stat.S_ISREG(status.st_mode):
        raise UntrustedFileError("it is no regular file")
    if status.st_uid != os.geteuid():
        raise UntrustedFileError("it belongs to another user")
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UntrustedFileError("others may write to it")


def write_private(path: Path, content: bytes) -> None:
    """Put a file in the place of another, whole or not at all, also through a power cut.

    Raises:
        OSError: If it cannot be written.
    """
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(draft, flags, 0o600), "wb") as opened:
            opened.write(content)
            opened.flush()
            os.fsync(opened.fileno())
        os.replace(draft, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(draft)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Wait until the disk knows which files a folder holds.

    Raises:
        OSError: If it cannot be opened or written.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

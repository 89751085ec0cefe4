"""Reads a file into memory, if it is one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from expplat.errors import InputError, NotFoundError

MEGABYTE = 1_000_000


def read_regular_file(path: Path, limit: int = MEGABYTE) -> bytes:
    """Return the bytes of a regular file.

    A pipe would wait for ever and a device may never end, so neither is opened for reading.

    Args:
        path: A file, or a link to one.
        limit: The largest size allowed, in bytes.

    Raises:
        NotFoundError: If nothing is there.
        InputError: If it is not a regular file, is larger than the limit, or cannot be read.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb", closefd=True) as file:
            _require_regular(path, os.fstat(descriptor).st_mode)
            content = file.read(limit + 1)
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {str(path)!r}.", hint="Look at the path.") from None
    except IsADirectoryError:
        raise _refused(path, "is a folder") from None
    except OSError as error:
        raise _refused(path, f"cannot be read: {error.strerror}") from None
    except ValueError:
        raise _refused(path, "has a NUL in its name") from None
    if len(content) > limit:
        raise InputError(
            f"{str(path)!r} is larger than {limit:,} bytes.",
            hint="Put what is large into a file of its own, and its path here.",
        )
    return content


def _require_regular(path: Path, mode: int) -> None:
    if not stat.S_ISREG(mode):
        raise _refused(path, "is a folder" if stat.S_ISDIR(mode) else "is a pipe or a device")


def _refused(path: Path, what: str) -> InputError:
    return InputError(f"{str(path)!r} {what}.", hint="Name a regular file.")

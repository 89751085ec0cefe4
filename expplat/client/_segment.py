"""One file of the spool: lines are appended by one process, and read by whoever holds its lock.

The lock tells whether the writer lives: a file that can be locked belongs to a process that is
gone, and may be adopted. How far it was sent is kept in a file beside it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import uuid
from dataclasses import dataclass
from pathlib import Path

from expplat.client._private_file import (
    UntrustedFileError,
    must_be_ours,
    sync_folder,
    write_private,
)

SUFFIX = ".jsonl"
SENT_SUFFIX = ".sent"


@dataclass(frozen=True, slots=True)
class Batch:
    """Events read from a segment."""

    events: tuple[tuple[str, object], ...]
    """Kind and event of each sound line."""

    corrupt: int
    """Lines that were no event."""

    end: int
    """The offset after the last line."""


class Segment:
    """An open, locked file of events."""

    def __init__(self, path: Path, file: int, size: int, sent: int) -> None:
        self.path = path
        self.size = size
        """Bytes of whole lines whose append is over, however it ended."""

        self.sent = sent
        """Bytes of lines that the server has."""

        self.is_sealed = False
        """Nothing more is appended."""

        self._file = file
        self._is_dirty = False
        self._is_new = False

    @classmethod
    def create(cls, folder: Path) -> Segment:
        """Make a new file for this process.

        Raises:
            OSError: If it cannot be made.
        """
        name = uuid.uuid4().hex
        # Locked before it has its name: nobody may take it for a dead process's.
        draft, path = folder / f".{name}", folder / f"{name}{SUFFIX}"
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(draft, flags, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(draft, path)
        except OSError:
            os.close(file)
            raise
        segment = cls(path, file, 0, 0)
        segment._is_new = True
        return segment

    @classmethod
    def adopt(cls, path: Path) -> Segment | None:
        """Take over the file of a process that is gone; None while it lives, or if it is done.

        Raises:
            OSError: If it cannot be read.
            UntrustedFileError: If somebody else could have written it.
        """
        flags = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        file = os.open(path, flags)
        try:
            must_be_ours(os.fstat(file))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another may have sent and removed it between our opening and locking.
            if os.fstat(file).st_ino != os.stat(path).st_ino:
                raise FileNotFoundError(path)
            segment = cls(path, file, _whole_lines(file, os.fstat(file).st_size), 0)
        except (OSError, UntrustedFileError) as error:
            os.close(file)
            if isinstance(error, BlockingIOError | FileNotFoundError):
                return None
            raise
        segment.sent = segment._read_sent()
        segment.is_sealed = True
        return segment

    @property
    def is_done(self) -> bool:
        """Whether every line was sent."""
        return self.sent >= self.size

    def append(self, lines: bytes) -> None:
        """Write whole lines in one call to the system, so that not even a kill loses them.

        A signal handler may break it off at any point, or append something itself in the middle:
        what counts is what the file holds afterwards.

        Raises:
            OSError: If the disk is full or broken; then none of them is kept.
        """
        start, written = os.fstat(self._file).st_size, 0
        if start != _whole_lines(self._file, start):
            # Half a line that was broken off; ours would become the rest of it.
            lines = b"\n" + lines
        try:
            while written < len(lines):
                written += os.write(self._file, lines[written:])
        except OSError:
            if written and os.fstat(self._file).st_size == start + written:
                os.ftruncate(self._file, start)
            raise
        finally:
            self._is_dirty = True
            self._count()

    def seal(self) -> None:
        """Append nothing more from now on."""
        self._count()
        self.is_sealed = True

    def _count(self) -> None:
        if self._file < 0:
            return
        size = _whole_lines(self._file, os.fstat(self._file).st_size)
        # Whoever interrupted this very line may have counted more already.
        if size > self.size:
            self.size = size

    def sync(self) -> None:
        """Wait until the disk has what was appended, and knows that there is such a file."""
        if self._is_dirty and self._file >= 0:
            self._is_dirty = False
            os.fsync(self._file)
        if self._is_new:
            self._is_new = False
            sync_folder(self.path.parent)

    def read(self, max_events: int, max_bytes: int) -> Batch:
        """Return the first events that were not sent; at least one, where there is one."""
        content = os.pread(self._file, min(max_bytes, self.size - self.sent), self.sent)
        lines = content.split(b"\n")[:-1][:max_events]
        events = [event for event in map(_event_of, lines) if event is not None]
        end = self.sent + sum(len(line) + 1 for line in lines)
        if not lines:
            # Longer than any event: no line of ours. The next one begins after its end.
            end = self.sent + len(content)
        return Batch(tuple(events), max(1, len(lines)) - len(events), end)

    def advance(self, end: int) -> None:
        """Keep in mind, through a crash, that everything up to there was sent.

        Raises:
            OSError: If a crash would forget it; nothing is lost, for the server knows every id.
        """
        self.sent = end
        # After `close` the file is somebody else's.
        if self._file >= 0:
            write_private(self._sent_path, str(end).encode())

    def remove(self) -> None:
        """Delete it, and forget how far it was sent."""
        for path in (self.path, self._sent_path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        self.close()

    def close(self) -> None:
        """Let it go, for the next process to adopt."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    @property
    def _sent_path(self) -> Path:
        return self.path.with_suffix(SENT_SUFFIX)

    def _read_sent(self) -> int:
        try:
            offset = int(self._sent_path.read_bytes())
        except (OSError, ValueError):
            # Sent again from the start; the server knows every id.
            return 0
        return offset if 0 <= offset <= self.size else 0


def _whole_lines(file: int, size: int) -> int:
    """The size without a line that was cut off by the end of its writer."""
    position = size
    while position > 0:
        start = max(0, position - 4_096)
        found = os.pread(file, position - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        position = start
    return 0


def _event_of(line: bytes) -> tuple[str, object] | None:
    try:
        kind, event = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    return (kind, event) if kind in ("exposures", "outcomes") and isinstance(event, dict) else None

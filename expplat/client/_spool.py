"""Events on disk until the server has them: one file a process, and those that the dead left."""

from __future__ import annotations

import threading
from pathlib import Path

from expplat.client._guard import Complaints
from expplat.client._private_file import UntrustedFileError, make_private_folder
from expplat.client._segment import SUFFIX, Segment

SEGMENT_BYTES = 8_000_000


class Spool:
    """Where the calls of a service leave events, and where the sender finds them."""

    def __init__(
        self,
        folder: Path,
        complaints: Complaints,
        *,
        limit_bytes: int,
        sync: bool = False,
        segment_bytes: int = SEGMENT_BYTES,
    ) -> None:
        self.dropped = 0
        """Events that found no place."""

        self.appended = 0
        self._folder = folder
        self._complaints = complaints
        self._limit_bytes = limit_bytes
        self._sync = sync
        self._segment_bytes = segment_bytes
        self._others_bytes = 0
        self._segments: tuple[Segment, ...] = ()
        # A signal handler may run in the middle of an append of its own thread.
        self._lock = threading.RLock()

    @property
    def unsent_bytes(self) -> int:
        """Of this process, and of the dead whose files it adopted."""
        return sum(segment.size - segment.sent for segment in self._segments)

    def append(self, lines: list[bytes]) -> bool:
        """Keep events; false if there is no place for them.

        When it returns they outlive this process; with `sync` they outlive the machine's power.
        """
        content = b"".join(lines)
        with self._lock:
            try:
                self._must_have_room(len(content))
                segment = self._open_segment()
                segment.append(content)
                if self._sync:
                    segment.sync()
            except OSError as error:
                self.dropped += len(lines)
                self._complaints.about("spool", f"Events are dropped, in {self._folder}: {error}.")
                return False
            self.appended += len(lines)
        return True

    def sync(self) -> None:
        """Wait until the disk has everything; for the background, once a moment."""
        for segment in self._segments:
            segment.sync()

    def first_unsent(self) -> Segment | None:
        """Return the oldest segment with something to send; those that are done are removed."""
        for segment in self._segments:
            if not segment.is_done:
                return segment
            self._drop_if_over(segment)
        return None

    def adopt(self) -> None:
        """Take over the files of processes that are gone."""
        held = {segment.path for segment in self._segments}
        others_bytes = 0
        for path in sorted(self._folder.glob(f"*{SUFFIX}")):
            if path in held:
                continue
            try:
                others_bytes += path.stat().st_size
                segment = Segment.adopt(path)
            except (OSError, UntrustedFileError) as error:
                self._complaints.about("adopt", f"{path} cannot be sent: {error}.")
                continue
            if segment is not None:
                with self._lock:
                    self._segments = (segment, *self._segments)
        self._others_bytes = others_bytes

    def close(self) -> None:
        """Let every file go; one that is done is removed."""
        with self._lock:
            for segment in self._segments:
                segment.sync()
                segment.seal()
                if segment.is_done:
                    segment.remove()
                segment.close()
            self._segments = ()

    def leave_to_parent(self) -> None:
        """Forget the files of the process that this one was forked from; they are its own."""
        self._lock = threading.RLock()
        for segment in self._segments:
            segment.close()
        self._segments = ()

    def _must_have_room(self, more: int) -> None:
        if self.unsent_bytes + self._others_bytes + more > self._limit_bytes:
            raise OSError(f"{self._limit_bytes} bytes of them wait there already")

    def _open_segment(self) -> Segment:
        newest = self._segments[-1] if self._segments else None
        if newest is not None and not newest.is_sealed:
            if newest.size < self._segment_bytes:
                return newest
            newest.seal()
        make_private_folder(self._folder)
        segment = Segment.create(self._folder)
        self._segments = (*self._segments, segment)
        return segment

    def _drop_if_over(self, segment: Segment) -> None:
        # Locked, so that nothing is appended between these questions and the removal.
        with self._lock:
            if not (segment.is_sealed and segment.is_done):
                return
            self._segments = tuple(held for held in self._segments if held is not segment)
        segment.remove()

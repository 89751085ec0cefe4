"""Server-sent events, read from bytes as they arrive."""

from __future__ import annotations

from dataclasses import dataclass

MAX_LINE_BYTES = 5_000_100
"""A payload of the largest size, and the name of its field."""


class StreamError(Exception):
    """A stream that is not read any further."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name, and its data with lines joined."""

    name: str
    data: bytes


class EventReader:
    """Cuts a stream into events. Lines may have any length up to the limit."""

    def __init__(self) -> None:
        self.retry_s = 0.0
        """What the server asked to wait at least before coming back."""

        self._parts: list[bytes] = []
        self._length = 0
        self._name = "message"
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[Event]:
        """Return the events that are complete with this chunk.

        Raises:
            StreamError: If a line is too long.
        """
        self._length += len(chunk)
        self._parts.append(chunk)
        if b"\n" not in chunk:
            self._must_be_short(self._length)
            return []
        *lines, rest = b"".join(self._parts).split(b"\n")
        self._parts, self._length = [rest], len(rest)
        for line in (*lines, rest):
            self._must_be_short(len(line))
        events = [self._take(line.removesuffix(b"\r")) for line in lines]
        return [event for event in events if event is not None]

    def _must_be_short(self, length: int) -> None:
        if length > MAX_LINE_BYTES:
            raise StreamError(f"a line is over {MAX_LINE_BYTES} bytes")

    def _take(self, line: bytes) -> Event | None:
        if not line:
            return self._dispatch()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._must_be_short(sum(map(len, self._data)))
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"retry" and value.isdigit() and len(value) < 8:
            self.retry_s = min(int(value) / 1000, 60.0)
        return None

    def _dispatch(self) -> Event | None:
        event = Event(self._name, b"\n".join(self._data)) if self._data else None
        self._name, self._data = "message", []
        return event

"""One event as it came over the wire, read field by field; every refusal has a code."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from expplat.domain.online import NO_PROPERTIES
from expplat.flow.event_times import Arrival, Moment, parse_instant

MAX_PROPERTIES_BYTES = 32_768
"""Of an event: names and texts in UTF-8, with eight for every other value."""

MAX_DEPTH = 16
MAX_TEXT = 500

MAX_TEXT_BYTES = 1_000
"""Of a text in UTF-8: a row of PostgreSQL's indexes holds 2,704, and two texts stand in one."""

MAX_BITS = 1100
"""Of a whole number: no float has more than 1,024, and JSON itself knows no limit."""

_BROKEN = re.compile("[\0\ud800-\udfff]")
"""PostgreSQL keeps no NUL, and UTF-8 has no lone surrogates."""


class EventError(Exception):
    """An event that is not taken; it never leaves the ingestion, and its neighbours are kept."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.field = field
        self.message = message


class EventFields:
    """The fields of one event; whatever is read of them is safe to store.

    Args:
        event: A JSON value of any kind.

    Raises:
        EventError: If it is no object.
    """

    __slots__ = ("fields",)

    def __init__(self, event: object) -> None:
        if not isinstance(event, dict):
            raise EventError("bad_type", "", "An event is a JSON object.")
        self.fields: dict[str, Any] = event

    @staticmethod
    def printable_id(event: object) -> str | None:
        """Return the id of an event that may be broken in any way; None where it has none."""
        value = event.get("id") if isinstance(event, dict) else None
        if isinstance(value, str) and len(value) <= MAX_TEXT and is_storable_text(value):
            return value
        return None

    def text(self, field: str, *, missing_code: str = "missing_field") -> str:
        """Return a field that must be a string of 1 to 500 characters, of at most 1,000 bytes."""
        value = self.fields.get(field)
        if value is None:
            raise EventError(missing_code, field, f"`{field}` is missing.")
        return _text(value, field)

    def optional_text(self, field: str) -> str | None:
        """Return a field that is such a string, or absent or null."""
        value = self.fields.get(field)
        return None if value is None else _text(value, field)

    def number(self, field: str, default: float) -> float:
        """Return a field that is a finite number or a boolean; the default where it is absent."""
        value = self.fields.get(field)
        if value is None:
            return default
        if not isinstance(value, int | float):
            raise EventError("bad_type", field, f"`{field}` must be a number or a boolean.")
        try:
            return float(value)
        except OverflowError as error:
            raise EventError("bad_value", field, f"`{field}` is too large a number.") from error

    def integer(self, field: str) -> int | None:
        """Return a field that is an integer, or absent or null."""
        value = self.fields.get(field)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int):
            raise EventError("bad_type", field, f"`{field}` must be an integer.")
        return value

    def moment(self, field: str, arrival: Arrival) -> Moment:
        """Return when a field says that it happened; where it is absent, the arrival.

        Raises:
            EventError: If it is no RFC 3339 time with its zone, or by our clock over a day ahead or
                older than events may be.
        """
        value = self.fields.get(field)
        if value is None:
            return Moment(None, arrival.received_at)
        moment = self.stated_moment(field, arrival)
        if moment is None:
            message = f"`{field}` must be a time with its zone, such as 2026-01-31T12:00:00Z."
            raise EventError("bad_timestamp", field, message)
        if moment.at > arrival.latest:
            raise EventError("in_future", field, f"`{field}` is more than 24 hours ahead.")
        if moment.at < arrival.earliest:
            days = arrival.max_age.days
            raise EventError("too_old", field, f"`{field}` is more than {days} days ago.")
        return moment

    def stated_moment(self, field: str, arrival: Arrival) -> Moment | None:
        """Return when a field says that it happened, however long ago; None where it does not."""
        stated_at = parse_instant(self.fields.get(field))
        try:
            return None if stated_at is None else Moment(stated_at, arrival.corrected(stated_at))
        except OverflowError:
            return None

    def properties(self, known: frozenset[str]) -> Mapping[str, Any]:
        """Return the `properties` of the event, and beside them its fields of other names.

        Raises:
            EventError: If they are too large, too deep, or hold what no database keeps.
        """
        if self.fields.keys() <= known:
            return NO_PROPERTIES
        stated = self.fields.get("properties")
        if stated is not None and not isinstance(stated, dict):
            raise EventError("bad_type", "properties", "`properties` must be an object.")
        unknown = {k: v for k, v in self.fields.items() if k not in known and k != "properties"}
        found = unknown | (stated or {})
        _must_be_storable(found)
        return found


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        # Languages write 0, false and 1.0 in different ways, and would hash them so.
        raise EventError("bad_type", field, f"`{field}` must be a string.")
    if not 1 <= len(value) <= MAX_TEXT:
        raise EventError("bad_value", field, f"`{field}` must have 1 to {MAX_TEXT} characters.")
    if not is_storable_text(value):
        raise EventError("bad_value", field, f"`{field}` holds a broken character.")
    if not value.isascii() and len(value.encode()) > MAX_TEXT_BYTES:
        message = f"`{field}` must have at most {MAX_TEXT_BYTES} bytes in UTF-8."
        raise EventError("bad_value", field, message)
    return value


def _is_plainly_storable(properties: dict[str, Any]) -> bool:
    """Whether a glance is enough: plain values, and at most one object of them among these."""
    texts: list[str] = []
    seen = 0
    for fields in (properties, *(v for v in properties.values() if type(v) is dict)):
        texts += fields
        seen += len(fields)
        for value in fields.values():
            kind = type(value)
            if kind is str:
                texts.append(value)
            elif not _is_small(value, kind) and (kind is not dict or fields is not properties):
                return False
    joined = "".join(texts)
    # A character has up to four bytes.
    return 4 * len(joined) + 8 * seen <= MAX_PROPERTIES_BYTES and is_storable_text(joined)


def _is_small(value: Any, kind: type) -> bool:
    if kind is float:
        return math.isfinite(value)
    if kind is int:
        return bool(value.bit_length() <= MAX_BITS)
    return kind is bool or value is None


def _must_be_storable(properties: dict[str, Any]) -> None:
    if _is_plainly_storable(properties):
        return
    # A loop, not a recursion: the depth is the sender's choice.
    waiting: list[tuple[object, str, int]] = [(v, k, 1) for k, v in properties.items()]
    _must_be_text(properties, "")
    size = _size_of_names(properties)
    while waiting:
        value, field, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise EventError("bad_value", _named(field), f"It is nested over {MAX_DEPTH} deep.")
        if isinstance(value, dict):
            _must_be_text(value, field)
            size += _size_of_names(value)
            waiting.extend((item, field, depth + 1) for item in value.values())
        elif isinstance(value, list):
            waiting.extend((item, field, depth + 1) for item in value)
        size += _size_of_leaf(value, field)
        if size > MAX_PROPERTIES_BYTES:
            message = f"The properties of an event have at most {MAX_PROPERTIES_BYTES} bytes."
            raise EventError("event_too_large", "", message)


def _must_be_text(names: Mapping[str, Any], field: str) -> None:
    if not all(is_storable_text(name) for name in names):
        raise EventError("bad_value", _named(field), "A field name holds a broken character.")


def _size_of_names(names: Mapping[str, Any]) -> int:
    return sum(len(name.encode()) for name in names)


def _size_of_leaf(value: object, field: str) -> int:
    if isinstance(value, str):
        if not is_storable_text(value):
            raise EventError("bad_value", _named(field), "It holds a broken character.")
        return len(value.encode())
    if isinstance(value, float) and not math.isfinite(value):
        raise EventError("bad_value", _named(field), "It is not a finite number.")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise EventError("bad_value", _named(field), "It is too large a number.")
    return 8


def is_storable_text(text: str) -> bool:
    """Whether every database can keep a text."""
    if text.isascii():
        return "\0" not in text
    return _BROKEN.search(text) is None


def _named(field: str) -> str:
    return field[:100] if is_storable_text(field) else ""

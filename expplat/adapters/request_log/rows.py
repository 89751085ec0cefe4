"""Makes requests of raw rows: the columns by our names, every value of its type."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from expplat.adapters.request_log.files import parsed
from expplat.adapters.request_log.logged import TEXTS, logged_of, place_of, put, systems_in
from expplat.adapters.request_log.raw import ROW_BYTES, Faulty, Raw
from expplat.domain.proposal_rules.request_fields import (
    FIELDS_HINT,
    OBJECTS,
    is_request_field,
)
from expplat.errors import Fault

MOST_SHAPES = 64
"""Sets of columns that are remembered; the rows of most logs have one."""

_TRUTH = {"true": True, "false": False, "1": True, "0": False}

_ENCODER = json.JSONEncoder(
    sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
)
"""Writes the form that `canonical_json` gives, of values that are plain already."""


class Row(NamedTuple):
    """A row that was looked at."""

    request_id: str
    """Empty where it has none."""

    content: bytes
    """The canonical form; empty where there are faults."""

    faults: tuple[Fault, ...] = ()


class _Column(NamedTuple):
    """Where the value of a column goes."""

    ours: str
    field: str
    part: str
    theirs: str


class RowReader:
    """Reads the rows of one log."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._mapped = dict(columns)
        self._shapes: dict[tuple[str, ...], list[_Column]] = {}
        self.faults = tuple(
            Fault(
                line=0,
                field=f"request_log.columns.{ours}",
                message="A request has no such field.",
                hint=FIELDS_HINT,
            )
            for ours in columns
            if not is_request_field(ours)
        )
        """Of the mapping itself."""

    def columns(self, names: Iterable[str]) -> tuple[list[str], list[Fault]]:
        """Return which columns of a file are read, and the faults of its header."""
        names = list(names)
        fields = {column.field for column in self._shape(tuple(names))}
        faults = [
            Fault(line=1, field=ours, message=f"There is no column {theirs!r}.")
            for ours, theirs in self._mapped.items()
            if theirs not in names
        ]
        mapped = {ours.partition(".")[0] for ours in self._mapped}
        faults += [
            _no_column(field)
            for field in ("request_id", "input")
            if field not in fields and field not in mapped
        ]
        return list(dict.fromkeys(each.theirs for each in self._shape(tuple(names)))), faults

    def read(self, raw: Raw | Faulty) -> Row:
        """Return the canonical form of a row, or its faults."""
        if isinstance(raw, Faulty):
            return Row("", b"", raw.faults)
        faults: list[Fault] = []
        values = self._gathered(raw, faults)
        request_id = _text(values, "request_id", raw.line, faults)
        request = {
            "answerable": _truth(values, raw, faults),
            "cluster": _text(values, "cluster", raw.line, faults),
            "expected": _object(values, "expected", raw.line, faults),
            "input": _object(values, "input", raw.line, faults),
            "request_id": request_id,
            "segment": _segment(values, raw.line, faults),
        }
        if "logged" in values and (logged := logged_of(values["logged"], raw.line, faults)):
            request["logged"] = logged
        if "request_id" not in values or "input" not in values:
            faults += _missing(values, raw.line)
        if faults:
            return Row(request_id or "", b"", tuple(faults))
        return _canonical(request, raw.line)

    def _shape(self, names: tuple[str, ...]) -> list[_Column]:
        """Return what these columns hold, whole fields before their parts."""
        found = self._shapes.get(names)
        if found is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.clear()
            found = self._shapes[names] = [
                _Column(ours, ours.partition(".")[0], ours.partition(".")[2], theirs)
                for ours, theirs in sorted(
                    self._places(names).items(), key=lambda item: (item[0].count("."), item[0])
                )
            ]
        return found

    def _places(self, names: tuple[str, ...]) -> dict[str, str]:
        """Return the column of each field: as mapped, else the one of the field's own name."""
        taken = set(self._mapped.values())
        own = {name: name for name in names if is_request_field(name) and name not in taken}
        return {**own, **{ours: theirs for ours, theirs in self._mapped.items() if theirs in names}}

    def _gathered(self, raw: Raw, faults: list[Fault]) -> dict[str, Any]:
        """Return the row's values by field, columns of a field's parts put into it."""
        values: dict[str, Any] = {}
        for column in self._shape(tuple(raw.values)):
            value = raw.values[column.theirs]
            if value is None or (raw.is_text and value == ""):
                continue
            if isinstance(value, str) and (raw.is_text or column.ours in OBJECTS):
                value = _from_text(column, value, raw, faults)
            if column.field == "logged":
                _put_logged(values, column, value, raw.line, faults)
            elif not column.part:
                values[column.field] = value
            elif isinstance(whole := values.setdefault(column.field, {}), dict):
                values[column.field] = {**whole, column.part: value}
        return values


def _put_logged(
    values: dict[str, Any], column: _Column, value: Any, line: int, faults: list[Fault]
) -> None:
    systems = values.setdefault("logged", {})
    if column.part:
        put(systems, place_of(column.part), value)
    elif isinstance(value, dict):
        systems.update(systems_in(value))
    else:
        _object({"logged": value}, "logged", line, faults)


def _no_column(field: str) -> Fault:
    return Fault(
        line=1,
        field=field,
        message=f"No column holds {field}.",
        hint=_mapping_hint(field),
    )


def _mapping_hint(field: str) -> str:
    ours = "input.question" if field == "input" else field
    return f"Name the one that does under request_log.columns, such as `{ours}: …`."


def _from_text(column: _Column, value: str, raw: Raw, faults: list[Fault]) -> Any:
    """Return what a text holds: JSON where the field is an object, or looks like it."""
    field, part = column.field, column.part
    looks_like_json = field == "expected" and value.lstrip()[:1] in ("[", "{")
    if field == "logged" and part:
        return _recorded(place_of(part), value)
    if field not in OBJECTS or (part and not looks_like_json):
        return value
    try:
        return parsed(value)
    except ValueError as error:
        if part:
            return value
        what = "The cell is" if raw.is_text else "It is text, and"
        message = f"{what} not JSON: {error}."
        faults.append(
            Fault(line=raw.line, field=column.ours, message=message, hint=_mapping_hint(field))
        )
        return {}


def _recorded(place: tuple[str, ...], value: str) -> Any:
    """Return what a cell holds of a recorded answer."""
    field = place[1] if len(place) > 1 else ""
    if field in TEXTS:
        return value
    if field == "refused":
        return _TRUTH.get(value.strip().lower(), value)
    try:
        return parsed(value)
    except ValueError:
        return value


def _text(values: Mapping[str, Any], field: str, line: int, faults: list[Fault]) -> str | None:
    value = values.get(field)
    if value is None or (isinstance(value, str) and value):
        return value
    found = "empty" if value == "" else f"{_kind(value)}, not text"
    hint = "" if value == "" else "Put it in quotes, or cast it to text in a query."
    faults.append(Fault(line=line, field=field, message=f"It is {found}.", hint=hint))
    return None


def _object(
    values: Mapping[str, Any], field: str, line: int, faults: list[Fault]
) -> dict[str, Any]:
    value = values.get(field, {})
    if isinstance(value, dict):
        return value
    message = f"It is {_kind(value)}, not an object."
    hint = f"Its parts may be columns of their own, such as `{field}.<name>: …`."
    faults.append(Fault(line=line, field=field, message=message, hint=hint))
    return {}


def _kind(value: Any) -> str:
    return f"a {type(value).__name__}"


def _truth(values: Mapping[str, Any], raw: Raw, faults: list[Fault]) -> bool | None:
    value = values.get("answerable")
    if raw.is_text and isinstance(value, str):
        value = _TRUTH.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    message = f"It is {str(value)[:40]!r}, not true or false."
    faults.append(Fault(line=raw.line, field="answerable", message=message))
    return None


def _segment(values: Mapping[str, Any], line: int, faults: list[Fault]) -> dict[str, str]:
    """Return the segment; numbers and booleans as text, what has no value left out."""
    found = {}
    for key, value in _object(values, "segment", line, faults).items():
        if isinstance(value, str):
            found[key] = value
        elif isinstance(value, bool | int | float) and math.isfinite(value):
            found[key] = str(value).lower().removesuffix(".0")
        elif value is not None:
            message = f"It is {value if isinstance(value, float) else _kind(value)}, not text."
            faults.append(Fault(line=line, field=f"segment.{key}", message=message))
    return found


def _missing(values: Mapping[str, Any], line: int) -> list[Fault]:
    return [
        Fault(line=line, field=field, message="It is missing.", hint=_mapping_hint(field))
        for field in ("request_id", "input")
        if field not in values
    ]


def _canonical(request: dict[str, Any], line: int) -> Row:
    try:
        content = _ENCODER.encode(request).encode()
    except UnicodeEncodeError:
        message = "A text holds half a character (a lone surrogate)."
    except ValueError:
        message = "A number is not finite."
    except RecursionError:
        message = "It is nested too deeply."
    else:
        if len(content) <= ROW_BYTES:
            return Row(request["request_id"], content)
        message = f"It is over {ROW_BYTES:,} bytes long."
    return Row(request["request_id"], b"", (Fault(line=line, field="", message=message),))

"""Makes requests of raw rows: the columns by our names, every value of its type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from expplat.adapters.request_files import parsed
from expplat.adapters.request_raw import ROW_BYTES, Faulty, Raw
from expplat.domain.plain import canonical_json
from expplat.domain.request import Request
from expplat.errors import Fault

FIELDS = ("request_id", "input", "expected", "answerable", "cluster", "segment")
"""The fields of a request."""

OBJECTS = ("input", "expected", "segment")
"""Fields that hold fields, each of which may come from a column of its own: `input.question`."""

_TRUTH = {"true": True, "false": False, "1": True, "0": False}


class RowReader:
    """Reads the rows of one log; it remembers every id, and where it stood."""

    def __init__(self, columns: Mapping[str, str]) -> None:
        self._mapped = dict(columns)
        self._seen: dict[str, str] = {}
        self.faults = tuple(
            Fault(
                line=0,
                field=f"request_log.columns.{ours}",
                message="A request has no such field.",
                hint=f"There are {', '.join(FIELDS)}, and input.<name>, expected.<name>, "
                "segment.<name>.",
            )
            for ours in columns
            if not _is_field(ours)
        )
        """Of the mapping itself."""

    def columns(self, names: Iterable[str]) -> tuple[list[str], list[Fault]]:
        """Return which columns of a file are read, and the faults of its header."""
        names = list(names)
        places = self._places(names)
        faults = [
            Fault(line=1, field=ours, message=f"There is no column {theirs!r}.")
            for ours, theirs in self._mapped.items()
            if theirs not in names
        ]
        if "request_id" not in places and "request_id" not in self._mapped:
            faults.append(_no_column("request_id"))
        if not any(ours.partition(".")[0] == "input" for ours in [*places, *self._mapped]):
            faults.append(_no_column("input"))
        return list(dict.fromkeys(places.values())), faults

    def read(self, raw: Raw, within: str) -> bytes | Faulty:
        """Return the canonical form of a row, or its faults."""
        faults: list[Fault] = []
        values = self._gathered(raw, faults)
        request = Request(
            request_id=_text(values, "request_id", raw.line, faults) or "",
            input=_object(values, "input", raw.line, faults),
            expected=_object(values, "expected", raw.line, faults),
            answerable=_truth(values, raw, faults),
            cluster=_text(values, "cluster", raw.line, faults),
            segment=_object(values, "segment", raw.line, faults),
        )
        faults += _missing(values, raw.line)
        faults += _bad_segment(request, raw.line)
        faults += self._duplicate(request.request_id, f"{within}line {raw.line}", raw.line)
        if faults:
            return Faulty(tuple(faults))
        return _canonical(request, raw.line)

    def _places(self, names: Iterable[str]) -> dict[str, str]:
        """Return the column of each field: as mapped, else the one of the field's own name."""
        taken = set(self._mapped.values())
        own = {name: name for name in names if _is_field(name) and name not in taken}
        return {**own, **{ours: theirs for ours, theirs in self._mapped.items() if theirs in names}}

    def _gathered(self, raw: Raw, faults: list[Fault]) -> dict[str, Any]:
        """Return the row's values by field, columns of a field's parts put into it."""
        values: dict[str, Any] = {}
        places = self._places(raw.values)
        for ours in sorted(places, key=lambda name: (name.count("."), name)):
            value = raw.values[places[ours]]
            if value is None or (raw.is_text and value == ""):
                continue
            field, _, part = ours.partition(".")
            if raw.is_text:
                value = _from_text(ours, value, raw.line, faults)
            if not part:
                values[field] = value
            elif isinstance(whole := values.setdefault(field, {}), dict):
                values[field] = {**whole, part: value}
        return values

    def _duplicate(self, request_id: str, place: str, line: int) -> list[Fault]:
        if not request_id:
            return []
        before = self._seen.setdefault(request_id, place)
        if before == place:
            return []
        message = f"{request_id[:100]!r} stands on {before} already."
        return [Fault(line=line, field="request_id", message=message, hint="Ids are unique.")]


def _is_field(name: str) -> bool:
    field, dot, part = name.partition(".")
    return field in OBJECTS and bool(part) if dot else name in FIELDS


def _no_column(field: str) -> Fault:
    return Fault(
        line=1,
        field=field,
        message=f"No column holds {field}.",
        hint=f"Name the one that does under request_log.columns, such as `{field}: …`.",
    )


def _from_text(ours: str, value: str, line: int, faults: list[Fault]) -> Any:
    """Return what a cell of a CSV file holds: JSON where the field is one or looks like it."""
    field, _, part = ours.partition(".")
    looks_like_json = field == "expected" and value.lstrip()[:1] in ("[", "{")
    if field not in OBJECTS or (part and not looks_like_json):
        return value
    try:
        return parsed(value)
    except ValueError as error:
        if part:
            return value
        faults.append(Fault(line=line, field=ours, message=f"The cell is not JSON: {error}."))
        return {}


def _text(values: Mapping[str, Any], field: str, line: int, faults: list[Fault]) -> str | None:
    value = values.get(field)
    if value is None or (isinstance(value, str) and value):
        return value
    found = "empty" if value == "" else f"a {type(value).__name__}, not text"
    faults.append(Fault(line=line, field=field, message=f"It is {found}."))
    return None


def _object(
    values: Mapping[str, Any], field: str, line: int, faults: list[Fault]
) -> dict[str, Any]:
    value = values.get(field, {})
    if isinstance(value, dict):
        return value
    message = f"It is a {type(value).__name__}, not an object."
    faults.append(Fault(line=line, field=field, message=message))
    return {}


def _truth(values: Mapping[str, Any], raw: Raw, faults: list[Fault]) -> bool | None:
    value = values.get("answerable")
    if raw.is_text and isinstance(value, str):
        value = _TRUTH.get(value.strip().lower(), value)
    if value is None or isinstance(value, bool):
        return value
    message = f"It is {str(value)[:40]!r}, not true or false."
    faults.append(Fault(line=raw.line, field="answerable", message=message))
    return None


def _missing(values: Mapping[str, Any], line: int) -> list[Fault]:
    return [
        Fault(line=line, field=field, message="It is missing.")
        for field in ("request_id", "input")
        if field not in values
    ]


def _bad_segment(request: Request, line: int) -> list[Fault]:
    return [
        Fault(line=line, field=f"segment.{key}", message="It is not text.")
        for key, value in request.segment.items()
        if not isinstance(value, str)
    ]


def _canonical(request: Request, line: int) -> bytes | Faulty:
    try:
        content = canonical_json(request)
    except UnicodeEncodeError:
        message = "A text holds half a character (a lone surrogate)."
    except ValueError as error:
        message = f"{str(error)[:100].capitalize()}."
    except RecursionError:
        message = "It is nested too deeply."
    else:
        if len(content) <= ROW_BYTES:
            return content
        message = f"It is over {ROW_BYTES:,} bytes long."
    return Faulty((Fault(line=line, field="", message=message),))

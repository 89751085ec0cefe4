"""Checks plain data against a dataclass, and says in plain words what does not fit."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, Generic, TypeVar

import pydantic
from pydantic_core import ErrorDetails

from expplat.domain.proposal_rules import Finding, Path, shown

T = TypeVar("T")

KINDS = {
    "string_type": "a text",
    "bool_type": "true or false",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "decimal_type": "a number",
    "decimal_parsing": "a number",
    "finite_number": "a finite number",
    "dict_type": "a mapping of names to values",
    "dataclass_type": "a mapping of names to values",
    "tuple_type": "a list",
}
"""What is wanted, by the type of pydantic's error."""

LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}
"""The name of the limit in pydantic's error, and how to say it."""

MOST_DETAILS = 1_000
"""Errors that are put into words; a file with more has other troubles."""

YES_AND_NO = frozenset({"yes", "no", "on", "off", "y", "n"})

EITHER = "a name or a declaration"
EITHER_HINT = "Write the name of a built-in metric, or a mapping that declares your own."

Words = tuple[str, str]
"""A message and a hint."""


class Structure(Generic[T]):
    """One dataclass, as the shape of a file.

    Args:
        kind: The dataclass.
        schema: Its JSON Schema, where another than pydantic's own is published: what it says of a
            field becomes the hint of a fault.
    """

    def __init__(self, kind: type[T], schema: Mapping[str, Any] | None = None) -> None:
        self._adapter = pydantic.TypeAdapter(kind)
        self._schema = self._adapter.json_schema() if schema is None else schema

    def check(self, data: Mapping[str, Any]) -> tuple[T | None, list[Finding]]:
        """Return the value that the data describe; None and every fault where they do not."""
        try:
            return self._adapter.validate_json(json.dumps(data), strict=True), []
        except pydantic.ValidationError as error:
            details = error.errors(include_url=False)
        findings: dict[Path, Finding] = {}
        for detail in details[:MOST_DETAILS]:
            for finding in self._findings(detail, data):
                findings.setdefault(finding.path, finding)
        return None, list(findings.values())

    def _findings(self, detail: ErrorDetails, data: Mapping[str, Any]) -> Iterator[Finding]:
        path, alternative = self._path(detail["loc"])
        if _is_echo(detail):
            return
        if alternative:
            chosen = _value_at(data, path[: detail["loc"].index(alternative)])
            if isinstance(chosen, str if alternative != "str" else Mapping):
                return
            if not isinstance(chosen, str | Mapping):
                yield Finding(path, f"It must be {EITHER}, not {_named(chosen)}.", EITHER_HINT)
                return
        if detail["type"] == "unexpected_keyword_argument":
            yield Finding(path, f"There is no field {shown(path[-1])}.", self._meant(path), True)
        else:
            yield Finding(path, *self._words(path, detail))

    def _path(self, place: tuple[str | int, ...]) -> tuple[Path, str]:
        """Return the field that an error is about, and which alternative of a union it tried.

        Pydantic tries every alternative and puts its name into the place of the error.
        """
        path: list[str | int] = []
        alternative = ""
        for part in place:
            if not alternative and _is_union(self._at(tuple(path))):
                alternative = str(part)
            else:
                path.append(part)
        return tuple(path), alternative

    def _words(self, path: Path, detail: ErrorDetails) -> Words:
        kind, found, context = detail["type"], detail["input"], detail.get("ctx", {})
        if kind == "missing":
            return f"`{path[-1]}` is missing.", self._description(path)
        if kind in KINDS:
            return self._wrong_kind(path, KINDS[kind], found)
        if kind in LIMITS:
            name, words = LIMITS[kind]
            message = f"It must be {words} {context[name]:.12g}, not {shown(found)}."
            return message, self._description(path)
        if kind in ("enum", "literal_error"):
            return f"{shown(found)} is not one of the choices.", self._choices(path, found)
        return self._wrong_length(path, found, context)

    def _wrong_kind(self, path: Path, wanted: str, found: object) -> Words:
        if found is None:
            return f"It is empty; it must be {wanted}.", self._description(path)
        hint = self._description(path)
        if wanted == "a text" and not isinstance(found, list | dict):
            hint = "Put it in quotes."
        elif wanted == "true or false" and str(found).lower() in YES_AND_NO:
            hint = "Write true or false; yes, no, on and off are texts."
        elif wanted == "a list":
            hint = "Begin each entry with a dash, or write [a, b]; an empty list is []."
        elif wanted.endswith("number") and isinstance(found, str):
            hint = "Write digits alone, without quotes, unit, comma or per cent sign."
        return f"It must be {wanted}, not {_named(found)}.", hint

    def _wrong_length(self, path: Path, found: object, context: Mapping[str, Any]) -> Words:
        if not found:
            return "It is empty.", self._description(path)
        what = "characters" if isinstance(found, str) else "entries"
        if "min_length" in context:
            return f"It has fewer than {context['min_length']} {what}.", self._description(path)
        if "max_length" in context:
            return f"It has more than {context['max_length']} {what}.", self._description(path)
        return "It cannot be read as what belongs here.", self._description(path)

    def _description(self, path: Path) -> str:
        """Return the docstring of a field, or of what it holds, as a hint."""
        place = self._at(path)
        own = place.get("description") or self._resolved(place).get("description", "")
        return " ".join(str(own).split())

    def _meant(self, path: Path) -> str:
        names = list(self._resolved(self._at(path[:-1])).get("properties", ()))
        near = difflib.get_close_matches(str(path[-1])[:100], names, n=1)
        return f"Did you mean `{near[0]}`?" if near else f"Known here are: {', '.join(names)}."

    def _choices(self, path: Path, found: object) -> str:
        choices = [str(choice) for choice in self._resolved(self._at(path)).get("enum", ())]
        near = difflib.get_close_matches(str(found)[:100], choices, n=1)
        return f"Did you mean `{near[0]}`?" if near else f"The choices are {', '.join(choices)}."

    def _at(self, path: Path) -> Mapping[str, Any]:
        """Return the part of the schema that describes a field."""
        place: Mapping[str, Any] = self._schema
        for part in path:
            inside = self._resolved(place)
            if isinstance(part, int):
                place = inside.get("items", {})
            else:
                place = inside.get("properties", {}).get(part, {})
        return place

    def _resolved(self, place: Mapping[str, Any]) -> Mapping[str, Any]:
        """Follow a reference; of alternatives take the one that has fields."""
        for choice in (place, *place.get("anyOf", ())):
            if "$ref" in choice:
                definition = self._schema["$defs"][choice["$ref"].rpartition("/")[2]]
                return definition if isinstance(definition, dict) else {}
        return place


def _is_union(place: Mapping[str, Any]) -> bool:
    choices = [choice for choice in place.get("anyOf", ()) if choice.get("type") != "null"]
    return len(choices) > 1


def _is_echo(detail: ErrorDetails) -> bool:
    """Tell whether a list is called too short only because its entries have faults."""
    least = int(detail.get("ctx", {}).get("min_length", 0))
    return detail["type"] == "too_short" and len(detail["input"]) >= least


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        data = data[part]
    return data


def _named(value: object) -> str:
    """Return what a value is, for a person."""
    match value:
        case None:
            return "nothing"
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case str():
            return f"the text {shown(value)}"
        case bool():
            return "true" if value else "false"
    return f"the number {shown(value)}"

"""Rules of targeting: will every official SDK read the condition alike, and at what cost?

The language is GrowthBook's, less what its SDKs do not agree on or what has no bounded cost. A
condition that an SDK does not know is passed over, so that a test would be open to everybody;
hence whatever is not known here is a fault.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from expplat.domain.proposal_rules.finding import LONGEST_LIST, Finding, Findings, Path, near, shown

JUNCTIONS = ("$and", "$or", "$nor")
"""They join conditions."""

ORDERINGS = ("$lt", "$lte", "$gt", "$gte")
"""They compare two numbers or two texts."""

VERSIONS = ("$veq", "$vne", "$vlt", "$vlte", "$vgt", "$vgte")
"""They compare version numbers, which are texts."""

MOST_LEVELS = 5
"""Mappings inside one another, the outermost counted."""

MOST_LEAVES = 50
"""Comparisons in one condition."""

LONGEST_TEXT = 200
"""Characters of a text that is compared."""

LONGEST_CONDITION = 8_000
"""Characters of the whole as JSON: every client is sent it."""

LARGEST_EXACT = 2**53 - 1
"""Beyond it, languages that know floats alone read another whole number."""

SEGMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
"""Of one part of the dotted path to an attribute."""

INHERITED = frozenset({
    "constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString",
    "toString", "valueOf", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__",
    "__lookupSetter__",
})  # fmt: skip
"""Names that everything has in JavaScript, whether a unit has the attribute or not."""

INHERITED_BY_LISTS = frozenset({
    "length", "at", "concat", "copyWithin", "entries", "every", "fill", "filter", "find",
    "findIndex", "findLast", "findLastIndex", "flat", "flatMap", "forEach", "includes", "indexOf",
    "join", "keys", "lastIndexOf", "map", "pop", "push", "reduce", "reduceRight", "reverse",
    "shift", "slice", "some", "sort", "splice", "toReversed", "toSorted", "toSpliced", "unshift",
    "values", "with",
})  # fmt: skip
"""Names that a list has in JavaScript."""

VERSION = re.compile(r"v?[0-9]+(\.[0-9]+){0,3}(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?")

_PLACE: Path = ("online", "targeting")
_EXAMPLE = "Write it as in country: {$in: [CH, DE]}."
_LEFT_OUT = {
    "$regex": "SDKs read patterns differently; list the values with $in.",
    "$regexi": "SDKs read patterns differently; list the values with $in.",
    "$all": "Join one $elemMatch for each value with $and.",
    "$inGroup": "Groups live in another system; list the values with $in.",
    "$notInGroup": "Groups live in another system; list the values with $nin.",
    "$where": "Code is not run; compare attributes.",
}
"""What else people may write, and what to write instead."""


def targeting_faults(targeting: Mapping[str, Any]) -> Findings:
    """Yield what is not a condition, or would not be read alike; an empty one admits everybody."""
    if not targeting:
        return
    yield from _condition_faults(targeting, _PLACE, 1)
    leaves = _leaves(targeting, 1)
    if leaves > MOST_LEAVES:
        yield Finding(
            _PLACE,
            f"It makes {leaves:,} comparisons; at most {MOST_LEAVES} are read.",
            "Let the service compute one attribute that says who is meant.",
        )
    size = len(json.dumps(targeting, ensure_ascii=False, default=str))
    if size > LONGEST_CONDITION:
        yield Finding(
            _PLACE,
            f"It is {size:,} characters long; every client would be sent them.",
            f"Keep it to {LONGEST_CONDITION:,}; an attribute of the service may hold the rest.",
        )


def kinds_of(test: Mapping[str, Any]) -> frozenset[str]:
    """Return the types, `string` or `number`, that a value must have to be tested so.

    No more than one in a condition without a fault.
    """
    versions = {"string" for operator in test if operator in VERSIONS}
    orders = {
        "string" if isinstance(operand, str) else "number"
        for operator, operand in test.items()
        if operator in ORDERINGS
    }
    return frozenset(versions | orders)


def _condition_faults(condition: object, path: Path, level: int) -> Findings:
    if not isinstance(condition, Mapping):
        yield Finding(path, f"{shown(condition)} is not a condition.", _EXAMPLE)
        return
    if not condition:
        yield Finding(path, "The condition is empty.", "Take it out, or name an attribute.")
    if level > MOST_LEVELS:
        yield _too_deep(path)
        return
    for key, value in condition.items():
        place = (*path, key)
        if key in JUNCTIONS:
            yield from _junction_faults(value, place, level)
        elif key == "$not":
            yield from _condition_faults(value, place, level + 1)
        elif key.startswith("$"):
            yield _unknown(key, place, (*JUNCTIONS, "$not"))
        else:
            yield from _name_faults(key, place)
            yield from _test_faults(value, place, level + 1)


def _junction_faults(conditions: object, path: Path, level: int) -> Findings:
    if not isinstance(conditions, list | tuple) or not conditions:
        yield Finding(
            path, "It joins nothing.", f"Write a list of conditions: {path[-1]}: [{{…}}]."
        )
        return
    yield from _too_long(conditions, path)
    for position, condition in enumerate(conditions[:LONGEST_LIST]):
        yield from _condition_faults(condition, (*path, position), level + 1)


def _name_faults(name: str, path: Path) -> Findings:
    parts = name.split(".")
    inherited = INHERITED & set(parts) or INHERITED_BY_LISTS & set(parts[1:])
    if not all(SEGMENT.fullmatch(part) for part in parts) or len(parts) > MOST_LEVELS:
        yield Finding(
            path,
            f"{shown(name)} is not the name of an attribute.",
            "Write a name such as country or plan.tier: ASCII letters, digits, _ and -.",
        )
    elif inherited:
        yield Finding(
            path,
            f"{shown(min(inherited))} means something of its own in JavaScript.",
            "Send the attribute under another name.",
        )


def _test_faults(test: object, path: Path, level: int) -> Findings:
    """Yield what is wrong with what is asked of one value: operators, or a value that it equals."""
    if not isinstance(test, Mapping):
        yield from _value_faults(test, path)
        return
    if not test:
        yield Finding(path, "Nothing is asked of it.", _EXAMPLE)
    if level > MOST_LEVELS:
        yield _too_deep(path)
        return
    if len(kinds_of(test)) > 1:
        yield Finding(
            path, "Nothing is a text and a number at once.", "Compare it with one kind of value."
        )
    for operator, operand in test.items():
        place = (*path, operator)
        if operator in ("$not", "$elemMatch"):
            yield from _inner_test_faults(operand, place, level)
        elif operator in _OPERANDS:
            yield from _OPERANDS[operator](operand, place)
        else:
            yield _unknown(operator, place, OPERATORS)


def _inner_test_faults(test: object, path: Path, level: int) -> Findings:
    if isinstance(test, Mapping):
        yield from _test_faults(test, path, level + 1)
    else:
        yield Finding(path, "It takes operators.", f"Write {path[-1]}: {{$eq: …}}.")


def _value_faults(value: object, path: Path) -> Findings:
    if value is None:
        yield Finding(
            path, "Nothing is compared with null.", "Ask for a missing one by {$exists: false}."
        )
    elif isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            yield Finding(
                path, f"The text has {len(value):,} characters.", f"{LONGEST_TEXT} at most."
            )
    elif isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > LARGEST_EXACT:
            yield Finding(path, f"{value} is not read alike everywhere.", "Compare texts instead.")
    else:
        yield Finding(path, "It is compared with one text, number or truth value.", _EXAMPLE)


def _ordered_faults(value: object, path: Path) -> Findings:
    if isinstance(value, bool):
        yield Finding(path, "Truth values have no order.", "Write {$eq: true}.")
    else:
        yield from _value_faults(value, path)


def _version_faults(value: object, path: Path) -> Findings:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT or not VERSION.fullmatch(value):
        yield Finding(
            path, f"{shown(value)} is not a version.", 'Write it in quotes, such as "2.10.0".'
        )


def _list_faults(values: object, path: Path) -> Findings:
    if not isinstance(values, list | tuple) or not values:
        yield Finding(path, "It takes a list of values.", f"Write {path[-1]}: [a, b].")
        return
    yield from _too_long(values, path)
    for position, value in enumerate(values[:LONGEST_LIST]):
        yield from _value_faults(value, (*path, position))


def _flag_faults(value: object, path: Path) -> Findings:
    if not isinstance(value, bool):
        yield Finding(path, f"{shown(value)} is not true or false.", "Write true or false.")


def _size_faults(value: object, path: Path) -> Findings:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST_EXACT:
        yield Finding(path, f"{shown(value)} is not a number of entries.", "Write 0, 1, 2 or more.")


_OPERANDS: dict[str, Callable[[object, Path], Findings]] = {
    "$eq": _value_faults,
    "$ne": _value_faults,
    "$in": _list_faults,
    "$nin": _list_faults,
    "$exists": _flag_faults,
    "$size": _size_faults,
    **dict.fromkeys(ORDERINGS, _ordered_faults),
    **dict.fromkeys(VERSIONS, _version_faults),
}

OPERATORS = (*_OPERANDS, "$not", "$elemMatch")
"""What may be asked of a value."""


def _too_long(values: list[Any] | tuple[Any, ...], path: Path) -> Findings:
    if len(values) > LONGEST_LIST:
        yield Finding(path, f"It has {len(values):,} entries.", f"Keep it to {LONGEST_LIST}.")


def _too_deep(path: Path) -> Finding:
    return Finding(
        path,
        f"It is nested deeper than {MOST_LEVELS} levels.",
        "Let the service compute one attribute that says who is meant.",
    )


def _unknown(operator: str, path: Path, known: tuple[str, ...]) -> Finding:
    if operator in OPERATORS:
        hint = f"Write it under an attribute: country: {{{operator}: …}}."
    elif operator in JUNCTIONS:
        hint = "It joins conditions, and stands where an attribute could stand."
    else:
        hint = _LEFT_OUT.get(operator) or near(operator, known)
    return Finding(path, f"{shown(operator)} is not an operator here.", hint, is_about_key=True)


def _leaves(value: object, level: int) -> int:
    """Count the comparisons, down to the deepest level that is read."""
    if not isinstance(value, Mapping) or level > MOST_LEVELS:
        return 1
    below = 0
    for key, inner in value.items():
        inners = inner if key in JUNCTIONS and isinstance(inner, list | tuple) else [inner]
        below += sum(_leaves(each, level + 1) for each in inners)
    return below

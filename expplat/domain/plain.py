"""Domain values to plain JSON and back, and the one canonical form that hashes are taken of."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import math
import types
import typing
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, TypeVar

T = TypeVar("T")

READ_STRICTLY = {"extra": "forbid", "use_attribute_docstrings": True, "strict": True}
"""How the file reader checks a class that users write: no unknown field, no silent conversion."""


def to_plain(value: Any) -> Any:
    """Turn a domain value into dicts, lists, strings, numbers, booleans and None.

    What a class declares as a float is written as one, so that 5 and 5.0, which are equal, have
    one form and one hash.

    Raises:
        ValueError: If a number is not finite; a missing statistic is None, never NaN.
    """
    return _plain(value, Any)


def from_plain(kind: type[T], plain: Any) -> T:
    """Turn what `to_plain` made back into a value of the given type; unknown keys are dropped."""
    return typing.cast(T, _read(kind, plain))


def canonical_json(value: Any) -> bytes:
    """Return the one form that is hashed: keys sorted, no blanks, UTF-8, finite numbers only."""
    return json.dumps(
        to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_of(value: Any) -> str:
    """Return the SHA-256 of bytes as they are, or of any other value's canonical form, in hex."""
    content = value if isinstance(value, bytes) else canonical_json(value)
    return hashlib.sha256(content).hexdigest()


def _plain(value: Any, hint: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        hints = _hints(type(value))
        return {name: _plain(getattr(value, name), hints[name]) for name in hints}
    if isinstance(value, typing.Mapping):
        inner = _hint_of_items(hint, -1)
        return {str(key): _plain(item, inner) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        inner = _hint_of_items(hint, 0)
        return [_plain(item, inner) for item in value]
    return _scalar(float(value) if type(value) is int and _admits_float(hint) else value)


def _hint_of_items(hint: Any, place: int) -> Any:
    """Return what a collection's type says of its items; Any where it says nothing."""
    if typing.get_origin(hint) is typing.Annotated:
        return _hint_of_items(typing.get_args(hint)[0], place)
    stated = typing.get_args(hint)
    return stated[place] if stated else Any


def _admits_float(hint: Any) -> bool:
    if typing.get_origin(hint) in (typing.Annotated, typing.Union, types.UnionType):
        return any(_admits_float(part) for part in typing.get_args(hint))
    return hint is float


def _scalar(value: Any) -> Any:
    match value:
        case enum.Enum():
            return value.value
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="microseconds")
        case float() if not math.isfinite(value):
            raise ValueError(f"{value} is not a finite number")
        case None | str() | bool() | int() | float():
            return value
    raise TypeError(f"{type(value).__name__} has no plain form")


def _read(kind: Any, plain: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _read(typing.get_args(kind)[0], plain)
    if origin in (typing.Union, types.UnionType):
        return _read_union(typing.get_args(kind), plain)
    if origin is tuple:
        return tuple(_read(typing.get_args(kind)[0], item) for item in plain)
    if isinstance(origin, type) and issubclass(origin, typing.Mapping):
        return {key: _read(typing.get_args(kind)[1], item) for key, item in plain.items()}
    return _read_plain_kind(kind, plain)


def _read_plain_kind(kind: Any, plain: Any) -> Any:
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = _hints(kind)
        return kind(**{name: _read(hints[name], plain[name]) for name in hints if name in plain})
    if kind is datetime:
        return datetime.fromisoformat(plain)
    if isinstance(kind, type) and issubclass(kind, (enum.Enum, Decimal, float)):
        return kind(plain)
    return plain


def _read_union(kinds: tuple[Any, ...], plain: Any) -> Any:
    """Read an optional value, or a domain value in whose place a plain one may stand."""
    if plain is None:
        return None
    known = [kind for kind in kinds if kind is not type(None)]
    fitting = [kind for kind in known if dataclasses.is_dataclass(kind) == isinstance(plain, dict)]
    return _read((fitting or known)[0], plain)


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    fields = {f.name for f in dataclasses.fields(kind)}
    hints = typing.get_type_hints(kind, include_extras=True)
    return {name: hint for name, hint in hints.items() if name in fields}

"""What user code may return: an output of a variant, a value of a metric."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from numbers import Real
from typing import Any

from expplat.domain.request import Output

OUTPUT_CHARACTERS = 1_000_000
"""Text and ids of one output together; what is longer is `bad_output`."""

OUTPUT_FIELDS = frozenset(field.name for field in fields(Output))


class BadOutputError(Exception):
    """What user code returned cannot be used."""


def output_of(answer: Any) -> Output:
    """Return what a variant returned as an Output.

    Raises:
        BadOutputError: If it is neither an Output, a text, nor a dict of Output's fields.
    """
    given = _fields_of(answer)
    if not OUTPUT_FIELDS.issuperset(given):
        unknown = ", ".join(sorted(repr(name) for name in given if name not in OUTPUT_FIELDS))
        raise BadOutputError(f"It returned a dict with unknown fields: {unknown}.")
    output = Output(
        text=_text(given.get("text", ""), "text"),
        retrieved=_ids(given.get("retrieved", ())),
        refused=_truth(given.get("refused", False), "refused"),
        confidence=_confidence(given.get("confidence")),
    )
    if len(output.text) + sum(map(len, output.retrieved)) > OUTPUT_CHARACTERS:
        raise BadOutputError(f"It returned over {OUTPUT_CHARACTERS:,} characters.")
    return output


def number_of(value: Any, name: str) -> float | None:
    """Return what a metric returned as a finite number, or None where it does not apply.

    Raises:
        BadOutputError: If it is anything else.
    """
    value = _unboxed(value)
    if value is None:
        return None
    if not isinstance(value, Real):
        raise BadOutputError(f"The metric {name} is a {type(value).__name__}, not a number.")
    number = float(value)
    if not math.isfinite(number):
        raise BadOutputError(f"The metric {name} is {number}, not a finite number.")
    return number


def _fields_of(answer: Any) -> Mapping[Any, Any]:
    match answer:
        case Output():
            return {name: getattr(answer, name) for name in OUTPUT_FIELDS}
        case str():
            return {"text": answer}
        case Mapping():
            return answer
    raise BadOutputError(
        f"It returned a {type(answer).__name__}; an Output, a text or a dict is asked for."
    )


def _ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise BadOutputError(f"`retrieved` is a {type(value).__name__}, not a list of ids.")
    return tuple(_text(found, "retrieved") for found in value)


def _truth(value: Any, name: str) -> bool:
    value = _unboxed(value)
    if not isinstance(value, bool):
        raise BadOutputError(f"`{name}` is a {type(value).__name__}, not true or false.")
    return value


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise BadOutputError(f"`{name}` holds a {type(value).__name__}, not text.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadOutputError(f"`{name}` is not text: it holds half a character.") from None
    return value


def _confidence(value: Any) -> float | None:
    value = _unboxed(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= float(value) <= 1:
        raise BadOutputError(f"`confidence` is {value!r}, not a number from 0 to 1.")
    return float(value)


def _unboxed(value: Any) -> Any:
    """Return the Python value in a scalar of numpy's kind."""
    item = getattr(value, "item", None)
    return item() if callable(item) and getattr(value, "shape", None) == () else value

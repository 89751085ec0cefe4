"""What systems have answered before, as a log tells it: every value of its type, in one form."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from expplat.domain.request import PRODUCTION, ErrorKind
from expplat.errors import Fault

NAME = re.compile(r"\S{1,100}")
"""Of a system: what `use: logged:<system>` can say."""

MESSAGE_CHARACTERS = 300
"""Length to which the words of an error are cut."""

TEXTS = frozenset({"text", "output", "error", "error_message", "model"})
"""Fields that are text, also where they look like something else."""

SHORT_FORM = ("model", "input_tokens", "output_tokens")
"""Fields that stand for one entry of `usages`."""


class _WrongError(Exception):
    """What is wrong with a value, and what to write instead."""


def systems_in(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return recorded answers by system: a flat object is what production answered."""
    is_flat = any(key in FIELDS for key in value)
    if is_flat or not all(isinstance(item, dict) for item in value.values()):
        return {PRODUCTION: dict(value)}
    return dict(value)


def place_of(part: str) -> tuple[str, ...]:
    """Return where a column `logged.<part>` goes: system, field, and the stage of a stage's time.

    The name of a system may hold dots, as `gpt-3.5` does; without one it is production.
    """
    before, stages, stage = f".{part}".partition(".stages_ms.")
    if stages:
        return (before.removeprefix(".") or PRODUCTION, "stages_ms", stage)
    system, _, field = part.rpartition(".")
    return (system or PRODUCTION, field) if field in FIELDS else (part,)


def put(systems: dict[str, Any], place: tuple[str, ...], value: Any) -> None:
    """Put a column's value in its place; what stands there and is no object stays."""
    inside = systems
    for name in place[:-1]:
        inside = inside.setdefault(name, {})
        if not isinstance(inside, dict):
            return
    inside[place[-1]] = value


def logged_of(
    systems: Mapping[str, Any], line: int, faults: list[Fault]
) -> dict[str, dict[str, Any]]:
    """Return what each system answered, checked and in one form; gather the faults."""
    found = {
        system: _answer(answer, f"logged.{system}", line, faults)
        for system, answer in systems.items()
        if _is_sound(system, answer, line, faults)
    }
    return {system: answer for system, answer in found.items() if answer}


def _is_sound(system: str, answer: Any, line: int, faults: list[Fault]) -> bool:
    if not NAME.fullmatch(system):
        message = f"{system[:40]!r} is not the name of a system."
        faults.append(_fault(line, "logged", message, "It has no blanks, and 100 letters at most."))
    elif answer is not None and not isinstance(answer, dict):
        message = f"It is a {type(answer).__name__}, not an object."
        faults.append(_fault(line, f"logged.{system}", message, _FLAT_HINT))
    return isinstance(answer, dict) and NAME.fullmatch(system) is not None


def _answer(answer: Mapping[str, Any], path: str, line: int, faults: list[Fault]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for field, value in answer.items():
        if value is None or (field == "error" and value == ""):
            continue
        try:
            found.update(_read(field, value))
        except _WrongError as wrong:
            faults.append(_fault(line, f"{path}.{field[:40]}", *wrong.args))
    _fold_tokens(found, path, line, faults)
    if "text" in answer and "output" in answer:
        message = "`output` is another word for `text`; both stand here."
        faults.append(_fault(line, f"{path}.output", message, "Take one of them out."))
    return found


def _read(field: str, value: Any) -> dict[str, Any]:
    reader = FIELDS.get(field)
    if reader is None:
        near = difflib.get_close_matches(field[:100], FIELDS, n=1)
        hint = f"Did you mean `{near[0]}`?" if near else f"There are {', '.join(FIELDS)}."
        raise _WrongError("A recorded answer has no such field.", hint)
    if field == "error":
        return _error(_text(value))
    return {"text" if field == "output" else field: reader(value)}


def _error(words: str) -> dict[str, Any]:
    if words in set(ErrorKind):
        return {"error": words}
    return {
        "error": str(ErrorKind.PROVIDER_ERROR),
        "error_message": words[:MESSAGE_CHARACTERS],
    }


def _fold_tokens(found: dict[str, Any], path: str, line: int, faults: list[Fault]) -> None:
    """Turn the short form, one model's tokens, into `usages`."""
    short = {field: found.pop(field) for field in SHORT_FORM if field in found}
    if not short:
        return
    if "usages" in found:
        message = "Tokens stand here twice: in `usages` and beside it."
        faults.append(_fault(line, f"{path}.usages", message, "Take one of them out."))
    elif "model" not in short:
        message = "Tokens of which model?"
        faults.append(_fault(line, f"{path}.model", message, "Name the model beside them."))
    elif len(short) > 1:
        found["usages"] = [_usage(short)]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _WrongError(f"It is {_named(value)}, not text.", "Put it in quotes.")
    return value


def _name(value: Any) -> str:
    if not _text(value).strip():
        raise _WrongError("It is empty.", "Write the name of the model.")
    return str(value)


def _ids(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise _WrongError(f"It is {_named(value)}, not a list of ids.", 'Write ["d1", "d2"].')
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _WrongError(f"It is {_named(value)}, not true or false.", "Write true or false.")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _WrongError(f"It is {_named(value)}, not a number.", "Write digits, without a unit.")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not (math.isfinite(number) and number >= 0):
        raise _WrongError(f"It is {str(value)[:40]}.", "It must be finite, and 0 or more.")
    return number


def _share(value: Any) -> float:
    number = _number(value)
    if number > 1:
        raise _WrongError(f"It is {number:g}.", "A confidence lies between 0 and 1.")
    return number


def _count(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise _WrongError(f"It is {number:g}, not a whole number.", "Tokens are counted.")
    return int(value)


def _stages(value: Any) -> dict[str, float]:
    if not isinstance(value, dict):
        raise _WrongError(f"It is {_named(value)}, not an object.", 'Write {"retrieve": 12.5}.')
    return {str(name): _number(item) for name, item in value.items() if item is not None}


def _usages(value: Any) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise _WrongError(f"It is {_named(value)}, not a list of objects.", _USAGES_HINT)
    return [_usage(item) for item in value]


def _usage(value: Mapping[str, Any]) -> dict[str, Any]:
    unknown = [key for key in value if key not in (*SHORT_FORM, "stage")]
    if unknown or value.get("model") is None:
        raise _WrongError(
            f"{unknown[0][:40]!r} is not known here." if unknown else "A model is missing.",
            _USAGES_HINT,
        )
    return {
        "model": _name(value["model"]),
        "input_tokens": _count(value.get("input_tokens") or 0),
        "output_tokens": _count(value.get("output_tokens") or 0),
        "stage": _text(value.get("stage") or ""),
    }


def _named(value: Any) -> str:
    return f"{value[:40]!r}" if isinstance(value, str) else f"a {type(value).__name__}"


def _fault(line: int, field: str, message: str, hint: str) -> Fault:
    return Fault(line=line, field=field, message=message, hint=hint)


_FLAT_HINT = 'Write {"text": "…", "latency_ms": 310}, or such an object for each system.'
_USAGES_HINT = 'Write [{"model": "m", "input_tokens": 900, "output_tokens": 80}].'

FIELDS: dict[str, Callable[[Any], Any]] = {
    "text": _text,
    "output": _text,
    "retrieved": _ids,
    "refused": _truth,
    "confidence": _share,
    "latency_ms": _number,
    "cost_usd": _number,
    "stages_ms": _stages,
    "error": _text,
    "error_message": _text,
    "usages": _usages,
    "model": _name,
    "input_tokens": _count,
    "output_tokens": _count,
}
"""How each field of a recorded answer is read; `output` is another word for `text`."""

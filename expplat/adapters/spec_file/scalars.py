"""What an unquoted word of a file means: the core schema of YAML 1.2, and nothing of 1.1."""

from __future__ import annotations

import math
import re

NULL = frozenset({"", "~", "null", "Null", "NULL"})
TRUE = frozenset({"true", "True", "TRUE"})
FALSE = frozenset({"false", "False", "FALSE"})
NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
LONGEST = 64
"""Characters of a number; Python's own reading of an integer takes longer than linear time."""

LARGEST_INTEGER = 2**63 - 1
"""What a database column and every reader of JSON can hold."""

Scalar = str | int | float | bool | None


def core_value(text: str) -> Scalar:
    """Return the value of an unquoted scalar.

    `yes`, `off`, `12:30` and `2024-01-01` are texts; `0o17` is 15 and `1e-3` a number.

    Raises:
        ValueError: If it is a number that is not finite or too large to be exact.
    """
    if text in NULL:
        return None
    if text in TRUE or text in FALSE:
        return text in TRUE
    if NOT_FINITE.fullmatch(text):
        raise ValueError("It is not a finite number.")
    if INTEGER.fullmatch(text):
        return _integer(text)
    if FLOAT.fullmatch(text):
        return _float(text)
    return text


def _integer(text: str) -> int:
    if len(text) > LONGEST:
        raise ValueError(f"It is a number of {len(text):,} characters.")
    base = {"0o": 8, "0x": 16}.get(text[:2], 10)
    value = int(text, base)
    if abs(value) > LARGEST_INTEGER:
        raise ValueError("It is a whole number beyond 64 bits.")
    return value


def _float(text: str) -> float:
    if len(text) > LONGEST:
        raise ValueError(f"It is a number of {len(text):,} characters.")
    value = float(text)
    if not math.isfinite(value):
        raise ValueError("It is a number too large to be read.")
    return value

"""What a rule answers, and how rules look at data that may be of any shape."""

from __future__ import annotations

import difflib
import keyword
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SLUG_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
"""Of a slug and of a metric's name: both become parts of paths, keys and columns."""

_DOTTED = r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*"

USE_PATTERN = rf"^{_DOTTED}:{_DOTTED}$"
"""`module.path:Attribute`."""

LOGGED_PATTERN = r"^logged(:\S{1,100})?$"
"""Recorded answers: production's, or those of a system of that name."""

VARIANT_PATTERN = rf"{LOGGED_PATTERN}|{USE_PATTERN}"
"""Of the `use` of a variant."""

ASSET_PATTERN = r"^[A-Za-z][A-Za-z0-9_]{0,62}$"
"""Of the name of an asset."""

FORBIDDEN_CHARACTERS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
    "\ud800-\udfff\ufeff\ufffe\uffff\U000e0000-\U000e007f]"
)
"""Control, bidirectional, invisible tag characters, lone surrogates; tab and newline are fine."""

SLUG_HINT = (
    "Begin with a lower-case letter; then lower-case letters, digits, underscores; 63 in all."
)

LONGEST_LIST = 100
"""Entries of a list of metrics, gates, steps or waivers; nobody reads more of them."""

LARGEST = 1e300
"""Numbers beyond it are compared with nothing."""

Path = tuple[str | int, ...]


class Finding(NamedTuple):
    """One fault, by the path of its field; `hint` says what to write instead."""

    path: Path
    message: str
    hint: str = ""
    is_about_key: bool = False
    """True where the field should not be there at all, whatever its value."""


Findings = Iterator[Finding]


def slug_problem(slug: str) -> str:
    """Return what is wrong with a slug, in a sentence; empty where nothing is."""
    if breaks(slug, SLUG_PATTERN):
        return f"{shown(slug)} is not a slug."
    if keyword.iskeyword(slug):
        return f"{shown(slug)} is a word of Python, so its code could not be imported."
    return ""


def shown(value: object) -> str:
    """Return a value for a message: on one line, short, without a character that moves a cursor."""
    text = repr(value[:60] if isinstance(value, str) else value)
    return text if len(text) <= 80 else text[:79] + "…"


def mapping_of(value: object) -> Mapping[str, Any]:
    """Return a mapping as it is, and an empty one for anything else."""
    return value if isinstance(value, Mapping) else {}


def items_of(value: object) -> Sequence[Any]:
    """Return a list, or as much of it as the rules look at, and an empty one for anything else."""
    return value[:LONGEST_LIST] if isinstance(value, list | tuple) else ()


def number_of(value: object, *, left_out: float = math.nan) -> float:
    """Return a number; `left_out` for None, and NaN (no comparison holds) for anything else."""
    if value is None:
        return left_out
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    if abs(value) > LARGEST:
        return math.nan
    return float(value)


def breaks(value: object, pattern: str) -> bool:
    """Tell whether a text breaks the pattern as a whole; other types are the reader's to judge."""
    return isinstance(value, str) and not re.fullmatch(pattern.removesuffix("$"), value)


def near(name: str, names: Sequence[str]) -> str:
    """Return the hint that names the nearest of the names, or all of them."""
    found = difflib.get_close_matches(name[:100], names, n=1)
    if found:
        return f"Did you mean `{found[0]}`?"
    listed = ", ".join(f"`{known[:60]}`" for known in names[:12]) or "nothing"
    return f"Declared are: {listed}."

"""A row of a request log as its file holds it, before anybody asks whether it is a request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from expplat.errors import Fault

ROW_BYTES = 1_000_000
"""Largest row, decoded."""

ENDINGS = (".jsonl", ".ndjson", ".csv", ".parquet", ".pq")
"""How the names of files end that can be read."""


@dataclass(frozen=True, slots=True)
class LogFile:
    """A file of a log, wherever it lies; it can be opened more than once."""

    name: str
    """Its last part, with the ending that says of what format it is."""

    open: Callable[[], BinaryIO]


@dataclass(frozen=True, slots=True)
class Raw:
    """A row as the file holds it."""

    line: int
    """Of the file, counted from 1; the row's number in a Parquet file."""

    values: Mapping[str, Any]
    """By the log's own names."""

    is_text: bool = False
    """Whether the format knows nothing but text, as CSV does."""


@dataclass(frozen=True, slots=True)
class Faulty:
    """A row that cannot be read."""

    faults: tuple[Fault, ...]


Wanted = Callable[[Iterable[str]], tuple[list[str], list[Fault]]]
"""Told the columns of a file; returns those that are read, and what is missing."""


def faulty(line: int, field: str, message: str, hint: str = "") -> Faulty:
    """Return a row with one fault."""
    return Faulty((Fault(line=line, field=field, message=message, hint=hint),))


def is_readable(name: str) -> bool:
    """Tell whether a file's name ends like a known format."""
    return name.lower().endswith(ENDINGS)

"""Reads the rows of JSONL, CSV and Parquet files one by one, as the plain values they hold."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, NoReturn

from expplat.adapters.request_log.parquet import parquet_rows
from expplat.adapters.request_log.raw import ROW_BYTES, Faulty, LogFile, Raw, Wanted, faulty
from expplat.errors import Fault, InputError


def raw_rows(file: LogFile, wanted: Wanted) -> Iterator[Raw | Faulty]:
    """Give the rows of a file in its order.

    Raises:
        InputError: If its name ends like no known format.
    """
    match PurePath(file.name).suffix.lower():
        case ".jsonl" | ".ndjson":
            return _jsonl(file)
        case ".csv":
            return _csv(file, wanted)
        case ".parquet" | ".pq":
            return parquet_rows(file, wanted)
    raise InputError(
        f"{file.name} is of no known format.", hint="A log is .jsonl, .csv or .parquet."
    )


def parsed(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is not JSON: NaN and Infinity are not, nor is a key that comes twice.
    """
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _jsonl(file: LogFile) -> Iterator[Raw | Faulty]:
    for line, content in _lines(file):
        if isinstance(content, Faulty):
            yield content
        elif content.strip():
            yield _json_row(line, content)


def _json_row(line: int, content: str) -> Raw | Faulty:
    try:
        values = parsed(content)
    except json.JSONDecodeError as error:
        return faulty(line, "", f"It is not JSON: {error.msg} in column {error.colno}.")
    except ValueError as error:
        return faulty(line, "", f"It is not JSON: {error}.")
    if not isinstance(values, dict):
        return faulty(line, "", f"It is a {type(values).__name__}, not an object.")
    return Raw(line, values)


def _lines(file: LogFile) -> Iterator[tuple[int, str | Faulty]]:
    """Give each line of a text file, none of them longer than a row may be."""
    with file.open() as content:
        for line in itertools.count(1):
            found = content.readline(ROW_BYTES + 1)
            if not found:
                return
            if len(found) > ROW_BYTES and not found.endswith(b"\n"):
                yield line, faulty(line, "", f"It is over {ROW_BYTES:,} bytes long.")
                while found and not found.endswith(b"\n"):
                    found = content.readline(ROW_BYTES)
                continue
            try:
                yield line, found.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as error:
                yield line, faulty(line, "", f"It is not UTF-8 in byte {error.start + 1}.")


def _csv(file: LogFile, wanted: Wanted) -> Iterator[Raw | Faulty]:
    broken: list[Faulty] = []
    reader = csv.reader(_texts(file, broken), strict=True)
    limit = csv.field_size_limit(ROW_BYTES)
    try:
        names = next(reader, [])
        faults = wanted(names)[1] + [
            Fault(line=1, field=name, message="Two columns have this name.")
            for name in sorted({name for name in names if names.count(name) > 1})
        ]
        if faults and not broken:
            yield Faulty(tuple(faults))
            return
        yield from _csv_rows(reader, names, broken)
    except csv.Error as error:
        yield faulty(reader.line_num, "", f"It is not CSV: {error}.")
    finally:
        csv.field_size_limit(limit)
    yield from broken


def _csv_rows(reader: Any, names: list[str], broken: list[Faulty]) -> Iterator[Raw | Faulty]:
    line = reader.line_num + 1
    for cells in reader:
        if broken:
            return
        if len(cells) == len(names):
            yield Raw(line, dict(zip(names, cells, strict=True)), is_text=True)
        elif cells:
            yield faulty(line, "", f"It has {len(cells)} cells; the header has {len(names)}.")
        line = reader.line_num + 1


def _texts(file: LogFile, broken: list[Faulty]) -> Iterator[str]:
    """Give the lines of a text file up to the first that is broken."""
    for _, content in _lines(file):
        if isinstance(content, Faulty):
            broken.append(content)
            return
        yield content


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number of JSON")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text} is too large a number")
    return value


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice in one object")
    return found


_DECODER = json.JSONDecoder(
    parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once_each
)
"""Made once: to make one takes longer than to read a short row."""

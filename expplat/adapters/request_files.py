"""Reads the rows of JSONL, CSV and Parquet files one by one, as the plain values they hold."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from expplat.errors import Fault, InputError

ROW_BYTES = 1_000_000
"""Largest row, decoded."""

ROW_GROUP_BYTES = 2 << 30
"""Largest row group of a Parquet file, uncompressed by its own account."""

BATCH_ROWS = 256
"""Most Parquet rows that are decoded at once; fewer where one value could be large."""

BATCH_BYTES = 128 << 20
"""What the rows that are decoded at once may take, if each held the largest value there is; while
it grows, Arrow takes up to three times that."""


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


def raw_rows(file: Path, wanted: Wanted) -> Iterator[Raw | Faulty]:
    """Give the rows of a file in its order.

    Raises:
        InputError: If its name ends like no known format.
    """
    match file.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _jsonl(file)
        case ".csv":
            return _csv(file, wanted)
        case ".parquet" | ".pq":
            return _parquet(file, wanted)
    raise InputError(
        f"{file.name} is of no known format.", hint="A log is .jsonl, .csv or .parquet."
    )


def faulty(line: int, field: str, message: str, hint: str = "") -> Faulty:
    """Return a row with one fault."""
    return Faulty((Fault(line=line, field=field, message=message, hint=hint),))


def parsed(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: If it is not JSON: NaN and Infinity are not, nor is a key that comes twice.
    """
    try:
        return json.loads(
            text, parse_constant=_refuse, parse_float=_finite, object_pairs_hook=_once_each
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _jsonl(file: Path) -> Iterator[Raw | Faulty]:
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


def _lines(file: Path) -> Iterator[tuple[int, str | Faulty]]:
    """Give each line of a text file, none of them longer than a row may be."""
    with file.open("rb") as content:
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


def _csv(file: Path, wanted: Wanted) -> Iterator[Raw | Faulty]:
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


def _texts(file: Path, broken: list[Faulty]) -> Iterator[str]:
    """Give the lines of a text file up to the first that is broken."""
    for _, content in _lines(file):
        if isinstance(content, Faulty):
            broken.append(content)
            return
        yield content


def _parquet(file: Path, wanted: Wanted) -> Iterator[Raw | Faulty]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(file) as log:
            names, faults = wanted(log.schema_arrow.names)
            faults += _schema_faults(log, names)
            if faults:
                yield Faulty(tuple(faults))
                return
            line = 0
            for batch in log.iter_batches(batch_size=_batch_rows_of(log), columns=names):
                yield from _batch_rows(batch, line)
                line += batch.num_rows
    except (pyarrow.ArrowException, OSError) as error:
        yield faulty(0, "", f"It is not sound Parquet: {str(error).splitlines()[0]}")


def _batch_rows_of(log: Any) -> int:
    """Return how many rows are safe to decode at once: a dictionary may repeat one large value."""
    groups = [log.metadata.row_group(group) for group in range(log.metadata.num_row_groups)]
    sizes: list[int] = [
        group.column(column).total_uncompressed_size
        for group in groups
        for column in range(group.num_columns)
    ]
    return max(1, min(BATCH_ROWS, BATCH_BYTES // max(1, *sizes, 1)))


def _batch_rows(batch: Any, line: int) -> Iterator[Raw | Faulty]:
    for number in range(batch.num_rows):
        row = batch.slice(number, 1)
        if row.nbytes > ROW_BYTES:
            yield faulty(line + number + 1, "", f"It is over {ROW_BYTES:,} bytes long.")
            continue
        (values,) = row.to_pylist(maps_as_pydicts="strict")
        yield Raw(line + number + 1, {name: _present(value) for name, value in values.items()})


def _present(value: Any) -> Any:
    """Leave out the fields of a struct that have no value: Parquet cannot leave them out itself."""
    if isinstance(value, dict):
        return {key: _present(item) for key, item in value.items() if item is not None}
    return value


def _schema_faults(log: Any, names: list[str]) -> list[Fault]:
    """Refuse what is not plain data, by the schema alone, before any value is decoded."""
    faults = [
        Fault(
            line=0,
            field=field.name,
            message="The column is of an extension type, which may run code when it is read.",
            hint="Write plain text, numbers, lists and structs.",
        )
        for field in log.schema_arrow
        if _is_extension(field)
    ]
    faults += [
        Fault(
            line=0, field=field.name, message=f"The column holds {field.type}, which JSON has not."
        )
        for field in log.schema_arrow
        if field.name in names and not faults and not _is_plain(field.type)
    ]
    groups = range(log.metadata.num_row_groups)
    if any(log.metadata.row_group(group).total_byte_size > ROW_GROUP_BYTES for group in groups):
        faults.append(
            Fault(
                line=0, field="", message="A row group is over 2 GiB.", hint="Write smaller ones."
            )
        )
    return faults


def _is_extension(field: Any) -> bool:
    import pyarrow

    if isinstance(field.type, pyarrow.BaseExtensionType):
        return True
    if b"ARROW:extension:name" in (field.metadata or {}):
        return True
    return any(_is_extension(child) for child in _children(field.type))


def _children(kind: Any) -> list[Any]:
    from pyarrow import types

    if types.is_map(kind):
        return [kind.key_field, kind.item_field]
    if types.is_dictionary(kind):
        import pyarrow

        return [pyarrow.field("value", kind.value_type)]
    return [kind.field(index) for index in range(kind.num_fields)]


def _is_plain(kind: Any) -> bool:
    from pyarrow import types

    children = _children(kind)
    if children:
        return all(_is_plain(child.type) for child in children)
    is_text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_text or is_number or types.is_null(kind) or types.is_struct(kind))


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

"""Reads the rows of Parquet files: plain data only, and no more at once than is safe to decode."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from expplat.adapters.request_log.columns import decoded_bytes, is_extension, type_read_as
from expplat.adapters.request_log.raw import ROW_BYTES, Faulty, LogFile, Raw, Wanted, faulty
from expplat.errors import Fault

ROW_GROUP_BYTES = 2 << 30
"""Largest row group of a Parquet file, uncompressed by its own account."""

COLUMN_BYTES = 256 << 20
"""Of one column in a row group, uncompressed: what is larger may be no bomb."""

COLUMN_RATIO = 100
"""How many times its compressed size such a column may be; text is compressed 3 to 20 times."""

LISTED_VALUES = 32_000_000
"""Values in lists and maps, in one row group: all of them may stand in one row."""

BATCH_ROWS = 1024
"""Rows that are decoded at once."""

BATCH_BYTES = 16 << 20
"""What rows may take that become Python objects at once; fewer rows are taken where they are
larger. Texts are read as numbers of a dictionary first, so that their size is known before one of
them is repeated."""


def parquet_rows(file: LogFile, wanted: Wanted) -> Iterator[Raw | Faulty]:
    """Give the rows of a Parquet file; one fault of the whole file where it is not sound."""
    import pyarrow
    from pyarrow import parquet

    try:
        with file.open() as content, parquet.ParquetFile(content) as log:
            names, faults = wanted(log.schema_arrow.names)
            leaves = _leaves(log, names)
            faults += _schema_faults(log, names) or _size_faults(log, leaves)
            if faults:
                yield Faulty(tuple(faults))
                return
            repeated = _texts_that_repeat(log, leaves)
            with parquet.ParquetFile(
                content, metadata=log.metadata, read_dictionary=repeated, buffer_size=1 << 20
            ) as rows:
                yield from _rows_of(rows, log.schema_arrow, names)
    except (pyarrow.ArrowException, OSError) as error:
        yield faulty(0, "", f"It is not sound Parquet: {str(error).splitlines()[0]}")


def _rows_of(log: Any, schema: Any, names: list[str]) -> Iterator[Raw | Faulty]:
    line = 1
    for group in range(log.num_row_groups):  # by itself: each has dictionaries of its own
        for batch in log.iter_batches(BATCH_ROWS, [group], names, use_threads=False):
            yield from _batch_rows(batch, _target(batch, schema), line)
            line += batch.num_rows


def _target(batch: Any, schema: Any) -> Any:
    import pyarrow

    return pyarrow.schema(
        [(name, type_read_as(schema.field(name).type)) for name in batch.schema.names]
    )


def _batch_rows(batch: Any, target: Any, line: int) -> Iterator[Raw | Faulty]:
    """Give the rows of a batch; of a large one half by half."""
    if decoded_bytes(batch) <= BATCH_BYTES:
        try:
            rows = batch.cast(target).to_pylist(maps_as_pydicts="strict")
        except KeyError:
            message = "A key comes twice in one map."
        else:
            for number, values in enumerate(rows):
                yield Raw(line + number, {name: _present(value) for name, value in values.items()})
            return
    else:
        message = f"It is over {ROW_BYTES:,} bytes long."
    half = batch.num_rows // 2
    if half:
        yield from _batch_rows(batch.slice(0, half), target, line)
        yield from _batch_rows(batch.slice(half), target, line + half)
    else:
        yield faulty(line, "", message)


def _present(value: Any) -> Any:
    """Leave out the fields of a struct that have no value: Parquet cannot leave them out itself."""
    if isinstance(value, dict):
        return {str(key): _present(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_present(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def _leaves(log: Any, names: list[str]) -> list[Any]:
    """Return the columns of the file that make up those that are read."""
    columns = [log.schema.column(index) for index in range(log.metadata.num_columns)]
    return [
        column
        for column in columns
        if any(column.path == name or column.path.startswith(f"{name}.") for name in names)
    ]


def _texts_that_repeat(log: Any, leaves: list[Any]) -> list[str]:
    """Return the columns of text where one value may be written once and stand in many rows."""
    texts = {leaf.path for leaf in leaves if leaf.logical_type.type in {"STRING", "JSON", "ENUM"}}
    return sorted(
        {
            column.path_in_schema
            for column in _chunks(log)
            if column.path_in_schema in texts and "DICTIONARY" in " ".join(column.encodings)
        }
    )


def _chunks(log: Any) -> Iterator[Any]:
    """Give each column of each row group."""
    for number in range(log.metadata.num_row_groups):
        group = log.metadata.row_group(number)
        yield from (group.column(index) for index in range(group.num_columns))


def _schema_faults(log: Any, names: list[str]) -> list[Fault]:
    """Refuse what is not plain data, by the schema alone, before any value is decoded."""
    extensions = [
        Fault(
            line=0,
            field=field.name,
            message="The column is of an extension type, which may run code when it is read.",
            hint="Write plain text, numbers, lists and structs.",
        )
        for field in log.schema_arrow
        if is_extension(field)
    ]
    return extensions or [
        Fault(
            line=0, field=field.name, message=f"The column holds {field.type}, which JSON has not."
        )
        for field in log.schema_arrow
        if field.name in names and type_read_as(field.type) is None
    ]


def _size_faults(log: Any, leaves: list[Any]) -> list[Fault]:
    """Refuse what would unfold beyond memory, by the file's own account."""
    read = {leaf.path for leaf in leaves}
    found = {
        column.path_in_schema: _too_large(column.path_in_schema, message)
        for column in _chunks(log)
        if column.path_in_schema in read and (message := _unfolding(column))
    }
    lists = {leaf.path for leaf in leaves if leaf.max_repetition_level > 0}
    groups = [log.metadata.row_group(number) for number in range(log.metadata.num_row_groups)]
    whole = [_too_large("", message) for group in groups if (message := _overflow(group, lists))]
    return [*whole[:1], *found.values()]


def _overflow(group: Any, lists: set[str]) -> str:
    """Return what is too much in a row group; empty where nothing is."""
    columns = [group.column(index) for index in range(group.num_columns)]
    listed = sum(column.num_values for column in columns if column.path_in_schema in lists)
    if group.total_byte_size > ROW_GROUP_BYTES:
        return "A row group is over 2 GiB."
    return f"A row group holds {listed:,} values in lists." if listed > LISTED_VALUES else ""


def _unfolding(column: Any) -> str:
    """Return how a column in a row group would grow beyond its size; empty where it would not."""
    packed, unfolded = column.total_compressed_size, column.total_uncompressed_size
    if "DELTA_BYTE_ARRAY" in column.encodings:
        return "It is written as differences, whose size is not known before they are read."
    if unfolded > COLUMN_BYTES and unfolded > COLUMN_RATIO * packed:
        return f"It unfolds from {packed:,} to {unfolded:,} bytes in one row group."
    return ""


def _too_large(path: str, message: str) -> Fault:
    return Fault(
        line=0,
        field=path,
        message=message,
        hint="Write smaller row groups, and plain or dictionary encodings.",
    )

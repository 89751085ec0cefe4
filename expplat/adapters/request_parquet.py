"""Reads the rows of Parquet files: plain data only, and no more at once than is safe to decode."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from expplat.adapters.request_raw import ROW_BYTES, Faulty, Raw, Wanted, faulty
from expplat.errors import Fault

ROW_GROUP_BYTES = 2 << 30
"""Largest row group of a Parquet file, uncompressed by its own account."""

BATCH_ROWS = 256
"""Most Parquet rows that are decoded at once; fewer where one value could be large."""

BATCH_BYTES = 128 << 20
"""What the rows that are decoded at once may take, if each held the largest value there is; while
it grows, Arrow takes up to three times that."""


def parquet_rows(file: Path, wanted: Wanted) -> Iterator[Raw | Faulty]:
    """Give the rows of a Parquet file; one fault of the whole file where it is not sound."""
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
    faults = _extension_faults(log) or [
        Fault(
            line=0, field=field.name, message=f"The column holds {field.type}, which JSON has not."
        )
        for field in log.schema_arrow
        if field.name in names and not _is_plain(field.type)
    ]
    groups = range(log.metadata.num_row_groups)
    if any(log.metadata.row_group(group).total_byte_size > ROW_GROUP_BYTES for group in groups):
        faults.append(
            Fault(
                line=0, field="", message="A row group is over 2 GiB.", hint="Write smaller ones."
            )
        )
    return faults


def _extension_faults(log: Any) -> list[Fault]:
    return [
        Fault(
            line=0,
            field=field.name,
            message="The column is of an extension type, which may run code when it is read.",
            hint="Write plain text, numbers, lists and structs.",
        )
        for field in log.schema_arrow
        if _is_extension(field)
    ]


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

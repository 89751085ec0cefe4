"""Runs the query that makes a request log, once, and writes its rows as Parquet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from expplat.adapters.table.connection import MEMORY_LIMIT, connect, read_errors
from expplat.adapters.table.database import run_in_database
from expplat.adapters.table.files import open_files
from expplat.adapters.table.queries import run_query
from expplat.adapters.table.source import Source
from expplat.errors import ConfigurationError

ROW_GROUP_ROWS = 4096
"""Rows of a row group: few enough that large ones can be decoded."""


def write_from_files(
    query: str, data: tuple[Path, str | None], rows: Path, names: tuple[str, str]
) -> None:
    """Run a query over files.

    Args:
        query: One SELECT.
        data: The folder where relative paths in the query start, and the file or pattern that it
            calls `data`.
        rows: Where to write.
        names: The columns that hold the id and the cluster.

    Raises:
        InputError: If the query is wrong, or a file cannot be read.
    """
    folder, pattern = data
    connection = connect(MEMORY_LIMIT, None, folder)
    found = open_files(connection, pattern) if pattern is not None else None
    _write(run_query(connection, query, found), rows, names)


def write_from_database(query: str, variable: str, rows: Path, names: tuple[str, str]) -> None:
    """Run a query in the database whose address stands in an environment variable.

    Raises:
        ConfigurationError: If the variable is not set.
        InputError: If the query is wrong, or the address is.
        DatabaseError: If the database is out of reach.
    """
    address = os.environ.get(variable, "").strip()
    if not address:
        raise ConfigurationError(
            f"The environment variable {variable}, which names the log's database, is not set.",
            hint=f"Such as: export {variable}=postgresql://user:password@host/database",
        )
    _write(run_in_database(connect(MEMORY_LIMIT, None), query, address), rows, names)


def _write(source: Source, rows: Path, names: tuple[str, str]) -> None:
    """Write the rows in the order of their ids: a database gives them in any order it likes.

    Ids and clusters are text in a request; a number of a table becomes one.
    """
    with read_errors(source.name):
        cells = [_cell(source, column, is_text=column in names) for column in source.columns]
        relation = source.rows()
        if names[0] in source.columns:
            relation = relation.sort(source.text(names[0]))
        relation.select(*cells).write_parquet(
            str(rows), compression="zstd", row_group_size=ROW_GROUP_ROWS
        )
    source.connection.close()


def _cell(source: Source, column: str, *, is_text: bool) -> Any:
    """Return a column as Parquet and JSON know it."""
    if is_text:
        return source.text(column).alias(column)
    if source.kind(column) == "uuid":
        return source.cell(column).cast("VARCHAR").alias(column)
    return source.cell(column).alias(column)

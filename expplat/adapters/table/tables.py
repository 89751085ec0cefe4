"""Opens tables: files, the result of a query, or a frame in memory."""

from __future__ import annotations

from typing import Any

from expplat.adapters.table.connection import MEMORY_LIMIT, connect, read_errors
from expplat.adapters.table.files import open_files
from expplat.adapters.table.queries import run_query
from expplat.adapters.table.source import Source
from expplat.adapters.table.table import DuckTable
from expplat.errors import InputError

BATCH_ROWS = 122_880
"""Rows of an Arrow batch that one processor adds up: as many as in a row group of DuckDB."""


class DuckTables:
    """Opens tables that DuckDB adds up."""

    def __init__(self, *, memory_limit: str = MEMORY_LIMIT, threads: int | None = None) -> None:
        """Set what a table may use.

        Args:
            memory_limit: What DuckDB may hold in memory, such as `1GB`; the rest goes to disk.
            threads: None for as many as this machine has processors.
        """
        self._memory_limit = memory_limit
        self._threads = threads

    def open(self, source: str | None, *, query: str | None, database: str | None) -> DuckTable:
        """Open a file (CSV, JSON lines, Parquet, also a pattern) or the result of a query.

        Raises:
            InputError: If there is no such file, it cannot be read, or the query is wrong.
            DependencyError: If the database cannot be reached.
        """
        if database is not None:
            return self._open_database(source, query, database)
        if source is None and query is None:
            raise InputError("There is nothing to open.", hint="Name a file, or write a query.")
        connection = connect(self._memory_limit, self._threads)
        found = open_files(connection, source) if source is not None else None
        if query is not None:
            found = run_query(connection, query, found)
        assert found is not None
        return DuckTable(found)

    def open_frame(self, frame: Any) -> DuckTable:
        """Open a frame in memory, read where it lies.

        Args:
            frame: A pandas DataFrame, whose index is passed over, or an Arrow table of any chunks.

        Raises:
            InputError: If a column holds what no table can.
        """
        import pyarrow

        connection = connect(self._memory_limit, self._threads)
        name = "the frame"
        try:
            arrow = (
                frame
                if isinstance(frame, pyarrow.Table)
                else pyarrow.Table.from_pandas(frame, preserve_index=False)
            )
        except pyarrow.ArrowException as error:
            raise InputError(f"{name} cannot be read: {str(error).splitlines()[0]}") from error
        even = pyarrow.Table.from_batches(
            arrow.to_batches(max_chunksize=BATCH_ROWS), schema=arrow.schema
        )
        with read_errors(name):
            relation = connection.from_arrow(even)
        return DuckTable(Source(connection=connection, relation=relation, name=name))

    def _open_database(self, source: str | None, query: str | None, database: str) -> DuckTable:
        from expplat.adapters.table.database import run_in_database

        if query is None or source is not None:
            raise InputError(
                "A database needs a query, and no file beside it.",
                hint="Say which rows to read, such as SELECT * FROM results.",
            )
        return DuckTable(
            run_in_database(connect(self._memory_limit, self._threads), query, database)
        )

"""A DuckDB of one table's own: in memory, without the network; what does not fit goes to disk."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from expplat.adapters.table.macros import MACROS
from expplat.errors import InputError

MEMORY_LIMIT = "1GB"
"""What DuckDB may hold in memory by default; more is written to a temporary folder."""


def connect(
    memory_limit: str, threads: int | None, folder_of_files: Path | None = None
) -> DuckDBPyConnection:
    """Return a database in memory; its temporary folder goes when it does.

    Args:
        memory_limit: Such as `1GB`.
        threads: None for as many as this machine has processors.
        folder_of_files: Where relative paths in a query start; None for the current folder.

    Raises:
        InputError: If the limit is no size.
    """
    folder = tempfile.mkdtemp(prefix="expplat_table_")
    try:
        connection = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": memory_limit,
                "threads": threads or os.cpu_count() or 1,
                "temp_directory": folder,
                "preserve_insertion_order": False,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "allow_community_extensions": False,
                "python_enable_replacements": False,
                "file_search_path": str(folder_of_files or ""),
            },
        )
    except duckdb.Error as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"DuckDB does not start: {first_line(error)}") from error
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    for macro in MACROS:
        connection.execute(macro)
    return connection


@contextmanager
def read_errors(source: str) -> Iterator[None]:
    """Turn DuckDB's errors into one sentence about the source."""
    try:
        yield
    except duckdb.OutOfMemoryException as error:
        raise InputError(
            f"{source} does not fit: {first_line(error)}",
            hint="Give it more memory, or room in the temporary folder.",
        ) from error
    except duckdb.OutOfRangeException as error:
        raise InputError(
            f"{source} has numbers that are too large to be squared.",
            hint="Give the column in a larger unit.",
        ) from error
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):  # what DuckDB makes of Ctrl-C
            raise KeyboardInterrupt from None
        raise
    except (duckdb.Error, UnicodeDecodeError) as error:
        raise InputError(f"{source} cannot be read: {first_line(error)}") from error


def first_line(error: BaseException) -> str:
    """Return what an error says, in one line that ends in a full stop.

    Of a CSV the first line says where alone, and the next one what.
    """
    lines = str(error).strip().splitlines() or [type(error).__name__]
    said = lines[:2] if "CSV Error on Line" in lines[0] else lines[:1]
    return ": ".join(line.strip().rstrip(".") for line in said) + "."

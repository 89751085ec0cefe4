"""Opens files: CSV, JSON lines and Parquet, one or many."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection, DuckDBPyRelation

from expplat.adapters.table.connection import read_errors
from expplat.adapters.table.source import Source
from expplat.errors import InputError

CSV = frozenset({".csv", ".tsv", ".txt"})
JSON_LINES = frozenset({".jsonl", ".ndjson"})
PARQUET = frozenset({".parquet", ".pq"})
PACKED = frozenset({".gz", ".zst"})
KINDS = "CSV (.csv, .tsv), JSON lines (.jsonl, .ndjson) and Parquet (.parquet) can be read."


def open_files(connection: DuckDBPyConnection, source: str) -> Source:
    """Return the rows of a file, or of all files that a pattern fits.

    Cells of a CSV stay text until it is known what is asked of them: 007 and 7 are two units.

    Raises:
        InputError: If there is no such file, or it cannot be read.
    """
    files = _files(source)
    suffixes = {_suffix(file) for file in files}
    if len(suffixes) > 1 or not suffixes <= CSV | JSON_LINES | PARQUET:
        raise InputError(f"{source} is no table of one kind.", hint=KINDS)
    if not any(file.stat().st_size for file in files):
        raise InputError(f"{source} is empty.", hint="A table needs a line of names, and rows.")
    paths = [glob.escape(str(file)) for file in files]
    (suffix,) = suffixes
    with read_errors(source):
        relation = _read(connection, paths, suffix)
        columns = relation.columns
        ambiguous = _twice(connection, paths[0]) if suffix in CSV else frozenset()
    if not columns:
        raise InputError(f"{source} has no columns.", hint=KINDS)
    return Source(
        connection=connection,
        relation=relation,
        name=source,
        is_slow=suffix not in PARQUET,
        ambiguous=ambiguous,
    )


def _files(source: str) -> list[Path]:
    if "://" in source:
        hint = "Fetch the file first; --database takes the address of a database."
        raise InputError(f"{source} is an address, not a file.", hint=hint)
    path = Path(source)
    if path.is_file():
        return [path]
    if path.is_dir():
        hint = f"Name its files, such as {source.rstrip('/')}/*.parquet."
        raise InputError(f"{source} is a folder.", hint=hint)
    files = sorted(Path(name) for name in glob.glob(source, recursive=True))
    files = [file for file in files if file.is_file()]
    if not files:
        raise InputError(
            f"There is no file {source}.", hint="Check the path, and put a * in quotes."
        )
    return files


def _twice(connection: DuckDBPyConnection, path: str) -> frozenset[str]:
    """Return the names that stand twice in the first line of a CSV, where DuckDB renames one."""
    first = connection.read_csv(path, header=False, all_varchar=True).limit(1).fetchall()
    names = [str(name).casefold() for row in first for name in row if name]
    return frozenset(name for name in names if names.count(name) > 1)


def _suffix(file: Path) -> str:
    suffixes = [suffix.lower() for suffix in file.suffixes]
    if len(suffixes) > 1 and suffixes[-1] in PACKED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read(connection: DuckDBPyConnection, paths: list[str], suffix: str) -> DuckDBPyRelation:
    listed: Any = paths  # DuckDB takes lists, which the type hints of two of these do not say
    # Said only where there are several: to read the word at all, DuckDB imports pandas.
    several: dict[str, Any] = {"union_by_name": True} if len(paths) > 1 else {}
    if suffix in PARQUET:
        return connection.from_parquet(listed, **several)
    if suffix in JSON_LINES:
        return connection.read_json(listed, format="newline_delimited", sample_size=-1, **several)
    return connection.read_csv(listed, header=True, all_varchar=True, **several)

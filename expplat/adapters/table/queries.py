"""Runs one SELECT over files: it may read them itself, or call the source `data`."""

from __future__ import annotations

import duckdb
from duckdb import DuckDBPyConnection

from expplat.adapters.table.connection import first_line, read_errors
from expplat.adapters.table.source import ALIAS, Source, kept
from expplat.adapters.table.typed import typed
from expplat.errors import InputError

HINT = "Write one SELECT; the rows of the source are called data."
NAME = "the query"


def run_query(connection: DuckDBPyConnection, query: str, source: Source | None) -> Source:
    """Return the rows of a query, computed once.

    Raises:
        InputError: If it is not one SELECT, or DuckDB refuses it.
    """
    try:
        statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise InputError(f"{NAME} is not SQL: {first_line(error)}", hint=HINT) from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise InputError(f"{NAME} must be one SELECT.", hint=HINT)
    with read_errors(NAME):
        if source is not None:
            typed(source).create_view(ALIAS)
        relation = kept(connection, connection.sql(query))
    return Source(connection=connection, relation=relation, name=NAME)

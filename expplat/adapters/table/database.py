"""Runs a query in a database and carries its rows to DuckDB, a batch at a time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow
from duckdb import DuckDBPyConnection, DuckDBPyRelation
from sqlalchemy import URL, Connection, Engine, create_engine, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from expplat.adapters.table.connection import read_errors
from expplat.adapters.table.queries import NAME
from expplat.adapters.table.source import Source, kept
from expplat.errors import DatabaseError, InputError

BATCH_ROWS = 50_000
"""Rows that are Python objects at one time."""

COMMENT = re.compile(r"\s*(--[^\n]*(\n|$)|/\*.*?\*/)", re.DOTALL)
SELECT = re.compile(r"[\s(]*(select|with|values)\b", re.IGNORECASE)
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}


def run_in_database(connection: DuckDBPyConnection, query: str, url: str) -> Source:
    """Return the rows of a query that runs in a database, in a transaction that only reads.

    Args:
        connection: Where the rows go.
        query: One SELECT in the database's own SQL.
        url: As SQLAlchemy writes it, such as `postgresql://user@host/name`.

    Raises:
        InputError: If the query is not one SELECT, or the database refuses it.
        DatabaseError: If the database cannot be reached.
    """
    _raise_unless_select(query)
    relations: dict[Any, str] = {}
    for batch in _batches(query, url):
        with read_errors(NAME):
            rows = connection.from_arrow(batch)
            known = relations.get(batch.schema)
            if known is None:
                relations[batch.schema] = known = f"rows_{len(relations)}"
                rows.create(known)
            else:
                rows.insert_into(known)
    with read_errors(NAME):
        relation = _joined(connection, list(relations.values()))
    return Source(connection=connection, relation=relation, name=NAME)


def _joined(connection: DuckDBPyConnection, tables: Sequence[str]) -> DuckDBPyRelation:
    """Put batches together that were of different types, such as whole numbers and fractions."""
    first, *others = tables
    relation = connection.table(first)
    for other in others:
        relation = relation.union(connection.table(other))
    return kept(connection, relation) if others else relation


def _raise_unless_select(query: str) -> None:
    rest = query
    while found := COMMENT.match(rest):
        rest = rest[found.end() :]
    if not SELECT.match(rest) or ";" in rest.rstrip().rstrip(";"):
        raise InputError(
            f"{NAME} must be one SELECT.", hint="Nothing else runs in a database, nor two of them."
        )


def _batches(query: str, url: str) -> Iterator[Any]:
    """Give the result in Arrow tables; one without rows where there are none."""
    engine = _engine(url)
    with _said(engine.url), engine.connect() as connection:
        _only_read(connection)
        options = {"stream_results": True, "max_row_buffer": BATCH_ROWS}
        result = connection.execution_options(**options).execute(
            # A colon in it is no parameter: nothing of the query is to be replaced.
            text(query.rstrip().rstrip(";").replace(":", r"\:"))
        )
        names = [str(name) for name in result.keys()]  # noqa: SIM118 - it is no mapping
        is_empty = True
        for part in result.partitions(BATCH_ROWS):
            is_empty = False
            yield _arrow(names, list(zip(*part, strict=True)))
        if is_empty:
            yield _arrow(names, [()] * len(names))
        connection.rollback()
    engine.dispose()


def _engine(url: str) -> Engine:
    try:
        address = make_url(url)
        address = address.set(drivername=DRIVERS.get(address.drivername, address.drivername))
        if address.get_backend_name() == "sqlite":
            _raise_unless_file(address.database)
        arguments = {"connect_timeout": 10} if address.get_backend_name() == "postgresql" else {}
        return create_engine(address, connect_args=arguments)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError, ValueError) as error:
        raise InputError(
            "The address of the database is not understood, or its driver is not installed.",
            hint="Write sqlite:///path/to/file.db or postgresql://user:password@host/database.",
        ) from error


def _raise_unless_file(database: str | None) -> None:
    """Say that a SQLite is not there, rather than make an empty one."""
    if database and database != ":memory:" and not Path(database).is_file():
        raise DatabaseError(f"There is no database {database}.", hint="Check the path.")


def _only_read(connection: Connection) -> None:
    """Let the database itself refuse what would write."""
    kind = connection.dialect.name
    if kind == "sqlite":
        connection.exec_driver_sql("PRAGMA query_only = ON")
    elif kind == "postgresql":
        connection.execution_options(postgresql_readonly=True)


@contextmanager
def _said(address: URL) -> Iterator[None]:
    try:
        yield
    except DBAPIError as error:
        raise _failure(error, address) from error
    except SQLAlchemyError as error:
        raise InputError(f"{NAME} does not run: {_line(error)}") from error


def _failure(error: DBAPIError, address: URL) -> InputError | DatabaseError:
    """Tell a database that is away from one that does not like the query."""
    shown = address.render_as_string(hide_password=True)
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None)
    is_away = error.connection_invalidated or (
        code in (None, "SQLITE_CANTOPEN", "SQLITE_NOTADB", "SQLITE_BUSY")
        or str(code).startswith(("08", "28", "3D", "57P"))
    )
    if is_away:
        return DatabaseError(
            f"The database is out of reach: {_line(error.orig or error)}",
            hint=f"Is it running, and is the address right? It is {shown}.",
        )
    return InputError(
        f"The database refuses the query: {_line(error.orig or error)}", hint=f"It is {shown}."
    )


def _line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".") + "."


def _arrow(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> Any:
    return pyarrow.table([_column(column) for column in columns], names=_distinct(names))


def _distinct(names: Sequence[str]) -> list[str]:
    """Tell columns of the same name apart, as DuckDB does."""
    found: list[str] = []
    for name in names:
        fresh, number = name, 0
        while fresh.lower() in {known.lower() for known in found}:
            number += 1
            fresh = f"{name}_{number}"
        found.append(fresh)
    return found


def _column(values: Sequence[Any]) -> Any:
    """Return values as one Arrow column: numbers or times where all are, else text."""
    plain = [float(value) if isinstance(value, Decimal) else value for value in values]
    try:
        return pyarrow.array(plain)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError):
        texts = [None if value is None else str(value) for value in plain]
        return pyarrow.array(texts, type=pyarrow.string())

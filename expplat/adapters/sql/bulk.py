"""Many events at once, each id kept once: the fastest way that each database has.

Every way is given the rows in the order of ids, so that two writers hardly ever wait for each other
in a circle. On PostgreSQL they still may: COPY writes one partition of a table after another. Then
PostgreSQL ends one of them, which is a ConflictError, and it is for the caller to try again. Those
ids are said to be new which this very transaction has inserted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    Column,
    Connection,
    Executable,
    Integer,
    MetaData,
    Table,
    bindparam,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.schema import CreateTable
from sqlalchemy.sql.dml import ReturningInsert

from expplat.adapters.sql.failures import translating
from expplat.adapters.sql.inserts import insert_or_ignore
from expplat.errors import ConflictError

COPY_FROM = 4
"""Rows from which on COPY is the faster way, measured on new events and on known ones."""

MAY_PUT_ASIDE = select(func.has_database_privilege(func.current_database(), "TEMP"))
"""Whether a user of PostgreSQL may make temporary tables; asked each time, as rights change."""

Row = tuple[Any, ...]
"""The values of one event, in the order of the table's columns."""


def insert_new(connection: Connection, table: Table, rows: Sequence[Row]) -> frozenset[str]:
    """Insert the rows whose (source, event_id) is not there yet; return the ids of those.

    Args:
        connection: In a transaction; that of a SQLite holds the lock of the writer.
        table: One that begins with its key, (source, event_id).
        rows: In the order of ids, one for each id, all of one source, their moments `as_written`.
    """
    if not rows:
        return frozenset()
    if connection.dialect.name == "sqlite":
        return _insert_unknown(connection, table, rows)
    way = _copy if len(rows) >= COPY_FROM else _insert
    return way(connection, table, rows)


def as_written(connection: Connection) -> Callable[[datetime | None], Any]:
    """Return what turns a moment into what the rows of `insert_new` hold of it.

    The fast ways do not look at types, so that nothing else would. What is returned serves one
    batch, whose rows share many moments.

    Raises:
        ValueError: (what is returned) If a moment has no time zone.
    """
    return (_AsText() if connection.dialect.name == "sqlite" else _AsItIs()).__getitem__


def _insert_unknown(connection: Connection, table: Table, rows: Sequence[Row]) -> frozenset[str]:
    """Insert what is not there; what was, if that is not all, is told by the rows' numbers.

    Nobody else inserts meanwhile, because a writer holds the lock from its beginning, and rows are
    never deleted, so that new ones have the highest numbers. The driver runs it as a loop in C; an
    INSERT that returns what it did it would have to run row by row.
    """
    newest, insert, numbered_after = _sqlite_statements(table)
    before = connection.exec_driver_sql(newest).scalar() or 0
    if connection.exec_driver_sql(insert, rows).rowcount == len(rows):
        return frozenset(row[1] for row in rows)
    return frozenset(connection.exec_driver_sql(numbered_after, (before,)).scalars())


@cache
def _sqlite_statements(table: Table) -> tuple[str, str, str]:
    """Return what finds the newest row, what inserts one, and what finds those after a number."""
    dialect = sqlite.dialect(paramstyle="qmark")
    number = literal_column("rowid", Integer)
    insert = sqlite.insert(table).on_conflict_do_nothing(index_elements=list(table.primary_key))
    statements = (
        select(func.max(number)).select_from(table),
        insert,
        select(table.c.event_id).where(number > bindparam("before")),
    )
    newest, inserting, after = (str(one.compile(dialect=dialect)) for one in statements)
    return newest, inserting, after


class _AsItIs(dict[datetime | None, datetime | None]):
    """Moments that a driver takes, each looked at once."""

    def __missing__(self, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("a moment has no time zone")
        self[moment] = moment
        return moment


class _AsText(dict[datetime | None, str | None]):
    """Moments as `UtcDateTime` keeps them in SQLite, each written once."""

    def __missing__(self, moment: datetime | None) -> str | None:
        text = None
        if moment is not None:
            if moment.tzinfo is None:
                raise ValueError("a moment has no time zone")
            # The last six characters are the zone.
            text = moment.astimezone(UTC).isoformat(" ", "microseconds")[:-6]
        self[moment] = text
        return text


def _insert(connection: Connection, table: Table, rows: Sequence[Row]) -> frozenset[str]:
    """Insert by statements: the fastest way for a few rows, and one that needs no other table."""
    statement = insert_or_ignore(connection, table).returning(table.c.event_id)
    keys = table.c.keys()
    named = [dict(zip(keys, row, strict=True)) for row in rows]
    return frozenset(connection.scalars(statement, named))


class _Copying(NamedTuple):
    straight: str
    make: Executable
    aside: str
    insert: ReturningInsert[Any]


def _copy(connection: Connection, table: Table, rows: Sequence[Row]) -> frozenset[str]:
    """Copy the rows into the table; if an id is known, at which COPY stops, by way of another.

    The other table is made once a connection and is emptied by every commit; to make one each time
    would fill the catalogue of the server. A user who may make no temporary table inserts instead.
    """
    statements = _postgresql_statements(table)
    try:
        with connection.begin_nested():
            _stream(connection, statements.straight, rows)
    except ConflictError:
        if not connection.scalar(MAY_PUT_ASIDE):
            return _insert(connection, table, rows)
        connection.execute(statements.make)
        _stream(connection, statements.aside, rows)
        return frozenset(connection.scalars(statements.insert))
    return frozenset(row[1] for row in rows)


def _stream(connection: Connection, statement: str, rows: Sequence[Row]) -> None:
    with (
        translating(connection),
        closing(connection.connection.cursor()) as cursor,
        cursor.copy(statement) as stream,
    ):
        for row in rows:
            stream.write_row(row)


@cache
def _postgresql_statements(table: Table) -> _Copying:
    arriving = Table(
        f"arriving_{table.name}",
        MetaData(),
        *(Column(column.name, column.type, key=column.key) for column in table.c),
        prefixes=["TEMPORARY"],
        postgresql_on_commit="DELETE ROWS",
    )
    names = ", ".join(column.name for column in table.c)
    in_order = select(arriving).order_by(arriving.c.event_id)
    insert = postgresql.insert(table).from_select(table.c.keys(), in_order)
    return _Copying(
        straight=f"COPY {table.name} ({names}) FROM STDIN",
        make=CreateTable(arriving, if_not_exists=True),
        aside=f"COPY {arriving.name} ({names}) FROM STDIN",
        insert=insert.on_conflict_do_nothing().returning(table.c.event_id),
    )

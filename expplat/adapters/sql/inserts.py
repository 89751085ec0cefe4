"""Inserts that tolerate what is there already: the one thing that the databases spell apart."""

from __future__ import annotations

from sqlalchemy import Connection, Table
from sqlalchemy.dialects import postgresql, sqlite


def insert_or_ignore(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that passes over rows whose key is taken."""
    return _insert(connection, table).on_conflict_do_nothing()


def insert_or_replace(
    connection: Connection, table: Table, changed: tuple[str, ...]
) -> sqlite.Insert | postgresql.Insert:
    """Return an insert that gives the row of a taken key new values in the named columns."""
    statement = _insert(connection, table)
    return statement.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={name: statement.excluded[name] for name in changed},
    )


def _insert(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    return postgresql.insert(table)

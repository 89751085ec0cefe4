"""The one place where an error of a database driver becomes one of expplat's."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from expplat.errors import (
    ConflictError,
    DatabaseError,
    ExpplatError,
    InputError,
    TryLaterError,
)

NOTHING_CHANGED = "Nothing was changed. Read again, and decide anew."

TAKEN = {
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY,
    sqlite3.SQLITE_CONSTRAINT_UNIQUE,
    "23505",  # unique_violation
    "40001",  # serialization_failure
    "40P01",  # deadlock_detected
}
"""Codes of SQLite and SQLSTATEs of PostgreSQL that say that another writer was faster."""

HELD = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_BUSY_RECOVERY,
    sqlite3.SQLITE_BUSY_SNAPSHOT,
    sqlite3.SQLITE_LOCKED,
    "55P03",  # lock_not_available
}
"""Codes that say that a lock was not to be had in time."""


def translate_failures(engine: Engine) -> None:
    """Let every statement, commit and connection of the engine raise errors of expplat only."""
    url = engine.url

    @event.listens_for(engine, "handle_error")
    def _translate(context: ExceptionContext) -> None:
        cause = context.original_exception
        driver = context.dialect.loaded_dbapi
        if context.is_pre_ping and context.is_disconnect:
            return  # the pool knows what to do about a connection that was cut while it lay there
        if isinstance(cause, driver.Error):
            raise translated(cause, url) from cause


@contextmanager
def translating(connection: Connection) -> Iterator[None]:
    """Let what is done past SQLAlchemy, with the driver itself, raise errors of expplat only."""
    try:
        yield
    except connection.dialect.loaded_dbapi.Error as error:
        if connection.dialect.is_disconnect(error, connection.connection.dbapi_connection, None):
            connection.invalidate(error)
        raise translated(error, connection.engine.url) from error


def translated(cause: BaseException, url: URL) -> ExpplatError:
    """Return expplat's error for one of a driver or of the pool."""
    code = getattr(cause, "sqlstate", None) or getattr(cause, "sqlite_errorcode", None)
    if code in TAKEN:
        return ConflictError("Another writer was faster.", hint=NOTHING_CHANGED)
    if code in HELD:
        return TryLaterError(
            "Another process holds the database for writing.",
            hint="Nothing was changed. Try again in a moment.",
        )
    reason = _first_line(cause)
    if "DataError" in {kind.__name__ for kind in type(cause).__mro__}:  # as PEP 249 calls it
        return InputError(
            f"The database cannot hold a value: {reason}", hint="Nothing was changed."
        )
    if _is_refusal(code):
        return DatabaseError(
            f"The database refused a statement: {reason}", hint=f"It is {shown(url)}."
        )
    return DatabaseError(
        f"The database is out of reach: {reason}",
        hint=f"Is it running, and is EXPPLAT_DATABASE_URL right? It is {shown(url)}.",
    )


def shown(url: URL) -> str:
    """Return the address without its passwords."""
    if "sslpassword" in url.query:
        url = url.update_query_dict({"sslpassword": "***"})
    return url.render_as_string(hide_password=True)


def _is_refusal(code: str | int | None) -> bool:
    """Whether the database was there and said no: a constraint, a missing table, a trigger."""
    if isinstance(code, str):
        return code[:2] in {"23", "42", "P0", "0A", "25"}
    return code is not None and code & 0xFF in {
        sqlite3.SQLITE_ERROR,
        sqlite3.SQLITE_CONSTRAINT,
        sqlite3.SQLITE_READONLY,
    }


def _first_line(cause: BaseException) -> str:
    if isinstance(cause, PoolTimeoutError):
        return "every connection of this process is in use."
    lines = str(cause).strip().splitlines()
    return lines[0].rstrip(".") + "." if lines else f"{type(cause).__name__}."

"""Connections: SQLite without lost updates, PostgreSQL with short time-outs."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    column,
    create_engine,
    event,
    inspect,
    make_url,
    select,
    table,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import ConnectionPoolEntry

from expplat.adapters.sql.failures import translate_failures, translated
from expplat.adapters.sql.tables import VERSION_TABLE
from expplat.errors import ConfigurationError

WAIT_S = 5
"""Longest wait, in seconds, for a connection and for a lock."""

PAUSE_S = (0.001, 0.004)
"""Shortest and longest pause, in seconds, between two tries for the lock of a SQLite."""

BUSY_TIMEOUT = "PRAGMA busy_timeout = 5000"
"""Waits of a SQLite other than for the lock of the writer: rare, and short."""

READONLY = "expplat_readonly"
"""Execution option of a connection that only reads, and so waits for no writer."""

DRIVERS = {
    "sqlite": "sqlite+pysqlite",
    "sqlite+pysqlite": "sqlite+pysqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


def parse_url(url: str) -> URL:
    """Return the address of a database, with its driver.

    Raises:
        ConfigurationError: If it is malformed or of a database that expplat does not know.
    """
    try:
        address = make_url(url)
        driver = DRIVERS[address.drivername]
    except (ArgumentError, KeyError, ValueError):
        raise ConfigurationError(
            "EXPPLAT_DATABASE_URL is not the address of a SQLite file or of a PostgreSQL.",
            hint="Write sqlite:///path/to/file.db or postgresql://user:password@host/database.",
        ) from None
    if driver == "sqlite+pysqlite" and address.database in (None, "", ":memory:"):
        raise ConfigurationError(
            "EXPPLAT_DATABASE_URL names a SQLite without a file; decisions must outlive a process.",
            hint="Write sqlite:///path/to/file.db.",
        )
    address = address.set(drivername=driver)
    password = address.query.get("password")  # where libpq takes it too, and nobody hides it
    if isinstance(password, str):
        address = address.difference_update_query(["password"]).set(password=password)
    return address


def database_file(address: URL) -> Path | None:
    """Return the file of a SQLite; None for a PostgreSQL."""
    if address.get_backend_name() != "sqlite":
        return None
    return Path(address.database or "")


def make_engine(address: URL, *, foreign_keys: bool = True) -> Engine:
    """Return a pool of connections, whatever the schema; nothing is connected yet."""
    if database_file(address):
        engine = create_engine(
            address,
            connect_args={"isolation_level": None},
            pool_size=10,
            pool_timeout=WAIT_S,
        )
        _govern_sqlite(engine, foreign_keys=foreign_keys)
    else:
        engine = create_engine(
            address,
            connect_args=_postgresql_arguments(address),
            pool_pre_ping=True,
            pool_size=10,
            pool_timeout=WAIT_S,
        )
    translate_failures(engine)
    return engine


def read_revision(engine: Engine) -> str | None:
    """Return the revision of the schema; None where there is none."""
    with engine.connect().execution_options(**{READONLY: True}) as connection:
        if not inspect(connection).has_table(VERSION_TABLE):
            return None
        found = connection.scalar(select(column("version_num")).select_from(table(VERSION_TABLE)))
    return None if found is None else str(found)


def create_file(file: Path) -> None:
    """Make an empty SQLite file that only its owner may read, and its folder likewise.

    Raises:
        ConfigurationError: If it cannot be made there.
    """
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be made: {error.strerror}.",
            hint="Look at EXPPLAT_STATE_DIR and EXPPLAT_DATABASE_URL, and at who may write there.",
        ) from error


def _postgresql_arguments(address: URL) -> dict[str, Any]:
    wanted: dict[str, Any] = {
        "connect_timeout": WAIT_S,
        "application_name": "expplat",
        "tcp_user_timeout": 2 * WAIT_S * 1000,
    }
    wanted = {name: value for name, value in wanted.items() if name not in address.query}
    given = address.query.get("options", "")
    theirs = given if isinstance(given, str) else " ".join(given)
    # The last word is ours: what is acknowledged is on the disk, whatever the server's default.
    options = f"-c lock_timeout={WAIT_S}s {theirs} -c synchronous_commit=on"
    return wanted | {"options": options}


def _govern_sqlite(engine: Engine, *, foreign_keys: bool) -> None:
    """Take transactions out of the driver's hands: it begins none before a read.

    A writer takes the lock when it begins, not at its first write: two that have both read the
    same row would otherwise overwrite each other without an error.
    """

    @event.listens_for(engine, "connect")
    def _prepare(connection: DBAPIConnection, entry: ConnectionPoolEntry) -> None:
        assert isinstance(connection, sqlite3.Connection)
        connection.execute(BUSY_TIMEOUT)
        connection.execute("PRAGMA synchronous = FULL")
        if foreign_keys:
            connection.execute("PRAGMA foreign_keys = ON")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get(READONLY):
            connection.exec_driver_sql("PRAGMA query_only = ON")
            connection.exec_driver_sql("BEGIN")
        else:
            connection.exec_driver_sql("PRAGMA query_only = OFF")
            _begin_writing(connection)


def _begin_writing(connection: Connection) -> None:
    """Take the lock of the one writer, trying every few milliseconds.

    SQLite's own waiting sleeps 100 ms between two tries, so that one busy writer starves another.
    """
    driver = connection.connection.dbapi_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + WAIT_S
    driver.execute("PRAGMA busy_timeout = 0")
    try:
        while not driver.in_transaction:
            _try_to_begin(driver, deadline, connection.engine.url)
    finally:
        driver.execute(BUSY_TIMEOUT)


def _try_to_begin(driver: sqlite3.Connection, deadline: float, url: URL) -> None:
    try:
        driver.execute("BEGIN IMMEDIATE")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
            raise translated(error, url) from error
        time.sleep(random.uniform(*PAUSE_S))  # noqa: S311 - nothing secret hangs on it

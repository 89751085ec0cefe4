"""What can be wrong with a database that answers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from datetime import datetime
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, func, select, text

from expplat.adapters.sql.engine import READONLY, database_file
from expplat.adapters.sql.failures import shown
from expplat.adapters.sql.tables import UtcDateTime, exposures, outcomes, quarantined_events
from expplat.errors import ConfigurationError, DatabaseError

LARGEST_SKEW_S = 60.0
"""Seconds that two clocks may differ."""

STEPS_BETWEEN_LOOKS = 100_000
"""Steps of SQLite's machine between two looks at the clock."""

QUICKLY = "PRAGMA quick_check(3)"
THOROUGHLY = "PRAGMA integrity_check(3)"

PARTITIONS = 8
"""Of each table of events, on PostgreSQL."""

WRITTEN_ONCE = ("proposals", "transitions", "looks", "exposures", "outcomes")
"""The tables whose rows the database itself refuses to change, by triggers."""


def unknown_schema(address: URL, found: str | None, known: str) -> ConfigurationError:
    """Return what to say of a database whose schema is not the one that this version knows."""
    if found is None:
        return ConfigurationError(
            f"The database {shown(address)} has no tables of expplat.",
            hint="Run `expplat db upgrade`.",
        )
    if found > known:
        return ConfigurationError(
            f"The database has schema {found}; this version of expplat knows {known}.",
            hint="Install the version of expplat that the others use.",
        )
    return ConfigurationError(
        f"The database has schema {found}; this version of expplat needs {known}.",
        hint="Run `expplat db upgrade`.",
    )


def refuse_damaged(file: Path, *, within_s: float, by: str = QUICKLY) -> bool:
    """Look through a SQLite file for damage.

    Args:
        file: The database.
        within_s: Seconds to look for; a file that is too large for them is taken as it is.
        by: `QUICKLY`, or `THOROUGHLY`, which also holds each index against its table.

    Returns:
        Whether all of it was looked at.

    Raises:
        DatabaseError: If it is damaged, or no database at all.
    """
    deadline = time.monotonic() + within_s
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)) as opened:
            opened.set_progress_handler(lambda: time.monotonic() > deadline, STEPS_BETWEEN_LOOKS)
            found = [str(row[0]) for row in opened.execute(by)]
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_INTERRUPT:
            return False
        found = [str(error)]
    if found != ["ok"]:
        finding = " ".join(found[0].split())
        raise DatabaseError(
            f"The database file {file} is damaged: {finding}.",
            hint="Stop whatever uses it, and put a backup in its place (`expplat db backup`).",
        )
    return True


def integrity(engine: Engine) -> str:
    """Look through the whole file of a SQLite; PostgreSQL checks its pages itself.

    Raises:
        DatabaseError: If it is damaged.
    """
    file = database_file(engine.url)
    if file is None:
        checksums = _settings(engine)["data_checksums"]
        return f"left to PostgreSQL, with checksums {checksums}"
    refuse_damaged(file, within_s=float("inf"), by=THOROUGHLY)
    return "no damage found in any page or index"


def durability(engine: Engine) -> str:
    """Say what an acknowledgement stands behind.

    Raises:
        ConfigurationError: If a crash of the machine could take back what was acknowledged.
    """
    if database_file(engine.url):
        with engine.connect() as connection:
            level = connection.scalar(text("PRAGMA synchronous"))
            journal = connection.scalar(text("PRAGMA journal_mode"))
        is_durable = level >= 2
        found = f"synchronous={'FULL' if is_durable else level}, journal_mode={journal}"
    else:
        names = ("fsync", "synchronous_commit", "full_page_writes")
        values = _settings(engine)
        is_durable = all(values[name] not in ("off", "local") for name in names)
        found = ", ".join(f"{name}={values[name]}" for name in names)
    if not is_durable:
        raise ConfigurationError(
            f"What is acknowledged may not be on the disk: {found}.",
            hint="Turn them on in the server's configuration.",
        )
    return found


def partitions(engine: Engine) -> str:
    """Say how the events lie.

    Raises:
        ConfigurationError: If a partition is missing: its events would be refused.
    """
    if database_file(engine.url):
        return "none: a SQLite has one file"
    with engine.connect() as connection:
        counts: dict[str, int] = {
            table.name: connection.scalar(
                text("SELECT count(*) FROM pg_inherits WHERE inhparent = to_regclass(:name)"),
                {"name": table.name},
            )
            or 0
            for table in (exposures, outcomes)
        }
    found = ", ".join(f"{name} in {count}" for name, count in counts.items())
    if set(counts.values()) != {PARTITIONS}:
        raise ConfigurationError(
            f"Partitions are missing: {found}, each needs {PARTITIONS}.", hint="Restore a backup."
        )
    return found


def triggers(engine: Engine) -> str:
    """Say whether the database still refuses to change what is written once.

    Raises:
        ConfigurationError: If a trigger is missing or off.
    """
    missing = missing_triggers(engine)
    if missing:
        raise ConfigurationError(
            f"Rows that are written once can be changed: no trigger {', no '.join(missing)}.",
            hint="Somebody took them away. Look what was changed (`expplat audit verify`), and "
            "restore a backup.",
        )
    return "what is written once cannot be changed"


def missing_triggers(engine: Engine) -> tuple[str, ...]:
    """Return the triggers that keep rows as they were written and are not there, or are off."""
    if database_file(engine.url):
        wanted = [f"{table}_refuse_{act}" for table in WRITTEN_ONCE for act in ("UPDATE", "DELETE")]
        query = "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
    else:
        parts = [f"{table.name}_p{n}" for table in (exposures, outcomes) for n in range(PARTITIONS)]
        wanted = [f"{table}_written_once" for table in (*WRITTEN_ONCE, *parts)]
        query = (
            "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid"
            " WHERE pg_table_is_visible(tgrelid) AND tgname = relname || '_written_once'"
            " AND tgenabled IN ('O', 'A')"
        )
    with engine.connect().execution_options(**{READONLY: True}) as connection:
        found = set(connection.scalars(text(query)))
    return tuple(name for name in wanted if name not in found)


def clock(engine: Engine, now: datetime) -> str:
    """Hold our clock against that of the database, and against the newest event.

    Raises:
        ConfigurationError: If they are more than a minute apart.
    """
    with engine.connect().execution_options(**{READONLY: True}) as connection:
        newest = _newest_arrival(connection)
        theirs = None
        if database_file(engine.url) is None:
            theirs = connection.scalar(select(func.clock_timestamp(type_=UtcDateTime)))
    ahead_s = [(moment - now).total_seconds() for moment in (newest, theirs) if moment]
    if theirs and abs(ahead_s[-1]) > LARGEST_SKEW_S:
        raise ConfigurationError(
            f"The clock of the database is {ahead_s[-1]:+.0f} s off ours.",
            hint="Let both follow a time server.",
        )
    if newest and ahead_s[0] > LARGEST_SKEW_S:
        raise ConfigurationError(
            f"The newest event arrived {ahead_s[0]:.0f} s after the present moment.",
            hint="A clock was set back, or a server's is ahead; let all follow a time server.",
        )
    beside = f", the database {ahead_s[-1]:+.1f} s" if theirs else ""
    return f"{now:%Y-%m-%d %H:%M:%S} UTC{beside}"


def waiting_events(engine: Engine) -> int:
    """Return how many events wait in quarantine."""
    waits = quarantined_events.c.settled_at.is_(None)
    with engine.connect().execution_options(**{READONLY: True}) as connection:
        return connection.scalar(select(func.count()).where(waits)) or 0


def _newest_arrival(connection: Connection) -> datetime | None:
    found = [
        connection.scalar(select(func.max(table.c.received_at))) for table in (exposures, outcomes)
    ]
    return max((moment for moment in found if moment), default=None)


def _settings(engine: Engine) -> Mapping[str, str]:
    names = ("fsync", "synchronous_commit", "full_page_writes", "data_checksums")
    with engine.connect() as connection:
        return {name: str(connection.scalar(select(func.current_setting(name)))) for name in names}

"""Opens a database whose schema is the one of this version, and no other."""

from __future__ import annotations

from sqlalchemy import Engine

from expplat.adapters.sql.checkup import unknown_schema
from expplat.adapters.sql.engine import database_file, make_engine, parse_url, read_revision

HEAD_REVISION = "0002"
"""The schema that this version works with; a test holds it against the newest migration."""


def open_engine(url: str, *, create: bool) -> Engine:
    """Return the pool of connections of a database whose schema is the one of this version.

    Args:
        url: `sqlite:///file` or `postgresql://user@host/database`.
        create: Make the database and its tables where there are none; for the embedded SQLite.

    Raises:
        ConfigurationError: If the address is malformed, or the schema is not this version's.
        DatabaseError: If the database is out of reach.
    """
    address = parse_url(url)
    file = database_file(address)
    if file and not file.exists() and not create:
        raise unknown_schema(address, None, HEAD_REVISION)
    engine = make_engine(address)
    found = None if file and not file.exists() else read_revision(engine)
    if found is None and create:
        from expplat.adapters.sql.migrate import upgrade  # Alembic is slow to import

        upgrade(url)
        found = read_revision(engine)
    if found != HEAD_REVISION:
        engine.dispose()
        raise unknown_schema(address, found, HEAD_REVISION)
    return engine

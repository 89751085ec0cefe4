"""Runs the migrations: within `expplat db upgrade`, or by the `alembic` command from a checkout."""

from __future__ import annotations

import os
from pathlib import Path

from alembic import context
from sqlalchemy import Connection

from expplat.adapters.sql.engine import make_engine, parse_url
from expplat.adapters.sql.tables import VERSION_TABLE, schema
from expplat.settings import Settings


def include_name(name: str | None, kind: str, parents: object) -> bool:
    """Look at our own tables only: others, such as MLflow's, may share the database."""
    return kind != "table" or name in schema.tables


def migrate(connection: Connection) -> None:
    """Run the migrations on a connection, in one transaction of their own."""
    context.configure(
        connection=connection,
        target_metadata=schema,
        version_table=VERSION_TABLE,
        include_name=include_name,
        render_as_batch=True,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def migrate_by_command() -> None:
    """Run them on the database of the settings, or write them as SQL with `--sql`."""
    address = parse_url(Settings.from_env(os.environ, Path.cwd()).database_url)
    if context.is_offline_mode():
        context.configure(
            url=address, target_metadata=schema, version_table=VERSION_TABLE, literal_binds=True
        )
        with context.begin_transaction():
            context.run_migrations()
        return
    with make_engine(address, foreign_keys=False).begin() as connection:
        migrate(connection)


given = context.config.attributes.get("connection")
if given is None:
    migrate_by_command()
else:
    migrate(given)

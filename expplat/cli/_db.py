"""`expplat db upgrade|check|backup`."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import progress_bar, say

if TYPE_CHECKING:
    from expplat.adapters.sql.backup import Backup
    from expplat.settings import Settings

app = typer.Typer(help="The database.", no_args_is_help=True, rich_markup_mode=None)


@command(app, "upgrade")
def upgrade_command() -> None:
    """Bring the database to the schema of this version; safe to repeat.

    A SQLite that is about to change is copied first.
    """
    from expplat.adapters.sql import migrate

    settings = platform().settings
    _upgrade(settings)
    say(f"The database is at revision {migrate.current_revision(settings.database_url)}.")


@command(app, "check")
def check_command() -> None:
    """Compare the database's schema with the one that this version expects."""
    from expplat.adapters.sql import migrate

    settings = platform().settings
    if settings.is_embedded:
        _upgrade(settings)
    migrate.check(settings.database_url)
    say("The database has the schema of this version.")


@command(app, "backup")
def backup_command(
    to: Annotated[
        Path | None, typer.Option(help="A file that is not there; else one in the state folder.")
    ] = None,
) -> None:
    """Copy the database into one file, while it is in use.

    SQLite: a database that takes the other's place. PostgreSQL: a dump for pg_restore.
    """
    made = _backup(platform().settings, to)
    checked = "checked, and its rows counted" if made.is_counted else "dumped by pg_dump"
    say(f"{made.file} ({made.size_bytes / 1e6:.1f} MB), {checked}.")


def _upgrade(settings: Settings) -> None:
    """Upgrade, and of a SQLite that changes keep a copy; of many at once, the one that does it."""
    from expplat.adapters.sql import migrate
    from expplat.adapters.sql.engine import database_file, parse_url

    def keep() -> None:
        say(f"The database as it was is kept in {_backup(settings, None).file}.")

    is_file = database_file(parse_url(settings.database_url)) is not None
    migrate.upgrade(settings.database_url, keep=keep if is_file else None)


def _backup(settings: Settings, to: Path | None) -> Backup:
    from expplat.adapters.sql.backup import backup, backup_name
    from expplat.adapters.sql.migrate import current_revision

    url = settings.database_url
    name = backup_name(url, current_revision(url), datetime.now(UTC))
    with progress_bar("backup") as progress:
        return backup(url, to or settings.state_dir / "backups" / name, progress)

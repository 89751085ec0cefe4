"""`expplat db upgrade|check`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say

app = typer.Typer(help="The database.", no_args_is_help=True, rich_markup_mode=None)


@command(app, "upgrade")
def upgrade_command() -> None:
    """Bring the database to the schema of this version; safe to repeat."""
    from expplat.adapters.sql import migrate

    url = platform().settings.database_url
    migrate.upgrade(url)
    say(f"The database is at revision {migrate.current_revision(url)}.")


@command(app, "check")
def check_command() -> None:
    """Compare the database's schema with the one that this version expects."""
    from expplat.adapters.sql import migrate

    here = platform()
    if here.settings.is_embedded:
        migrate.upgrade(here.settings.database_url)
    migrate.check(here.settings.database_url)
    say("The database has the schema of this version.")

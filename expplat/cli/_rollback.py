"""`expplat rollback`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped
from expplat.cli._words import AsJson, Reason, Slug


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "rollback")
    def rollback_command(
        slug: Slug, reason: Reason = "Rolled back by hand.", as_json: AsJson = False
    ) -> None:
        """Serve control to everyone, at once.

        Anyone may, and no gate is asked; the flag closes even while the database is away.
        """
        from expplat.flow.rollback import rollback

        stepped(rollback(slug, reason=reason, desk=desk(platform())), as_json=as_json)

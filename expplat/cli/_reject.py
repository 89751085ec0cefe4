"""`expplat reject`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped
from expplat.cli._words import AsJson, Reason, Slug


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "reject")
    def reject_command(slug: Slug, reason: Reason, as_json: AsJson = False) -> None:
        """Stop a POC before it meets users, with a reason."""
        from expplat.flow.reject import reject

        stepped(reject(slug, reason=reason, desk=desk(platform())), as_json=as_json)

"""`expplat graduate`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped
from expplat.cli._words import AsJson, Slug


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "graduate")
    def graduate_command(slug: Slug, as_json: AsJson = False) -> None:
        """Serve the treatment to everyone.

        Only where every online gate passes.
        """
        from expplat.flow.graduate import graduate

        stepped(graduate(slug, desk=desk(platform())), as_json=as_json)

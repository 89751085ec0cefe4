"""`expplat promote`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped
from expplat.cli._words import AsJson, Slug


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "promote")
    def promote_command(slug: Slug, as_json: AsJson = False) -> None:
        """Start the online test of a replayed POC.

        Every offline gate must have passed, on evidence that is still true.
        """
        from expplat.flow.promote import promote

        here = platform()
        stepped(promote(slug, desk=desk(here), bench=here.bench()), as_json=as_json)

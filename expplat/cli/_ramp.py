"""`expplat ramp`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped
from expplat.cli._words import AsJson, Slug


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "ramp")
    def ramp_command(slug: Slug, as_json: AsJson = False) -> None:
        """Let more users into the test.

        Only where the guardrails, the health gates and the hold of this step allow it.
        """
        from expplat.flow.ramp import ramp

        stepped(ramp(slug, desk=desk(platform())), as_json=as_json)

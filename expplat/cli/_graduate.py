"""`expplat graduate`."""

from __future__ import annotations

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped, warn
from expplat.cli._words import AsJson, Slug
from expplat.errors import TrackingError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "graduate")
    def graduate_command(slug: Slug, as_json: AsJson = False) -> None:
        """Serve the treatment to everyone.

        Only where every online gate passes.
        """
        from expplat.flow.graduate import graduate

        here = platform()
        outcome = graduate(slug, desk=desk(here))
        if outcome.is_new:
            try:
                here.tracking.promote_model(slug)
            except TrackingError as error:
                warn(f"MLflow's champion is still control. {error.message}")
        stepped(outcome, as_json=as_json)

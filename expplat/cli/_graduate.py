"""`expplat graduate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import stepped, warn
from expplat.cli._words import AsJson, Slug
from expplat.errors import TrackingError

if TYPE_CHECKING:
    from expplat.wiring import Platform


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
                _crown(here, slug)
            except TrackingError as error:
                warn(f"MLflow's champion is still control. {error.message}")
        stepped(outcome, as_json=as_json)


def _crown(here: Platform, slug: str) -> None:
    """Make the variant that everybody is served now the champion among the models."""
    from expplat.flow.read import story

    found = story(slug, uow=here.uow(readonly=True), reader=here.spec_reader)
    report = found.further_replays.get(found.poc.newest.winner, found.replay)
    if report is not None:
        here.tracking.promote_model(slug, report.plan.treatment_sha256)

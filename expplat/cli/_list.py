"""`expplat list`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from expplat.domain.story import Story


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "list")
    def list_command(as_json: AsJson = False) -> None:
        """List all POCs.

        One line each: its stage, and claimed → replayed → online.
        """
        from expplat.flow.read import stories, summary

        here = platform()
        found = stories(uow=here.uow(readonly=True), reader=here.spec_reader)
        if as_json:
            say_json([summary(story) for story in found])
        elif found:
            show_table(found)
            if here.note:
                say(here.note)
        else:
            say("No POC yet. `expplat propose --new my_technique` writes the first.")


def show_table(found: tuple[Story, ...]) -> None:
    """Print one line a POC: claimed → replayed → online."""
    table(("poc", "stage", "claimed", "replayed", "online", "in test"), _rows(found))


def _rows(found: tuple[Story, ...]) -> list[tuple[str, ...]]:
    from expplat.domain.wording import claimed, interval

    return [
        (
            story.poc.slug,
            str(story.poc.stage),
            claimed(story.claimed),
            interval(story.replayed),
            interval(story.online),
            f"{story.traffic_percent:g} %",
        )
        for story in found
    ]

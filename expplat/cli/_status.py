"""`expplat status`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, verdicts
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from expplat.domain.story import Story


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "status")
    def status_command(as_json: AsJson = False) -> None:
        """Show the running online tests.

        At their newest look; nothing is read anew or changed.
        """
        from expplat.domain.poc import Stage
        from expplat.flow.read import stories, summary

        here = platform()
        found = stories(uow=here.uow(readonly=True), reader=here.spec_reader)
        running = tuple(story for story in found if story.poc.stage is Stage.PROMOTED)
        if as_json:
            say_json([summary(story) for story in running])
            return
        for story in running:
            _tell(story)
        if not running:
            say("No online test is running.")


def _tell(story: Story) -> None:
    from expplat.domain.wording import interval

    say(f"{story.poc.slug}: {story.traffic_percent:g} % of units in the test")
    if not story.looks:
        say("  No look has been taken; `expplat watch --once` takes one.")
        return
    look = story.looks[-1]
    spent = f"{look.information_fraction:.0%} of the plan" if look.information_fraction else "early"
    say(f"  look {look.position + 1} at {look.snapshot.taken_at:%Y-%m-%d %H:%M}, {spent},")
    say(f"  {look.snapshot.units} units; online {interval(story.online)}")
    verdicts(look.verdicts)
    for name, said in look.further.items():
        say(f"  {name}")
        verdicts(said.verdicts)

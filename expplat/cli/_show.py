"""`expplat show`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, verdicts
from expplat.cli._words import AsJson, Slug

if TYPE_CHECKING:
    from expplat.domain.story import Story


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "show")
    def show_command(slug: Slug, as_json: AsJson = False) -> None:
        """Show one POC.

        The claim, the replay and the online test, with verdicts and history.
        """
        from expplat.flow.read import story

        here = platform()
        found = story(slug, uow=here.uow(readonly=True), reader=here.spec_reader)
        if as_json:
            say_json(found)
        else:
            _tell(found)


def _tell(story: Story) -> None:
    from expplat.domain.wording import claimed, interval, who_enters

    say(f"{story.poc.slug} · {story.poc.stage} · {story.traffic_percent:g} % of units in the test")
    say(f"{story.proposal.paper.title} ({story.proposal.paper.reference})")
    say(f"  claimed   {claimed(story.claimed)}")
    say(f"  replayed  {interval(story.replayed)}")
    say(f"  online    {interval(story.online)}")
    if who := who_enters(story.proposal.online):
        say(f"  enter     {who}")
    if story.verdicts:
        say("Verdicts")
        verdicts(story.verdicts)
    for name, found in story.further_verdicts.items():
        say(f"Verdicts of {name}")
        verdicts(found)
    for waiver in story.proposal.waivers:
        say(f"  waived: {waiver.phase} {waiver.concern}: {waiver.reason}")
    say("History")
    for step in story.poc.history:
        say(f"  {step.at:%Y-%m-%d %H:%M} {step.stage} by {step.by}: {step.reason}")

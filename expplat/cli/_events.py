"""`expplat events list|replay-failed|discard`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from collections.abc import Mapping

    from expplat.domain.online import QuarantinedEvent

app = typer.Typer(
    help="Exposures and outcomes that were refused.", no_args_is_help=True, rich_markup_mode=None
)

SHOWN_CHARACTERS = 80


@command(app, "list")
def list_command(
    limit: Annotated[
        int, typer.Option(min=0, max=10_000, help="How many of the newest are shown.")
    ] = 20,
    as_json: AsJson = False,
) -> None:
    """Show the newest events that wait in quarantine, and how many wait for which reason."""
    from expplat.flow.refused_events import waiting

    found = waiting(uow=platform().uow(readonly=True), limit=limit)
    if as_json:
        say_json(found)
        return
    if not found.codes:
        say("No event waits in quarantine.")
        return
    say(f"{_counted(found.codes)}.")
    table(
        ("number", "received", "kind", "connection", "reason", "event"),
        [_row(event) for event in found.events],
    )


@command(app, "replay-failed")
def replay_failed_command(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be taken.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Read every event that waits once more; those that pass now count from when they came.

    Safe to repeat, and to end at any moment.
    """
    from expplat.flow.refused_events import replay_failed

    here = platform()
    replayed = replay_failed(
        uow=here.uow(), now=here.now, dry_run=dry_run, max_age=here.settings.max_event_age
    )
    if as_json:
        say_json(replayed)
        return
    taken = "would be taken" if dry_run else "were taken"
    say(f"{replayed.tried} events tried: {replayed.taken} {taken}, {replayed.known} were known.")
    if replayed.left:
        say(f"Go on waiting: {_counted(replayed.codes)}.")


@command(app, "discard")
def discard_command(
    code: Annotated[
        str, typer.Argument(help="The reason, as `events list` counts it: `unknown_experiment`.")
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say how many.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let the events that were refused for one reason wait no more.

    They are not tried again and make room for others; their rows stay as history.
    """
    from expplat.flow.refused_events import discard

    here = platform()
    discarded = discard(code, uow=here.uow(), now=here.now, dry_run=dry_run)
    if as_json:
        say_json({"code": code, "discarded": discarded})
        return
    say(f"{discarded} × {code} {'would be' if dry_run else 'were'} discarded.")


def _counted(codes: Mapping[str, int]) -> str:
    return ", ".join(f"{count} × {code}" for code, count in codes.items())


def _row(event: QuarantinedEvent) -> tuple[str, ...]:
    # What was sent is shown, never obeyed: a terminal knows control characters above ASCII too.
    body = "".join(
        sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in event.body
    )
    shown = body if len(body) <= SHOWN_CHARACTERS else f"{body[:SHOWN_CHARACTERS]}…"
    received = f"{event.received_at:%Y-%m-%d %H:%M:%S}"
    return str(event.number), received, event.kind, event.source, event.reason, shown

"""`expplat flags show|push`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from expplat.flow.flags import FlagState
    from expplat.flow.push import Pushed
    from expplat.wiring import Platform

app = typer.Typer(help="What services are served.", no_args_is_help=True, rich_markup_mode=None)


@command(app, "show")
def show_command(as_json: AsJson = False) -> None:
    """Show what every flag serves now."""
    found = _served(platform())
    if as_json:
        from expplat.adapters.growthbook.rules import feature

        say_json([{"flag": state, "feature": feature(state)} for state in found])
    elif found:
        table(
            ("flag", "serves", "in test", "test", "since"),
            [(s.slug, _serves(s), _share(s), _test(s), f"{s.changed_at:%F %R}") for s in found],
        )
    else:
        say("No flag yet. `expplat promote` makes the first.")


@command(app, "push")
def push_command(
    slugs: Annotated[list[str] | None, typer.Argument(help="Which flags; none for all.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Read there, and only say what would be written.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring flags to the GrowthBook server that your services already ask.

    EXPPLAT_GROWTHBOOK_URL says where it is, EXPPLAT_GROWTHBOOK_KEY holds a secret key of it, and
    EXPPLAT_GROWTHBOOK_ENVIRONMENT names the environment (production). Only features and experiments
    with the tag `expplat` are touched, and only what differs is written: safe to repeat.
    """
    from expplat.flow.push import push_flags

    here = platform()
    done = []
    for pushed in push_flags(
        slugs or (), _served(here), server=here.flag_server(), is_dry_run=dry_run
    ):
        done.append(pushed)
        if not as_json:
            _tell(pushed)
    if as_json:
        say_json(done)
    elif not done:
        say("No flag yet. `expplat promote` makes the first.")
    worst = max((pushed.exit_status for pushed in done), default=0)
    if worst:
        raise typer.Exit(worst)


def _served(here: Platform) -> tuple[FlagState, ...]:
    from expplat.flow.push import served_flags

    return served_flags(uow=here.uow(readonly=True), reader=here.spec_reader, flags=here.flags)


def _tell(pushed: Pushed) -> None:
    if pushed.fault:
        typer.echo(f"error: {pushed.slug}: {pushed.fault}", err=True)
        if pushed.hint:
            typer.echo(f"  {pushed.hint}", err=True)
        return
    would = "would " if pushed.is_dry_run else ""
    tail = ", ".join(pushed.writes)
    say(f"{pushed.slug}: {pushed.sentence}; {would + tail if tail else 'already so'}.")


def _serves(state: FlagState) -> str:
    if state.is_test:
        return "a test"
    return state.winner if state.is_graduated else "control"


def _share(state: FlagState) -> str:
    return f"{state.traffic_percent:g} %" if state.is_test else ""


def _test(state: FlagState) -> str:
    from expplat.adapters.growthbook.rules import tracking_key

    key = tracking_key(state.slug, state.phase)
    return f"{key}, held closed" if state.is_closed else key

"""`expplat watch`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, warn
from expplat.cli._words import AsJson
from expplat.errors import DependencyError, TryLaterError

if TYPE_CHECKING:
    from expplat.flow.watch import Watched


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "watch")
    def watch_command(
        once: Annotated[bool, typer.Option("--once", help="Look once, then end.")] = False,
        every_s: Annotated[
            float, typer.Option("--every", min=0.1, metavar="SECONDS", help="How often to look.")
        ] = 60.0,
        as_json: AsJson = False,
    ) -> None:
        """Ramp, graduate and roll back by itself.

        Looks at every running test, again and again, and does what the evidence asks for.
        While the database is away it goes on trying; with --once it ends with 3.
        """
        from expplat.flow.watch import WATCHER, watch_once

        here = platform()
        while True:
            try:
                _show(watch_once(here.desk(by=WATCHER)), as_json=as_json)
            except (DependencyError, TryLaterError) as error:
                if once:
                    raise
                warn(f"{error.message} The next look is in {every_s:g} s.")
            if once:
                return
            time.sleep(every_s)


def _show(watched: tuple[Watched, ...], *, as_json: bool) -> None:
    if as_json:
        say_json([one._asdict() for one in watched])
        return
    for one in watched:
        say(f"{one.slug}: {one.action}. {one.sentence}")
    if not watched:
        say("No online test is running.")

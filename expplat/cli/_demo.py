"""`expplat demo`."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from expplat.cli._entry import command
from expplat.cli._list import show_table
from expplat.cli._say import progress_bar, say


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "demo")
    def demo_command(
        folder: Annotated[Path, typer.Argument(help="Where.")] = Path("demo-workspace"),
        fresh: Annotated[
            bool, typer.Option("--fresh", help="Remove what an earlier demo left there.")
        ] = False,
    ) -> None:
        """Walk three POCs from paper to fate.

        The text is real, the replays are real, and the users are simulated.
        """
        from expplat.demo.walk import run

        told = run(folder.absolute(), fresh=fresh, say=say, bar=progress_bar)
        say("\nClaimed → replayed → online (the users were simulated)\n")
        show_table(told)
        say(f"\nWritten: {folder / 'summary.json'}")
        say(f"Look at it: cd {folder} && {_own_name()} ui   prints the link with its key to")
        say("  pages   http://127.0.0.1:8787/")
        say("  MLflow  http://127.0.0.1:8787/mlflow/")


def _own_name() -> str:
    """Return how this very command is typed from another folder."""
    found = shutil.which("expplat")
    return "expplat" if found else str(Path(sys.argv[0]).absolute())

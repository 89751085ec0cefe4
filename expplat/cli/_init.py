"""`expplat init`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expplat.cli._entry import command
from expplat.cli._say import say


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "init")
    def init(
        folder: Annotated[Path, typer.Argument(help="Where; this folder if left out.")] = Path(),
    ) -> None:
        """Make a new workspace.

        It gets experiments/, pocs/, prices and a sample request log.
        """
        from expplat.adapters.scaffold import new_workspace

        for path in new_workspace(folder.absolute()):
            say(f"made {path}")
        say("Next: `expplat propose --new my_technique` in that folder.")

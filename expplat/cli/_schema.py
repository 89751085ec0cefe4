"""`expplat schema`."""

from __future__ import annotations

import json

import typer

from expplat.cli._entry import command
from expplat.cli._say import say


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "schema")
    def schema() -> None:
        """Print the JSON Schema of experiment files."""
        from expplat.adapters.spec_file import json_schema

        say(json.dumps(json_schema(), indent=2, ensure_ascii=False))

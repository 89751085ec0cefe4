"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

Slug = Annotated[str, typer.Argument(help="The POC, as in experiments/<slug>.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Reason = Annotated[str, typer.Option("--reason", "-m", help="Why; it stands in the history.")]

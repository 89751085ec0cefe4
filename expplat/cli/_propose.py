"""`expplat propose`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from expplat.cli._entry import command, desk, platform
from expplat.cli._say import say, say_json
from expplat.cli._words import AsJson
from expplat.errors import InputError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "propose")
    def propose_command(
        file: Annotated[Path | None, typer.Argument(help="experiments/<slug>.yaml")] = None,
        new: Annotated[
            str | None, typer.Option("--new", metavar="SLUG", help="Write a file and code to edit.")
        ] = None,
        as_json: AsJson = False,
    ) -> None:
        """Register a technique as a POC.

        Its file and its code are checked, all faults at once, and frozen by their hashes.
        """
        if (file is None) == (new is None):
            raise InputError(
                "propose takes a file, or --new with a slug.",
                hint="Such as `expplat propose experiments/hybrid_rrf.yaml`.",
            )
        if new is not None:
            _scaffold(new)
        elif file is not None:
            _propose(file, as_json=as_json)


def _scaffold(slug: str) -> None:
    from expplat.adapters.scaffold import new_poc

    for path in new_poc(platform().settings.workspace, slug):
        say(f"made {path}")
    say(f"Edit both, then `expplat propose experiments/{slug}.yaml`.")


def _propose(file: Path, *, as_json: bool) -> None:
    from expplat.adapters.spec_file import read_regular_file
    from expplat.flow.propose import propose

    here = platform()
    poc, is_new = propose(
        read_regular_file(file),
        str(file),
        workspace=here.settings.workspace,
        code=here.variant_code,
        desk=desk(here),
    )
    if as_json:
        say_json({"slug": poc.slug, "stage": poc.stage, "changed": is_new, "newest": poc.newest})
    elif is_new:
        say(f"{poc.slug} is proposed, frozen as {poc.newest.proposal_sha256[:12]}.")
        say(f"Next: `expplat replay {poc.slug}`.")
    else:
        say(f"{poc.slug} is {poc.stage} already, with this very file; nothing changed.")

"""`expplat audit verify`."""

from __future__ import annotations

import typer

from expplat.cli._entry import GATE_NOT_PASSED, command, platform
from expplat.cli._say import say, say_json
from expplat.cli._words import AsJson

app = typer.Typer(help="The hash-chained history.", no_args_is_help=True, rich_markup_mode=None)


@app.callback()
def _group() -> None:
    """The hash-chained history."""


@command(app, "verify")
def verify_command(as_json: AsJson = False) -> None:
    """Recompute every hash of every history; exit with 1 where a row was changed."""
    from expplat.flow.audit import verify

    audit = verify(uow=platform().uow(readonly=True))
    if as_json:
        findings = [finding._asdict() for finding in audit.findings]
        say_json({**audit._asdict(), "findings": findings})
    else:
        say(f"{audit.transitions} transitions of {audit.pocs} POCs read.")
        for finding in audit.findings:
            say(f"  {finding.slug}, row {finding.position}: {finding.sentence}")
        say("The history is not what was written." if audit.findings else "All are intact.")
    if audit.findings:
        raise typer.Exit(GATE_NOT_PASSED)

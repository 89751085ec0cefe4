"""The command `expplat`: what there is, in the order of a POC's walk."""

from __future__ import annotations

import sys
from io import TextIOWrapper

import typer

from expplat.cli import (
    _analyze,
    _audit,
    _compare,
    _db,
    _decide,
    _demo,
    _doctor,
    _events,
    _flags,
    _graduate,
    _init,
    _keys,
    _list,
    _plan,
    _promote,
    _propose,
    _ramp,
    _reject,
    _replay,
    _rollback,
    _schema,
    _selftest,
    _serve,
    _show,
    _status,
    _ui,
    _watch,
)

app = typer.Typer(
    name="expplat",
    help="Take a technique from a paper to production, with evidence.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    epilog="Exit status: 0 done, 1 a gate did not pass, 2 your input, 3 a dependency.",
)

for module in (
    _demo, _init, _propose, _replay, _plan, _promote, _ramp, _graduate, _rollback, _reject, _watch,
    _analyze, _compare, _decide, _list, _show, _status, _serve, _ui, _schema, _doctor, _selftest,
):  # fmt: skip
    module.register(app)
app.add_typer(_flags.app, name="flags")
app.add_typer(_keys.app, name="keys")
app.add_typer(_events.app, name="events")
app.add_typer(_db.app, name="db")
app.add_typer(_audit.app, name="audit")


def _version(wanted: bool) -> None:
    if wanted:
        from expplat import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version and exit."
    ),
) -> None:
    """Take a technique from a paper to production, with evidence."""


def main() -> None:
    """Run the command line."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A sign that a terminal does not know costs nobody the answer.
            stream.reconfigure(errors="replace")
    app()

"""`expplat doctor`."""

from __future__ import annotations

from collections.abc import Callable

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json
from expplat.cli._words import AsJson
from expplat.errors import ExpplatError


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "doctor")
    def doctor_command(as_json: AsJson = False) -> None:
        """Check what expplat stands on: workspace, database, history, MLflow, Ray, prices."""
        from expplat.flow.audit import verify

        here = platform()
        checks: dict[str, Callable[[], str]] = {
            "workspace": lambda: str(here.settings.workspace),
            "database": lambda: here.sql_engine.url.render_as_string(hide_password=True),
            "history": lambda: _history(len(verify(uow=here.uow()).findings)),
            "prices": lambda: f"as of {here.prices.read(here.settings.workspace).as_of}",
            "mlflow": lambda: here.tracking.probe(),
            "ray": lambda: here.engine("ray").probe(),
        }
        results = {name: _answer(check) for name, check in checks.items()}
        if as_json:
            say_json({name: {"ok": ok, "detail": detail} for name, (ok, detail) in results.items()})
        else:
            for name, (ok, detail) in results.items():
                say(f"{'✓' if ok else '✗'} {name:<10} {detail}")
        if not all(ok for ok, _ in results.values()):
            raise typer.Exit(3)


def _answer(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except ExpplatError as error:
        return False, f"{error.message} {error.hint}".strip()


def _history(findings: int) -> str:
    if findings:
        from expplat.errors import InputError

        raise InputError(
            f"{findings} rows were changed.", hint="`expplat audit verify` names them."
        )
    return "intact"

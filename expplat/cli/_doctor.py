"""`expplat doctor`."""

from __future__ import annotations

import shutil
import socket
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json
from expplat.cli._words import AsJson
from expplat.errors import ConfigurationError, EngineError, ExpplatError, InputError

if TYPE_CHECKING:
    from expplat.flow.ports import Flags, UnitOfWork

REACH_S = 5.0

LEAST_FREE_BYTES = 500_000_000
"""Room for a day of events and their write-ahead log."""


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "doctor")
    def doctor_command(as_json: AsJson = False) -> None:
        """Check what expplat stands on.

        Workspace, database (integrity, durability, partitions, triggers, quarantine, clock, disk,
        history), emergency brake, prices, MLflow, Ray.
        """
        here = platform()
        checks: dict[str, Callable[[], str]] = {
            "workspace": lambda: str(here.settings.workspace),
            "database": lambda: here.sql_engine.url.render_as_string(hide_password=True),
            "integrity": lambda: checkup().integrity(here.sql_engine),
            "durability": lambda: checkup().durability(here.sql_engine),
            "partitions": lambda: checkup().partitions(here.sql_engine),
            "triggers": lambda: checkup().triggers(here.sql_engine),
            "quarantine": lambda: _quarantine(checkup().waiting_events(here.sql_engine)),
            "clock": lambda: checkup().clock(here.sql_engine, here.now()),
            "disk": lambda: _disk(here.settings.state_dir),
            "brake": lambda: _brake(here.flags),
            "history": lambda: _history(here.uow(readonly=True)),
            "prices": lambda: f"as of {here.prices.read(here.settings.workspace).as_of}",
            "mlflow": here.tracking.probe,
            "ray": lambda: _ray(here.settings.ray_address),
        }
        results = {name: _answer(check) for name, check in checks.items()}
        if as_json:
            say_json({name: {"ok": ok, "detail": detail} for name, (ok, detail) in results.items()})
        else:
            for name, (ok, detail) in results.items():
                say(f"{'✓' if ok else '✗'} {name:<10} {detail}")
        if not all(ok for ok, _ in results.values()):
            raise typer.Exit(EngineError.exit_status)


def _answer(check: Callable[[], str]) -> tuple[bool, str]:
    try:
        return True, check()
    except ExpplatError as error:
        return False, f"{error.message} {error.hint}".strip()


def checkup() -> ModuleType:
    """Return the checks of the database, imported when the first of them is made."""
    from expplat.adapters.sql import checkup

    return checkup


def _quarantine(waiting: int) -> str:
    from expplat.adapters.sql.quarantine import MAX_WAITING

    if not waiting:
        return "empty"
    if waiting >= MAX_WAITING:
        raise ConfigurationError(
            f"{waiting} refused events wait, and no more are kept.",
            hint="`expplat events list` says why; `expplat events replay-failed` takes in what can "
            "be read by now, and `expplat events discard` gives up what never will be.",
        )
    return f"{waiting} refused events wait; `expplat events list` says why"


def _disk(folder: Path) -> str:
    """Say how much room the state folder has."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < LEAST_FREE_BYTES:
        raise ConfigurationError(
            f"{free / 1e6:.0f} MB are free where {folder} lies.",
            hint=f"Make room for {LEAST_FREE_BYTES / 1e6:.0f} MB; a full disk stops ingestion.",
        )
    return f"{free / 1e9:.1f} GB free where {folder} lies"


def _brake(flags: Flags) -> str:
    """Say which flags are held closed; a brake that cannot be read is a failure."""
    held = ", ".join(sorted(flags.closed()))
    return f"on for {held}" if held else "readable, and on for no flag"


def _history(uow: UnitOfWork) -> str:
    from expplat.flow.audit import verify

    audit = verify(uow=uow)
    if audit.findings:
        count = len(audit.findings)
        raise InputError(f"{count} rows changed.", hint="`expplat audit verify` names them.")
    return f"{audit.transitions} transitions of {audit.pocs} POCs, intact"


def _ray(address: str) -> str:
    """Say what would run a replay; a cluster must answer at its port."""
    if not address:
        return f"Ray {version('ray')}, started on this machine when it is needed"
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, ValueError) as error:
        raise EngineError(
            f"No Ray answers at {address}: {error}.", hint="Check EXPPLAT_RAY_ADDRESS."
        ) from error
    return f"Ray {version('ray')}, the cluster at {address}"

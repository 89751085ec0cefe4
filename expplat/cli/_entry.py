"""Where an error meets an exit status: the entry point of every command.

0 done · 1 a gate did not pass · 2 your input · 3 a dependency · 70 a fault of expplat itself ·
75 try later · 78 configuration · 130 interrupted
"""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import typer

from expplat.errors import DependencyError, ExpplatError, FaultsError, InputError

if TYPE_CHECKING:
    from expplat.flow.desk import Desk
    from expplat.wiring import Platform

P = ParamSpec("P")
R = TypeVar("R")

GATE_NOT_PASSED = 1
OWN_FAULT = 70
INTERRUPTED = 130

UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})
"""Of an error that names no file: it is that of what we print to."""


def command(app: typer.Typer, name: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register a command whose errors become a sentence, a hint and an exit status."""

    def register(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return function(*args, **kwargs)
            except ExpplatError as error:
                complain(error)
                raise typer.Exit(error.exit_status) from None
            except KeyboardInterrupt:
                typer.echo("Interrupted. The same command again goes on from here.", err=True)
                raise typer.Exit(INTERRUPTED) from None
            except (typer.Exit, typer.Abort, BrokenPipeError):
                raise
            except Exception as error:  # noqa: BLE001  (the entry point: no traceback reaches a user)
                raise typer.Exit(_own_fault(error)) from None

        app.command(name)(guarded)
        return guarded

    return register


def complain(error: ExpplatError) -> None:
    """Put an error to a person, on standard error: every fault of a file on a line of its own."""
    typer.echo(f"error: {error.message}", err=True)
    if isinstance(error, FaultsError):
        for fault in error.faults:
            place = f"{error.source}:{fault.line}" if fault.line else error.source
            field = f" {fault.field}:" if fault.field else ""
            typer.echo(f"  {place}:{field} {fault.message}", err=True)
            if fault.hint:
                typer.echo(f"      {fault.hint}", err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)


def platform() -> Platform:
    """Return the platform of the workspace that we stand in."""
    from expplat.settings import Settings
    from expplat.wiring import Platform

    try:
        here = Path.cwd()
    except FileNotFoundError:
        raise InputError("The folder that you stand in is gone.", hint="`cd` to another.") from None
    return Platform(settings=Settings.from_env(os.environ, here))


def desk(platform: Platform) -> Desk:
    """Return the desk at which the person who typed sits."""
    return platform.desk(by=_user())


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user of that number
        return f"uid {os.getuid()}"


def _own_fault(error: Exception) -> int:
    """Tell what nobody foresaw; return the exit status."""
    if isinstance(error, OSError) and error.filename is None and error.errno in UNWRITABLE:
        reason = f"The answer could not be written: {error.strerror}."
        complain(DependencyError(reason, hint="`expplat list` says what stands."))
        return DependencyError.exit_status
    typer.echo(f"error: this is a fault of expplat: {type(error).__name__}: {error}", err=True)
    hint = "`expplat list` says what stands. EXPPLAT_DEBUG=1 shows where it happened."
    typer.echo(f"  {hint}", err=True)
    if os.environ.get("EXPPLAT_DEBUG"):
        import traceback

        traceback.print_exception(error, file=sys.stderr)
    return OWN_FAULT

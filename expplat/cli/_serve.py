"""`expplat serve`."""

from __future__ import annotations

import os
import socket
from typing import Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say
from expplat.errors import InputError

Host = Annotated[str | None, typer.Option(help="EXPPLAT_HOST, else 127.0.0.1.")]
Port = Annotated[int | None, typer.Option(min=1, max=65535, help="EXPPLAT_PORT, else 8787.")]


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "serve")
    def serve_command(
        host: Host = None,
        port: Port = None,
        watch_every_s: Annotated[
            float, typer.Option("--watch-every", min=0.0, help="Seconds; 0: do not watch.")
        ] = 60.0,
    ) -> None:
        """Serve flags, events and pages.

        The running tests are watched beside it.
        """
        serve(host, port, watch_every_s=watch_every_s)


def serve(host: str | None, port: int | None, *, watch_every_s: float) -> None:
    """Run the service until it is told to stop.

    Raises:
        InputError: If the port is in use.
        DependencyError: If the emergency brake cannot be read.
    """
    import uvicorn

    settings = platform().settings
    at = (host or settings.host, port or settings.port)
    must_be_free(*at)
    os.environ.update(
        EXPPLAT_HOST=at[0],
        EXPPLAT_PORT=str(at[1]),
        EXPPLAT_WATCH_EVERY_S=str(watch_every_s),
    )
    # What is away, unknown or unreadable is said before we listen: the database, and the brake.
    platform().sql_engine.dispose()
    platform().flags.closed()
    say(f"expplat serves on http://{at[0]}:{at[1]}; Ctrl-C ends it.")
    uvicorn.run(
        "expplat.api.app:create_app_from_env",
        factory=True,
        http="expplat.api.limits.patience:PatientProtocol",
        host=at[0],
        port=at[1],
        log_level="warning",
        timeout_graceful_shutdown=3,
        timeout_keep_alive=5,
        server_header=False,
    )


def must_be_free(host: str, port: int) -> None:
    """Make sure that nobody listens there.

    Raises:
        InputError: If somebody does, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise InputError(
                f"expplat cannot listen on {host}:{port}: {error.strerror}.",
                hint="Choose another with --port, or stop what listens there.",
            ) from error

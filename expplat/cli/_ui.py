"""`expplat ui`."""

from __future__ import annotations

import signal
from types import FrameType

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say
from expplat.cli._serve import Host, Port, must_be_free, serve


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "ui")
    def ui_command(host: Host = None, port: Port = None) -> None:
        """Serve the pages and MLflow, behind one key.

        Prints a link with a key of its own, which is revoked when the command ends.
        """
        from expplat.flow import keys

        here = platform()
        at = (host or here.settings.host, port or here.settings.port)
        must_be_free(*at)
        new = keys.create("admin", "expplat ui", uow=here.uow(), now=here.now)
        address = f"http://{at[0]}:{at[1]}"
        say(f"Pages:  {address}/?key={new.secret}")
        say(f"MLflow: {address}/mlflow/  (open the pages first)")
        # The server ends well at a signal, and raises it again: the key is to be revoked first.
        signal.signal(signal.SIGTERM, _end)
        signal.signal(signal.SIGHUP, lambda number, frame: signal.raise_signal(signal.SIGTERM))
        try:
            serve(*at, watch_every_s=0.0)
        finally:
            keys.revoke(new.key.key_id, uow=here.uow(), now=here.now)


def _end(number: int, frame: FrameType | None) -> None:
    del frame
    raise SystemExit(128 + number)

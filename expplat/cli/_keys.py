"""`expplat keys create|list|revoke`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson

app = typer.Typer(
    help="Keys for services, browsers and scripts.", no_args_is_help=True, rich_markup_mode=None
)


class KeyKind(StrEnum):
    """What a key opens."""

    CLIENT = "client"
    INGEST = "ingest"
    ADMIN = "admin"


@command(app, "create")
def create_command(
    kind: Annotated[KeyKind, typer.Option(help="client: flags; ingest: events; admin: all else.")],
    name: Annotated[str, typer.Option(help="Whose it is, such as `search-service`.")],
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown this once; only a hash is kept."""
    from expplat.flow import keys

    here = platform()
    new = keys.create(kind.value, name, uow=here.uow(), now=here.now)
    if as_json:
        say_json(new)
    else:
        say(new.secret)
        typer.echo(f"{new.key.key_id}: a key of the kind {kind} for {new.key.name}.", err=True)


@command(app, "list")
def list_command(as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    from expplat.flow import keys

    found = keys.all_keys(uow=platform().uow())
    if as_json:
        say_json(found)
        return
    table(
        ("id", "kind", "name", "begins with", "created", "revoked"),
        [
            (
                key.key_id,
                key.kind,
                key.name,
                key.prefix,
                f"{key.created_at:%Y-%m-%d %H:%M}",
                f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
            )
            for key in found
        ],
    )


@command(app, "revoke")
def revoke_command(
    key_id: Annotated[str, typer.Argument(help="As `expplat keys list` shows it.")],
) -> None:
    """Revoke a key, at once."""
    from expplat.flow import keys

    here = platform()
    keys.revoke(key_id, uow=here.uow(), now=here.now)
    say(f"{key_id} is revoked.")

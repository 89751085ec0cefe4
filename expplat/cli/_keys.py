"""`expplat keys create|list|rotate|revoke`."""

from __future__ import annotations

from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import command, platform
from expplat.cli._say import say, say_json, table
from expplat.cli._words import AsJson

if TYPE_CHECKING:
    from expplat.flow.keys import NewKey

app = typer.Typer(
    help="Keys for services, browsers and scripts.", no_args_is_help=True, rich_markup_mode=None
)


KeyId = Annotated[str, typer.Argument(help="As `expplat keys list` shows it.")]


class KeyKind(StrEnum):
    """What a key opens."""

    CLIENT = "client"
    INGEST = "ingest"
    ADMIN = "admin"


class Delivery(StrEnum):
    """How a client key is served its flags."""

    PLAIN = "plain"
    ENCRYPTED = "encrypted"
    REMOTE = "remote"


@command(app, "create")
def create_command(
    kind: Annotated[KeyKind, typer.Option(help="client: flags; ingest: events; admin: all else.")],
    name: Annotated[str, typer.Option(help="Whose it is, such as `search-service`.")],
    delivery: Annotated[
        Delivery,
        typer.Option(help="plain; encrypted: clients hold its key; remote: evaluated here."),
    ] = Delivery.PLAIN,
    events: Annotated[
        bool, typer.Option("--events", help="Let a client key send events too (`/track`).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown this once; only a hash is kept."""
    from expplat.flow import keys

    here = platform()
    new = keys.create(
        kind.value,
        name,
        uow=here.uow(),
        now=here.now,
        delivery=delivery.value,
        writes_events=events,
    )
    _show(new, as_json)


@command(app, "rotate")
def rotate_command(key_id: KeyId, as_json: AsJson = False) -> None:
    """Make a second key of the same connection; revoke the old one when nobody uses it any more."""
    from expplat.flow import keys

    here = platform()
    _show(keys.rotate(key_id, uow=here.uow(), now=here.now), as_json)


@command(app, "list")
def list_command(as_json: AsJson = False) -> None:
    """List all keys, without their secrets."""
    from expplat.flow import keys

    found = keys.all_keys(uow=platform().uow(readonly=True))
    if as_json:
        secret = {"payload_key"}
        say_json([{n: v for n, v in asdict(key).items() if n not in secret} for key in found])
        return
    table(
        ("id", "kind", "name", "begins with", "flags", "created", "revoked"),
        [
            (
                key.key_id,
                key.kind,
                key.name,
                key.prefix,
                key.delivery if key.kind == KeyKind.CLIENT else "",
                f"{key.created_at:%Y-%m-%d %H:%M}",
                f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else "",
            )
            for key in found
        ],
    )


@command(app, "revoke")
def revoke_command(
    key_id: KeyId,
) -> None:
    """Revoke a key, at once."""
    from expplat.flow import keys

    here = platform()
    keys.revoke(key_id, uow=here.uow(), now=here.now)
    say(f"{key_id} is revoked.")


def _show(new: NewKey, as_json: bool) -> None:
    if as_json:
        say_json(new)
        return
    say(new.secret)
    typer.echo(f"{new.key.key_id}: a key of the kind {new.key.kind} for {new.key.name}.", err=True)
    if new.key.payload_key:
        typer.echo(f"Its clients decrypt with the key {new.key.payload_key}", err=True)

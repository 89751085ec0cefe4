"""Access keys: made, listed, revoked and checked. A secret is shown once and kept as a hash."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field, replace

from expplat.errors import InputError, KeyRefusedError, NotFoundError
from expplat.flow.ports import AccessKey, Clock, UnitOfWork

PREFIXES: dict[str, str] = {"client": "sdk-", "ingest": "eik_", "admin": "eak_"}
"""How the secret of each kind begins. A client key reads flags and is no secret to its users; an
ingest key writes events; an admin key reads everything."""

DELIVERIES = ("plain", "encrypted", "remote")
"""How a client key is served: every rule, every rule encrypted, or only what one user is given."""

_RANDOM_BYTES = 32
_PAYLOAD_KEY_BYTES = 16
"""AES-128, which is what SDKs decrypt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key at the only moment when its secret is known."""

    key: AccessKey
    secret: str = field(repr=False)


def create(
    kind: str,
    name: str,
    *,
    uow: UnitOfWork,
    now: Clock,
    delivery: str = "plain",
    writes_events: bool = False,
) -> NewKey:
    """Make a key; its secret is in the answer and nowhere else.

    Args:
        kind: `client`, `ingest` or `admin`.
        name: What it is for, such as `search service`; 1 to 100 characters.
        uow: Where the hash is kept.
        now: When it was made.
        delivery: How a client key is served: `plain`, `encrypted` or `remote`.
        writes_events: Whether a client key may also send events.

    Raises:
        InputError: If there is no such kind or delivery, the name is empty or too long, or what
            only a client key can have is asked for another.
    """
    _must_be_one(kind, name, delivery, writes_events)
    encrypts = delivery == "encrypted"
    wanted = AccessKey(
        key_id="",
        kind=kind,
        name=name.strip(),
        prefix="",
        created_at=now(),
        delivery=delivery,
        payload_key=_random_payload_key() if encrypts else None,
        writes_events=writes_events,
    )
    new = _with_secret(wanted)
    new = replace(new, key=replace(new.key, connection=new.key.key_id))
    return _kept(new, uow)


def rotate(key_id: str, *, uow: UnitOfWork, now: Clock) -> NewKey:
    """Make a second key of the same connection: the old one goes on until it is revoked.

    What is sent again under the new secret is known as what was sent under the old one.

    Raises:
        NotFoundError: If there is no live key of that id.
    """
    with uow:
        live = {key.key_id: key for key in uow.keys.all() if key.revoked_at is None}
    if key_id not in live:
        raise NotFoundError(
            f"No live key has the id {key_id!r}.", hint="`expplat keys list` names them."
        )
    return _kept(_with_secret(replace(live[key_id], created_at=now())), uow)


def all_keys(*, uow: UnitOfWork) -> tuple[AccessKey, ...]:
    """Return every key, oldest first, revoked ones too."""
    with uow:
        return uow.keys.all()


def revoke(key_id: str, *, uow: UnitOfWork, now: Clock) -> None:
    """Refuse a key from now on; a second time changes nothing.

    Raises:
        NotFoundError: If there is no key of that id.
    """
    with uow:
        known = {key.key_id: key for key in uow.keys.all()}
        if key_id in known and known[key_id].revoked_at is not None:
            return
        uow.keys.revoke(key_id, now())
        uow.commit()


def check(secret: str, kinds: Collection[str], uow: UnitOfWork) -> AccessKey:
    """Return the key of a secret.

    Raises:
        KeyRefusedError: If it is unknown, revoked, or of none of these kinds.
    """
    with uow:
        key = uow.keys.find(_sha256(secret))
    if key is None or key.revoked_at is not None:
        raise refused()
    if key.kind not in kinds:
        raise KeyRefusedError(
            f"A key of the kind {key.kind} does not open this.",
            hint=f"It takes a key of the kind {' or '.join(sorted(kinds))}.",
        )
    return key


def refused() -> KeyRefusedError:
    """Return the one answer to a secret that opens nothing, whatever the reason."""
    return KeyRefusedError(
        "The key is unknown or was revoked.", hint="`expplat keys create` makes a new one."
    )


def key_id_of(secret: str) -> str:
    """Return the id of a secret's key: the first 96 bits of its SHA-256.

    So a server that holds the list of keys in memory can recognise a secret while the database is
    away; nobody can find a second secret with the same id.
    """
    return _sha256(secret)[:24]


def _must_be_one(kind: str, name: str, delivery: str, writes_events: bool) -> None:
    if kind not in PREFIXES:
        raise InputError(f"There are no {kind!r} keys.", hint=f"Kinds: {', '.join(PREFIXES)}.")
    if not 1 <= len(name.strip()) <= 100:
        raise InputError("A key needs a name of 1 to 100 characters.", hint="Say what it is for.")
    if delivery not in DELIVERIES:
        raise InputError(
            f"Flags are not delivered {delivery!r}.", hint=f"Choose of {', '.join(DELIVERIES)}."
        )
    if kind != "client" and (delivery != "plain" or writes_events):
        raise InputError(
            "Only a client key is served flags, and only it can be let send events besides.",
            hint="Use `--kind client`, or leave the other options out.",
        )


def _with_secret(wanted: AccessKey) -> NewKey:
    secret = PREFIXES[wanted.kind] + secrets.token_urlsafe(_RANDOM_BYTES)
    return NewKey(key=replace(wanted, key_id=key_id_of(secret), prefix=secret[:8]), secret=secret)


def _kept(new: NewKey, uow: UnitOfWork) -> NewKey:
    with uow:
        uow.keys.add(new.key, _sha256(new.secret))
        uow.commit()
    return new


def _random_payload_key() -> str:
    return base64.b64encode(secrets.token_bytes(_PAYLOAD_KEY_BYTES)).decode()


def _sha256(secret: str) -> str:
    # A lone surrogate from a header is a wrong key, not a broken one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()

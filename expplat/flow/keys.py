"""Access keys: made, listed, revoked and checked. A secret is shown once and kept as a hash."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection
from dataclasses import dataclass, field

from expplat.errors import InputError, KeyRefusedError
from expplat.flow.ports import AccessKey, Clock, UnitOfWork

PREFIXES: dict[str, str] = {"client": "sdk-", "ingest": "eik_", "admin": "eak_"}
"""How the secret of each kind begins. A client key reads flags and is no secret to its users; an
ingest key writes events; an admin key reads everything."""

_RANDOM_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """A key at the only moment when its secret is known."""

    key: AccessKey
    secret: str = field(repr=False)


def create(kind: str, name: str, *, uow: UnitOfWork, now: Clock) -> NewKey:
    """Make a key; its secret is in the answer and nowhere else.

    Args:
        kind: `client`, `ingest` or `admin`.
        name: What it is for, such as `search service`; 1 to 100 characters.
        uow: Where the hash is kept.
        now: When it was made.

    Raises:
        InputError: If there is no such kind, or the name is empty or too long.
    """
    if kind not in PREFIXES:
        raise InputError(f"There are no {kind!r} keys.", hint=f"Kinds: {', '.join(PREFIXES)}.")
    if not 1 <= len(name.strip()) <= 100:
        raise InputError("A key needs a name of 1 to 100 characters.", hint="Say what it is for.")
    secret = PREFIXES[kind] + secrets.token_urlsafe(_RANDOM_BYTES)
    key = AccessKey(
        key_id=key_id_of(secret), kind=kind, name=name.strip(), prefix=secret[:8], created_at=now()
    )
    with uow:
        uow.keys.add(key, _sha256(secret))
        uow.commit()
    return NewKey(key=key, secret=secret)


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


def _sha256(secret: str) -> str:
    # A lone surrogate from a header is a wrong key, not a broken one.
    return hashlib.sha256(secret.encode(errors="surrogatepass")).hexdigest()

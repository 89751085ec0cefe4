"""Access keys; of a secret only its hash is here."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Connection, Select, func, insert, select, update

from expplat.adapters.sql.tables import access_keys
from expplat.errors import NotFoundError
from expplat.flow.ports import AccessKey

SHOWN = [column for column in access_keys.c if column.name != "secret_sha256"]


class SqlKeys:
    """Access keys by the SHA-256 of their secret."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, key: AccessKey, secret_sha256: str) -> None:
        """Keep a key.

        Raises:
            ConflictError: If the id or the secret is taken.
        """
        row = {column.name: getattr(key, column.name) for column in SHOWN}
        self._connection.execute(insert(access_keys), row | {"secret_sha256": secret_sha256})

    def find(self, secret_sha256: str) -> AccessKey | None:
        """Return the key of that secret, also a revoked one; None where there is none."""
        found = self._read(select(*SHOWN).where(access_keys.c.secret_sha256 == secret_sha256))
        return found[0] if found else None

    def all(self) -> tuple[AccessKey, ...]:
        """Return every key, oldest first."""
        return self._read(select(*SHOWN).order_by(access_keys.c.created_at, access_keys.c.key_id))

    def revoke(self, key_id: str, at: datetime) -> None:
        """Revoke a key, or raise NotFoundError; the first revocation stands."""
        first = func.coalesce(access_keys.c.revoked_at, at)
        own = update(access_keys).where(access_keys.c.key_id == key_id)
        if self._connection.execute(own.values(revoked_at=first)).rowcount == 0:
            raise NotFoundError(
                f"No key has the id {key_id!r}.", hint="`expplat keys list` names them."
            )

    def _read(self, wanted: Select[*tuple[object, ...]]) -> tuple[AccessKey, ...]:
        return tuple(AccessKey(**row._mapping) for row in self._connection.execute(wanted))

"""Proposals, histories and looks: written once, never changed."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from expplat.adapters.sql.inserts import insert_or_ignore
from expplat.adapters.sql.tables import looks, proposals, transitions
from expplat.domain.online import Look
from expplat.domain.plain import canonical_json, from_plain
from expplat.domain.poc import Poc, Stage, Transition
from expplat.errors import ConflictError, NotFoundError

_OF_ONE_POC = (
    select(transitions)
    .where(transitions.c.slug == bindparam("slug"))
    .order_by(transitions.c.position)
)
"""Made once: every batch of events asks it."""

_ALL = select(transitions).order_by(transitions.c.slug, transitions.c.position)

TURN_ID = 0x7475726E
"""Names the advisory lock of PostgreSQL by which promotions take turns."""


class SqlPocs:
    """POCs and their histories."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, slug: str) -> Poc:
        """Return the POC of that name; one without history where there is none."""
        rows = self._connection.execute(_OF_ONE_POC, {"slug": slug})
        return Poc(slug=slug, history=_history(rows))

    def get(self, slug: str) -> Poc:
        """Return the POC of that name, or raise NotFoundError."""
        poc = self.find(slug)
        if not poc.history:
            raise NotFoundError(
                f"No POC is called {slug!r}.", hint="`expplat list` names them all."
            )
        return poc

    def all(self, *, but: Collection[str] = ()) -> tuple[Poc, ...]:
        """Return every POC, by slug; one query, however many there are."""
        rows = self._connection.execute(_ALL)
        return tuple(
            Poc(slug=slug, history=_history(own))
            for slug, own in groupby(rows, attrgetter("slug"))
            if slug not in but
        )

    def unreadable(self) -> tuple[tuple[str, int], ...]:
        """Return slug and position of the rows that cannot be read at all: nobody wrote them so."""
        found = []
        for row in self._connection.execute(_ALL):
            try:
                _transition(dict(row._mapping))
            except (TypeError, ValueError):
                found.append((row.slug, row.position))
        return tuple(found)

    def transitions(self) -> int:
        """Return how many transitions were ever written: the same number is the same histories."""
        return self._connection.scalars(select(func.count()).select_from(transitions)).one()

    def add_newest(self, poc: Poc) -> None:
        """Add the newest transition.

        Raises:
            ConflictError: If another writer has taken its place.
            ValueError: If its hash is not of what a reader will find.
        """
        newest = poc.newest
        values = {name: getattr(newest, name) for name in transitions.c.keys()}  # noqa: SIM118  (no dict: iterating gives columns)
        values["stage"] = newest.stage.value
        values["evidence"] = canonical_json(newest.evidence).decode()
        if not _transition(values).is_intact:
            raise ValueError(f"{poc.slug}: the newest transition is not what its hash was taken of")
        try:
            self._connection.execute(insert(transitions).values(values))
        except ConflictError as error:
            raise ConflictError(
                f"Another writer was faster: {poc.slug} has moved on since it was read.",
                hint=f"Nothing was changed. Look at it with `expplat show {poc.slug}`.",
            ) from error

    def take_turns(self) -> None:
        """Wait until every other transaction that called this has ended.

        On SQLite there is nothing to wait for: a transaction that writes is the only one.
        """
        if self._connection.dialect.name == "postgresql":
            self._connection.execute(select(func.pg_advisory_xact_lock(TURN_ID)))


class SqlProposals:
    """Files as they were submitted, by hash."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def add(self, *, sha256: str, slug: str, text: str, at: datetime) -> None:
        """Keep a file; the same hash again changes nothing."""
        row = {"sha256": sha256, "slug": slug, "text": text, "at": at}
        self._connection.execute(insert_or_ignore(self._connection, proposals), row)

    def text(self, sha256: str) -> str:
        """Return the file of that hash, or raise NotFoundError."""
        wanted = select(proposals.c.text).where(proposals.c.sha256 == sha256)
        text: str | None = self._connection.scalar(wanted)
        if text is None:
            raise NotFoundError(f"No proposal has the hash {sha256}.")
        return text


class SqlLooks:
    """Readings of online tests."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of(self, slug: str, phase: int) -> tuple[Look, ...]:
        """Return the looks of a phase, oldest first."""
        wanted = select(looks.c.look).where(looks.c.slug == slug, looks.c.phase == phase)
        found = self._connection.scalars(wanted.order_by(looks.c.position))
        return tuple(from_plain(Look, json.loads(text)) for text in found)

    def add(self, look: Look) -> None:
        """Keep a look.

        Raises:
            ConflictError: If another writer has taken its place.
        """
        row = {
            "slug": look.slug,
            "phase": look.phase,
            "position": look.position,
            "taken_at": look.snapshot.taken_at,
            "look": canonical_json(look).decode(),
        }
        try:
            self._connection.execute(insert(looks), row)
        except ConflictError as error:
            raise ConflictError(
                f"Another process has looked at {look.slug} in the same moment.",
                hint="Nothing was changed; its look counts.",
            ) from error


def _history(rows: Iterable[Row[Any]]) -> tuple[Transition, ...]:
    return tuple(_transition(dict(row._mapping)) for row in rows)


def _transition(values: dict[str, Any]) -> Transition:
    read = {"stage": Stage(values["stage"]), "evidence": json.loads(values["evidence"])}
    return Transition(**(values | read))

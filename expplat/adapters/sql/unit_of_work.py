"""One transaction, with everything that is kept in the database at hand."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from expplat.adapters.sql.decisions import SqlLooks, SqlPocs, SqlProposals
from expplat.adapters.sql.engine import READONLY
from expplat.adapters.sql.events import SqlEvents
from expplat.adapters.sql.failures import translated
from expplat.adapters.sql.keys import SqlKeys
from expplat.adapters.sql.quarantine import Quarantine
from expplat.adapters.sql.replays import SqlReplays
from expplat.flow.ports import Events, Keys, Looks, Pocs, Proposals, Replays


class SqlUnitOfWork:
    """One transaction on a database.

    On SQLite a unit of work holds the lock of the one writer from its beginning, so keep it short;
    with `readonly` it takes no lock, sees one state of the database, and can write nothing.
    """

    pocs: Pocs
    proposals: Proposals
    replays: Replays
    looks: Looks
    events: Events
    keys: Keys
    quarantine: Quarantine

    def __init__(self, engine: Engine | Callable[[], Engine], *, readonly: bool = False) -> None:
        """Keep an engine, or what opens one when the transaction begins."""
        self._engine = engine
        self._readonly = readonly
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        """Begin; raise DatabaseError where the database is out of reach."""
        assert self._connection is None, "a unit of work is one transaction at a time"
        engine = self._engine if isinstance(self._engine, Engine) else self._engine()
        try:
            connection = engine.connect()
        except PoolTimeoutError as error:
            raise translated(error, engine.url) from error
        try:
            self._begin(connection)
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        self.pocs = SqlPocs(connection)
        self.proposals = SqlProposals(connection)
        self.replays = SqlReplays(connection)
        self.looks = SqlLooks(connection)
        self.events = SqlEvents(connection)
        self.keys = SqlKeys(connection)
        self.quarantine = Quarantine(connection)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Roll back what was not committed."""
        assert self._connection is not None
        self._connection.close()
        self._connection = None

    def commit(self) -> None:
        """Keep it all, or raise ConflictError or DatabaseError and keep nothing."""
        assert self._connection is not None
        self._connection.commit()

    def _begin(self, connection: Connection) -> None:
        if self._readonly:
            connection.execution_options(**{READONLY: True})
            if connection.dialect.name == "postgresql":
                connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
        connection.begin()

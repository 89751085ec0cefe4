"""Answers that were paid for, kept so that nobody pays for them twice."""

from __future__ import annotations

import hashlib
import itertools
import json
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from expplat.domain.call import Usage
from expplat.domain.plain import from_plain, to_plain

T = TypeVar("T")

LOG = logging.getLogger(__name__)

MOST_CHARACTERS = 1_000_000
"""Longer answers, as JSON, are not kept."""

WAIT_S = 10.0
"""That one process waits for another's write."""

BROKEN = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
"""Answers of SQLite which say that the file itself is no good."""

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError, ArithmeticError)
"""What a kept answer that is not ours can end in when it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One answer, and what it cost when it was paid for."""

    text: str = ""
    retrieved: tuple[str, ...] = ()
    refused: bool = False
    confidence: float | None = None
    usages: tuple[Usage, ...] = ()
    cpu_ms: float = 0.0
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    cost_usd: Decimal = Decimal(0)
    """What was paid for it then; an answer that is used again costs this in every comparison."""


def key_of(*parts: Any) -> bytes:
    """Return 32 bytes that stand for all parts together, each of which has a plain form.

    The parts are what an answer depends on: the variant's hash, the prices' hash, the request as
    the variant sees it, and which repeat it is. The order of a mapping's keys changes nothing.

    Raises:
        ValueError: If a number is not finite.
        TypeError: If a part has no plain form.
    """
    content = json.dumps(to_plain(parts), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(content.encode(), digest_size=32).digest()


class CallCache:
    """Answers by key, in one SQLite file that the worker processes of one machine share.

    A process that is killed loses at most the answer that it was writing; a power cut may lose the
    last few. Nothing here ends a replay: with one warning, a file that is broken is left as it
    lies and another is begun beside it (`calls.1.db`), and where nothing can be written (a full
    disk) nothing is kept. SQLite's shared memory does not reach across machines: on a cluster each
    node needs a file of its own.
    """

    def __init__(self, path: Path) -> None:
        """Open the file, or make it; its folder must be there."""
        self._path = path
        self._lock = threading.Lock()
        self._connection: sqlite3.Connection | None = None
        self._opened = path
        with self._lock:
            self._guarded(self._open)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; from then on nothing is found or kept."""
        with self._lock:
            self._close()

    def find(self, key: bytes) -> Kept | None:
        """Return the answer of that key; None where there is none that can be read."""
        with self._lock:
            row = self._guarded(lambda: self._row(key))
        if row is None:
            return None
        try:
            plain = json.loads(row[0])
            found = from_plain(Kept, plain)
            return found if to_plain(found) == plain else None
        except UNREADABLE:
            return None

    def keep(self, key: bytes, kept: Kept) -> None:
        """Keep an answer; of two under one key the first stays.

        One that is too long is not kept, nor one with a number that is not finite.
        """
        try:
            answer = json.dumps(to_plain(kept), separators=(",", ":"))
        except ValueError:
            return
        if len(answer) > MOST_CHARACTERS:
            return
        with self._lock:
            self._guarded(lambda: self._add(key, answer))

    def _row(self, key: bytes) -> Any:
        if self._connection is None:
            return None
        return self._connection.execute("SELECT answer FROM calls WHERE key = ?", (key,)).fetchone()

    def _add(self, key: bytes, answer: str) -> None:
        if self._connection is not None:
            self._connection.execute("INSERT OR IGNORE INTO calls VALUES (?, ?)", (key, answer))

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Do the work; where the file is broken begin another, and where all fails give up."""
        try:
            return work()
        except sqlite3.Error as error:
            failure: Exception | None = error
            kind = _kind(error)
            if kind == sqlite3.SQLITE_BUSY and self._connection is not None:
                return None
            if kind in BROKEN:
                failure = self._begin_another(error)
        if failure is not None:
            LOG.warning("Answers are not kept from here on: %s.", failure)
            self._close()
        return None

    def _open(self) -> None:
        self._opened = _current(self._path)
        # Without transactions of Python's own: each statement is one.
        self._connection = sqlite3.connect(
            self._opened, timeout=WAIT_S, isolation_level=None, check_same_thread=False
        )
        _into_wal(self._connection)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS calls (key BLOB PRIMARY KEY, answer TEXT NOT NULL)"
        )

    def _begin_another(self, error: Exception) -> Exception | None:
        """Mark the broken file, for all processes, and open the next; return what fails then.

        It is not moved: SQLite finds its journal by name, and another process may have it open.
        """
        self._close()
        try:
            _mark_of(self._opened).touch()
            LOG.warning("Kept answers are begun anew: %s is broken (%s).", self._opened.name, error)
            self._open()
        except (sqlite3.Error, OSError) as another:
            return another
        return None

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _kind(error: sqlite3.Error) -> int | None:
    """Return SQLite's code of an error, without its finer part; None where Python raised it."""
    code: int | None = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _into_wal(connection: sqlite3.Connection) -> None:
    """Let readers and the writer not wait for each other.

    Raises:
        sqlite3.Error: If that cannot be done.
    """
    deadline = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.Error as error:
            # Two processes that begin a file together: here SQLite gives up without waiting.
            if _kind(error) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _current(path: Path) -> Path:
    """Return the first of the files `calls.db`, `calls.1.db`, … that is not marked as broken."""
    others = (path.with_name(f"{path.stem}.{n}{path.suffix}") for n in itertools.count(1))
    return next(file for file in itertools.chain([path], others) if not _mark_of(file).exists())


def _mark_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.broken")

"""Freezes a request log: every row checked, in canonical form, cut into shards."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from expplat.adapters.request_log.files import raw_rows
from expplat.adapters.request_log.ids import IdHashes, hash_of
from expplat.adapters.request_log.raw import LogFile, Raw
from expplat.adapters.request_log.rows import Row, RowReader
from expplat.adapters.request_log.sources import log_files, name_of
from expplat.domain.proposal import RequestLogSource
from expplat.errors import Fault, FaultsError
from expplat.flow.ports import FrozenLog

FAULTS = 100
"""Faults after which the rest of a log is not looked at."""


class RequestLogFiles:
    """Reads request logs from JSONL, CSV and Parquet files, wherever they lie, and from queries."""

    def freeze(
        self,
        source: RequestLogSource,
        *,
        workspace: Path,
        folder: Path,
        shard_requests: int,
        kept: Path | None = None,
    ) -> FrozenLog:
        """Check every row and write the shards into `folder/shards`, all or nothing.

        The log is read row by row and never held; of each request eight bytes are kept, to find
        duplicates. The hash is taken over the canonical rows in the order of the log, so that it
        depends neither on the format nor on the names of its columns, nor on the size of a shard.
        The rows of a query stand in the order of their ids; those of a database are kept in the
        file `kept`, and read from there the next time.

        Raises:
            InputError: If there is no such file, it is of no known format, or the query is wrong.
            ConfigurationError: If the variable that names the database is not set.
            DependencyError: If a store or a database cannot be reached.
            FaultsError: With every fault of the log (the first hundred).
        """
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".shards-", dir=folder))
        try:
            with log_files(source, workspace, draft, kept) as files:
                log = _frozen(source, files, draft, shard_requests)
            _put(draft, folder / "shards")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
        return log


def _frozen(
    source: RequestLogSource, files: list[LogFile], draft: Path, shard_requests: int
) -> FrozenLog:
    reader, ids = RowReader(source.columns), IdHashes()
    faults: list[Fault] = list(reader.faults)
    with _Shards(draft, shard_requests) as shards:
        for content in _contents(reader, files, ids, faults):
            shards.add(content)
    if len(faults) < FAULTS and (suspects := ids.suspects()):
        faults += itertools.islice(_repeats(reader, files, suspects), FAULTS - len(faults))
    if not shards.requests and not faults:
        faults.append(Fault(line=0, field="", message="The log holds no request."))
    if faults:
        raise FaultsError(name_of(source), tuple(faults[:FAULTS]))
    return FrozenLog(sha256=shards.sha256, requests=shards.requests, shards=shards.shards)


def _rows(reader: RowReader, files: list[LogFile]) -> Iterator[tuple[str, int, Row]]:
    """Give each row with its file, where there are several, and its line."""
    for file in files:
        within = f"{file.name}: " if len(files) > 1 else ""
        for raw in raw_rows(file, reader.columns):
            yield within, raw.line if isinstance(raw, Raw) else 0, reader.read(raw)


def _contents(
    reader: RowReader, files: list[LogFile], ids: IdHashes, faults: list[Fault]
) -> Iterator[bytes]:
    """Give the canonical form of each sound row, and gather the faults of the others."""
    for within, _, row in _rows(reader, files):
        if row.request_id and not ids.add(row.request_id):
            return
        if row.content:
            yield row.content
            continue
        faults += [
            Fault(line=f.line, field=f.field, message=f"{within}{f.message}", hint=f.hint)
            for f in row.faults
        ]
        if len(faults) >= FAULTS:
            return


def _repeats(reader: RowReader, files: list[LogFile], suspects: frozenset[int]) -> Iterator[Fault]:
    """Read the log again, and give each row whose id has stood before."""
    seen: dict[str, str] = {}
    for within, line, row in _rows(reader, files):
        if not row.request_id or hash_of(row.request_id) not in suspects:
            continue
        place = f"{within}line {line}"
        before = seen.setdefault(row.request_id, place)
        if before != place:
            message = f"{within}{row.request_id[:100]!r} stands on {before} already."
            yield Fault(line=line, field="request_id", message=message, hint="Ids are unique.")


class _Shards:
    """Writes rows into numbered files of equal size, and hashes them on the way."""

    def __init__(self, folder: Path, shard_requests: int) -> None:
        self._folder = folder
        self._size = shard_requests
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        self._close()

    @property
    def shards(self) -> int:
        return -(-self.requests // self._size)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def add(self, line: bytes) -> None:
        if self.requests % self._size == 0:
            self._close()
            self._file = (self._folder / f"{self.shards:05d}.jsonl").open("wb")
        assert self._file is not None
        self._file.write(line + b"\n")
        self._hash.update(line + b"\n")
        self.requests += 1

    def _close(self) -> None:
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()


def _put(draft: Path, place: Path) -> None:
    """Put the finished folder in its place; one that stands there moves out first."""
    draft.chmod(0o700)
    if place.exists():
        old = Path(tempfile.mkdtemp(prefix=".shards-", dir=place.parent))
        place.rename(old / "shards")
        draft.rename(place)
        shutil.rmtree(old)
    else:
        draft.rename(place)

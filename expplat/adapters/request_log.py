"""Freezes a request log: every row checked, in canonical form, cut into shards."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Self

from expplat.adapters.request_files import raw_rows
from expplat.adapters.request_raw import Faulty
from expplat.adapters.request_rows import RowReader
from expplat.domain.proposal import RequestLogSource
from expplat.errors import Fault, FaultsError, InputError
from expplat.flow.ports import FrozenLog

FAULTS = 100
"""Faults after which the rest of a log is not looked at."""


class RequestLogFiles:
    """Reads request logs from JSONL, CSV and Parquet files."""

    def freeze(
        self, source: RequestLogSource, *, workspace: Path, folder: Path, shard_requests: int
    ) -> FrozenLog:
        """Check every row and write the shards into `folder/shards`, all or nothing.

        The log is read row by row and never held; of each request only the id is kept, to find
        duplicates. The hash is taken over the canonical rows in the order of the log, so that it
        depends neither on the format nor on the names of its columns, nor on the size of a shard.

        Raises:
            InputError: If there is no such file, or it is of no known format.
            FaultsError: With every fault of the log (the first hundred).
        """
        files = _files(source.path, workspace)
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=".shards-", dir=folder))
        try:
            log = _frozen(source, files, draft, shard_requests)
            _put(draft, folder / "shards")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            if is_new and not any(folder.iterdir()):
                folder.rmdir()
        return log


def _frozen(
    source: RequestLogSource, files: list[Path], draft: Path, shard_requests: int
) -> FrozenLog:
    reader = RowReader(source.columns)
    faults: list[Fault] = list(reader.faults)
    with _Shards(draft, shard_requests) as shards:
        for line in _lines(reader, files, faults):
            shards.add(line)
        if not shards.requests and not faults:
            faults.append(Fault(line=0, field="", message="The log holds no request."))
    if faults:
        raise FaultsError(source.path, tuple(faults[:FAULTS]))
    return FrozenLog(sha256=shards.sha256, requests=shards.requests, shards=shards.shards)


def _lines(reader: RowReader, files: list[Path], faults: list[Fault]) -> Iterator[bytes]:
    """Give the canonical form of each sound row, and gather the faults of the others."""
    for file in files:
        within = f"{file.name}: " if len(files) > 1 else ""
        for raw in raw_rows(file, reader.columns):
            found = raw if isinstance(raw, Faulty) else reader.read(raw, within)
            if isinstance(found, bytes):
                yield found
                continue
            faults += [
                Fault(line=f.line, field=f.field, message=f"{within}{f.message}", hint=f.hint)
                for f in found.faults
            ]
            if len(faults) >= FAULTS:
                return


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


def _files(path: str, workspace: Path) -> list[Path]:
    """Return the files of a path or a glob, sorted by name."""
    if any(letter in path for letter in "*?["):
        absolute = Path(path)
        root = Path(absolute.anchor) if absolute.is_absolute() else workspace
        found = sorted(root.glob(str(absolute.relative_to(absolute.anchor))))
    else:
        found = [workspace / path]
    files = [file for file in found if file.is_file()]
    if not files:
        raise InputError(
            f"There is no request log {path} in the workspace.",
            hint=f"The path starts at {workspace}; it may be a glob, such as data/log-*.jsonl.",
        )
    return files

"""The journal of a replay: one JSONL file a shard, one line a request, written once.

    <folder>/plan.json              whose journal it is
    <folder>/shards/00000.jsonl     requests, as `RequestLogFiles` froze them
    <folder>/journal/00000.jsonl    rows, in the order of the shard: always a beginning of it
    <folder>/journal/00000.call     the call that is under way, for whoever finds its worker dead
    <folder>/journal/00000.lock     held by the one process that writes the shard's journal

A row is one `write` of one line, so that a killed process loses at most the request in flight; a
line that a power cut tore is passed over by readers and cut off by the next writer.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from expplat.domain.plain import canonical_json, from_plain
from expplat.domain.replay import ReplayPlan, ReplayRow
from expplat.errors import ConflictError, EngineError, TryLaterError

FSYNC_ROWS = 20
"""Rows between two flushes to the disk: what a power cut may cost, for 0.1 ms a row."""

CALL_WIDTH = 64
"""Bytes of the note of the call under way; always the same, so that one write replaces it whole."""

ENGINE_WAIT_S = 2.0
"""How long an engine waits for another one that runs the same replay."""

_CHUNK = 1 << 20


class ReplayJournal:
    """Reads what engines have journalled."""

    def rows(self, plan: ReplayPlan) -> Iterator[ReplayRow]:
        """Return the journalled rows in the order of the log; a torn last line is passed over.

        Raises:
            ConflictError: If the folder holds the journal of another plan.
            EngineError: If a journal is broken in another way than by a torn last line.
        """
        must_belong(plan)
        for shard in range(plan.shards):
            for number, line in enumerate(_whole_lines(journal_path(plan, shard))):
                yield _row(line, plan, shard, number)


class ShardJournal:
    """Writes the journal of one shard; held by one process at a time."""

    def __init__(self, plan: ReplayPlan, shard: int, *, wait_s: float = 90.0) -> None:
        """Wait up to `wait_s` seconds for a dying process to let go of the shard.

        Raises:
            TryLaterError: If it does not.
        """
        path = journal_path(plan, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = locked(path.with_suffix(".lock"), wait_s=wait_s)
        self._lock.__enter__()
        self._rows = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        self._call = os.open(call_path(plan, shard), os.O_RDWR | os.O_CREAT, 0o600)
        self._unflushed = 0
        self.count = _cut_torn_line(self._rows)
        """Rows that it holds: so many requests of the shard are done."""

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Flush, and let go of the shard."""
        os.fsync(self._rows)
        os.close(self._rows)
        os.close(self._call)
        self._lock.__exit__(None, None, None)

    def note_call(self, position: int, arm: str) -> None:
        """Note the call that begins, so that whoever finds this process dead knows which it was."""
        os.pwrite(self._call, f"{position} {arm}".ljust(CALL_WIDTH).encode(), 0)

    def note_rest(self) -> None:
        """Note that no call is under way."""
        os.pwrite(self._call, b" " * CALL_WIDTH, 0)

    def add(self, row: ReplayRow) -> None:
        """Append a row.

        Raises:
            EngineError: If the disk is full or gone.
        """
        line = memoryview(canonical_json(row) + b"\n")
        try:
            while line:
                line = line[os.write(self._rows, line) :]
            self._unflushed += 1
            if self._unflushed >= FSYNC_ROWS:
                os.fsync(self._rows)
                self._unflushed = 0
        except OSError as error:
            raise EngineError(
                f"The journal cannot be written: {error.strerror}.",
                hint="Make room on the disk of the state folder and replay again.",
            ) from error
        self.count += 1


class Progressed:
    """Counts the rows of a journal while others write it, reading every byte once."""

    def __init__(self, plan: ReplayPlan) -> None:
        self._plan = plan
        self._seen: dict[int, tuple[int, int]] = {}

    def rows(self, shard: int) -> int:
        """Return how many rows the shard has now."""
        offset, count = self._seen.get(shard, (0, 0))
        try:
            with journal_path(self._plan, shard).open("rb") as file:
                file.seek(offset)
                for line in file:
                    if line.endswith(b"\n"):
                        offset += len(line)
                        count += 1
        except FileNotFoundError:
            return 0
        self._seen[shard] = (offset, count)
        return count

    def unfinished(self) -> list[int]:
        """Return the shards of which rows are missing now."""
        plan = self._plan
        return [s for s in range(plan.shards) if self.rows(s) < shard_size(plan, s)]

    def total(self) -> int:
        """Return how many rows were counted so far, in all shards that were looked at."""
        return sum(count for _, count in self._seen.values())


@contextmanager
def held(plan: ReplayPlan) -> Iterator[Progressed]:
    """Hold the folder of a replay for one engine; give what its journal holds already.

    Raises:
        ConflictError: If the folder holds another plan's journal.
        TryLaterError: If another process runs the same replay.
    """
    with locked(Path(plan.folder) / "engine.lock", wait_s=ENGINE_WAIT_S):
        claim(plan)
        yield Progressed(plan)


def claim(plan: ReplayPlan) -> None:
    """Write into the folder whose journal it is; nothing changes where it says so already.

    Raises:
        ConflictError: If it is another plan's.
    """
    folder = Path(plan.folder)
    path = folder / "plan.json"
    if not path.exists():
        draft = folder / f".plan-{os.getpid()}.json"
        draft.write_bytes(canonical_json(plan))
        draft.replace(path)
    must_belong(plan)


def must_belong(plan: ReplayPlan) -> None:
    """Raise ConflictError if the folder holds the journal of another plan."""
    try:
        found = json.loads((Path(plan.folder) / "plan.json").read_bytes())
    except FileNotFoundError:
        return
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("replay_id") != plan.replay_id:
        raise ConflictError(
            f"{plan.folder} holds the journal of another replay than {plan.replay_id}.",
            hint="Remove that folder; it is made anew.",
        )


def shard_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the requests of a shard are."""
    return Path(plan.folder) / "shards" / f"{shard:05d}.jsonl"


def journal_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the rows of a shard are."""
    return Path(plan.folder) / "journal" / f"{shard:05d}.jsonl"


def call_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the call under way is noted."""
    return journal_path(plan, shard).with_suffix(".call")


def call_under_way(plan: ReplayPlan, shard: int) -> tuple[int, str] | None:
    """Return the position and the arm of the call that was noted last; None where none was."""
    try:
        noted = call_path(plan, shard).read_text().split()
    except FileNotFoundError:
        return None
    return (int(noted[0]), noted[1]) if len(noted) == 2 else None


def forget_call(plan: ReplayPlan, shard: int) -> None:
    """Forget the call that a dead worker had noted."""
    call_path(plan, shard).unlink(missing_ok=True)


def shard_size(plan: ReplayPlan, shard: int) -> int:
    """Return how many requests a shard holds; only the last may hold fewer than the others."""
    size = plan.measurement.shard_requests
    return max(0, min(size, plan.requests - shard * size))


@contextmanager
def locked(path: Path, *, wait_s: float) -> Iterator[None]:
    """Hold a lock that ends with this process, however it ends, and that its children do not hold.

    Raises:
        TryLaterError: If another process holds it for more than `wait_s` seconds.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _wait_for_lock(descriptor, wait_s)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, wait_s: float) -> None:
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if time.monotonic() >= deadline:
                raise TryLaterError(
                    "The same replay is being run by another process.",
                    hint="Wait for it, or end it; what it has measured is kept.",
                ) from None
            time.sleep(0.1)
        else:
            return


def _cut_torn_line(descriptor: int) -> int:
    """Cut off what follows the last line break; return how many lines are left."""
    count = end = offset = 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        count += chunk.count(b"\n")
        if b"\n" in chunk:
            end = offset + chunk.rindex(b"\n") + 1
        offset += len(chunk)
    if end != offset:
        os.ftruncate(descriptor, end)
    return count


def _whole_lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return


def _row(line: bytes, plan: ReplayPlan, shard: int, number: int) -> ReplayRow:
    try:
        plain: Any = json.loads(line)
        row = from_plain(ReplayRow, plain)
        position = row.position
    except (ValueError, TypeError, AttributeError, KeyError, ArithmeticError):
        position = -1
    if position != shard * plan.measurement.shard_requests + number:
        raise EngineError(
            f"The journal {journal_path(plan, shard)} is broken in line {number + 1}.",
            hint="Remove that file and replay again; the other shards are kept.",
        )
    return row

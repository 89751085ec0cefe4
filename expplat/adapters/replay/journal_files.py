"""Where the files of a replay lie, whose they are, and who may write them.

- `<folder>/plan.json`: whose journal it is
- `<folder>/engine.lock`: held by the one engine that runs the replay
- `<folder>/shards/00000.jsonl`: requests, as `RequestLogFiles` froze them
- `<folder>/journal/00000.jsonl`: rows of the shard, in any order, each written once
- `<folder>/journal/00000.answers`: what the variants answered, shortened, for people to look at
- `<folder>/journal/00000.calls`: the calls that are under way, one to each slot of the worker
- `<folder>/journal/00000.fatal`: calls that ended their worker, and are not made again
- `<folder>/journal/00000.sweep`: up to which sweep the shard is finished
- `<folder>/journal/00000.lock`: held by the one process that writes the shard's journal
- `<folder>/setups/<worker>.json`: what setting up took in a worker
- `<folder>/workers/<name>.log`: the beginning of what a worker printed
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from expplat.domain.plain import canonical_json
from expplat.domain.replay import ReplayPlan
from expplat.errors import ConflictError, TryLaterError

_CHUNK = 1 << 20


def shard_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the requests of a shard are."""
    return Path(plan.folder) / "shards" / f"{shard:05d}.jsonl"


def journal_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the rows of a shard are."""
    return Path(plan.folder) / "journal" / f"{shard:05d}.jsonl"


def answers_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the words of a shard's answers are."""
    return journal_path(plan, shard).with_suffix(".answers")


def calls_path(plan: ReplayPlan, shard: int) -> Path:
    """Return where the calls under way are noted."""
    return journal_path(plan, shard).with_suffix(".calls")


def setups_folder(plan: ReplayPlan) -> Path:
    """Return where the workers note what setting up took."""
    return Path(plan.folder) / "setups"


def shard_size(plan: ReplayPlan, shard: int) -> int:
    """Return how many requests a shard holds; only the last may hold fewer than the others."""
    size = plan.measurement.shard_requests
    return max(0, min(size, plan.requests - shard * size))


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
    (folder / "journal").mkdir(exist_ok=True)
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


def whole_lines(path: Path) -> Iterator[bytes]:
    """Return the lines of a file that is written to; a torn last one is passed over."""
    try:
        with path.open("rb") as file:
            yield from (line for line in file if line.endswith(b"\n"))
    except FileNotFoundError:
        return


def write_whole(descriptor: int, text: bytes) -> None:
    """Write all of it."""
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


def cut_torn_line(descriptor: int) -> None:
    """Cut off what follows the last line break."""
    end = offset = 0
    while chunk := os.pread(descriptor, _CHUNK, offset):
        if b"\n" in chunk:
            end = offset + chunk.rindex(b"\n") + 1
        offset += len(chunk)
    if end != offset:
        os.ftruncate(descriptor, end)


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

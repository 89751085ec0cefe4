"""The journal of a replay: written by workers shard by shard, read in the order of the log.

A row is one `write` of one line, so that a killed process loses at most what is in flight; a line
that a power cut tore is passed over by readers and cut off by the next writer. `journal_files`
says where everything lies.
"""

from __future__ import annotations

import json
import os
import time
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from expplat.adapters.replay.journal_files import (
    answers_path,
    calls_path,
    cut_torn_line,
    journal_path,
    locked,
    must_belong,
    setups_folder,
    shard_path,
    shard_size,
    whole_lines,
    write_whole,
)
from expplat.adapters.replay.journal_rows import BROKEN, key_of, line, line_of, row_of
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.shard_notes import mark_finished, write_note
from expplat.domain.replay import ReplayPlan, ReplayRow, Sample
from expplat.errors import EngineError

if TYPE_CHECKING:
    from expplat.metrics.columns import Columns

FLUSH_S = 1.0
"""Seconds between two flushes to the disk: what a power cut may cost. A flush takes milliseconds,
and after every few rows of a fast variant it would take more than all the rest."""

SHOWN_CHARACTERS = 4_000
"""Length to which the words of a request are cut for people."""


class ReplayJournal:
    """Reads what workers have journalled."""

    def rows(self, plan: ReplayPlan) -> Iterator[ReplayRow]:
        """Return the journalled rows in the order of the log, the repeats of a request in theirs.

        A torn last line is passed over. The rows of one shard are in memory at a time.

        Raises:
            ConflictError: If the folder holds the journal of another plan.
            EngineError: If a journal is broken in another way than by a torn last line.
        """
        must_belong(plan)
        for shard in range(plan.shards):
            yield from _rows_of(plan, shard)

    def columns(self, plan: ReplayPlan) -> Columns:
        """Return the journalled rows as columns on disk.

        Raises:
            ConflictError, EngineError: As `rows` does, or if the disk is full.
        """
        from expplat.adapters.replay.columns import kept_columns

        must_belong(plan)
        return kept_columns(plan, lambda: self.rows(plan))

    def samples(self, plan: ReplayPlan, positions: Collection[int]) -> tuple[Sample, ...]:
        """Return the first rows of these positions with their words, in the order of the log.

        Positions that nothing is journalled of are left out.
        """
        must_belong(plan)
        size = plan.measurement.shard_requests
        wanted: defaultdict[int, set[int]] = defaultdict(set)
        for position in positions:
            wanted[position // size].add(position)
        return tuple(
            sample for shard in sorted(wanted) for sample in _samples_of(plan, shard, wanted[shard])
        )

    def setups_ms(self, plan: ReplayPlan) -> Mapping[str, tuple[float, ...]]:
        """Return what setting up took in each worker, by arm, in ms."""
        found: defaultdict[str, list[float]] = defaultdict(list)
        for path in sorted(setups_folder(plan).glob("*.json")):
            for arm, spent_ms in json.loads(path.read_bytes()).items():
                found[arm].append(float(spent_ms))
        return {arm: tuple(spent) for arm, spent in found.items()}


def note_setup(plan: ReplayPlan, worker_name: str, spent_ms: Mapping[str, float]) -> None:
    """Note what setting up took in a worker, by arm, in ms.

    Args:
        plan: The replay.
        worker_name: Of letters, digits, `-` and `_`; a worker that is started anew takes another.
        spent_ms: By arm, imports included.
    """
    folder = setups_folder(plan)
    folder.mkdir(exist_ok=True)
    draft = folder / f".{worker_name}"
    draft.write_bytes(line(dict(spent_ms)))
    draft.replace(folder / f"{worker_name}.json")


class ShardJournal:
    """Writes the journal of one shard; held by one process at a time.

    `add` and `finish` belong to one thread, notes may come from any: each slot of a worker (0 to
    its concurrency less 1) notes what it is doing.
    """

    def __init__(self, plan: ReplayPlan, shard: int, *, wait_s: float = 90.0) -> None:
        """Wait up to `wait_s` seconds for a dying process to let go of the shard.

        Raises:
            EngineError: If the journal is broken in another way than by a torn last line.
            TryLaterError: If another process holds it for longer.
        """
        self._plan, self._shard, self._process = plan, shard, os.getpid()
        path = journal_path(plan, shard)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = locked(path.with_suffix(".lock"), wait_s=wait_s)
        self._lock.__enter__()
        appends = os.O_RDWR | os.O_CREAT | os.O_APPEND
        self._rows = os.open(path, appends, 0o600)
        self._answers = os.open(answers_path(plan, shard), appends, 0o600)
        self._calls = os.open(calls_path(plan, shard), os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._flushed_at = time.monotonic()
        cut_torn_line(self._rows)
        cut_torn_line(self._answers)
        self.done = _keys_of(plan, shard)
        """Position and repeat of each row that it holds."""

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
        for descriptor in (self._rows, self._answers, self._calls):
            os.close(descriptor)
        self._lock.__exit__(None, None, None)

    def note_call(self, slot: int, position: int, repeat: int, arm: str) -> None:
        """Note the call that begins now, so that whoever stands outside knows how long it takes.

        Each attempt at a call, and then the scoring of its answer, is noted anew: each has the
        plan's time limit for itself.
        """
        note = f"{position} {repeat} {arm} {time.monotonic():.3f}"
        self._must_be_no_copy()
        write_note(self._calls, slot, note)

    def note_rest(self, slot: int) -> None:
        """Note that the slot makes no call: it waits for somebody's rate limit, or is done."""
        self._must_be_no_copy()
        write_note(self._calls, slot, "")

    def add(self, row: ReplayRow, answers: Mapping[str, str]) -> None:
        """Append a row, and by arm the words of its answers, shortened.

        Raises:
            EngineError: If the disk is full or gone.
        """
        self._must_be_no_copy()
        words = {"position": row.position, "repeat": row.repeat, "answers": dict(answers)}
        try:
            write_whole(self._answers, line(words))
            write_whole(self._rows, line_of(row))
            if time.monotonic() - self._flushed_at >= FLUSH_S:
                os.fsync(self._rows)
                self._flushed_at = time.monotonic()
        except OSError as error:
            raise EngineError(
                f"The journal cannot be written: {error.strerror}.",
                hint="Make room on the disk of the state folder and replay again.",
            ) from error
        self.done.add((row.position, row.repeat))

    def finish(self, sweep: Sweep) -> None:
        """Mark the shard as finished up to this sweep: it is not handed out for it again."""
        mark_finished(self._plan, self._shard, sweep, len(self.done))

    def _must_be_no_copy(self) -> None:
        """End a copy of this process that a variant has forked, and that came back from its call.

        It holds no lock, and would write every further row of the shard a second time.
        """
        if os.getpid() != self._process:
            os._exit(1)


def _rows_of(plan: ReplayPlan, shard: int) -> list[ReplayRow]:
    rows: dict[tuple[int, int], ReplayRow] = {}
    for number, text in enumerate(whole_lines(journal_path(plan, shard))):
        try:
            row = row_of(text)
            key = (row.position, row.repeat)
            is_sound = key not in rows and _is_own(plan, shard, key)
        except BROKEN:
            is_sound = False
        if not is_sound:
            raise _broken(plan, shard, number)
        rows[key] = row
    return [rows[key] for key in sorted(rows)]


def _keys_of(plan: ReplayPlan, shard: int) -> set[tuple[int, int]]:
    keys: set[tuple[int, int]] = set()
    for number, text in enumerate(whole_lines(journal_path(plan, shard))):
        try:
            key = key_of(text)
            is_sound = key not in keys and _is_own(plan, shard, key)
        except BROKEN:
            is_sound = False
        if not is_sound:
            raise _broken(plan, shard, number)
        keys.add(key)
    return keys


def _is_own(plan: ReplayPlan, shard: int, key: tuple[int, int]) -> bool:
    position, repeat = key
    first = shard * plan.measurement.shard_requests
    is_here = first <= position < first + shard_size(plan, shard)
    return is_here and 0 <= repeat < plan.measurement.repeats


def _broken(plan: ReplayPlan, shard: int, number: int) -> EngineError:
    return EngineError(
        f"The journal {journal_path(plan, shard)} is broken in line {number + 1}.",
        hint="Remove that file and replay again; the other shards are kept.",
    )


def _samples_of(plan: ReplayPlan, shard: int, positions: set[int]) -> Iterator[Sample]:
    asked, answers = _asked(plan, shard, positions), _answers(plan, shard, positions)
    for row in _rows_of(plan, shard):
        if row.repeat == 0 and row.position in positions:
            position = row.position
            yield Sample(row=row, asked=asked.get(position, ""), answers=answers.get(position, {}))


def _asked(plan: ReplayPlan, shard: int, positions: set[int]) -> dict[int, str]:
    first = shard * plan.measurement.shard_requests
    with shard_path(plan, shard).open(encoding="utf-8") as lines:
        return {
            position: _shown(json.loads(text)["input"])
            for position, text in enumerate(lines, first)
            if position in positions
        }


def _shown(asked: Mapping[str, Any]) -> str:
    """Return an input for people: its only text, else the whole of it as JSON."""
    values = list(asked.values())
    text = values[0] if len(values) == 1 and isinstance(values[0], str) else None
    return (json.dumps(asked, ensure_ascii=False) if text is None else text)[:SHOWN_CHARACTERS]


def _answers(plan: ReplayPlan, shard: int, positions: set[int]) -> dict[int, dict[str, str]]:
    """Return the words of the first answers; those of a row that was written last count."""
    found: dict[int, dict[str, str]] = {}
    for text in whole_lines(answers_path(plan, shard)):
        plain = json.loads(text)
        if plain["repeat"] == 0 and plain["position"] in positions:
            found[plain["position"]] = plain["answers"]
    return found

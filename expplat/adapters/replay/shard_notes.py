"""What is noted beside the journal of a shard: calls under way, fatal calls, finished sweeps."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from expplat.adapters.replay.journal_files import (
    calls_path,
    cut_torn_line,
    journal_path,
    whole_lines,
    write_whole,
)
from expplat.adapters.replay.journal_rows import BROKEN, line
from expplat.adapters.replay.order import Sweep
from expplat.domain.replay import ReplayPlan
from expplat.domain.request import ErrorKind

NOTE_WIDTH = 96
"""Bytes of the note of a call under way; always the same, so that one write replaces it whole."""


def write_note(descriptor: int, slot: int, note: str) -> None:
    """Replace the note of a slot."""
    os.pwrite(descriptor, f"{note:<{NOTE_WIDTH - 1}}\n".encode(), slot * NOTE_WIDTH)


def mark_finished(plan: ReplayPlan, shard: int, sweep: Sweep, rows: int) -> None:
    """Mark a shard, which holds so many rows, as finished up to a sweep."""
    path = _sweep_path(plan, shard)
    draft = path.with_suffix(".draft")
    draft.write_bytes(line({**sweep._asdict(), "rows": rows}))
    draft.replace(path)


def finished_rows(plan: ReplayPlan, shard: int, sweep: Sweep) -> int | None:
    """Return how many rows a shard held when the sweep was finished in it; None if it is not.

    A power cut may have taken rows from the disk and left the mark: hold the two together.
    """
    try:
        found = json.loads(_sweep_path(plan, shard).read_bytes())
        marked = Sweep(found["round"], found["timed_only"])
        return int(found["rows"]) if _rank(marked) >= _rank(sweep) else None
    except (FileNotFoundError, *BROKEN):
        return None


class NotedCall(NamedTuple):
    """A call that is under way in a slot of a worker."""

    position: int
    repeat: int
    arm: str
    since: float
    """By CLOCK_MONOTONIC of the worker's machine."""

    @property
    def key(self) -> tuple[int, int, str]:
        """Position, repeat and arm: which call it is."""
        return self.position, self.repeat, self.arm


def calls_under_way(plan: ReplayPlan, shard: int) -> tuple[NotedCall, ...]:
    """Return the calls that were noted and not ended since."""
    try:
        notes = calls_path(plan, shard).read_bytes()
    except FileNotFoundError:
        return ()
    places = range(0, len(notes), NOTE_WIDTH)
    found = [_noted(notes[place : place + NOTE_WIDTH]) for place in places]
    return tuple(call for call in found if call is not None)


def forget_calls(plan: ReplayPlan, shard: int) -> None:
    """Forget the calls that a dead worker had noted."""
    calls_path(plan, shard).unlink(missing_ok=True)


def note_fatal(plan: ReplayPlan, shard: int, call: tuple[int, int, str], kind: ErrorKind) -> None:
    """Note a call (position, repeat, arm) that ended its worker, so that nobody makes it again."""
    descriptor = os.open(_fatal_path(plan, shard), os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        cut_torn_line(descriptor)
        write_whole(descriptor, line({"call": list(call), "kind": kind.value}))
    finally:
        os.close(descriptor)


def fatal_calls(plan: ReplayPlan, shard: int) -> dict[tuple[int, int, str], ErrorKind]:
    """Return the calls of a shard that ended their workers, and what each counts as."""
    found: dict[tuple[int, int, str], ErrorKind] = {}
    for text in whole_lines(_fatal_path(plan, shard)):
        plain = json.loads(text)
        position, repeat, arm = plain["call"]
        found[position, repeat, arm] = ErrorKind(plain["kind"])
    return found


def _noted(note: bytes) -> NotedCall | None:
    """Return the call of a note; None where there is none, or it is being written just now."""
    words = note.split()
    try:
        position, repeat, arm, since = words
        return NotedCall(int(position), int(repeat), arm.decode(), float(since))
    except ValueError:
        return None


def _rank(sweep: Sweep) -> tuple[int, bool]:
    return sweep.round, not sweep.timed_only


def _sweep_path(plan: ReplayPlan, shard: int) -> Path:
    return journal_path(plan, shard).with_suffix(".sweep")


def _fatal_path(plan: ReplayPlan, shard: int) -> Path:
    return journal_path(plan, shard).with_suffix(".fatal")

"""The journal of a replay as columns on disk, so that statistics read one metric at a time.

- `<folder>/columns/facts.json`: what the columns were made of, and what they add up to
- `<folder>/columns/00000.col`: a column, eight bytes an entry, little-endian

They are made in one pass over the journal, and made anew wherever the journal is not exactly what
they were made of: they are never more than a faster way to read it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np

from expplat.adapters.replay.journal_files import journal_path
from expplat.domain.plain import canonical_json, from_plain, sha256_of
from expplat.domain.replay import ReplayPlan, ReplayRow
from expplat.errors import EngineError
from expplat.metrics.columns import Column, Columns, Facts, RowBlocks, type_of, without_values

FORMAT = 1
"""Goes up where columns are made in another way, so that none of an earlier version are read."""

BLOCK_ROWS = 4_096
"""Rows in memory while columns are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    """The content of `facts.json`."""

    made_of: str
    facts: Facts


def kept_columns(plan: ReplayPlan, rows: Callable[[], Iterable[ReplayRow]]) -> Columns:
    """Return the columns of a replay; they are made where the journal has changed since.

    Args:
        plan: The replay.
        rows: Begins to read the journal.

    Raises:
        EngineError: If the journal is broken, or the disk is full or gone.
    """
    folder = Path(plan.folder) / "columns"
    made_of = _state(plan)
    facts = _known_facts(folder, made_of)
    if facts is None:
        try:
            facts = _write(folder, plan, rows(), made_of)
        except OSError as error:
            raise EngineError(
                f"The columns of the journal cannot be written: {error.strerror}.",
                hint="Make room on the disk of the state folder and replay again.",
            ) from error
    numbers = {name: number for number, name in enumerate(facts.columns)}
    return Columns(facts, lambda name: _read(folder, numbers[name], name, facts.rows))


def _state(plan: ReplayPlan) -> str:
    """Return a hash of what columns depend on; of the journal, sizes and times of its files."""
    files: list[tuple[int, int]] = []
    for shard in range(plan.shards):
        try:
            found = journal_path(plan, shard).stat()
        except FileNotFoundError:
            files.append((-1, -1))
        else:
            files.append((found.st_size, found.st_mtime_ns))
    return sha256_of((FORMAT, plan.replay_id, plan.metrics, files))


def _known_facts(folder: Path, made_of: str) -> Facts | None:
    """Return the facts of whole columns that were made of the same journal; None of any others."""
    try:
        kept = from_plain(_Kept, json.loads((folder / "facts.json").read_bytes()))
        if kept.made_of != made_of:
            return None
        sizes = {_path(folder, number).stat().st_size for number in range(len(kept.facts.columns))}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, ArithmeticError):
        return None
    return kept.facts if sizes <= {8 * kept.facts.rows} else None


def _write(folder: Path, plan: ReplayPlan, rows: Iterable[ReplayRow], made_of: str) -> Facts:
    draft = folder.with_name(f".columns-{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    try:
        blocks = RowBlocks(plan.metrics)
        for start, size, block in _blocks(blocks, rows):
            names = blocks.facts().columns
            for number, name in enumerate(names):
                _append(_path(draft, number), name, block, (start, size))
        facts = blocks.facts()
        (draft / "facts.json").write_bytes(canonical_json(_Kept(made_of=made_of, facts=facts)))
        shutil.rmtree(folder, ignore_errors=True)
        draft.rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return facts


def _blocks(
    blocks: RowBlocks, rows: Iterable[ReplayRow]
) -> Iterator[tuple[int, int, Mapping[str, Column]]]:
    """Yield where each block of rows begins, how many there are, and their columns."""
    left, start = iter(rows), 0
    while some := tuple(islice(left, BLOCK_ROWS)):
        yield start, len(some), blocks.block(some)
        start += len(some)


def _append(path: Path, name: str, block: Mapping[str, Column], rows: tuple[int, int]) -> None:
    """Append a column's block; a column that begins late gets entries without a value before."""
    start, size = rows
    with path.open("ab") as file:
        if file.tell() < 8 * start:
            file.write(without_values(name, start).astype(type_of(name)).tobytes())
        column = block[name] if name in block else without_values(name, size)
        file.write(column.astype(type_of(name), copy=False).tobytes())


def _read(folder: Path, number: int, name: str, rows: int) -> Column:
    path = _path(folder, number)
    column = np.fromfile(path, dtype=type_of(name)) if path.exists() else None
    if column is None or len(column) != rows:
        raise EngineError(
            f"The columns in {folder} have changed while they were read.",
            hint="Run the same replay again; they are made anew.",
        )
    return column


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:05d}.col"

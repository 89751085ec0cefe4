"""The rows of a replay as columns: one entry a row, read one metric at a time.

Rows become columns block by block (`RowBlocks`), and whoever keeps the blocks says how a whole
column is read (`Columns`): from memory (`columns_of`), or from files.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from expplat.domain.metric import Metric
from expplat.domain.replay import CallRecord, ReplayRow
from expplat.metrics.call_totals import CallCounter, CallTotals
from expplat.metrics.catalogue import is_latency, stage_of
from expplat.metrics.measured import Reader, reader_of

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
Column: TypeAlias = NDArray[Any]

POSITION, REPEAT, CLUSTER = "position", "repeat", "cluster"
_SEGMENT = "segment:"
_LATENCY, _FAILED, _STAGE, _METRIC = "latency_ms", "failed", "stage:", "metric:"

NONE = -1
"""Stands in a column of integers where there is no value; in one of floats NaN does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of all rows without reading a column."""

    rows: int
    is_ordered: bool
    """Whether the rows came in the order of the log, the repeats of a request in theirs."""

    columns: tuple[str, ...]
    """Names of all columns."""

    segments: Mapping[str, tuple[str, ...]]
    """Values of each segment key, in the order in which they came; columns hold their places."""

    totals: Mapping[str, CallTotals]
    """By arm."""


class Columns:
    """Columns of a replay, in the order of the log, the repeats of a request in theirs.

    What a failed call counts as is that of `errors: worst`; `failed` says which calls did.
    """

    def __init__(self, facts: Facts, load: Callable[[str], Column]) -> None:
        """Take what is known of the rows, and what reads a column of `facts.columns` whole."""
        self.facts = facts
        self._load = load

    @cached_property
    def positions(self) -> Integers:
        """Place of each row's request in the log, from 0."""
        return self._read(POSITION)

    @cached_property
    def requests(self) -> int:
        """How many requests there are."""
        return distinct(self.positions)

    @cached_property
    def clusters(self) -> Integers | None:
        """Number of each row's cluster, from 0; None where every request is its own."""
        found, numbers = np.unique(self._read(CLUSTER), return_inverse=True)
        return None if len(found) == self.requests else numbers.astype(np.int64, copy=False)

    def repeats(self) -> Integers:
        """Return which answer to its request each row is, from 0."""
        return self._read(REPEAT)

    def segment(self, key: str) -> Integers:
        """Return the place of each row's value in `facts.segments[key]`; -1 where it has none."""
        return self._read(_SEGMENT + key)

    def has(self, arm: str) -> Flags:
        """Return which rows hold a call of the arm."""
        return ~np.isnan(self._read(f"{arm}:{_FAILED}"))

    def failed(self, arm: str) -> Flags:
        """Return which rows hold a failed call of the arm."""
        failed: Flags = self._read(f"{arm}:{_FAILED}") == 1.0
        return failed

    def values(self, arm: str, metric: Metric) -> Floats:
        """Return the values of a metric under an arm; NaN where there is none."""
        return self._read(f"{arm}:{_source(metric)}")

    def latencies_ms(self, arm: str) -> Floats:
        """Return the latency of each timed call of the arm; NaN elsewhere."""
        return self._read(f"{arm}:{_LATENCY}")

    def stage_ms(self, arm: str, stage: str) -> Floats:
        """Return what each timed call of the arm spent in a stage; NaN where it never entered."""
        return self._read(f"{arm}:{_STAGE}{stage}")

    def stages(self, arm: str) -> tuple[str, ...]:
        """Return the stages that timed calls of the arm have entered, by name."""
        start = f"{arm}:{_STAGE}"
        return tuple(
            sorted(
                name.removeprefix(start) for name in self.facts.columns if name.startswith(start)
            )
        )

    def _read(self, name: str) -> Column:
        if name not in self.facts.columns:
            return without_values(name, self.facts.rows)
        column = self._load(name)
        if not self.facts.is_ordered:
            column = column[self._order]
        column.flags.writeable = False  # it may be the one that everybody reads
        return column

    @cached_property
    def _order(self) -> NDArray[np.intp]:
        return np.lexsort((self._load(REPEAT), self._load(POSITION)))


class RowBlocks:
    """Turns rows into columns, block by block, and adds up what belongs to no single row."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._readers: dict[str, Reader] = {
            name: reader_of(metric, "worst")
            for metric in metrics
            if (name := _source(metric)).startswith(_METRIC)
        }
        self._segments: dict[str, dict[str, int]] = {}
        self._totals: dict[str, CallCounter] = {}
        self._names: dict[str, None] = {}
        self._rows = 0
        self._newest = (-1, -1)
        self._is_ordered = True

    def block(self, rows: Sequence[ReplayRow]) -> Mapping[str, Column]:
        """Return the columns of some rows; a column that has no value in them may be missing."""
        found = _Block(len(rows))
        for place, row in enumerate(rows):
            self._add(found, place, row)
        self._rows += len(rows)
        self._names.update(dict.fromkeys(found.columns))
        return {name: np.frombuffer(column, _type(name)) for name, column in found.columns.items()}

    def facts(self) -> Facts:
        """Return what is known of the rows so far."""
        return Facts(
            rows=self._rows,
            is_ordered=self._is_ordered,
            columns=tuple(self._names),
            segments={key: tuple(codes) for key, codes in self._segments.items()},
            totals={arm: counter.totals() for arm, counter in self._totals.items()},
        )

    def _add(self, block: _Block, place: int, row: ReplayRow) -> None:
        newest = row.position, row.repeat
        self._is_ordered &= newest > self._newest
        self._newest = newest
        block.put(POSITION, place, row.position)
        block.put(REPEAT, place, row.repeat)
        block.put(CLUSTER, place, _code(row.cluster))
        for key, value in row.segment.items():
            codes = self._segments.setdefault(key, {})
            block.put(_SEGMENT + key, place, codes.setdefault(value, len(codes)))
        for arm, record in row.calls.items():
            self._totals.setdefault(arm, CallCounter()).add(record)
            self._add_call(block, place, f"{arm}:", record)

    def _add_call(self, block: _Block, place: int, start: str, record: CallRecord) -> None:
        block.put(start + _FAILED, place, float(record.error is not None))
        if record.is_timed:
            block.put(start + _LATENCY, place, record.latency_ms)
            for stage, spent_ms in record.stages_ms.items():
                block.put(f"{start}{_STAGE}{stage}", place, spent_ms)
        for name, read in self._readers.items():
            value = read(record)
            if value is not None:
                block.put(start + name, place, value)


class _Block:
    """Columns of so many rows, each made when it gets its first value."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self.columns: dict[str, Any] = {}

    def put(self, name: str, place: int, value: float) -> None:
        if name not in self.columns:
            is_integer = _type(name) is np.int64
            one = array("q", [NONE]) if is_integer else array("d", [math.nan])
            self.columns[name] = one * self._rows
        self.columns[name][place] = value


def columns_of(rows: Iterable[ReplayRow], metrics: Iterable[Metric]) -> Columns:
    """Return the columns of rows that fit into memory."""
    blocks = RowBlocks(metrics)
    found = blocks.block(tuple(rows))
    return Columns(blocks.facts(), lambda name: found[name])


def without_values(name: str, rows: int) -> Column:
    """Return a column that has no value in any row."""
    kind = _type(name)
    return np.full(rows, NONE if kind is np.int64 else math.nan, dtype=kind)


def type_of(name: str) -> np.dtype[Any]:
    """Return the type of a column's entries as it is kept: eight bytes, little-endian."""
    return np.dtype(_type(name)).newbyteorder("<")


def distinct(positions: Integers) -> int:
    """Return how many requests there are among ordered positions."""
    return int(np.count_nonzero(positions[1:] != positions[:-1])) + 1 if len(positions) else 0


def _type(name: str) -> type[np.int64] | type[np.float64]:
    is_integer = name in (POSITION, REPEAT, CLUSTER) or name.startswith(_SEGMENT)
    return np.int64 if is_integer else np.float64


def _source(metric: Metric) -> str:
    """Return the part of a column's name that says where a metric is read from."""
    if not is_latency(metric):
        return _METRIC + metric.name
    stage = stage_of(metric.name)
    return _LATENCY if stage is None else _STAGE + stage


def _code(cluster: str) -> int:
    """Return eight bytes of the hash of a cluster's name, as an integer."""
    found = blake2b(cluster.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(found, "little", signed=True)

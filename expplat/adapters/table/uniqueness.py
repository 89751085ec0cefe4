"""Whether every unit has one row: exact, and cheaper than grouping by the unit."""

from __future__ import annotations

import numpy as np
from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import whole
from expplat.adapters.table.source import WHOLE

AT_ONCE = 1 << 24
"""Most hashes that are held and sorted at a time: 128 MiB of them."""

BATCH_ROWS = 1 << 20

MOST_PLACES = 8
"""Whole numbers are crossed off a list where it needs at most so many bytes a row: as many as their
hashes would."""


def is_unique(relation: DuckDBPyRelation, column: str, rows: int) -> bool:
    """Return whether no two rows have the same value; rows without one do not count.

    Values of the same hash are taken for the same: what follows then groups by the values
    themselves, so that a collision costs time and changes no answer.

    Args:
        relation: Any rows.
        column: A column of them.
        rows: How many there are.
    """
    present = relation.filter(Column(column).isnotnull())
    crossed_off = _whole_numbers_differ(present, column, rows)
    if crossed_off is not None:
        return crossed_off
    hashes = present.select(Function("hash", Column(column)).alias("h"))
    parts = -(-rows // AT_ONCE)
    if parts <= 1:
        return _all_differ(hashes, rows)
    remainder = Column("h") % whole(parts)
    return all(
        _all_differ(hashes.filter(remainder == whole(part)), 2 * rows // parts)
        for part in range(parts)
    )


def _whole_numbers_differ(present: DuckDBPyRelation, column: str, rows: int) -> bool | None:
    """Cross each number off a list of all from the least to the greatest.

    None where they are no whole numbers, or lie too far apart for a list.
    """
    kind = str(present.types[present.columns.index(column)].id)
    if kind not in WHOLE - {"hugeint", "uhugeint", "ubigint"}:
        return None
    ends = (Function("min", Column(column)), Function("max", Column(column)))
    lowest, highest = present.aggregate(ends).fetchall()[0]
    if lowest is None or highest - lowest >= MOST_PLACES * rows:
        return None
    is_seen = np.zeros(highest - lowest + 1, dtype=np.bool_)
    count = 0
    places = present.select((Column(column).cast("BIGINT") - whole(lowest)).alias("place"))
    for batch in places.to_arrow_reader(BATCH_ROWS):
        part = np.from_dlpack(batch.column(0))
        is_seen[part] = True
        count += len(part)
    return int(np.count_nonzero(is_seen)) == count


def _all_differ(hashes: DuckDBPyRelation, most: int) -> bool:
    found = np.empty(most, dtype=np.uint64)
    end = 0
    for batch in hashes.to_arrow_reader(BATCH_ROWS):
        part = np.from_dlpack(batch.column(0))  # pyarrow's own `to_numpy` would import pandas
        if end + len(part) > most:
            return False  # far more values of one hash's remainder than chance gives
        found[end : end + len(part)] = part
        end += len(part)
    found = found[:end]
    found.sort()
    return not bool(np.any(found[1:] == found[:-1]))

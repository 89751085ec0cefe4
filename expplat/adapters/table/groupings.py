"""Columns whose values each saw one variant only: they, not the units, may have been randomised."""

from __future__ import annotations

from dataclasses import dataclass

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import whole
from expplat.adapters.table.rows import numbered, where
from expplat.adapters.table.source import TEXT, WHOLE, Source, kept
from expplat.adapters.table.structure import named_columns
from expplat.domain.question import Question
from expplat.domain.tally import Grouping

LEAST_GROUPS = 20
LEAST_EXPECTED = 10.0
"""Groups that chance would have mixed; none of ten happens once in twenty thousand tables."""

LEAST_SHARE = 0.25
"""Share of the groups that chance would have mixed."""

MOST_MIXED = 0.01
ALL_ROWS = 500_000
"""Up to so many rows a column is read whole; above, so many rows' worth of its values are drawn."""

MOST_COLUMNS = 40
FEW_VALUES = 20_000
"""A column with fewer values is read whole, however long it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What is known of the rows."""

    rows: int
    units: tuple[int, ...]
    """By variant."""

    is_repeated: bool
    """Whether units have several rows."""


def groupings_of(source: Source, question: Question, seen: Seen) -> tuple[Grouping, ...]:
    """Return the columns of text, days or whole numbers whose groups of units are hardly mixed.

    Args:
        source: The table.
        question: What was asked; the columns that it names are left out.
        seen: What is known of the rows.
    """
    named = named_columns(question)
    columns = [name for name in source.columns if name not in named]
    columns = [name for name in columns if source.kind(name) in TEXT | WHOLE | {"date"}]
    columns = columns[:MOST_COLUMNS]
    if question.unit is None or not columns:
        return ()
    keys = [source.text(question.variant).alias("v"), source.key(question.unit).alias("u")]
    texts = [source.text(name).alias(numbered("b", at)) for at, name in enumerate(columns)]
    cells = source.rows().select(*keys, *texts)
    if source.is_slow:
        cells = kept(source.connection, cells)
    cells = cells.filter(Column("v").isnotnull() & Column("u").isnotnull())
    found = (
        _grouping(cells.select("v", "u", Column(numbered("b", at)).alias("b")), name, seen)
        for at, name in enumerate(columns)
    )
    return tuple(one for one in found if one is not None)


def _grouping(cells: DuckDBPyRelation, column: str, seen: Seen) -> Grouping | None:
    cells = cells.filter(Column("b").isnotnull())
    if seen.rows > ALL_ROWS:
        cells = _drawn(cells, seen.rows)
    is_mixed = where(Column("v") != Column("w"), Column("v"))
    sizes = (
        _groups(cells, is_repeated=seen.is_repeated)
        .aggregate([Column("size"), Function("count_star"), Function("count", is_mixed)])
        .fetchall()
    )
    count = sum(int(size[1]) for size in sizes)
    mixed = sum(int(size[2]) for size in sizes)
    if count < LEAST_GROUPS or mixed >= MOST_MIXED * count:
        return None
    shares = [units / sum(seen.units) for units in seen.units]
    expected = sum(
        int(number) * (1 - sum(share ** int(size) for share in shares)) for size, number, _ in sizes
    )
    if expected < max(LEAST_EXPECTED, LEAST_SHARE * count):
        return None
    return Grouping(column=column, groups=count, mixed=mixed)


def _drawn(cells: DuckDBPyRelation, rows: int) -> DuckDBPyRelation:
    """Return all rows of some of the column's values, chosen by hash, so that groups stay whole."""
    values = cells.aggregate([Function("approx_count_distinct", Column("b"))]).fetchall()[0][0]
    if values < FEW_VALUES:
        return cells
    remainder = Function("hash", Column("b")) % whole(-(-rows // ALL_ROWS))
    return cells.filter(remainder == whole(0))


def _groups(cells: DuckDBPyRelation, *, is_repeated: bool) -> DuckDBPyRelation:
    """Return the values with two units or more: size, and the first and last of their variants."""
    size = Function("distinct_count", Column("u")) if is_repeated else Function("count_star")
    asked = [
        Column("b"),
        size.alias("size"),
        Function("min", Column("v")).alias("v"),
        Function("max", Column("v")).alias("w"),
    ]
    return cells.aggregate(asked).filter(Column("size") > whole(1))

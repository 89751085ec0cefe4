"""What a query sees of a CSV: numbers, days and booleans where a whole column is such, else text.

Whole numbers are only taken for such where they read the same when they are written out again: an
identifier 007, or one of thirty digits, keeps its column text, so that no two of them become one.
"""

from __future__ import annotations

from duckdb import CaseExpression, DuckDBPyRelation, Expression
from duckdb import ColumnExpression as Column
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import NOTHING, text
from expplat.adapters.table.source import Source

DIGITS = r"-?(0|[1-9][0-9]{0,17})"
FRACTION = r"[-+]?((0|[1-9][0-9]{0,14})(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?"
DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"

SHAPES = (
    ("BIGINT", DIGITS),
    ("DOUBLE", FRACTION),
    ("BOOLEAN", r"(?i:true|false)"),
    ("DATE", DAY),
    ("TIMESTAMP", rf"{DAY}[ T][0-9]{{2}}:[0-9]{{2}}(:[0-9]{{2}}(\.[0-9]+)?)?"),
)
"""Types, and how all cells of a column of that type are written; the first that fits is taken."""


def typed(source: Source) -> DuckDBPyRelation:
    """Return the rows; where all columns are text, as in a CSV, each as what all its cells are."""
    names = source.columns
    if {source.kind(name) for name in names} != {"varchar"}:
        return source.relation  # other files say themselves what they hold
    fits = [_fits(name, kind, shape) for name in names for kind, shape in SHAPES]
    found = iter(source.relation.aggregate(fits).fetchall()[0])
    kinds = {
        name: next((kind for kind, fit in [(kind, next(found)) for kind, _ in SHAPES] if fit), None)
        for name in names
    }
    return source.relation.select(*(_cell(name, kinds[name]) for name in names))


def _fits(name: str, kind: str, shape: str) -> Expression:
    """Ask whether every cell that is not blank is of a type; nothing where all are blank."""
    cell = Function("trim", Column(name))
    is_such = Function("regexp_full_match", cell, text(shape))
    is_such = is_such & Function("try_cast_to_" + kind.lower(), cell).isnotnull()
    return Function("bool_and", CaseExpression(_is_blank(name), NOTHING).otherwise(is_such))


def _cell(name: str, kind: str | None) -> Expression:
    if kind is None:
        return Column(name)
    cell = Function("try_cast_to_" + kind.lower(), Function("trim", Column(name)))
    return CaseExpression(_is_blank(name), NOTHING).otherwise(cell).alias(name)


def _is_blank(name: str) -> Expression:
    return Function("is_blank", Column(name))

"""A table as it lies: its columns, their types, and what a cell of theirs means."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count

from duckdb import (
    ColumnExpression,
    DuckDBPyConnection,
    DuckDBPyRelation,
    Expression,
)
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import number, text
from expplat.domain.question import AskedKind, AskedMetric, Condition

ALIAS = "data"
"""What the table is called, also in a query. Columns are named with it: `a.b` alone would be the
column b of a table a."""

WHOLE = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint"}
    | {"utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
)
FLOATING = frozenset({"float", "double"})
NUMBERS = WHOLE | FLOATING | {"decimal", "boolean"}
TEXT = frozenset({"varchar", "enum", "json"})

_NUMBERS = count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Rows in a file, in memory, or in a table of the connection."""

    connection: DuckDBPyConnection
    relation: DuckDBPyRelation = field(repr=False)  # to show it, DuckDB would run it
    name: str
    """For sentences about it."""

    is_slow: bool = False
    """Whether reading it again costs as much as the first time did."""

    ambiguous: frozenset[str] = frozenset()
    """Names, in lower case, that several columns have."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names of the columns."""
        return tuple(self.relation.columns)

    def kind(self, column: str) -> str:
        """Return the type of a column, such as `varchar`."""
        found = self.relation.types[self.columns.index(column)]
        return "json" if str(found) == "JSON" else str(found.id)

    def rows(self) -> DuckDBPyRelation:
        """Return the rows, under the name that `cell` uses."""
        return self.relation.set_alias(ALIAS)

    def cell(self, column: str) -> Expression:
        """Return a column as it is; text of JSON and of enumerations as plain text."""
        cell = ColumnExpression(ALIAS, column)
        kind = self.kind(column)
        if kind == "json":
            return Function("json_extract_string", cell, text("$"))
        return cell.cast("VARCHAR") if kind == "enum" else cell

    def text(self, column: str) -> Expression:
        """Return a column as text, without the empty ones; 1.0 reads 1."""
        name = "whole_text_in" if self.kind(column) in FLOATING else "text_in"
        return Function(name, self.cell(column))

    def key(self, column: str) -> Expression:
        """Return a column that tells units apart: whole numbers as they are, which is quicker."""
        return self.cell(column) if self.kind(column) in WHOLE else self.text(column)

    def number(self, column: str, *, has_nan: bool = True) -> Expression:
        """Return a column as numbers; what is none becomes an infinity.

        Args:
            column: Its name.
            has_nan: Whether NaN may occur, which counts as a missing value.
        """
        kind, cell = self.kind(column), self.cell(column)
        if kind in TEXT:
            cell = Function("number_in", cell)
        elif kind != "double":
            cell = cell.cast("DOUBLE")
        return Function("without_nan", cell) if has_nan and kind in TEXT | FLOATING else cell

    def yes_or_no(self, column: str) -> Expression:
        """Return a column as 0 and 1; what is neither becomes an infinity."""
        kind, cell = self.kind(column), self.cell(column)
        if kind in TEXT:
            return Function("yes_or_no_in", cell)
        value = cell.cast("DOUBLE")
        return value if kind == "boolean" else Function("yes_or_no", value)

    def numerator(self, metric: AskedMetric, *, has_nan: bool = True) -> Expression:
        """Return what a metric counts in a row."""
        if metric.condition is not None:
            value = self.number(metric.column)
            return Function("as_yes", meets(value, metric.condition), value)
        if metric.kind is AskedKind.PROPORTION and metric.denominator is None:
            return self.yes_or_no(metric.column)
        return self.number(metric.column, has_nan=has_nan)


def meets(value: Expression, condition: Condition) -> Expression:
    """Return whether a number meets a condition."""
    signs = {
        ">": Expression.__gt__,
        ">=": Expression.__ge__,
        "<": Expression.__lt__,
        "<=": Expression.__le__,
    }
    return signs[condition.sign](value, number(condition.bound))


def kept(connection: DuckDBPyConnection, relation: DuckDBPyRelation) -> DuckDBPyRelation:
    """Return the same rows, computed once and held by DuckDB, on disk where they are many."""
    name = f"kept_{next(_NUMBERS)}"
    relation.create(name)
    return connection.table(name)

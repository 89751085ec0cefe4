"""A table's rows under plain names: v the variant, u the unit, a number for each thing asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from duckdb import CaseExpression, CoalesceOperator, DuckDBPyRelation, Expression
from duckdb import ColumnExpression as Column
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import NOTHING, number
from expplat.adapters.table.source import Source, kept
from expplat.domain.question import AskedMetric, Question


@dataclass(frozen=True, slots=True, kw_only=True)
class LaidMetric:
    """Where the numbers of one metric are."""

    metric: AskedMetric
    value: str
    denominator: str | None = None
    covariates: tuple[str, ...] = ()
    """Columns of covariates, none of them empty where the value is not."""

    names: tuple[str, ...] = ()
    """What the covariates are called outside."""

    counts_units: str | None = None
    """Rows that are clusters: the column with the number of units that have a value."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns in the order of the moments."""
        denominator = (self.denominator,) if self.denominator else ()
        return (self.value, *denominator, *self.covariates)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """Rows of the table, or of its units."""

    relation: DuckDBPyRelation = field(repr=False)
    metrics: tuple[LaidMetric, ...]
    covariates: tuple[str, ...] = ()
    """c0, c1, … in the order of the question; empty where a unit lacks it."""

    @property
    def numbers(self) -> tuple[str, ...]:
        """Return the names of all columns of numbers."""
        found = [name for laid in self.metrics for name in laid.columns]
        return tuple(dict.fromkeys((*found, *self.covariates)))

    def having(self, relation: DuckDBPyRelation) -> Rows:
        """Return the same columns over other rows."""
        return replace(self, relation=relation)


def lay_out(source: Source, question: Question, *, has_nan: bool) -> Rows:
    """Return the rows with v, u, l, g, s, f, m0 …, d0 …, c0 …, as the question needs.

    l is the look, g the cluster, s the segment and f whether the call failed.

    Args:
        source: A table that has the columns.
        question: What is asked.
        has_nan: Whether NaN may be in columns of binary floating point; looking for it takes time.
    """
    metrics = tuple(
        LaidMetric(
            metric=metric,
            value=numbered("m", place),
            denominator=numbered("d", place) if metric.denominator else None,
        )
        for place, metric in enumerate(question.metrics)
    )
    cells = [*_keys(source, question)]
    for laid in metrics:
        cells += _cells(source, laid, has_nan=has_nan)
    covariates = tuple(numbered("c", place) for place in range(len(question.covariates)))
    for name, column in zip(covariates, question.covariates, strict=True):
        cells.append(source.number(column, has_nan=has_nan).alias(name))
    relation = source.rows().select(*cells)
    if source.is_slow:
        relation = kept(source.connection, relation)
    return Rows(relation=relation, metrics=metrics, covariates=covariates)


def numbered(letter: str, place: int) -> str:
    """Return a plain column name, such as m0."""
    return f"{letter}{place}"


def where(condition: Expression, value: Expression) -> Expression:
    """Return the value where the condition holds, and nothing elsewhere."""
    return CaseExpression(condition, value).otherwise(NOTHING)


def filled(column: str, value: float) -> Expression:
    """Return the column, with a value where it is empty."""
    return CoalesceOperator(Column(column), number(value))


def _keys(source: Source, question: Question) -> Iterator[Expression]:
    yield source.text(question.variant).alias("v")
    if question.unit is not None:
        yield source.key(question.unit).alias("u")
    if question.look is not None:
        yield source.text(question.look).alias("l")
    if question.cluster is not None:
        yield source.text(question.cluster).alias("g")
    if question.segment is not None:
        yield source.text(question.segment).alias("s")
    if question.error is not None:
        yield Function("is_failure", source.cell(question.error).cast("VARCHAR")).alias("f")


def _cells(source: Source, laid: LaidMetric, *, has_nan: bool) -> Iterator[Expression]:
    value = source.numerator(laid.metric, has_nan=has_nan)
    if laid.denominator is None or laid.metric.denominator is None:
        yield value.alias(laid.value)
        return
    below = source.number(laid.metric.denominator)
    yield where(below.isnotnull(), value).alias(laid.value)
    yield where(value.isnotnull(), below).alias(laid.denominator)

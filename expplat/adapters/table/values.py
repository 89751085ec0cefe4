"""The units' values of one metric, for what needs them in order."""

from __future__ import annotations

from dataclasses import replace

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation

from expplat.adapters.table.constants import number, text
from expplat.adapters.table.reading import units_read
from expplat.adapters.table.source import Source
from expplat.adapters.table.units import Units, capped, caps_of
from expplat.domain.question import AskedKind, AskedMetric, Question
from expplat.domain.tally import ArmValues


def values_of(source: Source, question: Question, metric: AskedMetric) -> dict[str, ArmValues]:
    """Return the values of one metric by variant, in ascending order, without the empty ones.

    A quantile is one of the rows as they are: where units have several, each unit is a cluster.

    Raises:
        FaultsError: If the table does not hold what is asked of it.
    """
    units = units_read(source, replace(question, metrics=(metric,))).units
    variants = units.seen.variants
    relation = _relation(units, question, metric)
    ordered = (question.control, *(name for name in variants if name != question.control))
    return {variant: _values(relation, variant) for variant in ordered}


def _relation(units: Units, question: Question, metric: AskedMetric) -> DuckDBPyRelation:
    """Return v, m0 and, where values belong to clusters, g."""
    by_row = metric.kind is AskedKind.QUANTILE and units.is_repeated
    rows = capped(units.raw if by_row else units.rows, caps_of(units.rows))
    value = Column("m0") / Column("d0") if metric.denominator is not None else Column("m0")
    cells = [Column("v"), value.alias("m0")]
    if question.cluster is not None:
        cells.append(Column("g"))
    elif by_row:
        cells.append(Column("u").cast("VARCHAR").alias("g"))
    relation = rows.relation
    if metric.denominator is not None:
        relation = relation.filter(Column("d0") != number(0))
    return relation.select(*cells).filter(Column("m0").isnotnull())


def _values(relation: DuckDBPyRelation, variant: str) -> ArmValues:
    names = [name for name in relation.columns if name != "v"]
    of_arm = relation.filter(Column("v") == text(variant)).select(*names)
    arrow = of_arm.sort(*(Column(name) for name in names)).to_arrow_table()
    clusters = tuple(arrow.column("g").to_pylist()) if "g" in names else None
    return ArmValues(values=tuple(arrow.column("m0").to_pylist()), clusters=clusters)

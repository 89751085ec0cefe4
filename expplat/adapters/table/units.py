"""Brings rows together: the rows of a unit, then the units of a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyConnection, DuckDBPyRelation, Expression
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import number, whole
from expplat.adapters.table.overview import Overview, overview
from expplat.adapters.table.rows import LaidMetric, Rows, filled, numbered, where
from expplat.adapters.table.source import kept
from expplat.adapters.table.uniqueness import is_unique
from expplat.domain.question import AskedKind

TOGETHER = {
    AskedKind.MEAN: "avg",
    AskedKind.QUANTILE: "avg",
    AskedKind.PROPORTION: "max",
    AskedKind.COUNT: "sum",
    AskedKind.RATIO: "sum",
}
"""How the rows of a unit become its value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Units:
    """Units of one variant each."""

    rows: Rows
    """One row a unit."""

    seen: Overview
    raw: Rows
    """All rows of these units."""

    is_repeated: bool = False
    repeated_units: int = 0
    repeated_rows: int = 0
    in_two_arms: int = 0


def units_of(connection: DuckDBPyConnection, rows: Rows, seen: Overview) -> Units:
    """Return the units of all rows that name one; those of several variants are left out."""
    named = rows
    if None in seen.groups or seen.filled("u") < seen.rows():
        named = rows.having(rows.relation.filter(Column("v").isnotnull() & Column("u").isnotnull()))
    if is_unique(named.relation, "u", sum(group.rows for group in seen.groups.values())):
        again = seen if seen.filled("u") == seen.rows() else overview(named)
        return Units(rows=named, seen=again, raw=named)
    together = kept(connection, collapsed(named).relation)
    is_pure = Column("v") == Column("w")
    pure = named.having(together.filter(is_pure))
    repeated, more, mixed = together.aggregate(
        [
            Function("count", where(Column("n") > whole(1), Column("n"))),
            Function("sum", Column("n") - whole(1)),
            Function("count", where(Column("v") != Column("w"), Column("n"))),
        ]
    ).fetchall()[0]
    return Units(
        rows=pure,
        seen=overview(pure),
        raw=_raw(named, together, mixed),
        is_repeated=True,
        repeated_units=int(repeated),
        repeated_rows=int(more or 0),
        in_two_arms=int(mixed),
    )


def collapsed(rows: Rows) -> Rows:
    """Return one row a unit, with w, another of its variants, and n, its rows."""
    present = rows.relation.columns
    cells = [Column("u")]
    cells += [Function("min", Column("v")).alias("v"), Function("max", Column("v")).alias("w")]
    cells += [Function("min", Column(key)).alias(key) for key in ("l", "g") if key in present]
    cells.append(Function("count_star").alias("n"))
    for laid in rows.metrics:
        cells.append(_together(TOGETHER.get(laid.metric.kind, "avg"), laid.value))
        if laid.denominator is not None:
            cells.append(_together("sum", laid.denominator))
    cells += [_together("avg", name) for name in rows.covariates]
    return rows.having(rows.relation.aggregate(cells))


def capped(units: Rows, caps: dict[str, float]) -> Rows:
    """Return the units, with values above a metric's cap counted as the cap."""
    if not caps:
        return units
    cells = [
        _capped(name, caps[name]) if name in caps else Column(name)
        for name in units.relation.columns
    ]
    return units.having(units.relation.select(*cells))


def caps_of(units: Rows) -> dict[str, float]:
    """Return, by column, the quantile of all variants' units together that a metric is cut at."""
    asked = {
        laid.value: laid.metric.cap_quantile
        for laid in units.metrics
        if laid.metric.cap_quantile is not None
    }
    if not asked:
        return {}
    found = units.relation.aggregate(
        [Function("quantile_cont", Column(name), number(q)) for name, q in asked.items()]
    ).fetchall()[0]
    return {name: float(cap) for name, cap in zip(asked, found, strict=True) if cap is not None}


def completed(units: Rows, seen: Overview, names: Sequence[str]) -> Rows:
    """Return units whose covariates have no gaps: a mean where they had, and a 0 or 1 that says so.

    Args:
        units: One row a unit.
        seen: What an overview of them found.
        names: What the covariates are called outside.
    """
    lacking = [name for name in units.covariates if seen.filled(name) < seen.rows()]
    if not units.covariates:
        return units
    cells: list[Expression] = [
        filled(name, seen.mean(name)).alias(name) if name in lacking else Column(name)
        for name in units.relation.columns
    ]
    flags = {name: numbered("k", place) for place, name in enumerate(lacking)}
    cells += [Column(name).isnull().cast("DOUBLE").alias(flag) for name, flag in flags.items()]
    outside = dict(zip(units.covariates, names, strict=True))
    columns = (*units.covariates, *flags.values())
    called = (*names, *(f"{outside[name]} missing" for name in flags))
    metrics = tuple(replace(laid, covariates=columns, names=called) for laid in units.metrics)
    return replace(units, relation=units.relation.select(*cells), metrics=metrics)


def clustered(units: Rows) -> Rows:
    """Return one row a cluster and variant, with the sums of its units that have a value."""
    cells: list[Expression] = [Column("v"), Column("g"), Column("g").alias("u")]
    cells.append(Function("count_star").alias("n"))
    metrics = []
    for place, laid in enumerate(units.metrics):
        metrics.append(_of_clusters(laid, place))
        cells += _cluster_cells(laid, metrics[-1])
    relation = units.relation.aggregate(cells)
    return Rows(relation=relation, metrics=tuple(metrics))


def _of_clusters(laid: LaidMetric, place: int) -> LaidMetric:
    prefix = numbered("x", place)
    return replace(
        laid,
        denominator=f"{prefix}_below",
        covariates=tuple(f"{prefix}_{name}" for name in laid.covariates),
        counts_units=f"{prefix}_units",
    )


def _cluster_cells(laid: LaidMetric, into: LaidMetric) -> Iterator[Expression]:
    """Sum a metric's columns over the units of a cluster that have a value."""
    has_value = Column(laid.value).isnotnull()
    units = Function("count", Column(laid.value))
    yield Function("sum", Column(laid.value)).alias(laid.value)
    below = Function("sum", Column(laid.denominator)) if laid.denominator else units.cast("DOUBLE")
    assert into.denominator is not None
    assert into.counts_units is not None
    yield below.alias(into.denominator)
    yield units.alias(into.counts_units)
    for name, summed in zip(laid.covariates, into.covariates, strict=True):
        yield Function("sum", where(has_value, Column(name))).alias(summed)


def _capped(name: str, cap: float) -> Expression:
    # `least` passes over what is empty; an empty value must stay so.
    least = Function("least", Column(name), number(cap))
    return where(Column(name).isnotnull(), least).alias(name)


def _together(function: str, name: str) -> Expression:
    return Function(function, Column(name)).alias(name)


def _raw(rows: Rows, together: DuckDBPyRelation, mixed: int) -> Rows:
    """Return the rows of units of one variant."""
    if not mixed:
        return rows
    impure = together.filter(Column("v") != Column("w")).select(Column("u").alias("mixed"))
    condition = Column("u") == Column("mixed")
    return rows.having(rows.relation.join(impure, condition, how="anti"))

"""Moments of every metric in every group of rows, in one pass over them.

DuckDB's own variances and covariances are those of Welford, merged over its threads; values are
taken from near their mean first, so that a mean of 1e9 does not eat a variance of 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation, Expression
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import number
from expplat.adapters.table.overview import Overview
from expplat.adapters.table.rows import LaidMetric, Rows, where
from expplat.domain.moments import JointMoments
from expplat.domain.tally import MetricTally

Cell = float | int | str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """One group of rows, added up."""

    units: int
    clusters: int | None
    metrics: Mapping[str, MetricTally]


class _Aggregates:
    """Aggregates to be asked for, each once."""

    def __init__(self) -> None:
        self.expressions: list[Expression] = []
        self._places: dict[str, int] = {}

    def place(self, expression: Expression) -> int:
        """Ask for an aggregate; return where its result will be."""
        key = str(expression)
        if key not in self._places:
            self._places[key] = len(self.expressions)
            self.expressions.append(expression)
        return self._places[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Places:
    """Where the results of one metric are."""

    laid: LaidMetric
    shifts: tuple[float, ...]
    rows: int
    units: int
    means: tuple[int, ...]
    products: Mapping[tuple[int, int], int]
    ends: tuple[int, int]
    """The smallest and the largest value."""


def sums_of(rows: Rows, seen: Overview, keys: Sequence[str]) -> dict[tuple[str, ...], Sums]:
    """Return the sums of each group of rows.

    Args:
        rows: Units or clusters.
        seen: What an overview of them found.
        keys: Columns that tell the groups apart: v, or v and l.
    """
    shifted = _shifted(rows, seen, keys)
    asked = _Aggregates()
    for key in keys:
        asked.place(Column(key))
    is_clustered = "n" in shifted.columns
    total = asked.place(Function("count_star"))
    members = asked.place(Function("sum", Column("n"))) if is_clustered else total
    places = [_asked(asked, laid, seen) for laid in rows.metrics]
    found = shifted.aggregate(asked.expressions).fetchall()
    return {
        tuple(str(cell) for cell in row[: len(keys)]): Sums(
            units=int(row[members]),
            clusters=int(row[total]) if is_clustered else None,
            metrics={
                place.laid.metric.name: _tally(place, row, int(row[members])) for place in places
            },
        )
        for row in found
    }


def empty_like(sums: Sums) -> Sums:
    """Return sums of nothing, with the same metrics and columns."""
    metrics = {
        name: MetricTally(
            units=0,
            missing=0,
            moments=_nothing(len(tally.moments.means)),
            covariates=tally.covariates,
            has_denominator=tally.has_denominator,
        )
        for name, tally in sums.metrics.items()
    }
    return Sums(units=0, clusters=None if sums.clusters is None else 0, metrics=metrics)


def _nothing(width: int) -> JointMoments:
    return JointMoments(n=0, means=(0.0,) * width, products=((0.0,) * width,) * width)


def _shifted(rows: Rows, seen: Overview, keys: Sequence[str]) -> DuckDBPyRelation:
    """Return the rows with every number taken from near its mean."""
    counts = [laid.counts_units for laid in rows.metrics if laid.counts_units is not None]
    cells = [Column(key) for key in (*keys, *counts, *(["n"] if counts else []))]
    names = dict.fromkeys(name for laid in rows.metrics for name in laid.columns)
    cells += [(Column(name) - number(seen.mean(name))).alias(name) for name in names]
    return rows.relation.select(*cells)


def _asked(asked: _Aggregates, laid: LaidMetric, seen: Overview) -> _Places:
    """Ask for one metric: covariates count where it has a value."""
    has_gaps = seen.filled(laid.value) < seen.rows()
    cells = [
        where(Column(laid.value).isnotnull(), Column(name)) if has_gaps and place else Column(name)
        for place, name in enumerate(laid.columns)
    ]
    # A covariance passes over rows in which either is empty: the value's gaps are enough there.
    plain = [Column(name) for name in laid.columns]
    products = {
        (one, other): asked.place(
            Function("var_pop", cells[one])
            if one == other
            else Function("covar_pop", plain[one] if one == 0 else cells[one], plain[other])
        )
        for one in range(len(cells))
        for other in range(one, len(cells))
    }
    units = Function("count", plain[0])
    if laid.counts_units is not None:
        units = Function("sum", Column(laid.counts_units))
    return _Places(
        laid=laid,
        shifts=tuple(seen.mean(name) for name in laid.columns),
        rows=asked.place(Function("count", plain[0])),
        units=asked.place(units),
        means=tuple(asked.place(Function("avg", cell)) for cell in cells),
        products=products,
        ends=(asked.place(Function("min", plain[0])), asked.place(Function("max", plain[0]))),
    )


def _tally(place: _Places, row: Sequence[Cell], members: int) -> MetricTally:
    count = int(row[place.rows] or 0)
    units = int(row[place.units] or 0)
    width = len(place.means)
    products = np.zeros((width, width))
    for (one, other), where_found in place.products.items():
        products[one, other] = products[other, one] = float(row[where_found] or 0.0) * count
    means = [
        float(row[where_found] or 0.0) + shift if count else 0.0
        for where_found, shift in zip(place.means, place.shifts, strict=True)
    ]
    rests = [
        float(row[where_found] or 0.0) - (mean - shift) if count else 0.0
        for where_found, shift, mean in zip(place.means, place.shifts, means, strict=True)
    ]
    moments = JointMoments(
        n=count,
        means=tuple(means),
        products=tuple(tuple(line) for line in products.tolist()),
        rests=tuple(rests),
    )
    return MetricTally(
        units=units,
        missing=members - units,
        moments=moments,
        covariates=place.laid.names,
        has_denominator=place.laid.denominator is not None,
        largest=_largest(place, row) if count else None,
    )


def _largest(place: _Places, row: Sequence[Cell]) -> float:
    ends = (float(row[end] or 0.0) + place.shifts[0] for end in place.ends)
    return max(ends, key=abs)

"""How far out a metric's rows lie: what the outermost hundredth of them makes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation, Expression
from duckdb import FunctionExpression as Function

from expplat.adapters.table.constants import number, text
from expplat.adapters.table.rows import LaidMetric, Rows, where
from expplat.adapters.table.sums import Sums
from expplat.domain.tally import MetricTally

MOST_ROWS = 200_000
"""Rows of a variant above which the outermost hundredth is no handful: an interval over so many
rests on few of them only where the largest one shows it by itself."""

HUNDREDTH = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edge:
    """Where the outermost hundredth of a metric's rows begins, in one variant."""

    laid: LaidMetric
    tally: MetricTally
    distance: float
    """From the mean."""


def with_tails(rows: Rows, arms: Mapping[str, Sums]) -> dict[str, Sums]:
    """Return the sums of each variant, with `tail_share` of the metrics that have few rows."""
    return {variant: _with_tails(rows, variant, sums) for variant, sums in arms.items()}


def _with_tails(rows: Rows, variant: str, sums: Sums) -> Sums:
    tallies = sums.metrics
    wanted = [laid for laid in rows.metrics if 0 < tallies[laid.metric.name].moments.n <= MOST_ROWS]
    if not wanted:
        return sums
    own = rows.relation.filter(Column("v") == text(variant))
    edges = _edges(wanted, own, sums)
    found = own.aggregate([one for edge in edges for one in _asked(edge)]).fetchall()[0]
    measured = {
        edge.laid.metric.name: _measured(edge, found[2 * place : 2 * place + 2])
        for place, edge in enumerate(edges)
    }
    return replace(sums, metrics={**tallies, **measured})


def _edges(metrics: Sequence[LaidMetric], own: DuckDBPyRelation, sums: Sums) -> list[_Edge]:
    tallies = [sums.metrics[laid.metric.name] for laid in metrics]
    asked = [
        Function("quantile_disc", _distance(laid, tally), number(1 - HUNDREDTH))
        for laid, tally in zip(metrics, tallies, strict=True)
    ]
    found = own.aggregate(asked).fetchall()[0]
    return [
        _Edge(laid=laid, tally=tally, distance=float(distance or 0.0))
        for laid, tally, distance in zip(metrics, tallies, found, strict=True)
    ]


def _distance(laid: LaidMetric, tally: MetricTally) -> Expression:
    return Function("abs", Column(laid.value) - number(tally.moments.means[0]))


def _asked(edge: _Edge) -> tuple[Expression, ...]:
    distance = _distance(edge.laid, edge.tally)
    far = where(distance > number(edge.distance), distance)
    return Function("count", far), Function("sum", far * far)


def _measured(edge: _Edge, found: Sequence[float | None]) -> MetricTally:
    """Add up what lies beyond the edge; rows on it fill the hundredth."""
    moments = edge.tally.moments
    count, beyond = (float(cell or 0.0) for cell in found)
    if moments.products[0][0] <= 0:
        return edge.tally
    outermost = beyond + (math.ceil(moments.n * HUNDREDTH) - count) * edge.distance**2
    share = min(1.0, max(0.0, outermost / moments.products[0][0]))
    return replace(edge.tally, tail_share=share)

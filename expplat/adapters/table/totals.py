"""Tables of totals: each row stands for many units, with counts, or with a mean and its spread."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce

import numpy as np
from duckdb import ColumnExpression as Column
from duckdb import Expression
from numpy.typing import NDArray

from expplat.adapters.table.constants import number
from expplat.adapters.table.content import raise_if_faulty
from expplat.adapters.table.looks import Arms, cumulated, in_order
from expplat.adapters.table.overview import overview
from expplat.adapters.table.rows import LaidMetric, Rows, numbered
from expplat.adapters.table.source import Source, kept
from expplat.adapters.table.structure import fault
from expplat.adapters.table.sums import Sums
from expplat.domain.moments import JointMoments
from expplat.domain.question import AskedKind, AskedMetric, Question
from expplat.domain.tally import MetricTally
from expplat.errors import Fault, FaultsError
from expplat.stats.joint_moments import merge_joint

Floats = NDArray[np.float64]
NONE = JointMoments(n=0, means=(0.0,), products=((0.0,),))


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """A table of totals, added up."""

    rows: int
    rows_without_variant: int
    arms: Arms
    looks: tuple[tuple[str, Arms], ...]


def totals_of(source: Source, question: Question) -> Totals:
    """Add up a table of totals.

    Raises:
        FaultsError: If a metric cannot be had from totals, or a row's numbers contradict another.
    """
    faults = tuple(_faults_of_question(question))
    if faults:
        raise FaultsError(source.name, faults)
    rows = _laid(source, question)
    seen = overview(rows)
    raise_if_faulty(source, question, seen)
    columns = _fetched(rows)
    _raise_if_contradictory(source, question, columns)
    has_variant = np.array([variant is not None for variant in columns["v"]], dtype=bool)
    labels = in_order(sorted({str(look) for look in columns["l"]})) if question.look else [""]
    steps = [
        (label, {variant: _sums(question, columns, variant, label) for variant in seen.variants})
        for label in labels
    ]
    looks = steps if question.is_cumulative else cumulated(steps)
    return Totals(
        rows=len(has_variant),
        rows_without_variant=int((~has_variant).sum()),
        arms=looks[-1][1],
        looks=tuple(looks) if question.look else (),
    )


def _faults_of_question(question: Question) -> Iterator[Fault]:
    for metric in question.metrics:
        if metric.kind is AskedKind.PROPORTION and metric.condition is None:
            if metric.denominator is None and question.units_in_row is None:
                hint = (
                    f"Write {metric.name}=proportion:{metric.column}/n, with the column of trials."
                )
                yield fault(metric.column, "Successes need the number of trials.", hint)
        elif metric.kind is AskedKind.MEAN and metric.sd_column is not None:
            if question.units_in_row is None:
                yield fault(
                    metric.column, "A mean needs the number of units behind it.", "--units n"
                )
        else:
            hint = "A proportion of counts, or a mean with its standard deviation; or name a unit."
            yield fault(metric.column, f"A {metric.kind} cannot be had from totals.", hint)


def _laid(source: Source, question: Question) -> Rows:
    """Return v, l, and for each metric m (successes or mean), d (units), s (standard deviation)."""
    cells: list[Expression] = [source.text(question.variant).alias("v")]
    if question.look is not None:
        cells.append(source.text(question.look).alias("l"))
    metrics = []
    for place, metric in enumerate(question.metrics):
        count, spread = metric.denominator or question.units_in_row, metric.sd_column
        names = [numbered(letter, place) for letter in "mds"]
        cells.append(source.number(metric.column).alias(names[0]))
        cells.append(source.number(count or metric.column).alias(names[1]))
        cells.append((source.number(spread) if spread else number(0.0)).alias(names[2]))
        metrics.append(
            LaidMetric(metric=metric, value=names[0], denominator=names[1], covariates=(names[2],))
        )
    if question.units_in_row is not None:
        cells.append(source.number(question.units_in_row).alias("n"))
    relation = kept(source.connection, source.rows().select(*cells))
    return Rows(relation=relation, metrics=tuple(metrics))


def _fetched(rows: Rows) -> dict[str, NDArray[np.generic]]:
    """Return the columns in an order of their own, whatever the order of the table's rows."""
    names = rows.relation.columns
    arrow = rows.relation.sort(*(Column(name) for name in names)).to_arrow_table()
    return {
        name: np.array(arrow.column(name).to_pylist(), dtype=object if name in "vl" else np.float64)
        for name in names
    }


def _raise_if_contradictory(
    source: Source, question: Question, columns: Mapping[str, NDArray[np.generic]]
) -> None:
    faults: list[Fault] = []
    for place, metric in enumerate(question.metrics):
        value, count, spread = (
            columns[numbered(letter, place)].astype(np.float64) for letter in "mds"
        )
        trials = metric.denominator or question.units_in_row or ""
        faults += _faults_where(trials, (count < 0) | (count % 1 != 0), count, "no count of units")
        if metric.kind is AskedKind.PROPORTION:
            wrong = (value < 0) | (value > count) | (value % 1 != 0)
            faults += _faults_where(metric.column, wrong, value, f"no count out of {trials}")
        faults += _faults_where(metric.sd_column or "", spread < 0, spread, "no standard deviation")
    if faults:
        raise FaultsError(source.name, tuple(dict.fromkeys(faults)))


def _faults_where(
    column: str, wrong: NDArray[np.bool_], values: Floats, what: str
) -> Iterator[Fault]:
    wrong = wrong & ~np.isnan(values)
    if wrong.any():
        rows = "1 row" if wrong.sum() == 1 else f"{wrong.sum()} rows"
        example = f"{values[wrong].min():g}"
        yield fault(
            column, f"{rows} hold {what}, such as {example}.", "Mend or leave out the rows."
        )


def _sums(
    question: Question, columns: Mapping[str, NDArray[np.generic]], variant: str, label: str
) -> Sums:
    chosen = columns["v"] == variant
    if question.look is not None:
        chosen = chosen & (columns["l"] == label)
    tallies = {
        metric.name: _tally(
            metric, *(columns[numbered(letter, place)][chosen].astype(float) for letter in "mds")
        )
        for place, metric in enumerate(question.metrics)
    }
    first = next(iter(tallies.values()))
    units = first.units + first.missing
    if question.units_in_row is not None:
        units = int(np.nansum(columns["n"][chosen].astype(float)))
    return Sums(units=units, clusters=None, metrics=tallies)


def _tally(metric: AskedMetric, value: Floats, count: Floats, spread: Floats) -> MetricTally:
    has_value = ~(np.isnan(value) | np.isnan(count) | np.isnan(spread)) & (count > 0)
    units = int(count[has_value].sum())
    if metric.kind is AskedKind.PROPORTION:
        moments = _of_share(value[has_value].sum(), units)
    else:
        parts = zip(value[has_value], count[has_value], spread[has_value], strict=True)
        moments = reduce(merge_joint, (_of_mean(*part) for part in parts), NONE)
    missing = int(np.nansum(count[~has_value]))
    return MetricTally(units=units, missing=missing, moments=moments)


def _of_share(successes: float, units: int) -> JointMoments:
    if units == 0:
        return NONE
    m2 = float(successes * (units - successes) / units)
    return JointMoments(n=units, means=(float(successes / units),), products=((m2,),))


def _of_mean(mean: float, count: float, spread: float) -> JointMoments:
    m2 = float((count - 1) * spread**2)
    return JointMoments(n=int(count), means=(float(mean),), products=((m2,),))

"""What had come in by each look, added up from the start."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation

from expplat.adapters.table.constants import text
from expplat.adapters.table.overview import overview
from expplat.adapters.table.rows import Rows
from expplat.adapters.table.structure import fault
from expplat.adapters.table.sums import Sums, sums_of
from expplat.adapters.table.units import Units, capped, clustered, collapsed, completed
from expplat.domain.question import Question
from expplat.domain.tally import MetricTally
from expplat.errors import FaultsError
from expplat.stats.joint_moments import merge_joint

MOST_LOOKS = 400
"""More of them are no looks: the column names the moment of each row."""

DIGITS = re.compile(r"(\d+)")

Arms = dict[str, Sums]


def sums_by_look(
    units: Units, question: Question, caps: dict[str, float], source: str
) -> list[tuple[str, Arms]]:
    """Return each look with the sums of its arms, in order.

    Where each unit has one row, looks are added up apart and merged. Else the rows up to a look are
    brought together anew for each: a unit counts from its first row on, with all its rows so far.

    Raises:
        FaultsError: If there are far too many looks.
    """
    labels = labels_in(units.raw.relation, question, source)
    if not units.is_repeated and question.cluster is None:
        return _merged(capped(units.rows, caps), units, question, labels)
    found = []
    for place in range(len(labels)):
        known = [text(label) for label in labels[: place + 1]]
        rows = units.raw.having(units.raw.relation.filter(Column("l").isin(*known)))
        if units.is_repeated:
            rows = collapsed(rows)
        rows = capped(rows, caps)
        found.append((labels[place], arms_of(rows, question)))
    return found


def arms_of(units: Rows, question: Question) -> Arms:
    """Return the sums of each variant: over units, or over clusters where they are asked for."""
    rows = completed(units, overview(units), question.covariates)
    if question.cluster is not None:
        rows = clustered(rows)
    return {key[0]: sums for key, sums in sums_of(rows, overview(rows), ("v",)).items()}


def labels_in(relation: DuckDBPyRelation, question: Question, source: str) -> list[str]:
    """Return the looks in order: as numbers where all are, else as text whose numbers count.

    Raises:
        FaultsError: If there are far too many.
    """
    found = relation.select(Column("l")).distinct().limit(MOST_LOOKS + 1).fetchall()
    if len(found) > MOST_LOOKS:
        message = f"It has more than {MOST_LOOKS} values: a test is not read that often."
        hint = "Name a column of days or weeks; a query can make one."
        raise FaultsError(source, (fault(question.look or "", message, hint),))
    return in_order([str(label) for (label,) in found])


def in_order(labels: Sequence[str]) -> list[str]:
    """Return labels in order: 2 before 10, week 2 before week 10, and days by date."""
    try:
        return sorted(labels, key=lambda label: (float(label), label))
    except ValueError:
        return sorted(labels, key=_natural)


def cumulated(steps: Sequence[tuple[str, Mapping[str, Sums]]]) -> list[tuple[str, Arms]]:
    """Return for each look the sums of it and of all before."""
    total: Arms = {}
    found = []
    for label, arms in steps:
        for variant, sums in arms.items():
            total[variant] = _both(total[variant], sums) if variant in total else sums
        found.append((label, dict(total)))
    return found


def _merged(
    rows: Rows, units: Units, question: Question, labels: list[str]
) -> list[tuple[str, Arms]]:
    rows = completed(rows, units.seen, question.covariates)
    found = sums_of(rows, overview(rows), ("v", "l"))
    steps = [
        (label, {variant: sums for (variant, look), sums in found.items() if look == label})
        for label in labels
    ]
    return cumulated(steps)


def _both(one: Sums, other: Sums) -> Sums:
    metrics = {
        name: _both_tallies(tally, other.metrics[name]) for name, tally in one.metrics.items()
    }
    return Sums(units=one.units + other.units, clusters=None, metrics=metrics)


def _both_tallies(one: MetricTally, other: MetricTally) -> MetricTally:
    return MetricTally(
        units=one.units + other.units,
        missing=one.missing + other.missing,
        moments=merge_joint(one.moments, other.moments),
        covariates=one.covariates,
        has_denominator=one.has_denominator,
    )


def _natural(label: str) -> list[tuple[int, int, str]]:
    """Return what a label is sorted by: text as text, and the whole numbers in it as numbers."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part)
        for part in DIGITS.split(label)
        if part
    ]

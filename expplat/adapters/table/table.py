"""A table that DuckDB adds up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from duckdb import ColumnExpression
from duckdb import FunctionExpression as Function

from expplat.adapters.table.connection import read_errors
from expplat.adapters.table.constants import whole
from expplat.adapters.table.groupings import Seen, groupings_of
from expplat.adapters.table.looks import Arms, sums_by_look
from expplat.adapters.table.overview import overview
from expplat.adapters.table.pairs import pairs_of
from expplat.adapters.table.reading import Read, raise_if_unfit, units_read
from expplat.adapters.table.source import ALIAS, Source, kept
from expplat.adapters.table.structure import is_of_totals
from expplat.adapters.table.sums import empty_like, sums_of
from expplat.adapters.table.tails import with_tails
from expplat.adapters.table.totals import Totals, totals_of
from expplat.adapters.table.units import Units, capped, caps_of, clustered, completed
from expplat.adapters.table.values import values_of
from expplat.domain.question import HALF, AskedMetric, Question
from expplat.domain.tally import ArmTally, ArmValues, Look, PairedTable, Tally


class DuckTable:
    """A table of a test that was run elsewhere."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def columns(self) -> Sequence[str]:
        """Return the names of the columns."""
        return self._source.columns

    def halved(self, unit: str) -> DuckTable:
        """Return the same table with a column `HALF`: 0 or 1 by the hash of the unit.

        Raises:
            FaultsError: If there is no such column.
        """
        if unit not in self._source.columns:
            raise_if_unfit(self._source, Question(variant=unit, control="", metrics=()))
        rest = Function("hash", self._source.text(unit)) % whole(2)
        cells = [ColumnExpression(ALIAS, name).alias(name) for name in self._source.columns]
        half = rest.cast("VARCHAR").alias(HALF)
        relation = self._source.rows().select(*cells, half)
        return DuckTable(replace(self._source, relation=relation))

    def tally(self, question: Question) -> Tally:
        """Add the table up.

        Raises:
            FaultsError: If columns are missing, or do not hold what is asked of them.
        """
        with read_errors(self._source.name):
            raise_if_unfit(self._source, question)
            if is_of_totals(question):
                return _of_totals(totals_of(self._source, question), question)
            return _of_units(self._source, question, units_read(self._source, question))

    def values(self, question: Question, metric: AskedMetric) -> Mapping[str, ArmValues]:
        """Return the units' values of one metric, by variant, in ascending order.

        Raises:
            FaultsError: If columns are missing, or do not hold what is asked of them.
        """
        with read_errors(self._source.name):
            raise_if_unfit(self._source, question)
            return values_of(self._source, question, metric)

    def pairs(self, question: Question) -> PairedTable:
        """Return the values of every request under every variant.

        Raises:
            FaultsError: If columns are missing, or do not hold what is asked of them.
        """
        with read_errors(self._source.name):
            raise_if_unfit(self._source, question)
            return pairs_of(self._source, question)


def _of_units(source: Source, question: Question, read: Read) -> Tally:
    units, seen = read
    caps = caps_of(units.rows)
    arms = _arms(source, question, units, caps)
    looks = sums_by_look(units, question, caps, source.name) if question.look is not None else []
    if looks:
        looks[-1] = (looks[-1][0], arms)
    rows = sum(group.rows for group in seen.groups.values())
    of_groups = Seen(
        rows=rows,
        units=tuple(sums.units for sums in arms.values()),
        is_repeated=units.is_repeated,
    )
    return Tally(
        rows=rows,
        rows_without_variant=_without_variant(read),
        rows_without_unit=seen.rows() - seen.filled("u"),
        repeated_units=units.repeated_units,
        repeated_rows=units.repeated_rows,
        units_in_two_arms=units.in_two_arms,
        arms=_tallies(arms, question),
        looks=tuple(_look(label, found, question, arms) for label, found in looks),
        groupings=groupings_of(source, question, of_groups),
    )


def _arms(source: Source, question: Question, units: Units, caps: dict[str, float]) -> Arms:
    seen = units.seen
    rows = units.rows
    if caps:
        rows = capped(rows, caps)
        seen = overview(rows)
    whole = completed(rows, seen, question.covariates)
    if question.cluster is not None:
        whole = clustered(whole)
        whole = whole.having(kept(source.connection, whole.relation))
    if question.cluster is not None or set(whole.numbers) != set(rows.numbers):
        seen = overview(whole)
    arms = {key[0]: sums for key, sums in sums_of(whole, seen, ("v",)).items()}
    return with_tails(whole, arms)


def _without_variant(read: Read) -> int:
    return read.seen.groups[None].rows if None in read.seen.groups else 0


def _of_totals(totals: Totals, question: Question) -> Tally:
    return Tally(
        rows=totals.rows,
        rows_without_variant=totals.rows_without_variant,
        rows_without_unit=0,
        repeated_units=0,
        repeated_rows=0,
        units_in_two_arms=0,
        arms=_tallies(totals.arms, question),
        looks=tuple(_look(label, arms, question, totals.arms) for label, arms in totals.looks),
    )


def _look(label: str, arms: Arms, question: Question, final: Arms) -> Look:
    """Return a look; a variant without a unit by then has empty sums."""
    whole = {name: arms.get(name) or empty_like(sums) for name, sums in final.items()}
    return Look(label=label, arms=_tallies(whole, question))


def _tallies(arms: Arms, question: Question) -> tuple[ArmTally, ...]:
    ordered = (question.control, *sorted(name for name in arms if name != question.control))
    return tuple(
        ArmTally(
            variant=name,
            units=arms[name].units,
            clusters=arms[name].clusters,
            metrics=arms[name].metrics,
        )
        for name in ordered
    )

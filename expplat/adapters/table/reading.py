"""From a table as it lies to units that can be added up."""

from __future__ import annotations

from typing import NamedTuple

from expplat.adapters.table.content import faults_of, raise_if_faulty
from expplat.adapters.table.overview import Overview, overview
from expplat.adapters.table.rows import lay_out
from expplat.adapters.table.source import Source
from expplat.adapters.table.structure import fault, structural_faults, without
from expplat.adapters.table.units import Units, units_of
from expplat.domain.question import Question
from expplat.errors import FaultsError


class Read(NamedTuple):
    """The units of a table, and what was seen of all its rows."""

    units: Units
    seen: Overview


def raise_if_unfit(source: Source, question: Question) -> None:
    """Raise for columns that are missing or never numbers, and for all that is wrong beside them.

    Raises:
        FaultsError: With every fault.
    """
    faults = structural_faults(source, question)
    if not faults:
        return
    bad = frozenset(one.field for one in faults)
    if question.variant not in bad:
        rest = without(question, bad)
        seen = overview(lay_out(source, rest, has_nan=False))
        faults += faults_of(source, rest, seen)
    raise FaultsError(source.name, tuple(dict.fromkeys(faults)))


def units_read(source: Source, question: Question) -> Read:
    """Check a table's cells and bring its rows together by unit.

    Raises:
        FaultsError: If a cell is not what it must be, or no unit of some variant is left.
    """
    rows = lay_out(source, question, has_nan=False)
    seen = overview(rows)
    if raise_if_faulty(source, question, seen):
        rows = lay_out(source, question, has_nan=True)
        seen = overview(rows)
    units = units_of(source.connection, rows, seen)
    lost = [name for name in seen.variants if name not in units.seen.variants]
    if lost:
        message = f"No unit is left that was under {', '.join(lost)} alone."
        raise FaultsError(source.name, (fault(question.unit or "", message),))
    return Read(units, seen)

"""compare: recorded outputs of several systems on the same requests, judged in pairs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from expplat.domain.analysis import Analysis, Comparison, Finding, Role
from expplat.domain.question import AskedKind, Correction, Question, Standard
from expplat.domain.tally import PairedTable
from expplat.errors import Fault, FaultsError
from expplat.flow.asking import COMMAND_LINE
from expplat.flow.paired_effects import effects_of
from expplat.flow.paired_health import health_of
from expplat.flow.ports import Table
from expplat.flow.ruling import (
    Adjusted,
    Measured,
    comparisons_of,
    corrected,
    overall,
    refusal_in,
)
from expplat.gates.metric_rules import LEAST_UNITS
from expplat.stats.max_t import max_t

Cell = TypeVar("Cell")
Columns = Mapping[str, Mapping[str, tuple[float | None, ...]]]


def compare(question: Question, standard: Standard, table: Table) -> Analysis:
    """Pair the requests of a table, check whether they can be held against each other, and rule.

    Raises:
        FaultsError: If question and table do not fit each other, with every fault.
    """
    _raise_if_unfit(question, standard)
    pairs = table.pairs(question)
    health = tuple(health_of(pairs, question))
    refusal = refusal_in(health)
    measured = effects_of(pairs, question, standard)
    adjusted = _adjusted(measured, pairs, question, standard)
    comparisons = comparisons_of(measured, adjusted, standard, refusal)
    return Analysis(
        comparisons=comparisons,
        health=health,
        verdict=overall(comparisons, refusal),
        segments=_segments(pairs, question, standard, refusal),
        alpha=standard.alpha,
        correction=standard.correction,
    )


def _adjusted(
    measured: Sequence[Measured], pairs: PairedTable, question: Question, standard: Standard
) -> Adjusted:
    if standard.correction is not Correction.MAX_T:
        return corrected(measured, standard.correction)
    family = [one for one in measured if one.role is Role.SUCCESS]
    found = iter(_max_t(family, pairs, question))
    return tuple(next(found) if one.role is Role.SUCCESS else one.effect.p for one in measured)


def _max_t(family: Sequence[Measured], pairs: PairedTable, question: Question) -> Adjusted:
    """Adjust by shared sign flips, over the requests that have every value that was asked for."""
    columns = [_differences(one, pairs) for one in family]
    kept = [place for place, row in enumerate(zip(*columns, strict=True)) if None not in row]
    if len(kept) < LEAST_UNITS:
        return (None,) * len(family)
    rows = [[column[place] or 0.0 for column in columns] for place in kept]
    names = pairs.clusters
    clusters = [names[place] for place in kept] if names is not None else None
    return max_t(rows, clusters, seed=question.seed)


def _differences(one: Measured, pairs: PairedTable) -> list[float | None]:
    is_time = one.metric.kind is AskedKind.LATENCY
    values = (pairs.values[name][one.metric.name] for name in (pairs.variants[0], one.variant))
    found: list[float | None] = []
    for first, second in zip(*values, strict=True):
        if first is None or second is None or (is_time and min(first, second) <= 0):
            found.append(None)
        else:
            found.append(math.log(second / first) if is_time else second - first)
    return found


def _segments(
    pairs: PairedTable, question: Question, standard: Standard, refusal: Finding | None
) -> tuple[Comparison, ...]:
    """Compare within each segment; corrected over all of them, and no part of the verdict."""
    if pairs.segments is None:
        return ()
    names = sorted(set(pairs.segments))
    found = [
        (name, one)
        for name in names
        for one in effects_of(_part(pairs, name), question, standard)
        if one.role is not Role.SHOWN
    ]
    measured = [one for _, one in found]
    by_p = Correction.HOLM if standard.correction is Correction.MAX_T else standard.correction
    rows = comparisons_of(measured, corrected(measured, by_p), standard, refusal)
    return tuple(
        replace(row, segment=f"{question.segment}={name}")
        for (name, _), row in zip(found, rows, strict=True)
    )


def _part(pairs: PairedTable, segment: str) -> PairedTable:
    """Return the requests of one segment.

    Where all of them are of one cluster, it says nothing of others: requests count by themselves.
    """
    places = [place for place, name in enumerate(pairs.segments or ()) if name == segment]

    def of(column: Sequence[Cell]) -> tuple[Cell, ...]:
        return tuple(column[place] for place in places)

    def of_all(columns: Columns) -> Columns:
        return {
            variant: {name: of(column) for name, column in metrics.items()}
            for variant, metrics in columns.items()
        }

    clusters = of(pairs.clusters) if pairs.clusters is not None else ()

    return replace(
        pairs,
        requests=of(pairs.requests),
        values=of_all(pairs.values),
        denominators=of_all(pairs.denominators),
        failed={variant: of(column) for variant, column in pairs.failed.items()},
        clusters=clusters if len(set(clusters)) > 1 else None,
        segments=(segment,) * len(places),
    )


def _raise_if_unfit(question: Question, standard: Standard) -> None:
    faults = []
    if not 0 < standard.alpha < 0.5:
        faults.append(_fault("--alpha", f"{standard.alpha:g} is no level.", "Such as 0.05."))
    if standard.correction is Correction.DUNNETT:
        hint = "Take max_t: it knows how paired questions depend."
        faults.append(_fault("--correction", "dunnett is for `analyze`.", hint))
    for metric in question.metrics:
        if metric.denominator and metric.kind is AskedKind.PROPORTION:
            hint = f"Ask for {metric.name}=ratio:{metric.column}/{metric.denominator}."
            faults.append(_fault("--metric", f"{metric.name}: a request is no total.", hint))
    if faults:
        raise FaultsError(COMMAND_LINE, tuple(faults))


def _fault(option: str, message: str, hint: str) -> Fault:
    return Fault(line=0, field=option, message=message, hint=hint)

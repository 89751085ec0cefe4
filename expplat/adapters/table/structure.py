"""Whether a table has the columns that a question is about, each of a fit type."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from expplat.adapters.table.source import NUMBERS, TEXT, Source
from expplat.domain.question import AskedMetric, Question
from expplat.errors import Fault


def structural_faults(source: Source, question: Question) -> tuple[Fault, ...]:
    """Return a fault of each column that is missing, or of a type that is never a number."""
    return (*_missing(source, question), *_not_numeric(source, question))


def without(question: Question, columns: frozenset[str]) -> Question:
    """Return what is left of a question when it may not be about some columns."""

    def kept(column: str | None) -> str | None:
        return None if column in columns else column

    return replace(
        question,
        metrics=tuple(one for one in question.metrics if columns.isdisjoint(_of_metric(one))),
        covariates=tuple(name for name in question.covariates if name not in columns),
        unit=kept(question.unit),
        units_in_row=kept(question.units_in_row),
        cluster=kept(question.cluster),
        look=kept(question.look),
        segment=kept(question.segment),
        error=kept(question.error),
    )


def fault(column: str, message: str, hint: str = "") -> Fault:
    """Return a fault of a column."""
    return Fault(line=0, field=column, message=message, hint=hint)


def is_of_totals(question: Question) -> bool:
    """Whether a row stands for many units."""
    return question.unit is None or question.units_in_row is not None


def numeric_columns(question: Question) -> tuple[str, ...]:
    """Return the columns that must hold numbers, each once."""
    found = [name for metric in question.metrics for name in _of_metric(metric)]
    found += question.covariates
    if question.units_in_row is not None:
        found.append(question.units_in_row)
    return tuple(dict.fromkeys(found))


def named_columns(question: Question) -> tuple[str, ...]:
    """Return every column that the question names, each once."""
    single = (
        question.variant,
        question.unit,
        question.cluster,
        question.look,
        question.segment,
        question.error,
    )
    named = (*(name for name in single if name is not None), *numeric_columns(question))
    return tuple(dict.fromkeys(named))


def _of_metric(metric: AskedMetric) -> Iterator[str]:
    yield metric.column
    for name in (metric.denominator, metric.sd_column):
        if name is not None:
            yield name


def _missing(source: Source, question: Question) -> Iterator[Fault]:
    for name in named_columns(question):
        if name not in source.columns:
            yield fault(name, "The table has no such column.", _nearest(name, source.columns))
        elif name.casefold() in source.ambiguous:
            yield fault(name, "Several columns have this name.", "Rename all but one of them.")


def _nearest(name: str, columns: tuple[str, ...]) -> str:
    by_folded = {column.casefold(): column for column in columns}
    near = get_close_matches(name.casefold(), by_folded, n=1)
    if near:
        return f"Did you mean {by_folded[near[0]]}?"
    shown = ", ".join(columns[:12])
    return f"It has {shown}{', …' if len(columns) > 12 else ''}."


def _not_numeric(source: Source, question: Question) -> Iterator[Fault]:
    for name in numeric_columns(question):
        if name in source.columns and source.kind(name) not in NUMBERS | TEXT:
            yield fault(
                name,
                f"It holds values of type {source.kind(name)}, not numbers.",
                "Name a column of numbers, or turn it into one with a query.",
            )

"""What is wrong with the cells of a table: every fault of them, each with an example."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from duckdb import ColumnExpression as Column
from duckdb import Expression
from duckdb import FunctionExpression as Function

from expplat.adapters.table.overview import MOST_VARIANTS, Overview
from expplat.adapters.table.rows import where
from expplat.adapters.table.source import FLOATING, TEXT, Source
from expplat.adapters.table.structure import fault, numeric_columns
from expplat.domain.question import AskedKind, AskedMetric, Question
from expplat.errors import Fault, FaultsError


def raise_if_faulty(source: Source, question: Question, seen: Overview) -> bool:
    """Judge what one pass has seen; search for examples only where a sum is not finite.

    Returns:
        Whether NaN is in a column, and nothing worse: the pass must be repeated without it.

    Raises:
        FaultsError: With every fault.
    """
    faults = faults_of(source, question, seen)
    if faults:
        raise FaultsError(source.name, faults)
    return not seen.is_finite


def faults_of(source: Source, question: Question, seen: Overview) -> tuple[Fault, ...]:
    """Return every fault of the cells that the question is about."""
    faults = [*_of_variants(question, seen), *_of_keys(question, seen)]
    if not seen.is_finite:
        faults += _of_numbers(source, question)
    return tuple(faults)


def _of_variants(question: Question, seen: Overview) -> Iterator[Fault]:
    variants = seen.variants
    shown = ", ".join(variants[:8]) + (", …" if len(variants) > 8 else "")
    if not variants:
        yield fault(question.variant, "No row names a variant.")
        return
    if len(variants) > MOST_VARIANTS:
        message = f"It has more than {MOST_VARIANTS} values, which are no variants."
        yield fault(question.variant, message, f"It has {shown}.")
        return
    if question.control not in variants:
        near = get_close_matches(question.control, variants, n=1)
        hint = f"Did you mean {near[0]}?" if near else f"It has {shown}."
        yield fault(question.variant, f"No row has control, {question.control}.", hint)
    elif len(variants) == 1:
        yield fault(question.variant, f"Every row has {shown}: there is nothing to compare.")


def _of_keys(question: Question, seen: Overview) -> Iterator[Fault]:
    keys = {"l": question.look, "g": question.cluster}
    for key, column in keys.items():
        if column is None or not seen.variants:
            continue
        empty = seen.rows() - seen.filled(key)
        if empty:
            yield fault(column, f"{empty} rows have no value.", "Leave them out with a query.")
    if question.unit is not None and seen.variants and not seen.filled("u"):
        yield fault(question.unit, "No row names a unit.")


def _of_numbers(source: Source, question: Question) -> Iterator[Fault]:
    """Give a fault of each column that holds what is no number, or no yes or no."""
    judged = dict(_judged(source, question))
    faults = [
        one
        for (column, is_yes), expression in judged.items()
        if (one := _fault_of(source, column, expression, is_yes=is_yes)) is not None
    ]
    yield from faults
    if not faults and not _has_nan(source, [column for column, _ in judged]):
        yield fault("", "Its numbers are too large to be added up.", "Give a larger unit.")


def _judged(source: Source, question: Question) -> Iterator[tuple[tuple[str, bool], Expression]]:
    """Give each column with whether it must hold yes and no, and what it is read as."""
    shares = [one.column for one in question.metrics if _is_yes_or_no(one, question)]
    numbers = list(numeric_columns(question))
    for metric in question.metrics:
        if metric.column in shares and metric.column in numbers:
            numbers.remove(metric.column)
    for column in dict.fromkeys(shares):
        yield (column, True), source.yes_or_no(column)
    for column in numbers:
        yield (column, False), source.number(column)


def _fault_of(source: Source, column: str, value: Expression, *, is_yes: bool) -> Fault | None:
    text = Function("text_in", source.cell(column))
    bad = where(Function("isinf", value), text)
    count, example = (
        source.rows()
        .select(bad.alias("bad"))
        .aggregate([Function("count", Column("bad")), Function("min", Column("bad"))])
        .fetchall()[0]
    )
    if not count:
        return None
    rows = "1 row" if count == 1 else f"{count} rows"
    if is_yes:
        hint = "A proportion needs 0 and 1, or true and false; a mean can be asked of any numbers."
        return fault(column, f"{rows} hold neither yes nor no, such as {example!r}.", hint)
    what = "an infinity" if source.kind(column) in FLOATING else "no number"
    return fault(column, f"{rows} hold {what}, such as {example!r}.", "Mend or leave out the rows.")


def _has_nan(source: Source, columns: list[str]) -> bool:
    floating = [column for column in columns if source.kind(column) in FLOATING | TEXT]
    if not floating:
        return False
    numbers = [source.number(column, has_nan=False) for column in floating]
    asked = [Function("bool_or", Function("isnan", number)) for number in numbers]
    return any(source.rows().aggregate(asked).fetchall()[0])


def _is_yes_or_no(metric: AskedMetric, question: Question) -> bool:
    is_share = metric.kind is AskedKind.PROPORTION and metric.denominator is None
    return is_share and metric.condition is None and question.units_in_row is None

"""The same requests under several variants, aligned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from duckdb import ColumnExpression as Column
from duckdb import DuckDBPyRelation
from duckdb import FunctionExpression as Function

from expplat.adapters.table.content import raise_if_faulty
from expplat.adapters.table.overview import Overview, overview
from expplat.adapters.table.rows import Rows, lay_out, where
from expplat.adapters.table.source import Source
from expplat.adapters.table.structure import fault
from expplat.domain.question import Question
from expplat.domain.tally import PairedTable
from expplat.errors import FaultsError

Cells = Mapping[str, Sequence[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aligned:
    """Where each call is: by variant, then by request, a place in the columns."""

    requests: tuple[str, ...]
    variants: tuple[str, ...]
    places: Mapping[str, Mapping[str, int]]
    cells: Cells

    def column(self, variant: str, name: str) -> Iterator[object | None]:
        """Give a column of a variant, request by request; None where there was no call."""
        places, values = self.places[variant], self.cells[name]
        for request in self.requests:
            place = places.get(request)
            yield None if place is None else values[place]


def pairs_of(source: Source, question: Question) -> PairedTable:
    """Align the requests of a table, by their names; rows may lie in any order.

    A call that failed has no values. Several rows of a request under a variant are averaged; one
    that failed among them makes the call a failed one.

    Raises:
        FaultsError: If the table does not hold what is asked of it.
    """
    if question.unit is None:
        raise FaultsError(source.name, (fault("", "Pairs need the column that names requests."),))
    rows, seen = _laid(source, question)
    by_call = _by_call(rows).to_arrow_table()
    cells = {name: by_call.column(name).to_pylist() for name in by_call.column_names}
    aligned = _aligned(question, cells)
    return PairedTable(
        requests=aligned.requests,
        variants=aligned.variants,
        values=_numbers(aligned, {one.metric.name: one.value for one in rows.metrics}),
        denominators=_numbers(
            aligned,
            {one.metric.name: one.denominator for one in rows.metrics if one.denominator},
        ),
        failed=_failed(aligned),
        clusters=_of_requests(aligned, "g"),
        segments=_of_requests(aligned, "s"),
        rows=sum(group.rows for group in seen.groups.values()),
        missing=_missing(aligned),
        repeated=sum(int(str(count)) - 1 for count in cells["n"]),
        rows_without_request=seen.rows() - seen.filled("u"),
        rows_without_variant=seen.groups[None].rows if None in seen.groups else 0,
    )


def _laid(source: Source, question: Question) -> tuple[Rows, Overview]:
    rows = lay_out(source, question, has_nan=True)
    seen = overview(rows)
    raise_if_faulty(source, question, seen)
    return rows, seen


def _by_call(rows: Rows) -> DuckDBPyRelation:
    """Return one row a request and variant: n its rows, f whether one failed, means of the rest."""
    present = rows.relation.columns
    named = Column("v").isnotnull() & Column("u").isnotnull()
    calls = rows.relation.filter(named)
    cells = [Column("v"), Column("u").cast("VARCHAR").alias("u")]
    cells.append(Function("count_star").alias("n"))
    cells += [Function("min", Column(key)).alias(key) for key in ("g", "s") if key in present]
    names = dict.fromkeys(rows.numbers)
    if "f" not in present:
        cells += [Function("avg", Column(name)).alias(name) for name in names]
        return calls.aggregate(cells)
    has_failed = Function("bool_or", Column("f"))
    cells.append(has_failed.alias("f"))
    cells += [where(~has_failed, Function("avg", Column(name))).alias(name) for name in names]
    return calls.aggregate(cells)


def _aligned(question: Question, cells: Cells) -> _Aligned:
    """Find every call; keep requests with a call under control and under some treatment."""
    places: dict[str, dict[str, int]] = {question.control: {}}
    for place, (variant, request) in enumerate(zip(cells["v"], cells["u"], strict=True)):
        places.setdefault(str(variant), {})[str(request)] = place
    treatments = sorted(variant for variant in places if variant != question.control)
    treated = set().union(*(places[variant] for variant in treatments))
    return _Aligned(
        requests=tuple(sorted(treated & set(places[question.control]))),
        variants=(question.control, *treatments),
        places=places,
        cells=cells,
    )


def _numbers(
    aligned: _Aligned, columns: Mapping[str, str]
) -> dict[str, dict[str, tuple[float | None, ...]]]:
    return {
        variant: {
            metric: tuple(_number(cell) for cell in aligned.column(variant, column))
            for metric, column in columns.items()
        }
        for variant in aligned.variants
    }


def _number(cell: object | None) -> float | None:
    return float(cell) if isinstance(cell, int | float) else None


def _failed(aligned: _Aligned) -> dict[str, tuple[bool, ...]]:
    if "f" not in aligned.cells:
        return dict.fromkeys(aligned.variants, (False,) * len(aligned.requests))
    return {
        variant: tuple(bool(cell) for cell in aligned.column(variant, "f"))
        for variant in aligned.variants
    }


def _missing(aligned: _Aligned) -> dict[str, int]:
    """Count, by variant, the requests of the table that it has no call for."""
    requests = set().union(*aligned.places.values())
    return {variant: len(requests) - len(aligned.places[variant]) for variant in aligned.variants}


def _of_requests(aligned: _Aligned, name: str) -> tuple[str, ...] | None:
    """Return what a request belongs to: what control's rows say, else what any other's do."""
    if name not in aligned.cells:
        return None
    found = [""] * len(aligned.requests)
    for variant in reversed(aligned.variants):
        for place, cell in enumerate(aligned.column(variant, name)):
            found[place] = str(cell) if cell is not None else found[place]
    return tuple(found)

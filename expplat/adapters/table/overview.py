"""One pass over the rows: how many there are, of which variants, and where the numbers lie."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from duckdb import ColumnExpression as Column
from duckdb import FunctionExpression as Function

from expplat.adapters.table.rows import Rows

MOST_VARIANTS = 100
"""More of them are no variants: the column names something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The rows of one variant."""

    rows: int
    filled: Mapping[str, int]
    """By column: rows in which it is not empty."""

    means: Mapping[str, float]
    """By column of numbers; 0 where no row has one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What one pass over the rows has found."""

    groups: Mapping[str | None, Group]
    """By variant; None for the rows that name none."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Return the variants by name."""
        return tuple(sorted(name for name in self.groups if name is not None))

    @property
    def is_finite(self) -> bool:
        """Whether no infinity and no NaN was added up."""
        return all(
            math.isfinite(mean) for group in self.groups.values() for mean in group.means.values()
        )

    def rows(self) -> int:
        """Return the rows that name a variant."""
        return sum(self.groups[name].rows for name in self.variants)

    def filled(self, column: str) -> int:
        """Return the rows that name a variant in which a column is not empty."""
        return sum(self.groups[name].filled[column] for name in self.variants)

    def mean(self, column: str) -> float:
        """Return the mean of a column over the rows that name a variant; 0 where there is none."""
        count = self.filled(column)
        groups = [self.groups[name] for name in self.variants]
        return math.fsum(
            group.means[column] * (group.filled[column] / count) for group in groups if count
        )


def overview(rows: Rows) -> Overview:
    """Return counts and means of the rows by variant; of some variants only, where far too many."""
    numbers = rows.numbers
    keys = [name for name in rows.relation.columns if name in ("u", "l", "g")]
    asked = [Column("v"), Function("count_star")]
    asked += [Function("count", Column(name)) for name in (*keys, *numbers)]
    asked += [Function("avg", Column(name)) for name in numbers]
    found = rows.relation.aggregate(asked).limit(MOST_VARIANTS + 2).fetchall()
    groups: dict[str | None, Group] = {}
    for variant, count, *rest in found:
        counts, means = rest[: len(keys) + len(numbers)], rest[len(keys) + len(numbers) :]
        groups[variant] = Group(
            rows=int(count),
            filled=dict(zip((*keys, *numbers), map(int, counts), strict=True)),
            means={
                name: 0.0 if mean is None else float(mean)
                for name, mean in zip(numbers, means, strict=True)
            },
        )
    return Overview(groups=groups)

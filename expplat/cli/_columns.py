"""Tables that fit the terminal: columns that matter least are left out before a cell is folded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from expplat.cli._say import STYLES, say

GAP = "  "
LEAST_WIDTH = 40
SHORTEST_NAME = 6
LONGEST_NAME = 28
"""Columns of the terminal that a name may take before it is cut."""


class Column(NamedTuple):
    """One column of a table, with all its cells."""

    title: str
    cells: Sequence[str]
    rank: int = 0
    """0 always stays; of the others, the highest are left out first."""

    is_right: bool = False
    is_name: bool = False
    """Whether it may be cut where all else does not help."""


def width_of_terminal() -> int:
    """Return how many columns there are; 80 where nobody looks."""
    import shutil

    return max(LEAST_WIDTH, shutil.get_terminal_size((80, 24)).columns)


def cell_width(text: str) -> int:
    """Return how many columns a text takes: some letters take two."""
    from rich.cells import cell_len

    return cell_len(text)


def cut(text: str, width: int) -> str:
    """Return a text that takes no more than so many columns."""
    if cell_width(text) <= width:
        return text
    kept = ""
    for letter in text:
        if cell_width(kept + letter) > width - 1:
            break
        kept += letter
    return f"{kept}…"


def padded(text: str, width: int, *, is_right: bool = False) -> str:
    """Return a text that takes so many columns, or more."""
    fill = " " * (width - cell_width(text))
    return fill + text if is_right else text + fill


def say_columns(columns: Iterable[Column], styles: Sequence[str]) -> None:
    """Print a table; what did not fit is named below it.

    Args:
        columns: In order; a column whose cells are all empty is left out.
        styles: The ruling of each row, which colours its first cell; empty for no colour.
    """
    import typer

    shown = [column for column in columns if any(column.cells)]
    left_out: list[str] = []
    while _width(shown) > width_of_terminal() and max(column.rank for column in shown) > 0:
        rank = max(column.rank for column in shown)
        left_out = [column.title for column in shown if column.rank == rank] + left_out
        shown = [column for column in shown if column.rank < rank]
    shown = _narrowed(shown)
    say(typer.style(_line(shown, [column.title for column in shown]), bold=True))
    for row, style in zip(
        zip(*(column.cells for column in shown), strict=True), styles, strict=True
    ):
        line = _line(shown, row)
        say(typer.style(line[: len(row[0])], fg=STYLES.get(style)) + line[len(row[0]) :])
    if left_out:
        say_wrapped("", f"({', '.join(left_out)}: in a wider terminal, by --json or --report)")


def say_wrapped(first: str, text: str, ruling: str | None = None) -> None:
    """Print a text whose further lines stand under the first.

    Args:
        first: What stands before the text.
        text: The text.
        ruling: What colours that which stands before it; None for no colour.
    """
    import typer
    from rich.console import Console
    from rich.text import Text

    indent = cell_width(first)
    width = max(width_of_terminal() - indent, LEAST_WIDTH // 2)
    lines = [line.plain.rstrip() for line in Text(text).wrap(Console(), width)]
    painted = first if ruling is None else typer.style(first, fg=STYLES[ruling])
    say(painted + f"\n{' ' * indent}".join(lines))


def _narrowed(columns: Sequence[Column]) -> list[Column]:
    """Cut names, the longest first, until the table fits or they say nothing any more."""
    found = list(columns)
    while _width(found) > width_of_terminal():
        names = [column for column in found if column.is_name]
        longest = max(names, key=_width_of, default=None)
        if longest is None or _width_of(longest) <= SHORTEST_NAME:
            break
        width = _width_of(longest) - 1
        cells = [cut(cell, width) for cell in longest.cells]
        narrower = longest._replace(title=cut(longest.title, width), cells=cells)
        found[found.index(longest)] = narrower
    return found


def _width(columns: Sequence[Column]) -> int:
    return sum(map(_width_of, columns)) + len(GAP) * (len(columns) - 1)


def _width_of(column: Column) -> int:
    return max(cell_width(text) for text in (column.title, *column.cells))


def _line(columns: Sequence[Column], cells: Sequence[str]) -> str:
    return GAP.join(
        padded(cell, _width_of(column), is_right=column.is_right)
        for column, cell in zip(columns, cells, strict=True)
    ).rstrip()

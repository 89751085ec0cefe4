"""How commands speak: sentences and tables for people, canonical JSON for scripts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from expplat.cli._entry import GATE_NOT_PASSED

if TYPE_CHECKING:
    from expplat.domain.gate import Verdict
    from expplat.flow.desk import Stepped
    from expplat.flow.ports import Progress

STYLES = {"pass": "green", "fail": "red", "unknown": "yellow"}


def say(text: str) -> None:
    """Print a sentence."""
    typer.echo(text)


def warn(text: str) -> None:
    """Print a sentence on standard error."""
    typer.echo(f"warning: {text}", err=True)


def say_json(value: Any) -> None:
    """Print a value as JSON with sorted keys, so that two equal answers are equal texts."""
    from expplat.domain.plain import to_plain

    typer.echo(json.dumps(to_plain(value), sort_keys=True, indent=2, ensure_ascii=False))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table that fits the terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for place, column in enumerate(columns):
        shown.add_column(column, overflow="fold", no_wrap=place == 0)
    for row in rows:
        shown.add_row(*(Text(cell, style=STYLES.get(cell.split(" ")[-1], "")) for cell in row))
    Console().print(shown)


def verdicts(found: Iterable[Verdict]) -> None:
    """Print verdicts, one a line: the sign of the ruling, the gate, and its sentence."""
    from expplat.domain.wording import MARKS

    for verdict in found:
        mark = typer.style(
            f"{MARKS[verdict.ruling]} {verdict.ruling:<7}", fg=STYLES[verdict.ruling]
        )
        typer.echo(f"  {mark} {verdict.gate.kind}: {verdict.sentence}")


def stepped(outcome: Stepped, *, as_json: bool) -> None:
    """Print what a verb came to; exit with 1 where a verdict stands in the way."""
    if as_json:
        say_json(
            {
                "slug": outcome.poc.slug,
                "stage": outcome.poc.stage,
                "traffic_percent": outcome.poc.newest.traffic_percent,
                "changed": outcome.is_new,
                "sentence": outcome.sentence,
                "standing": outcome.standing,
            }
        )
    elif outcome.standing:
        say(f"{outcome.poc.slug} stays {outcome.poc.stage}; these stand in the way:")
        verdicts(outcome.standing)
    else:
        say(outcome.sentence)
    if outcome.standing:
        raise typer.Exit(GATE_NOT_PASSED)


@contextmanager
def progress_bar(title: str, *, quiet: bool = False) -> Iterator[Progress]:
    """Show a progress bar on standard error while requests are replayed."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, quiet=quiet)
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)

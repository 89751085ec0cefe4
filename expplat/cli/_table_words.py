"""Arguments and options that `analyze` and `compare` share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from expplat.flow.asking import Words

Source = Annotated[
    str | None, typer.Argument(help="CSV, JSONL or Parquet; a query may call it `data`.")
]
VariantColumn = Annotated[str, typer.Option("--variant", help="Column that names the variant.")]
Control = Annotated[str, typer.Option("--control", help="Its value that stands for control.")]
Metrics = Annotated[
    list[str],
    typer.Option("--metric", help="NAME=KIND[:COLUMN[/DENOMINATOR]][:lower|higher]; repeatable."),
]
Margins = Annotated[
    list[str] | None,
    typer.Option("--margin", help="NAME=HARM makes it a guardrail: the most it may lose."),
]
MinEffects = Annotated[
    list[str] | None, typer.Option("--min-effect", help="NAME=GAIN: the least that matters.")
]
Cluster = Annotated[str | None, typer.Option("--cluster", help="Column of what belongs together.")]
Alpha = Annotated[float, typer.Option("--alpha", help="Two-sided level.")]
Query = Annotated[str | None, typer.Option("--sql", help="A SELECT, over the file or database.")]
Database = Annotated[
    str | None, typer.Option("--database", help="URL of the database that the query runs in.")
]
Report = Annotated[
    Path | None, typer.Option("--report", help="Write a page with plots to this file.")
]


def question_words(
    metric: list[str],
    margin: list[str] | None,
    min_effect: list[str] | None,
    sd: list[str] | None = None,
    winsorise: list[str] | None = None,
    method: list[str] | None = None,
) -> Words:
    """Gather what was typed of metrics."""
    from expplat.flow.asking import Words

    return Words(
        metrics=tuple(metric),
        margins=tuple(margin or ()),
        min_effects=tuple(min_effect or ()),
        sd_columns=tuple(sd or ()),
        caps=tuple(winsorise or ()),
        methods=tuple(method or ()),
    )

"""`expplat compare`."""

from __future__ import annotations

from typing import Annotated

import typer

from expplat.cli._entry import command
from expplat.cli._findings import say_analysis, working
from expplat.cli._table_words import (
    Alpha,
    Cluster,
    Control,
    Database,
    Margins,
    Metrics,
    MinEffects,
    Query,
    Report,
    Source,
    VariantColumn,
    question_words,
)
from expplat.cli._words import AsJson
from expplat.domain.question import Correction


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "compare")
    def compare_command(  # noqa: PLR0913  (one parameter an option)
        file: Source = None,
        *,
        request: Annotated[str, typer.Option(help="Column that names the request.")],
        variant: VariantColumn,
        control: Control,
        metric: Metrics,
        cluster: Cluster = None,
        segment: Annotated[
            str | None, typer.Option(help="Column whose values are shown apart.")
        ] = None,
        error: Annotated[
            str | None, typer.Option(help="Column that is empty where the call went well.")
        ] = None,
        margin: Margins = None,
        min_effect: MinEffects = None,
        alpha: Alpha = 0.05,
        correction: Annotated[
            Correction, typer.Option(help="Over all that was asked.")
        ] = Correction.HOLM,
        exact: Annotated[
            bool, typer.Option("--exact", help="McNemar's exact p-value, not the mid-p.")
        ] = False,
        seed: Annotated[int, typer.Option(help="Of every resampling.")] = 7,
        sql: Query = None,
        database: Database = None,
        report: Report = None,
        as_json: AsJson = False,
    ) -> None:
        """Judge recorded outputs of several systems on the same requests.

        Kinds here are also latency and cost. Exit status 1 where the verdict is not `pass`.
        """
        from expplat.domain.question import Question, Standard
        from expplat.flow.asking import asked_metrics
        from expplat.flow.compare import compare
        from expplat.wiring import tables

        question = Question(
            variant=variant,
            control=control,
            metrics=asked_metrics(question_words(metric, margin, min_effect)),
            unit=request,
            cluster=cluster,
            segment=segment,
            error=error,
            exact=exact,
            seed=seed,
        )
        standard = Standard(alpha=alpha, correction=correction)
        with working("Comparing"):
            table = tables().open(file, query=sql, database=database)
            found = compare(question, standard, table)
        say_analysis(found, source=file or "a query", report=report, as_json=as_json)

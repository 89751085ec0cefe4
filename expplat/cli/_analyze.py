"""`expplat analyze`."""

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
from expplat.domain.question import Adjustment, Correction


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "analyze")
    def analyze_command(  # noqa: PLR0913  (one parameter an option)
        file: Source = None,
        *,
        variant: VariantColumn,
        control: Control,
        metric: Metrics,
        unit: Annotated[
            str | None, typer.Option(help="Column of what was randomised, such as user_id.")
        ] = None,
        covariate: Annotated[
            list[str] | None, typer.Option(help="Column known before the exposure; repeatable.")
        ] = None,
        adjust: Annotated[
            Adjustment, typer.Option(help="How covariates narrow the intervals.")
        ] = Adjustment.CUPED,
        cluster: Cluster = None,
        split: Annotated[
            str | None, typer.Option(help="Planned split, such as control=5,b=1; else equal.")
        ] = None,
        margin: Margins = None,
        min_effect: MinEffects = None,
        alpha: Alpha = 0.05,
        correction: Annotated[
            Correction, typer.Option(help="Over all that was asked.")
        ] = Correction.HOLM,
        method: Annotated[
            list[str] | None,
            typer.Option(help="z, newcombe, agresti_caffo or score; [NAME=]METHOD."),
        ] = None,
        winsorise: Annotated[
            list[str] | None, typer.Option(help="NAME=0.99: larger values count as that quantile.")
        ] = None,
        look: Annotated[
            str | None, typer.Option(help="Column that says when; the test is read after each.")
        ] = None,
        planned_units: Annotated[
            int | None,
            typer.Option(min=1, help="Units at which it was to end; else all there are."),
        ] = None,
        open_ended: Annotated[
            bool, typer.Option("--open-ended", help="Looks without a planned end.")
        ] = False,
        units: Annotated[
            str | None, typer.Option(help="Table of totals: column with the units of a row.")
        ] = None,
        sd: Annotated[
            list[str] | None, typer.Option(help="Table of totals: NAME=COLUMN of the sd.")
        ] = None,
        cumulative: Annotated[
            bool, typer.Option("--cumulative", help="Totals hold all up to their look.")
        ] = False,
        srm_alpha: Annotated[
            float, typer.Option(min=0, max=0.1, help="Level of the check of the split.")
        ] = 0.001,
        trust_unit: Annotated[
            bool, typer.Option("--trust-unit", help="The unit is what was randomised.")
        ] = False,
        sql: Query = None,
        database: Database = None,
        report: Report = None,
        as_json: AsJson = False,
    ) -> None:
        """Judge the table of any A/B test.

        CSV, JSONL, Parquet or a query. Exit status 1 where the verdict is not `pass`.
        """
        from expplat.domain.question import Question, Standard
        from expplat.flow.analyze import analyze
        from expplat.flow.asking import asked_metrics, both, shares_of
        from expplat.wiring import tables

        words = question_words(metric, margin, min_effect, sd, winsorise, method)
        metrics, shares = both(lambda: asked_metrics(words), lambda: shares_of(split))
        question = Question(
            variant=variant,
            control=control,
            metrics=metrics,
            unit=unit,
            units_in_row=units,
            covariates=tuple(covariate or ()),
            cluster=cluster,
            look=look,
            is_cumulative=cumulative,
        )
        standard = Standard(
            alpha=alpha,
            correction=correction,
            split=shares,
            adjustment=adjust,
            srm_alpha=srm_alpha,
            planned_units=planned_units,
            open_ended=open_ended,
            trusts_unit=trust_unit,
        )
        with working("Adding up"):
            table = tables().open(file, query=sql, database=database)
            found = analyze(question, standard, table)
        say_analysis(found, source=file or "a query", report=report, as_json=as_json)

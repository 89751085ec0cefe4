"""The options of `expplat plan`, and the question that they add up to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from expplat.errors import Fault, FaultsError

if TYPE_CHECKING:
    from expplat.domain.planning import GuardrailToSize, PlanQuestion

Experiment = Annotated[
    str | None, typer.Argument(help="A POC, or experiments/<slug>.yaml; else numbers.")
]
OfReplay = Annotated[
    bool, typer.Option("--replay", help="Plan the POC's next replay by its finished one.")
]
Kind = Annotated[str | None, typer.Option(help="proportion (the default) or mean.")]
Baseline = Annotated[float | None, typer.Option(help="The success metric today.")]
Sd = Annotated[float | None, typer.Option(help="Of a mean: spread between units.")]
MinEffect = Annotated[
    float | None, typer.Option(help="Smallest change that matters, absolute: 0.01 is a point.")
]
Guardrails = Annotated[
    int | None, typer.Option(help="How many there are, the named ones included.")
]
Guardrail = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=MARGIN:SD", help="One to size; may be repeated."),
]
Alpha = Annotated[float | None, typer.Option(help="Two-sided level; 0.05 unless given.")]
Power = Annotated[float | None, typer.Option(help="Of all gates together; 0.8 unless given.")]
Treatments = Annotated[int | None, typer.Option(help="Held against one control; 1 unless given.")]
Reading = Annotated[
    str | None,
    typer.Option(help="fixed, obf (the default), hsd(-4), power(3), pocock or open_ended."),
]
DailyUnits = Annotated[float | None, typer.Option(help="New units a day, in the whole system.")]
TrafficPercent = Annotated[
    float | None, typer.Option(help="Share of them in the test; 100 unless given.")
]
File = Annotated[
    str | None, typer.Option(help="Table of today's units: CSV, JSONL or Parquet; with --metric.")
]
Metric = Annotated[
    str | None, typer.Option(help="Its success metric: NAME=KIND[:COLUMN[/DENOMINATOR]].")
]
Unit = Annotated[str | None, typer.Option(help="Its column of units, such as user_id.")]
CostPerUnit = Annotated[float | None, typer.Option(help="What a unit in the test costs, in USD.")]


def question_of(numbers: Mapping[str, Any]) -> tuple[PlanQuestion, list[Fault]]:
    """Return the question, and what is wrong with the words that it was put in."""
    from expplat.domain.metric import MetricKind
    from expplat.domain.planning import Baseline, PlanQuestion

    faults = []
    kind = numbers.get("kind", "proportion")
    if kind not in {"proportion", "mean"}:
        faults.append(fault("kind", f"{kind!r} is no kind.", "It is `proportion` or `mean`."))
        kind = "mean" if "sd" in numbers else "proportion"
    named = []
    for text in numbers.get("guardrail", ()):
        one = _guardrail(text)
        if one is None:
            faults.append(fault("guardrail", f"{text!r} is not NAME=MARGIN:SD."))
        else:
            named.append(one)
    unsized = numbers.get("guardrails", len(named)) - len(named)
    said = Baseline(kind=MetricKind(kind), value=numbers.get("baseline"), sd=numbers.get("sd"))
    question = PlanQuestion(
        baseline=numbers.get("known", said),
        min_effect=numbers.get("min_effect"),
        guardrails=tuple(named),
        unsized_guardrails=unsized,
    )
    given = {name: numbers[name] for name in ("alpha", "power", "treatments") if name in numbers}
    return replace(question, reading=numbers.get("plan", question.reading), **given), faults


def _guardrail(text: str) -> GuardrailToSize | None:
    from expplat.domain.planning import GuardrailToSize

    name, _, rest = text.partition("=")
    margin, _, sd = rest.partition(":")
    try:
        found = GuardrailToSize(name=name.strip(), margin=float(margin), sd=float(sd))
    except ValueError:
        return None
    return found if found.name else None


def said_already(names: Iterable[str]) -> tuple[Fault, ...]:
    """Return a fault for each option that an experiment leaves nothing to say of."""
    return tuple(
        fault(name, "The experiment says it already.", "Leave it out, or plan by numbers alone.")
        for name in names
    )


def fault(field: str, message: str, hint: str = "") -> Fault:
    """Return a fault of an option."""
    return Fault(line=0, field=field, message=message, hint=hint)


def refuse(faults: Iterable[Fault]) -> None:
    """Raise all faults at once, by the options that they were put in."""
    options = (replace(one, field=f"--{one.field.replace('_', '-')}") for one in faults)
    found = tuple(dict.fromkeys(options))
    if found:
        raise FaultsError("expplat plan", found)

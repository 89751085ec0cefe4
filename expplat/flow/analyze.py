"""analyze: the verdicts of expplat on any table of an A/B test, wherever it was run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from expplat.domain.analysis import Analysis, Role
from expplat.domain.question import AskedKind, Correction, Question, Standard
from expplat.domain.replay import CONTROL
from expplat.domain.tally import Tally
from expplat.errors import Fault, FaultsError
from expplat.flow.asking import COMMAND_LINE
from expplat.flow.ports import Table
from expplat.flow.ruling import (
    Adjusted,
    Measured,
    comparisons_of,
    corrected,
    overall,
    refusal_in,
)
from expplat.flow.table_effects import effects_of
from expplat.flow.table_health import health_of
from expplat.flow.table_looks import read_looks
from expplat.stats.multiplicity import dunnett_step_down


def analyze(question: Question, standard: Standard, table: Table) -> Analysis:
    """Add a table up where it lies, check whether it is fit to be read, and rule on it.

    Raises:
        FaultsError: If question, split and table do not fit each other, with every fault.
    """
    _raise_if_unfit(question, standard)
    question = _by_unit(question)
    tally = table.tally(question)
    standard = replace(standard, split=_named_split(standard, question, tally))
    health = health_of(tally, question, standard)
    refusal = refusal_in(health)
    if tally.looks:
        measured, looks = read_looks(tally, question, standard)
    else:
        measured, looks = effects_of(tally.arms, question, standard, table), ()
    adjusted = _adjusted(measured, standard)
    comparisons = comparisons_of(measured, adjusted, standard, refusal)
    return Analysis(
        comparisons=comparisons,
        health=health,
        verdict=overall(comparisons, refusal),
        looks=looks,
        alpha=standard.alpha,
        correction=standard.correction,
    )


def _by_unit(question: Question) -> Question:
    """Take a share with a denominator for a ratio where units are named.

    Trials of one unit are not independent of each other, so that only their sums count.
    """
    if question.unit is None:
        return question
    metrics = tuple(
        replace(metric, kind=AskedKind.RATIO) if metric.denominator else metric
        for metric in question.metrics
    )
    return replace(question, metrics=metrics)


def _adjusted(measured: Sequence[Measured], standard: Standard) -> Adjusted:
    if standard.correction is not Correction.DUNNETT:
        return corrected(measured, standard.correction)
    names = dict.fromkeys(one.metric.name for one in measured if one.role is Role.SUCCESS)
    adjusted = {
        place: p for name in names for place, p in _dunnett(measured, name, len(names)).items()
    }
    return tuple(adjusted.get(place, one.effect.p) for place, one in enumerate(measured))


def _dunnett(measured: Sequence[Measured], name: str, metrics: int) -> Mapping[int, float | None]:
    """Correct one metric over its treatments, and by Bonferroni over so many metrics."""
    places = [place for place, one in enumerate(measured) if one.metric.name == name]
    z = [_z(measured[place]) for place in places]
    known = [value for value in z if value is not None]
    if len(known) < len(z):
        return dict.fromkeys(places)
    effects = [measured[place].effect for place in places]
    sizes = [effect.n_treatment for effect in effects]
    found = dunnett_step_down(known, effects[0].n_control, sizes)
    return {place: min(1.0, p * metrics) for place, p in zip(places, found, strict=True)}


def _z(one: Measured) -> float | None:
    if one.effect.difference is None or not one.standard_error:
        return None
    return one.effect.difference / one.standard_error


def _named_split(standard: Standard, question: Question, tally: Tally) -> dict[str, float]:
    """Return the split by the table's own names; `control` may stand for the control's name.

    Raises:
        FaultsError: If the split leaves a variant out, or names one that is not there.
    """
    if not standard.split:
        return {}
    variants = [arm.variant for arm in tally.arms]
    split = dict(standard.split)
    if CONTROL in split and CONTROL not in variants:
        split[question.control] = split.pop(CONTROL)
    wrong = sorted(set(split) ^ set(variants))
    if wrong:
        hint = f"Variants in the table: {', '.join(variants)}."
        message = f"the split does not fit the table: {', '.join(wrong)}."
        raise FaultsError(COMMAND_LINE, (_fault("--split", message, hint),))
    return split


def _raise_if_unfit(question: Question, standard: Standard) -> None:
    faults = [*_faults_of_metrics(question), *_faults_of_options(question, standard)]
    if faults:
        raise FaultsError(COMMAND_LINE, tuple(faults))


def _faults_of_metrics(question: Question) -> Iterator[Fault]:
    for metric in question.metrics:
        if metric.kind in (AskedKind.LATENCY, AskedKind.COST):
            hint = f"Ask for {metric.name}=p95:{metric.column}, or =mean:{metric.column}."
            yield _fault("--metric", f"{metric.name}: a {metric.kind} is for `compare`.", hint)
        if metric.kind is AskedKind.QUANTILE and question.look:
            hint = f"A share over a bound can be: {metric.name}=proportion:{metric.column}>800."
            yield _fault("--metric", f"{metric.name}: a quantile cannot be read at looks.", hint)
        if question.unit is None and metric.kind is AskedKind.QUANTILE:
            yield _fault("--metric", f"{metric.name}: totals hold no quantile.", "Name a --unit.")


def _faults_of_options(question: Question, standard: Standard) -> Iterator[Fault]:
    is_totals = question.units_in_row or all(metric.denominator for metric in question.metrics)
    if question.unit is None and not is_totals:
        hint = "Name the randomised unit, such as --unit user_id; for a table of totals, --units n."
        yield _fault("--unit", "rows are never counted as if they were independent.", hint)
    if question.unit is None and (question.covariates or question.cluster):
        yield _fault("--unit", "covariates and clusters need units.", "Name a --unit.")
    if question.unit == question.variant:
        yield _fault("--unit", "a variant is no unit.", "Name what was randomised.")
    measured = {metric.column for metric in question.metrics}
    for name in sorted(measured & set(question.covariates)):
        hint = "A covariate was known before the exposure, such as the same number a week earlier."
        yield _fault("--covariate", f"{name} is what is asked for.", hint)
    if not 0 < standard.alpha < 0.5:
        yield _fault("--alpha", f"{standard.alpha:g} is no level.", "Such as 0.05.")
    if standard.correction is Correction.MAX_T:
        yield _fault("--correction", "max_t is for `compare`.", "Take holm or dunnett.")
    if (standard.planned_units or standard.open_ended) and not question.look:
        yield _fault("--look", "a plan needs the column that says when.", "Such as --look day.")


def _fault(option: str, message: str, hint: str) -> Fault:
    return Fault(line=0, field=option, message=message, hint=hint)

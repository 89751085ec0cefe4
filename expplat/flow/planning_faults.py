"""What is wrong with a question about a test that has not begun; everything at once."""

from __future__ import annotations

import math
from collections.abc import Iterator

from expplat.domain.metric import MetricKind
from expplat.domain.planning import Baseline, PlanQuestion, Traffic
from expplat.errors import Fault
from expplat.stats.power import INFLATION

MOST_TREATMENTS = 20
MOST_GUARDRAILS = 100

SMALLEST_SHARE = 1e-7
"""Of a unit's spread, below which no effect and no margin is sized: 1e15 units do not exist."""

LARGEST = 1e100
"""Of any effect, margin or spread."""

MOST_DAILY_UNITS = 1e12
LEAST_DAILY_UNITS = 1e-3
LEAST_PERCENT = 1e-4
MOST_COST_USD = 1e9


def faults_of(question: PlanQuestion, traffic: Traffic) -> tuple[Fault, ...]:
    """Return every fault of a question; its fields are named as those of the nouns are."""
    return (
        *_baseline_faults(question.baseline),
        *_effect_faults(question, traffic),
        *_level_faults(question),
        *_guardrail_faults(question),
        *traffic_faults(traffic),
    )


def traffic_faults(traffic: Traffic) -> tuple[Fault, ...]:
    """Return every fault of the traffic alone."""
    found = []
    daily, percent, cost = traffic.daily_units, traffic.traffic_percent, traffic.cost_per_unit_usd
    if daily is not None and not LEAST_DAILY_UNITS <= daily <= MOST_DAILY_UNITS:
        range_ = f"From {LEAST_DAILY_UNITS:g} to {MOST_DAILY_UNITS:g}."
        found.append(_fault("daily_units", f"{daily:g} units a day cannot be.", range_))
    if not LEAST_PERCENT <= percent <= 100:
        range_ = f"From {LEAST_PERCENT:g} to 100."
        found.append(_fault("traffic_percent", f"{percent:g} % of the traffic cannot be.", range_))
    if cost is not None and not 0 <= cost <= MOST_COST_USD:
        range_ = f"From 0 to {MOST_COST_USD:g}."
        found.append(_fault("cost_per_unit_usd", f"{cost:g} USD is no cost.", range_))
    return tuple(found)


def _baseline_faults(baseline: Baseline) -> Iterator[Fault]:
    if baseline.kind is MetricKind.PROPORTION:
        if baseline.value is None or not 0 < baseline.value < 1:
            told = "missing" if baseline.value is None else f"{baseline.value:g}"
            yield _fault("baseline", f"A proportion lies between 0 and 1; it is {told}.")
        if baseline.sd is not None:
            yield _fault(
                "sd",
                "A proportion's spread follows from itself.",
                "Leave it out, or say `--kind mean`.",
            )
        return
    if baseline.value is not None and not math.isfinite(baseline.value):
        yield _fault("baseline", f"{baseline.value:g} is not a finite number.")
    if baseline.sd is None or not _is_above_0(baseline.sd):
        yield _fault(
            "sd",
            "A mean needs the standard deviation between units, above 0.",
            "Take it from your monitoring: of one value a unit, not of one a day.",
        )


def _effect_faults(question: PlanQuestion, traffic: Traffic) -> Iterator[Fault]:
    effect, baseline = question.min_effect, question.baseline
    if effect is None:
        if traffic.daily_units is None:
            yield _fault(
                "min_effect",
                "Neither an effect nor daily units: there is nothing to find out.",
                "Give --min-effect to know the units, or --daily-units to know the effects.",
            )
        return
    if not _is_above_0(abs(effect)):
        yield _fault("min_effect", f"No number of units finds an effect of {effect:g}.")
        return
    spread = 1.0 if baseline.kind is MetricKind.PROPORTION else baseline.sd
    if _is_too_small(effect, spread):
        yield _fault("min_effect", f"{effect:g} is too small to be found by any test.")
    value = baseline.value
    if baseline.kind is not MetricKind.PROPORTION or value is None or not 0 < value < 1:
        return
    if not 0 <= value + effect <= 1:
        yield _fault(
            "min_effect",
            f"{value:g} moved by {effect:g} leaves the range from 0 to 1.",
            "The effect is absolute: 0.01 is one percentage point.",
        )


def _level_faults(question: PlanQuestion) -> Iterator[Fault]:
    if not 0 < question.alpha < 0.5:
        yield _fault("alpha", f"{question.alpha:g} does not lie between 0 and 0.5.")
    if not 0 < question.power < 1:
        yield _fault("power", f"{question.power:g} does not lie between 0 and 1.", "Such as 0.8.")
    if not 1 <= question.treatments <= MOST_TREATMENTS:
        yield _fault("treatments", f"{question.treatments} is not 1 to {MOST_TREATMENTS}.")
    if question.reading not in INFLATION:
        yield _fault(
            "plan",
            f"{question.reading!r} is no way to read a test.",
            f"One of: {', '.join(INFLATION)}.",
        )


def _guardrail_faults(question: PlanQuestion) -> Iterator[Fault]:
    if not 0 <= question.unsized_guardrails <= MOST_GUARDRAILS:
        yield _fault(
            "guardrails",
            f"{question.unsized_guardrails + len(question.guardrails)} in all does not fit "
            f"{len(question.guardrails)} that are named.",
            f"As many as are named, or up to {MOST_GUARDRAILS} more.",
        )
    names = [question.baseline.name, *(one.name for one in question.guardrails)]
    for one in question.guardrails:
        if names.count(one.name) > 1:
            yield _fault("guardrail", f"{one.name} is named twice.")
        if not _is_above_0(one.margin) or not _is_above_0(one.sd):
            yield _fault("guardrail", f"{one.name} needs a margin and an sd above 0.")
        elif _is_too_small(one.margin, one.sd):
            yield _fault("guardrail", f"{one.name}: a margin of {one.margin:g} is too small.")


def _is_too_small(effect: float, spread: float | None) -> bool:
    return spread is not None and _is_above_0(spread) and abs(effect) < SMALLEST_SHARE * spread


def _is_above_0(value: float) -> bool:
    """Whether it is, and no further from 1 than its square can be written."""
    return 1 / LARGEST <= value <= LARGEST


def _fault(field: str, message: str, hint: str = "") -> Fault:
    return Fault(line=0, field=field, message=message, hint=hint)

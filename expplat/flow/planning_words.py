"""What a plan is called in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from expplat.domain.planning import PlannedTest, PlanQuestion
from expplat.domain.wording import limit, number
from expplat.flow.gate_sizes import AskedGate

FEWEST_DAYS = 7.0
"""A test that is over sooner has not seen a weekend."""


def sentence_on(plan: PlannedTest, at_the_end: float | None) -> str:
    """Return what to do.

    Args:
        plan: All but its sentence.
        at_the_end: The smallest effect that can be found within the plan's most days; None where
            nobody said how many come, or nothing can.
    """
    if plan.units is None:
        return _what_can_be_found(plan)
    if plan.units_needed is not None and plan.units < plan.units_needed:
        return _too_few(plan)
    if plan.days is not None and plan.days > plan.max_days:
        return _too_slow(plan, at_the_end)
    each = f"{plan.units // plan.variants:,} in each of {plan.variants} variants"
    started = f"Let {plan.units:,} units in, {each}: {_chance(plan)}."
    return f"{started} {_price(plan)}".rstrip()


def notes_on_question(question: PlanQuestion) -> tuple[str, ...]:
    """Return what was assumed of a question that is asked in numbers."""
    notes = []
    if question.treatments > 1:
        notes.append(
            f"{question.treatments} treatments, each held against control at "
            f"{number(question.alpha / question.treatments)}, so that all of them together are "
            f"wrong no more often than {number(question.alpha)}."
        )
    if question.unsized_guardrails:
        notes.append(
            f"{question.unsized_guardrails} guardrails of unknown spread are taken to pass as "
            "often as they must; `--guardrail NAME=MARGIN:SD` sizes one."
        )
    return tuple(notes)


def notes_on_reading(reading: str, gates: Sequence[AskedGate]) -> tuple[str, ...]:
    """Return what must be known of the units that reading a test many times costs."""
    if reading == "fixed":
        return ("Read once, at the end: a look before that makes false passes.",)
    inflation = gates[0].inflation
    measured = (
        f"{number(100 * (inflation - 1))} % more units than a test that is read once: measured for "
        "80 % power at a two-sided 0.05 and 100 looks."
    )
    if min(gate.power for gate in gates) >= 0.8 and max(gate.alpha for gate in gates) <= 0.05:
        return (measured,)
    return (f"{measured} Elsewhere it is a rough guide.",)


def _what_can_be_found(plan: PlannedTest) -> str:
    row = plan.weeks[2]
    name, effect = next(iter(row.smallest_effects.items()))
    if effect is None:
        return f"Nothing is found on {name} within {row.weeks} weeks: more units must come."
    return (
        f"Choose the effect that matters: in {row.weeks} weeks, {row.units:,} units tell "
        f"{number(effect)} on {name} apart. `--min-effect` then says how long it takes."
    )


def _too_few(plan: PlannedTest) -> str:
    widest = max(plan.gates, key=lambda gate: gate.units_needed)
    found = widest.smallest_effect
    told = "nothing" if found is None else limit(found, widest.unit)
    return (
        f"Not feasible: {widest.metric} needs {widest.units_needed:,} units to tell "
        f"{limit(widest.distance, widest.unit)} apart, and the plan ends at {plan.units:,}, with "
        f"{number(100 * widest.power)} % power. Raise `max_units`, or look for {told}."
    )


def _too_slow(plan: PlannedTest, at_the_end: float | None) -> str:
    gate = plan.gates[0]
    found = "nothing" if at_the_end is None else limit(at_the_end, gate.unit)
    return (
        f"Not feasible: {plan.units:,} units take {_days(plan)}, and the test ends after "
        f"{number(plan.max_days)}, when {found} could be told apart on {gate.metric}. Bring more "
        "units, look for a larger effect, or measure something that varies less."
    )


def _chance(plan: PlannedTest) -> str:
    asked = f"{number(100 * plan.power_asked)} %"
    if len(plan.gates) == 1 and plan.joint_power is not None:
        distance = limit(plan.gates[0].distance, plan.gates[0].unit)
        reached = f"{number(100 * plan.joint_power)} %"
        return f"an effect of {distance} is found with {reached} power ({asked} is asked for)"
    least, most = plan.joint_power_at_least or 0.0, plan.joint_power or 0.0
    return (
        f"all gates pass together with at least {number(100 * least)} % power "
        f"({number(100 * most)} % if the metrics are independent; {asked} is asked for)"
    )


def _price(plan: PlannedTest) -> str:
    parts = []
    if plan.days is not None:
        parts.append(f"takes {_days(plan)}")
    if plan.cost_usd is not None:
        parts.append(f"costs {plan.cost_usd:,.2f} USD")
    if not parts:
        return "`--daily-units` says how long that takes."
    told = f"It {' and '.join(parts)}."
    if plan.days is not None and plan.days < FEWEST_DAYS:
        told += " Let it run for a week all the same, so that it sees a weekend."
    return told


def _days(plan: PlannedTest) -> str:
    days = plan.days or 0.0
    return f"{number(days)} days" if days < 1 else f"{days:,.1f} days"

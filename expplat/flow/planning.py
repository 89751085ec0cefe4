"""planning: what a test takes, before it is started; nothing is written.

A plan is advice, not a gate: one that is not feasible says so, and stops nobody. `promote` judges
the plan of an experiment file (`expplat.flow.plan`), by the same sizes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from expplat.domain.gate import GateKind
from expplat.domain.planning import PlannedTest, PlanQuestion, Traffic, WeekRow
from expplat.domain.proposal import OnlinePlan
from expplat.errors import InputError
from expplat.flow.arrivals import Arrivals, days_until, ramped, steady, units_after
from expplat.flow.gate_sizes import (
    AskedGate,
    gates_of_plan,
    gates_of_question,
    power_of_each,
    size_of,
    smallest_effect,
    units_needed,
)
from expplat.flow.plan import LEAST_POWER
from expplat.flow.planning_words import notes_on_question, notes_on_reading, sentence_on
from expplat.stats import power

WEEKS = (1, 2, 4, 8)
"""For which it is told what can be found by then."""

MOST_DAYS = 365.0
"""A test that takes longer is not feasible: nothing stays as it was for so long."""


class _Frame(NamedTuple):
    """What holds for all gates of a test."""

    source: str
    reading: str
    variants: int
    gates: tuple[AskedGate, ...]
    arrivals: Arrivals | None
    max_days: float
    power: float
    most_units: int | None = None
    """With which the test ends; None where it ends with the units that it needs."""

    assumed: tuple[float, ...] = ()
    """Chances of gates of which nothing is known, taken to be sized as they need."""

    idle: tuple[str, ...] = ()
    """Success metrics that need not win beside the first."""

    notes: tuple[str, ...] = ()


def plan_of_question(question: PlanQuestion, traffic: Traffic) -> PlannedTest:
    """Return what a test takes whose baseline and effect are given as numbers.

    The question must be sound: `expplat.flow.planning_faults.faults_of` says whether it is.
    """
    frame = _Frame(
        source="numbers",
        reading=question.reading,
        variants=1 + question.treatments,
        gates=gates_of_question(question),
        arrivals=steady(traffic),
        max_days=MOST_DAYS,
        power=question.power,
        assumed=(power_of_each(question),) * question.unsized_guardrails,
        notes=notes_on_question(question),
    )
    return _planned(frame, traffic)


def plan_of_online(plan: OnlinePlan, source: str, traffic: Traffic) -> PlannedTest:
    """Return what the online test of an experiment file takes, by the sizes that `promote` asks.

    Its own ramp says what share of the traffic enters; `traffic.traffic_percent` is not read.

    Raises:
        InputError: If no metric of it says what to expect.
    """
    gates = gates_of_plan(plan)
    if not gates:
        raise InputError(
            f"No metric of {source} that a gate judges says what to expect.",
            hint="Give each `expected`, and a mean its `expected_sd`, as your monitoring shows.",
        )
    known = {gate.metric for gate in gates}
    unsized = dict.fromkeys(gate.metric or "" for gate in plan.gates if gate.metric not in known)
    success = [gate.metric or "" for gate in plan.gates if gate.kind is GateKind.SUPERIORITY]
    frame = _Frame(
        source=source,
        reading="open_ended" if plan.mode == "open_ended" else "obf",
        variants=2,
        gates=gates,
        arrivals=None if traffic.daily_units is None else ramped(plan, traffic.daily_units),
        max_days=plan.max_days,
        power=LEAST_POWER,
        most_units=plan.max_units,
        idle=tuple(success[1:]) if plan.winning == "any" else (),
        notes=tuple(f"{name} is not sized: its metric has no `expected`, or no `expected_sd`, and "
                    "the joint power leaves it out." for name in unsized),
    )  # fmt: skip
    return _planned(frame, traffic)


def _planned(frame: _Frame, traffic: Traffic) -> PlannedTest:
    needed = [units_needed(gate, frame.variants) for gate in frame.gates]
    enough = None if None in needed else max(one for one in needed if one is not None)
    units = frame.most_units or enough
    rows = () if units is None else tuple(
        size_of(gate, gate.distance, units, frame.variants)
        for gate in frame.gates
        if gate.distance is not None
    )  # fmt: skip
    powers = [row.power for row in rows if row.metric not in frame.idle]
    joint = power.joint_power([*powers, *frame.assumed]) if powers else None
    days = None if units is None or not frame.arrivals else days_until(units, frame.arrivals)
    cost_usd = None
    if units is not None and traffic.cost_per_unit_usd is not None:
        cost_usd = units * traffic.cost_per_unit_usd
    found = PlannedTest(
        source=frame.source,
        reading=frame.reading,
        variants=frame.variants,
        gates=rows,
        units_needed=enough,
        units=units,
        days=days,
        cost_usd=cost_usd,
        joint_power=joint.independent if joint else None,
        joint_power_at_least=joint.at_least if joint else None,
        power_asked=frame.power,
        max_days=frame.max_days,
        is_feasible=(units or 0) >= (enough or 0) and (days or 0.0) <= frame.max_days,
        weeks=() if frame.arrivals is None else _weeks(frame, frame.arrivals),
        notes=(*frame.notes, *notes_on_reading(frame.reading, frame.gates)),
    )
    return replace(found, sentence=sentence_on(found, _at_the_end(frame)))


def _weeks(frame: _Frame, arrivals: Arrivals) -> tuple[WeekRow, ...]:
    """Return what can be found by when; a test that has ended finds no more."""
    found = []
    for weeks in WEEKS:
        units = units_after(7 * weeks, arrivals)
        units = min(units, frame.most_units or units)
        effects = {gate.metric: smallest_effect(gate, units, frame.variants)
                   for gate in frame.gates}  # fmt: skip
        found.append(WeekRow(weeks=weeks, units=int(units), smallest_effects=effects))
    return tuple(found)


def _at_the_end(frame: _Frame) -> float | None:
    """Return the smallest effect on the first success metric that the most days allow."""
    if frame.arrivals is None:
        return None
    units = units_after(frame.max_days, frame.arrivals)
    return smallest_effect(frame.gates[0], min(units, frame.most_units or units), frame.variants)

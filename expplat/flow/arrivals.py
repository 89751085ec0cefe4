"""How units come into a test over the days, while its ramp widens."""

from __future__ import annotations

from typing import NamedTuple

from expplat.domain.planning import Traffic
from expplat.domain.proposal import OnlinePlan
from expplat.stats.power import days_needed


class Span(NamedTuple):
    """Days with one and the same stream of units."""

    days: float
    """Infinite for the last."""

    per_day: float


Arrivals = tuple[Span, ...]


def steady(traffic: Traffic) -> Arrivals | None:
    """Return the stream of a test that takes the same share from its first day; None if unknown."""
    if traffic.daily_units is None:
        return None
    return (Span(float("inf"), traffic.daily_units * traffic.traffic_percent / 100),)


def ramped(plan: OnlinePlan, daily_units: float) -> Arrivals:
    """Return the stream of a test whose steps open as soon as they may.

    A step holds for its hours, and until both variants together have the units that it asks for.
    """
    spans: list[Span] = []
    gathered = 0.0
    for percent in plan.ramp_percent[:-1]:
        missing = max(0.0, 2 * plan.hold.min_units - gathered)
        days = max(plan.hold.min_hours / 24, days_needed(missing, daily_units, percent))
        spans.append(Span(days, daily_units * percent / 100))
        gathered += days * spans[-1].per_day
    return (*spans, Span(float("inf"), daily_units * plan.ramp_percent[-1] / 100))


def days_until(units: float, arrivals: Arrivals) -> float:
    """Return the days in which so many units have come."""
    days = 0.0
    for span in arrivals[:-1]:
        if units <= span.days * span.per_day:
            return days + days_needed(units, span.per_day)
        units -= span.days * span.per_day
        days += span.days
    return days + days_needed(units, arrivals[-1].per_day)


def units_after(days: float, arrivals: Arrivals) -> float:
    """Return the units that have come after so many days."""
    units = 0.0
    for span in arrivals:
        spent = min(days, span.days)
        units += spent * span.per_day
        days -= spent
    return units

"""A test that has not begun: what is asked of it, and what it takes.

PlanQuestion ──▶ PlannedTest (an online test) · ReplayReport ──▶ ReplaySizes (the next replay)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expplat.domain.metric import MetricKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """What the success metric is today, wherever that is known from."""

    kind: MetricKind
    """`mean` or `proportion`."""

    value: float | None = None
    """Under control, in the metric's unit; a proportion lies between 0 and 1. Means do without."""

    sd: float | None = None
    """Means: standard deviation between units, in the metric's unit."""

    name: str = "success"


@dataclass(frozen=True, slots=True, kw_only=True)
class GuardrailToSize:
    """A metric that must not be harmed."""

    name: str

    margin: float
    """Largest harm allowed, in the metric's unit, above 0."""

    sd: float
    """Standard deviation between units, in the same unit, above 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanQuestion:
    """What is asked of a test that no experiment file describes yet."""

    baseline: Baseline

    min_effect: float | None = None
    """Smallest change that must be found, in the metric's unit, below 0 for a metric that is to
    fall; None asks what can be found by when."""

    guardrails: tuple[GuardrailToSize, ...] = ()

    unsized_guardrails: int = 0
    """Further guardrails, of which nothing is known but that they must pass too."""

    alpha: float = 0.05
    """Two-sided level, over all looks and all treatments together, between 0 and 0.5."""

    power: float = 0.8
    """Chance that all gates pass, if the gain is `min_effect` and nothing is harmed."""

    treatments: int = 1
    """Treatments that are held against one control, each at alpha over their number."""

    reading: str = "obf"
    """How often the test is read: `fixed` (once), the name of a spending plan, or `open_ended`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Who comes, and what they cost."""

    daily_units: float | None = None
    """New units a day in the system as a whole."""

    traffic_percent: float = 100.0
    """Share of them that enters the test."""

    cost_per_unit_usd: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSize:
    """One gate of the plan."""

    metric: str
    unit: str
    is_guardrail: bool

    distance: float
    """What must be told apart, in the metric's unit: the smallest effect, or the margin."""

    units_needed: int
    """All variants together, so that all gates pass with the power asked for."""

    power: float
    """Chance that this gate passes with the plan's units, 0 to 1."""

    smallest_effect: float | None
    """What the plan's units tell apart with the power asked for; None where nothing is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekRow:
    """What can be told apart after so many weeks."""

    weeks: int
    units: int
    smallest_effects: Mapping[str, float | None]
    """By metric, in its unit; None where nothing can be told apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTest:
    """What an online test takes."""

    source: str
    """Where the baseline is from: `numbers`, or the experiment's name."""

    reading: str
    variants: int
    gates: tuple[GateSize, ...]
    """Success metrics first, without those that do not say what to expect; empty where no effect
    was asked for."""

    units_needed: int | None
    """All variants together; None where no effect was asked for."""

    units: int | None
    """With which the test ends: those needed, or the `max_units` of an experiment file."""

    days: float | None
    """In which they come; None without daily units."""

    cost_usd: float | None
    joint_power: float | None
    """Chance that all gates pass with these units, were their metrics independent."""

    joint_power_at_least: float | None
    """The same, whatever their dependence."""

    power_asked: float
    max_days: float
    is_feasible: bool
    """Whether units and days suffice; days only where daily units are known."""

    sentence: str = ""
    """What to do."""

    weeks: tuple[WeekRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySize:
    """One offline gate, sized by what a finished replay found."""

    metric: str
    unit: str
    distance: float
    """What must be told apart, in the metric's unit."""

    sd: float
    """Of the paired differences between requests, in the same unit, as its interval shows it."""

    requests: int
    """Of the finished replay that the metric applied to."""

    power: float
    """Chance that as many tell the distance apart, 0 to 1."""

    requests_needed: int
    """In the log, with those that the metric does not apply to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaySizes:
    """What the next replay of a POC takes."""

    slug: str
    replay_id: str
    gates: tuple[ReplaySize, ...]
    requests_needed: int
    cost_usd: float
    """Of so many requests through both variants, at what the finished replay paid."""

    joint_power: float
    """Chance that as many requests tell all distances apart, were the metrics independent."""

    joint_power_at_least: float
    sentence: str
    notes: tuple[str, ...] = ()

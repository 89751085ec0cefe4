"""The online test: exposures, outcomes, and what they add up to at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any, NamedTuple

from expplat.domain.gate import Verdict
from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.domain.replay import CONTROL, TREATMENT

VARIANTS = (CONTROL, TREATMENT, *(f"{TREATMENT}_{letter}" for letter in "bcdefg"))
"""What a variant may be called, in the order that flags number them in."""

NO_PROPERTIES: Mapping[str, Any] = MappingProxyType({})


class Exposure(NamedTuple):
    """A unit was shown a variant. The first one counts."""

    event_id: str
    slug: str
    phase: int
    variant: str
    """One of `VARIANTS`; `variation` on the wire."""

    unit: str
    at: datetime
    """When it happened, by our clock."""

    received_at: datetime
    stated_at: datetime | None = None
    """When the sender says that it happened, by its clock; None where it says nothing."""

    properties: Mapping[str, Any] = NO_PROPERTIES

    @property
    def content(self) -> tuple[object, ...]:
        """What counts of it: the same id with another content is a fault of its sender."""
        return (self.slug, self.phase, self.variant, self.unit, self.stated_at)


SMALLEST_VALUE = 1e-100
LARGEST_VALUE = 1e100
"""Sizes of an outcome, zero apart: its square must be a number too."""


class Outcome(NamedTuple):
    """A metric event of a unit."""

    event_id: str
    unit: str
    metric: str
    value: float
    """0, or `SMALLEST_VALUE` to `LARGEST_VALUE` in size."""

    at: datetime
    """When it happened, by our clock."""

    received_at: datetime
    stated_at: datetime | None = None
    """When the sender says that it happened, by its clock; None where it says nothing."""

    slug: str | None = None
    """Named where the event belongs to one test only; None counts for every test of the unit."""

    properties: Mapping[str, Any] = NO_PROPERTIES

    @property
    def content(self) -> tuple[object, ...]:
        """What counts of it: the same id with another content is a fault of its sender."""
        return (self.unit, self.metric, self.value, self.slug, self.stated_at)


def is_storable(value: float) -> bool:
    """Whether statistics can be made of an outcome's value; others belong in quarantine."""
    return value == 0 or SMALLEST_VALUE <= abs(value) <= LARGEST_VALUE


@dataclass(frozen=True, slots=True, kw_only=True)
class QuarantinedEvent:
    """An event as it came, and why it does not count."""

    source: str
    """The connection that it came by."""

    kind: str
    """`exposure` or `outcome`."""

    body: str
    """The event as JSON, in the form of `/v1/exposures` or `/v1/outcomes`."""

    reason: str
    """A code and a sentence: `unknown_experiment: No test of that name was begun.`"""

    received_at: datetime
    stated_at: datetime | None = None
    at: datetime | None = None
    """When it happened, by our clock; None where it says nothing."""

    number: int = 0
    """Counts up in the order they came; 0 for one that is not kept yet."""

    @property
    def code(self) -> str:
        """The first word of the reason."""
        return self.reason.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmStatistics:
    """One variant at one look."""

    units: int
    """Units whose first exposure was to this variant."""

    metrics: Mapping[str, Moments]
    """By metric; `n` is the number of units that have a value."""

    def moments(self, metric: str) -> Moments:
        """Return the moments of a metric, also of one that no unit has a value of."""
        return self.metrics.get(metric, NO_MOMENTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What the events add up to, up to a watermark; computed where the data lies."""

    slug: str
    phase: int
    watermark: int
    """Number of events that are counted; events are only ever added, so the same watermark means
    the same numbers."""

    taken_at: datetime
    started_at: datetime
    """When the phase was opened."""

    arms: Mapping[str, ArmStatistics]
    multiple_exposures: int
    """Units that were shown both variants."""

    def arm(self, variant: str) -> ArmStatistics:
        """Return one variant's statistics, also of one that nobody was shown yet."""
        return self.arms.get(variant, ArmStatistics(units=0, metrics={}))

    def pair(self, treatment: str) -> Snapshot:
        """Return control and one of several treatments, which is called `treatment` in it."""
        return replace(self, arms={CONTROL: self.arm(CONTROL), TREATMENT: self.arm(treatment)})

    @property
    def units(self) -> int:
        """Units in the test, all variants together."""
        return sum(arm.units for arm in self.arms.values())

    @property
    def fewest_units(self) -> int:
        """Units in the smaller of the two variants."""
        return min(self.arm(CONTROL).units, self.arm(TREATMENT).units)

    @property
    def days(self) -> float:
        """Days since the phase was opened."""
        return (self.taken_at - self.started_at).total_seconds() / 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one look said of one of several treatments."""

    information_fraction: float
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One reading of an online test: the evidence, and what the gates said. Written once."""

    slug: str
    phase: int
    position: int
    """0, 1, 2 … within the phase."""

    information_fraction: float
    """How far the plan had come, at most 1: by units, or 1 where its days were over. It says how
    much of the error budget may be spent; 0 for a look that decided nothing and spent nothing."""

    snapshot: Snapshot
    verdicts: tuple[Verdict, ...]
    """Of the health gates, and of the metric gates for the first treatment."""

    further: Mapping[str, Reading] = field(default_factory=dict)
    """What the look said of the treatments after the first, by name."""

    def of(self, treatment: str) -> Look:
        """Return the look at control and one treatment alone, as if there were no other."""
        if not self.further:
            return self
        said = self.further.get(treatment) or Reading(
            information_fraction=self.information_fraction, verdicts=self.verdicts
        )
        return replace(
            self,
            snapshot=self.snapshot.pair(treatment),
            information_fraction=said.information_fraction,
            verdicts=said.verdicts,
            further={},
        )

    @property
    def by_treatment(self) -> dict[str, Look]:
        """The looks at control and each treatment alone, the first treatment first."""
        return {name: self.of(name) for name in (TREATMENT, *sorted(self.further))}

"""The online test: exposures, outcomes, and what they add up to at one look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from expplat.domain.gate import Verdict
from expplat.domain.moments import NO_MOMENTS, Moments
from expplat.domain.replay import CONTROL, TREATMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposure:
    """A unit was shown a variant. The first one counts."""

    event_id: str
    slug: str
    phase: int
    variant: str
    """`control` or `treatment`; `variation` on the wire."""

    unit: str
    at: datetime
    """When it happened, by our clock."""

    received_at: datetime
    stated_at: datetime | None = None
    """When the sender says that it happened, by its clock; None where it says nothing."""

    properties: Mapping[str, Any] = field(default_factory=dict)


SMALLEST_VALUE = 1e-100
LARGEST_VALUE = 1e100
"""Sizes of an outcome, zero apart: its square must be a number too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
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

    properties: Mapping[str, Any] = field(default_factory=dict)


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
    """What was sent; bytes that a database cannot hold stand as escapes."""

    reason: str
    received_at: datetime
    stated_at: datetime | None = None
    at: datetime | None = None
    """When it happened, by our clock; None where it says nothing."""


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

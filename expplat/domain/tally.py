"""What the table of a test adds up to, summed where it lies; or its aligned columns, in pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from expplat.domain.moments import JointMoments


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricTally:
    """One metric in one variant, added up."""

    units: int
    """Units with a value."""

    missing: int
    """Units without one."""

    moments: JointMoments
    """Over the numerator, then the denominator where there is one, then the covariates, then a
    0 or 1 for each covariate that some units lack (they count as the mean of the others). The rows
    are units, or clusters with the sums of their units and the count of units as denominator."""

    covariates: tuple[str, ...] = ()
    """Names of the columns from the first covariate on."""

    has_denominator: bool = False
    largest: float | None = None
    """Largest numerator of a row, by size."""

    tail_share: float | None = None
    """Share of the variance that comes from the hundredth of the rows that lie farthest out; None
    where there are so many rows that a hundredth is no handful."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmTally:
    """One variant, up to one look."""

    variant: str
    units: int
    """Units of this variant alone."""

    clusters: int | None
    """None where units do not belong to clusters."""

    metrics: Mapping[str, MetricTally]


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What had come in by one look, added up from the start."""

    label: str
    arms: tuple[ArmTally, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """A column whose values each saw one variant only: it, not the unit, may be randomised."""

    column: str
    groups: int
    """Values of it that have two units or more."""

    mixed: int
    """Those of them in which units saw different variants."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What a table adds up to."""

    rows: int
    rows_without_variant: int
    rows_without_unit: int
    repeated_units: int
    """Units with several rows."""

    repeated_rows: int
    """Rows beyond each unit's first."""

    units_in_two_arms: int
    """Units with rows in several variants; they are left out."""

    arms: tuple[ArmTally, ...]
    """Control first, then the treatments by name; a table without a look is one look."""

    looks: tuple[Look, ...] = ()
    """In order; empty where no look was asked for."""

    groupings: tuple[Grouping, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmValues:
    """One metric of one variant, unit by unit."""

    values: tuple[float, ...]
    clusters: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedTable:
    """The same requests under several variants, aligned: every column has one entry a request."""

    requests: tuple[str, ...]
    variants: tuple[str, ...]
    """Control first, then the treatments by name."""

    values: Mapping[str, Mapping[str, tuple[float | None, ...]]]
    """By variant, then by metric; None where the request has no value, or its call failed."""

    denominators: Mapping[str, Mapping[str, tuple[float | None, ...]]]
    """The same of ratio metrics' denominators."""

    failed: Mapping[str, tuple[bool, ...]]
    """By variant; all False where no column of errors was named."""

    clusters: tuple[str, ...] | None
    segments: tuple[str, ...] | None
    rows: int
    missing: Mapping[str, int]
    """By variant: requests without a row."""

    repeated: int
    """Rows beyond the first of a request under a variant; the mean of them counts."""

    rows_without_request: int
    rows_without_variant: int

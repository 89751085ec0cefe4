"""A test that was run elsewhere: what is asked, what its table adds up to, and what it says.

`Question` → `Tally` (sums, made where the data lies) → `Analysis` (comparisons, health, verdict).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from expplat.domain.gate import Ruling
from expplat.domain.metric import Direction
from expplat.domain.moments import JointMoments

HALF = "expplat half"
"""A column that no test knows of: it parts the units of a table in two by their hash."""


class AskedKind(StrEnum):
    """How a column becomes one number of a variant."""

    MEAN = "mean"
    """Mean over units of the unit's mean."""

    PROPORTION = "proportion"
    """Share of units with a yes; a unit with several rows says yes where any of them does. With a
    denominator: successes out of so many trials, in a table that holds totals."""

    RATIO = "ratio"
    """Sum of the column over the sum of its denominator."""

    COUNT = "count"
    """Mean over units of the unit's sum."""

    QUANTILE = "quantile"
    """A quantile of the units' values, such as `p95`."""

    LATENCY = "latency"
    """Paired tables: typical ratio and upper quantiles of a time."""

    COST = "cost"
    """Paired tables: ratio of the sums of a cost."""


class ProportionMethod(StrEnum):
    """How the interval of two proportions is made."""

    Z = "z"
    """Pooled z for the p-value, Wald's interval."""

    NEWCOMBE = "newcombe"
    AGRESTI_CAFFO = "agresti_caffo"
    SCORE = "score"
    """Miettinen and Nurminen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Turns a number into a yes or no, as in `latency_ms>800`."""

    sign: str
    """`>`, `>=`, `<` or `<=`."""

    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMetric:
    """One `--metric`: `NAME=KIND[:COLUMN[/DENOMINATOR]][:lower|higher]`."""

    name: str
    kind: AskedKind
    column: str
    denominator: str | None = None
    direction: Direction = Direction.HIGHER
    condition: Condition | None = None
    """A proportion of the units (or rows, where they are paired) that meet it."""

    q: float | None = None
    """Quantiles: between 0 and 1."""

    margin: float | None = None
    """Makes the metric a guardrail: the largest harm allowed, in the metric's own unit."""

    min_effect: float | None = None
    """The smallest gain that matters, in the metric's own unit."""

    sd_column: str | None = None
    """Tables of totals: the column with the units' standard deviation."""

    cap_quantile: float | None = None
    """Winsorised: larger values of all variants together count as this quantile of theirs."""

    method: ProportionMethod = ProportionMethod.Z

    @property
    def is_guardrail(self) -> bool:
        """Whether it must not be harmed, rather than gain."""
        return self.margin is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of a table, by `expplat analyze` or `expplat compare`."""

    variant: str
    """The column that names the variant."""

    control: str
    """The value in it that stands for control; all others are treatments."""

    metrics: tuple[AskedMetric, ...]

    unit: str | None = None
    """The column with the randomised unit, or the request where they are paired; None for a table
    of totals."""

    units_in_row: str | None = None
    """Tables of totals: the column with the number of units behind a row."""

    covariates: tuple[str, ...] = ()
    """Columns that were known before the exposure."""

    cluster: str | None = None
    """The column with what units belong to, where they are not independent."""

    look: str | None = None
    """The column that says when a row came in; the test was read after each of its values."""

    is_cumulative: bool = False
    """Whether a row of a table of totals holds all that came up to its look."""

    segment: str | None = None
    error: str | None = None
    """Paired tables: the column that is empty, 0 or false where the call went well."""

    exact: bool = False
    """Paired shares: McNemar's exact p-value instead of the mid-p."""

    seed: int = 7
    """Of every resampling."""


class Correction(StrEnum):
    """How p-values are held against the number of questions asked at once."""

    HOLM = "holm"
    HOMMEL = "hommel"
    BONFERRONI = "bonferroni"
    BENJAMINI_HOCHBERG = "bh"
    DUNNETT = "dunnett"
    """Several treatments against one control."""

    MAX_T = "max_t"
    """Paired tables: step-down by shared sign flips, which knows how the questions depend."""

    NONE = "none"


class Role(StrEnum):
    """What a comparison has to say in the verdict."""

    SUCCESS = "success"
    """It should gain; one of them must, and none may lose."""

    GUARDRAIL = "guardrail"
    """It has a margin; every one must hold."""

    WATCHED = "watched"
    """It need not gain, but must not be proven worse, such as the share of failed calls."""

    SHOWN = "shown"
    """Another view of the same thing; it decides nothing."""


class Adjustment(StrEnum):
    """How covariates narrow an interval."""

    CUPED = "cuped"
    """One slope for all variants."""

    LIN = "lin"
    """A slope for each variant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Standard:
    """What the sums are held against, said before they are looked at."""

    alpha: float = 0.05
    """Two-sided."""

    correction: Correction = Correction.HOLM
    """Over the success metrics of all treatments; guardrails need none."""

    split: Mapping[str, float] = field(default_factory=dict)
    """Planned share of units by variant, in any scale; empty for equal shares."""

    adjustment: Adjustment = Adjustment.CUPED
    srm_alpha: float = 0.001
    planned_units: int | None = None
    """Where a test is read at looks: units at which it was planned to end; None for what came."""

    open_ended: bool = False
    """Where a test is read at looks: without a planned end, at a price in power."""

    trusts_unit: bool = False
    """Whether the unit is what was randomised, whatever other columns look like."""


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One metric under one treatment, held against control."""

    metric: str
    variant: str
    method: str
    n_control: int
    n_treatment: int
    control: float | None
    """The metric's value under control, in its own unit."""

    treatment: float | None
    effect: float | None
    """Treatment less control; for a ratio of times or costs, the ratio less 1."""

    standard_error: float | None
    ci_low: float | None
    ci_high: float | None
    p: float | None
    """Two-sided p-value of no difference, 0 to 1."""

    p_adjusted: float | None
    """The same after the correction for all that was asked."""

    relative: float | None
    """Effect over control, 0.1 for a tenth more; shown, never judged."""

    relative_ci_low: float | None
    relative_ci_high: float | None
    ruling: Ruling
    sentence: str
    unit: str = ""
    """`fraction` for shares, `relative` where the effect is a share of what control takes; empty
    for what has the column's own unit."""

    role: Role = Role.SUCCESS
    direction: Direction = Direction.HIGHER
    margin: float | None = None
    min_effect: float | None = None
    warnings: tuple[str, ...] = ()
    segment: str | None = None
    """`column=value` where it holds for a part of the table only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LookReading:
    """One comparison as it stood at one look."""

    look: str
    metric: str
    variant: str
    n_control: int
    n_treatment: int
    effect: float | None
    ci_low: float | None
    """Of the interval that all looks share."""

    ci_high: float | None
    p_if_read_once: float | None
    """What a test that ignores the other looks would say."""

    ruling: Ruling


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """Whether the table is fit to be read."""

    check: str
    """Such as `srm`, `units_in_two_arms`, `missing_values`."""

    ruling: Ruling
    p: float | None
    detail: Mapping[str, Any]
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overall:
    """What follows from it all."""

    ruling: Ruling
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """The answer to a question."""

    comparisons: tuple[Comparison, ...]
    health: tuple[Finding, ...]
    verdict: Overall
    looks: tuple[LookReading, ...] = ()
    segments: tuple[Comparison, ...] = ()
    alpha: float = 0.05
    correction: str = "holm"
    notes: Mapping[str, str] = field(default_factory=dict)
    """What a reader must know beside the numbers, such as the source."""

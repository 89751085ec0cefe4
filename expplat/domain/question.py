"""What is asked of a test that was run elsewhere, before its table is looked at.

`Question` → `Tally` (sums, made where the data lies) → `Analysis` (comparisons, health, verdict).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from expplat.domain.metric import Direction

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

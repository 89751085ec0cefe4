"""What a test that was run elsewhere says: comparisons, the health of its table, a verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from expplat.domain.gate import Ruling
from expplat.domain.metric import Direction


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

"""What is measured: a name, a unit, a direction and a kind."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import Gt

from expplat.domain.plain import READ_STRICTLY


class Direction(StrEnum):
    """Which way is better."""

    HIGHER = "higher"
    LOWER = "lower"

    @property
    def sign(self) -> int:
        """+1 where higher is better, -1 where lower is."""
        return 1 if self is Direction.HIGHER else -1


class MetricKind(StrEnum):
    """How one value of a unit becomes a statistic of a variant."""

    MEAN = "mean"
    PROPORTION = "proportion"
    RATIO = "ratio"
    QUANTILE = "quantile"
    COUNT = "count"


class Concern(StrEnum):
    """Which of the three mandatory questions a metric answers."""

    ACCURACY = "accuracy"
    LATENCY = "latency"
    COST = "cost"
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One thing that is measured, offline or online."""

    __pydantic_config__ = READ_STRICTLY

    name: str
    """Such as `recall_at_5` or `task_success`; lower case, digits and underscores."""

    kind: MetricKind
    """`mean`, `proportion` or `count`; a proportion is a yes or no a unit."""

    direction: Direction
    """`higher` or `lower`: which way is better."""

    unit: str
    """Such as `fraction`, `ms`, `usd`."""

    concern: Concern = Concern.OTHER
    """`accuracy`, `latency` or `cost`; each of the three needs a gate, or a waiver."""

    use: str | None = None
    """Offline only: a function `module:attribute` of your own, called as `(request, output)`,
    that returns the value of one request as a finite number, or None where it does not apply."""

    expected: float | None = None
    """Online: the value under control that your monitoring shows. Success metrics need it, so that
    the test can be sized; guardrails that have it are sized for their margin too."""

    expected_sd: Annotated[float, Gt(0)] | None = None
    """Online, kinds `mean` and `count`: standard deviation between units, for the same purpose."""

    worst: float | None = None
    """What a failed call counts as under `errors: worst`; 0 where higher is better and 1 where
    lower is, unless you say otherwise."""

    @property
    def worst_value(self) -> float:
        """What a failed call counts as, in the metric's unit."""
        if self.worst is not None:
            return self.worst
        return 0.0 if self.direction is Direction.HIGHER else 1.0

"""A gate is declared before the evidence is seen; a verdict is its answer."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from expplat.domain.plain import READ_STRICTLY


class Ruling(StrEnum):
    """The answer of a gate. Only `pass` ever lets anything through."""

    PASS = "pass"  # noqa: S105  (a ruling, not a password)
    FAIL = "fail"
    UNKNOWN = "unknown"


class GateKind(StrEnum):
    """Every kind of gate; the last six judge the health of a replay or a test, not a metric."""

    SUPERIORITY = "superiority"
    NON_INFERIORITY = "non_inferiority"
    EQUIVALENCE = "equivalence"
    REPLAY_TRUST = "replay_trust"
    SRM = "srm"
    MAX_MULTIPLE_EXPOSURES = "max_multiple_exposures"
    MIN_UNITS = "min_units"
    MIN_DAYS = "min_days"
    DATA_QUALITY = "data_quality"


METRIC_GATES = frozenset({GateKind.SUPERIORITY, GateKind.NON_INFERIORITY, GateKind.EQUIVALENCE})
"""The kinds that judge a metric; the others are asked of every online test."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One line of `offline_gates:` or `online.gates:` in a proposal."""

    __pydantic_config__ = READ_STRICTLY

    kind: GateKind
    """`superiority`, `non_inferiority` or `equivalence`."""

    metric: str | None = None
    """The name of the metric that is judged."""

    min_effect: Annotated[float, Gt(0)] | None = None
    """Superiority: the smallest gain that matters, in the metric's own unit."""

    margin: Annotated[float, Gt(0)] | None = None
    """Non-inferiority and equivalence: the largest harm allowed, in the metric's own unit."""

    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    """Two-sided level of the interval that is judged; a false pass has half this chance."""

    strict: bool = False
    """Superiority: ask for an interval that lies above `min_effect` as a whole."""

    segment: str | None = None
    """Offline only: the requests that are judged, such as `topic=syntax`; `topic=*` asks the same
    of each value of `topic` by itself. All requests where it is left out."""

    threshold: Annotated[float, Ge(0)] | None = None
    """Health gates only: the number that is held against the evidence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """Treatment minus control on one metric, with its interval: what a metric gate judges."""

    metric: str
    unit: str
    sign: int
    """+1 where higher is better, -1 where lower is."""

    control: float | None
    """The metric's value under control, in its unit; None where it could not be computed."""

    treatment: float | None

    difference: float | None
    """Treatment minus control, in the metric's unit."""

    low: float | None
    """Lower end of the interval, in the metric's unit; None where it has none."""

    high: float | None

    p: float | None
    """Two-sided p-value of no difference, 0 to 1; None for an interval that is read many times."""

    n_control: int
    n_treatment: int

    method: str
    """Such as `paired t (CR2)`; with the effect and n enough to do it again by hand."""

    alpha: float | None = None
    """Two-sided level of the interval; None where it is that of the plan of an online test."""

    segment: str = ""
    """The requests that it is about, such as `topic=syntax`; empty for all of them."""

    timed: bool = False
    """True where the value was read from a clock, so that no second run gives the same digits."""

    relative: float | None = None
    """How much more than control, shown, never judged: online the difference over control; in a
    replay, for latency and cost, the geometric mean of the requests' own ratios, or the ratio of
    the quantiles, less one."""

    relative_low: float | None = None
    relative_high: float | None = None

    noise_low: float | None = None
    """A/A noise floor: control held against itself, lower end; None where it was not measured."""

    noise_high: float | None = None

    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a gate answered, with all that is needed to check it."""

    gate: Gate
    ruling: Ruling
    sentence: str
    """One sentence for a person."""

    effect: Effect | None = None
    """None for a health gate, or where there was nothing to judge."""


def blockers(verdicts: tuple[Verdict, ...]) -> tuple[Verdict, ...]:
    """Return the verdicts that stand in the way: all that are not `pass`."""
    return tuple(verdict for verdict in verdicts if verdict.ruling is not Ruling.PASS)

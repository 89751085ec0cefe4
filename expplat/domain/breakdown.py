"""What a difference between two variants is made of: stages, money, repeats, single requests."""

from __future__ import annotations

from dataclasses import dataclass

from expplat.domain.gate import Effect

REST = "rest"
"""The part of a call that no stage accounts for."""

CPU = "cpu"
"""Stands where a model does in what a call costs: the CPU time of the call's own thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """How long a stage took under one variant, in ms; a call that never entered it took 0."""

    mean_ms: float
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StageDelta:
    """What one stage did to the latency: the same requests, treatment less control."""

    stage: str
    """As the variants name it; `rest` for what no stage accounts for."""

    control: StageTimes
    treatment: StageTimes
    mean: Effect
    """Difference of the means: these add up over the stages."""

    p50: Effect
    p95: Effect
    p99: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class CostLine:
    """What one model took in one stage, under one variant."""

    stage: str
    """Empty outside any stage."""

    model: str
    """As the variant books it; `cpu` for the time of the processor."""

    usd_per_1k: float
    """USD per 1,000 requests."""

    input_tokens: int = 0
    output_tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class VarianceSplit:
    """Where the spread of the paired differences comes from: the requests, or the sampling.

    With n requests and R repeats the variance of the mean difference is
    (between + within / R) / n.
    """

    metric: str
    repeats: int
    between: float
    """Variance between requests, in the metric's unit squared; at least 0."""

    within: float
    """Variance between repeats of one request."""

    requests: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestDelta:
    """A request whose primary metric moved: for the list of the worst and the best."""

    request_id: str
    control: float
    treatment: float
    position: int = -1
    """Place of the request in the log, from 0; -1 where it was not kept."""

    asked: str = ""
    """The request's input, shortened; empty where it was not kept."""

    control_answer: str = ""
    """What control answered, shortened: its text, else the ids that it found."""

    treatment_answer: str = ""

"""The numbers of a replay under the names that MLflow keeps them by.

MLflow draws one section of charts for what stands before the last `/` of a name, so the first part
of a name says what it is about: `better/`, `quality/`, `latency_ms/`, `cost/`, `stage/` under the
variants; `delta/`, `improvement/`, `stage_delta/`, `segment/`, `trust/`, `reproduction/` under the
verdict. Money is always USD per 1,000 requests, because MLflow shows two or three decimals.
"""

from __future__ import annotations

from typing import TypeAlias

from expplat.adapters.report.replay_reading import reproduction_of
from expplat.adapters.tracking.names import segment_name
from expplat.domain.breakdown import CostLine, StageDelta, StageTimes
from expplat.domain.gate import Effect, Ruling
from expplat.domain.metric import Concern, Metric
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, ArmSummary, ReplayReport

Numbers: TypeAlias = dict[str, float | None]
"""Value by name; what is None or not finite is left out later."""

SUMMED_UP = frozenset(
    {
        "latency_p50_ms",
        "latency_p95_ms",
        "latency_p99_ms",
        "cost_usd_per_1k",
        "error_fraction",
        "refusal_fraction",
    }
)
"""Metrics that every run has from the sum of its calls, whether a proposal names them or not; they
are told there alone, so that no value of a variant stands in two places."""

SEGMENTS = 100
"""Segments that are copied, the most harmed first; `verdict.json` holds all."""

NO_STAGE = "no stage"
"""Stands where a stage does, for what was booked outside any."""


def arm_numbers(report: ReplayReport, arm: str) -> Numbers:
    """Return what one variant measured, and by how much each metric is better than under control.

    MLflow's own view of differences paints whatever is larger green, also a cost or a latency.
    `better/…` is in percent of control and signed so that up is good, 0 under control; its name
    stands first in that view, and is short enough to be read there.
    """
    numbers = {**_values(report, arm), **_better(report, arm)}
    if arm in report.arms:
        numbers |= _summary(report.arms[arm])
        kinds = {kind for summary in report.arms.values() for kind in summary.errors}
        errors = report.arms[arm].errors
        numbers |= {f"errors/{kind}": float(errors.get(kind, 0)) for kind in kinds}
    for stage in report.stages:
        numbers |= _times(stage.stage, stage.control if arm == CONTROL else stage.treatment)
    return numbers


def verdict_numbers(report: ReplayReport, proposal: Proposal) -> Numbers:
    """Return the differences, with their intervals, and how many gates passed."""
    numbers: Numbers = {}
    for effect in report.effects:
        numbers |= _difference(f"delta/{effect.metric}", effect)
        numbers[f"delta/{effect.metric}/relative"] = effect.relative
        numbers[f"improvement/{effect.metric}"] = improvement(effect)
    for stage in report.stages:
        numbers |= _stage_difference(stage)
    for segment, effect in _segments(report):
        numbers |= _difference(f"segment/{segment_name(segment)}/{effect.metric}", effect)
    numbers |= _reproduction(report, proposal) | _trust(report)
    for ruling in Ruling:
        count = sum(verdict.ruling is ruling for verdict in report.verdicts)
        numbers[f"gates/{ruling.value}"] = float(count)
    return numbers | _extent(report)


def improvement(effect: Effect) -> float | None:
    """Return the difference with the sign that makes better positive."""
    return None if effect.difference is None else effect.sign * effect.difference


def segments_left_out(report: ReplayReport) -> int:
    """Return how many effects in segments are not copied, because there are too many."""
    return sum(len(effects) for effects in report.segments.values()) - len(_segments(report))


def _values(report: ReplayReport, arm: str) -> Numbers:
    metrics = {metric.name: metric for metric in report.plan.metrics}
    return {
        f"{_section(metrics.get(effect.metric))}/{effect.metric}": (
            effect.control if arm == CONTROL else effect.treatment
        )
        for effect in report.effects
        if effect.metric not in SUMMED_UP
    }


def _better(report: ReplayReport, arm: str) -> Numbers:
    shares = {effect: _relative(effect) for effect in report.effects}
    return {
        f"better/{effect.metric}_percent": 0.0 if arm == CONTROL else 100 * effect.sign * share
        for effect, share in shares.items()
        if share is not None
    }


def _relative(effect: Effect) -> float | None:
    """Return the difference over control, so that all metrics are told in the same way."""
    if effect.difference is None or not effect.control:
        return None
    return effect.difference / abs(effect.control)


def _section(metric: Metric | None) -> str:
    match metric.concern if metric else Concern.OTHER:
        case Concern.LATENCY:
            return "latency_ms"
        case Concern.COST:
            return "cost"
        case _:
            return "quality"


def _summary(summary: ArmSummary) -> Numbers:
    calls = max(summary.calls, 1)
    numbers: Numbers = {
        "latency_ms/p50": summary.latency_p50_ms,
        "latency_ms/p95": summary.latency_p95_ms,
        "latency_ms/p99": summary.latency_p99_ms,
        "latency_ms/setup": summary.setup_ms,
        "cost/usd_per_1k": float(summary.cost_usd) / calls * 1000,
        "errors/fraction": sum(summary.errors.values()) / calls,
        "refusals/fraction": summary.refusals / calls,
        "tokens/input_per_call": summary.input_tokens / calls,
        "tokens/output_per_call": summary.output_tokens / calls,
        "calls": float(summary.calls),
        "calls/timed": float(summary.timed_calls),
        "calls/kept": float(summary.kept_calls),
        "calls/repeated_attempts": float(summary.repeated_attempts),
    }
    for percentile, stages in (
        ("p50", summary.stages_p50_ms),
        ("p95", summary.stages_p95_ms),
        ("p99", summary.stages_p99_ms),
    ):
        numbers |= {f"stage/{name}/{percentile}": value for name, value in stages.items()}
    return numbers | {_cost_name(line): line.usd_per_1k for line in summary.costs}


def _cost_name(line: CostLine) -> str:
    return f"cost/{line.stage or NO_STAGE}/{line.model}"


def _times(stage: str, times: StageTimes) -> Numbers:
    return {
        f"stage/{stage}/mean": times.mean_ms,
        f"stage/{stage}/p50": times.p50_ms,
        f"stage/{stage}/p95": times.p95_ms,
        f"stage/{stage}/p99": times.p99_ms,
    }


def _difference(name: str, effect: Effect) -> Numbers:
    return {
        name: effect.difference,
        f"{name}/ci_low": effect.low,
        f"{name}/ci_high": effect.high,
    }


def _stage_difference(stage: StageDelta) -> Numbers:
    name = f"stage_delta/{stage.stage}"
    tails = {"p50": stage.p50, "p95": stage.p95, "p99": stage.p99}
    return {
        **_difference(name, stage.mean),
        **{f"{name}/{tail}": effect.difference for tail, effect in tails.items()},
    }


def _segments(report: ReplayReport) -> tuple[tuple[str, Effect], ...]:
    """Return the effects in segments, the most harmed first, as many as are copied."""
    found = [
        (segment, effect) for segment, effects in report.segments.items() for effect in effects
    ]
    found.sort(key=lambda one: (improvement(one[1]) or 0.0, one[0], one[1].metric))
    return tuple(found[:SEGMENTS])


def _reproduction(report: ReplayReport, proposal: Proposal) -> Numbers:
    found = reproduction_of(report, proposal)
    return {
        "reproduction/ratio": found.ratio,
        "reproduction/ratio/ci_low": found.low,
        "reproduction/ratio/ci_high": found.high,
    }


def _trust(report: ReplayReport) -> Numbers:
    """Return how far replayed control is from what production answered."""
    return {} if report.trust is None else _difference("trust/difference", report.trust)


def _extent(report: ReplayReport) -> Numbers:
    numbers: Numbers = {
        "requests/in_log": float(report.plan.requests),
        "requests/measured": float(report.measured) if report.measured else None,
    }
    if report.variance is not None:
        numbers["variance/between_requests"] = report.variance.between
        numbers["variance/between_repeats"] = report.variance.within
    return numbers

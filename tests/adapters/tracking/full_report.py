"""A report with all that a replay can hold, and samples of its calls."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from expplat.domain.breakdown import CPU, REST, CostLine, StageDelta, StageTimes, VarianceSplit
from expplat.domain.call import WAITING, Usage
from expplat.domain.gate import Effect
from expplat.domain.replay import (
    CONTROL,
    TREATMENT,
    CallRecord,
    ReplayReport,
    ReplayRow,
    Sample,
)
from expplat.domain.request import ErrorKind
from tests.adapters.pages.example_stories import LATENCY, effect, report
from tests.builders import RECALL


def full_report(slug: str, **more: Any) -> ReplayReport:
    """A report in which every optional part is there."""
    plain = report(slug)
    fields: dict[str, Any] = {
        "stages": (
            _stage("retrieve", 8.0, 1.5),
            _stage("fuse", 0.0, 12.0),
            _stage("answer", 60.0, 0.5),
            _stage(REST, 2.0, -0.25),
        ),
        "arms": {
            CONTROL: replace(plain.arms[CONTROL], **_arm_extras(0.07)),
            TREATMENT: replace(plain.arms[TREATMENT], **_arm_extras(0.08)),
        },
        "variance": VarianceSplit(
            metric=RECALL.name, repeats=3, between=0.04, within=0.01, requests=1200
        ),
        "trust": effect(RECALL, 0.61, 0.002, 0.004),
        "measured": 1100,
        "stopped": "The answer was clear after 1,100 requests.",
    }
    return report(slug, **fields | more)


def samples_of(one: ReplayReport, random: int = 4) -> tuple[Sample, ...]:
    """A sample for each of the worst and the best requests, and some at random."""
    names = [delta.request_id for delta in (*one.worst, *one.best)]
    names += [f"drawn-{k:03d}" for k in range(random)]
    return tuple(a_sample(name, position) for position, name in enumerate(names))


def a_sample(request_id: str, position: int = 0, **calls: CallRecord) -> Sample:
    """A request that control and treatment have answered."""
    made = {CONTROL: a_call(), TREATMENT: a_call(latency_ms=34.0)} | calls
    return Sample(
        row=ReplayRow(
            position=position, request_id=request_id, cluster=request_id, segment={}, calls=made
        ),
        asked=f"How do I reset {request_id}?",
        answers={CONTROL: "doc-1, doc-2", TREATMENT: "doc-2, doc-7"},
    )


def a_call(**changes: Any) -> CallRecord:
    """A call of 20 ms with two stages, a wait and tokens of one model."""
    call = CallRecord(
        latency_ms=20.0,
        cpu_ms=3.0,
        cost_usd=Decimal("0.00012"),
        metrics={"recall_at_5": 0.6, "latency_p95_ms": 20.0},
        stages_ms={"retrieve": 5.0, WAITING: 4.0, "answer": 14.0},
        usages=(Usage(model="small", input_tokens=300, output_tokens=40, stage="answer"),),
    )
    return replace(call, **changes)


def a_failed_call() -> CallRecord:
    """A call that somebody's rate limit ended."""
    return a_call(
        error=ErrorKind.RATE_LIMITED, error_message="come back in 2 s", metrics={}, usages=()
    )


def _arm_extras(answer_usd: float) -> dict[str, Any]:
    return {
        "stages_p99_ms": {"retrieve": 31.0, "answer": 210.0},
        "setup_ms": 812.0,
        "timed_calls": 600,
        "kept_calls": 40,
        "repeated_attempts": 2,
        "costs": (
            CostLine(stage="answer", model="small", usd_per_1k=answer_usd, input_tokens=410_000),
            CostLine(stage="", model=CPU, usd_per_1k=0.004),
        ),
    }


def _stage(name: str, control_ms: float, difference_ms: float) -> StageDelta:
    def moved(scale: float) -> Effect:
        return effect(LATENCY, control_ms * scale, difference_ms * scale, 0.4 * scale)

    return StageDelta(
        stage=name,
        control=_times(control_ms),
        treatment=_times(control_ms + difference_ms),
        mean=moved(1.0),
        p50=moved(0.9),
        p95=moved(2.0),
        p99=moved(3.0),
    )


def _times(mean_ms: float) -> StageTimes:
    return StageTimes(mean_ms=mean_ms, p50_ms=mean_ms * 0.9, p95_ms=mean_ms * 2, p99_ms=mean_ms * 3)

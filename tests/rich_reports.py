"""Replays with all that a report may hold, and with nothing; for tests of pages and writers."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from expplat.domain.breakdown import (
    CPU,
    REST,
    CostLine,
    RequestDelta,
    StageDelta,
    StageTimes,
    VarianceSplit,
)
from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.proposal import Measurement
from expplat.domain.replay import ArmSummary, ReplayReport
from tests.builders import a_plan, a_report, an_arm_summary, an_effect

LONG_TEXT = "The index is rebuilt every night, and the answer names the page that says so. " * 6

SEGMENT_GATE = Gate(
    kind=GateKind.NON_INFERIORITY, metric="recall_at_5", margin=0.01, segment="topic=*"
)
TRUST_GATE = Gate(kind=GateKind.REPLAY_TRUST, metric="recall_at_5", margin=0.02)


def a_stage(
    name: str, control: float, difference: float, half: float = 0.5, **changes: Any
) -> StageDelta:
    """A stage whose mean, and every quantile, moved by so many ms, give or take half."""
    treatment = control + difference
    effect = replace(
        an_effect(f"{name}_ms", unit="ms", sign=-1, timed=True),
        control=control,
        treatment=treatment,
        difference=difference,
        low=difference - half,
        high=difference + half,
        p=None,
        method="paired bootstrap",
    )
    delta = StageDelta(
        stage=name,
        control=times(control),
        treatment=times(treatment),
        mean=effect,
        p50=replace(effect, control=control * 0.8, treatment=treatment * 0.8),
        p95=replace(effect, control=control * 2, treatment=treatment * 2),
        p99=replace(effect, control=control * 3, treatment=treatment * 3),
    )
    return replace(delta, **changes)


def times(mean_ms: float) -> StageTimes:
    return StageTimes(mean_ms=mean_ms, p50_ms=mean_ms * 0.8, p95_ms=mean_ms * 2, p99_ms=mean_ms * 3)


def a_segment_effect(difference: float, half: float = 0.02, n: int = 90) -> Effect:
    return replace(
        an_effect(n_control=n, n_treatment=n),
        control=0.6,
        treatment=0.6 + difference,
        difference=difference,
        low=difference - half,
        high=difference + half,
    )


def a_request(number: int, control: float, treatment: float, text: str = "") -> RequestDelta:
    said = text or f"doc-{number}, doc-{number + 7}, doc-{number + 31}"
    return RequestDelta(
        request_id=f"req-{number:05d}",
        control=control,
        treatment=treatment,
        asked=f"How do I export table {number} to a file that a spreadsheet can read?",
        control_answer=said,
        treatment_answer=said.replace("doc", "page"),
    )


def an_arm_with_costs(dearer: float = 1.0, **changes: Any) -> ArmSummary:
    lines = (
        CostLine(
            stage="answer",
            model="gpt-small",
            usd_per_1k=0.41 * dearer,
            input_tokens=410_000,
            output_tokens=96_000,
        ),
        CostLine(stage="retrieve", model=CPU, usd_per_1k=0.0123),
        CostLine(stage="", model=CPU, usd_per_1k=0.00021),
    )
    fields = {
        "calls": 1200,
        "costs": lines,
        "cost_usd": Decimal(str(round(sum(line.usd_per_1k for line in lines) * 1.2, 9))),
        "errors": {"timeout": 3, "variant_bug": 1},
        "latency_p50_ms": 171.0,
        "latency_p95_ms": 240.5,
        "latency_p99_ms": 402.0,
        "setup_ms": 812.4,
        "timed_calls": 200,
        "kept_calls": 310,
        "repeated_attempts": 14,
        "input_tokens": 410_000,
        "output_tokens": 96_000,
    }
    return an_arm_summary(**fields | changes)


def a_rich_report(**changes: Any) -> ReplayReport:
    """A replay of which everything is known: four stages, six segments, texts, repeats, trust."""
    gain = a_segment_effect(0.0089, 0.043, n=1200)
    gain = replace(
        gain, metric="recall_at_5", noise_low=-0.002, noise_high=0.002, relative=0.0148, p=0.68
    )
    slower = replace(
        an_effect("latency_ms", unit="ms", sign=-1, timed=True),
        control=184.0,
        treatment=205.1,
        difference=21.1,
        low=19.6,
        high=22.6,
        relative=0.1147,
        relative_low=0.1065,
        relative_high=0.1228,
        noise_low=-1.2,
        noise_high=1.4,
    )
    harmed = replace(a_segment_effect(-0.061), segment="topic=syntax")
    trust = replace(a_segment_effect(0.004, 0.011, n=1200), method="paired t (CR2)")
    base = a_report(
        plan=a_plan(
            requests=1200,
            measurement=Measurement(repeats=3, concurrency=8, budget_usd=12.5, early_stop=True),
        ),
        arms={"control": an_arm_with_costs(), "treatment": an_arm_with_costs(1.25)},
        effects=(gain, slower),
        segments={
            "topic=billing": (a_segment_effect(0.063),),
            "topic=install": (a_segment_effect(0.012),),
            "topic=syntax": (harmed,),
            "language=de": (a_segment_effect(-0.009),),
            "language=en": (a_segment_effect(0.021),),
            "device=phone": (a_segment_effect(0.0),),
        },
        verdicts=(
            Verdict(
                gate=Gate(kind=GateKind.SUPERIORITY, metric="recall_at_5", min_effect=0.02),
                ruling=Ruling.UNKNOWN,
                sentence="recall_at_5 changed by +0.89 pp [−3.41, +5.19]: it could be none.",
                effect=gain,
            ),
            Verdict(
                gate=Gate(kind=GateKind.NON_INFERIORITY, metric="latency_ms", margin=30.0),
                ruling=Ruling.PASS,
                sentence="latency_ms changed by +21.1 ms [+19.6, +22.6]: within the 30 ms allowed.",
                effect=slower,
            ),
            Verdict(
                gate=SEGMENT_GATE,
                ruling=Ruling.FAIL,
                sentence="recall_at_5 in topic=syntax changed by −6.1 pp: more than 1 pp worse.",
                effect=harmed,
            ),
            Verdict(
                gate=TRUST_GATE,
                ruling=Ruling.PASS,
                sentence="Replayed control answers as production did, within 2 pp.",
                effect=trust,
            ),
        ),
        worst=tuple(a_request(k, 1.0, 0.05 * k, LONG_TEXT if k < 2 else "") for k in range(20)),
        best=tuple(a_request(100 + k, 0.0, 1.0 - 0.05 * k) for k in range(20)),
        stages=(
            a_stage("retrieve", 22.0, 0.2, 0.6),
            a_stage("rerank", 0.0, 21.3, 1.15),
            a_stage("answer", 158.0, -0.6, 1.4),
            a_stage(REST, 4.0, 0.2, 0.3),
        ),
        variance=VarianceSplit(
            metric="recall_at_5", repeats=3, between=0.041, within=0.009, requests=1200
        ),
        trust=trust,
        measured=720,
        stopped="The answer was clear after 720 of 1,200 requests.",
    )
    return replace(base, **changes)


def an_extreme_report(**changes: Any) -> ReplayReport:
    """Twelve stages with long names, forty segments, numbers of every size."""
    names = [f"stage_{k}_with_a_name_that_goes_on_and_on_{'x' * k}" for k in range(11)]
    sizes = [1e-6, 3e-4, 0.02, 1.0, 7.5, -12.0, 80.0, -400.0, 3e3, 1.2e5, -9e4]
    stages = [
        a_stage(name, abs(size) * 2, size, abs(size) * (0.2 + 0.2 * (k % 5)))
        for k, (name, size) in enumerate(zip(names, sizes, strict=True))
    ]
    segments = {
        f"customer_of_the_enterprise_plan={'w' * (k % 9)}{k}": (
            a_segment_effect(0.4 * ((-1) ** k) * k / 40, 0.02 + k / 100, n=10 ** (k % 7)),
        )
        for k in range(40)
    }
    report = a_rich_report(
        stages=(*stages, a_stage(REST, 1.0, 0.0, 0.0)),
        segments=segments,
        arms={"control": an_arm_with_costs(1e-9), "treatment": an_arm_with_costs(1e9)},
        stopped="",
        measured=1200,
    )
    return replace(report, **changes)


def a_report_of_nothing(**changes: Any) -> ReplayReport:
    """A replay that came to nothing: no number anywhere, and every tuple empty."""
    nothing = replace(
        an_effect(),
        control=None,
        treatment=None,
        difference=None,
        low=None,
        high=None,
        p=None,
        relative=None,
        relative_low=None,
        relative_high=None,
        noise_low=None,
        noise_high=None,
        n_control=0,
        n_treatment=0,
    )
    empty = replace(
        a_report(),
        arms={},
        effects=(nothing,),
        segments={},
        verdicts=(),
        worst=(),
        best=(),
        stages=(),
        variance=None,
        trust=None,
        measured=0,
        stopped="",
    )
    return replace(empty, **changes)


def a_hostile_report(text: str) -> ReplayReport:
    """A rich replay in which whatever a file, a log or a model may write is this text."""
    rich = a_rich_report()
    request = replace(
        rich.worst[0],
        request_id=text,
        asked=text,
        control_answer=text,
        treatment_answer=text * 40,
    )
    line = CostLine(stage=text, model=text, usd_per_1k=1.0)
    arm = replace(rich.arms["control"], costs=(line,), errors={text: 1})
    stage = replace(rich.stages[1], stage=text)
    verdicts = tuple(
        replace(
            verdict,
            sentence=text,
            gate=replace(verdict.gate, metric=text, segment=text),
            effect=replace(verdict.effect, segment=text, method=text, warnings=(text,))
            if verdict.effect
            else None,
        )
        for verdict in rich.verdicts
    )
    return replace(
        rich,
        arms={"control": arm, "treatment": arm},
        stages=(stage, *rich.stages[2:]),
        segments={text: rich.segments["topic=syntax"]},
        verdicts=verdicts,
        worst=(request,),
        best=(request,),
        stopped=text,
        engine=text,
    )

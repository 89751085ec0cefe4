"""Stories at every stage, made of plain numbers, for tests of pages and of the copy to MLflow."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Look, Snapshot
from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.price import PriceTable
from expplat.domain.proposal import (
    Claim,
    Measurement,
    OnlinePlan,
    Operations,
    Paper,
    Problem,
    Proposal,
    RequestLogSource,
    Variant,
    Variants,
    Waiver,
)
from expplat.domain.replay import ArmSummary, ReplayPlan, ReplayReport, RequestDelta
from expplat.domain.story import Story
from tests.builders import RECALL, SUCCESS

START = datetime(2026, 10, 5, 9, 0, tzinfo=UTC)

LATENCY = Metric(
    name="latency_p95_ms",
    kind=MetricKind.QUANTILE,
    direction=Direction.LOWER,
    unit="ms",
    concern=Concern.LATENCY,
)
COST = Metric(
    name="cost_usd_per_1k",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="usd",
    concern=Concern.COST,
)
ANSWER_MS = Metric(
    name="answer_ms",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="ms",
    concern=Concern.LATENCY,
)

RECALL_GATE = Gate(kind=GateKind.SUPERIORITY, metric="recall_at_5", min_effect=0.02)
LATENCY_GATE = Gate(kind=GateKind.NON_INFERIORITY, metric="latency_p95_ms", margin=60.0)
COST_GATE = Gate(kind=GateKind.NON_INFERIORITY, metric="cost_usd_per_1k", margin=0.05)
SUCCESS_GATE = Gate(kind=GateKind.SUPERIORITY, metric="task_success", min_effect=0.015)
ANSWER_GATE = Gate(kind=GateKind.NON_INFERIORITY, metric="answer_ms", margin=40.0)


def effect(metric: Metric, control: float, difference: float, half: float, **more: Any) -> Effect:
    fields: dict[str, Any] = {
        "metric": metric.name,
        "unit": metric.unit,
        "sign": metric.direction.sign,
        "control": control,
        "treatment": control + difference,
        "difference": difference,
        "low": difference - half,
        "high": difference + half,
        "p": 0.0004,
        "n_control": 1200,
        "n_treatment": 1200,
        "method": "paired t (CR2)",
        "timed": metric.concern is Concern.LATENCY,
    }
    return Effect(**fields | more)


def proposal(slug: str = "hybrid_rrf", title: str = "", **more: Any) -> Proposal:
    fields: dict[str, Any] = {
        "slug": slug,
        "owner": "Ana Sousa",
        "problem": Problem(
            system="docs search of the support portal",
            pain="23 % of searches end without a click; agents re-ask 4,100 times a week.",
            primary_metric="recall_at_5",
            why_now="The index moved in house in August, so both rankings are at hand.",
        ),
        "paper": Paper(
            title=title or "Reciprocal rank fusion of sparse and dense retrieval",
            reference="arXiv:2402.03367",
            code_available=True,
            claim=Claim(
                metric="nDCG@10",
                effect=0.052,
                effect_low=0.038,
                effect_high=0.066,
                dataset="BEIR, 13 data sets",
                table="Table 2",
            ),
        ),
        "variants": Variants(
            control=Variant(use="pocs.hybrid_rrf.variants:Sparse", params={"k": 5}),
            treatment=Variant(
                use="pocs.hybrid_rrf.variants:Hybrid", params={"k": 5, "rrf_constant": 60}
            ),
        ),
        "request_log": RequestLogSource(path="logs/support_2026_09.parquet"),
        "metrics": ("recall_at_5", "latency_p95_ms", "cost_usd_per_1k"),
        "offline_gates": (RECALL_GATE, LATENCY_GATE, COST_GATE),
        "online": OnlinePlan(
            metrics=(SUCCESS, ANSWER_MS), gates=(SUCCESS_GATE, ANSWER_GATE), max_units=20_000
        ),
        "operations": Operations(
            new_components=("dense index (2.1 GB)",),
            new_dependencies=(),
            serving_pattern="in process",
            on_call="search team",
            runbook="runbooks/hybrid_search.md",
            failure_mode="The dense index is stale: answers fall back to the sparse ranking.",
        ),
        "waivers": (
            Waiver(
                phase="online",
                concern="cost",
                reason="Cost is metered monthly on the shared cluster; the replay bounds it.",
            ),
        ),
    }
    return Proposal(**fields | more)


def report(
    slug: str = "hybrid_rrf",
    *,
    recall: float = 0.041,
    ruling: Ruling = Ruling.PASS,
    **more: Any,
) -> ReplayReport:
    recall_effect = effect(
        RECALL, 0.612, recall, 0.013, relative=recall / 0.612, noise_low=-0.002, noise_high=0.002
    )
    latency = effect(
        LATENCY,
        184.0,
        31.0,
        14.0,
        p=None,
        method="paired bootstrap of p95",
        noise_low=-6.2,
        noise_high=7.1,
        n_control=1200,
    )
    cost = effect(COST, 0.112, 0.0124, 0.0007, method="paired t")
    effects = (recall_effect, latency, cost)
    fields: dict[str, Any] = {
        "plan": _plan(slug),
        "engine": "ray",
        "started_at": START,
        "finished_at": START + timedelta(minutes=4, seconds=12),
        "arms": {
            "control": _arm(41.0, 184.0, 260.0, "0.1344", {}, {"retrieve": 22.0, "answer": 140.0}),
            "treatment": _arm(
                55.0,
                215.0,
                301.0,
                "0.1493",
                {"timeout": 3},
                {"retrieve": 24.0, "fuse": 31.0, "answer": 141.0},
            ),
        },
        "effects": effects,
        "segments": {
            "topic=billing": (effect(RECALL, 0.58, 0.063, 0.024, n_control=310),),
            "topic=install": (effect(RECALL, 0.66, 0.039, 0.022, n_control=402),),
            "topic=syntax": (effect(RECALL, 0.59, -0.011, 0.028, n_control=188),),
        },
        "verdicts": (
            Verdict(
                gate=RECALL_GATE,
                ruling=ruling,
                effect=recall_effect,
                sentence="The gain of recall_at_5 is significant and at least 2 pp.",
            ),
            Verdict(
                gate=LATENCY_GATE,
                ruling=Ruling.PASS,
                effect=latency,
                sentence="latency_p95_ms is at most 60 ms slower.",
            ),
            Verdict(
                gate=COST_GATE,
                ruling=Ruling.PASS,
                effect=cost,
                sentence="cost_usd_per_1k is at most 0.05 USD dearer.",
            ),
        ),
        "worst": tuple(
            RequestDelta(request_id=f"req-{k:05d}", control=1.0, treatment=0.2 * k)
            for k in range(3)
        ),
        "best": tuple(
            RequestDelta(request_id=f"req-{k:05d}", control=0.0, treatment=1.0 - 0.2 * k)
            for k in range(3, 6)
        ),
    }
    return ReplayReport(**fields | more)


def look(position: int, fraction: float, difference: float, half: float) -> Look:
    units = int(20_000 * max(fraction, 0.04))
    at = START + timedelta(days=3 * (position + 1))
    arms = {
        name: ArmStatistics(
            units=units // 2, metrics={"task_success": Moments(n=units // 2, mean=0.6, m2=10.0)}
        )
        for name in ("control", "treatment")
    }
    snapshot = Snapshot(
        slug="hybrid_rrf",
        phase=1,
        watermark=units * 2,
        taken_at=at,
        started_at=START,
        arms=arms,
        multiple_exposures=4,
    )
    success = effect(
        SUCCESS,
        0.613,
        difference,
        half,
        p=None,
        method="group sequential",
        n_control=units // 2,
        n_treatment=units // 2,
    )
    answer = effect(
        ANSWER_MS, 912.0, 11.0, 60.0 * half / 0.01 * 0.2, p=None, method="Welch, always valid"
    )
    ruling = Ruling.PASS if success.low is not None and success.low > 0 else Ruling.UNKNOWN
    verdicts = (
        Verdict(
            gate=SUCCESS_GATE,
            ruling=ruling,
            effect=success,
            sentence="task_success: the interval still holds 0."
            if ruling is Ruling.UNKNOWN
            else "The gain of task_success is significant.",
        ),
        Verdict(
            gate=ANSWER_GATE,
            ruling=Ruling.PASS,
            effect=answer,
            sentence="answer_ms is at most 40 ms slower.",
        ),
        Verdict(
            gate=Gate(kind=GateKind.SRM, threshold=0.001),
            ruling=Ruling.PASS,
            sentence=f"{units // 2:,} and {units // 2:,} units are what an equal split gives.",
        ),
        Verdict(
            gate=Gate(kind=GateKind.MIN_DAYS, threshold=7),
            ruling=Ruling.PASS if position > 1 else Ruling.UNKNOWN,
            sentence=f"{3 * (position + 1)} days of 7.",
        ),
    )
    return Look(
        slug="hybrid_rrf",
        phase=1,
        position=position,
        information_fraction=fraction,
        snapshot=snapshot,
        verdicts=verdicts,
    )


LOOKS = tuple(
    look(*numbers)
    for numbers in (
        (0, 0.0, 0.031, 0.062),
        (1, 0.0, 0.012, 0.046),
        (2, 0.2, 0.024, 0.036),
        (3, 0.4, 0.021, 0.024),
        (4, 0.6, 0.019, 0.0205),
        (5, 0.8, 0.022, 0.0165),
    )
)


def poc(slug: str, *steps: tuple[Stage, float, str]) -> Poc:
    made = Poc(slug=slug)
    for position, (stage, traffic, reason) in enumerate(steps):
        made = made.advance(
            Transition(
                slug=slug,
                position=position,
                stage=stage,
                reason=reason,
                at=START + timedelta(days=2 * position, minutes=7 * position),
                by="ana" if position % 2 == 0 else "controller",
                proposal_sha256="ab" * 32,
                traffic_percent=traffic,
                phase=1 if traffic else 0,
            )
        )
    return made


PROPOSED = (Stage.PROPOSED, 0.0, "The file names all six checks.")
REPLAYED = (Stage.REPLAYED, 0.0, "1,200 requests, three gates.")
PROMOTED = (Stage.PROMOTED, 5.0, "Every offline gate passed.")


def running_story() -> Story:
    """Return a story in the middle of its online test."""
    steps = (
        PROPOSED,
        REPLAYED,
        PROMOTED,
        (Stage.PROMOTED, 20.0, "Guardrails and hold of step 1 passed."),
        (Stage.PROMOTED, 50.0, "Guardrails and hold of step 2 passed."),
    )
    return Story(
        poc=poc("hybrid_rrf", *steps),
        proposal=proposal(),
        replay=report(),
        looks=LOOKS,
        tracking_address="#/compare-runs?runs=%5B%22a%22%5D&experiments=%5B%221%22%5D",
    )


def all_stories() -> tuple[Story, ...]:
    """Return one story at every stage."""
    failed = report("long_context", recall=-0.004, ruling=Ruling.FAIL)
    unknown = report("query_expansion", recall=0.012, ruling=Ruling.UNKNOWN)
    return (
        Story(
            poc=poc("late_interaction", PROPOSED),
            proposal=proposal("late_interaction", "Late interaction over passages"),
        ),
        Story(
            poc=poc("query_expansion", PROPOSED, REPLAYED),
            replay=unknown,
            proposal=proposal("query_expansion", "Query expansion by generated answers"),
        ),
        running_story(),
        Story(
            poc=poc(
                "prompt_cache",
                PROPOSED,
                REPLAYED,
                PROMOTED,
                (Stage.GRADUATED, 100.0, "Every online gate passed."),
            ),
            proposal=proposal("prompt_cache", "Semantic cache in front of the model"),
            replay=report("prompt_cache"),
            looks=LOOKS,
        ),
        Story(
            poc=poc(
                "small_judge",
                PROPOSED,
                REPLAYED,
                PROMOTED,
                (Stage.ROLLED_BACK, 0.0, "answer_ms was proven harmed."),
            ),
            proposal=proposal("small_judge", "Answers checked by a small judge"),
            replay=report("small_judge"),
            looks=LOOKS[:3],
        ),
        Story(
            poc=poc(
                "long_context",
                PROPOSED,
                REPLAYED,
                (Stage.REJECTED, 0.0, "No gain on our requests."),
            ),
            proposal=proposal("long_context", "Whole manuals in the context"),
            replay=failed,
        ),
    )


def scaled(story: Story, factor: float) -> Story:
    """Return the story with the replayed primary effect multiplied, for tests of odd scales."""
    if story.replay is None:
        return story
    effects = tuple(
        replace(
            one,
            difference=None if one.difference is None else one.difference * factor,
            low=None if one.low is None else one.low * factor,
            high=None if one.high is None else one.high * factor,
        )
        for one in story.replay.effects
    )
    return replace(story, replay=replace(story.replay, effects=effects))


def _plan(slug: str) -> ReplayPlan:
    made = proposal(slug)
    return ReplayPlan(
        replay_id="5e" * 12,
        slug=slug,
        workspace="workspace",
        folder="replays",
        shards=24,
        requests=1200,
        control=made.variants.control,
        treatment=made.variants.treatment,
        metrics=(RECALL, LATENCY, COST),
        measurement=Measurement(),
        prices=PriceTable(as_of="2026-09-30", cpu_hour_usd=Decimal("0.04")),
        proposal_sha256="ab" * 32,
        log_sha256="cd" * 32,
        control_sha256="01" * 32,
        treatment_sha256="23" * 32,
    )


def _arm(
    p50: float, p95: float, p99: float, cost: str, errors: dict[str, int], stages: dict[str, float]
) -> ArmSummary:
    return ArmSummary(
        calls=1200,
        errors=errors,
        refusals=14,
        latency_p50_ms=p50,
        latency_p95_ms=p95,
        latency_p99_ms=p99,
        cost_usd=Decimal(cost),
        stages_p50_ms={name: value / 3 for name, value in stages.items()},
        stages_p95_ms=stages,
        input_tokens=410_000,
        output_tokens=96_000,
    )

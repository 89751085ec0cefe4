"""Valid values of the domain, each with everything that a test does not care about filled in.

`a_thing(name=value)` changes a field of it. Times grow from `T0`; nothing here reads a clock.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from expplat.domain.gate import Effect, Gate, GateKind, Ruling, Verdict
from expplat.domain.metric import Concern, Direction, Metric, MetricKind
from expplat.domain.moments import Moments
from expplat.domain.online import ArmStatistics, Exposure, Look, Outcome, Snapshot
from expplat.domain.plain import sha256_of
from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.price import ModelPrice, PriceTable
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
)
from expplat.domain.replay import ArmSummary, ReplayPlan, ReplayReport, RequestDelta
from expplat.flow.ports import UnitOfWork

T0 = datetime(2026, 3, 2, 9, 30, 0, 123456, tzinfo=UTC)
"""When the story of every built value begins."""

SLUG = "hybrid_rrf"

PROPOSAL_TEXT = f"slug: {SLUG}\n"
PROPOSAL_SHA256 = sha256_of(PROPOSAL_TEXT.encode())

RECALL = Metric(
    name="recall_at_5",
    kind=MetricKind.MEAN,
    direction=Direction.HIGHER,
    unit="fraction",
    concern=Concern.ACCURACY,
)
LATENCY = Metric(
    name="latency_ms",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="ms",
    concern=Concern.LATENCY,
)
COST = Metric(
    name="cost_usd",
    kind=MetricKind.MEAN,
    direction=Direction.LOWER,
    unit="usd",
    concern=Concern.COST,
)
SUCCESS = Metric(
    name="task_success",
    kind=MetricKind.PROPORTION,
    direction=Direction.HIGHER,
    unit="fraction",
    concern=Concern.ACCURACY,
)
TICKETS = Metric(
    name="tickets", kind=MetricKind.COUNT, direction=Direction.LOWER, unit="tickets per user"
)

PATHS: dict[Stage, tuple[Stage, ...]] = {
    Stage.PROPOSED: (Stage.PROPOSED,),
    Stage.REPLAYED: (Stage.PROPOSED, Stage.REPLAYED),
    Stage.PROMOTED: (Stage.PROPOSED, Stage.REPLAYED, Stage.PROMOTED),
    Stage.GRADUATED: (Stage.PROPOSED, Stage.REPLAYED, Stage.PROMOTED, Stage.GRADUATED),
    Stage.ROLLED_BACK: (Stage.PROPOSED, Stage.REPLAYED, Stage.PROMOTED, Stage.ROLLED_BACK),
    Stage.REJECTED: (Stage.PROPOSED, Stage.REJECTED),
}
"""The shortest way to each stage."""

TRAFFIC_PERCENT = {Stage.PROMOTED: 5.0, Stage.GRADUATED: 100.0}


def superiority(metric: str, min_effect: float) -> Gate:
    return Gate(kind=GateKind.SUPERIORITY, metric=metric, min_effect=min_effect)


def non_inferiority(metric: str, margin: float) -> Gate:
    return Gate(kind=GateKind.NON_INFERIORITY, metric=metric, margin=margin)


def a_proposal(**changes: Any) -> Proposal:
    """A proposal with its three mandatory gates offline and online, and no waiver."""
    proposal = Proposal(
        slug=SLUG,
        owner="search team",
        problem=Problem(
            system="docs search of the support portal",
            pain="41 % of searches end in a ticket",
            primary_metric="recall_at_5",
            why_now="The log has references since March.",
        ),
        paper=Paper(
            title="Reciprocal rank fusion",
            reference="doi:10.1145/1571941.1572114",
            code_available=False,
            claim=Claim(metric="MAP", effect=0.04, dataset="TREC", table="Table 2"),
        ),
        variants=Variants(
            control=Variant(use=f"pocs.{SLUG}.variants:Bm25", params={"k1": 1.2}),
            treatment=Variant(use=f"pocs.{SLUG}.variants:Hybrid", params={"k": 60}),
        ),
        request_log=RequestLogSource(path="logs/requests.jsonl"),
        metrics=("recall_at_5", "latency_ms", "cost_usd"),
        offline_gates=(
            superiority("recall_at_5", 0.02),
            non_inferiority("latency_ms", 20.0),
            non_inferiority("cost_usd", 0.001),
        ),
        online=OnlinePlan(
            metrics=(SUCCESS, LATENCY, COST),
            gates=(
                superiority("task_success", 0.02),
                non_inferiority("latency_ms", 50.0),
                non_inferiority("cost_usd", 0.001),
            ),
            max_units=20_000,
        ),
        operations=Operations(
            new_components=(),
            new_dependencies=("bm25s",),
            serving_pattern="in process",
            on_call="search team",
            runbook="docs/runbooks/search.md",
            failure_mode="The index is stale; users see old pages.",
        ),
    )
    return replace(proposal, **changes)


def a_transition(stage: Stage = Stage.PROPOSED, **changes: Any) -> Transition:
    """A step that is not yet part of a history: `Poc.advance` places and chains it."""
    step = Transition(
        slug=SLUG,
        position=0,
        stage=stage,
        at=T0,
        by="ada",
        reason=f"It is {stage}, for a test.",
        proposal_sha256=PROPOSAL_SHA256,
        traffic_percent=TRAFFIC_PERCENT.get(stage, 0.0),
        phase=1 if stage in {Stage.PROMOTED, Stage.GRADUATED, Stage.ROLLED_BACK} else 0,
        evidence={"note": "für später", "numbers": [1, 2.5, None], "deep": {"ok": True}},
    )
    return replace(step, **changes)


def a_poc(stage: Stage | None = Stage.PROPOSED, *, slug: str = SLUG, **changes: Any) -> Poc:
    """A POC that took the shortest way to the stage, an hour a step; None: without a history.

    Changes are made to the newest transition.
    """
    poc = Poc(slug=slug)
    path = PATHS[stage] if stage else ()
    for hour, step in enumerate(path):
        last = changes if hour == len(path) - 1 else {}
        poc = poc.advance(a_transition(step, **{"at": T0 + timedelta(hours=hour)} | last))
    return poc


def keep_poc(uow: UnitOfWork, poc: Poc) -> None:
    """Add the whole history of a POC to an open unit of work, and the proposal that it names."""
    for count in range(1, len(poc.history) + 1):
        so_far = replace(poc, history=poc.history[:count])
        newest = so_far.newest
        uow.proposals.add(
            sha256=newest.proposal_sha256, slug=poc.slug, text=PROPOSAL_TEXT, at=newest.at
        )
        uow.pocs.add_newest(so_far)


def an_effect(metric: str = "recall_at_5", **changes: Any) -> Effect:
    effect = Effect(
        metric=metric,
        unit="fraction",
        sign=1,
        control=0.61,
        treatment=0.66,
        difference=0.05,
        low=0.03,
        high=0.07,
        p=1e-6,
        n_control=500,
        n_treatment=500,
        method="paired t (CR2)",
        alpha=0.05,
    )
    return replace(effect, **changes)


def a_verdict(ruling: Ruling = Ruling.PASS, **changes: Any) -> Verdict:
    verdict = Verdict(
        gate=superiority("recall_at_5", 0.02),
        ruling=ruling,
        sentence="recall_at_5 gained 0.05 (0.03 to 0.07).",
        effect=an_effect(),
    )
    return replace(verdict, **changes)


def a_plan(**changes: Any) -> ReplayPlan:
    proposal = a_proposal()
    plan = ReplayPlan(
        replay_id="r_0123456789abcdef",
        slug=SLUG,
        workspace="workspace",
        folder="workspace/.expplat/replays/r_0123456789abcdef",
        shards=10,
        requests=500,
        control=proposal.variants.control,
        treatment=proposal.variants.treatment,
        metrics=(RECALL, LATENCY, COST),
        measurement=Measurement(),
        prices=PriceTable(
            as_of="2026-03-01",
            cpu_hour_usd=Decimal("0.04"),
            models={"small": ModelPrice(input_usd=Decimal("0.15"), output_usd=Decimal("0.60"))},
        ),
        proposal_sha256=PROPOSAL_SHA256,
        log_sha256=sha256_of(b"log"),
        control_sha256=sha256_of(b"control"),
        treatment_sha256=sha256_of(b"treatment"),
    )
    return replace(plan, **changes)


def an_arm_summary(**changes: Any) -> ArmSummary:
    summary = ArmSummary(
        calls=500,
        errors={"timeout": 2},
        refusals=3,
        latency_p50_ms=12.0,
        latency_p95_ms=30.5,
        latency_p99_ms=44.25,
        cost_usd=Decimal("0.0123456789"),
        stages_p50_ms={"retrieve": 8.0},
        stages_p95_ms={"retrieve": 21.0},
        input_tokens=1000,
        output_tokens=200,
    )
    return replace(summary, **changes)


def a_report(ruling: Ruling = Ruling.PASS, **changes: Any) -> ReplayReport:
    """A finished replay of 500 requests with one verdict."""
    report = ReplayReport(
        plan=a_plan(),
        engine="local",
        started_at=T0,
        finished_at=T0 + timedelta(minutes=4),
        arms={"control": an_arm_summary(), "treatment": an_arm_summary(latency_p50_ms=15.0)},
        effects=(an_effect(), an_effect("latency_ms", unit="ms", sign=-1, timed=True)),
        segments={"topic=syntax": (an_effect(n_control=90, n_treatment=90),)},
        verdicts=(a_verdict(ruling),),
        worst=(RequestDelta(request_id="q7", control=1.0, treatment=0.0),),
        best=(RequestDelta(request_id="q9", control=0.0, treatment=1.0),),
    )
    return replace(report, **changes)


def a_snapshot(**changes: Any) -> Snapshot:
    """A snapshot of 2,000 units after eight days, in which the treatment is better."""

    def arm(rate: float, latency_ms: float) -> ArmStatistics:
        return ArmStatistics(
            units=1000,
            metrics={
                "task_success": Moments(n=1000, mean=rate, m2=1000 * rate * (1 - rate)),
                "latency_ms": Moments(n=1000, mean=latency_ms, m2=1000 * 400.0),
                "cost_usd": Moments(n=1000, mean=0.002, m2=1000 * 1e-7),
            },
        )

    snapshot = Snapshot(
        slug=SLUG,
        phase=1,
        watermark=8000,
        taken_at=T0 + timedelta(days=8),
        started_at=T0,
        arms={"control": arm(0.40, 120.0), "treatment": arm(0.50, 121.0)},
        multiple_exposures=0,
    )
    return replace(snapshot, **changes)


def a_look(position: int = 0, **changes: Any) -> Look:
    look = Look(
        slug=SLUG,
        phase=1,
        position=position,
        information_fraction=0.1,
        snapshot=a_snapshot(),
        verdicts=(a_verdict(gate=superiority("task_success", 0.02)),),
    )
    return replace(look, **changes)


def an_exposure(unit: str = "u1", variant: str = "control", **changes: Any) -> Exposure:
    """An exposure at `T0`; its id is made of unit and variant unless given."""
    exposure = Exposure(
        event_id=f"x-{unit}-{variant}",
        slug=SLUG,
        phase=1,
        variant=variant,
        unit=unit,
        at=T0,
        received_at=T0 + timedelta(seconds=1),
        properties={"country": "CH"},
    )
    return exposure._replace(**changes)


def an_outcome(
    unit: str = "u1", metric: str = "task_success", value: float = 1.0, **changes: Any
) -> Outcome:
    """An outcome a minute after `T0`; its id is made of unit and metric unless given."""
    outcome = Outcome(
        event_id=f"o-{unit}-{metric}",
        unit=unit,
        metric=metric,
        value=value,
        at=T0 + timedelta(minutes=1),
        received_at=T0 + timedelta(minutes=2),
    )
    return outcome._replace(**changes)

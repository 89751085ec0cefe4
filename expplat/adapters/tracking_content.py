"""What MLflow is told of a replay, as plain values: params, metrics, tags and a note.

MLflow refuses some names and silently changes some values (it stores infinity as a number and
cuts long texts), so names are made safe here, what is not finite is left out, and what is cut
says so. Nothing is lost: `verdict.json` holds the full values, and `names.json` the renamings.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from expplat.adapters.formatting import arrow_line, claim_text, metric_of
from expplat.adapters.tracking_names import cut, safe_name
from expplat.domain.gate import Effect, Ruling, Verdict
from expplat.domain.metric import Concern, Metric
from expplat.domain.plain import canonical_json, sha256_of, to_plain
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, TREATMENT, ArmSummary, ReplayReport
from expplat.domain.wording import MARKS, interval

VERDICT = "verdict"
"""The run beside those of control and treatment."""

TABLE = "worst_and_best.json"
"""The requests whose primary metric moved most, in the form that MLflow shows as a table."""

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
are told there alone, so that no number stands in two places."""

LONGEST_PARAM = 6000
LONGEST_TAG = 8000


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContent:
    """One run as it is to be written, with names and values that MLflow keeps as they are."""

    role: str
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    """Text by file name; the names are ours, never a user's."""


def run_contents(report: ReplayReport, proposal: Proposal, page: str) -> tuple[RunContent, ...]:
    """Return the three runs of a replay: control, treatment, verdict.

    Flat siblings, because nested runs stay hidden in MLflow's tables.
    """
    arms = (_arm_content(report, CONTROL), _arm_content(report, TREATMENT))
    return (*arms, _verdict_content(report, proposal, page))


def content_sha256(report: ReplayReport) -> str:
    """Return the hash that tells a copy of this very report from one of an earlier measurement."""
    return sha256_of(report)


def _arm_content(report: ReplayReport, arm: str) -> RunContent:
    plan = report.plan
    variant = plan.control if arm == CONTROL else plan.treatment
    code = plan.control_sha256 if arm == CONTROL else plan.treatment_sha256
    params = {"use": variant.use, "code_sha256": code}
    params |= {f"params/{key}": _param_text(value) for key, value in variant.params.items()}
    metrics = _quality(report, arm)
    if arm in report.arms:
        metrics |= _summary_metrics(report.arms[arm])
    return _content(arm, params=params, metrics=metrics, tags=_tags(report, arm), files={})


def _verdict_content(report: ReplayReport, proposal: Proposal, page: str) -> RunContent:
    metrics: dict[str, float | None] = {}
    for effect in report.effects:
        metrics |= _delta(effect)
    for ruling in Ruling:
        count = sum(verdict.ruling is ruling for verdict in report.verdicts)
        metrics[f"gates/{ruling.value}"] = float(count)
    tags = _tags(report, VERDICT) | {
        "expplat.ruling": report.ruling.value,
        "expplat.verdict_sha256": report.verdict_sha256,
        "mlflow.note.content": note_markdown(report, proposal),
        "mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}]),
    }
    files = {
        "verdict.json": _verdict_json(report, proposal),
        "report.html": page,
        TABLE: _requests_table(report),
    }
    return _content(VERDICT, params={}, metrics=metrics, tags=tags, files=files)


def _content(
    role: str,
    *,
    params: Mapping[str, str],
    metrics: Mapping[str, float | None],
    tags: Mapping[str, str],
    files: dict[str, str],
) -> RunContent:
    names = {name: safe_name(name) for name in (*params, *metrics)}
    renamed = {safe: name for name, safe in names.items() if safe != name}
    if renamed:
        files = files | {"names.json": json.dumps(renamed, indent=1, sort_keys=True)}
    return RunContent(
        role=role,
        params={names[name]: cut(value, LONGEST_PARAM) for name, value in params.items()},
        metrics={
            names[name]: value
            for name, value in metrics.items()
            if value is not None and math.isfinite(value)
        },
        tags={name: cut(value, LONGEST_TAG) for name, value in tags.items()},
        files=files,
    )


def _tags(report: ReplayReport, role: str) -> dict[str, str]:
    return {
        "expplat.replay_id": report.plan.replay_id,
        "expplat.role": role,
        "expplat.slug": report.plan.slug,
        "expplat.engine": report.engine,
        "expplat.data_sha256": report.plan.log_sha256,
        "expplat.proposal_sha256": report.plan.proposal_sha256,
        "expplat.report_sha256": content_sha256(report),
        "mlflow.source.name": "expplat replay",
        "mlflow.source.type": "LOCAL",
    }


def _quality(report: ReplayReport, arm: str) -> dict[str, float | None]:
    metrics = {metric.name: metric for metric in report.plan.metrics}
    return {
        f"{_section(metrics.get(effect.metric))}/{effect.metric}": (
            effect.control if arm == CONTROL else effect.treatment
        )
        for effect in report.effects
        if effect.metric not in SUMMED_UP
    }


def _section(metric: Metric | None) -> str:
    """MLflow draws one section of charts for each prefix."""
    match metric.concern if metric else Concern.OTHER:
        case Concern.LATENCY:
            return "latency_ms"
        case Concern.COST:
            return "cost"
        case _:
            return "quality"


def _summary_metrics(summary: ArmSummary) -> dict[str, float | None]:
    calls = max(summary.calls, 1)
    metrics: dict[str, float | None] = {
        "latency_ms/p50": summary.latency_p50_ms,
        "latency_ms/p95": summary.latency_p95_ms,
        "latency_ms/p99": summary.latency_p99_ms,
        "cost/usd_per_1k": float(summary.cost_usd) / calls * 1000,
        "errors/fraction": sum(summary.errors.values()) / calls,
        "refusals/fraction": summary.refusals / calls,
        "tokens/input_per_call": summary.input_tokens / calls,
        "tokens/output_per_call": summary.output_tokens / calls,
        "calls": float(summary.calls),
    }
    metrics |= {f"errors/{kind}": float(count) for kind, count in summary.errors.items()}
    metrics |= {f"stage/{name}/p50": value for name, value in summary.stages_p50_ms.items()}
    metrics |= {f"stage/{name}/p95": value for name, value in summary.stages_p95_ms.items()}
    return metrics


def _delta(effect: Effect) -> dict[str, float | None]:
    improvement = None if effect.difference is None else effect.sign * effect.difference
    return {
        f"delta/{effect.metric}": effect.difference,
        f"delta/{effect.metric}/ci_low": effect.low,
        f"delta/{effect.metric}/ci_high": effect.high,
        f"improvement/{effect.metric}": improvement,
    }


def _param_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


def _verdict_json(report: ReplayReport, proposal: Proposal) -> str:
    plain = to_plain(report)
    kept = {
        key: plain[key] for key in ("plan", "engine", "effects", "segments", "verdicts", "arms")
    }
    kept |= {
        "replay_id": report.plan.replay_id,
        "ruling": report.ruling,
        "verdict_sha256": report.verdict_sha256,
        "claim": proposal.paper.claim,
        "waivers": proposal.waivers,
    }
    return canonical_json(kept).decode()


def _requests_table(report: ReplayReport) -> str:
    listed = [("worst", delta) for delta in report.worst]
    listed += [("best", delta) for delta in report.best]
    rows = [
        (delta.request_id, which, delta.control, delta.treatment, delta.treatment - delta.control)
        for which, delta in listed
    ]
    columns = ("request_id", "list", "control", "treatment", "difference")
    return canonical_json({"columns": columns, "data": rows}).decode()


def note_markdown(report: ReplayReport, proposal: Proposal) -> str:
    """Return the verdict as Markdown; MLflow shows it at the top of the verdict run."""
    lines = [
        f"### {_cell(proposal.paper.title)}",
        "",
        _claim_line(report, proposal),
        "",
        f"**Ruling: {MARKS[report.ruling]} {report.ruling.value}**",
        "",
        "| | gate | metric | effect | why |",
        "|---|---|---|---|---|",
        *(_verdict_row(verdict) for verdict in report.verdicts),
    ]
    lines += [
        f"\nWaived, {waiver.phase} {waiver.concern}: {_cell(waiver.reason)}"
        for waiver in proposal.waivers
    ]
    return "\n".join(lines)


def _claim_line(report: ReplayReport, proposal: Proposal) -> str:
    claim = proposal.paper.claim
    primary = proposal.problem.primary_metric
    held_against = metric_of(primary, proposal)
    return arrow_line(
        (
            f"claimed {_cell(claim.metric)}",
            claim_text(claim, held_against.unit if held_against else ""),
        ),
        (f"replayed {_cell(primary)}", interval(report.effect_on(primary))),
    )


def _verdict_row(verdict: Verdict) -> str:
    cells = (
        f"{MARKS[verdict.ruling]} {verdict.ruling.value}",
        verdict.gate.kind.value,
        verdict.gate.metric or "",
        interval(verdict.effect),
        verdict.sentence,
    )
    return "| " + " | ".join(_cell(cell) for cell in cells) + " |"


def _cell(text: str) -> str:
    """Escape what Markdown or HTML would read as markup, and keep to one line."""
    flat = " ".join(text.split())
    return re.sub(r"([\\`*_\[\]<>|#!])", r"\\\1", flat)

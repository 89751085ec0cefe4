"""What MLflow is told of a replay, as plain values: params, metrics, tags, files and a note.

MLflow refuses some names and silently changes some values (it stores infinity as a number and
cuts long texts), so names are made safe here, what is not finite is left out, and what is cut
says so. Nothing is lost: `verdict.json` holds the full values, and `names.json` the renamings.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from expplat.adapters.report.markdown_text import cell, row
from expplat.adapters.report.replay_reading import claim_sentence, reproduction_of
from expplat.adapters.tracking.metrics import arm_numbers, segments_left_out, verdict_numbers
from expplat.adapters.tracking.names import cut, safe_name
from expplat.domain.breakdown import RequestDelta
from expplat.domain.gate import Verdict
from expplat.domain.plain import canonical_json, sha256_of, to_plain
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, TREATMENT, ReplayReport, Sample
from expplat.domain.wording import MARKS, interval

VERDICT = "verdict"
"""The run beside those of control and treatment."""

TABLE = "paired_deltas.json"
"""Requests side by side, in the form that MLflow shows as a table: the worst and the best of the
primary metric, and some at random."""

TABLE_ROWS = 200

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


def run_contents(
    report: ReplayReport, proposal: Proposal, page: str, samples: Sequence[Sample] = ()
) -> tuple[RunContent, ...]:
    """Return the three runs of a replay: control, treatment, verdict.

    Flat siblings, because nested runs stay hidden in MLflow's tables.
    """
    arms = (_arm_content(report, CONTROL), _arm_content(report, TREATMENT))
    return (*arms, _verdict_content(report, proposal, page, samples))


def content_sha256(report: ReplayReport) -> str:
    """Return the hash that tells a copy of this very report from one of an earlier measurement."""
    return sha256_of(report)


def _arm_content(report: ReplayReport, arm: str) -> RunContent:
    plan = report.plan
    variant = plan.control if arm == CONTROL else plan.treatment
    code = plan.control_sha256 if arm == CONTROL else plan.treatment_sha256
    params = {"use": variant.use, "code_sha256": code}
    params |= {f"params/{key}": _param_text(value) for key, value in variant.params.items()}
    metrics = arm_numbers(report, arm)
    return _content(arm, params=params, metrics=metrics, tags=_tags(report, arm), files={})


def _verdict_content(
    report: ReplayReport, proposal: Proposal, page: str, samples: Sequence[Sample]
) -> RunContent:
    tags = _tags(report, VERDICT) | {
        "expplat.ruling": report.ruling.value,
        "expplat.verdict_sha256": report.verdict_sha256,
        "mlflow.note.content": note_markdown(report, proposal),
        "mlflow.loggedArtifacts": json.dumps([{"path": TABLE, "type": "table"}]),
    }
    if report.stopped:
        tags["expplat.stopped"] = report.stopped
    if segments_left_out(report):
        tags["expplat.segments_left_out"] = str(segments_left_out(report))
    files = {
        "verdict.json": _verdict_json(report, proposal),
        "report.html": page,
        TABLE: paired_deltas(report, proposal.problem.primary_metric, samples),
    }
    metrics = verdict_numbers(report, proposal)
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


def _param_text(value: Any) -> str:
    return value if isinstance(value, str) else canonical_json(value).decode()


def _verdict_json(report: ReplayReport, proposal: Proposal) -> str:
    """Return all of the report, and what is computed of it, in canonical JSON."""
    kept = to_plain(report) | {
        "replay_id": report.plan.replay_id,
        "ruling": report.ruling,
        "verdict_sha256": report.verdict_sha256,
        "claim": proposal.paper.claim,
        "reproduction": reproduction_of(report, proposal),
        "waivers": proposal.waivers,
    }
    return canonical_json(kept).decode()


def paired_deltas(report: ReplayReport, metric: str, samples: Sequence[Sample]) -> str:
    """Return requests with both variants' values and answers, as MLflow's own table in JSON.

    Args:
        report: Its worst and best requests stand first.
        metric: The primary metric.
        samples: Those that are neither worst nor best are listed as random.
    """
    listed = [("worst", delta) for delta in report.worst]
    listed += [("best", delta) for delta in report.best]
    known = {delta.request_id for _, delta in listed}
    drawn = (_delta_of(sample, metric) for sample in samples)
    listed += [("random", delta) for delta in drawn if delta and delta.request_id not in known]
    columns = (
        "request_id",
        "list",
        "control",
        "treatment",
        "difference",
        "asked",
        "control_answer",
        "treatment_answer",
    )
    rows = [_row(which, delta) for which, delta in listed[:TABLE_ROWS]]
    return canonical_json({"columns": columns, "data": rows}).decode()


def _row(which: str, delta: RequestDelta) -> tuple[str | float, ...]:
    return (
        delta.request_id,
        which,
        delta.control,
        delta.treatment,
        delta.treatment - delta.control,
        delta.asked,
        delta.control_answer,
        delta.treatment_answer,
    )


def _delta_of(sample: Sample, metric: str) -> RequestDelta | None:
    """Return the request of a sample; None where a variant has no value for it."""
    values = {
        arm: sample.row.calls[arm].metrics.get(metric)
        for arm in (CONTROL, TREATMENT)
        if arm in sample.row.calls
    }
    control, treatment = values.get(CONTROL), values.get(TREATMENT)
    if control is None or treatment is None:
        return None
    return RequestDelta(
        request_id=sample.row.request_id,
        control=control,
        treatment=treatment,
        asked=sample.asked,
        control_answer=sample.answers.get(CONTROL, ""),
        treatment_answer=sample.answers.get(TREATMENT, ""),
    )


def note_markdown(report: ReplayReport, proposal: Proposal) -> str:
    """Return the verdict as Markdown; MLflow shows it at the top of the verdict run."""
    lines = [
        f"### {cell(proposal.paper.title)}",
        "",
        cell(claim_sentence(report, proposal)),
        "",
        f"**Ruling: {MARKS[report.ruling]} {report.ruling.value}**",
        "",
        "| | gate | metric | effect | why |",
        "|---|---|---|---|---|",
        *(_verdict_row(verdict) for verdict in report.verdicts),
    ]
    lines += [
        f"\nWaived, {waiver.phase} {waiver.concern}: {cell(waiver.reason)}"
        for waiver in proposal.waivers
    ]
    return "\n".join(lines)


def _verdict_row(verdict: Verdict) -> str:
    cells = (
        f"{MARKS[verdict.ruling]} {verdict.ruling.value}",
        verdict.gate.kind.value,
        verdict.gate.metric or "",
        interval(verdict.effect),
        verdict.sentence,
    )
    return row(*cells)

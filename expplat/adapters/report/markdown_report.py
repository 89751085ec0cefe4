"""A replay as Markdown: the comment under a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from expplat.adapters.report import breakdown_reading as breakdown
from expplat.adapters.report import replay_reading as reading
from expplat.adapters.report.markdown_text import cell, row
from expplat.domain.breakdown import RequestDelta
from expplat.domain.gate import Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport
from expplat.domain.wording import MARKS, amount, change, interval

LONGEST = 65_000
"""Characters of a comment; the hosts of code refuse more than 65,536."""

LONGEST_CELL = 300
MOST_GATES = 60
MOST_REQUESTS = 5
CUT = "*Cut here: a comment holds no more. The whole is in the report.*"

_ORDER = (Ruling.FAIL, Ruling.UNKNOWN, Ruling.PASS)


def report_markdown(report: ReplayReport, proposal: Proposal) -> str:
    """Return a replay as a comment: ruling, claim, gates, latency, cost, worst requests.

    Args:
        report: The replay.
        proposal: What it was judged by.

    Returns:
        At most 65,000 characters, in which no text of a file, a log or a model is markup.
    """
    parts = (
        _head(report, proposal),
        _gates(report.verdicts),
        _findings(report),
        _waivers(proposal),
        _requests(report.worst, _unit(report, proposal)),
        _foot(report),
    )
    return _fitted([*_joined(parts)])


def _head(report: ReplayReport, proposal: Proposal) -> Iterator[str]:
    ruling = f"{MARKS[report.ruling]} {report.ruling.value}"
    yield f"## {ruling}: replay of {cell(proposal.slug)}"
    yield ""
    yield f"**{cell(reading.headline(report), 2 * LONGEST_CELL)}**"
    yield ""
    yield cell(reading.claim_sentence(report, proposal), 2 * LONGEST_CELL)
    if report.stopped:
        yield ""
        yield cell(report.stopped, LONGEST_CELL)


def _gates(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Give the gates as a table: what stands in the way first."""
    if not verdicts:
        return
    ordered = sorted(verdicts, key=lambda verdict: _ORDER.index(verdict.ruling))
    yield "| | gate | metric | effect | why |"
    yield "|---|---|---|---|---|"
    for verdict in ordered[:MOST_GATES]:
        yield row(
            f"{MARKS[verdict.ruling]} {verdict.ruling.value}",
            verdict.gate.kind.value.replace("_", " "),
            _judged(verdict),
            interval(verdict.effect),
            verdict.sentence,
            longest=LONGEST_CELL,
        )
    left = len(ordered) - MOST_GATES
    if left > 0:
        yield ""
        yield f"{left} more gates stand in the report."


def _judged(verdict: Verdict) -> str:
    """Name what a gate is about: its metric, and the segment where it names one."""
    segment = (verdict.effect.segment if verdict.effect else "") or verdict.gate.segment
    return f"{verdict.gate.metric or ''}{f' in {segment}' if segment else ''}"


def _findings(report: ReplayReport) -> Iterator[str]:
    segments = breakdown.segment_rows(report)
    said = (
        ("Latency", f"{breakdown.latency_change(report.stages)} {_moved(report)}".strip()),
        ("Cost", breakdown.cost_change(report)),
        ("Segments", breakdown.segments_text(segments) if segments else ""),
        ("Spread", breakdown.variance_text(report.variance)),
    )
    for title, text in said:
        if text:
            yield f"- **{title}.** {cell(text, 2 * LONGEST_CELL)}"


def _moved(report: ReplayReport) -> str:
    return breakdown.what_moved(report.stages)


def _waivers(proposal: Proposal) -> Iterator[str]:
    for waiver in proposal.waivers:
        reason = cell(waiver.reason, LONGEST_CELL)
        yield f"- Waived, {waiver.phase} {waiver.concern}: {reason}"


def _requests(worst: Sequence[RequestDelta], unit: str) -> Iterator[str]:
    if not worst:
        return
    yield "Requests that lost most:"
    yield ""
    yield "| request | asked | control | treatment | difference |"
    yield "|---|---|---|---|---|"
    for one in worst[:MOST_REQUESTS]:
        yield row(
            one.request_id,
            one.asked,
            f"{amount(one.control, unit)} {one.control_answer}",
            f"{amount(one.treatment, unit)} {one.treatment_answer}",
            change(one.treatment - one.control, unit),
            longest=LONGEST_CELL // 2,
        )


def _foot(report: ReplayReport) -> Iterator[str]:
    plan = report.plan
    measured = reading.measured_text(report)
    hashes = f"log {plan.log_sha256[:12]}, verdicts {report.verdict_sha256[:12]}"
    text = f"{measured}; replay {plan.replay_id}, {hashes}, engine {report.engine}"
    yield cell(text, LONGEST_CELL)


def _unit(report: ReplayReport, proposal: Proposal) -> str:
    effect = report.effect_on(proposal.problem.primary_metric)
    return effect.unit if effect else ""


def _joined(parts: Iterable[Iterable[str]]) -> Iterator[str]:
    """Give all lines, an empty one after each part that has any."""
    for part in parts:
        lines = list(part)
        if lines:
            yield from lines
            yield ""


def _fitted(lines: Sequence[str]) -> str:
    """Join lines, whole ones only, up to the longest that a comment may be."""
    kept: list[str] = []
    length = 0
    for line in lines:
        length += len(line) + 1
        if length > LONGEST - len(CUT) - 2:
            return "\n".join([*kept, "", CUT])
        kept.append(line)
    return "\n".join(kept)

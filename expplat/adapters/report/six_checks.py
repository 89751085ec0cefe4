"""The six checks that a paper must pass, answered from a POC's evidence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from expplat.domain.gate import METRIC_GATES, Ruling, Verdict
from expplat.domain.metric import Concern
from expplat.domain.proposal import Proposal
from expplat.domain.replay import ReplayReport, joint_ruling
from expplat.domain.story import Story
from expplat.domain.wording import who_enters


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One of the six, with its answer and what the answer rests on."""

    number: int
    title: str
    how: str
    """`declared` in the file, or `measured`."""

    ruling: Ruling
    evidence: tuple[str, ...]
    """Sentences."""


def six_checks(story: Story) -> tuple[Check, ...]:
    """Return the six checks in their order; what was not measured yet is `unknown`."""
    proposal = story.proposal
    return (
        _relevance(proposal),
        _reproducibility(proposal, story.replay),
        _gates(3, "Real accuracy delta", {Concern.ACCURACY, Concern.OTHER}, story),
        _gates(4, "Latency and cost", {Concern.LATENCY, Concern.COST}, story),
        _operations(proposal),
        _online(story),
    )


def _relevance(proposal: Proposal) -> Check:
    problem = proposal.problem
    return Check(
        number=1,
        title="Problem relevance",
        how="declared",
        ruling=Ruling.PASS,
        evidence=(f"{problem.system}: {problem.pain}", f"Why now: {problem.why_now}"),
    )


def _reproducibility(proposal: Proposal, report: ReplayReport | None) -> Check:
    code = (
        "The authors published their code."
        if proposal.paper.code_available
        else "The authors did not publish their code."
    )
    if report is None:
        run = "Not replayed on our requests yet."
    else:
        run = (
            f"Both variants answered the same {report.plan.requests:,} recorded requests, "
            f"engine {report.engine}, log {report.plan.log_sha256[:12]}."
        )
    return Check(
        number=2,
        title="Reproducibility in house",
        how="measured",
        ruling=Ruling.UNKNOWN if report is None else Ruling.PASS,
        evidence=(code, run),
    )


def _gates(number: int, title: str, concerns: set[Concern], story: Story) -> Check:
    verdicts = _offline_verdicts(story.replay, concerns)
    further = {
        name: _offline_verdicts(report, concerns) for name, report in story.further_replays.items()
    }
    missing = () if verdicts else ("No gate has judged this yet.",)
    return Check(
        number=number,
        title=title,
        how="measured",
        ruling=joint_ruling((*verdicts, *_all(further))),
        evidence=(
            *_sentences(verdicts),
            *_named_sentences(further),
            *missing,
            *_waived(story, "offline", concerns),
        ),
    )


def _operations(proposal: Proposal) -> Check:
    operations = proposal.operations
    return Check(
        number=5,
        title="Operational complexity",
        how="declared",
        ruling=Ruling.PASS,
        evidence=(
            f"New components: {_listed(operations.new_components)}; "
            f"new dependencies: {_listed(operations.new_dependencies)}; "
            f"served {operations.serving_pattern}.",
            f"At 2am: {operations.on_call}, runbook {operations.runbook}.",
            f"Breaks first: {operations.failure_mode}",
        ),
    )


def _online(story: Story) -> Check:
    verdicts = story.looks[-1].verdicts if story.looks else ()
    further = story.further_verdicts if story.looks else {}
    state = _sentences(verdicts) if verdicts else ("No look at production traffic yet.",)
    who = who_enters(story.proposal.online)
    entrance = (f"Who enters: {who}.",) if who else ()
    return Check(
        number=6,
        title="Controlled experiment",
        how="measured",
        ruling=joint_ruling((*verdicts, *_all(further))),
        evidence=(
            *state,
            *_named_sentences(further),
            *entrance,
            *_waived(story, "online", set(Concern)),
        ),
    )


def _waived(story: Story, phase: str, concerns: set[Concern]) -> tuple[str, ...]:
    return tuple(
        f"Waived ({waiver.concern}): {waiver.reason}"
        for waiver in story.proposal.waivers
        if waiver.phase == phase and waiver.concern in concerns
    )


def _offline_verdicts(report: ReplayReport | None, concerns: set[Concern]) -> tuple[Verdict, ...]:
    if report is None:
        return ()
    named = {metric.name for metric in report.plan.metrics if metric.concern in concerns}
    return tuple(verdict for verdict in report.verdicts if verdict.gate.metric in named)


def _all(verdicts: Mapping[str, tuple[Verdict, ...]]) -> tuple[Verdict, ...]:
    return tuple(verdict for said in verdicts.values() for verdict in said)


def _named_sentences(verdicts: Mapping[str, tuple[Verdict, ...]]) -> tuple[str, ...]:
    """Return what was said of the metrics of further treatments; their health is the test's."""
    return tuple(
        f"{name}: {verdict.sentence}"
        for name, said in verdicts.items()
        for verdict in said
        if verdict.gate.kind in METRIC_GATES
    )


def _sentences(verdicts: Iterable[Verdict]) -> tuple[str, ...]:
    return tuple(verdict.sentence for verdict in verdicts)


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "none"

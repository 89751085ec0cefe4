"""The verdicts of a replay: made from its effects, and made again from what a report stores."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from expplat.domain.gate import Effect, Gate, Ruling, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, ArmSummary, ReplayPlan, ReplayReport
from expplat.gates import judge
from expplat.gates.replay_health import control_verdict
from expplat.gates.replay_trust import trust_verdict


def verdicts_of(
    plan: ReplayPlan,
    proposal: Proposal,
    judged: Iterable[tuple[Gate, Effect | None]],
    evidence: tuple[ArmSummary, Effect | None],
) -> tuple[Verdict, ...]:
    """Judge each gate on each effect that it is asked of, then control and the log.

    Args:
        plan: The replay.
        proposal: The revision that it stands on.
        judged: The gates, each with an effect.
        evidence: Control in numbers, and its effect against what production answered, if any.
    """
    control, trust = evidence
    verdicts = [judge(gate, effect) for gate, effect in judged]
    largest = plan.measurement.max_control_error_fraction
    failing = control_verdict(sum(control.errors.values()), control.calls, largest)
    if failing is not None:
        verdicts.append(failing)
    if trust is not None:
        primary = next(one for one in plan.metrics if one.name == proposal.problem.primary_metric)
        verdicts.append(trust_verdict(trust, proposal.offline_gates, primary))
    return tuple(verdicts)


def unruled(verdicts: Iterable[Verdict], why: str) -> tuple[Verdict, ...]:
    """Return the verdicts of a replay that was cut off: the effects stay, no ruling does."""
    return tuple(
        replace(
            verdict,
            ruling=Ruling.UNKNOWN,
            sentence=f"{why} Until then: {verdict.sentence}",
        )
        for verdict in verdicts
    )


def verdicts_again(report: ReplayReport, proposal: Proposal) -> tuple[Verdict, ...]:
    """Judge the gates of a proposal once more, on the effects that a report stores.

    Those over all requests are the report's own; those of a segment stand with its verdicts.
    """
    judged: list[tuple[Gate, Effect | None]] = []
    for gate in proposal.offline_gates:
        if gate.segment is None:
            judged.append((gate, report.effect_on(gate.metric or "")))
            continue
        parts = [verdict.effect for verdict in report.verdicts if verdict.gate == gate]
        judged += [(gate, effect) for effect in parts or [None]]
    evidence = report.arms[CONTROL], report.trust
    verdicts = verdicts_of(report.plan, proposal, judged, evidence)
    return unruled(verdicts, report.stopped) if report.is_cut else verdicts

"""Several treatments of one POC: their replays, the alpha that they share, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from expplat.domain.decision import Action, Decision
from expplat.domain.gate import GateKind, Verdict
from expplat.domain.plain import to_plain
from expplat.domain.proposal import OnlinePlan
from expplat.domain.replay import TREATMENT, ReplayReport
from expplat.gates.decision import is_harm

FURTHER = "further"
"""Where the evidence of a transition keeps the treatments after the first, by name."""


def replay_ids(evidence: Mapping[str, Any]) -> dict[str, str]:
    """Return the ids of the replays that a transition stands on, by treatment; the first first."""
    if "replay_id" not in evidence:
        return {}
    further: Mapping[str, Any] = evidence.get(FURTHER, {})
    ids = {name: str(kept["replay_id"]) for name, kept in sorted(further.items())}
    return {TREATMENT: str(evidence["replay_id"])} | ids


def evidence_of_replays(reports: Sequence[ReplayReport]) -> dict[str, Any]:
    """Return what a transition keeps of the replays of all treatments, the first one first."""
    first, *others = reports
    kept = {"attempt": first.plan.attempt} | _kept(first)
    further = {report.plan.arm: _kept(report) for report in others}
    return kept | ({FURTHER: further} if further else {})


def evidence_of_ids(ids: Mapping[str, str]) -> dict[str, Any]:
    """Return what a transition keeps where it only names the replays of the treatments."""
    further = {name: {"replay_id": ids[name]} for name in ids if name != TREATMENT}
    return {"replay_id": ids[TREATMENT]} | ({FURTHER: further} if further else {})


def shared_by(plan: OnlinePlan, treatments: int) -> OnlinePlan:
    """Return the plan that each of several treatments is judged by: alpha is shared equally.

    Success is asked of each at alpha over their number (Bonferroni), so that the chance that any
    of several treatments without an effect graduates is that of one. Guardrails keep their level.
    """
    if treatments == 1:
        return plan
    gates = tuple(
        replace(gate, alpha=gate.alpha / treatments) if gate.kind is GateKind.SUPERIORITY else gate
        for gate in plan.gates
    )
    return replace(plan, gates=gates)


def decide_together(
    decisions: Mapping[str, Decision], verdicts: Mapping[str, tuple[Verdict, ...]]
) -> Decision:
    """Return what follows for a test from what follows for each of its treatments.

    Harm by one ends the test. Else the best of those that pass graduates, by its gain on the first
    success metric. Else the test goes on while any of them may still pass.

    Args:
        decisions: By treatment, the first one first.
        verdicts: Of the same look, by treatment.
    """
    if len(decisions) == 1:
        return next(iter(decisions.values()))
    named = {name: _named(name, decision) for name, decision in decisions.items()}
    harmful = [name for name in named if any(map(is_harm, verdicts[name]))]
    winners = [name for name in named if named[name].action is Action.GRADUATE]
    if harmful:
        return named[harmful[0]]
    if winners:
        return named[max(winners, key=lambda name: _gain(verdicts[name]))]
    for action in (Action.HOLD, Action.KEEP_RUNNING, Action.ROLL_BACK):
        standing = [one for one in named.values() if one.action is action]
        if standing:
            reasons = tuple(reason for one in standing for reason in one.reasons)
            return replace(standing[0], reasons=reasons)
    raise AssertionError("a decision has one of four actions")


def _named(treatment: str, decision: Decision) -> Decision:
    reasons = tuple(f"{treatment}: {reason}" for reason in decision.reasons)
    return replace(decision, arm=treatment, reasons=reasons)


def _gain(verdicts: tuple[Verdict, ...]) -> float:
    for verdict in verdicts:
        effect = verdict.effect
        if verdict.gate.kind is GateKind.SUPERIORITY and effect and effect.difference is not None:
            return effect.sign * effect.difference
    return 0.0


def _kept(report: ReplayReport) -> dict[str, Any]:
    return {
        "replay_id": report.plan.replay_id,
        "verdict_sha256": report.verdict_sha256,
        "verdicts": to_plain(report.verdicts),
    }

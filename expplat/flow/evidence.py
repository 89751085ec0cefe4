"""From a journal to all that a report says of it, the verdicts included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from expplat.domain.breakdown import RequestDelta, StageDelta, VarianceSplit
from expplat.domain.gate import Effect, Gate, GateKind, Verdict
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, TREATMENT, ArmSummary, ReplayPlan
from expplat.flow.evidence_effects import AlphaOf, effects_of, own_alpha, trust_effect
from expplat.flow.evidence_pairs import Material, material_of
from expplat.flow.evidence_requests import extremes, variance_of
from expplat.flow.evidence_segments import judged_effects, segment_effects
from expplat.flow.evidence_stages import stage_deltas
from expplat.flow.evidence_verdicts import verdicts_of
from expplat.flow.ports import Journal
from expplat.metrics.columns import distinct
from expplat.metrics.summary import arm_summary


@dataclass(frozen=True, slots=True, kw_only=True)
class Gathered:
    """What a journal says; the fields are those of `ReplayReport`."""

    arms: Mapping[str, ArmSummary]
    effects: tuple[Effect, ...]
    segments: Mapping[str, tuple[Effect, ...]]
    verdicts: tuple[Verdict, ...]
    """Of each offline gate on each effect that it is judged on, in the order of the proposal; then,
    where the log holds what production answered, whether the replay reproduces it."""

    stages: tuple[StageDelta, ...]
    variance: VarianceSplit | None
    trust: Effect | None
    worst: tuple[RequestDelta, ...]
    best: tuple[RequestDelta, ...]
    measured: int


def gathered(
    plan: ReplayPlan, proposal: Proposal, journal: Journal, alpha_of: AlphaOf = own_alpha
) -> Gathered:
    """Compute everything that a report holds from what is journalled now, and judge the gates.

    Args:
        plan: The replay.
        proposal: The revision that it stands on.
        journal: Holds rows, words and times of setting up.
        alpha_of: Level at which a gate is judged now: its own, or less where the evidence is
            looked at more than once.

    Raises:
        ConflictError: If the folder holds the journal of another plan.
        EngineError: If the journal is broken, or the disk is full.
    """
    material = material_of(plan, journal.columns(plan))
    primary = next(one for one in plan.metrics if one.name == proposal.problem.primary_metric)
    effects = effects_of(material, plan.metrics, proposal.offline_gates, alpha_of)
    trust_gate = Gate(kind=GateKind.REPLAY_TRUST, metric=primary.name)
    trust = trust_effect(material, primary, alpha_of(trust_gate))
    judged = judged_effects(material, plan.metrics, proposal.offline_gates, effects, alpha_of)
    worst, best = extremes(material, primary, plan, journal)
    arms = _arms(material, plan, journal)
    return Gathered(
        arms=arms,
        effects=effects,
        segments=segment_effects(material, primary),
        verdicts=verdicts_of(plan, proposal, judged, (arms[CONTROL], trust)),
        stages=stage_deltas(material),
        variance=variance_of(material, primary),
        trust=trust,
        worst=worst,
        best=best,
        measured=_measured(material),
    )


def measured_requests(plan: ReplayPlan, journal: Journal) -> int:
    """Return how many requests both variants have answered by now."""
    return _measured(material_of(plan, journal.columns(plan)))


def _arms(material: Material, plan: ReplayPlan, journal: Journal) -> dict[str, ArmSummary]:
    setups_ms = journal.setups_ms(plan)
    return {
        arm: arm_summary(material.columns, arm, plan.prices, setups_ms.get(arm, ()))
        for arm in (CONTROL, TREATMENT)
    }


def _measured(material: Material) -> int:
    columns = material.columns
    return distinct(columns.positions[np.logical_and(*map(columns.has, (CONTROL, TREATMENT)))])

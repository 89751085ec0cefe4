"""What each flag serves: a pure function of the histories, and of the emergency brake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.proposal import Proposal
from expplat.domain.replay import CONTROL, TREATMENT
from expplat.flow.ports import Brake

_OPEN = (Stage.PROMOTED, Stage.GRADUATED)
"""The stages in which somebody is served the treatment."""

_HOLDOUT = "holdout-"
"""Begins the key of a holdout; with its hyphen it is never that of a test, which begins with a
slug."""


def holdout_key(name: str) -> str:
    """Return the key by which SDKs report the units of a holdout."""
    return f"{_HOLDOUT}{name}"


def is_holdout_key(key: str) -> bool:
    """Tell whether an experiment that an SDK reports is a holdout: an exposure to no test."""
    return key.startswith(_HOLDOUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlagState:
    """One flag; it exists from the first promotion on, for ever, so that no code finds it gone."""

    slug: str
    phase: int
    """Of the newest online test, from 1."""

    stage: Stage
    """`promoted`, `graduated`, or `rolled_back` for everything else that came after a test."""

    traffic_percent: float
    """Share of units in the test, 0 to 100."""

    unit: str
    """The attribute that is hashed."""

    changed_at: datetime
    """When the flag last changed what it serves."""

    is_closed: bool = False
    """Whether the emergency brake holds it, or its proposal cannot be read."""

    arms: tuple[str, ...] = (CONTROL, TREATMENT)
    """The variants, control first; each gets the same share of the units."""

    targeting: Mapping[str, Any] = field(default_factory=dict)
    """Condition that units must meet; empty where every unit does."""

    exclusion: Exclusion | None = None
    """Range of the units that the test is held to."""

    holdout: Holdout | None = None
    """Units that stay on control, in the test and after it."""

    requires: str | None = None
    """The flag whose treatment a unit must be served."""

    winner: str = TREATMENT
    """What is served after graduation."""

    @property
    def is_test(self) -> bool:
        """Whether units are assigned to variants."""
        return self.stage is Stage.PROMOTED and not self.is_closed

    @property
    def is_graduated(self) -> bool:
        """Whether everybody whom the plan is about is served the winner."""
        return self.stage is Stage.GRADUATED and not self.is_closed


def flag_states(
    pocs: Iterable[Poc],
    proposals_by_sha: Mapping[str, Proposal],
    closed: Mapping[str, Brake],
) -> tuple[FlagState, ...]:
    """Return the flags of all POCs that were ever promoted, by slug.

    Args:
        pocs: With whole histories: one that was rolled back and proposed again keeps its flag.
        proposals_by_sha: The files that `proposals_needed` names; a flag whose file is absent is
            served closed.
        closed: The emergency brakes that are on, by slug.
    """
    states = [_state(poc, proposals_by_sha) for poc in pocs if _was_promoted(poc)]
    braked = [_braked(state, closed.get(state.slug)) for state in states]
    return tuple(sorted(braked, key=lambda state: state.slug))


def proposals_needed(pocs: Iterable[Poc]) -> frozenset[str]:
    """Return the hashes of the files that say who is served what: those of all open flags."""
    return frozenset(poc.newest.proposal_sha256 for poc in pocs if poc.stage in _OPEN)


def _was_promoted(poc: Poc) -> bool:
    return any(step.phase >= 1 for step in poc.history)


def _state(poc: Poc, proposals_by_sha: Mapping[str, Proposal]) -> FlagState:
    newest = poc.newest
    state = FlagState(
        slug=poc.slug,
        phase=max(step.phase for step in poc.history),
        stage=_flag_stage(newest),
        traffic_percent=newest.traffic_percent if newest.stage is Stage.PROMOTED else 0.0,
        unit="",
        changed_at=_changed_at(poc),
    )
    if newest.stage not in _OPEN:
        return state
    proposal = proposals_by_sha.get(newest.proposal_sha256)
    if proposal is None:
        return replace(state, is_closed=True)
    return _planned(replace(state, winner=newest.winner), proposal)


def _planned(state: FlagState, proposal: Proposal) -> FlagState:
    plan = proposal.online
    return replace(
        state,
        unit=plan.unit,
        arms=proposal.variants.arms,
        targeting=plan.targeting,
        exclusion=plan.exclusion,
        holdout=plan.holdout,
        requires=plan.requires,
    )


def _flag_stage(step: Transition) -> Stage:
    return step.stage if step.stage in _OPEN else Stage.ROLLED_BACK


def _changed_at(poc: Poc) -> datetime:
    served: tuple[object, ...] | None = None
    changed_at = poc.newest.at
    started = False
    for step in poc.history:
        started = started or step.phase >= 1
        serves = _serves(step)
        if started and serves != served:
            served, changed_at = serves, step.at
    return changed_at


def _serves(step: Transition) -> tuple[object, ...]:
    if step.stage is Stage.PROMOTED:
        return step.stage, step.phase, step.traffic_percent, step.proposal_sha256
    return (_flag_stage(step),)


def _braked(state: FlagState, brake: Brake | None) -> FlagState:
    if brake is None or not brake.holds(state.phase):
        return state
    return replace(state, is_closed=True, changed_at=max(brake.since, state.changed_at))

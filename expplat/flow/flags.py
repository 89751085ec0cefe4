"""What each flag serves: a pure function of the histories, and of the emergency brake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.proposal import Proposal


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

    @property
    def is_test(self) -> bool:
        """Whether units are assigned to variants."""
        return self.stage is Stage.PROMOTED and not self.is_closed

    @property
    def is_graduated(self) -> bool:
        """Whether everybody is served the treatment."""
        return self.stage is Stage.GRADUATED and not self.is_closed


def flag_states(
    pocs: Iterable[Poc],
    proposals_by_sha: Mapping[str, Proposal],
    closed: Mapping[str, datetime],
) -> tuple[FlagState, ...]:
    """Return the flags of all POCs that were ever promoted, by slug.

    Args:
        pocs: With whole histories: one that was rolled back and proposed again keeps its flag.
        proposals_by_sha: The files that `proposals_needed` names; a flag whose file is absent is
            served closed.
        closed: The slugs that the emergency brake holds, and since when.
    """
    states = [_state(poc, proposals_by_sha) for poc in pocs if _was_promoted(poc)]
    braked = [_braked(state, closed.get(state.slug)) for state in states]
    return tuple(sorted(braked, key=lambda state: state.slug))


def proposals_needed(pocs: Iterable[Poc]) -> frozenset[str]:
    """Return the hashes of the files that the running tests stand on."""
    return frozenset(poc.newest.proposal_sha256 for poc in pocs if poc.stage is Stage.PROMOTED)


def _was_promoted(poc: Poc) -> bool:
    return any(step.phase >= 1 for step in poc.history)


def _state(poc: Poc, proposals_by_sha: Mapping[str, Proposal]) -> FlagState:
    newest = poc.newest
    is_test = newest.stage is Stage.PROMOTED
    proposal = proposals_by_sha.get(newest.proposal_sha256) if is_test else None
    return FlagState(
        slug=poc.slug,
        phase=max(step.phase for step in poc.history),
        stage=_flag_stage(newest),
        traffic_percent=newest.traffic_percent if is_test else 0.0,
        unit=proposal.online.unit if proposal else "",
        changed_at=_changed_at(poc),
        is_closed=is_test and proposal is None,
    )


def _flag_stage(step: Transition) -> Stage:
    return step.stage if step.stage in (Stage.PROMOTED, Stage.GRADUATED) else Stage.ROLLED_BACK


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


def _braked(state: FlagState, since: datetime | None) -> FlagState:
    if since is None:
        return state
    return replace(state, is_closed=True, changed_at=max(since, state.changed_at))

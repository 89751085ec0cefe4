"""A POC, its stages, and the append-only history that is its only state.

      propose         replay            promote           graduate
    ─────────▶ proposed ────▶ replayed ────────▶ promoted ────────▶ graduated
                  │            │  ↺ replay        │  ↺ ramp            │
                  │ reject     │                  │ rollback           │ rollback
                  ▼            ▼                  ▼                    ▼
               rejected ◀──────┘               rolled_back ◀───────────┘

A new revision of the file (`propose` again) starts over at `proposed` from every stage but
`promoted` and `graduated`: what users see is never changed by a proposal.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from expplat.domain.plain import sha256_of
from expplat.domain.replay import TREATMENT
from expplat.errors import StageError


class Stage(StrEnum):
    """Where a POC stands. Stages are decisions, not processes: a crash leaves the stage."""

    PROPOSED = "proposed"
    REPLAYED = "replayed"
    PROMOTED = "promoted"
    GRADUATED = "graduated"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"


NEXT: dict[Stage | None, frozenset[Stage]] = {
    None: frozenset({Stage.PROPOSED}),
    Stage.PROPOSED: frozenset({Stage.PROPOSED, Stage.REPLAYED, Stage.REJECTED}),
    Stage.REPLAYED: frozenset({Stage.PROPOSED, Stage.REPLAYED, Stage.PROMOTED, Stage.REJECTED}),
    Stage.PROMOTED: frozenset({Stage.PROMOTED, Stage.GRADUATED, Stage.ROLLED_BACK}),
    Stage.GRADUATED: frozenset({Stage.ROLLED_BACK}),
    Stage.ROLLED_BACK: frozenset({Stage.PROPOSED}),
    Stage.REJECTED: frozenset({Stage.PROPOSED}),
}
"""The whole state machine."""

TICK = timedelta(milliseconds=1)
"""The least time between two transitions: a flag's date grows even if the clock does not."""

ZERO_SHA256 = "0" * 64
"""What the first transition of a history is chained to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One step of a POC: a row that is written once and never changed."""

    slug: str
    position: int
    """0, 1, 2 …; with the slug the key of the row, and so the lock against a second writer."""

    stage: Stage
    at: datetime
    """UTC; later than the transition before it."""

    by: str
    """Who or what decided."""

    reason: str
    proposal_sha256: str
    """The revision of the file that the step stands on."""

    traffic_percent: float
    """Share of units in the test, 0 to 100; with the stage all that the flag is made of."""

    phase: int
    """1 for the first online test, 2 for the next, each randomised anew; 0 before any."""

    evidence: dict[str, Any] = field(default_factory=dict)
    """What was known: the replay's id and verdicts, or the look and its verdicts, as plain JSON."""

    previous_sha256: str = ZERO_SHA256
    sha256: str = ""
    """Hash of this row, chained to the one before it; set by `chained`."""

    def chained(self, previous_sha256: str) -> Transition:
        """Return this transition tied to the one before it."""
        tied = replace(self, previous_sha256=previous_sha256, sha256="")
        return replace(tied, sha256=sha256_of(tied))

    @property
    def winner(self) -> str:
        """The treatment that a graduation serves to everybody; there may have been several."""
        decision = self.evidence.get("decision")
        return str(decision.get("arm", TREATMENT)) if isinstance(decision, dict) else TREATMENT

    @property
    def is_intact(self) -> bool:
        """Whether the row still says what it said when it was written."""
        return self.sha256 == sha256_of(replace(self, sha256=""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Poc:
    """A technique on its way from a paper to production."""

    slug: str
    history: tuple[Transition, ...] = ()

    @property
    def newest(self) -> Transition:
        """The transition that says where the POC stands."""
        return self.history[-1]

    @property
    def stage(self) -> Stage | None:
        """Where the POC stands; None before the first transition."""
        return self.newest.stage if self.history else None

    def must_be_open_for(self, stage: Stage) -> None:
        """Make sure that the step is open.

        Raises:
            StageError: If it is not open from the present stage.
        """
        if stage in NEXT[self.stage]:
            return
        open_steps = ", ".join(sorted(NEXT[self.stage])) or "none, it is final"
        raise StageError(
            f"{self.slug} is {self.stage or 'not proposed yet'}; it cannot become {stage}.",
            hint=f"Open from here: {open_steps}.",
        )

    def advance(self, step: Transition) -> Poc:
        """Return this POC one transition further, chained to the one before and later than it.

        Raises:
            StageError: If the step is not open from the present stage.
        """
        self.must_be_open_for(step.stage)
        if not self.history:
            first = replace(step, slug=self.slug, position=0)
            return replace(self, history=(first.chained(ZERO_SHA256),))
        placed = replace(
            step,
            slug=self.slug,
            position=len(self.history),
            at=max(step.at, self.newest.at + TICK),
        )
        return replace(self, history=(*self.history, placed.chained(self.newest.sha256)))

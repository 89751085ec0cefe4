"""What follows from the verdicts of one look: an outcome, what the platform does, and why."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from expplat.domain.replay import TREATMENT


class Outcome(StrEnum):
    """What the evidence says of the treatment."""

    GRADUATE = "graduate"
    """Every gate that must pass has passed, at one and the same look."""

    REJECT = "reject"
    """Harm is proven, or that the gain is smaller than what matters."""

    CONTINUE = "continue"
    """Neither yet; more units may tell."""

    INCONCLUSIVE = "inconclusive"
    """Neither, and more of the same will not tell: the plan is spent, or the evidence is not fit to
    be read. Nobody graduates on it."""


class Action(StrEnum):
    """What the platform does next."""

    GRADUATE = "graduate"
    ROLL_BACK = "roll_back"
    HOLD = "hold"
    """Leave everything as it is, and call a person."""

    KEEP_RUNNING = "keep_running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """An outcome, the action that follows from it, and every reason: harm first."""

    outcome: Outcome
    action: Action
    reasons: tuple[str, ...]
    """Sentences for a person, at least one, the weightiest first."""

    arm: str = TREATMENT
    """The treatment that it is about, where there are several."""

    @property
    def reason(self) -> str:
        """The weightiest reason."""
        return self.reasons[0]

"""What every verb is done with, and the one way in which a step is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from expplat.domain.gate import Gate, GateKind, Ruling, Verdict
from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.proposal import Proposal
from expplat.flow.ports import Brake, Clock, Flags, SpecReader, UnitOfWork


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """The store, the reader, the brake, the clock, and who sits here."""

    uow: UnitOfWork
    reading: UnitOfWork
    """The same store for what takes long: it can write nothing, and keeps no writer waiting."""

    reader: SpecReader
    flags: Flags
    now: Clock
    by: str
    """Who decides: a person's name, or the watcher's."""

    def proposal_of(self, poc: Poc) -> Proposal:
        """Return the revision that the newest transition stands on; within a unit of work."""
        return self.reader.thaw(self.uow.proposals.text(poc.newest.proposal_sha256))

    def brake_on(self, slug: str, phase: int) -> Brake | None:
        """Return the emergency brake that holds an online test; None where none does.

        Raises:
            DependencyError: If the brake cannot be read.
        """
        brake = self.flags.closed().get(slug)
        return brake if brake is not None and brake.holds(phase) else None

    def held(self, slug: str, phase: int) -> tuple[Verdict, ...]:
        """Return what the emergency brake says of an online test; empty where it is off.

        While it is on, units of either arm are served control: nothing may be opened, and what
        comes in is no evidence.

        Raises:
            DependencyError: If the brake cannot be read.
        """
        brake = self.brake_on(slug, phase)
        if brake is None:
            return ()
        gate = Gate(kind=GateKind.DATA_QUALITY)
        return (Verdict(gate=gate, ruling=Ruling.UNKNOWN, sentence=held_closed(slug, brake)),)


def held_closed(slug: str, brake: Brake) -> str:
    """Say that a flag is held closed, and what to do."""
    return (
        f"The emergency brake has held the flag closed since {brake.since:%Y-%m-%d %H:%M} UTC: "
        f"`expplat rollback {slug}`, or remove `closed/{slug}` from the state folder."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a verb wants written down."""

    stage: Stage
    reason: str
    traffic_percent: float = 0.0
    evidence: Mapping[str, Any] = field(default_factory=dict)
    opens_phase: bool = False
    """True where a new online test begins, with a new randomisation."""


class Stepped(NamedTuple):
    """What a verb came to."""

    poc: Poc
    standing: tuple[Verdict, ...]
    """The verdicts that stand in the way; empty when the step was made or had been made."""

    sentence: str
    is_new: bool
    """Whether a transition was committed."""


def write_step(before: Poc, step: Step, desk: Desk) -> Poc:
    """Commit the next transition of a POC; return the POC.

    Args:
        before: The POC as it was read when the evidence of the step was gathered. Where it has
            moved on since, by a new revision or another's step, the evidence is not about it.
        step: What to write.
        desk: Where.

    Raises:
        StageError: If the step is not open from its stage.
        ConflictError: If it has moved on since; nothing was written.
    """
    with desk.uow as uow:
        poc = add_step(before, step, desk)
        uow.commit()
    return poc


def add_step(before: Poc, step: Step, desk: Desk) -> Poc:
    """Add the next transition of a POC, as `write_step` does, within a unit of work."""
    poc = before.advance(
        Transition(
            slug=before.slug,
            position=len(before.history),
            stage=step.stage,
            at=desk.now(),
            by=desk.by,
            reason=step.reason,
            proposal_sha256=before.newest.proposal_sha256,
            traffic_percent=step.traffic_percent,
            phase=before.newest.phase + step.opens_phase,
            evidence=dict(step.evidence),
        )
    )
    desk.uow.pocs.add_newest(poc)
    return poc

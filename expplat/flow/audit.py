"""audit: is the history what it was when it was written?"""

from __future__ import annotations

from typing import NamedTuple

from expplat.domain.poc import NEXT, ZERO_SHA256, Poc, Stage
from expplat.flow.ports import UnitOfWork

UNREADABLE = "The row was edited: it says nothing that could be read."


class Finding(NamedTuple):
    """A row of a history that is not what was written."""

    slug: str
    position: int
    sentence: str


class Audit(NamedTuple):
    """What an audit found."""

    pocs: int
    transitions: int
    findings: tuple[Finding, ...]


def verify(*, uow: UnitOfWork) -> Audit:
    """Recompute every hash of every history, and the chain and order between the rows.

    A row that was edited, removed from the middle or put in later is found; a history with a row
    that cannot be read at all is not looked at further. What was cut off at the end of a history is
    not found: nothing after it says that it was there.
    """
    with uow:
        broken = tuple(Finding(*place, UNREADABLE) for place in uow.pocs.unreadable())
        pocs = uow.pocs.all(but={finding.slug for finding in broken})
    findings = (*broken, *(finding for poc in pocs for finding in _findings(poc)))
    return Audit(len(pocs), sum(len(poc.history) for poc in pocs), findings)


def _findings(poc: Poc) -> tuple[Finding, ...]:
    found: list[Finding] = []
    previous_sha256 = ZERO_SHA256
    previous_stage: Stage | None = None
    for place, step in enumerate(poc.history):
        wrong = ""
        if not step.is_intact:
            wrong = "The row was edited: its hash does not match what it says."
        elif step.position != place:
            wrong = f"A row is missing: this is row {step.position} in the place of {place}."
        elif step.previous_sha256 != previous_sha256:
            wrong = "The row is not chained to the one before it."
        elif step.stage not in NEXT[previous_stage]:
            wrong = f"{step.stage} cannot follow {previous_stage}."
        if wrong:
            found.append(Finding(poc.slug, step.position, wrong))
        previous_sha256, previous_stage = step.sha256, step.stage
    return tuple(found)

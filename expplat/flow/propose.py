"""propose: read, check, freeze."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from expplat.domain.plain import sha256_of
from expplat.domain.poc import Poc, Stage, Transition
from expplat.domain.proposal import Proposal
from expplat.domain.replay import TREATMENT
from expplat.errors import Fault, FaultsError
from expplat.flow.desk import Desk
from expplat.flow.ports import SpecReader, VariantCode
from expplat.metrics.catalogue import resolve


class Proposed(NamedTuple):
    """The POC, and whether the call changed anything."""

    poc: Poc
    is_new: bool


def check(
    content: bytes, source: str, *, workspace: Path, reader: SpecReader, code: VariantCode
) -> Proposal:
    """Return the proposal of a file whose every field is sound and whose code can be imported.

    Raises:
        FaultsError: With every fault of the file, or of the code that it names.
    """
    proposal = reader.read(content, source)
    faults: dict[Fault, None] = {}
    for treatment in proposal.variants.treatments:
        try:
            code.probe(workspace, proposal.variants.pair(treatment), resolve(proposal.metrics))
        except FaultsError as error:
            faults |= dict.fromkeys(_placed(fault, treatment) for fault in error.faults)
    if faults:
        raise FaultsError(source, tuple(faults))
    return proposal


def _placed(fault: Fault, treatment: str) -> Fault:
    """Return a fault of a pair at the place in the file where its treatment stands."""
    where = f"variants.{TREATMENT}"
    if treatment == TREATMENT or not fault.field.startswith(where):
        return fault
    return replace(fault, field=f"variants.more.{treatment}{fault.field.removeprefix(where)}")


def propose(
    content: bytes, source: str, *, workspace: Path, code: VariantCode, desk: Desk
) -> Proposed:
    """Register a technique as a POC: check the file and the code, freeze it by hash, commit.

    Safe to repeat: the same file again changes nothing. A changed file is a new revision, which
    starts over at `proposed`; it is refused while users are in the test or served the treatment.

    Raises:
        FaultsError: With every fault of the file.
        StageError: If a new revision is not open from the present stage.
    """
    proposal = check(content, source, workspace=workspace, reader=desk.reader, code=code)
    sha256 = sha256_of(content)
    with desk.uow as uow:
        poc = uow.pocs.find(proposal.slug)
        if poc.history and poc.newest.proposal_sha256 == sha256:
            return Proposed(poc, is_new=False)
        poc = poc.advance(_transition(poc, sha256, source, desk))
        uow.proposals.add(sha256=sha256, slug=poc.slug, text=content.decode(), at=poc.newest.at)
        uow.pocs.add_newest(poc)
        uow.commit()
    return Proposed(poc, is_new=True)


def _transition(poc: Poc, sha256: str, source: str, desk: Desk) -> Transition:
    revision = 1 + len({step.proposal_sha256 for step in poc.history})
    return Transition(
        slug=poc.slug,
        position=len(poc.history),
        stage=Stage.PROPOSED,
        at=desk.now(),
        by=desk.by,
        reason=f"Revision {revision} of {source}.",
        proposal_sha256=sha256,
        traffic_percent=0.0,
        phase=poc.newest.phase if poc.history else 0,
    )

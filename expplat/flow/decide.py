"""decide: what the gates say now, and what they said then, done again and held against what stands.

A verdict is a pure function of what was stored with it: online of the sums of its look and the
looks before it, offline of the replay's effects. So it can be made again at any time, and must come
out the same, to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import zip_longest
from typing import Any, NamedTuple

from expplat.domain.decision import Decision
from expplat.domain.online import Look
from expplat.domain.plain import sha256_of, to_plain
from expplat.domain.poc import Poc, Transition
from expplat.domain.proposal import Proposal
from expplat.domain.replay import TREATMENT, ReplayReport
from expplat.errors import InputError, NotFoundError
from expplat.flow.desk import Desk
from expplat.flow.evidence_verdicts import verdicts_again
from expplat.flow.look import decision_of, further_verdicts, take_look
from expplat.flow.reading import read
from expplat.flow.treatments import FURTHER, replay_ids

NOTHING = "nothing"
"""Stands where one side has no value at all."""


class Decided(NamedTuple):
    """What the gates of a running test say now."""

    slug: str
    look: Look
    decision: Decision


class Difference(NamedTuple):
    """A place where what was made again is not what was stored."""

    path: str
    """Such as `verdicts[5].effect.low`."""

    stored: Any
    again: Any


class Replayed(NamedTuple):
    """The evidence of one transition, made again."""

    slug: str
    position: int
    stage: str
    stored_sha256: str
    """Of the canonical form of what was stored and could be made again."""

    again_sha256: str
    """Of the same made again."""

    differences: tuple[Difference, ...]

    @property
    def is_identical(self) -> bool:
        """Whether it came out the same, bit for bit."""
        return not self.differences and self.stored_sha256 == self.again_sha256


def decide_now(slug: str, *, desk: Desk) -> Decided:
    """Take a look at a running test and say what follows from it; nobody is let in or out.

    The look is written down like any other, for whoever reads a test spends of its error budget.

    Raises:
        StageError: If no test of the POC is running.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        proposal = desk.proposal_of(poc)
    look = take_look(poc, proposal, desk)
    return Decided(slug, look, decision_of(proposal.online, look))


def replay_decision(slug: str, position: int | None = None, *, desk: Desk) -> Replayed:
    """Make the verdicts of a stored transition again, and compare.

    Args:
        slug: Of the POC.
        position: Of the transition, from 0; None for the newest that stands on evidence.
        desk: Where the store and the reader are; nothing is written.

    Raises:
        NotFoundError: If there is no such transition, or what it stands on is not in the database.
        InputError: If it stands on no evidence that could be judged.
    """
    with desk.uow as uow:
        poc = uow.pocs.get(slug)
        step = _step(poc, position)
        proposal = desk.reader.thaw(uow.proposals.text(step.proposal_sha256))
        if "look" in step.evidence:
            looks = uow.looks.of(slug, step.phase)
            stored, again = _online(step, proposal, looks)
        else:
            ids = replay_ids(step.evidence)
            reports = {name: uow.replays.find(replay_id) for name, replay_id in ids.items()}
            stored, again = _offline(step, proposal, reports)
    if not step.is_intact:
        stored, again = stored | {"row": "edited"}, again | {"row": "as it was written"}
    return Replayed(
        slug=slug,
        position=step.position,
        stage=step.stage,
        stored_sha256=sha256_of(stored),
        again_sha256=sha256_of(again),
        differences=tuple(differences(stored, again)),
    )


def differences(stored: Any, again: Any, path: str = "") -> Iterator[Difference]:
    """Yield every place where two plain values differ, by its path."""
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        for key in sorted({*stored, *again}):
            place = f"{path}.{key}" if path else key
            yield from differences(stored.get(key, NOTHING), again.get(key, NOTHING), place)
    elif isinstance(stored, list) and isinstance(again, list):
        for number, (one, other) in enumerate(zip_longest(stored, again, fillvalue=NOTHING)):
            yield from differences(one, other, f"{path}[{number}]")
    elif sha256_of(stored) != sha256_of(again):
        yield Difference(path, stored, again)


def _step(poc: Poc, position: int | None) -> Transition:
    if position is None:
        found = next((step for step in reversed(poc.history) if _is_judged(step)), None)
        if found is None:
            raise InputError(f"No step of {poc.slug} stands on evidence that was judged.")
        return found
    if not 0 <= position < len(poc.history):
        raise NotFoundError(
            f"{poc.slug} has no step {position}.",
            hint=f"Its history has the steps 0 to {len(poc.history) - 1}.",
        )
    if not _is_judged(poc.history[position]):
        raise InputError(
            f"Step {position} of {poc.slug} stands on no evidence that was judged.",
            hint="A proposal, a rejection and a rollback by hand need none.",
        )
    return poc.history[position]


def _is_judged(step: Transition) -> bool:
    return "look" in step.evidence or "replay_id" in step.evidence


def _online(
    step: Transition, proposal: Proposal, looks: tuple[Look, ...]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read the look again, on its own sums and the looks before it."""
    position = step.evidence["look"]
    found = next((look for look in looks if look.position == position), None)
    if found is None:
        raise NotFoundError(f"The look {position} of {step.slug} is not in the database.")
    past = tuple(one for one in looks if one.position < position)
    look = read(proposal.online, found.snapshot, past, proposal.variants.treatments)
    again = {
        "verdicts": to_plain(look.verdicts),
        "decision": to_plain(decision_of(proposal.online, look)),
        **further_verdicts(look),
        "look": to_plain(look),
    }
    stored = {"look": to_plain(found), **_kept(step, "verdicts", "decision", "further_verdicts")}
    return stored, _pruned(again, stored)


def _offline(
    step: Transition, proposal: Proposal, reports: Mapping[str, ReplayReport | None]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Judge the effects of the replay of each treatment again."""
    stored: dict[str, Any] = {}
    again: dict[str, Any] = {}
    for name, report in reports.items():
        kept = step.evidence if name == TREATMENT else step.evidence[FURTHER][name]
        if report is None:
            raise NotFoundError(
                f"The replay {kept['replay_id']} of {step.slug} is not in the database."
            )
        place = "" if name == TREATMENT else f"{name}."
        for key, (then, anew) in _judged_again(report, kept, proposal).items():
            stored[f"{place}{key}"], again[f"{place}{key}"] = then, anew
    return stored, _pruned(again, stored)


def _judged_again(
    report: ReplayReport, kept: Mapping[str, Any], proposal: Proposal
) -> dict[str, tuple[Any, Any]]:
    """Return what is stored of a replay's verdicts, and the same made again."""
    verdicts = verdicts_again(report, proposal)
    plain = to_plain(verdicts)
    found = {"report": (to_plain(report.verdicts), plain)}
    if "verdicts" in kept:
        found["verdicts"] = (kept["verdicts"], plain)
    if "verdict_sha256" in kept:
        again = replace(report, verdicts=verdicts).verdict_sha256
        found["verdict_sha256"] = (kept["verdict_sha256"], again)
    return found


def _kept(step: Transition, *keys: str) -> dict[str, Any]:
    return {key: step.evidence[key] for key in keys if key in step.evidence}


def _pruned(again: Any, stored: Any) -> Any:
    """Leave out what an older version did not store: it promised nothing about it."""
    if isinstance(again, Mapping) and isinstance(stored, Mapping):
        return {key: _pruned(again[key], stored[key]) for key in again if key in stored}
    if isinstance(again, list) and isinstance(stored, list):
        longer = again[len(stored) :]
        pairs = zip(again, stored, strict=False)
        return [*(_pruned(one, other) for one, other in pairs), *longer]
    return again

"""read: stories for the pages, `expplat list`, `show` and `status`; nothing is changed."""

from __future__ import annotations

from typing import Any

from expplat.domain.poc import Poc, Stage
from expplat.domain.replay import TREATMENT
from expplat.domain.story import Story
from expplat.flow.ports import SpecReader, UnitOfWork
from expplat.flow.treatments import replay_ids


def stories(*, uow: UnitOfWork, reader: SpecReader) -> tuple[Story, ...]:
    """Return the story of every POC, by slug."""
    with uow:
        return tuple(_story(poc, uow, reader) for poc in uow.pocs.all())


def story(slug: str, *, uow: UnitOfWork, reader: SpecReader) -> Story:
    """Return the story of one POC, or raise NotFoundError."""
    with uow:
        return _story(uow.pocs.get(slug), uow, reader)


def _story(poc: Poc, uow: UnitOfWork, reader: SpecReader) -> Story:
    proposal = reader.thaw(uow.proposals.text(poc.newest.proposal_sha256))
    ids = _replay_ids(poc)
    reports = {name: uow.replays.find(replay_id) for name, replay_id in ids.items()}
    phase = _phase_of_revision(poc)
    return Story(
        poc=poc,
        proposal=proposal,
        replay=reports.pop(TREATMENT, None),
        further_replays={name: report for name, report in reports.items() if report},
        tracking_address=uow.replays.address(ids[TREATMENT]) if ids else None,
        looks=uow.looks.of(poc.slug, phase) if phase else (),
    )


def _replay_ids(poc: Poc) -> dict[str, str]:
    """Return the newest replays of the present revision, by treatment; none before the first."""
    for step in reversed(poc.history):
        if step.stage is Stage.PROPOSED:
            return {}
        if ids := replay_ids(step.evidence):
            return ids
    return {}


def _phase_of_revision(poc: Poc) -> int:
    """Return the phase that the present revision has met users in; 0 where it has not."""
    for step in reversed(poc.history):
        if step.stage is Stage.PROMOTED:
            return step.phase
        if step.stage in (Stage.PROPOSED, Stage.REPLAYED):
            return 0
    return 0


def summary(story: Story) -> dict[str, Any]:
    """Return a story in short, as `expplat list --json` and the demo's `summary.json` give it."""
    return {
        "slug": story.poc.slug,
        "stage": story.poc.stage,
        "traffic_percent": story.traffic_percent,
        "claimed": story.claimed,
        "replayed": story.replayed,
        "online": story.online,
        "verdicts": story.verdicts,
    }

"""The walk of the demo: propose, replay, promote, meet simulated users, and see the fates."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import httpx2
from growthbook.growthbook_client import GrowthBookClient

from expplat.demo import place, service
from expplat.demo.users import Crowd, options
from expplat.demo.world import World, world_of
from expplat.domain.plain import to_plain
from expplat.domain.poc import Stage
from expplat.domain.replay import ReplayReport
from expplat.domain.story import Story
from expplat.domain.wording import MARKS
from expplat.errors import TrackingError
from expplat.flow import keys
from expplat.flow.desk import Desk
from expplat.flow.ports import Progress
from expplat.flow.promote import promote
from expplat.flow.propose import propose
from expplat.flow.read import stories, story, summary
from expplat.flow.reject import reject
from expplat.flow.replay import copy, replay
from expplat.flow.watch import WATCHER, watch_once
from expplat.wiring import Platform

SLUGS = ("hybrid_rrf", "late_interaction", "multi_query")
"""The three POCs, in the order in which they are told."""

SUCCESS_METRIC = "success_at_5"
"""What a simulated user calls a success: the answer is among the first five passages."""

WAVE_USERS = 1_000
"""New simulated users in a wave; a fifth of the wave before comes back."""

MOST_WAVES = 40
BY = "the demo"

Say = Callable[[str], None]
Bar = Callable[[str], AbstractContextManager[Progress]]


@dataclass(frozen=True, slots=True)
class Demo:
    """Where the demo happens, and how it speaks."""

    platform: Platform
    folder: Path
    say: Say
    bar: Bar

    @property
    def desk(self) -> Desk:
        """The desk at which the demo decides."""
        return self.platform.desk(by=BY)


def run(folder: Path, *, fresh: bool, say: Say, bar: Bar) -> tuple[Story, ...]:
    """Walk the three POCs from paper to fate; safe to repeat, and to interrupt.

    Returns:
        Their stories; they are also written to `summary.json` in the folder.
    """
    logging.getLogger("growthbook").setLevel(logging.CRITICAL)  # it says what we say ourselves
    demo = Demo(place.lay_out(folder, fresh=fresh), folder, say, bar)
    say(f"The demo's workspace is {folder}.")
    _chapter(demo, "1. Propose: three techniques from papers, each with its gates, frozen")
    for slug in SLUGS:
        _propose(demo, slug)
    _chapter(demo, "2. Replay: the same questions through control and treatment, on Ray")
    for slug in SLUGS:
        _replay(demo, slug)
    _chapter(demo, "3. Promote: what passed meets users; what did not stays offline")
    for slug in SLUGS:
        _promote(demo, slug)
    _chapter(demo, "4. Online: simulated users, through the official GrowthBook SDK")
    asyncio.run(_online(demo))
    return _summary(demo)


def _chapter(demo: Demo, title: str) -> None:
    demo.say(f"\n{title}")


def _propose(demo: Demo, slug: str) -> None:
    file = demo.folder / "experiments" / f"{slug}.yaml"
    proposed = propose(
        file.read_bytes(),
        f"experiments/{slug}.yaml",
        workspace=demo.folder,
        code=demo.platform.variant_code,
        desk=demo.desk,
    )
    demo.say(f"  {slug}: {proposed.poc.stage}, {proposed.poc.newest.proposal_sha256[:12]}")


def _replay(demo: Demo, slug: str) -> None:
    told = _story(demo, slug)
    if told.poc.stage is not Stage.PROPOSED:
        demo.say(f"  {slug} has been replayed; it is {told.poc.stage}.")
        return
    engine = demo.platform.engine("ray")
    with demo.bar(f"  {slug}") as progress:
        runner = demo.platform.runner(engine, progress)
        done = replay(slug, desk=demo.desk, bench=demo.platform.bench(), runner=runner)
    if engine.notice:
        demo.say(f"  {engine.notice}")
    for report in done.reports:
        demo.say(f"  {slug}: {report.plan.requests} questions")
        for verdict in report.verdicts:
            demo.say(f"    {MARKS[verdict.ruling]} {verdict.sentence}")
        _copy(demo, told, report)


def _copy(demo: Demo, told: Story, report: ReplayReport) -> None:
    page = demo.platform.pages.replay_page(report, told.proposal)
    try:
        copy(report, told.proposal, page, demo.platform.copying())
    except TrackingError as error:
        demo.say(f"    MLflow did not take it: {error.message}")


def _promote(demo: Demo, slug: str) -> None:
    told = _story(demo, slug)
    if told.poc.stage is not Stage.REPLAYED:
        demo.say(f"  {slug} is {told.poc.stage}.")
        return
    done = promote(slug, desk=demo.desk, bench=demo.platform.bench())
    if not done.standing:
        demo.say(f"  {done.sentence}")
        return
    reason = done.standing[0].sentence
    reject(slug, reason=f"Stopped by an offline gate. {reason}", desk=demo.desk)
    demo.say(f"  {slug} is rejected: {reason}")


async def _online(demo: Demo) -> None:
    running = _running(demo)
    if not running:
        demo.say("  No online test is running.")
        return
    platform = demo.platform
    worlds = {told.poc.slug: _world(demo, told) for told in running}
    secrets = {
        kind: keys.create(kind, "the demo", uow=platform.uow(), now=platform.now).secret
        for kind in ("client", "ingest")
    }
    with service.running(demo.folder) as address:
        demo.say(f"  expplat serve listens on {address}")
        # The SDK needs ten seconds to close a stream, and the demo ends with its process anyway.
        client = GrowthBookClient(options(address, secrets["client"]))
        await client.initialize()
        bearer = {"Authorization": f"Bearer {secrets['ingest']}"}
        async with httpx2.AsyncClient(base_url=address, headers=bearer) as http:
            crowd = Crowd(client, http, worlds)
            await _waves(demo, crowd)
        met = {user for _, user in crowd.assigned}
        demo.say(
            f"  {crowd.seen} simulated users met the flags; {len(met)} of them were in a test, and "
            f"{crowd.changed} ever changed variant."
        )


async def _waves(demo: Demo, crowd: Crowd) -> None:
    for wave in range(MOST_WAVES):
        running = _running(demo)
        if not running:
            return
        first = wave * WAVE_USERS
        crowd.seen = first + WAVE_USERS
        returning = range(max(0, first - WAVE_USERS), first, 5)
        traffic = {told.poc.slug: told.traffic_percent for told in running}
        await crowd.wave((*returning, *range(first, first + WAVE_USERS)), traffic)
        for watched in watch_once(demo.platform.desk(by=WATCHER)):
            demo.say(f"  wave {wave + 1}, {watched.slug}: {watched.action}. {watched.sentence}")
        await _until_seen(demo, crowd, traffic)


async def _until_seen(demo: Demo, crowd: Crowd, before: dict[str, float]) -> None:
    """Let the SDK see what the watcher changed, before the next users come."""
    now = {told.poc.slug: told.traffic_percent for told in _running(demo)}
    for slug, percent in before.items():
        if now.get(slug) != percent:
            coverage = now[slug] / 100 if slug in now else None
            seconds = await crowd.until_seen(slug, coverage=coverage)
            demo.say(f"    the SDK saw the new state of {slug} after {seconds:.2f} s")


def _world(demo: Demo, told: Story) -> World:
    if told.replay is None:
        raise AssertionError("a promoted POC has a replay")
    return world_of(demo.platform.journal.rows(told.replay.plan), SUCCESS_METRIC)


def _running(demo: Demo) -> tuple[Story, ...]:
    return tuple(told for told in _stories(demo) if told.poc.stage is Stage.PROMOTED)


def _story(demo: Demo, slug: str) -> Story:
    return story(slug, uow=demo.platform.uow(), reader=demo.platform.spec_reader)


def _stories(demo: Demo) -> tuple[Story, ...]:
    return stories(uow=demo.platform.uow(), reader=demo.platform.spec_reader)


def _summary(demo: Demo) -> tuple[Story, ...]:
    told = _stories(demo)
    text = json.dumps(
        [to_plain(summary(one)) for one in told], indent=2, sort_keys=True, ensure_ascii=False
    )
    (demo.folder / "summary.json").write_text(f"{text}\n", encoding="utf-8")
    return told

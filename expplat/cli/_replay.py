"""`expplat replay`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from expplat.cli._entry import GATE_NOT_PASSED, command, desk, platform
from expplat.cli._say import progress_bar, say, say_json, verdicts, warn
from expplat.cli._words import AsJson
from expplat.errors import InputError, TrackingError

if TYPE_CHECKING:
    from expplat.flow.replay import Replayed
    from expplat.wiring import Platform


class EngineName(StrEnum):
    """Who runs the calls."""

    RAY = "ray"
    LOCAL = "local"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "replay")
    def replay_command(
        slug: Annotated[str | None, typer.Argument(help="The POC; not needed with --sync.")] = None,
        engine: Annotated[
            EngineName, typer.Option(help="`local` is for debugging: same rulings, one process.")
        ] = EngineName.RAY,
        again: Annotated[
            bool, typer.Option("--again", help="Measure anew, though nothing has changed.")
        ] = False,
        sync: Annotated[
            bool, typer.Option("--sync", help="Only copy to MLflow what it has not received.")
        ] = False,
        as_json: AsJson = False,
    ) -> None:
        """Replay the log, and judge the offline gates.

        The same requests go through control and treatment; a replay that was cut off goes on.
        """
        if (slug is None) != sync:
            raise InputError("replay takes a slug, or --sync without one.", hint="`expplat list`.")
        here = platform()
        if slug is None:
            _sync(here, as_json=as_json)
        else:
            _replay(here, slug, engine, again=again, as_json=as_json)


def _replay(here: Platform, slug: str, engine: str, *, again: bool, as_json: bool) -> None:
    from expplat.flow.replay import replay

    with progress_bar(slug, quiet=as_json) as progress:
        done = replay(
            slug,
            desk=desk(here),
            bench=here.bench(),
            engine=here.engine(engine),
            progress=progress,
            again=again,
        )
    address = _copy(here, done)
    _show(done, address, as_json=as_json)
    if done.report.blockers:
        raise typer.Exit(GATE_NOT_PASSED)


def _copy(here: Platform, done: Replayed) -> str | None:
    """Copy to MLflow what it has not received; its absence costs a warning, never the replay."""
    from expplat.flow.replay import copy

    replay_id = done.report.plan.replay_id
    sitting = desk(here)
    with sitting.uow as uow:
        address = uow.replays.address(replay_id)
        proposal = sitting.proposal_of(done.poc)
    if address is not None:
        return address
    try:
        return copy(done.report, proposal, tracking=here.tracking, pages=here.pages, uow=here.uow())
    except TrackingError as error:
        warn(f"{error.message} The replay stands; `expplat replay --sync` copies it later.")
        return None


def _show(done: Replayed, address: str | None, *, as_json: bool) -> None:
    report = done.report
    if as_json:
        say_json(
            {
                "slug": done.poc.slug,
                "stage": done.poc.stage,
                "changed": done.is_new,
                "replay_id": report.plan.replay_id,
                "requests": report.plan.requests,
                "ruling": report.ruling,
                "verdict_sha256": report.verdict_sha256,
                "effects": report.effects,
                "verdicts": report.verdicts,
                "mlflow": address,
            }
        )
        return
    known = "" if done.is_new else " (judged before; nothing has changed since)"
    say(f"{done.poc.slug}: {report.plan.requests} requests, both variants{known}.")
    verdicts(report.verdicts)
    if report.blockers:
        say("It stays offline: not every gate passed.")
    else:
        say(f"Every offline gate passed. Next: `expplat promote {done.poc.slug}`.")


def _sync(here: Platform, *, as_json: bool) -> None:
    from expplat.flow.replay import sync

    done = sync(reader=here.spec_reader, tracking=here.tracking, pages=here.pages, uow=here.uow)
    if as_json:
        say_json(done._asdict())
    else:
        say(f"{len(done.copied)} copied to MLflow, {len(done.waiting)} waiting.")
    if done.waiting:
        raise TrackingError(done.warning, hint="The replays stand; try again later.")

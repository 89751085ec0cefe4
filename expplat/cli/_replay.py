"""`expplat replay`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from expplat.cli._entry import GATE_NOT_PASSED, command, desk, platform
from expplat.cli._say import progress_bar, say, say_json, warn
from expplat.cli._words import AsJson
from expplat.errors import InputError, TrackingError

if TYPE_CHECKING:
    from expplat.domain.proposal import Proposal
    from expplat.domain.replay import ReplayReport
    from expplat.flow.measure import Runner
    from expplat.flow.replay import Replayed
    from expplat.wiring import Platform

REPORTS = Path("replay-report")


class EngineName(StrEnum):
    """Who runs the calls."""

    RAY = "ray"
    LOCAL = "local"


def register(app: typer.Typer) -> None:
    """Add the command."""

    @command(app, "replay")
    def replay_command(  # noqa: PLR0913  (one parameter an option)
        slug: Annotated[str | None, typer.Argument(help="The POC; not needed with --sync.")] = None,
        engine: Annotated[
            EngineName, typer.Option(help="`local`: worker processes without Ray, same verdict.")
        ] = EngineName.RAY,
        ray_address: Annotated[
            str, typer.Option(help="A Ray cluster, as host:port; else EXPPLAT_RAY_ADDRESS.")
        ] = "",
        plan: Annotated[
            bool, typer.Option("--plan", help="Only say what it takes, and what it can tell.")
        ] = False,
        budget_usd: Annotated[
            float | None, typer.Option(help="Stop at this cost; the same command goes on.")
        ] = None,
        budget_minutes: Annotated[
            float | None, typer.Option(help="Stop after so many minutes.")
        ] = None,
        again: Annotated[
            bool, typer.Option("--again", help="Measure anew, though nothing has changed.")
        ] = False,
        sync: Annotated[
            bool, typer.Option("--sync", help="Only copy to MLflow what it has not received.")
        ] = False,
        ci: Annotated[
            bool, typer.Option("--ci", help="Write the report as HTML, Markdown, JUnit and JSON.")
        ] = False,
        out: Annotated[Path, typer.Option(help="The folder that --ci writes into.")] = REPORTS,
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
            return
        if plan:
            _forecast(here, slug, as_json=as_json)
            return
        chosen = here.engine(engine, ray_address=ray_address)
        with progress_bar(slug, quiet=as_json) as progress:
            runner = here.runner(
                chosen,
                progress,
                budget_usd=_positive(budget_usd),
                budget_minutes=_positive(budget_minutes),
            )
            done = _replayed(here, slug, runner, again=again)
        if chosen.notice:
            warn(chosen.notice)
        proposal = _proposal(here, done)
        told = [_told(here, report, proposal, out if ci else None) for report in done.reports]
        if as_json:
            say_json(_plain(done, told))
        else:
            _show(done, proposal, told)
        if done.blockers:
            raise typer.Exit(GATE_NOT_PASSED)


def _positive(value: float | None) -> float | None:
    if value is not None and not value > 0:
        raise InputError(f"A budget of {value:g} allows no call.", hint="Give one above 0.")
    return value


def _replayed(here: Platform, slug: str, runner: Runner, *, again: bool) -> Replayed:
    from expplat.flow.replay import replay

    return replay(slug, desk=desk(here), bench=here.bench(), runner=runner, again=again)


def _proposal(here: Platform, done: Replayed) -> Proposal:
    sitting = desk(here)
    with sitting.uow:
        return sitting.proposal_of(done.poc)


class _Told(NamedTuple):
    """Where the report of one treatment lies."""

    report: ReplayReport
    place: Path
    address: str | None


def _told(here: Platform, report: ReplayReport, proposal: Proposal, out: Path | None) -> _Told:
    """Draw a report, copy it to MLflow and write it as files."""
    from expplat.domain.replay import TREATMENT

    page = here.pages.replay_page(report, proposal)
    address = _copied(here, report, proposal, page)
    folder = out / report.plan.arm if out and report.plan.arm != TREATMENT else out
    return _Told(report, here.reports.keep(report, proposal, page, folder), address)


def _copied(here: Platform, report: ReplayReport, proposal: Proposal, page: str) -> str | None:
    """Copy to MLflow what it has not received; its absence costs a warning, never the replay."""
    from expplat.flow.replay import copy

    with here.uow(readonly=True) as uow:
        address = uow.replays.address(report.plan.replay_id)
    if address is not None:
        return address
    try:
        return copy(report, proposal, page, here.copying())
    except TrackingError as error:
        warn(f"{error.message} The replay stands; `expplat replay --sync` copies it later.")
        return None


def _show(done: Replayed, proposal: Proposal, told: list[_Told]) -> None:
    from expplat.cli._replay_words import say_replay

    for report, place, _ in told:
        if len(told) > 1:
            say(f"{report.plan.arm} against control")
        say_replay(report, proposal, is_new=done.is_new, lies_at=(f"report: {place}",))
    if done.is_cut:
        say("The same command goes on from here, under a larger budget.")
    elif done.blockers:
        say("It stays offline: not every gate passed.")
    else:
        say(f"Every offline gate passed. Next: `expplat promote {done.poc.slug}`.")


def _plain(done: Replayed, told: list[_Told]) -> dict[str, object]:
    first, *others = told
    further = {one.report.plan.arm: _plain_report(one) for one in others}
    return {
        "slug": done.poc.slug,
        "stage": done.poc.stage,
        "changed": done.is_new,
        **_plain_report(first),
        **({"further": further} if further else {}),
    }


def _plain_report(told: _Told) -> dict[str, object]:
    report, place, address = told
    return {
        "replay_id": report.plan.replay_id,
        "engine": report.engine,
        "requests": report.plan.requests,
        "measured": report.measured,
        "stopped": report.stopped,
        "ruling": report.ruling,
        "verdict_sha256": report.verdict_sha256,
        "effects": report.effects,
        "segments": report.segments,
        "verdicts": report.verdicts,
        "stages": report.stages,
        "arms": report.arms,
        "variance": report.variance,
        "trust": report.trust,
        "worst": report.worst,
        "best": report.best,
        "mlflow": address,
        "report": str(place),
    }


def _forecast(here: Platform, slug: str, *, as_json: bool) -> None:
    from expplat.flow.replay_forecast import forecast

    found = forecast(slug, desk=desk(here), bench=here.bench())
    if as_json:
        say_json(found)
    else:
        from expplat.cli._forecast_words import tell_forecast

        tell_forecast(found)


def _sync(here: Platform, *, as_json: bool) -> None:
    from expplat.flow.replay import sync

    done = sync(reader=here.spec_reader, pages=here.pages, copying=here.copying)
    if as_json:
        say_json(done._asdict())
    else:
        say(f"{len(done.copied)} copied to MLflow, {len(done.waiting)} waiting.")
    if done.waiting:
        raise TrackingError(done.warning, hint="The replays stand; try again later.")

"""Floor 6: ports meet adapters, each imported on first use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from expplat.settings import Settings

if TYPE_CHECKING:
    from sqlalchemy import Engine as SqlEngine

    from expplat.adapters.growthbook.served_file import ServedFile
    from expplat.adapters.growthbook.upstream import GrowthBookUpstream
    from expplat.adapters.report.pages import Pages
    from expplat.flow.bench import Bench
    from expplat.flow.desk import Desk
    from expplat.flow.measure import Runner
    from expplat.flow.ports import (
        Clock,
        Engine,
        Flags,
        Journal,
        Prices,
        Progress,
        Reports,
        RequestLogs,
        SpecReader,
        Tables,
        Tracking,
        UnitOfWork,
        VariantCode,
    )
    from expplat.flow.push import FlagServer
    from expplat.flow.replay import Copying


def _utc_now() -> datetime:
    return datetime.now(UTC)


def tables() -> Tables:
    """Return what opens tables of tests that were run elsewhere; they need no workspace."""
    from expplat.adapters.table import DuckTables

    return DuckTables()


def pages() -> Pages:
    """Return what draws pages."""
    from expplat.adapters.report.pages import Pages

    return Pages()


@dataclass(kw_only=True)
class Platform:
    """One expplat: settings, a clock, and everything outside, made when first asked for."""

    settings: Settings
    now: Clock = _utc_now

    @cached_property
    def note(self) -> str:
        """What must be known of this workspace, such as that its users are simulated; or empty."""
        try:
            return self.settings.note_file.read_text(encoding="utf-8").strip()
        except OSError:
            return ""

    @cached_property
    def sql_engine(self) -> SqlEngine:
        """The pool of database connections; ConfigurationError where the schema is not known."""
        from expplat.adapters.sql.opening import open_engine

        return open_engine(self.settings.database_url, create=self.settings.is_embedded)

    def desk(self, *, by: str) -> Desk:
        """Return a desk for somebody to decide at."""
        from expplat.flow.desk import Desk

        return Desk(
            uow=self.uow(),
            reading=self.uow(readonly=True),
            reader=self.spec_reader,
            flags=self.flags,
            now=self.now,
            by=by,
        )

    def bench(self) -> Bench:
        """Return what replays of this workspace are measured with."""
        from expplat.flow.bench import Bench

        return Bench(
            workspace=self.settings.workspace,
            state_dir=self.settings.state_dir,
            code=self.variant_code,
            logs=self.request_logs,
            prices=self.prices,
            journal=self.journal,
        )

    def uow(self, *, readonly: bool = False) -> UnitOfWork:
        """Return a fresh unit of work; one that only reads waits for no writer."""
        from expplat.adapters.sql.unit_of_work import SqlUnitOfWork

        return SqlUnitOfWork(lambda: self.sql_engine, readonly=readonly)

    @cached_property
    def spec_reader(self) -> SpecReader:
        """Reads experiment files."""
        from expplat.adapters.spec_file import SpecFile

        return SpecFile()

    @cached_property
    def prices(self) -> Prices:
        """Reads price tables."""
        from expplat.adapters.prices_file import PricesFile

        return PricesFile()

    @cached_property
    def variant_code(self) -> VariantCode:
        """Probes technique code."""
        from expplat.adapters.replay.variant_code import WorkspaceCode

        return WorkspaceCode()

    @cached_property
    def request_logs(self) -> RequestLogs:
        """Reads request logs."""
        from expplat.adapters.request_log.log import RequestLogFiles

        return RequestLogFiles()

    @cached_property
    def journal(self) -> Journal:
        """Reads what engines have journalled."""
        from expplat.adapters.replay.journal import ReplayJournal

        return ReplayJournal()

    def engine(self, name: str, *, ray_address: str = "") -> Engine:
        """Return the replay engine of that name: `ray` or `local`."""
        if name == "local":
            from expplat.adapters.replay.local_engine import LocalEngine

            return LocalEngine()
        from expplat.adapters.replay.ray_engine import RayEngine

        address = ray_address or self.settings.ray_address
        return RayEngine(address=address, state_dir=self.settings.state_dir)

    def runner(self, engine: Engine, progress: Progress, **budgets: float | None) -> Runner:
        """Return what runs a replay, with budgets in place of the proposal's where given."""
        from expplat.flow.measure import Runner

        return Runner(engine=engine, progress=progress, now=self.now, **budgets)

    def copying(self) -> Copying:
        """Return what a replay is copied to MLflow with."""
        from expplat.flow.replay import Copying

        return Copying(tracking=self.tracking, journal=self.journal, uow=self.uow())

    @cached_property
    def reports(self) -> Reports:
        """Writes reports as files."""
        from expplat.adapters.report.files import ReportFiles

        return ReportFiles()

    @cached_property
    def tracking(self) -> Tracking:
        """Copies replays to MLflow."""
        from expplat.adapters.tracking.mlflow_tracking import MlflowTracking

        return MlflowTracking(uri=self.settings.tracking_uri, state_dir=self.settings.state_dir)

    @cached_property
    def pages(self) -> Pages:
        """Draws what people look at."""
        return pages()

    @cached_property
    def flags(self) -> Flags:
        """The emergency brake of the flags."""
        from expplat.adapters.flag_brake import FlagBrake

        return FlagBrake(self.settings.state_dir / "closed")

    @property
    def served_file(self) -> ServedFile:
        """The newest revision of the flags that this state folder served."""
        from expplat.adapters.growthbook.served_file import ServedFile

        return ServedFile(self.settings.state_dir / "served.json")

    @property
    def upstream(self) -> GrowthBookUpstream | None:
        """The GrowthBook whose flags are served along with ours; None for none."""
        if not self.settings.upstream_host:
            return None
        from expplat.adapters.growthbook.upstream import GrowthBookUpstream

        return GrowthBookUpstream(
            host=self.settings.upstream_host,
            client_key=self.settings.upstream_client_key,
            decryption_key=self.settings.upstream_decryption_key,
            folder=self.settings.state_dir / "upstream",
        )

    def flag_server(self) -> FlagServer:
        """Return the GrowthBook server that flags are pushed to, as the settings name it."""
        from expplat.adapters.growthbook.rest import GrowthBookRest
        from expplat.adapters.growthbook.server import GrowthBookServer

        rest = GrowthBookRest(self.settings.growthbook_url, self.settings.growthbook_key)
        environment = self.settings.growthbook_environment
        return GrowthBookServer(rest, environment=environment, now=self.now)

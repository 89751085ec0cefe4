"""Schemas are made, checked and changed by the same scripts from a checkout and from a wheel."""

from __future__ import annotations

import multiprocessing
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import inspect, text

from expplat.adapters.sql import checkup
from expplat.adapters.sql.engine import make_engine, parse_url
from expplat.adapters.sql.migrate import (
    check,
    current_revision,
    downgrade,
    head_revision,
    upgrade,
)
from expplat.adapters.sql.opening import HEAD_REVISION, open_engine
from expplat.adapters.sql.tables import VERSION_TABLE, schema
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.domain.poc import Stage
from expplat.errors import ConfigurationError, DatabaseError
from tests.builders import a_look, a_poc, a_report, an_exposure, an_outcome, keep_poc

CHECKOUT = Path(__file__).parents[3]
SPAWN = multiprocessing.get_context("spawn")


def tables_of(url):
    engine = make_engine(parse_url(url))
    names = set(inspect(engine).get_table_names())
    engine.dispose()
    return {name for name in names if not re.fullmatch(r"(exposures|outcomes)_p\d", name)}


def execute(url, *statements):
    engine = make_engine(parse_url(url))
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def open_new(url):
    open_engine(url, create=True).dispose()


def in_processes(work, url, count):
    processes = [SPAWN.Process(target=work, args=(url,)) for _ in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_the_revision_that_is_opened_is_that_of_the_newest_script():
    assert head_revision() == HEAD_REVISION


def test_an_upgrade_makes_every_table_and_agrees_with_the_models(empty_database_url):
    upgrade(empty_database_url)

    assert tables_of(empty_database_url) == {*schema.tables, VERSION_TABLE}
    assert current_revision(empty_database_url) == HEAD_REVISION
    check(empty_database_url)


def test_an_upgrade_can_be_repeated(database_url):
    upgrade(database_url)

    assert current_revision(database_url) == HEAD_REVISION


def test_down_and_up_again_works_on_a_filled_database(database_url):
    engine = open_engine(database_url, create=False)
    with SqlUnitOfWork(engine) as uow:
        keep_poc(uow, a_poc(Stage.PROMOTED))
        uow.replays.add(a_report())
        uow.looks.add(a_look())
        uow.events.add_exposures([an_exposure()], source="k")
        uow.events.add_outcomes([an_outcome()], source="k")
        uow.commit()
    engine.dispose()

    downgrade(database_url, "base")
    assert tables_of(database_url) == {VERSION_TABLE}
    assert current_revision(database_url) is None
    upgrade(database_url)
    check(database_url)


EXPOSURES_BEFORE = (
    "INSERT INTO exposures VALUES ('k', 'e1', 'hybrid_rrf', 1, 'control', 'u1',"
    " '2026-01-02 03:04:05.678901', '2026-01-02 03:04:06', '{\"a\":\"ä\"}')",
    "INSERT INTO exposures VALUES ('other', 'e1', 'hybrid_rrf', 1, 'treatment', 'u2',"
    " '2026-01-02 03:04:05', '2026-01-02 03:04:06', '{}')",
)


def rows_of(url, table, columns="*"):
    engine = make_engine(parse_url(url))
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT {columns} FROM {table} ORDER BY source, event_id"))
        found = [tuple(row) for row in rows]
    engine.dispose()
    return found


def many_outcomes(count):
    return tuple(
        f"INSERT INTO outcomes VALUES ('k', 'o{i}', 'u{i}', 'm', {i / 7!r},"
        " '2026-01-02 03:04:05', '2026-01-02 03:04:06', NULL, '{}')"
        for i in range(count)
    )


def test_every_event_of_an_older_schema_is_there_after_the_upgrade(database_url):
    downgrade(database_url, "0001")
    execute(database_url, *EXPOSURES_BEFORE, *many_outcomes(500))
    before = [rows_of(database_url, table) for table in ("exposures", "outcomes")]

    upgrade(database_url)

    kept = "source, event_id, slug, phase, variation, unit, at, received_at, properties"
    assert rows_of(database_url, "exposures", kept) == before[0]
    kept = "source, event_id, unit, metric, value, at, received_at, slug, properties"
    assert rows_of(database_url, "outcomes", kept) == before[1]
    check(database_url)


def test_every_event_is_there_after_a_downgrade_and_stays_written_once(database_url):
    downgrade(database_url, "0001")
    execute(database_url, *EXPOSURES_BEFORE, *many_outcomes(500))
    before = [rows_of(database_url, table) for table in ("exposures", "outcomes")]
    upgrade(database_url)

    downgrade(database_url, "0001")

    assert [rows_of(database_url, table) for table in ("exposures", "outcomes")] == before
    with pytest.raises(DatabaseError, match="written once"):
        execute(database_url, "DELETE FROM exposures")


@pytest.mark.parametrize("table", ["exposures", "exposures_p3", "outcomes", "outcomes_p7"])
@pytest.mark.parametrize("change", ["DELETE FROM", "TRUNCATE"])
def test_events_in_partitions_are_written_once_too(postgresql_url, table, change):
    with pytest.raises(DatabaseError, match="written once"):
        execute(postgresql_url, f"{change} {table}")


def test_events_are_spread_over_eight_partitions(postgresql_url):
    execute(
        postgresql_url,
        "INSERT INTO outcomes (source, event_id, unit, metric, value, at, received_at, properties)"
        " SELECT 'k', 'o' || i, 'u', 'm', 1, now(), now(), '{}'"
        " FROM generate_series(1, 800) AS i",
    )

    engine = make_engine(parse_url(postgresql_url))
    with engine.connect() as connection:
        counts = connection.scalars(text("SELECT count(*) FROM outcomes GROUP BY tableoid")).all()
    engine.dispose()
    assert len(counts) == 8
    assert min(counts) > 50


def test_an_upgrade_that_fails_leaves_nothing_half_done(empty_database_url):
    if empty_database_url.startswith("sqlite"):
        upgrade(empty_database_url)
        downgrade(empty_database_url, "base")
    execute(empty_database_url, "CREATE TABLE access_keys (id INTEGER)")

    with pytest.raises(DatabaseError, match="access_keys"):
        upgrade(empty_database_url)

    assert tables_of(empty_database_url) - {VERSION_TABLE} == {"access_keys"}
    execute(empty_database_url, "DROP TABLE access_keys")
    upgrade(empty_database_url)
    check(empty_database_url)


def test_check_names_every_difference(database_url):
    execute(
        database_url,
        "ALTER TABLE looks DROP COLUMN taken_at",
        "DROP INDEX ix_outcomes_unit_metric_at",
    )

    with pytest.raises(ConfigurationError) as refusal:
        check(database_url)

    assert "taken_at" in refusal.value.message
    assert "ix_outcomes_unit_metric_at" in refusal.value.message


GUARDS = {
    "sqlite": "SELECT 'DROP TRIGGER ' || name, name FROM sqlite_schema WHERE type = 'trigger'",
    "postgresql": "SELECT 'ALTER TABLE ' || tgrelid::regclass || ' DISABLE TRIGGER ' || tgname,"
    " tgname FROM pg_trigger WHERE tgname LIKE '%written_once'",
}


def test_every_trigger_that_was_taken_away_is_named(database_url):
    engine = make_engine(parse_url(database_url))
    with engine.begin() as connection:
        guards = connection.execute(text(GUARDS[engine.name])).all()
        for statement, _ in guards:
            connection.execute(text(statement))

    for look in (lambda: check(database_url), lambda: checkup.triggers(engine)):
        with pytest.raises(ConfigurationError) as refusal:
            look()
        assert guards
        assert all(name in refusal.value.message for _, name in guards)
    engine.dispose()


@pytest.mark.parametrize(("revision", "hint"), [("0001", "db upgrade"), ("9999", "Install")])
def test_check_of_another_schema_says_what_to_do(database_url, revision, hint):
    execute(database_url, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")

    with pytest.raises(ConfigurationError, match=revision) as refusal:
        check(database_url)

    assert hint in refusal.value.hint


def test_check_passes_over_tables_of_others(database_url):
    execute(database_url, "CREATE TABLE runs (id INTEGER)")

    check(database_url)


def test_check_of_an_empty_database_says_what_to_run(empty_database_url):
    with pytest.raises(ConfigurationError) as refusal:
        check(empty_database_url)

    assert "expplat db upgrade" in refusal.value.hint


def test_a_database_without_tables_is_not_opened(empty_database_url):
    with pytest.raises(ConfigurationError) as refusal:
        open_engine(empty_database_url, create=False)

    assert refusal.value.hint == "Run `expplat db upgrade`."
    assert refusal.value.exit_status == 78


@pytest.mark.parametrize(("revision", "hint"), [("0000", "db upgrade"), ("9999", "Install")])
def test_a_schema_of_another_version_is_not_opened(sqlite_url, revision, hint):
    execute(sqlite_url, f"UPDATE {VERSION_TABLE} SET version_num = '{revision}'")

    for create in (False, True):
        with pytest.raises(ConfigurationError, match=revision) as refusal:
            open_engine(sqlite_url, create=create)
        assert hint in refusal.value.hint


def test_a_schema_of_a_newer_version_is_not_upgraded(sqlite_url):
    execute(sqlite_url, f"UPDATE {VERSION_TABLE} SET version_num = '9999'")

    with pytest.raises(ConfigurationError, match="9999"):
        upgrade(sqlite_url)


@pytest.mark.parametrize(
    "url",
    ["", "nonsense", "mysql://host/x", "postgresql+psycopg2://host/x", "sqlite://", "sqlite:///"],
)
def test_an_address_of_no_known_database_is_a_configuration_error(url):
    with pytest.raises(ConfigurationError, match="EXPPLAT_DATABASE_URL"):
        open_engine(url, create=True)


def test_the_embedded_database_is_made_for_its_owner_alone(tmp_path):
    old = os.umask(0)
    try:
        file = tmp_path / "new" / ".expplat" / "expplat.db"
        engine = open_engine(f"sqlite:///{file}", create=True)
        with SqlUnitOfWork(engine) as uow:
            keep_poc(uow, a_poc())
            uow.commit()

            modes = {path.name: path.stat().st_mode & 0o777 for path in file.parent.iterdir()}
        engine.dispose()
    finally:
        os.umask(old)

    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert {"expplat.db", "expplat.db-wal"} <= modes.keys()
    assert set(modes.values()) == {0o600}


def test_sqlite_is_set_to_keep_what_it_has_acknowledged(sqlite_url):
    engine = open_engine(sqlite_url, create=False)
    with engine.connect() as connection:
        found = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    engine.dispose()

    assert found == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "busy_timeout": 5000,
    }


@pytest.mark.long
def test_twenty_processes_open_a_fresh_database_at_once(tmp_path):
    url = f"sqlite:///{tmp_path / 'state' / 'expplat.db'}"

    assert in_processes(open_new, url, 20) == [0] * 20
    check(url)


@pytest.mark.long
def test_twelve_processes_that_upgrade_at_once_do_not_collide(empty_database_url):
    assert in_processes(upgrade, empty_database_url, 12) == [0] * 12
    check(empty_database_url)


def test_opening_an_up_to_date_database_imports_no_migration_tool(sqlite_url):
    program = (
        "import sys; from expplat.adapters.sql.opening import open_engine;"
        f"open_engine({sqlite_url!r}, create=True); print('alembic' in sys.modules)"
    )
    told = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert told.stdout.strip() == "False"


def test_the_migration_tool_works_by_hand_from_the_checkout(tmp_path):
    url = f"sqlite:///{tmp_path / 'by_hand.db'}"
    upgrade(url)
    env = os.environ | {"EXPPLAT_DATABASE_URL": url, "EXPPLAT_WORKSPACE": str(tmp_path)}

    told = subprocess.run(
        [sys.executable, "-m", "alembic", "check"],
        cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert told.returncode == 0, told.stderr
    assert "No new upgrade operations" in told.stdout


def test_the_migration_tool_writes_sql_for_both_databases(tmp_path):
    for url, expected in [
        (f"sqlite:///{tmp_path / 'x.db'}", "RAISE(ABORT"),
        ("postgresql://nobody@nowhere/x", "EXECUTE FUNCTION"),
    ]:
        env = os.environ | {"EXPPLAT_DATABASE_URL": url, "EXPPLAT_WORKSPACE": str(tmp_path)}
        told = subprocess.run(
            [sys.executable, "-m", "alembic", "upgrade", "head", "--sql"],
            cwd=CHECKOUT, env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip

        assert told.returncode == 0, told.stderr
        assert expected in told.stdout


@pytest.mark.long
@pytest.mark.parametrize("expplat_first", [True, False])
def test_mlflow_and_expplat_share_one_postgresql(postgres, expplat_first):
    url = postgres.url(postgres.new_database())

    def start_mlflow():
        program = (
            "from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore;"
            f"s = SqlAlchemyStore({url!r}, '.'); print(s.create_experiment('x'))"
        )
        return subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )

    told = None
    if expplat_first:
        upgrade(url)
        told = start_mlflow()
    else:
        told = start_mlflow()
        upgrade(url)

    assert told.returncode == 0, told.stderr[-2000:]
    check(url)
    again = start_mlflow()
    assert "already exists" in again.stderr
    assert {"experiments", "runs", *schema.tables} <= tables_of(url)
    downgrade(url, "base")
    assert "experiments" in tables_of(url)

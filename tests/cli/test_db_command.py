"""`expplat db`, `expplat doctor`, and a service that refuses a database."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing

import pytest

from expplat.adapters.sql import quarantine
from expplat.adapters.sql.migrate import current_revision, downgrade, upgrade
from tests.cli.conftest import SLUG
from tests.serving import free_port


@pytest.fixture
def database(expplat):
    file = expplat.folder / ".expplat" / "expplat.db"
    upgrade(f"sqlite:///{file}")
    return file


def test_a_backup_goes_into_the_state_folder_unless_told_otherwise(expplat, database):
    told = expplat("db", "backup")
    named = expplat("db", "backup", "--to", expplat.folder / "mine.db")
    again = expplat("db", "backup", "--to", expplat.folder / "mine.db")

    assert told.exit_code == named.exit_code == 0, told.output + named.output
    (made,) = (database.parent / "backups").iterdir()
    assert made.name in told.stdout.replace("\n", "")
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert again.exit_code == 2
    assert "there already" in again.stderr


def test_an_upgrade_of_an_older_file_copies_it_first(expplat, database):
    downgrade(f"sqlite:///{database}", "0001")

    told = expplat("db", "upgrade")

    assert told.exit_code == 0, told.output
    (made,) = (database.parent / "backups").iterdir()
    assert current_revision(f"sqlite:///{made}") == "0001"
    assert made.name in told.stdout
    assert "revision 0002" in told.stdout


def test_an_upgrade_that_changes_nothing_copies_nothing(expplat, database):
    assert expplat("db", "upgrade").exit_code == 0

    assert not (database.parent / "backups").exists()


def test_of_upgrades_at_once_one_copies_and_none_fails(expplat, database):
    downgrade(f"sqlite:///{database}", "0001")
    command = [sys.executable, "-m", "expplat", "db", "upgrade"]

    racing = [
        subprocess.Popen(command, cwd=expplat.folder, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = [process.communicate(timeout=120)[0] for process in racing]

    assert [process.returncode for process in racing] == [0, 0, 0], told
    assert sum("is kept in" in words for words in told) == 1
    (made,) = (database.parent / "backups").iterdir()
    assert current_revision(f"sqlite:///{made}") == "0001"
    assert current_revision(f"sqlite:///{database}") == "0002"


@pytest.mark.parametrize(
    "words", [["list"], ["show", SLUG], ["status"], ["keys", "list"], ["audit", "verify"]]
)
def test_what_only_reads_waits_for_no_writer(expplat, database, words):
    assert expplat("propose", expplat.file).exit_code == 0
    with closing(sqlite3.connect(database)) as writer:
        writer.execute("BEGIN IMMEDIATE")

        told = expplat(*words)

    assert told.exit_code == 0, told.output


def set_revision(file, revision):
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE expplat_revision SET version_num = ?", (revision,))


@pytest.mark.parametrize("revision", ["0001", "9999"])
def test_a_schema_that_is_not_known_refuses_every_start_with_78(expplat, database, revision):
    set_revision(database, revision)

    assert expplat("list").exit_code == 78
    assert expplat("serve", "--port", free_port()).exit_code == 78


def test_a_service_on_a_damaged_file_does_not_start(expplat, database):
    content = bytearray(database.read_bytes())
    content[4 * 4096 : 12 * 4096] = b"\xff" * (8 * 4096)
    database.write_bytes(content)

    served = subprocess.run(
        [sys.executable, "-m", "expplat", "serve", "--port", str(free_port())],
        cwd=expplat.folder, env=os.environ | {"EXPPLAT_WORKSPACE": str(expplat.folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    doctor = json.loads(expplat("doctor", "--json").stdout)

    assert served.returncode == 3
    assert "is damaged" in served.stderr
    assert "Traceback" not in served.stderr
    assert not doctor["integrity"]["ok"]


def test_the_doctor_looks_at_what_a_service_stands_on(expplat, database):
    found = expplat.json("doctor")

    for name in ("integrity", "durability", "partitions", "triggers", "quarantine", "clock",
                 "disk", "brake"):  # fmt: skip
        assert found[name]["ok"], found[name]
    assert "FULL" in found["durability"]["detail"]


def test_the_doctor_says_that_refused_events_are_kept_no_more(expplat, database, monkeypatch):
    with closing(sqlite3.connect(database)) as opened, opened:
        opened.execute(
            "INSERT INTO quarantined_events (source, kind, body, reason, received_at, digest)"
            " VALUES ('k', 'outcome', '{}', 'bad: x', '2026-06-01 00:00:00.000000', 'd')"
        )
    assert expplat.json("doctor")["quarantine"]["ok"]

    monkeypatch.setattr(quarantine, "MAX_WAITING", 1)

    found = expplat.json("doctor")["quarantine"]
    assert not found["ok"]
    assert "no more are kept" in found["detail"]


def test_a_brake_that_cannot_be_read_is_said_by_the_doctor_and_before_a_service_listens(
    expplat, database, monkeypatch
):
    (database.parent / "closed").write_text("a file in the folder's place")
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: pytest.fail("it began to serve"))

    found = expplat.json("doctor")["brake"]
    served = expplat("serve", "--port", free_port())

    assert not found["ok"]
    assert served.exit_code == 3
    assert served.stdout == ""
    for told in (found["detail"], served.stderr):
        assert "emergency brake" in told


def test_the_doctor_names_the_flags_that_are_held_closed(expplat, database):
    (database.parent / "closed").mkdir()
    (database.parent / "closed" / SLUG).touch()

    assert SLUG in expplat.json("doctor")["brake"]["detail"]

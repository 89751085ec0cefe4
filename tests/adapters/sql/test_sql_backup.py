"""Copies of whole databases, and what is said of damaged ones."""

from __future__ import annotations

import errno
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from expplat.adapters.sql import checkup
from expplat.adapters.sql.backup import backup, backup_name
from expplat.adapters.sql.engine import make_engine, parse_url
from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.errors import ConfigurationError, DatabaseError, DependencyError, InputError
from tests.builders import an_outcome


def ignore(done, total):
    del done, total


def fill(url, count, tag="o"):
    engine = open_engine(url, create=False)
    with SqlUnitOfWork(engine) as uow:
        events = [an_outcome(event_id=f"{tag}-{i:05d}", unit=f"u{i}") for i in range(count)]
        uow.events.add_outcomes(events, source="k")
        uow.commit()
    engine.dispose()


def count_of(url):
    engine = open_engine(url, create=False)
    with engine.connect() as connection:
        count = connection.scalar(text("SELECT count(*) FROM outcomes"))
    engine.dispose()
    return count


@pytest.fixture
def programs(monkeypatch, postgres):
    """Put the client programs of the server's own version first on the path."""
    monkeypatch.setenv("PATH", f"{postgres.programs}:{os.environ['PATH']}")
    return postgres.programs


def test_a_backup_of_a_sqlite_is_a_database_for_its_owner_alone(sqlite_url, tmp_path):
    fill(sqlite_url, 3_000)
    seen = []

    made = backup(sqlite_url, tmp_path / "b" / "copy.db", lambda *now: seen.append(now))

    assert count_of(f"sqlite:///{made.file}") == 3_000
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600
    assert made.size_bytes == made.file.stat().st_size
    assert seen[-1][0] == seen[-1][1] > 0
    assert sorted(p.name for p in made.file.parent.iterdir() if "part" in p.name) == []


def test_a_backup_while_events_arrive_is_one_state(sqlite_url, tmp_path):
    fill(sqlite_url, 2_000)
    stop = threading.Event()

    def send():
        number = 0
        while not stop.is_set():
            number += 1
            fill(sqlite_url, 100, tag=f"w{number}")

    writer = threading.Thread(target=send)
    writer.start()
    try:
        made = [backup(sqlite_url, tmp_path / f"{i}.db", ignore) for i in range(5)]
    finally:
        stop.set()
        writer.join()

    counts = [count_of(f"sqlite:///{one.file}") for one in made]
    assert counts == sorted(counts)
    assert all((count - 2_000) % 100 == 0 for count in counts)


def test_a_backup_replaces_nothing(sqlite_url, tmp_path):
    (tmp_path / "there.db").write_text("mine")

    with pytest.raises(InputError, match="there already"):
        backup(sqlite_url, tmp_path / "there.db", ignore)

    assert (tmp_path / "there.db").read_text() == "mine"


def test_what_a_backup_that_was_killed_left_behind_is_in_nobodys_way(sqlite_url, tmp_path):
    program = (
        "import os, signal; from pathlib import Path;"
        "from expplat.adapters.sql.backup import backup;"
        f"backup({sqlite_url!r}, Path({str(tmp_path / 'nightly.db')!r}),"
        " lambda *now: os.kill(os.getpid(), signal.SIGKILL))"
    )
    killed = subprocess.run([sys.executable, "-c", program], check=False)

    made = backup(sqlite_url, tmp_path / "nightly.db", ignore)

    assert killed.returncode == -signal.SIGKILL
    assert count_of(f"sqlite:///{made.file}") == 0


def no_links(source, target):
    raise PermissionError(errno.EPERM, "Operation not permitted")


def test_a_disk_without_hard_links_keeps_a_backup_too_and_replaces_nothing(
    sqlite_url, tmp_path, monkeypatch
):
    monkeypatch.setattr(os, "link", no_links)
    fill(sqlite_url, 10)

    made = backup(sqlite_url, tmp_path / "b" / "copy.db", ignore)

    assert count_of(f"sqlite:///{made.file}") == 10
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600

    def another_was_faster(done, total):
        (tmp_path / "b" / "other.db").write_text("mine")

    with pytest.raises(InputError, match="there already"):
        backup(sqlite_url, tmp_path / "b" / "other.db", another_was_faster)
    assert (tmp_path / "b" / "other.db").read_text() == "mine"


def test_the_disk_knows_the_name_of_a_backup_before_it_is_told_of(
    sqlite_url, tmp_path, monkeypatch
):
    synced = []

    def sync(folder):
        synced.extend(file.name for file in folder.iterdir())

    monkeypatch.setattr("expplat.adapters.sql.backup.sync_folder", sync)

    backup(sqlite_url, tmp_path / "b" / "copy.db", ignore)

    assert "copy.db" in synced


def test_a_backup_of_a_damaged_sqlite_is_refused_and_leaves_nothing(sqlite_url, tmp_path):
    fill(sqlite_url, 3_000)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(file.read_bytes())
    content[40 * 4096 : 60 * 4096] = b"\xff" * (20 * 4096)
    file.write_bytes(content)

    with pytest.raises(DatabaseError):
        backup(sqlite_url, tmp_path / "b" / "copy.db", ignore)

    assert [*(tmp_path / "b").iterdir()] == []


def test_a_backup_of_a_postgresql_can_be_restored(postgresql_url, postgres, tmp_path, programs):
    fill(postgresql_url, 500)

    made = backup(postgresql_url, tmp_path / "copy.dump", ignore)

    other = postgres.url(postgres.new_database())
    subprocess.run(
        [programs / "pg_restore", "--no-owner", f"--dbname={other}", made.file], check=True
    )
    assert count_of(other) == 500
    assert stat.S_IMODE(made.file.stat().st_mode) == 0o600


def test_a_backup_of_a_postgresql_that_is_away_says_so(tmp_path, programs):
    with pytest.raises(DatabaseError, match="pg_dump failed") as refusal:
        backup("postgresql://me:secret@127.0.0.1:1/x", tmp_path / "copy.dump", ignore)

    assert "secret" not in refusal.value.message + refusal.value.hint
    assert [*tmp_path.iterdir()] == []


def test_the_password_is_no_argument_of_the_dump(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    words = tmp_path / "words"
    program.write_text(f'#!/bin/sh\necho "$@" > {words}\necho "$PGPASSWORD" >> {words}\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")

    backup("postgresql://me:hidden@host/x", tmp_path / "copy.dump", ignore)

    arguments, password = words.read_text().splitlines()
    assert "hidden" not in arguments
    assert password == "hidden"


def test_without_the_program_of_postgresql_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(DependencyError, match="no pg_dump"):
        backup("postgresql://me@host/x", tmp_path / "copy.dump", ignore)


def test_a_backup_is_called_by_its_moment_and_revision():
    now = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

    assert backup_name("sqlite:///x.db", "0002", now) == "expplat-20260304T050607Z-0002.db"
    assert backup_name("postgresql://h/x", None, now) == "expplat-20260304T050607Z-empty.dump"


def damaged(file: Path, random_: random.Random) -> bytes:
    """Return the file with a page of noise, a flipped bit, or its end cut off."""
    content = bytearray(file.read_bytes())
    how = random_.randrange(3)
    if how == 0:
        start = random_.randrange(len(content) // 4096) * 4096
        content[start : start + 4096] = random_.randbytes(4096)
    elif how == 1:
        for _ in range(20):
            content[random_.randrange(len(content))] ^= 1 << random_.randrange(8)
    else:
        del content[random_.randrange(len(content)) :]
    return bytes(content)


def finding_of(file: Path) -> str | None:
    try:
        assert checkup.refuse_damaged(file, within_s=60)
    except DatabaseError as error:
        return error.message
    return None


def test_a_damaged_sqlite_is_found_by_the_check_and_never_by_a_crash(sqlite_url, tmp_path):
    fill(sqlite_url, 2_000)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    random_ = random.Random(7)
    findings = []
    for number in range(100):
        other = tmp_path / f"damaged_{number}.db"
        other.write_bytes(damaged(file, random_))
        finding = finding_of(other)
        if finding is None:
            with closing(sqlite3.connect(other)) as connection:
                assert connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        else:
            findings.append(finding)
            assert str(other) in finding

    # A bit within a text is no damage that SQLite could know of.
    assert len(findings) >= 60
    assert not any("\n" in finding for finding in findings)


def test_a_look_for_damage_ends_in_time(sqlite_url, monkeypatch):
    fill(sqlite_url, 5_000)
    monkeypatch.setattr(checkup, "STEPS_BETWEEN_LOOKS", 100)
    file = Path(sqlite_url.removeprefix("sqlite:///"))

    assert checkup.refuse_damaged(file, within_s=0.0) is False
    assert checkup.refuse_damaged(file, within_s=60.0) is True


def test_an_index_that_does_not_fit_its_table_is_found_by_the_doctor(sqlite_url):
    fill(sqlite_url, 100)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    with closing(sqlite3.connect(file)) as connection:
        # Rows of the table that its index does not know, as a lost page leaves them.
        connection.execute("PRAGMA writable_schema = ON")
        index = "type = 'index' AND name = 'ix_outcomes_unit_metric_at'"
        (sql,) = connection.execute(f"SELECT sql FROM sqlite_schema WHERE {index}").fetchone()
        connection.execute(
            f"UPDATE sqlite_schema SET sql = ? WHERE {index}", (sql + " WHERE unit = 'u1'",)
        )
        connection.commit()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(
            "INSERT INTO outcomes (source, event_id, unit, metric, value, at, received_at,"
            " properties) VALUES ('k', 'x', 'u2', 'm', 1, '2026-01-02', '2026-01-02', '{}')"
        )
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute(f"UPDATE sqlite_schema SET sql = ? WHERE {index}", (sql,))
        connection.commit()
    engine = open_engine(sqlite_url, create=False)

    with pytest.raises(DatabaseError, match="ix_outcomes_unit_metric_at"):
        checkup.integrity(engine)
    engine.dispose()


def test_both_databases_are_found_durable_and_whole(database_url, postgres):
    with_fsync = "fsync=on" if database_url.startswith("postgresql") else ""
    engine = open_engine(database_url, create=False)
    if with_fsync:
        # The tests' own server writes without it, which is exactly what is to be found.
        with pytest.raises(ConfigurationError, match="fsync=off"):
            checkup.durability(engine)
    else:
        assert "synchronous=FULL" in checkup.durability(engine)
    checkup.integrity(engine)
    checkup.partitions(engine)
    checkup.triggers(engine)
    assert checkup.waiting_events(engine) == 0
    assert "UTC" in checkup.clock(engine, datetime.now(UTC))
    engine.dispose()


def test_a_missing_partition_is_found(postgresql_url):
    engine = make_engine(parse_url(postgresql_url))
    with engine.begin() as connection:
        connection.execute(text("ALTER TABLE outcomes DETACH PARTITION outcomes_p3"))

    with pytest.raises(ConfigurationError, match="outcomes in 7"):
        checkup.partitions(engine)
    engine.dispose()


def test_a_clock_that_is_off_is_found(database_url):
    fill(database_url, 1)
    engine = open_engine(database_url, create=False)

    with pytest.raises(ConfigurationError):
        checkup.clock(engine, datetime(2020, 1, 1, tzinfo=UTC))
    if database_url.startswith("postgresql"):
        with pytest.raises(ConfigurationError, match="off ours"):
            checkup.clock(engine, datetime.now(UTC) + timedelta(minutes=5))
    engine.dispose()


def test_every_connection_of_a_postgresql_commits_to_the_disk(postgresql_url):
    for more in ("", "options=-c%20synchronous_commit%3Doff"):
        mark = "&" if "?" in postgresql_url else "?"
        engine = make_engine(parse_url(postgresql_url + (mark + more if more else "")))
        with engine.connect() as connection:
            assert connection.scalar(text("SHOW synchronous_commit")) == "on"
            assert connection.scalar(text("SHOW lock_timeout")) == "5s"
        engine.dispose()

"""One transaction: all or nothing, no update lost, and plain errors when the database goes away."""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
from sqlalchemy import make_url, text

from expplat.adapters.sql import engine as engines
from expplat.adapters.sql.engine import make_engine, parse_url
from expplat.adapters.sql.migrate import upgrade
from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.domain.poc import Stage
from expplat.errors import ConflictError, DatabaseError, TryLaterError
from tests.builders import a_poc, a_report, a_transition, an_exposure, keep_poc

SPAWN = multiprocessing.get_context("spawn")


def replay_again_and_again(url, times):
    """Take `times` steps on one POC, against whoever else does; read anew after each conflict."""
    engine = open_engine(url, create=False)
    done = 0
    while done < times:
        try:
            with SqlUnitOfWork(engine) as uow:
                poc = uow.pocs.get("hybrid_rrf")
                uow.pocs.add_newest(poc.advance(a_transition(Stage.REPLAYED)))
                uow.commit()
            done += 1
        except ConflictError:
            continue
    engine.dispose()


def count_up(url, times):
    engine = make_engine(parse_url(url))
    for _ in range(times):
        with engine.begin() as connection:
            number = connection.scalar(text("SELECT number FROM counter"))
            connection.execute(text("UPDATE counter SET number = :next"), {"next": number + 1})
    engine.dispose()


def in_processes(work, url, times):
    started = [SPAWN.Process(target=work, args=(url, times)) for _ in range(2)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0, 0]


def in_threads(work, url, times):
    with ThreadPoolExecutor(2) as pool:
        for future in [pool.submit(work, url, times) for _ in range(2)]:
            future.result()


def steps_are_all_there(uow_factory, url, times, run):
    with uow_factory() as uow:
        keep_poc(uow, a_poc(Stage.PROPOSED))
        uow.commit()
    run(replay_again_and_again, url, times)
    with uow_factory() as uow:
        history = uow.pocs.get("hybrid_rrf").history
    assert [row.position for row in history] == list(range(1 + 2 * times))
    assert all(row.is_intact for row in history)
    assert all(b.previous_sha256 == a.sha256 for a, b in pairwise(history))


def test_two_writers_lose_no_step_of_a_history(uow_factory, database_url):
    steps_are_all_there(uow_factory, database_url, 30, in_threads)


@pytest.mark.long
def test_two_processes_lose_no_step_of_a_long_history(uow_factory, database_url):
    steps_are_all_there(uow_factory, database_url, 400, in_processes)


POCS = 100


def step_every_poc(url, times):
    """Take `times` steps on each of many POCs, against whoever else does the same."""
    engine = open_engine(url, create=False)
    for _ in range(times):
        for number in range(POCS):
            is_done = False
            while not is_done:
                try:
                    with SqlUnitOfWork(engine) as uow:
                        poc = uow.pocs.get(f"poc_{number}")
                        step = a_transition(Stage.REPLAYED, slug=poc.slug)
                        uow.pocs.add_newest(poc.advance(step))
                        uow.commit()
                    is_done = True
                except (ConflictError, TryLaterError):
                    continue
    engine.dispose()


@pytest.mark.long
def test_two_processes_lose_none_of_twelve_thousand_steps(uow_factory, database_url):
    for number in range(POCS):
        with uow_factory() as uow:
            keep_poc(uow, a_poc(Stage.PROPOSED, slug=f"poc_{number}"))
            uow.commit()

    in_processes(step_every_poc, database_url, 60)

    with uow_factory() as uow:
        histories = [poc.history for poc in uow.pocs.all()]
    assert len(histories) == POCS
    assert sum(len(history) - 1 for history in histories) == 12_000
    for history in histories:
        assert [row.position for row in history] == list(range(121))
        assert all(b.previous_sha256 == a.sha256 for a, b in pairwise(history))


@pytest.mark.parametrize(
    ("times", "run"),
    [(200, in_threads), pytest.param(6_000, in_processes, marks=pytest.mark.long)],
)
def test_read_modify_write_on_sqlite_loses_no_update(sqlite_url, times, run):
    engine = make_engine(parse_url(sqlite_url))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE counter (number INTEGER)"))
        connection.execute(text("INSERT INTO counter VALUES (0)"))

    run(count_up, sqlite_url, times)

    with engine.connect() as connection:
        assert connection.scalar(text("SELECT number FROM counter")) == 2 * times
    engine.dispose()


def test_left_without_a_commit_nothing_is_kept(uow_factory):
    with uow_factory() as uow:
        keep_poc(uow, a_poc())

    with uow_factory() as uow:
        assert uow.pocs.all() == ()


def test_left_by_an_error_nothing_is_kept_and_the_error_goes_on(uow_factory):
    def fail():
        with uow_factory() as uow:
            keep_poc(uow, a_poc())
            raise KeyError("own")

    with pytest.raises(KeyError, match="own"):
        fail()

    with uow_factory() as uow:
        assert uow.pocs.all() == ()


def test_a_unit_of_work_can_be_used_again(uow_factory):
    uow = uow_factory()
    with uow:
        keep_poc(uow, a_poc())
        uow.commit()
    with uow:
        uow.replays.add(a_report())
        uow.commit()

    with uow:
        assert len(uow.pocs.all()) == len(uow.replays.uncopied()) == 1


def test_one_conflict_undoes_the_whole_transaction(uow_factory):
    with uow_factory() as uow:
        keep_poc(uow, a_poc())
        uow.commit()

    with uow_factory() as uow:
        uow.replays.add(a_report())
        with pytest.raises(ConflictError):
            uow.pocs.add_newest(a_poc())

    with uow_factory() as uow:
        assert uow.replays.uncopied() == ()


def test_a_reader_waits_for_no_writer_and_sees_what_was_committed(database_url):
    engine = open_engine(database_url, create=False)
    with SqlUnitOfWork(engine) as writer:
        keep_poc(writer, a_poc())
        start = time.monotonic()
        with SqlUnitOfWork(engine, readonly=True) as reader:
            seen = reader.pocs.all()
        waited_s = time.monotonic() - start

    assert seen == ()
    assert waited_s < 1
    engine.dispose()


def test_a_reader_sees_one_state_however_long_it_reads(database_url):
    engine = open_engine(database_url, create=False)
    with SqlUnitOfWork(engine, readonly=True) as reader:
        before = reader.pocs.all()
        with SqlUnitOfWork(engine) as writer:
            keep_poc(writer, a_poc())
            writer.commit()

        assert reader.pocs.all() == before == ()
    engine.dispose()


def test_a_reader_can_write_nothing_and_its_connection_stays_good_for_a_writer(database_url):
    engine = open_engine(database_url, create=False)
    with SqlUnitOfWork(engine, readonly=True) as reader, pytest.raises(DatabaseError):
        reader.events.add_exposures([an_exposure()], source="k")

    with SqlUnitOfWork(engine) as writer:
        assert writer.events.add_exposures([an_exposure()], source="k")
        writer.commit()
    engine.dispose()


def test_a_writer_that_waits_too_long_is_told_to_try_later(sqlite_url, monkeypatch):
    monkeypatch.setattr(engines, "WAIT_S", 0.2)
    engine = open_engine(sqlite_url, create=False)
    with SqlUnitOfWork(engine), pytest.raises(TryLaterError) as refusal, SqlUnitOfWork(engine):
        pass

    assert "Nothing was changed" in refusal.value.hint
    pooled = [engine.raw_connection() for _ in range(2)]
    waits = [one.driver_connection.execute("PRAGMA busy_timeout").fetchone() for one in pooled]
    assert waits == [(5_000,), (5_000,)]
    for connection in pooled:
        connection.close()
    engine.dispose()


def test_a_pool_without_a_free_connection_is_a_database_error(sqlite_url, monkeypatch):
    monkeypatch.setattr(engines, "WAIT_S", 0.1)
    engine = open_engine(sqlite_url, create=False)
    held = [engine.raw_connection() for _ in range(20)]

    with pytest.raises(DatabaseError, match="in use"), SqlUnitOfWork(engine):
        pass

    for connection in held:
        connection.close()
    engine.dispose()


def test_many_threads_share_one_engine(uow_factory):
    def send(number):
        with uow_factory() as uow:
            uow.events.add_exposures([an_exposure(f"u{number}")], source="k")
            uow.commit()
            return number

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(send, range(30))) == list(range(30))


def test_a_server_that_is_stopped_is_a_database_error_and_comes_back(new_postgres_server):
    server = new_postgres_server()
    url = server.url(server.new_database())
    upgrade(url)
    engine = open_engine(url, create=False)
    with SqlUnitOfWork(engine) as uow:
        keep_poc(uow, a_poc())
        uow.commit()

    with SqlUnitOfWork(engine) as uow:
        server.halt()
        with pytest.raises(DatabaseError, match="out of reach"):
            uow.pocs.all()
    with pytest.raises(DatabaseError, match="out of reach"), SqlUnitOfWork(engine):
        pass
    server.start()
    with SqlUnitOfWork(engine) as uow:
        assert uow.pocs.all() == (a_poc(),)

    engine.dispose()
    server.stop()


def test_a_connection_that_is_cut_before_the_commit_keeps_nothing(postgresql_url, postgres):
    engine = open_engine(postgresql_url, create=False)
    with SqlUnitOfWork(engine) as uow:
        keep_poc(uow, a_poc())
        postgres.cut_connections(make_url(postgresql_url).database)
        with pytest.raises(DatabaseError, match="out of reach"):
            uow.commit()

    with SqlUnitOfWork(engine) as uow:
        assert uow.pocs.all() == ()
    engine.dispose()


def test_the_password_stands_in_no_error():
    engine = make_engine(parse_url("postgresql://ada:hunter2@127.0.0.1:1/expplat"))

    with pytest.raises(DatabaseError) as failure, SqlUnitOfWork(engine):
        pass

    told = failure.value.message + failure.value.hint
    assert "hunter2" not in told
    assert "EXPPLAT_DATABASE_URL" in told


def test_a_file_that_is_no_database_is_a_database_error(tmp_path):
    (tmp_path / "not.db").write_bytes(b"plain text, and enough of it to be read" * 100)

    with pytest.raises(DatabaseError, match="not a database"):
        open_engine(f"sqlite:///{tmp_path / 'not.db'}", create=True)


def test_a_history_that_somebody_edited_is_found_by_its_hash(sqlite_url):
    engine = open_engine(sqlite_url, create=False)
    with SqlUnitOfWork(engine) as uow:
        keep_poc(uow, a_poc(Stage.PROMOTED))
        uow.commit()
    with engine.begin() as connection:
        connection.execute(text("DROP TRIGGER transitions_refuse_UPDATE"))
        connection.execute(text("UPDATE transitions SET traffic_percent = 50 WHERE position = 2"))

    with SqlUnitOfWork(engine) as uow:
        history = uow.pocs.get("hybrid_rrf").history

    assert [row.is_intact for row in history] == [True, True, False]
    assert replace(history[2], traffic_percent=5.0).is_intact
    engine.dispose()

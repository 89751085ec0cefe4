"""Events are taken in once each, whoever sends them how often; what is refused is kept apart."""

from __future__ import annotations

import threading
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import make_url, text

from expplat.adapters.sql import quarantine
from expplat.adapters.sql.migrate import upgrade
from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.quarantine import QuarantinedEvent
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.errors import DatabaseError, InputError, TryLaterError
from tests.builders import SUCCESS, T0, an_exposure, an_outcome


def watermark(uow):
    snapshot = uow.events.snapshot(
        slug="hybrid_rrf", phase=1, metrics=[], started_at=T0, now=T0 + timedelta(days=1)
    )
    return snapshot.watermark


def test_ids_that_are_new_are_returned_and_the_others_change_nothing(uow_factory):
    with uow_factory() as uow:
        first = uow.events.add_exposures([an_exposure("u1"), an_exposure("u2")], source="k")
        again = uow.events.add_exposures([an_exposure("u2"), an_exposure("u3")], source="k")

        assert first == {"x-u1-control", "x-u2-control"}
        assert again == {"x-u3-control"}
        assert watermark(uow) == 3


def test_an_id_that_stands_twice_in_a_batch_is_taken_once_and_the_first_counts(uow_factory):
    twice = [
        an_outcome(event_id="same", value=1.0),
        an_outcome(event_id="same", value=0.0),
    ]
    with uow_factory() as uow:
        uow.events.add_exposures([an_exposure()], source="k")
        new = uow.events.add_outcomes(twice, source="k")
        snapshot = uow.events.snapshot(
            slug="hybrid_rrf", phase=1, metrics=[SUCCESS], started_at=T0, now=T0
        )

    assert new == {"same"}
    assert snapshot.watermark == 2
    assert snapshot.arms["control"].metrics["task_success"].mean == 1.0


def test_the_same_id_of_another_source_is_another_event(uow_factory):
    with uow_factory() as uow:
        uow.events.add_exposures([an_exposure()], source="shop")

        assert uow.events.add_exposures([an_exposure()], source="app") == {"x-u1-control"}


def test_an_empty_batch_is_nothing(uow_factory):
    with uow_factory() as uow:
        assert uow.events.add_exposures([], source="k") == frozenset()
        assert uow.events.add_outcomes([], source="k") == frozenset()


def test_events_that_were_not_committed_are_gone(uow_factory):
    with uow_factory() as uow:
        uow.events.add_exposures([an_exposure()], source="k")

    with uow_factory() as uow:
        assert watermark(uow) == 0


def test_a_large_batch_is_taken_in_whole(uow_factory):
    batch = [an_outcome(f"u{number}") for number in range(2_500)]
    with uow_factory() as uow:
        assert len(uow.events.add_outcomes(batch, source="k")) == 2_500


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e101, 1e-101])
def test_a_value_that_no_statistic_can_be_made_of_is_refused(sqlite_uow_factory, value):
    with sqlite_uow_factory() as uow, pytest.raises(InputError, match="o-u1-task_success"):
        uow.events.add_outcomes([an_outcome("u2"), an_outcome(value=value)], source="k")


def test_racing_senders_of_the_same_events_are_told_of_each_id_once(uow_factory):
    batch = [an_exposure(f"u{number}") for number in range(200)]
    told: list[str] = []

    def send(order):
        with uow_factory() as uow:
            new = uow.events.add_exposures(order, source="k")
            uow.commit()
        told.extend(new)

    senders = [
        threading.Thread(target=send, args=(batch[::direction],)) for direction in (1, -1) * 4
    ]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()

    assert sorted(told) == sorted(event.event_id for event in batch)
    with uow_factory() as uow:
        assert watermark(uow) == 200


def test_what_is_quarantined_is_listed_newest_first_whatever_it_holds(uow_factory):
    odd = QuarantinedEvent(
        source="k", kind="outcome", body='{"a": "\0\ud800"}', reason="not finite", received_at=T0
    )
    with uow_factory() as uow:
        uow.quarantine.add([odd])
        uow.quarantine.add(
            [QuarantinedEvent(source="k", kind="exposure", body="{}", reason="", received_at=T0)]
        )
        uow.commit()

    with uow_factory() as uow:
        newest, oldest = uow.quarantine.list()
        assert newest.kind == "exposure"
        assert oldest.body == '{"a": "\\x00\\ud800"}'
        assert oldest.received_at == T0
        assert uow.quarantine.list(limit=1) == (newest,)


def test_a_quarantine_that_is_full_keeps_what_waits_and_nothing_else(uow_factory, monkeypatch):
    monkeypatch.setattr(quarantine, "MAX_WAITING", 3)
    events = [
        QuarantinedEvent(source="k", kind="outcome", body=f"{n}", reason="bad: x", received_at=T0)
        for n in range(6)
    ]

    def waiting():
        return {event.body for event in uow.quarantine.list()}

    with uow_factory() as uow:
        uow.quarantine.add(events[:2])
        uow.quarantine.add(events[:4])
        full = waiting()
        uow.quarantine.add(events[4:])

        assert len(full) == 3
        assert {"0", "1"} < full == waiting()

        uow.quarantine.settle([uow.quarantine.list()[0].number], T0)
        uow.quarantine.add(events[4:])
        assert len(waiting()) == 3


@pytest.mark.parametrize("count", [1, 3, 4, 5, 700])
def test_new_ids_are_told_whatever_the_size_of_a_batch(uow_factory, count):
    batch = [an_outcome(event_id=f"e{i:04d}", unit=f"u\t{i}\n\\ä") for i in range(count)]
    with uow_factory() as uow:
        known = uow.events.add_outcomes(batch[::2], source="k")
        uow.commit()
    with uow_factory() as uow:
        new = uow.events.add_outcomes(batch, source="k")
        again = uow.events.add_outcomes(batch, source="k")
        other = uow.events.add_outcomes(batch, source="other")
        uow.commit()

    everything = {event.event_id for event in batch}
    assert known == {event.event_id for event in batch[::2]}
    assert new == everything - known
    assert again == frozenset()
    assert other == everything


@pytest.mark.parametrize("count", [3, 2_500])
def test_what_is_stored_comes_back_as_it_was_sent(uow_factory, count):
    outcomes = [
        an_outcome(
            event_id=f"o{i}",
            value=i / 7,
            slug=None if i % 2 else "hybrid_rrf",
            stated_at=None if i % 3 else T0,
            properties={"text": "a\tb\n\\ä", "n": [1, 2.5, None]} if i % 5 == 0 else {},
        )
        for i in range(count)
    ]
    exposures = [an_exposure(event_id=f"e{i}", unit=f"u{i}") for i in range(count)]
    with uow_factory() as uow:
        uow.events.add_outcomes(outcomes, source="k")
        uow.events.add_exposures(exposures, source="k")
        uow.commit()

    with uow_factory() as uow:
        asked = [f"o{i}" for i in range(count + 10)]
        assert uow.events.stored("outcome", asked, source="k") == {o.event_id: o for o in outcomes}
        assert uow.events.stored("outcome", asked, source="other") == {}
        found = uow.events.stored("exposure", ["e1", "o1"], source="k")
        assert found == {"e1": exposures[1]}
        assert uow.events.stored("exposure", [], source="k") == {}


def test_text_that_postgresql_cannot_hold_fails_a_large_batch_in_whole(postgresql_url):
    engine = open_engine(postgresql_url, create=False)
    batch = [an_outcome(event_id=f"e{i}") for i in range(50)]
    with SqlUnitOfWork(engine) as uow, pytest.raises(InputError):
        uow.events.add_outcomes([*batch, an_outcome(event_id="f", unit="a\0b")], source="k")

    with SqlUnitOfWork(engine) as uow:
        assert len(uow.events.add_outcomes(batch, source="k")) == 50
        uow.commit()
    engine.dispose()


def test_a_connection_that_is_cut_during_a_copy_is_a_database_error(postgresql_url, postgres):
    engine = open_engine(postgresql_url, create=False)
    batch = [an_outcome(event_id=f"e{i}") for i in range(50)]
    with SqlUnitOfWork(engine) as uow:
        uow.events.add_outcomes(batch, source="k")
        postgres.cut_connections(make_url(postgresql_url).database)
        with pytest.raises(DatabaseError, match="out of reach"):
            uow.events.add_exposures([an_exposure(event_id=f"e{i}") for i in range(50)], source="k")

    with SqlUnitOfWork(engine) as uow:
        assert uow.events.stored("outcome", ["e1"], source="k") == {}
        assert len(uow.events.add_outcomes(batch, source="k")) == 50
        uow.commit()
    engine.dispose()


@pytest.mark.parametrize("count", [1, 50])
def test_an_event_at_a_moment_without_a_zone_is_refused(uow_factory, count):
    naive = T0.replace(tzinfo=None)
    batch = [an_outcome(event_id=f"e{i}", at=naive) for i in range(count)]

    with uow_factory() as uow, pytest.raises(ValueError, match="time zone"):
        uow.events.add_outcomes(batch, source="k")


def test_a_batch_whose_ids_another_holds_too_long_is_told_to_try_later(postgresql_url):
    engine = open_engine(postgresql_url, create=False)
    batch = [an_outcome(event_id=f"e{i:02d}") for i in range(50)]
    with SqlUnitOfWork(engine) as holder, SqlUnitOfWork(engine) as uow:
        holder.events.add_outcomes(batch[25:], source="k")
        uow._connection.execute(text("SET LOCAL lock_timeout = '100ms'"))
        with pytest.raises(TryLaterError):
            uow.events.add_outcomes(batch, source="k")
        holder.commit()

    with SqlUnitOfWork(engine) as uow:
        assert len(uow.events.add_outcomes(batch, source="k")) == 25
    engine.dispose()


@pytest.fixture
def modest_url(postgres):
    """A PostgreSQL whose user may make tables in one schema, and nothing more."""
    name = postgres.new_database()
    with psycopg.connect(postgres.url(name), autocommit=True) as admin:
        admin.execute("CREATE ROLE modest LOGIN")
        admin.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        admin.execute(f"GRANT CONNECT ON DATABASE {name} TO modest")
        admin.execute("GRANT USAGE, CREATE ON SCHEMA public TO modest")
    url = make_url(postgres.url(name)).set(username="modest", password=None)
    yield url.render_as_string()
    postgres.drop(name)
    with psycopg.connect(postgres.url("postgres"), autocommit=True) as admin:
        admin.execute("DROP ROLE modest")


@pytest.mark.parametrize("count", [6, 1_500])
def test_a_user_who_may_only_make_tables_can_send_a_batch_again(modest_url, count):
    upgrade(modest_url)
    engine = open_engine(modest_url, create=False)
    batch = [an_outcome(event_id=f"e{i:04d}") for i in range(count)]
    told = []
    for sent in (batch[2:], batch, batch):
        with SqlUnitOfWork(engine) as uow:
            told.append(uow.events.add_outcomes(sent, source="k"))
            uow.commit()
    engine.dispose()

    assert [len(new) for new in told] == [count - 2, 2, 0]
    assert told[1] == {"e0000", "e0001"}

"""Proposals, histories, looks, replays and keys: one contract, both databases."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import text

from expplat.adapters.sql.opening import open_engine
from expplat.adapters.sql.unit_of_work import SqlUnitOfWork
from expplat.domain.gate import Ruling
from expplat.domain.poc import Poc, Stage
from expplat.errors import ConflictError, DatabaseError, InputError, NotFoundError
from expplat.flow.ports import AccessKey
from tests.builders import (
    PROPOSAL_SHA256,
    PROPOSAL_TEXT,
    T0,
    a_look,
    a_plan,
    a_poc,
    a_report,
    a_snapshot,
    a_transition,
    an_exposure,
    an_outcome,
    keep_poc,
)


def kept(uow_factory, poc):
    with uow_factory() as uow:
        keep_poc(uow, poc)
        uow.commit()
    return poc


@pytest.mark.parametrize("stage", [Stage.GRADUATED, Stage.REJECTED])
def test_a_history_comes_back_as_it_was_kept(uow_factory, stage):
    poc = kept(uow_factory, a_poc(stage))

    with uow_factory() as uow:
        assert uow.pocs.get(poc.slug) == poc


def test_the_hash_chain_holds_after_the_round_trip(uow_factory):
    zurich = timezone(timedelta(hours=2))
    newest = a_poc(Stage.PROMOTED, at=datetime(2026, 7, 1, 12, 0, 0, 1, zurich), reason="é\n'\"🙂")
    kept(uow_factory, newest)

    with uow_factory() as uow:
        history = uow.pocs.get(newest.slug).history

    assert all(row.is_intact for row in history)
    assert [row.previous_sha256 for row in history[1:]] == [row.sha256 for row in history[:-1]]
    assert history[-1].at.tzinfo is UTC


def test_a_poc_that_was_never_proposed_has_no_history(uow_factory):
    with uow_factory() as uow:
        assert uow.pocs.find("nobody") == Poc(slug="nobody")
        with pytest.raises(NotFoundError, match="nobody"):
            uow.pocs.get("nobody")


def test_all_pocs_are_listed_by_slug_each_with_its_history(uow_factory):
    pocs = [a_poc(Stage.PROMOTED, slug=slug) for slug in ("b", "a_z", "ab", "a1")]
    for poc in pocs:
        kept(uow_factory, poc)

    with uow_factory() as uow:
        found = uow.pocs.all()

    assert [poc.slug for poc in found] == ["a1", "a_z", "ab", "b"]
    assert {poc.slug: poc for poc in found} == {poc.slug: poc for poc in pocs}


def test_a_second_writer_of_the_same_step_is_refused(uow_factory):
    poc = kept(uow_factory, a_poc(Stage.REPLAYED))
    kept_first = poc.advance(a_transition(Stage.PROMOTED, by="ada"))
    too_late = poc.advance(a_transition(Stage.REJECTED, by="bob"))
    with uow_factory() as uow:
        uow.pocs.add_newest(kept_first)
        uow.commit()

    with uow_factory() as uow, pytest.raises(ConflictError) as refusal:
        uow.pocs.add_newest(too_late)

    assert "Look at it" in refusal.value.hint
    with uow_factory() as uow:
        assert uow.pocs.get(poc.slug) == kept_first


def test_who_takes_turns_reads_what_the_one_before_has_written(uow_factory):
    def promote(slug):
        with uow_factory() as uow:
            uow.pocs.take_turns()
            before = len(uow.pocs.all())
            time.sleep(0.2)
            keep_poc(uow, a_poc(slug=slug))
            uow.commit()
        return before

    with ThreadPoolExecutor(3) as pool:
        assert sorted(pool.map(promote, ("one", "two", "three"))) == [0, 1, 2]


def test_a_step_whose_hash_would_not_survive_is_refused(uow_factory):
    poc = a_poc()
    altered = replace(poc, history=(replace(poc.newest, reason="another"),))

    with uow_factory() as uow, pytest.raises(ValueError, match="hash"):
        keep_poc(uow, altered)


def test_a_step_needs_the_proposal_that_it_names(uow_factory):
    with uow_factory() as uow:
        uow.pocs.add_newest(a_poc())
        with pytest.raises(DatabaseError, match="refused"):
            uow.commit()


CHANGES = (
    "UPDATE transitions SET reason = 'better'",
    "DELETE FROM transitions",
    "UPDATE proposals SET text = 'other'",
    "DELETE FROM proposals",
    "UPDATE looks SET look = '{}'",
    "DELETE FROM looks",
    "UPDATE exposures SET variation = 'treatment'",
    "DELETE FROM exposures",
    "UPDATE outcomes SET value = 1",
    "DELETE FROM outcomes",
)


def test_the_database_itself_refuses_to_change_what_is_written_once(database_url):
    engine = open_engine(database_url, create=False)
    with SqlUnitOfWork(engine) as uow:
        keep_poc(uow, a_poc())
        uow.looks.add(a_look())
        uow.events.add_exposures([an_exposure()], source="k")
        uow.events.add_outcomes([an_outcome()], source="k")
        uow.commit()

    for change in CHANGES:
        with engine.connect() as connection, pytest.raises(DatabaseError, match="written once"):
            connection.execute(text(change))
    engine.dispose()


def test_a_proposal_is_kept_by_its_hash_once(uow_factory):
    with uow_factory() as uow:
        for later in (0, 1):
            at = T0 + timedelta(days=later)
            uow.proposals.add(sha256=PROPOSAL_SHA256, slug="s", text=PROPOSAL_TEXT, at=at)
        uow.commit()

    with uow_factory() as uow:
        assert uow.proposals.text(PROPOSAL_SHA256) == PROPOSAL_TEXT
        with pytest.raises(NotFoundError):
            uow.proposals.text("0" * 64)


def test_a_text_that_postgresql_cannot_hold_is_an_input_error(postgresql_url):
    engine = open_engine(postgresql_url, create=False)
    with SqlUnitOfWork(engine) as uow, pytest.raises(InputError, match="cannot hold"):
        uow.proposals.add(sha256="a", slug="s", text="zero \0 byte", at=T0)
    engine.dispose()


def test_a_moment_without_a_zone_is_refused(uow_factory):
    with uow_factory() as uow, pytest.raises(Exception, match="no time zone"):
        uow.proposals.add(sha256="a", slug="s", text="", at=T0.replace(tzinfo=None))


def test_looks_come_back_in_order_and_by_phase(uow_factory):
    looks = [a_look(position) for position in (2, 0, 1)]
    with uow_factory() as uow:
        for look in [*looks, a_look(0, phase=2)]:
            uow.looks.add(look)
        uow.commit()

    with uow_factory() as uow:
        assert uow.looks.of(looks[0].slug, 1) == (looks[1], looks[2], looks[0])
        assert len(uow.looks.of(looks[0].slug, 2)) == 1
        assert uow.looks.of("other", 1) == ()


def test_a_look_is_written_once(uow_factory):
    with uow_factory() as uow:
        uow.looks.add(a_look())
        uow.commit()

    with uow_factory() as uow, pytest.raises(ConflictError, match="looked"):
        uow.looks.add(a_look(snapshot=a_snapshot(watermark=1)))


def test_a_replay_waits_for_its_copy_until_it_is_marked(uow_factory):
    later = a_report(finished_at=T0 + timedelta(days=2), plan=a_plan(replay_id="r_later"))
    earlier = a_report(Ruling.FAIL)
    earlier_id = earlier.plan.replay_id
    with uow_factory() as uow:
        uow.replays.add(later)
        uow.replays.add(earlier)
        uow.commit()

    with uow_factory() as uow:
        assert uow.replays.uncopied() == (earlier, later)
        assert uow.replays.address(earlier_id) is None
        uow.replays.mark_copied(earlier_id, "mlflow/1")
        assert uow.replays.uncopied() == (later,)
        assert uow.replays.address(earlier_id) == "mlflow/1"


def test_a_replay_of_the_same_id_replaces_and_waits_again(uow_factory):
    first, second = a_report(Ruling.FAIL), a_report(Ruling.PASS)
    with uow_factory() as uow:
        uow.replays.add(first)
        uow.replays.mark_copied(first.plan.replay_id, "mlflow/1")
        uow.replays.add(second)
        uow.commit()

    with uow_factory() as uow:
        assert uow.replays.find(first.plan.replay_id) == second
        assert uow.replays.uncopied() == (second,)


def test_a_replay_that_does_not_exist_is_none_and_cannot_be_marked(uow_factory):
    with uow_factory() as uow:
        assert uow.replays.find("r_none") is None
        assert uow.replays.address("r_none") is None
        with pytest.raises(NotFoundError):
            uow.replays.mark_copied("r_none", "mlflow/1")


def a_key(key_id="k1", **changes):
    key = AccessKey(key_id=key_id, kind="ingest", name="shop", prefix="exp_ab", created_at=T0)
    return replace(key, **changes)


def test_a_key_is_found_by_the_hash_of_its_secret_even_when_revoked(uow_factory):
    with uow_factory() as uow:
        uow.keys.add(a_key(), "hash")
        uow.keys.revoke("k1", T0 + timedelta(days=1))
        uow.keys.revoke("k1", T0 + timedelta(days=2))
        uow.commit()

    with uow_factory() as uow:
        assert uow.keys.find("hash") == a_key(revoked_at=T0 + timedelta(days=1))
        assert uow.keys.find("other") is None


def test_keys_are_listed_oldest_first(uow_factory):
    with uow_factory() as uow:
        uow.keys.add(a_key("k2", created_at=T0 + timedelta(days=1)), "h2")
        uow.keys.add(a_key("k1"), "h1")

        assert [key.key_id for key in uow.keys.all()] == ["k1", "k2"]


def test_a_key_that_does_not_exist_cannot_be_revoked(uow_factory):
    with uow_factory() as uow, pytest.raises(NotFoundError):
        uow.keys.revoke("k9", T0)


def test_two_keys_cannot_share_a_secret(uow_factory):
    with uow_factory() as uow:
        uow.keys.add(a_key("k1"), "hash")
        with pytest.raises(ConflictError):
            uow.keys.add(a_key("k2"), "hash")

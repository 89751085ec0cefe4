from __future__ import annotations

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from expplat.domain.online import QuarantinedEvent
from expplat.domain.poc import Stage
from expplat.errors import DatabaseError
from expplat.flow import ingest, refused_events
from expplat.flow.event_judging import Incoming, Refusal
from tests.builders import SLUG, a_poc, a_transition, keep_poc

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
LATER = NOW + timedelta(days=50)
EARLY = {"experiment": SLUG, "variation": "treatment", "unit": "u1"}


@pytest.fixture
def make_uow(uow_factory):
    """Units of work on a database in which one POC is not in its test yet."""
    with uow_factory() as uow:
        keep_poc(uow, a_poc(Stage.REPLAYED))
        uow.commit()
    return uow_factory


def begin(make_uow):
    with make_uow() as uow:
        poc = uow.pocs.get(SLUG).advance(a_transition(Stage.PROMOTED, phase=1))
        uow.pocs.add_newest(poc)
        uow.commit()


def take(make_uow, *events, kind="exposure", source="k1", refusal=None, sent_at=None):
    incoming = [Incoming(kind=kind, event=event, refusal=refusal) for event in events]
    return ingest.take(incoming, source=source, uow=make_uow(), now=lambda: NOW, sent_at=sent_at)


def replay(make_uow, **how):
    return refused_events.replay_failed(uow=make_uow(), now=lambda: LATER, **how)


def kept(make_uow, kind, ids, source="k1"):
    with make_uow() as uow:
        return uow.events.stored(kind, ids, source=source)


def units(make_uow):
    with make_uow() as uow:
        snapshot = uow.events.snapshot(slug=SLUG, phase=1, metrics=(), started_at=NOW, now=NOW)
    return snapshot.units


def test_what_waits_is_listed_with_the_reasons_counted(make_uow):
    take(make_uow, EARLY, EARLY | {"unit": "u2"}, {"unit": 5})

    found = refused_events.waiting(uow=make_uow(), limit=2)

    assert found.codes == {"missing_field": 1, "unknown_experiment": 2}
    assert [event.number for event in found.events] == sorted(
        (event.number for event in found.events), reverse=True
    )
    assert len(found.events) == 2


def test_events_that_came_before_their_test_count_from_when_they_came(make_uow):
    sent_at = NOW - timedelta(hours=5)
    stated = sent_at - timedelta(minutes=3)
    event = EARLY | {"id": "e1", "timestamp": stated.isoformat()}
    take(make_uow, event, sent_at=sent_at)
    begin(make_uow)

    replayed = replay(make_uow)

    assert (replayed.tried, replayed.taken, replayed.left) == (1, 1, 0)
    exposure = kept(make_uow, "exposure", ["e1"])["e1"]
    assert exposure.stated_at == stated
    assert exposure.at == NOW - timedelta(minutes=3)
    assert exposure.received_at == NOW
    assert refused_events.waiting(uow=make_uow(), limit=9).codes == {}


def test_a_second_replay_and_the_sender_itself_change_nothing(make_uow):
    take(make_uow, EARLY)
    begin(make_uow)
    replay(make_uow)

    again = replay(make_uow)
    sent = take(make_uow, EARLY)

    assert again.tried == 0
    assert (sent.accepted, sent.duplicates) == (0, 1)
    assert units(make_uow) == 1


def test_what_its_sender_has_sent_again_with_success_is_settled(make_uow):
    take(make_uow, EARLY)
    begin(make_uow)
    take(make_uow, EARLY)

    replayed = replay(make_uow)

    assert (replayed.taken, replayed.known, replayed.left) == (0, 1, 0)
    assert units(make_uow) == 1


def test_what_still_fails_goes_on_waiting(make_uow):
    take(make_uow, EARLY, EARLY | {"experiment": "nothing"}, {"unit": "u"})
    begin(make_uow)

    replayed = replay(make_uow)

    assert (replayed.tried, replayed.taken, replayed.left) == (3, 1, 2)
    assert replayed.codes == {"missing_field": 1, "unknown_experiment": 1}
    assert sum(refused_events.waiting(uow=make_uow(), limit=9).codes.values()) == 2


def test_a_dry_run_says_the_same_and_keeps_nothing(make_uow):
    take(make_uow, EARLY, {"unit": "u"})
    begin(make_uow)

    dry = replay(make_uow, dry_run=True)

    assert units(make_uow) == 0
    assert dry == replay(make_uow)
    assert units(make_uow) == 1


def test_conflicts_and_what_a_translator_refused_are_never_taken(make_uow):
    begin(make_uow)
    outcome = {"id": "o1", "unit": "u", "metric": "m"}
    take(make_uow, outcome, outcome | {"value": 2}, kind="outcome")
    refusal = Refusal(code="untranslatable", field="endTimeUnixNano", message="It cannot be.")
    take(make_uow, outcome | {"id": "o2"}, kind="outcome", refusal=refusal)

    replayed = replay(make_uow)

    assert replayed.codes == {"id_conflict": 1, "untranslatable": 1}
    assert replayed.taken == replayed.known == 0
    assert kept(make_uow, "outcome", ["o2"]) == {}


def test_each_event_stays_with_its_connection(make_uow):
    for source in ("k1", "k2"):
        take(make_uow, EARLY | {"id": "e1"}, source=source)
    begin(make_uow)

    assert replay(make_uow).taken == 2
    assert set(kept(make_uow, "exposure", ["e1"], "k2")) == {"e1"}


def test_events_that_were_too_old_may_be_let_in_later(make_uow):
    begin(make_uow)
    old = (NOW - timedelta(days=60)).isoformat()
    take(make_uow, EARLY | {"timestamp": old})
    assert replay(make_uow).left == 1

    replayed = replay(make_uow, max_age=timedelta(days=90))

    assert replayed.taken == 1


def test_a_replay_that_is_ended_half_way_goes_on_from_there(make_uow, monkeypatch):
    monkeypatch.setattr(refused_events, "PAGE", 10)
    take(make_uow, *[EARLY | {"unit": f"u{i}"} for i in range(35)])
    begin(make_uow)
    uow = make_uow()
    commits = 0

    class Breaking:
        def __enter__(self):
            uow.__enter__()
            return self

        def __exit__(self, *error):
            uow.__exit__(*error)

        def __getattr__(self, name):
            return getattr(uow, name)

        def commit(self):
            nonlocal commits
            commits += 1
            if commits == 3:
                raise DatabaseError("The database went away.")
            uow.commit()

    with pytest.raises(DatabaseError):
        refused_events.replay_failed(uow=Breaking(), now=lambda: LATER)
    assert units(make_uow) == 20

    replayed = replay(make_uow)

    assert (replayed.tried, replayed.taken) == (15, 15)
    assert units(make_uow) == 35


def test_a_settled_event_may_wait_once_more(make_uow):
    take(make_uow, EARLY | {"id": "e1"})
    begin(make_uow)
    replay(make_uow)
    row = QuarantinedEvent(
        source="k1",
        kind="exposure",
        body=json.dumps(EARLY | {"id": "e1"}, sort_keys=True),
        reason="x: y",
        received_at=NOW,
    )
    with make_uow() as uow:
        uow.quarantine.add([row, replace(row, reason="other: z")])
        uow.commit()

    assert refused_events.waiting(uow=make_uow(), limit=9).codes == {"x": 1}


def test_a_body_that_is_no_json_goes_on_waiting(make_uow):
    with make_uow() as uow:
        row = QuarantinedEvent(
            source="k", kind="outcome", body='{"a": \\x00}', reason="bad: x", received_at=NOW
        )
        uow.quarantine.add([row])
        uow.commit()

    assert replay(make_uow).left == 1


def test_what_was_refused_for_one_reason_may_be_given_up(make_uow):
    take(make_uow, EARLY, {"unit": 5}, EARLY | {"unit": "u2"})

    def discard(**how):
        return refused_events.discard("unknown_experiment", uow=make_uow(), now=lambda: NOW, **how)

    assert [discard(dry_run=True), discard(), discard()] == [2, 2, 0]
    with make_uow() as uow:
        assert uow.quarantine.codes() == {"missing_field": 1}


def test_many_at_once_may_send_the_same_refused_events(make_uow):
    events = [EARLY | {"unit": f"u{i}"} for i in range(120)]
    receipts = []

    def send(number):
        mine = events[number * 7 :] + events[: number * 7]
        receipts.append(take(make_uow, *mine))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [receipt.rejected for receipt in receipts] == [120] * 6
    assert refused_events.waiting(uow=make_uow(), limit=0).codes == {"unknown_experiment": 120}


def test_two_replays_at_once_take_each_event_once(make_uow):
    take(make_uow, *[EARLY | {"unit": f"u{i}"} for i in range(300)])
    begin(make_uow)
    replays = []
    threads = [threading.Thread(target=lambda: replays.append(replay(make_uow))) for _ in range(3)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sum(one.taken for one in replays) == 300
    assert units(make_uow) == 300
    assert refused_events.waiting(uow=make_uow(), limit=0).codes == {}

from __future__ import annotations

import hashlib
import json
import random
from datetime import UTC, datetime, timedelta

import pytest

from expplat.domain.online import VARIANTS, Exposure, Outcome
from expplat.domain.poc import Stage
from expplat.errors import DatabaseError
from expplat.flow import ingest
from expplat.flow.event_judging import Incoming, Refusal
from tests.builders import SLUG, a_poc, a_transition, keep_poc

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
EXPOSURE = {"experiment": SLUG, "variation": "treatment", "unit": "u1"}
OUTCOME = {"id": "o1", "unit": "u1", "metric": "task_success"}


@pytest.fixture
def make_uow(uow_factory):
    """Units of work on a database in which one POC is in its second phase and one in none."""
    second = a_poc(Stage.ROLLED_BACK)
    for stage, phase in ((Stage.PROPOSED, 1), (Stage.REPLAYED, 1), (Stage.PROMOTED, 2)):
        second = second.advance(a_transition(stage, phase=phase))
    with uow_factory() as uow:
        keep_poc(uow, second)
        keep_poc(uow, a_poc(Stage.REPLAYED, slug="unopened"))
        uow.commit()
    return uow_factory


def take(uow, kind, events, *, now=NOW, source="k1", **how):
    incoming = [Incoming(kind=kind, event=event) for event in events]
    return ingest.take(incoming, source=source, uow=uow, now=lambda: now, **how)


def take_exposures(make_uow, *events, **how):
    return take(make_uow(), "exposure", events, **how)


def take_outcomes(make_uow, *events, **how):
    return take(make_uow(), "outcome", events, **how)


def kept_exposures(make_uow, *events, **how):
    return kept(make_uow, "exposure", events, how)


def kept_outcomes(make_uow, *events, **how):
    return kept(make_uow, "outcome", events, how)


def kept(make_uow, kind, events, how):
    """What the database holds of events that are taken."""
    spy = Spy(make_uow())
    take(spy, kind, events, **how)
    with make_uow() as uow:
        return list(uow.events.stored(kind, spy.ids, source="k1").values())


class Spy:
    """A unit of work that remembers which ids were new."""

    def __init__(self, uow):
        self.ids = set()
        self._uow = uow

    def __getattr__(self, name):
        return self if name == "events" else getattr(self._uow, name)

    def __enter__(self):
        self._uow.__enter__()
        return self

    def __exit__(self, *error):
        self._uow.__exit__(*error)

    def add_exposures(self, events, *, source):
        self.ids |= self._uow.events.add_exposures(events, source=source)
        return frozenset(self.ids)

    def add_outcomes(self, events, *, source):
        self.ids |= self._uow.events.add_outcomes(events, source=source)
        return frozenset(self.ids)


def in_quarantine(make_uow):
    with make_uow() as uow:
        return uow.quarantine.list()


def codes(receipt):
    return [fault.code for fault in receipt.errors]


def test_an_exposure_is_read_whole(make_uow):
    event = EXPOSURE | {
        "id": "e1",
        "timestamp": "2026-06-01T13:30:00+02:00",
        "country": "CH",
        "properties": {"page": "search"},
    }
    beside = {
        "unit_type": "user_id",
        "feature": SLUG,
        "attributes": {"plan": "pro"},
        "source": "search-service",
    }

    (exposure,) = kept_exposures(make_uow, event | beside)

    assert exposure == Exposure(
        event_id="e1",
        slug=SLUG,
        phase=2,
        variant="treatment",
        unit="u1",
        at=datetime(2026, 6, 1, 11, 30, tzinfo=UTC),
        stated_at=datetime(2026, 6, 1, 11, 30, tzinfo=UTC),
        received_at=NOW,
        properties={"country": "CH", "page": "search"} | beside,
    )


def test_an_outcome_is_read_whole(make_uow):
    event = OUTCOME | {"value": 2, "experiment": f"{SLUG}.p1", "tags": ["a"]}

    (outcome,) = kept_outcomes(make_uow, event)

    assert outcome == Outcome(
        event_id="o1",
        unit="u1",
        metric="task_success",
        value=2.0,
        at=NOW,
        received_at=NOW,
        slug=SLUG,
        properties={"tags": ["a"]},
    )


@pytest.mark.parametrize(
    ("fields", "phase"),
    [
        ({"experiment": SLUG}, 2),
        ({"experiment": SLUG, "phase": 1}, 1),
        ({"experiment": f"{SLUG}.p1"}, 1),
        ({"experiment": f"{SLUG}.p2", "phase": 1}, 2),
    ],
)
def test_a_test_is_named_by_slug_or_tracking_key(make_uow, fields, phase):
    (event,) = kept_exposures(make_uow, EXPOSURE | fields)

    assert (event.slug, event.phase) == (SLUG, phase)


@pytest.mark.parametrize(
    ("at", "phase"),
    [
        ("2026-05-19T00:00:00Z", 1),
        ("2026-05-20T00:00:00Z", 1),
        ("2026-05-24T23:59:59Z", 1),
        ("2026-05-25T00:00:00Z", 2),
        ("2026-06-01T00:00:00Z", 2),
    ],
)
def test_a_late_exposure_belongs_to_the_phase_that_ran_when_it_happened(uow_factory, at, phase):
    poc = a_poc(Stage.REPLAYED)
    for stage, number, day in (
        (Stage.PROMOTED, 1, 20),
        (Stage.ROLLED_BACK, 1, 22),
        (Stage.PROPOSED, 1, 23),
        (Stage.REPLAYED, 1, 24),
        (Stage.PROMOTED, 2, 25),
    ):
        begun = datetime(2026, 5, day, tzinfo=UTC)
        poc = poc.advance(a_transition(stage, phase=number, at=begun))
    with uow_factory() as uow:
        keep_poc(uow, poc)
        uow.commit()

    (event,) = kept_exposures(uow_factory, EXPOSURE | {"timestamp": at})

    assert event.phase == phase


@pytest.mark.parametrize(
    ("sent", "kept_as"),
    [
        ("control", "control"),
        (0, "control"),
        (1, "treatment"),
    ],
)
def test_a_variation_is_a_key_or_an_index(make_uow, sent, kept_as):
    (event,) = kept_exposures(make_uow, EXPOSURE | {"variation": sent})

    assert event.variant == kept_as


def test_an_exposure_without_an_id_gets_one_of_its_content(make_uow):
    (event,) = kept_exposures(make_uow, EXPOSURE)

    assert event.event_id == hashlib.sha256(f"{SLUG}|2|u1|treatment".encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "kept_as"),
    [(True, 1.0), (False, 0.0), (3, 3.0), (0.25, 0.25), (None, 1.0), (-0.0, 0.0)],
)
def test_a_value_is_a_number_or_a_boolean_and_one_by_default(make_uow, value, kept_as):
    (event,) = kept_outcomes(make_uow, OUTCOME | {"value": value})

    assert event.value == kept_as


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"experiment": None}, "missing_field", "experiment"),
        ({"unit": None}, "missing_field", "unit"),
        ({"variation": None}, "missing_field", "variation"),
        ({"unit": 17}, "bad_type", "unit"),
        ({"unit": ""}, "bad_value", "unit"),
        ({"unit": "x" * 501}, "bad_value", "unit"),
        ({"unit": "語" * 334}, "bad_value", "unit"),
        ({"id": "語" * 334}, "bad_value", "id"),
        ({"unit": "\ud800"}, "bad_value", "unit"),
        ({"unit": "a\0b"}, "bad_value", "unit"),
        ({"id": 5}, "bad_type", "id"),
        ({"phase": "2"}, "bad_type", "phase"),
        ({"phase": True}, "bad_type", "phase"),
        ({"phase": 3}, "unknown_experiment", "experiment"),
        ({"phase": 0}, "unknown_experiment", "experiment"),
        ({"experiment": "nothing"}, "unknown_experiment", "experiment"),
        ({"experiment": "unopened"}, "unknown_experiment", "experiment"),
        ({"experiment": f"{SLUG}.p99999999999"}, "unknown_experiment", "experiment"),
        ({"variation": "treatmnt"}, "unknown_variation", "variation"),
        ({"variation": len(VARIANTS)}, "unknown_variation", "variation"),
        ({"variation": "treatment_B"}, "unknown_variation", "variation"),
        ({"variation": "treatment_a"}, "unknown_variation", "variation"),
        ({"variation": -1}, "unknown_variation", "variation"),
        ({"variation": True}, "bad_type", "variation"),
        ({"timestamp": "yesterday"}, "bad_timestamp", "timestamp"),
        ({"timestamp": "2026-06-01T12:00:00"}, "bad_timestamp", "timestamp"),
        ({"timestamp": 1_780_000_000}, "bad_timestamp", "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "bad_timestamp", "timestamp"),
        ({"timestamp": "2026-06-02T12:00:01Z"}, "in_future", "timestamp"),
        ({"timestamp": "2026-05-02T11:59:59Z"}, "too_old", "timestamp"),
        ({"properties": [1]}, "bad_type", "properties"),
        ({"note": "x" * 40_000}, "event_too_large", ""),
        ({"note": float("inf")}, "bad_value", "note"),
        ({"note": {"\ud800": 1}}, "bad_value", "note"),
        ({"note": 10**400}, "bad_value", "note"),
    ],
)
def test_a_broken_exposure_is_refused_with_a_code_and_the_field(make_uow, fields, code, field):
    receipt = take_exposures(make_uow, EXPOSURE | fields)

    assert [(fault.code, fault.field) for fault in receipt.errors] == [(code, field)]
    assert (receipt.accepted, receipt.rejected) == (0, 1)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"id": None}, "id_required"),
        ({"metric": None}, "missing_field"),
        ({"value": "1"}, "bad_type"),
        ({"value": float("inf")}, "bad_value"),
        ({"value": 1e101}, "bad_value"),
        ({"value": 1e-101}, "bad_value"),
        ({"value": 10**300}, "bad_value"),
        ({"experiment": "nothing"}, "unknown_experiment"),
    ],
)
def test_a_broken_outcome_is_refused_with_a_code(make_uow, fields, code):
    receipt = take_outcomes(make_uow, OUTCOME | fields)

    assert codes(receipt) == [code]


@pytest.mark.parametrize("moment", [{}, {"timestamp": NOW.isoformat()}])
def test_the_longest_texts_are_kept_by_every_database(make_uow, moment):
    # By chance, so that they cannot be packed; in one index stand two of them.
    chance = random.Random(3)
    longest = ["".join(chr(chance.randrange(0x4E00, 0x9FFF)) for _ in range(333)) for _ in range(3)]
    event_id, unit, metric = longest
    exposure = {"id": event_id, "experiment": f"{SLUG}.p2", "variation": 1, "unit": unit} | moment
    outcome = {"id": event_id, "unit": unit, "metric": metric, "value": 1} | moment
    shorter = outcome | {"id": "o1", "unit": "u1"}
    longer = outcome | {"id": "o2", "unit": f"{unit}é", "metric": f"{metric}é"}

    receipts = [
        take_exposures(make_uow, exposure),
        take_outcomes(make_uow, shorter, outcome, longer),
    ]

    assert [receipt.accepted for receipt in receipts] == [1, 2]
    assert [(fault.code, fault.field) for fault in receipts[1].errors] == [("bad_value", "unit")]


@pytest.mark.parametrize("event", [None, 5, "text", [], [EXPOSURE], True])
def test_what_is_no_object_is_no_event(make_uow, event):
    receipt = take_exposures(make_uow, event)

    assert codes(receipt) == ["bad_type"]


def test_depth_is_refused_before_it_hurts(make_uow):
    deep: object = 1
    for _ in range(900):
        deep = [deep]

    receipt = take_exposures(make_uow, EXPOSURE | {"note": deep})

    assert codes(receipt) == ["bad_value"]


def test_a_bad_event_never_fails_its_neighbours(make_uow):
    good = [EXPOSURE | {"unit": f"u{i}"} for i in range(999)]

    receipt = take_exposures(make_uow, *good[:500], {"id": "bad"}, *good[500:])

    assert (receipt.received, receipt.accepted, receipt.duplicates, receipt.rejected) == (
        1000,
        999,
        0,
        1,
    )
    assert (receipt.errors[0].index, receipt.errors[0].id) == (500, "bad")


@pytest.mark.parametrize("take_some", [take_exposures, take_outcomes])
def test_events_sent_twice_are_kept_once(make_uow, take_some):
    events = [EXPOSURE | OUTCOME | {"id": f"e{i}"} for i in range(50)]

    first = take_some(make_uow, *events)
    second = take_some(make_uow, *events, *events, now=NOW + timedelta(hours=1))

    assert (first.accepted, first.duplicates) == (50, 0)
    assert (second.received, second.accepted, second.duplicates) == (100, 0, 100)


def test_a_second_variation_of_a_unit_is_kept_too(make_uow):
    receipt = take_exposures(make_uow, EXPOSURE, EXPOSURE | {"variation": "control"})

    assert receipt.accepted == 2


def test_a_refused_event_is_kept_in_quarantine_with_the_reason(make_uow):
    event = EXPOSURE | {"experiment": "late_chunking"}

    take_exposures(make_uow, event)

    (waiting,) = in_quarantine(make_uow)
    assert json.loads(waiting.body) == event
    assert (waiting.kind, waiting.source, waiting.received_at) == ("exposure", "k1", NOW)
    assert waiting.code == "unknown_experiment"


def test_an_id_that_cannot_be_printed_is_not_repeated(make_uow):
    receipt = take_exposures(make_uow, {"id": "\ud800"}, {"id": "x" * 501}, {"id": 5})

    assert [fault.id for fault in receipt.errors] == [None, None, None]


def test_times_at_the_edges_are_taken(make_uow):
    edges = [NOW + timedelta(hours=24), NOW - timedelta(days=30)]
    events = [EXPOSURE | {"unit": at.isoformat(), "timestamp": at.isoformat()} for at in edges]

    receipt = take_exposures(make_uow, *events)

    assert receipt.accepted == 2


def test_both_kinds_come_in_one_batch_and_what_is_neither_is_counted(make_uow):
    events = [
        Incoming(kind="outcome", event=OUTCOME),
        Incoming(kind="ignored"),
        Incoming(kind="exposure", event=EXPOSURE),
        Incoming(kind="exposure", event={"id": "bad"}),
        Incoming(kind="outcome", event=OUTCOME),
        Incoming(kind="outcome", event=OUTCOME | {"value": 2}),
    ]

    receipt = ingest.take(events, source="k1", uow=make_uow(), now=lambda: NOW)

    assert receipt.received == 6
    assert receipt.accepted == 2
    assert (receipt.duplicates, receipt.conflicts) == (1, 1)
    assert (receipt.ignored, receipt.rejected) == (1, 1)
    assert [(fault.index, fault.code) for fault in receipt.errors] == [
        (3, "missing_field"),
        (5, "id_conflict"),
    ]


def test_a_batch_is_kept_whole_or_not_at_all(make_uow):
    class Broken(Spy):
        def add_outcomes(self, events, *, source):
            raise DatabaseError("The database went away.")

    events = [
        Incoming(kind="exposure", event=EXPOSURE | {"id": "e1"}),
        Incoming(kind="exposure", event={}),
        Incoming(kind="outcome", event=OUTCOME),
    ]

    with pytest.raises(DatabaseError):
        ingest.take(events, source="k1", uow=Broken(make_uow()), now=lambda: NOW)

    assert in_quarantine(make_uow) == ()
    assert take_exposures(make_uow, EXPOSURE | {"id": "e1"}).accepted == 1


def test_what_a_translator_refuses_is_refused_with_its_words(make_uow):
    refusal = Refusal(
        code="untranslatable", field="endTimeUnixNano", message="It ends before it began."
    )
    event = Incoming(kind="outcome", event=OUTCOME, refusal=refusal)

    receipt = ingest.take([event], source="k1", uow=make_uow(), now=lambda: NOW)

    assert (receipt.accepted, receipt.rejected) == (0, 1)
    assert (receipt.errors[0].code, receipt.errors[0].field) == (
        "untranslatable",
        "endTimeUnixNano",
    )
    assert in_quarantine(make_uow)[0].reason == "untranslatable: It ends before it began."


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("exposure", {"variation": "control"}),
        ("exposure", {"unit": "u2"}),
        ("exposure", {"phase": 1}),
        ("exposure", {"timestamp": "2026-06-01T11:00:00Z"}),
        ("outcome", {"value": 2}),
        ("outcome", {"unit": "u2"}),
        ("outcome", {"metric": "latency_ms"}),
        ("outcome", {"experiment": SLUG}),
    ],
)
def test_an_id_with_another_content_keeps_the_first_and_is_put_aside(make_uow, kind, changed):
    event = (EXPOSURE if kind == "exposure" else OUTCOME) | {"id": "e1"}
    take(make_uow(), kind, [event])

    receipt = take(make_uow(), kind, [event | changed, event])

    assert (receipt.accepted, receipt.duplicates, receipt.conflicts) == (0, 1, 1)
    (waiting,) = in_quarantine(make_uow)
    assert waiting.code == "id_conflict"
    assert json.loads(waiting.body) == event | changed


def test_other_properties_under_the_same_id_are_no_conflict(make_uow):
    take_exposures(make_uow, EXPOSURE | {"page": "search"})

    receipt = take_exposures(make_uow, EXPOSURE | {"page": "home"})

    assert (receipt.duplicates, receipt.conflicts) == (1, 0)


def test_two_connections_may_use_the_same_id(make_uow):
    take_outcomes(make_uow, OUTCOME)

    receipt = take_outcomes(make_uow, OUTCOME | {"value": 5}, source="k2")

    assert receipt.accepted == 1


@pytest.mark.parametrize("first", [0, 1])
def test_the_earlier_of_two_exposures_counts_in_whatever_order_they_come(make_uow, first):
    events = [
        EXPOSURE | {"timestamp": "2026-06-01T10:00:00Z"},
        EXPOSURE | {"timestamp": "2026-06-01T11:00:00Z"},
    ]

    receipts = [take_exposures(make_uow, events[i]) for i in (first, 1 - first)]

    assert [receipt.accepted for receipt in receipts] == [1, 1]


@pytest.mark.parametrize(
    ("slow", "corrected"),
    [
        (timedelta(hours=3), timedelta(hours=3)),
        (timedelta(hours=-3), timedelta(hours=-3)),
        (timedelta(seconds=61), timedelta(seconds=61)),
        (timedelta(seconds=60), timedelta()),
        (timedelta(seconds=-60), timedelta()),
        (timedelta(milliseconds=80), timedelta()),
    ],
)
def test_a_clock_that_is_over_a_minute_off_is_corrected(make_uow, slow, corrected):
    stated = NOW - slow - timedelta(minutes=5)

    (event,) = kept_outcomes(
        make_uow, OUTCOME | {"timestamp": stated.isoformat()}, sent_at=NOW - slow
    )

    assert event.stated_at == stated
    assert event.at == stated + corrected


@pytest.mark.parametrize(
    ("behind", "code"),
    [
        (timedelta(days=-3), None),
        (timedelta(days=300), None),
        (timedelta(days=-40_000), "too_old"),
        (timedelta(days=700_000), "in_future"),
    ],
)
def test_what_is_too_old_or_ahead_is_judged_after_the_correction(make_uow, behind, code):
    stated = NOW - behind if abs(behind) < timedelta(days=301) else NOW

    receipt = take_outcomes(
        make_uow, OUTCOME | {"timestamp": stated.isoformat()}, sent_at=NOW - behind
    )

    assert codes(receipt) == ([] if code is None else [code])


def test_a_correction_beyond_all_years_is_a_bad_time(make_uow):
    sent_at = datetime(1, 1, 2, tzinfo=UTC)

    receipt = take_outcomes(
        make_uow, OUTCOME | {"timestamp": "9000-01-01T00:00:00Z"}, sent_at=sent_at
    )

    assert codes(receipt) == ["bad_timestamp"]


def test_events_may_be_let_in_that_are_older(make_uow):
    event = OUTCOME | {"timestamp": "2026-03-01T00:00:00Z"}

    receipt = take_outcomes(make_uow, event, max_age=timedelta(days=365))

    assert receipt.accepted == 1


def test_the_same_refused_event_waits_once_however_often_it_comes(make_uow):
    bad = [EXPOSURE | {"experiment": "nothing", "n": i} for i in range(3)]

    for _ in range(4):
        take_exposures(make_uow, *bad, *bad)
    take_exposures(make_uow, bad[0], source="k2")

    assert len(in_quarantine(make_uow)) == 4


def test_a_broken_text_is_kept_and_a_monster_is_not(make_uow):
    deep: object = 1
    for _ in range(900):
        deep = [deep]

    receipt = take_exposures(
        make_uow, {"unit": "\ud800"}, {"note": "x" * 100_000}, {"note": deep}, None
    )

    assert receipt.rejected == 4
    waiting = in_quarantine(make_uow)
    assert json.loads(waiting[-1].body) == {"unit": "\ud800"}
    assert all(len(event.body) < 10_000 for event in waiting)

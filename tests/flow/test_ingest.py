from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest

from expplat.domain.online import Exposure, Outcome
from expplat.domain.poc import Stage
from expplat.flow import ingest
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


def take_exposures(make_uow, *events, source="k1"):
    return ingest.take_exposures(events, source=source, uow=make_uow(), now=lambda: NOW)


def take_outcomes(make_uow, *events):
    return ingest.take_outcomes(events, source="k1", uow=make_uow(), now=lambda: NOW)


class Catcher:
    """Stands in for the events of a unit of work, to see what would be kept."""

    def __init__(self, uow):
        self.kept = []
        self._uow = uow

    def __enter__(self):
        self._uow.__enter__()
        self.pocs, self.quarantine, self.commit = (
            self._uow.pocs,
            self._uow.quarantine,
            self._uow.commit,
        )
        self.events = self
        return self

    def __exit__(self, *error):
        self._uow.__exit__(*error)

    def add_exposures(self, events, *, source):
        self.kept += events
        return frozenset(event.event_id for event in events)

    add_outcomes = add_exposures


def what_is_kept(make_uow, take, *events):
    catcher = Catcher(make_uow())
    take(events, source="k1", uow=catcher, now=lambda: NOW)
    return catcher.kept


def codes(receipt):
    return [fault.code for fault in receipt.errors]


def test_an_exposure_is_read_whole(make_uow):
    event = EXPOSURE | {
        "id": "e1",
        "timestamp": "2026-06-01T13:30:00+02:00",
        "country": "CH",
        "properties": {"page": "search"},
    }

    kept = what_is_kept(make_uow, ingest.take_exposures, event)

    assert kept == [
        Exposure(
            event_id="e1",
            slug=SLUG,
            phase=2,
            variant="treatment",
            unit="u1",
            at=datetime(2026, 6, 1, 11, 30, tzinfo=UTC),
            received_at=NOW,
            properties={"country": "CH", "page": "search"},
        )
    ]


def test_an_outcome_is_read_whole(make_uow):
    event = OUTCOME | {"value": 2, "experiment": f"{SLUG}.p1", "tags": ["a"]}

    kept = what_is_kept(make_uow, ingest.take_outcomes, event)

    assert kept == [
        Outcome(
            event_id="o1",
            unit="u1",
            metric="task_success",
            value=2.0,
            at=NOW,
            received_at=NOW,
            slug=SLUG,
            properties={"tags": ["a"]},
        )
    ]


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
    (kept,) = what_is_kept(make_uow, ingest.take_exposures, EXPOSURE | fields)

    assert (kept.slug, kept.phase) == (SLUG, phase)


@pytest.mark.parametrize(
    ("sent", "kept_as"), [("control", "control"), (0, "control"), (1, "treatment")]
)
def test_a_variation_is_a_key_or_an_index(make_uow, sent, kept_as):
    (kept,) = what_is_kept(make_uow, ingest.take_exposures, EXPOSURE | {"variation": sent})

    assert kept.variant == kept_as


def test_an_exposure_without_an_id_gets_one_of_its_content(make_uow):
    (kept,) = what_is_kept(make_uow, ingest.take_exposures, EXPOSURE)

    assert kept.event_id == hashlib.sha256(f"{SLUG}|2|u1|treatment".encode()).hexdigest()


@pytest.mark.parametrize(
    ("value", "kept_as"),
    [(True, 1.0), (False, 0.0), (3, 3.0), (0.25, 0.25), (None, 1.0), (-0.0, 0.0)],
)
def test_a_value_is_a_number_or_a_boolean_and_one_by_default(make_uow, value, kept_as):
    (kept,) = what_is_kept(make_uow, ingest.take_outcomes, OUTCOME | {"value": value})

    assert kept.value == kept_as


@pytest.mark.parametrize(
    ("fields", "code", "field"),
    [
        ({"experiment": None}, "missing_field", "experiment"),
        ({"unit": None}, "missing_field", "unit"),
        ({"variation": None}, "missing_field", "variation"),
        ({"unit": 17}, "bad_type", "unit"),
        ({"unit": ""}, "bad_value", "unit"),
        ({"unit": "x" * 501}, "bad_value", "unit"),
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
        ({"variation": 2}, "unknown_variation", "variation"),
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


@pytest.mark.parametrize("take", [take_exposures, take_outcomes])
def test_events_sent_twice_are_kept_once(make_uow, take):
    events = [EXPOSURE | OUTCOME | {"id": f"e{i}"} for i in range(50)]

    first = take(make_uow, *events)
    second = take(make_uow, *events, *events)

    assert (first.accepted, first.duplicates) == (50, 0)
    assert (second.received, second.accepted, second.duplicates) == (100, 0, 100)


def test_a_second_variation_of_a_unit_is_kept_too(make_uow):
    receipt = take_exposures(make_uow, EXPOSURE, EXPOSURE | {"variation": "control"})

    assert receipt.accepted == 2


def test_only_a_hundred_faults_are_told(make_uow):
    receipt = take_exposures(make_uow, *[{} for _ in range(250)])

    assert (receipt.rejected, len(receipt.errors)) == (250, 100)


def test_a_refused_event_is_kept_in_quarantine_with_the_reason(make_uow):
    event = EXPOSURE | {"experiment": "late_chunking"}

    take_exposures(make_uow, event)

    with make_uow() as uow:
        (kept,) = uow.quarantine.list()
    assert json.loads(kept.body) == event
    assert (kept.kind, kept.source, kept.received_at) == ("exposure", "k1", NOW)
    assert kept.reason.startswith("unknown_experiment")


def test_an_id_that_cannot_be_printed_is_not_repeated(make_uow):
    receipt = take_exposures(make_uow, {"id": "\ud800"}, {"id": "x" * 501}, {"id": 5})

    assert [fault.id for fault in receipt.errors] == [None, None, None]


def test_times_at_the_edges_are_taken(make_uow):
    edges = [NOW + timedelta(hours=24), NOW - timedelta(days=30)]
    events = [EXPOSURE | {"unit": at.isoformat(), "timestamp": at.isoformat()} for at in edges]

    receipt = take_exposures(make_uow, *events)

    assert receipt.accepted == 2

"""Read by columns or one by one, a batch means the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from expplat.domain.poc import Stage
from expplat.flow import event_reading
from expplat.flow.event_judging import Incoming, judge, judge_all
from expplat.flow.event_times import Arrival
from expplat.flow.plain_batches import plain_exposures, plain_outcomes
from tests.builders import SLUG, T0, a_poc, a_transition

NOW = T0 + timedelta(days=2)
EXPOSURE = {
    "id": "e1",
    "experiment": f"{SLUG}.p1",
    "variation": 1,
    "unit": "u1",
    "timestamp": NOW.isoformat(),
}
OUTCOME = {
    "id": "o1",
    "unit": "u1",
    "metric": "task_success",
    "value": 1,
    "timestamp": NOW.isoformat(),
}
READ = {"exposure": (EXPOSURE, plain_exposures), "outcome": (OUTCOME, plain_outcomes)}

TEXTS = st.sampled_from(
    [
        *("", "a", "b", "ü", "x" * 500, "x" * 501, "ü" * 500, "語" * 333, "語" * 334, "😀" * 250),
        *("😀" * 251, "a\0b", "\ud800"),
    ]
)
ODD = st.sampled_from([None, True, 0, 7, -1, 10**400, 1e300, float("nan"), float("inf"), [], {}])
TIMES = st.sampled_from(
    [
        NOW.isoformat(),
        (NOW - timedelta(hours=1)).isoformat().replace("+00:00", "Z"),
        "2026-06-01",
        "2026-06-01T12:00:00",
        NOW.isoformat().replace("+00:00", "+02:00"),
        (NOW + timedelta(hours=25)).isoformat(),
        (NOW - timedelta(days=31)).isoformat(),
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "yesterday",
    ]
)
FIELDS = {
    "id": TEXTS | ODD,
    "experiment": st.sampled_from(
        [SLUG, f"{SLUG}.p1", f"{SLUG}.p2", f"{SLUG}.p9", "unknown.p1", "\ud800.p1"]
    )
    | ODD,
    "variation": st.sampled_from(["control", "treatment", "treatment_b", 0, 1, 2, 1.0]) | ODD,
    "unit": TEXTS | ODD,
    "metric": TEXTS | ODD,
    "value": st.sampled_from([0, 1, 0.5, True, 1e-101, "1"]) | ODD,
    "timestamp": TIMES | ODD,
    "phase": st.sampled_from([1, 2, 3]) | ODD,
    "country": TEXTS | ODD,
    "properties": st.sampled_from([{}, {"page": "search"}, {"x": {"\ud800": 1}}]) | ODD,
}


BESIDE = ("country", "experiment", "phase", "properties")


class Pocs:
    """One POC in its second phase."""

    def find(self, slug):
        if slug != SLUG:
            return a_poc(slug="nothing")
        second = a_poc(Stage.ROLLED_BACK)
        for stage, phase in ((Stage.PROPOSED, 1), (Stage.REPLAYED, 1), (Stage.PROMOTED, 2)):
            begun = a_transition(stage, phase=phase, at=NOW - timedelta(minutes=30))
            second = second.advance(begun)
        return second


@st.composite
def batches(draw):
    """Batches of plain events in which a few things may be odd."""
    kind = draw(st.sampled_from(["exposure", "outcome"]))
    plain, _ = READ[kind]
    hours = draw(st.lists(st.integers(0, 3), min_size=1, max_size=4))
    events = [
        {**plain, "id": f"id-{i}", "timestamp": (NOW - timedelta(hours=hour)).isoformat()}
        for i, hour in enumerate(hours)
    ]
    for _ in range(draw(st.integers(0, 3))):
        event = draw(st.sampled_from(events))
        field = draw(st.sampled_from(sorted({*plain, *BESIDE})))
        if draw(st.integers(0, 5)):
            event[field] = draw(FIELDS[field])
        else:
            event.pop(field, None)
    if draw(st.integers(0, 9)) == 0:
        events.append(draw(ODD))
    return kind, events


def arrival(**changes):
    return Arrival(received_at=NOW, **changes)


@settings(max_examples=1000, deadline=None)
@given(batch=batches(), behind=st.sampled_from([timedelta(), timedelta(hours=1)]))
def test_a_batch_read_by_columns_is_read_as_one_by_one(batch, behind):
    kind, events = batch
    incoming = [Incoming(kind, event) for event in events]
    came = arrival(behind=behind)

    together = judge_all(incoming, event_reading.Tests(Pocs()), came)

    tests = event_reading.Tests(Pocs())
    assert together == [judge(event, tests, came) for event in incoming]


@pytest.mark.parametrize("kind", READ)
def test_plain_events_are_read_by_columns(kind):
    event, read = READ[kind]
    more = {**event, "id": "other", "country": "CH", "properties": {"page": "search"}}

    found = read([event, more], event_reading.Tests(Pocs()), arrival())

    assert found is not None
    assert [one.properties for one in found] == [{}, {"country": "CH", "page": "search"}]


@pytest.mark.parametrize("kind", READ)
def test_plain_events_may_hold_letters_beyond_ascii(kind):
    event, read = READ[kind]

    assert read([{**event, "unit": "語" * 333}], event_reading.Tests(Pocs()), arrival())
    assert read([{**event, "unit": "語" * 334}], event_reading.Tests(Pocs()), arrival()) is None


@pytest.mark.parametrize("kind", READ)
def test_events_of_a_clock_that_is_wrong_are_read_one_by_one(kind):
    event, read = READ[kind]

    assert read([event], event_reading.Tests(Pocs()), arrival(behind=timedelta(hours=1))) is None


def test_events_of_both_kinds_are_read_one_by_one():
    both = [Incoming("exposure", EXPOSURE), Incoming("outcome", OUTCOME)]

    judged = judge_all(both, event_reading.Tests(Pocs()), arrival())

    assert [type(one.taken).__name__ for one in judged] == ["Exposure", "Outcome"]


def test_what_is_told_of_a_holdout_is_ignored_among_plain_events():
    told = {**EXPOSURE, "id": "e2", "experiment": "holdout-all"}
    events = [Incoming("exposure", event) for event in (EXPOSURE, told)]

    plain, ignored = judge_all(events, event_reading.Tests(Pocs()), arrival())

    assert plain.taken is not None
    assert (ignored.taken, ignored.refusal) == (None, None)


def test_no_events_are_no_fault():
    assert judge_all([], event_reading.Tests(Pocs()), arrival()) == []

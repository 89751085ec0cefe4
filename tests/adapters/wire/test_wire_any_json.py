"""Whatever comes over the wire is taken, refused with a code, or ignored; nothing else happens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.adapters.wire import growthbook_track, segment
from expplat.domain.poc import Stage
from expplat.flow import event_reading
from expplat.flow.event_judging import Incoming, judge, quarantined
from expplat.flow.event_times import Arrival
from tests.builders import SLUG, a_poc

NOW = datetime(2026, 6, 1, tzinfo=UTC)
NAMES = (
    "id", "unit", "metric", "value", "timestamp", "experiment", "variation", "phase", "properties",
    "type", "event", "messageId", "userId", "anonymousId", "event_name", "properties_json",
    "attributes", "context_json", "user_id", "device_id", "experiment_id", "variation_id",
    "variation_key", "hash_attribute", "hash_value", "hashAttribute", "revenue", "in_experiment",
)  # fmt: skip
WORDS = (SLUG, f"{SLUG}.p1", "treatment", "control", "track", "Experiment Viewed", "user_id", "1")
leaf = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.just(10**400),
    st.floats(),
    st.text(st.characters(), max_size=8),
    st.sampled_from(WORDS),
    st.datetimes().map(lambda at: f"{at.isoformat()}Z"),
)
names = st.one_of(st.sampled_from(NAMES), st.text(st.characters(), max_size=5))
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=8),
    max_leaves=25,
)
events = st.dictionaries(st.sampled_from(NAMES), anything, max_size=12) | anything


class OnePoc:
    """One POC, in its test."""

    def find(self, slug):
        return a_poc(Stage.PROMOTED) if slug == SLUG else a_poc(None, slug=slug)


TESTS = event_reading.Tests(OnePoc())


@pytest.mark.parametrize(
    "translate",
    [
        lambda event: Incoming(kind="exposure", event=event),
        lambda event: Incoming(kind="outcome", event=event),
        segment.translate,
        lambda event: growthbook_track.translate(event, lambda: "new"),
    ],
    ids=["exposure", "outcome", "segment", "growthbook"],
)
@given(event=events, behind=st.timedeltas(), received_at=st.just(NOW))
def test_an_event_is_taken_refused_or_ignored(translate, event, behind, received_at):
    arrival = Arrival(received_at=received_at, behind=behind)

    judged = judge(translate(event), TESTS, arrival)

    is_ignored = judged.incoming.kind == "ignored"
    assert [judged.taken is None, judged.refusal is None].count(False) == (not is_ignored)
    if judged.refusal is not None:
        kept = quarantined(judged, judged.refusal, "k")
        assert judged.refusal.code
        assert kept is None or kept.code == judged.refusal.code
    elif judged.taken is not None:
        assert NOW - timedelta(days=30) <= judged.taken.at <= NOW + timedelta(hours=24)
        assert judged.taken.unit

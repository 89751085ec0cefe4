from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from growthbook import GrowthBook

from expplat.adapters.growthbook.rest import CALLS_A_MINUTE, GrowthBookRest
from expplat.adapters.growthbook.rules import feature
from expplat.adapters.growthbook.server import GrowthBookServer
from expplat.adapters.growthbook.wanted import computed_ranges, wanted_flag
from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Stage
from expplat.errors import ConfigurationError, DriftError, FlagServerError, InputError
from expplat.flow.flags import FlagState
from expplat.flow.push import push_flags
from tests.builders import T0
from tests.growthbook_fake import KEY, FakeGrowthBook, RefusalError, a_growthbook

SLUG = "hybrid_rrf"
OTHERS_RULE = {
    "type": "force", "id": "qa", "description": "testers see it", "value": "treatment",
    "condition": '{"team":"qa"}', "enabled": True, "allEnvironments": True, "environments": [],
    "savedGroupTargeting": [], "prerequisites": [],
}  # fmt: skip
"""A rule that a person made in GrowthBook."""


def a_state(percent: float = 5.0, **changes) -> FlagState:
    state = FlagState(
        slug=SLUG,
        phase=1,
        stage=Stage.PROMOTED,
        traffic_percent=percent,
        unit="user_id",
        changed_at=T0,
    )
    return replace(state, **changes)


GRADUATED = a_state(0, stage=Stage.GRADUATED)
ROLLED_BACK = a_state(0, stage=Stage.ROLLED_BACK, unit="")
CLOSED = a_state(is_closed=True)
TARGETED = a_state(targeting={"country": {"$in": ["DE", "FR"]}})
STATES = {
    "5 %": a_state(),
    "20 %": a_state(20),
    "all": a_state(100),
    "graduated": GRADUATED,
    "rolled back": ROLLED_BACK,
    "targeted": TARGETED,
    "graduated for some": replace(GRADUATED, targeting=TARGETED.targeting),
    "three arms": a_state(10, arms=("control", "treatment", "other")),
}


@pytest.fixture
def fake() -> Iterator[FakeGrowthBook]:
    with a_growthbook() as fake:
        yield fake


@pytest.fixture
def server(fake: FakeGrowthBook) -> GrowthBookServer:
    return a_server(fake)


def a_server(fake: FakeGrowthBook, key: str = KEY, url: str = "") -> GrowthBookServer:
    rest = GrowthBookRest(url or fake.address, key, clock=fake.time.clock, sleep=fake.time.sleep)
    return GrowthBookServer(rest, environment="production", now=lambda: datetime.now(UTC))


def held(fake: FakeGrowthBook):
    """All that the server holds, but for when."""
    held = copy.deepcopy((fake.experiments, fake.features))
    for experiment in held[0].values():
        for phase in experiment["phases"]:
            phase["dateStarted"] = ""
    return held


def assigned(features, *, units: int = 2000, **attributes) -> list[str]:
    """What the official SDK serves each of so many users."""
    served = []
    for number in range(units):
        sdk = GrowthBook(attributes={"user_id": f"user-{number}"} | attributes, features=features)
        served.append(sdk.get_feature_value(SLUG, "control"))
        sdk.destroy()
    return served


def only_rule(fake: FakeGrowthBook):
    (rule,) = fake.features[SLUG]["rules"]
    return rule


def test_a_flag_walks_from_its_first_users_to_everybody(fake, server):
    for percent in (5, 20, 100):
        pushed = server.push(a_state(percent))

        assert pushed.writes
        (experiment,) = fake.experiments.values()
        assert experiment["status"] == "running"
        assert experiment["phases"][0]["coverage"] == percent / 100
        assert only_rule(fake)["experimentId"] == experiment["id"]
    server.push(GRADUATED)

    (experiment,) = fake.experiments.values()
    assert experiment["status"] == "stopped"
    assert experiment["resultSummary"]["releasedVariationId"] == "treatment"
    assert fake.features[SLUG]["defaultValue"] == "treatment"
    assert fake.features[SLUG]["rules"] == []


@pytest.mark.parametrize("name", STATES)
def test_a_second_push_writes_nothing(fake, server, name):
    server.push(a_state())
    if STATES[name].targeting or len(STATES[name].arms) > 2:
        fake.experiments.clear()
        fake.features.clear()
    server.push(STATES[name])
    fake.writes.clear()

    pushed = server.push(STATES[name])

    assert pushed.writes == ()
    assert fake.writes == []


@pytest.mark.parametrize("name", STATES)
def test_what_growthbook_then_serves_is_what_is_served_here(fake, server, name):
    server.push(STATES[name])

    for country in ("DE", "US"):
        there = assigned(fake.payload(), country=country)
        here = assigned({SLUG: feature(STATES[name])}, country=country)
        assert there == here


def test_a_wider_test_moves_nobody(fake, server):
    arms = []
    for percent in (5, 20, 50, 100):
        server.push(a_state(percent))
        arms.append(assigned(fake.payload()))

    for narrow, wide in itertools.pairwise(arms):
        in_treatment = [place for place, arm in enumerate(narrow) if arm == "treatment"]
        assert {wide[place] for place in in_treatment} == {"treatment"}


def test_the_whole_phase_is_sent_each_time(fake, server):
    state = replace(TARGETED, requires="late_chunking")
    server.push(state)
    server.push(replace(state, traffic_percent=20))

    *_, (place, body) = fake.writes
    assert place.startswith("/v1/experiments/")
    (phase,) = body["phases"]
    assert phase.keys() >= {
        "seed", "coverage", "variationWeights", "condition", "prerequisites", "namespace",
        "savedGroupTargeting", "dateStarted",
    }  # fmt: skip
    assert phase["seed"] == f"{SLUG}.p1"
    assert phase["variationWeights"] == [0.5, 0.5]


def test_a_ramp_is_one_write_and_keeps_when_the_test_began(fake, server):
    server.push(a_state())
    (before,) = fake.experiments.values()
    begun = before["phases"][0]["dateStarted"]
    fake.writes.clear()

    server.push(a_state(20))

    (after,) = fake.experiments.values()
    assert len(fake.writes) == 1
    assert after["phases"][0]["dateStarted"] == begun


def test_a_rollback_takes_the_rule_away_before_anything_else(fake, server):
    server.push(a_state(50))
    fake.writes.clear()

    server.push(ROLLED_BACK)

    first, _ = fake.writes[0]
    assert first == f"/v2/features/{SLUG}"
    (experiment,) = fake.experiments.values()
    assert experiment["status"] == "stopped"
    assert experiment["resultSummary"]["excludeFromPayload"] is True
    assert set(assigned(fake.payload(), units=300)) == {"control"}


def test_the_brake_switches_the_flag_off_and_its_release_on_again(fake, server):
    server.push(a_state(100))
    before = held(fake)
    fake.writes.clear()

    server.push(replace(CLOSED, traffic_percent=100))

    assert [place for place, _ in fake.writes] == [f"/v2/features/{SLUG}/toggle"]
    assert fake.payload() == {}
    server.push(a_state(100))
    assert held(fake) == before


def test_a_closed_flag_that_was_never_there_is_not_made(fake, server):
    assert server.push(CLOSED).writes == ()
    assert held(fake) == ({}, {})


def test_rules_of_others_stay_where_they_are(fake, server):
    server.push(a_state())
    ours = fake.features[SLUG]["rules"]
    below = OTHERS_RULE | {"id": "later"}
    fake.features[SLUG]["rules"] = [OTHERS_RULE, *ours, below]

    for state in (a_state(20), replace(a_state(), phase=2), a_state(5, phase=2)):
        server.push(state)
        assert [rule["id"] for rule in fake.features[SLUG]["rules"]] == [
            "qa", f"{SLUG}.p{state.phase}", "later",
        ]  # fmt: skip
    server.push(replace(GRADUATED, phase=2))

    assert fake.features[SLUG]["rules"] == [OTHERS_RULE, below]


@pytest.mark.parametrize("kind", ["features", "experiments"])
def test_what_does_not_bear_our_tag_is_never_touched(fake, server, kind):
    server.push(a_state())
    for thing in getattr(fake, kind).values():
        thing["tags"] = ["growth-team"]
    before = held(fake)

    with pytest.raises(InputError, match="not ours"):
        server.push(a_state(20))

    assert held(fake) == before


def test_another_phase_ends_the_experiment_of_the_one_before(fake, server):
    server.push(a_state(50))

    server.push(a_state(5, phase=2))

    first, second = fake.experiments.values()
    assert (first["status"], second["status"]) == ("stopped", "running")
    assert only_rule(fake)["experimentId"] == second["id"]


def test_a_test_that_somebody_stopped_there_is_not_begun_again(fake, server):
    server.push(a_state(50))
    (experiment,) = fake.experiments.values()
    experiment["status"] = "stopped"

    with pytest.raises(InputError, match="Somebody stopped"):
        server.push(a_state(100))


@pytest.mark.parametrize(
    "change",
    [{"coverage": 1}, {"seed": "another"}, {"targetingCondition": '{"country":"DE"}'}],
)
def test_what_somebody_changed_there_is_set_back(fake, server, change):
    server.push(a_state())
    (experiment,) = fake.experiments.values()
    before = held(fake)
    experiment["phases"][0] |= change

    pushed = server.push(a_state())

    assert next(iter(change)).removeprefix("targeting").lower() in pushed.writes[0]
    assert held(fake) == before


def test_another_order_of_the_arms_is_an_error(fake, server):
    server.push(a_state())
    (experiment,) = fake.experiments.values()
    experiment["variations"].reverse()

    with pytest.raises(InputError, match="other arms"):
        server.push(a_state(20))


STEPS = ("5 %", "20 %", "rolled back", "graduated")


@pytest.mark.parametrize("last", STEPS)
@pytest.mark.parametrize("writes", range(4))
def test_a_push_that_is_cut_off_anywhere_is_completed_by_the_next(last, writes):
    with a_growthbook() as whole, a_growthbook() as cut:
        for fake in (whole, cut):
            if last != "5 %":
                a_server(fake).push(a_state(50))
        a_server(whole).push(STATES[last])
        cut.dies_after = writes
        with_cut = a_server(cut)
        needed = len(a_server(cut).push(STATES[last], is_dry_run=True).writes)
        if writes < needed:
            with pytest.raises(FlagServerError):
                with_cut.push(STATES[last])
        cut.dies_after = None

        a_server(cut).push(STATES[last])

        assert held(cut) == held(whole)


def test_a_write_of_somebody_else_in_between_is_read_and_respected(fake, server):
    server.push(a_state())

    def somebody_writes():
        fake.features[SLUG]["rules"].insert(0, OTHERS_RULE)
        fake.before_write = lambda: None

    fake.conflicts = 1
    fake.before_write = somebody_writes

    server.push(GRADUATED)

    assert fake.features[SLUG]["rules"] == [OTHERS_RULE]


def test_a_server_that_keeps_something_else_is_an_error(fake, server):
    server.push(a_state())

    def somebody_widens():
        (experiment,) = fake.experiments.values()
        experiment["phases"][0]["coverage"] = 1

    fake.after_write = somebody_widens

    with pytest.raises(DriftError, match=r"coverage is 1, not 0\.2"):
        server.push(a_state(20))


def test_a_dry_run_writes_nothing_and_says_all(fake, server):
    said = server.push(a_state(), is_dry_run=True)

    assert held(fake) == ({}, {})
    assert said.writes == server.push(a_state()).writes


def test_no_more_calls_are_made_in_a_minute_than_allowed(fake, server):
    slugs = [f"poc_{number}" for number in range(40)]
    states = [a_state(slug=slug) for slug in slugs]

    done = list(push_flags([], states, server=server))

    assert [pushed.fault for pushed in done] == [""] * 40
    assert len(fake.experiments) == 40
    minutes = len(fake.calls) / CALLS_A_MINUTE
    assert sum(fake.time.slept) == pytest.approx(60 * int(minutes), abs=61)
    assert fake.time.slept


def test_a_server_that_is_asked_too_often_is_waited_for_as_long_as_it_says(fake, server):
    fake.calls_a_minute = 4

    server.push(a_state())

    assert set(fake.time.slept) == {30.0}
    assert len(fake.features) == 1


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (RefusalError(422, "Request body: [phases.0.coverage] too big"), "phases.0.coverage"),
        (RefusalError(400, "Invalid environment: production"), "Invalid environment"),
        (
            RefusalError(422, "blocked", gates=[{"messages": ["a custom hook says no"]}]),
            "hook says no",
        ),
    ],
)
def test_a_refusal_is_told_in_the_words_of_the_server(fake, server, refusal, words):
    fake.refuses = refusal

    with pytest.raises(InputError) as caught:
        server.push(a_state())

    assert words in caught.value.message


def test_a_key_that_may_not_write_is_told_of_approvals(fake, server):
    fake.refuses = RefusalError(
        403, "This feature requires a review and the API key being used does not"
    )

    with pytest.raises(ConfigurationError) as caught:
        server.push(a_state())

    assert "approvals" in caught.value.hint
    assert caught.value.exit_status == 78


def test_an_unknown_key_is_a_wrong_setting_and_is_not_told(fake):
    with pytest.raises(ConfigurationError) as caught:
        a_server(fake, key="secret_wrong").push(a_state())

    assert "secret_wrong" not in caught.value.message + caught.value.hint


def test_a_server_that_is_away_is_a_dependency(fake):
    with pytest.raises(FlagServerError) as caught:
        a_server(fake, url="http://127.0.0.1:9").push(a_state())

    assert caught.value.exit_status == 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ftp://gb",
        "gb.example",
        "http://me:pass@gb",
        "file:///etc/passwd",
        "http://gb?x=1",
        "http://[",
        "http://gb:99999",
        "http://a b",
    ],
)
def test_only_plain_addresses_of_http_are_called(fake, url):
    with pytest.raises(ConfigurationError, match="EXPPLAT_GROWTHBOOK_URL"):
        GrowthBookRest(url, KEY)


@pytest.mark.parametrize("key", ["", "with space", "ünicode", "line\nbreak"])
def test_a_key_that_cannot_be_one_is_refused(fake, key):
    with pytest.raises(ConfigurationError, match="EXPPLAT_GROWTHBOOK_KEY"):
        a_server(fake, key=key)


@pytest.mark.parametrize(
    "changes",
    [
        {"holdout": Holdout(name="autumn", percent=5.0)},
        {"exclusion": Exclusion(group="search", from_percent=0.0, to_percent=50.0)},
    ],
)
def test_what_growthbook_would_serve_to_others_is_not_pushed(fake, server, changes):
    with pytest.raises(InputError, match="cannot be pushed"):
        server.push(a_state(**changes))

    assert fake.calls == []


def test_one_flag_that_cannot_be_pushed_does_not_keep_the_others(fake, server):
    unfit = a_state(slug="a_poc", holdout=Holdout(name="autumn", percent=5.0))

    first, second = push_flags([], [unfit, a_state()], server=server)

    assert first.fault
    assert first.exit_status == 2
    assert second.writes


def test_flags_that_close_are_pushed_first_and_a_required_one_before_those_that_need_it(server):
    states = [
        a_state(slug="a", requires="b"), a_state(slug="b", requires="c"), a_state(slug="c"),
        replace(ROLLED_BACK, slug="z"),
    ]  # fmt: skip

    done = push_flags([], states, server=server, is_dry_run=True)

    assert [pushed.slug for pushed in done] == ["z", "c", "b", "a"]


def test_growthbook_computes_our_ranges_for_every_share_that_we_serve():
    """Of coverage and weights, for two arms; and nobody changes arms past the fourth decimal."""
    buckets = np.arange(10_000) / 10_000
    for hundredth in range(10_001):
        rule = feature(a_state(hundredth / 100))["rules"][0]
        ours = tuple((start, end) for start, end in rule["ranges"])
        assert computed_ranges(rule["coverage"], rule["weights"]) == ours

        ends = np.array([0.5 * arm + rule["coverage"] * 0.5 for arm in (0, 1)])
        theirs = [(buckets >= 0.5 * arm) & (buckets < ends[arm]) for arm in (0, 1)]
        here = [(buckets >= start) & (buckets < end) for start, end in ours]
        assert not (theirs[0] & here[1]).any()
        assert not (theirs[1] & here[0]).any()
        # One bucket, on the end of the treatment, may be in the one and out of the other.
        assert (theirs[0] == here[0]).all()
        assert (theirs[1] != here[1]).sum() <= 1


@pytest.mark.parametrize("percent", [1.0, 33.33, 50.0, 99.0, 100.0])
def test_three_arms_can_be_pushed_too(percent):
    assert wanted_flag(a_state(percent, arms=("control", "treatment", "other"))).test is not None

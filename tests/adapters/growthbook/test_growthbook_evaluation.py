"""What is evaluated here is what the official SDK would say with the same payload in memory."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from growthbook import GrowthBook

from expplat.adapters.growthbook.evaluation import Evaluator, User
from expplat.adapters.growthbook.payload import UpstreamFlags, render
from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState

SLUG = "hybrid_rrf"
USERS = [
    {"user_id": f"user-{i}", "account": f"a{i % 50}", "country": "CH" if i % 3 else "DE"}
    for i in range(500)
]


def a_state(slug=SLUG, **changes):
    facts = {
        "slug": slug,
        "phase": 1,
        "stage": Stage.PROMOTED,
        "traffic_percent": 60.0,
        "unit": "user_id",
        "changed_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return FlagState(**facts | changes)


SHAPES = {
    "plain": [a_state()],
    "three arms": [a_state(arms=("control", "treatment", "treatment_b"))],
    "targeted": [a_state(targeting={"country": "CH"})],
    "exclusive": [a_state(exclusion=Exclusion(group="g", from_percent=0, to_percent=50))],
    "held out": [a_state(holdout=Holdout(name="h", percent=20))],
    "graduated": [a_state(stage=Stage.GRADUATED, holdout=Holdout(name="h", percent=20))],
    "dependent": [a_state(requires="parent"), a_state("parent", unit="account")],
    "braked": [a_state(is_closed=True)],
}


def by_sdk(features, user):
    tracked = []
    sdk = GrowthBook(
        features=features,
        attributes=user,
        on_experiment_viewed=lambda experiment, result, user_context: tracked.append(
            (experiment.key, result.key, result.hashValue)
        ),
    )
    return sdk.eval_feature(SLUG).value, tracked


@pytest.mark.parametrize("shape", SHAPES)
def test_values_and_exposures_are_those_of_the_sdk(shape):
    payload = render(SHAPES[shape])
    evaluator = Evaluator(payload)

    for user in USERS:
        found = evaluator.evaluate(SLUG, User(attributes=user))
        shown = [(one.tracking_key, one.variation, one.unit) for one in found.shown]
        assert (found.value, shown) == by_sdk(json.loads(payload.features), user)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_client_that_sees_no_rules_tracks_and_serves_what_one_that_sees_them_would(shape):
    payload = render(SHAPES[shape])
    evaluator = Evaluator(payload)

    for user in USERS[:100]:
        reduced = json.loads(evaluator.reduced(User(attributes=user)))
        rules = [rule for one in reduced["features"].values() for rule in one.get("rules", [])]
        assert all(set(rule) == {"force", "tracks"} for rule in rules)
        assert by_sdk(reduced["features"], user) == by_sdk(json.loads(payload.features), user)


@pytest.mark.parametrize(
    ("shape", "reasons"),
    [
        ("plain", {"SPLIT", "DEFAULT"}),
        ("targeted", {"SPLIT", "DEFAULT"}),
        ("held out", {"SPLIT", "DEFAULT"}),
        ("braked", {"STATIC"}),
    ],
)
def test_the_reason_says_where_the_value_is_from(shape, reasons):
    evaluator = Evaluator(render(SHAPES[shape]))

    found = [evaluator.evaluate(SLUG, User(attributes=user)) for user in USERS]

    assert {one.reason for one in found} == reasons
    assert all((one.tracking_key is not None) == (one.reason == "SPLIT") for one in found)
    assert all(one.variant == one.value for one in found)


def test_a_flag_hashes_its_unit_and_those_of_the_flags_that_it_requires():
    evaluator = Evaluator(render(SHAPES["dependent"]))

    assert evaluator.units_of(SLUG) == {"user_id", "account"}
    assert evaluator.units_of("parent") == {"account"}
    assert evaluator.units_of("expplat") == set()


def test_flags_that_require_each_other_come_to_an_end():
    states = [a_state("one", requires="two"), a_state("two", requires="one")]
    evaluator = Evaluator(render(states))

    found = evaluator.evaluate("one", User(attributes=USERS[0]))

    assert evaluator.units_of("one") == {"user_id"}
    assert (found.value, found.reason) == (None, "UNKNOWN")


STRANGE = {
    "rules that are none": {"rules": [{"filters": 7}]},
    "a condition that is none": {"rules": [{"condition": ["a"], "force": 1}], "defaultValue": 0},
    "ranges that are none": {"rules": [{"variations": [0, 1], "ranges": "half", "key": "k"}]},
    "no fields": {},
    "an empty arm": {"rules": [{"variations": [], "key": "k"}], "defaultValue": 3},
    "an unknown parent": {"rules": [{"parentConditions": [{"id": "x"}, {}], "force": 1}]},
    "parents that are none": {"rules": [{"parentConditions": {"id": "x"}, "force": 1}]},
}


@pytest.mark.parametrize("name", STRANGE)
def test_rules_of_an_upstream_that_cannot_be_read_take_no_other_flag_away(name):
    upstream = UpstreamFlags(features={"strange": STRANGE[name]})
    evaluator = Evaluator(render([a_state(traffic_percent=100.0)], None, upstream))
    user = User(attributes=USERS[0])

    if "strange" in evaluator.flags:
        evaluator.evaluate("strange", user)

    reduced = json.loads(evaluator.reduced(user))
    assert reduced["features"][SLUG]["defaultValue"] in ("control", "treatment")
    assert [evaluator.units_of(flag) for flag in evaluator.flags]


SLOW = {"email": {"$regex": "^([a-z0-9]+)+@corp$"}}


def test_a_pattern_is_not_matched_here_nor_is_what_hangs_on_it():
    upstream = UpstreamFlags(
        features={
            "slow": {"defaultValue": 0, "rules": [{"condition": {"$not": SLOW}, "force": 1}]},
            "of_a_group": {
                "defaultValue": 0,
                "rules": [{"condition": {"$savedGroups": ["staff"]}, "force": 1}],
            },
            "child": {
                "defaultValue": 0,
                "rules": [{"parentConditions": [{"id": "slow", "condition": {"value": 1}}]}],
            },
            "grandchild": {
                "defaultValue": 0,
                "rules": [{"parentConditions": [{"id": "child", "condition": {"value": 1}}]}],
            },
            "plain": {"defaultValue": '{"$regex":', "rules": []},
        },
        saved_groups={"staff": {"condition": SLOW}},
    )
    evaluator = Evaluator(render([a_state(traffic_percent=100.0)], None, upstream))

    assert set(evaluator.flags) == {SLUG, "expplat", "plain"}

"""Who enters a test: four official SDKs and the arithmetic on paper agree on every user."""

from __future__ import annotations

import functools
import itertools
import json
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from expplat.adapters.growthbook.payload import render
from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Stage
from expplat.flow.flags import FlagState
from tests.sdk.official import Answer, NodeJob, by_async_python, by_python

USERS = 10_000
SLUG = "hybrid_rrf"
PARENT = "parent"
RAG_FIRST_HALF = Exclusion(group="rag", from_percent=0, to_percent=50)
RAG_SECOND_HALF = Exclusion(group="rag", from_percent=50, to_percent=100)
HOLDOUT = Holdout(name="search_2026", percent=12.5)
HELD_OUT = (("holdout-search_2026", "control"),)
TARGETING = {
    "country": {"$in": ["CH", "DE"]},
    "plan.tier": {"$ne": "free"},
    "$or": [{"age": {"$gte": 30}}, {"app": {"$vgte": "2.10.0"}}, {"tags": {"$size": 2}}],
}


def a_state(slug: str = SLUG, **changes: Any) -> FlagState:
    state = {
        "slug": slug,
        "phase": 1,
        "stage": Stage.PROMOTED,
        "traffic_percent": 60.0,
        "unit": "user_id",
        "changed_at": datetime(2026, 11, 22, tzinfo=UTC),
    }
    return FlagState(**state | changes)


ENTRANCES: dict[str, dict[str, Any]] = {
    "everybody": {},
    "targeting": {"targeting": TARGETING},
    "exclusion": {"exclusion": RAG_FIRST_HALF},
    "holdout": {"holdout": HOLDOUT},
    "prerequisite": {"requires": PARENT},
    "three arms": {"arms": ("control", "treatment", "treatment_b")},
    "all together": {
        "targeting": TARGETING,
        "exclusion": RAG_FIRST_HALF,
        "holdout": HOLDOUT,
        "requires": PARENT,
        "arms": ("control", "treatment", "treatment_b"),
    },
}
GRADUATED = {
    "stage": Stage.GRADUATED,
    "targeting": TARGETING,
    "holdout": HOLDOUT,
    "requires": PARENT,
}
STATES = {name: a_state(**changes) for name, changes in ENTRANCES.items()} | {
    "graduated": a_state(**GRADUATED)
}


PARENT_STATE = a_state(PARENT, traffic_percent=80.0)


def features(*states: FlagState) -> dict[str, Any]:
    return json.loads(render(states).body)["features"]


def payload(state: FlagState) -> dict[str, Any]:
    return features(state, PARENT_STATE)


@functools.cache
def users() -> list[dict[str, Any]]:
    """Users of all sorts; about half lack an attribute, or have it in another type."""
    dice = random.Random(7)
    choices: dict[str, tuple[Any, ...]] = {
        "country": ("CH", "DE", "FR", "", None, 5, ["CH"]),
        "age": (18, 29.5, 30, 64, "40", None, True),
        "plan": ({"tier": "free"}, {"tier": "team"}, {}, "team", ["free"]),
        "app": ("2.9.9", "2.10.0", "2.10.0-rc.1", "v3.0", 3, ""),
        "tags": ([], ["a", "b"], ["a", "b", "c"], "ab", {"length": 2}),
    }
    return [
        {"user_id": f"user-{index}"}
        | {name: dice.choice(values) for name, values in choices.items() if dice.random() < 0.9}
        for index in range(USERS)
    ]


def bucket(seed: str, user: dict[str, Any]) -> int:
    def fnv1a_32(text: str) -> int:
        value = 0x811C9DC5
        for byte in text.encode():
            value = ((value ^ byte) * 0x01000193) % 2**32
        return value

    return fnv1a_32(str(fnv1a_32(seed + user["user_id"]))) % 10_000


def is_meant(user: dict[str, Any]) -> bool:
    """TARGETING, read as a person would."""
    country, age, app, tags = (user.get(name) for name in ("country", "age", "app", "tags"))
    tier = user["plan"].get("tier") if isinstance(user.get("plan"), dict) else None
    is_of_age = type(age) in (int, float) and age >= 30
    is_there = country in ("CH", "DE") if isinstance(country, str) else country == ["CH"]
    is_new = app in ("2.10.0", "v3.0")
    has_two = isinstance(tags, list) and len(tags) == 2
    return is_there and tier != "free" and (is_of_age or is_new or has_two)


def by_hand(state: FlagState, user: dict[str, Any]) -> Answer:
    """Value and tracked experiments by the published hash, with nothing of an SDK."""
    seen: tuple[tuple[str, str], ...] = ()
    if state.holdout:
        if bucket("holdout-search_2026", user) < 1_250:
            return "control", HELD_OUT
        seen = (("holdout-search_2026", "passthrough"),)
    if state.requires:
        served, seen_before = by_hand(PARENT_STATE, user)
        seen += seen_before
        if served != "treatment":
            return "control", seen
    if state.targeting and not is_meant(user):
        return "control", seen
    if state.is_graduated:
        return "treatment", seen
    arm = arm_by_hand(state, user)
    return ("control", seen) if arm is None else (arm, (*seen, (f"{state.slug}.p1", arm)))


def arm_by_hand(state: FlagState, user: dict[str, Any]) -> str | None:
    if state.exclusion and bucket("rag", user) >= 5_000:
        return None
    starts = {2: (0, 5_000), 3: (0, 3_333, 6_667)}[len(state.arms)]
    width = int(state.traffic_percent * 100 / len(state.arms) + 1e-6)
    place = bucket(f"{state.slug}.p1", user)
    for arm, start in zip(state.arms, starts, strict=True):
        if start <= place < start + width:
            return arm
    return None


@pytest.fixture(scope="module")
def node_answers(node, tmp_path_factory) -> dict[str, tuple[list[Answer], list[Answer]]]:
    """What both Node classes say of every state, from one process."""
    job = NodeJob(payloads=[(payload(state), SLUG) for state in STATES.values()], users=users())
    answers, _ = job.done(node, tmp_path_factory.mktemp("node"))
    return dict(zip(STATES, answers, strict=True))


@pytest.mark.parametrize("name", STATES)
def test_both_python_classes_and_the_arithmetic_agree_on_every_user(name):
    expected = [by_hand(STATES[name], user) for user in users()]

    assert by_python(payload(STATES[name]), SLUG, users()) == expected
    assert by_async_python(payload(STATES[name]), SLUG, users()) == expected
    assert len({value for value, _ in expected}) == (3 if len(STATES[name].arms) == 3 else 2)


@pytest.mark.node
@pytest.mark.parametrize("name", STATES)
def test_both_node_classes_and_the_arithmetic_agree_on_every_user(name, node_answers):
    expected = [by_hand(STATES[name], user) for user in users()]

    for answers in node_answers[name]:
        assert answers == expected


@pytest.mark.parametrize("name", ENTRANCES)
def test_nobody_changes_the_arm_or_falls_out_while_the_test_is_widened(name):
    steps = [
        by_python(payload(a_state(**ENTRANCES[name], traffic_percent=percent)), SLUG, users())
        for percent in (5.0, 20.0, 50.0, 100.0)
    ]

    entered = [[arm_of(answer) for answer in step] for step in steps]
    for narrow, wide in itertools.pairwise(entered):
        assert [1 for a, b in zip(narrow, wide, strict=True) if a is not None and a != b] == []
    counts = [sum(arm is not None for arm in step) for step in entered]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0] > 0


def arm_of(answer: Answer, slug: str = SLUG) -> str | None:
    """Return the arm of the test that a user is tracked in, which is what it is served."""
    value, seen = answer
    arms = [arm for key, arm in seen if key == f"{slug}.p1"]
    assert arms in ([], [value])
    return arms[0] if arms else None


def test_two_exclusive_tests_share_no_unit_and_leave_none_out():
    served = features(
        a_state("first", exclusion=RAG_FIRST_HALF, traffic_percent=100.0),
        a_state("second", exclusion=RAG_SECOND_HALF, traffic_percent=100.0),
    )

    first = [arm_of(answer, "first") for answer in by_python(served, "first", users())]
    second = [arm_of(answer, "second") for answer in by_python(served, "second", users())]

    assert all((a is None) != (b is None) for a, b in zip(first, second, strict=True))
    assert sum(arm is not None for arm in first) == pytest.approx(USERS / 2, rel=0.05)


def test_what_is_held_out_is_on_control_in_a_running_and_in_a_graduated_flag():
    served = features(
        a_state("running", holdout=HOLDOUT, traffic_percent=100.0),
        a_state("finished", holdout=HOLDOUT, stage=Stage.GRADUATED),
    )

    running = by_python(served, "running", users())
    finished = by_python(served, "finished", users())

    held_out = [user for user, (_, seen) in enumerate(running) if seen == HELD_OUT]
    assert len(held_out) == pytest.approx(USERS / 8, rel=0.1)
    assert held_out == [user for user, (_, seen) in enumerate(finished) if seen == HELD_OUT]
    assert {running[user][0] for user in held_out} == {"control"}
    assert held_out == [user for user, (value, _) in enumerate(finished) if value == "control"]


def test_the_rule_of_a_holdout_is_the_same_in_every_flag_that_names_it():
    served = features(
        a_state("running", holdout=HOLDOUT, targeting=TARGETING, requires="finished"),
        a_state("finished", holdout=HOLDOUT, stage=Stage.GRADUATED),
    )

    assert served["running"]["rules"][0] == served["finished"]["rules"][0]


@pytest.mark.node
def test_without_its_parent_a_test_and_a_graduated_flag_are_closed_to_everybody(node, tmp_path):
    parents = [
        (),
        (a_state(PARENT, stage=Stage.ROLLED_BACK),),
        (a_state(PARENT, is_closed=True),),
        (a_state(PARENT, requires=SLUG),),
    ]
    children = [
        a_state(requires=PARENT, traffic_percent=100.0),
        a_state(requires=PARENT, stage=Stage.GRADUATED),
    ]
    few = users()[:500]

    served = [features(child, *parent) for child in children for parent in parents]
    by_node, _ = NodeJob(payloads=[(each, SLUG) for each in served], users=few).done(node, tmp_path)

    for each, (one, many) in zip(served, by_node, strict=True):
        answers = by_python(each, SLUG, few)
        assert {value for value, _ in answers} <= {"control", None}
        assert [value for value, _ in answers] == [value for value, _ in one]
        assert [value for value, _ in answers] == [value for value, _ in many]
        assert not any(key == f"{SLUG}.p1" for _, seen in (*answers, *one) for key, _ in seen)

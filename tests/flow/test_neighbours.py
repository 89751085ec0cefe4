"""A test begins only where its plan agrees with those of the other open flags."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from expplat.domain.entrance import Exclusion, Holdout
from expplat.domain.poc import Stage
from expplat.domain.proposal import OnlinePlan
from expplat.errors import InputError
from expplat.flow.neighbours import Neighbour, conflicts, neighbours
from tests.builders import a_poc, a_proposal, keep_poc

HOLDOUT = Holdout(name="search_2026", percent=5)


def a_range(begins: float, ends: float, group: str = "rag") -> Exclusion:
    return Exclusion(group=group, from_percent=begins, to_percent=ends)


def a_plan(**changes: Any) -> OnlinePlan:
    return replace(a_proposal().online, **changes)


def a_neighbour(slug: str = "other", stage: Stage = Stage.PROMOTED, **changes: Any) -> Neighbour:
    return Neighbour(slug=slug, stage=stage, plan=a_plan(**changes))


@pytest.mark.parametrize(
    ("changes", "other"),
    [
        ({}, a_neighbour()),
        ({}, a_neighbour(exclusion=a_range(0, 100), holdout=HOLDOUT)),
        ({"exclusion": a_range(0, 50)}, a_neighbour(exclusion=a_range(50, 100))),
        ({"exclusion": a_range(50, 100)}, a_neighbour(exclusion=a_range(0, 50))),
        ({"exclusion": a_range(0, 50)}, a_neighbour(exclusion=a_range(0, 50, "search"))),
        ({"exclusion": a_range(0, 50)}, a_neighbour()),
        (
            {"exclusion": a_range(0, 50)},
            a_neighbour(stage=Stage.GRADUATED, exclusion=a_range(0, 50)),
        ),
        ({"holdout": HOLDOUT}, a_neighbour(holdout=HOLDOUT)),
        ({"holdout": HOLDOUT}, a_neighbour(holdout=Holdout(name="chat", percent=9))),
        ({"requires": "other"}, a_neighbour(stage=Stage.GRADUATED)),
        ({"requires": "other"}, a_neighbour(requires="a_third")),
    ],
)
def test_plans_that_agree_stand_beside_each_other(changes, other):
    assert conflicts("mine", a_plan(**changes), (other,)) == ()


@pytest.mark.parametrize(
    ("changes", "other", "words"),
    [
        (
            {"exclusion": a_range(0, 50)},
            a_neighbour(exclusion=a_range(49.99, 100)),
            "other holds 49.99 to 100 % of the exclusion group rag",
        ),
        (
            {"exclusion": a_range(10, 20)},
            a_neighbour(exclusion=a_range(0, 100)),
            "which overlaps 10 to 20 %",
        ),
        (
            {"exclusion": a_range(0, 50)},
            a_neighbour(exclusion=a_range(50, 100), unit="session_id"),
            "it hashes session_id and not user_id",
        ),
        (
            {"exclusion": a_range(0, 50)},
            Neighbour(slug="other", stage=Stage.PROMOTED, plan=None),
            "The plan of other cannot be read",
        ),
        (
            {"holdout": HOLDOUT},
            a_neighbour(stage=Stage.GRADUATED, holdout=Holdout(name="search_2026", percent=10)),
            "other keeps 10 % of the units in the holdout search_2026, and not 5 %",
        ),
        (
            {"holdout": HOLDOUT},
            a_neighbour(holdout=HOLDOUT, unit="session_id"),
            "other hashes session_id",
        ),
        (
            {"holdout": HOLDOUT},
            Neighbour(slug="other", stage=Stage.GRADUATED, plan=None),
            "The plan of other cannot be read",
        ),
        ({"requires": "unknown"}, a_neighbour(), "neither promoted nor graduated"),
        ({"requires": "other"}, a_neighbour(requires="mine"), "mine → other → mine"),
    ],
)
def test_a_plan_that_does_not_agree_is_told_so_in_a_sentence(changes, other, words):
    (sentence,) = conflicts("mine", a_plan(**changes), (other,))

    assert words in sentence
    assert sentence.endswith(".")


def test_a_circle_of_three_flags_is_found():
    others = (a_neighbour("b", requires="c"), a_neighbour("c", requires="a"))

    assert "a → b → c → a" in conflicts("a", a_plan(requires="b"), others)[0]


def test_a_circle_of_others_does_not_keep_anybody_waiting():
    others = (a_neighbour("b", requires="c"), a_neighbour("c", requires="b"))

    assert conflicts("a", a_plan(requires="b"), others) == ()


def test_neighbours_are_the_other_pocs_whose_flags_are_open(sqlite_uow_factory):
    def thaw(text: str) -> Any:
        raise InputError("of another version")

    reader = SimpleNamespace(thaw=lambda text: a_proposal())
    with sqlite_uow_factory() as uow:
        for stage in Stage:
            keep_poc(uow, a_poc(stage, slug=stage.value))
        uow.commit()

    with sqlite_uow_factory() as uow:
        found = neighbours("promoted", uow=uow, reader=reader)
        everyone = neighbours("mine", uow=uow, reader=SimpleNamespace(thaw=thaw))

    assert [(each.slug, each.plan) for each in found] == [("graduated", a_proposal().online)]
    assert {each.slug: each.plan for each in everyone} == {"graduated": None, "promoted": None}

"""Who enters a test, as a file may state it: every fault at its place, with a hint."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expplat.domain.proposal_rules.entrance import entrance_faults
from expplat.domain.proposal_rules.targeting import OPERATORS, targeting_faults

PLACE = ("online", "targeting")

ACCEPTED: list[dict[str, Any]] = [
    {},
    {"country": "CH"},
    {"is_staff": True, "age": 30, "score": -0.5},
    {"country": {"$in": ["CH", "DE"]}, "plan.tier": {"$ne": "free"}},
    {"age": {"$gte": 18, "$lt": 65}},
    {"app": {"$vgte": "v2.10.0-rc.1", "$ne": "2.11.0"}},
    {"tags": {"$elemMatch": {"$in": ["a", "b"]}, "$size": 2}},
    {"referrer": {"$exists": False}},
    {"$not": {"country": {"$eq": "CH"}}},
    {"$and": [{"$or": [{"a": {"$not": {"$gt": 5}}}]}, {"$nor": [{"b": 1}]}]},
    {"a-b": {"$nin": [str(number) for number in range(100)]}},
    {"$or": [{"a": number} for number in range(50)]},
]

REFUSED: list[tuple[dict[str, Any], tuple[Any, ...], str]] = [
    ({"country": {"$regex": "^C"}}, ("country", "$regex"), "$in"),
    ({"country": {"$inn": ["CH"]}}, ("country", "$inn"), "Did you mean `$in`?"),
    ({"tags": {"$all": ["a"]}}, ("tags", "$all"), "$elemMatch"),
    ({"$where": "sleep(1000)"}, ("$where",), "Code is not run"),
    ({"$in": ["CH"]}, ("$in",), "under an attribute"),
    ({"country": {"$or": [{"$eq": "CH"}]}}, ("country", "$or"), "stands where an attribute"),
    ({"country": None}, ("country",), "$exists"),
    ({"country": {"$eq": None}}, ("country", "$eq"), "$exists"),
    ({"country": {"$in": ["CH", None]}}, ("country", "$in", 1), "$exists"),
    ({"country": ["CH", "DE"]}, ("country",), "$in"),
    ({"country": {"code": "CH"}}, ("country", "code"), "Declared are"),
    ({"country": {}}, ("country",), "$in"),
    ({"$or": []}, ("$or",), "list of conditions"),
    ({"$or": {"a": 1}}, ("$or",), "list of conditions"),
    ({"$and": ["a"]}, ("$and", 0), "Write it as in"),
    ({"$and": [{}]}, ("$and", 0), "Take it out"),
    ({"$not": "a"}, ("$not",), "Write it as in"),
    ({"age": {"$gt": True}}, ("age", "$gt"), "$eq"),
    ({"age": {"$gt": 5, "$lt": "9"}}, ("age",), "one kind"),
    ({"age": {"$eq": 2**53}}, ("age", "$eq"), "texts"),
    ({"age": {"$eq": float("inf")}}, ("age", "$eq"), "texts"),
    ({"app": {"$vgt": 2.1}}, ("app", "$vgt"), "quotes"),
    ({"app": {"$vgt": "newest"}}, ("app", "$vgt"), "quotes"),
    ({"tags": {"$size": -1}}, ("tags", "$size"), "0, 1, 2"),
    ({"tags": {"$size": True}}, ("tags", "$size"), "0, 1, 2"),
    ({"tags": {"$elemMatch": "a"}}, ("tags", "$elemMatch"), "$eq"),
    ({"tags": {"$elemMatch": {"name": "a"}}}, ("tags", "$elemMatch", "name"), "Declared are"),
    ({"a": {"$exists": 1}}, ("a", "$exists"), "true or false"),
    ({"a": {"$in": []}}, ("a", "$in"), "[a, b]"),
    ({"a": {"$in": "CH"}}, ("a", "$in"), "[a, b]"),
    ({"a": {"$in": list(range(101))}}, ("a", "$in"), "Keep it to 100"),
    ({"a": "x" * 201}, ("a",), "200 at most"),
    ({"": 1}, ("",), "ASCII"),
    ({"größe": 1}, ("größe",), "ASCII"),
    ({"tags.0": 1}, ("tags.0",), "ASCII"),
    ({"constructor": {"$exists": True}}, ("constructor",), "another name"),
    ({"tags.length": 2}, ("tags.length",), "another name"),
    ({"$or": [{"a": number} for number in range(51)]}, (), "one attribute"),
    ({"a": {"$in": ["x" * 150] * 60}}, (), "8,000"),
    (
        {"$and": [{"$and": [{"$and": [{"$and": [{"a": {"$eq": 1}}]}]}]}]},
        ("$and", 0, "$and", 0, "$and", 0, "$and", 0, "a"),
        "one attribute",
    ),
]


@pytest.mark.parametrize("targeting", ACCEPTED, ids=str)
def test_a_condition_of_the_language_has_no_fault(targeting):
    assert list(targeting_faults(targeting)) == []


@pytest.mark.parametrize(("targeting", "path", "hint"), REFUSED, ids=lambda value: str(value)[:60])
def test_whatever_is_not_of_the_language_is_a_fault_at_its_place(targeting, path, hint):
    (finding,) = targeting_faults(targeting)

    assert finding.path == (*PLACE, *path)
    assert hint in finding.hint


def test_every_fault_of_a_condition_is_told_at_once():
    targeting = {"a": None, "b": {"$regex": "x"}, "$or": [{"c": {"$size": -1}}, {"d d": 1}]}

    places = [finding.path[2:] for finding in targeting_faults(targeting)]

    assert places == [("a",), ("b", "$regex"), ("$or", 0, "c", "$size"), ("$or", 1, "d d")]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from((*OPERATORS, "$and", "$or", "$nor", "$all", "a", "a.b")),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(("$and", "$or", "$not", "a", "a.b")), json_values))
def test_whatever_stands_there_it_is_judged_without_an_error(targeting):
    faults = list(targeting_faults(targeting))

    assert all(finding.path[:2] == PLACE and finding.message for finding in faults)


ENTRANCE_FAULTS: list[tuple[dict[str, Any], tuple[str, ...], str]] = [
    (
        {"exclusion": {"group": "RAG", "from_percent": 0, "to_percent": 50}},
        ("exclusion", "group"),
        "Begin with a lower-case letter",
    ),
    (
        {"exclusion": {"group": "rag", "from_percent": 50, "to_percent": 50}},
        ("exclusion", "to_percent"),
        "from_percent: 0, to_percent: 50",
    ),
    (
        {"exclusion": {"group": "rag", "from_percent": 0.005, "to_percent": 50}},
        ("exclusion", "from_percent"),
        "33.33",
    ),
    ({"holdout": {"name": "h-1", "percent": 5}}, ("holdout", "name"), "Begin with a lower-case"),
    ({"holdout": {"name": "h", "percent": 1 / 3}}, ("holdout", "percent"), "10,000 buckets"),
    ({"requires": "fusion"}, ("requires",), "Name another POC"),
    ({"requires": "Not A Slug"}, ("requires",), "Begin with a lower-case"),
]


@pytest.mark.parametrize(("online", "path", "hint"), ENTRANCE_FAULTS, ids=str)
def test_a_range_or_a_name_that_means_nothing_is_a_fault(online, path, hint):
    (finding,) = entrance_faults(online, "fusion")

    assert finding.path == ("online", *path)
    assert hint in finding.hint


@pytest.mark.parametrize(
    "online",
    [
        {},
        {"targeting": {"a": 1}, "exclusion": None, "holdout": None, "requires": None},
        {"exclusion": {"group": "rag", "from_percent": 33.33, "to_percent": 66.67}},
        {"holdout": {"name": "search_2026", "percent": 0.07}, "requires": "hybrid_rrf"},
        {"exclusion": 5, "holdout": [], "targeting": "all", "requires": 7},
    ],
    ids=str,
)
def test_what_may_stand_and_what_the_reader_judges_by_itself_is_no_fault(online):
    assert list(entrance_faults(online, "fusion")) == []

"""Domain values as plain JSON: what is read back is what was written, and hashes the same."""

from __future__ import annotations

import dataclasses
import enum
import importlib
import json
import math
import pkgutil
import types
import typing
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import expplat.domain
from expplat.domain.call import SetupContext
from expplat.domain.plain import canonical_json, from_plain, sha256_of, to_plain
from expplat.domain.poc import Transition
from expplat.domain.proposal import Proposal
from tests.builders import RECALL, T0, a_proposal, a_transition

VALUES = sorted(
    {
        value
        for found in pkgutil.iter_modules(expplat.domain.__path__)
        if not found.ispkg
        for value in vars(importlib.import_module(f"expplat.domain.{found.name}")).values()
        if isinstance(value, type)
        and dataclasses.is_dataclass(value)
        and value.__module__.startswith("expplat.domain.")
        and value is not SetupContext  # holds paths, and is never written down
    },
    key=lambda kind: kind.__name__,
)
"""Every dataclass of the domain; one that is added is tested without a word here."""

TEXTS = st.text(max_size=6)

PLAIN_KINDS: dict[object, st.SearchStrategy[Any]] = {
    str: TEXTS,
    bool: st.booleans(),
    int: st.integers(-(2**60), 2**60),
    float: st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53),
    Decimal: st.decimals(-(10**12), 10**12, allow_nan=False),
    datetime: st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),
    type(None): st.none(),
    Any: st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | TEXTS,
}
"""Whole numbers stand for floats too, for that is what a caller may write."""


def values_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type, whatever the ranges that are asked of it in a file."""
    if hint in PLAIN_KINDS:
        return PLAIN_KINDS[hint]
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        parts = {field.name: values_of(hints[field.name]) for field in dataclasses.fields(hint)}
        return st.builds(hint, **parts)
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return st.sampled_from(hint)
    return values_of_parts(typing.get_origin(hint), typing.get_args(hint))


def values_of_parts(origin: Any, parts: tuple[Any, ...]) -> st.SearchStrategy[Any]:
    if origin is typing.Annotated:
        return values_of(parts[0])
    if origin is typing.Literal:
        return st.sampled_from(parts)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(values_of, parts))
    if origin is tuple:
        return st.lists(values_of(parts[0]), max_size=2).map(tuple)
    assert issubclass(origin, Mapping), origin
    return st.dictionaries(TEXTS, values_of(parts[1]), max_size=2)


@pytest.mark.parametrize("kind", VALUES, ids=lambda kind: kind.__name__)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_value_comes_back_as_it_was_and_with_the_same_hash(kind, data):
    value = data.draw(values_of(kind))

    back = from_plain(kind, json.loads(canonical_json(value)))

    assert back == value
    assert sha256_of(back) == sha256_of(value)


def test_every_kind_of_value_was_found():
    assert {Proposal, Transition} <= set(VALUES)
    assert len(VALUES) > 30


@pytest.mark.parametrize("percent", [5, 5.0])
def test_a_whole_number_hashes_as_the_float_that_is_read_back(percent):
    written = a_transition(traffic_percent=percent).chained("0" * 64)

    back = from_plain(Transition, json.loads(canonical_json(written)))

    assert type(back.traffic_percent) is float
    assert back.is_intact
    assert back.sha256 == a_transition(traffic_percent=5.0).chained("0" * 64).sha256


def test_a_number_that_is_declared_whole_stays_whole():
    assert to_plain(a_transition(position=3))["position"] == 3
    assert b'"position":3,' in canonical_json(a_transition(position=3))


def test_floats_in_lists_and_mappings_are_written_as_floats_too():
    plan = replace(a_proposal().online, ramp_percent=(5, 20))

    assert canonical_json(plan) == canonical_json(replace(plan, ramp_percent=(5.0, 20.0)))


def test_a_metric_that_is_declared_comes_back_beside_one_that_is_named():
    proposal = a_proposal(metrics=("latency_ms", RECALL))

    back = from_plain(Proposal, json.loads(canonical_json(proposal)))

    assert back.metrics == ("latency_ms", RECALL)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_has_no_plain_form(value):
    with pytest.raises(ValueError, match="finite"):
        to_plain({"p": value})


def test_what_is_no_domain_value_has_no_plain_form():
    for value in (object(), b"bytes", a_transition):
        with pytest.raises(TypeError, match="no plain form"):
            to_plain(value)


def test_the_canonical_form_depends_on_neither_order_nor_time_zone():
    noon = timezone(timedelta(hours=2))

    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert canonical_json(T0.astimezone(noon)) == canonical_json(T0)


def test_fields_that_this_version_does_not_know_are_dropped():
    plain = to_plain(RECALL) | {"colour": "blue"}

    assert from_plain(type(RECALL), plain) == RECALL

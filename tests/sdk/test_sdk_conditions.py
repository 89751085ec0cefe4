"""Every condition that a proposal may state is read alike in Python and in Node, without an error.

Conditions and attributes are drawn, the same ones each time: of the language as it is written down,
with attributes that are missing, null, or of another type than the condition is meant for.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from growthbook.core import evalCondition

from expplat.adapters.growthbook.conditions import condition
from expplat.domain.proposal_rules.targeting import targeting_faults
from tests.sdk.official import NodeJob

CONDITIONS = 400
SETS = 2_000
TEXTS = ("CH", "DE", "", "10", "9", "true", "null", "0", "Zürich", "\ue000", "\U0001f600", "a b")
NUMBERS = (0, 1, -1, 2.5, 10, 9, 1e21, 1e-7, 2**53 - 1, -0.0)
VERSIONS = ("1", "2.10", "2.9.9", "2.10.0", "v2.10.0", "2.10.0-rc.1", "2.10.0+build.5", "10.0.0.1")
NAMES = ("country", "age", "app", "tags", "plan", "plan.tier", "plan.seats.used", "is_staff")


def a_value(dice: random.Random) -> Any:
    return dice.choice((*TEXTS, *NUMBERS, *VERSIONS, True, False))


def an_equal(dice: random.Random) -> Any:
    return {dice.choice(("$eq", "$ne")): a_value(dice)}


def a_list(dice: random.Random) -> Any:
    values = [a_value(dice) for _ in range(dice.randint(1, 4))]
    return {dice.choice(("$in", "$nin")): values}


def an_order(dice: random.Random) -> Any:
    bound = dice.choice(dice.choice((TEXTS, NUMBERS)))
    return {dice.choice(("$lt", "$lte", "$gt", "$gte")): bound}


def a_version(dice: random.Random) -> Any:
    operator = dice.choice(("$veq", "$vne", "$vlt", "$vlte", "$vgt", "$vgte"))
    return {operator: dice.choice(VERSIONS)}


def an_existence(dice: random.Random) -> Any:
    return {"$exists": dice.choice((True, False))}


def a_size(dice: random.Random) -> Any:
    return {"$size": dice.randint(0, 3)}


def a_pair(dice: random.Random) -> Any:
    return an_operator_test(dice, 0) | an_operator_test(dice, 0)


LEAVES = (a_value, an_equal, a_list, an_order, a_version, an_existence, a_size)


def a_test(dice: random.Random, levels: int) -> Any:
    drawn = dice.random()
    if levels <= 0 or drawn < 0.7:
        return dice.choice(LEAVES)(dice)
    if drawn < 0.8:
        return a_pair(dice)
    return {dice.choice(("$not", "$elemMatch")): an_operator_test(dice, levels - 1)}


def an_operator_test(dice: random.Random, levels: int) -> dict[str, Any]:
    test = a_test(dice, levels)
    return test if isinstance(test, dict) else {"$eq": test}


def a_condition(dice: random.Random, levels: int = 3) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    for _ in range(dice.randint(1, 3)):
        if levels > 1 and dice.random() < 0.4:
            junction = dice.choice(("$and", "$or", "$nor", "$not"))
            inner = [a_condition(dice, levels - 1) for _ in range(dice.randint(1, 3))]
            drawn[junction] = inner[0] if junction == "$not" else inner
        else:
            drawn[dice.choice(NAMES)] = a_test(dice, levels - 1)
    return drawn


def an_attribute(dice: random.Random, levels: int = 2) -> Any:
    drawn = dice.random()
    if drawn < 0.1:
        return None
    if drawn < 0.3 and levels:
        return [an_attribute(dice, levels - 1) for _ in range(dice.randint(0, 3))]
    if drawn < 0.4 and levels:
        names = ("tier", "seats", "used", "length", "0")
        return {name: an_attribute(dice, levels - 1) for name in names if dice.random() < 0.4}
    return a_value(dice)


def attributes(dice: random.Random) -> dict[str, Any]:
    drawn = {name: an_attribute(dice) for name in NAMES if "." not in name and dice.random() < 0.8}
    if dice.random() < 0.5:
        drawn["plan"] = {"tier": a_value(dice), "seats": {"used": a_value(dice)}}
    return drawn


def accepted_conditions(dice: random.Random, count: int) -> list[dict[str, Any]]:
    """Draw until there are enough that the rules of a proposal have nothing against."""
    accepted: list[dict[str, Any]] = []
    while len(accepted) < count:
        drawn = a_condition(dice)
        if not list(targeting_faults(drawn)):
            accepted.append(drawn)
    return accepted


@pytest.mark.node
def test_python_and_node_agree_on_every_condition_and_set_of_attributes(node, tmp_path):
    dice = random.Random(20_261_122)
    accepted = accepted_conditions(dice, CONDITIONS)
    sets = [attributes(dice) for _ in range(SETS)]
    served = [condition(each) for each in accepted]

    _, by_node = NodeJob(conditions=served, attributes=sets).done(node, tmp_path)

    differing = []
    for stated, each, answers in zip(accepted, served, by_node, strict=True):
        by_python = "".join("1" if evalCondition(some, each) else "0" for some in sets)
        if by_python != answers:
            at = next(i for i in range(SETS) if by_python[i] != answers[i])
            differing.append((stated, sets[at], by_python[at], answers[at]))
    assert differing == []
    informative = sum("0" in answers and "1" in answers for answers in by_node)
    assert informative > CONDITIONS / 2


def test_no_condition_ends_in_an_error_that_the_sdk_keeps_to_itself():
    dice = random.Random(7)
    conditions = [condition(each) for each in accepted_conditions(dice, 300)]
    sets = [attributes(dice) for _ in range(200)]

    # An error counts as no, so that a condition and its opposite would both be refused.
    for each in conditions:
        for some in sets:
            assert evalCondition(some, each) != evalCondition(some, {"$not": each}), (each, some)

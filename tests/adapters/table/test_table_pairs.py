"""Requests under several variants, aligned; and values in order."""

from __future__ import annotations

import numpy as np
import pytest

from expplat.errors import FaultsError
from tests.adapters.table.table_making import asked, drawn, framed, question

CALLS = {
    "request": ["q2", "q1", "q1", "q2", "q3", "q1", "q4", None, "q2"],
    "variant": ["control", "b", "control", "b", "control", "b", "b", "b", None],
    "score": [0.5, 0.6, 0.2, 0.9, 0.4, 0.8, 0.7, 1.0, 1.0],
    "tokens": [10, 12, 14, 16, 18, 20, 22, 24, 26],
    "error": ["", "", None, "timeout", "ok", "0", "false", "", ""],
    "topic": ["x", "y", "y", "x", "z", "y", "z", "x", "x"],
}
ASKED = question(
    asked("mean", "score"), asked("ratio", "tokens", denominator="score"), unit="request"
)


def test_requests_are_aligned_by_name() -> None:
    found = framed(**CALLS).pairs(ASKED)

    assert found.requests == ("q1", "q2")
    assert found.variants == ("control", "b")
    assert found.values["control"]["score"] == (0.2, 0.5)
    assert found.values["b"]["score"] == (pytest.approx(0.7), 0.9)
    assert found.denominators["control"]["tokens"] == (0.2, 0.5)
    assert found.failed == {"control": (False, False), "b": (False, False)}
    assert (found.rows, found.repeated) == (9, 1)
    assert (found.rows_without_request, found.rows_without_variant) == (1, 1)
    assert found.missing == {"control": 1, "b": 1}
    assert found.clusters is None


def test_a_call_that_failed_has_no_value() -> None:
    found = framed(**CALLS).pairs(
        question(asked("mean", "score"), unit="request", error="error", segment="topic")
    )

    assert found.failed == {"control": (False, False), "b": (False, True)}
    assert found.values["b"]["score"] == (pytest.approx(0.7), None)
    assert found.segments == ("y", "x")


def test_a_flag_of_failure_may_be_a_number_or_a_boolean() -> None:
    for flags in ([0, 0, 0, 1, 0, 0, 0, 0, 0], [False] * 3 + [True] + [False] * 5):
        found = framed(**CALLS | {"error": flags}).pairs(
            question(asked("mean", "score"), unit="request", error="error")
        )

        assert found.failed["b"] == (False, True)


def test_the_order_of_rows_changes_nothing() -> None:
    other = {name: cells[::-1] for name, cells in CALLS.items()}

    assert framed(**other).pairs(ASKED) == framed(**CALLS).pairs(ASKED)


def test_pairs_of_a_table_that_lacks_a_column_are_a_fault() -> None:
    with pytest.raises(FaultsError) as caught:
        framed(**CALLS).pairs(question(asked("mean", "scores"), unit="requests"))

    assert {one.field for one in caught.value.faults} == {"scores", "requests"}


def test_a_request_lacks_one_treatment_and_stays() -> None:
    table = framed(
        request=["a", "a", "b", "b"], variant=["control", "b", "control", "c"], score=[1, 2, 3, 4]
    )

    found = table.pairs(question(asked("mean", "score"), unit="request"))

    assert found.values["b"]["score"] == (2.0, None)
    assert found.values["c"]["score"] == (None, 4.0)
    assert found.missing == {"control": 0, "b": 1, "c": 1}


def test_values_are_those_of_each_variant_in_order() -> None:
    columns = drawn(500)

    found = framed(**columns).values(question(), asked("mean", "spent"))

    spent = columns["spent"][columns["variant"] == "b"]
    assert found["b"].values == tuple(np.sort(spent[~np.isnan(spent)]))
    assert found["b"].clusters is None
    assert list(found) == ["control", "b"]


def test_a_quantile_keeps_the_rows_of_a_unit_as_a_cluster() -> None:
    table = framed(
        user=["a", "a", "b", "c", "x", "x"],
        variant=["control", "control", "control", "b", "b", "control"],
        ms=[3.0, 1.0, 2.0, 5.0, 7.0, 8.0],
    )

    found = table.values(question(), asked("quantile", "ms", q=0.5))

    assert found["control"].values == (1.0, 2.0, 3.0)
    assert found["control"].clusters == ("a", "b", "a")
    assert found["b"].values == (5.0,)

"""A table that does not hold what is asked of it says so: all of it, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from expplat.adapters.table.table import DuckTable
from expplat.domain.question import Condition, Question
from expplat.errors import Fault, FaultsError, InputError
from tests.adapters.table.table_making import arm, asked, framed, opened, question, written


def faults_of(table: DuckTable, asked_for: Question) -> dict[str, Fault]:
    with pytest.raises(FaultsError) as caught:
        table.tally(asked_for)
    return {one.field: one for one in caught.value.faults}


TABLE = {
    "user": [1, 2, 3, 4],
    "variant": ["control", "control", "b", "b"],
    "spent": [1.0, 2.0, 3.0, 4.0],
}


def test_every_fault_is_named_at_once() -> None:
    table = framed(**TABLE, when=[[1], [2], [3], [4]], price=["1", "x", "y", "2"], ok=[0, 1, 2, 1])
    asked_for = question(
        asked("mean", "Spnt"),
        asked("mean", "when"),
        asked("mean", "price"),
        asked("proportion", "ok"),
        control="contrl",
    )

    faults = faults_of(table, asked_for)

    assert set(faults) == {"Spnt", "when", "price", "ok", "variant"}
    assert faults["Spnt"].hint == "Did you mean spent?"
    assert "'x'" in faults["price"].message
    assert "2 rows" in faults["price"].message
    assert "'2'" in faults["ok"].message
    assert faults["variant"].hint == "Did you mean control?"


def test_a_test_with_one_variant_compares_nothing() -> None:
    faults = faults_of(framed(**TABLE | {"variant": ["control"] * 4}), question())

    assert "nothing to compare" in faults["variant"].message


def test_a_variant_column_with_hundreds_of_values_is_none() -> None:
    table = framed(user=list(range(500)), variant=[f"v{at}" for at in range(500)])

    assert "more than 100" in faults_of(table, question())["variant"].message


@pytest.mark.parametrize("kind", ["mean", "count"])
def test_an_infinity_is_a_fault(kind: str) -> None:
    table = framed(**TABLE | {"spent": [1.0, float("inf"), 3.0, 4.0]})

    assert "infinity" in faults_of(table, question(asked(kind, "spent")))["spent"].message


def test_an_infinity_is_not_hidden_by_a_condition() -> None:
    table = framed(**TABLE | {"spent": [1.0, float("-inf"), 3.0, 4.0]})
    over = asked("proportion", "spent", condition=Condition(sign=">", bound=2))

    assert "infinity" in faults_of(table, question(over))["spent"].message


def test_a_nan_is_a_missing_value() -> None:
    table = framed(**TABLE | {"spent": [1.0, float("nan"), 3.0, None]})
    over = asked("proportion", "spent", condition=Condition(sign=">", bound=2))

    for metric in (asked("mean", "spent"), over):
        tally = table.tally(question(metric))

        assert [one.metrics["spent"].missing for one in tally.arms] == [1, 1]


def test_rows_without_a_look_or_a_cluster_are_faults() -> None:
    table = framed(**TABLE, day=["1", None, "2", ""], shop=[1, 2, None, 3])

    faults = faults_of(table, question(asked("mean", "spent"), look="day", cluster="shop"))

    assert "2 rows" in faults["day"].message
    assert "1 rows" in faults["shop"].message


def test_a_moment_of_each_row_is_no_look() -> None:
    table = framed(
        user=list(range(1000)), variant=["control", "b"] * 500, day=[str(at) for at in range(1000)]
    )

    assert "more than 400" in faults_of(table, question(look="day"))["day"].message


def test_numbers_that_cannot_be_squared_are_an_error_not_an_infinite_variance() -> None:
    table = framed(**TABLE | {"spent": [1e200, -1e200, 3e200, 4.0]})

    with pytest.raises(InputError, match="too large"):
        table.tally(question(asked("mean", "spent")))


def test_yes_and_no_may_be_spelled_in_many_ways(tmp_path: Path) -> None:
    words = ["true", "TRUE", "1", "yes", "t", "1.0", "no", "0", "False", "f", "", "NA"]
    lines = "".join(
        f"{at},{'b' if at % 2 else 'control'},{word}\n" for at, word in enumerate(words)
    )
    more = "".join(f"{at},control,{'yes' if at % 2 else 'n'}\n" for at in range(100, 102))
    table = opened(written(tmp_path, f"user,variant,bought\n{lines}{more}"))

    tally = table.tally(question(asked("proportion", "bought")))

    assert sum(one.metrics["bought"].units for one in tally.arms) == 12
    assert sum(one.metrics["bought"].missing for one in tally.arms) == 2
    assert arm(tally, "b").metrics["bought"].moments.means == (0.6,)


def test_numbers_kept_as_text_are_numbers() -> None:
    table = framed(**TABLE | {"spent": [" 1", "3e0", "NA", "5.5"]})

    tally = table.tally(question(asked("mean", "spent")))

    assert arm(tally, "control").metrics["spent"].moments.means == (2.0,)
    assert arm(tally, "b").metrics["spent"].missing == 1


def test_variants_may_be_whole_numbers_also_where_pandas_made_them_fractions() -> None:
    table = framed(**TABLE | {"variant": [0.0, 0.0, 1.0, None]})

    tally = table.tally(question(asked("mean", "spent"), control="0"))

    assert [one.variant for one in tally.arms] == ["0", "1"]
    assert tally.rows_without_variant == 1


def test_nan_spelled_out_is_a_missing_value(tmp_path: Path) -> None:
    text = "user,variant,spent\n1,control,NaN\n2,control,2\n3,b,nan\n4,b,4\n"

    tally = opened(written(tmp_path, text)).tally(question(asked("mean", "spent")))

    assert [one.metrics["spent"].missing for one in tally.arms] == [1, 1]
    assert [one.metrics["spent"].moments.means for one in tally.arms] == [(2.0,), (4.0,)]

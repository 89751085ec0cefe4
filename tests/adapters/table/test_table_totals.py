"""Tables whose rows stand for many units."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from expplat.domain.question import AskedMetric
from expplat.errors import FaultsError
from tests.adapters.table.table_making import arm, asked, framed, opened, question, shared_file

SALES = {
    "variant": ["control", "control", "b", "b", None],
    "day": ["2", "10", "2", "10", "2"],
    "n": [100, 300, 120, 280, 5],
    "bought": [10, 45, 18, 42, 1],
    "spent": [5.0, 6.0, 5.5, 7.0, 1.0],
    "sd": [1.0, 2.0, 1.5, 2.5, 1.0],
}


def test_successes_and_trials_are_summed() -> None:
    tally = framed(**SALES).tally(
        question(asked("proportion", "bought", denominator="n"), unit=None)
    )

    control = arm(tally, "control")
    assert (control.units, tally.rows, tally.rows_without_variant) == (400, 5, 1)
    moments = control.metrics["bought"].moments
    assert (moments.n, moments.means) == (400, (55 / 400,))
    assert moments.products == ((55 * 345 / 400,),)


@pytest.mark.parametrize("is_cumulative", [False, True])
def test_means_with_their_spread_are_merged(is_cumulative: bool) -> None:
    tally = framed(**SALES).tally(
        question(
            asked("mean", "spent", sd_column="sd"),
            unit=None,
            units_in_row="n",
            look="day",
            is_cumulative=is_cumulative,
        )
    )

    assert [look.label for look in tally.looks] == ["2", "10"]
    moments = arm(tally, "control").metrics["spent"].moments
    if is_cumulative:
        assert (moments.n, moments.means[0]) == (300, 6.0)
        assert moments.products[0][0] == pytest.approx(299 * 4)
    else:
        assert (moments.n, moments.means[0]) == (400, pytest.approx(5.75))
        assert moments.products[0][0] == pytest.approx(99 + 299 * 4 + 100 * 300 / 400)


def test_totals_of_units_give_what_the_units_give() -> None:
    source = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "user": np.arange(900),
            "variant": np.where(np.arange(900) % 2, "control", "b"),
            "spent": source.lognormal(0, 1, 900),
            "day": source.integers(0, 6, 900),
        }
    )
    days = frame.groupby(["variant", "day"], as_index=False).spent.agg(["mean", "std", "count"])
    whole = framed(**frame.to_dict("list")).tally(question(asked("mean", "spent")))
    totals = framed(**days.to_dict("list")).tally(
        question(asked("mean", "mean", sd_column="std"), unit=None, units_in_row="count")
    )

    for variant in ("control", "b"):
        one = arm(whole, variant).metrics["spent"].moments
        other = arm(totals, variant).metrics["mean"].moments
        assert other.n == one.n
        assert other.means == pytest.approx(one.means)
        assert other.products[0] == pytest.approx(one.products[0])


@pytest.mark.parametrize(
    ("metric", "changed", "column"),
    [
        (
            asked("proportion", "bought", denominator="n"),
            {"bought": [101, 45, 18, 42, 1]},
            "bought",
        ),
        (asked("proportion", "bought", denominator="n"), {"n": [-1, 300, 120, 280, 5]}, "n"),
        (asked("mean", "spent", sd_column="sd"), {"sd": [-1.0, 2.0, 1.0, 1.0, 1.0]}, "sd"),
        (asked("mean", "spent"), {}, "spent"),
        (asked("count", "bought"), {}, "bought"),
    ],
)
def test_totals_that_contradict_themselves_are_faults(
    metric: AskedMetric, changed: dict[str, list[float]], column: str
) -> None:
    units_in_row = None if metric.denominator else "n"

    with pytest.raises(FaultsError) as caught:
        framed(**SALES | changed).tally(question(metric, unit=None, units_in_row=units_in_row))

    assert column in {one.field for one in caught.value.faults}


def test_a_recorded_test_of_days_adds_up() -> None:
    table = opened(shared_file("udacity_free_trial_daily.csv"))

    tally = table.tally(
        question(asked("proportion", "enrollments", denominator="clicks"), unit=None, look="date")
    )

    metrics = [one.metrics["enrollments"] for one in tally.arms]
    assert [metric.units for metric in metrics] == [17_293, 17_260]
    assert [round(metric.moments.means[0] * metric.units) for metric in metrics] == [3_785, 3_423]
    assert len(tally.looks) == 37
    assert tally.looks[-1].arms == tally.arms

"""What a table adds up to is what numpy says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from expplat.adapters.table import DuckTables
from expplat.adapters.table import uniqueness as uniqueness_module
from expplat.domain.question import Condition
from expplat.domain.tally import MetricTally, Tally
from tests.adapters.table.table_making import (
    arm,
    asked,
    drawn,
    framed,
    opened,
    question,
    shared_file,
)

ALL = question(
    asked("mean", "spent"),
    asked("proportion", "bought"),
    asked("ratio", "clicks", denominator="views"),
    covariates=("before",),
)


def numbers(tally: Tally) -> list[float]:
    found: list[float] = []
    for one in tally.arms:
        for metric in one.metrics.values():
            products = [cell for line in metric.moments.products for cell in line]
            extremes = [metric.largest or 0.0, metric.tail_share or 0.0]
            found += [one.units, metric.units, *metric.moments.means, *products, *extremes]
    return found


def centred(*columns: np.ndarray) -> np.ndarray:
    return np.cov(np.array(columns), bias=True) * len(columns[0])


def check(metric: MetricTally, *columns: np.ndarray) -> None:
    assert metric.moments.n == len(columns[0])
    np.testing.assert_allclose(metric.moments.means, [one.mean() for one in columns], rtol=1e-12)
    np.testing.assert_allclose(metric.moments.products, centred(*columns), rtol=1e-10, atol=1e-9)


def test_moments_are_those_of_numpy() -> None:
    columns = drawn(4_000)

    tally = framed(**columns).tally(ALL)

    for variant in ("control", "b"):
        chosen = columns["variant"] == variant
        spent, before = columns["spent"][chosen], columns["before"][chosen]
        has = ~np.isnan(spent)
        metrics = arm(tally, variant).metrics
        check(metrics["spent"], spent[has], before[has])
        check(metrics["bought"], columns["bought"][chosen], before)
        check(metrics["clicks"], columns["clicks"][chosen], columns["views"][chosen], before)
        assert metrics["spent"].missing == (~has).sum()
        assert metrics["clicks"].has_denominator
        assert metrics["spent"].covariates == ("before",)


def test_every_road_to_the_table_gives_the_same_digits(tmp_path: Path) -> None:
    columns = drawn(3_000)
    table = pyarrow.table(columns)
    chunked = pyarrow.concat_tables([table.slice(at, 190) for at in range(0, 3_000, 190)])
    parquet.write_table(table, tmp_path / "table.parquet", row_group_size=500)
    pd.DataFrame(columns).to_csv(tmp_path / "table.csv", index=False)
    tables = DuckTables()
    everything = "SELECT * FROM data ORDER BY spent DESC"

    tallies = [
        tables.open_frame(table).tally(ALL),
        tables.open_frame(chunked).tally(ALL),
        tables.open_frame(pd.DataFrame(columns)).tally(ALL),
        opened(tmp_path / "table.parquet").tally(ALL),
        opened(tmp_path / "table.csv").tally(ALL),
        tables.open(str(tmp_path / "table.parquet"), query=everything, database=None).tally(ALL),
    ]

    for tally in tallies[1:]:
        np.testing.assert_allclose(numbers(tally), numbers(tallies[0]), rtol=1e-10)


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(-1000, 1000), min_size=4, max_size=60),
    offset=st.sampled_from([0.0, 1e6, 1e9, -1e9]),
    cut=st.integers(1, 60),
)
def test_a_far_away_mean_and_other_chunks_change_no_product(
    values: list[int], offset: float, cut: int
) -> None:
    spent = np.array(values, dtype=float)
    columns = {
        "user": np.arange(len(spent)),
        "variant": np.where(np.arange(len(spent)) % 2, "control", "b"),
        "before": spent[::-1] * 3 + offset,
        "spent": spent + offset,
    }
    table = pyarrow.table(columns)
    chunks = pyarrow.concat_tables([table.slice(0, cut), table.slice(cut)])

    asked_for = question(asked("mean", "spent"), covariates=("before",))
    tally = DuckTables(threads=1).open_frame(chunks).tally(asked_for)

    for variant in ("control", "b"):
        chosen = columns["variant"] == variant
        found = arm(tally, variant).metrics["spent"].moments.products
        wanted = centred(spent[chosen], columns["before"][chosen] - offset)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-5)


def test_rows_of_a_unit_are_brought_together_by_the_kind_of_the_metric() -> None:
    table = framed(
        user=["a", "a", "b", "c", "c", "d", None, "e"],
        variant=["control", "control", "control", "b", "b", "b", "b", None],
        seen=[1.0, 3.0, 5.0, 4.0, None, 8.0, 9.0, 9.0],
        bought=[0, 1, 0, 0, 0, 1, 1, 1],
        views=[2.0, 2.0, 4.0, 1.0, 1.0, 2.0, 9.0, 9.0],
    )
    asked_for = question(
        asked("mean", "seen"),
        asked("proportion", "bought"),
        asked("count", "views"),
    )

    tally = table.tally(asked_for)

    assert (tally.rows, tally.rows_without_unit, tally.rows_without_variant) == (8, 1, 1)
    assert (tally.repeated_units, tally.repeated_rows) == (2, 2)
    one, other = (arm(tally, name).metrics for name in ("control", "b"))
    check(one["seen"], np.array([2.0, 5.0]))
    check(one["bought"], np.array([1.0, 0.0]))
    check(one["views"], np.array([4.0, 4.0]))
    check(other["seen"], np.array([4.0, 8.0]))
    check(other["views"], np.array([2.0, 2.0]))


def test_a_ratio_is_one_of_the_sums_of_a_unit() -> None:
    table = framed(
        user=[1, 1, 2, 3, 4],
        variant=["control", "control", "control", "b", "b"],
        clicks=[1.0, 2.0, 5.0, 1.0, 2.0],
        views=[2.0, 4.0, 10.0, 3.0, None],
    )

    tally = table.tally(question(asked("ratio", "clicks", denominator="views")))

    check(arm(tally, "control").metrics["clicks"], np.array([3.0, 5.0]), np.array([6.0, 10.0]))
    assert arm(tally, "b").metrics["clicks"].missing == 1


def test_units_that_met_two_variants_are_counted_and_left_out() -> None:
    table = framed(
        user=[1, 1, 2, 3, 4, 4],
        variant=["control", "b", "control", "b", "b", "b"],
        spent=[9.0, 9.0, 1.0, 2.0, 3.0, 5.0],
    )

    tally = table.tally(question(asked("mean", "spent")))

    assert tally.units_in_two_arms == 1
    assert [one.units for one in tally.arms] == [1, 2]
    check(arm(tally, "b").metrics["spent"], np.array([2.0, 4.0]))


def test_clusters_are_rows_with_the_sums_of_their_units() -> None:
    columns = drawn(2_000)

    tally = framed(**columns).tally(question(asked("mean", "spent"), cluster="shop"))

    frame = pd.DataFrame(columns)
    frame = frame[frame.variant == "b"]
    groups = frame.groupby("shop").spent.agg(["sum", "count"])
    metric = arm(tally, "b").metrics["spent"]
    check(metric, groups["sum"].to_numpy(), groups["count"].to_numpy())
    assert arm(tally, "b").clusters == len(groups)
    assert arm(tally, "b").units == len(frame)
    assert metric.units == frame.spent.count()


def test_a_covariate_that_some_lack_is_filled_and_marked() -> None:
    columns = drawn(1_000)
    before = columns["before"].copy()
    before[::7] = np.nan

    tally = framed(**columns | {"before": before}).tally(
        question(asked("proportion", "bought"), covariates=("before",))
    )

    lacks = np.isnan(before)
    filled = np.where(lacks, np.nanmean(before), before)
    for variant in ("control", "b"):
        chosen = columns["variant"] == variant
        metric = arm(tally, variant).metrics["bought"]
        check(metric, columns["bought"][chosen], filled[chosen], lacks[chosen].astype(float))
        assert metric.covariates == ("before", "before missing")


@pytest.mark.parametrize("with_repeats", [False, True])
def test_looks_hold_all_that_came_before(with_repeats: bool) -> None:
    columns = drawn(1_500)
    if with_repeats:
        columns["user"] = columns["user"] // 3
        columns["variant"] = np.where(columns["user"] % 2, "control", "b")
    frame = pd.DataFrame(columns)

    tally = framed(**columns).tally(question(asked("mean", "spent"), look="day"))

    assert [look.label for look in tally.looks] == [str(day) for day in range(1, 13)]
    for day, look in enumerate(tally.looks, start=1):
        so_far = frame[(frame.day <= day) & (frame.variant == "b")]
        wanted = so_far.groupby("user").spent.mean()
        (found,) = [one for one in look.arms if one.variant == "b"]
        assert found.units == len(wanted)
        check(found.metrics["spent"], wanted.dropna().to_numpy())
    assert tally.looks[-1].arms == tally.arms


def test_conditions_and_caps_apply_before_anything_is_added_up() -> None:
    columns = drawn(2_000)
    over = asked("proportion", "spent", condition=Condition(sign=">", bound=12))
    capped = asked("mean", "clicks", cap_quantile=0.9)

    tally = framed(**columns).tally(question(over, capped))

    chosen = columns["variant"] == "b"
    spent = columns["spent"][chosen]
    check(arm(tally, "b").metrics["spent"], (spent[~np.isnan(spent)] > 12).astype(float))
    cap = np.quantile(columns["clicks"], 0.9)
    check(arm(tally, "b").metrics["clicks"], np.minimum(columns["clicks"][chosen], cap))


@pytest.mark.parametrize("is_large", [False, True])
def test_the_tail_of_few_rows_and_the_largest_of_any(
    is_large: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_large:
        monkeypatch.setattr("expplat.adapters.table.tails.MOST_ROWS", 4_000)
    source = np.random.default_rng(3)
    spent = -source.lognormal(0, 1.5, 40_000)
    variant = np.where(np.arange(40_000) % 2, "control", "b")

    tally = framed(user=np.arange(40_000), variant=variant, spent=spent).tally(
        question(asked("mean", "spent"))
    )

    for name in ("control", "b"):
        values = spent[variant == name]
        squares = np.sort((values - values.mean()) ** 2)
        found = arm(tally, name).metrics["spent"]
        share = None if is_large else pytest.approx(squares[-200:].sum() / squares.sum())
        assert found.largest == pytest.approx(values.min(), rel=1e-14)
        assert found.tail_share == share


@pytest.mark.parametrize("form", ["near", "far apart", "negative", "text"])
def test_repeated_ids_are_found_whatever_they_are(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uniqueness_module, "AT_ONCE", 1_000)
    columns = drawn(5_000)
    forms = {"near": 1, "far apart": 10**12, "negative": -3}
    ids = np.array([f"u{user}" for user in columns["user"]])
    columns["user"] = ids if form == "text" else columns["user"] * forms[form]
    twice = columns | {"user": np.append(columns["user"][:-1], columns["user"][0])}

    assert framed(**columns).tally(ALL).repeated_units == 0
    found = framed(**twice).tally(ALL)
    assert found.repeated_units + found.units_in_two_arms == 1


def test_a_column_whose_groups_were_never_mixed_is_shown() -> None:
    columns = drawn(4_000)
    columns["variant"] = np.where(columns["shop"] % 2, "control", "b")
    del columns["day"]

    tally = framed(**columns, team=columns["user"] % 50).tally(question(asked("mean", "spent")))

    (found,) = tally.groupings
    assert (found.column, found.mixed) == ("shop", 0)
    assert found.groups == 201


def test_the_landing_page_test_adds_up_to_what_is_known_of_it() -> None:
    table = opened(shared_file("landing_page_ab_data.parquet"))

    tally = table.tally(question(asked("proportion", "converted"), variant="group", unit="user_id"))

    assert tally.rows == 294_478
    assert tally.units_in_two_arms == 1_895
    assert sum(one.units for one in tally.arms) + 1_895 == 290_584


def test_the_cookie_cats_test_adds_up_to_what_is_known_of_it() -> None:
    table = opened(shared_file("cookie_cats.csv"))

    tally = table.tally(
        question(
            asked("proportion", "retention_1"),
            asked("proportion", "retention_7"),
            asked("mean", "sum_gamerounds"),
            variant="version",
            control="gate_30",
            unit="userid",
        )
    )

    assert [one.units for one in tally.arms] == [44_700, 45_489]
    kept = [round(one.metrics["retention_7"].moments.means[0], 6) for one in tally.arms]
    assert kept == [0.190201, 0.182]
    assert arm(tally, "gate_30").metrics["sum_gamerounds"].largest == 49_854


@pytest.mark.parametrize("name", ["table.parquet", "table.csv"])
def test_adding_a_file_up_does_not_import_pandas(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame(drawn(200))
    frame.to_parquet(tmp_path / "table.parquet")
    frame.to_csv(tmp_path / "table.csv", index=False)
    code = (
        "import sys\n"
        "from tests.adapters.table.table_making import asked, opened, question\n"
        "opened(sys.argv[1]).tally(question(asked('mean', 'spent'), covariates=('before',)))\n"
        "sys.exit('pandas' in sys.modules)\n"
    )

    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path / name)], check=False)

    assert ended.returncode == 0

"""`analyze` end to end: any table that holds the same test gives the same answer."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import stats

from expplat.adapters.table import DuckTables
from expplat.domain.gate import Ruling
from expplat.domain.question import Adjustment, Correction, Standard
from expplat.errors import FaultsError
from expplat.flow.analyze import analyze
from tests.flow.tables import analyzed, check, of, opened, question, requests, users

ALL = (
    "spent=mean",
    "bought=proportion",
    "ctr=ratio:clicks/views",
    "clicks=count",
    "slow=proportion:spent>13",
    "p90=p90:spent",
)


def numbers(found):
    """Return every number that a reader may look at, by its place."""
    return {
        (one.metric, one.variant, name): getattr(one, name)
        for one in (*found.comparisons, *found.segments)
        for name in ("control", "treatment", "effect", "standard_error", "ci_low", "ci_high", "p",
                     "p_adjusted", "relative", "relative_ci_low", "relative_ci_high")
        if getattr(one, name) is not None
    }  # fmt: skip


# Where a table lies, and in what unit.


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10_000),
    power=st.sampled_from([-9, -6, -3, -1, 1, 3, 6, 9]),
    covariates=st.sampled_from([(), ("before",)]),
    look=st.sampled_from([None, "day"]),
)
def test_another_unit_changes_no_p_value_and_no_ruling(seed, power, covariates, look):
    frame = users(80, seed=seed, lift=0.8)
    scaled = frame.assign(spent=frame.spent * 10.0**power, before=frame.before * 10.0**power)
    asked = {"covariates": covariates, "look": look}

    one = analyzed(frame, "spent=mean", "bought=proportion", **asked)
    other = analyzed(scaled, "spent=mean", "bought=proportion", **asked)

    assert [row.ruling for row in other.comparisons] == [row.ruling for row in one.comparisons]
    for before, after in zip(one.comparisons, other.comparisons, strict=True):
        assert after.p == pytest.approx(before.p, abs=1e-7)
    assert other.verdict.ruling is one.verdict.ruling
    assert of(other, "spent").effect == pytest.approx(of(one, "spent").effect * 10.0**power)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 10_000),
    n=st.sampled_from([80, 3_000]),
    covariates=st.sampled_from([(), ("before",)]),
    look=st.sampled_from([None, "day"]),
)
def test_a_mean_of_a_billion_changes_no_p_value_and_no_ruling(seed, n, covariates, look):
    # Quarters are exact beside a billion: what is left is the arithmetic of the sums.
    frame = users(n, seed=seed, lift=10 / n**0.5)
    frame = frame.assign(spent=(frame.spent * 4).round() / 4, before=(frame.before * 4).round() / 4)
    far = frame.assign(spent=frame.spent + 1e9, before=frame.before + 1e9)

    one, other = (
        analyzed(part, "spent=mean", covariates=covariates, look=look) for part in (frame, far)
    )

    assert of(other, "spent").p == pytest.approx(of(one, "spent").p, abs=1e-7)
    assert of(other, "spent").ruling is of(one, "spent").ruling


@pytest.mark.parametrize("asked", [{}, {"covariates": ("before",)}, {"look": "day"}])
def test_wherever_the_table_lies_every_number_is_the_same(tmp_path, asked):
    metrics = ALL if "look" not in asked else ALL[:-1]
    frame = users(400, seed=3, lift=0.3)
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True, double_precision=15)
    arrow = pyarrow.Table.from_pandas(frame, preserve_index=False)
    chunked = pyarrow.concat_tables(arrow.slice(at * 25, 25) for at in range(16))
    with sqlite3.connect(tmp_path / "t.db") as connection:
        frame.to_sql("t", connection, index=False)
    tables = DuckTables(threads=2)
    url = f"sqlite:///{tmp_path / 't.db'}"
    others = [
        tables.open_frame(arrow),
        tables.open_frame(chunked),
        *(tables.open(str(tmp_path / f"t.{kind}"), query=None, database=None)
          for kind in ("csv", "parquet", "jsonl")),
        tables.open(str(tmp_path / "t.csv"), query="SELECT * FROM data", database=None),
        tables.open(None, query="SELECT * FROM t", database=url),
    ]  # fmt: skip

    expected = numbers(analyzed(frame, *metrics, **asked))

    assert len(expected) >= 40
    for table in others:
        found = numbers(analyze(question(*metrics, **asked), Standard(), table))
        assert found == pytest.approx(expected, rel=1e-10, abs=1e-12)


def test_the_numbers_are_those_of_scipy():
    frame = users(500, seed=5, lift=0.4)
    one, other = (frame.spent[frame.variant == name] for name in ("control", "b"))

    found = of(analyzed(frame, "spent=mean"), "spent")
    welch = stats.ttest_ind(other, one, equal_var=False)

    assert found.p == pytest.approx(welch.pvalue, rel=1e-9)
    ends = welch.confidence_interval()
    assert (found.ci_low, found.ci_high) == pytest.approx((ends.low, ends.high), rel=1e-9)


# What a unit is.


def test_requests_of_users_give_the_answer_of_the_users():
    frame = requests(1000, seed=1, lift=0.4)
    by_user = frame.groupby(["user", "variant"], as_index=False).agg(
        spent=("spent", "mean"), good=("good", "max"),
        clicks=("clicks", "sum"), views=("views", "sum"),
    )  # fmt: skip
    metrics = ("spent=mean", "good=proportion", "ctr=ratio:clicks/views", "clicks=count")

    rows, first = analyzed(frame, *metrics), analyzed(by_user, *metrics)

    assert numbers(rows) == pytest.approx(numbers(first), rel=1e-10)
    assert of(rows, "spent").n_control + of(rows, "spent").n_treatment == len(by_user)


def test_requests_of_users_are_no_units():
    frame = requests(1000, seed=1)

    refused = analyzed(frame, "spent=mean", unit="request_id")
    trusted = analyzed(frame, "spent=mean", unit="request_id", trusts_unit=True)

    assert check(refused, "randomisation_unit").ruling is Ruling.FAIL
    assert "--unit user" in check(refused, "randomisation_unit").sentence
    assert refused.verdict.ruling is Ruling.UNKNOWN
    assert "randomisation_unit" not in {row.check for row in trusted.health}


def test_a_mean_is_of_a_units_mean_and_a_count_of_its_sum():
    rows = [(user, "control" if user % 2 else "b", value) for user in range(80) for value in (1, 3)]
    frame = pd.DataFrame(rows, columns=["user", "variant", "x"])

    found = analyzed(frame, "mean=mean:x", "sum=count:x")

    assert (of(found, "mean").control, of(found, "sum").control) == (2.0, 4.0)


def test_a_count_is_no_proportion():
    frame = users(80).assign(bought=np.arange(80) % 4)

    with pytest.raises(FaultsError) as caught:
        analyzed(frame, "x=proportion:bought")

    (fault,) = caught.value.faults
    assert (fault.field, "40 rows" in fault.message) == ("bought", True)
    assert "'2'" in fault.message


def test_rows_of_a_unit_are_a_cluster_of_a_quantile():
    frame = requests(1000, seed=2)
    twice = pd.concat([frame, frame])

    once = of(analyzed(frame, "p95=p95:spent"), "p95")
    doubled = of(analyzed(twice, "p95=p95:spent"), "p95")

    assert once.control == pytest.approx(np.quantile(frame.spent[frame.variant == "control"], 0.95))
    assert doubled.standard_error == pytest.approx(once.standard_error, rel=0.1)


# Covariates, clusters, caps.


def test_a_covariate_narrows_and_keeps_the_effect():
    frame = users(2_000, seed=8, lift=0.3)

    plain = of(analyzed(frame, "spent=mean"), "spent")
    narrow = of(analyzed(frame, "spent=mean", covariates=("before",)), "spent")
    own = of(analyzed(frame, "spent=mean", covariates=("before",), adjustment=Adjustment.LIN),
             "spent")  # fmt: skip

    assert narrow.standard_error < 0.7 * plain.standard_error
    assert own.standard_error == pytest.approx(narrow.standard_error, rel=0.02)
    assert narrow.ci_low < 0.3 < narrow.ci_high
    assert "CUPED" in narrow.method
    assert "Lin" in own.method


def test_many_covariates_for_few_units_are_taken_out_by_lin():
    frame = users(80, seed=8)
    for place in range(3):
        frame[f"more{place}"] = np.random.default_rng(place).normal(size=80)
    names = ("before", "more0", "more1", "more2")

    few = of(analyzed(frame, "spent=mean", covariates=names), "spent")
    many = of(analyzed(users(500), "spent=mean", covariates=("before",)), "spent")

    assert "Lin" in few.method
    assert "CUPED" in many.method


def test_new_users_stay_without_a_covariate():
    frame = users(2_000, seed=9, lift=0.3)
    gaps = frame.assign(before=frame.before.where(frame.user % 3 > 0))

    plain = of(analyzed(gaps, "spent=mean"), "spent")
    narrow = of(analyzed(gaps, "spent=mean", covariates=("before",)), "spent")

    assert (narrow.n_control, narrow.n_treatment) == (plain.n_control, plain.n_treatment)
    assert narrow.standard_error < 0.8 * plain.standard_error


def households(n=400, seed=0, lift=0.0):
    """Return people in households of uneven sizes, whose variant is the household's."""
    draw = np.random.default_rng(seed)
    household = np.repeat(np.arange(n), draw.integers(1, 6, n))
    treated = draw.permutation(n)[household] % 2 == 1
    shared = draw.normal(0, 1, n)[household]
    before = 10 + draw.normal(0, 1, len(household)) + 2 * draw.normal(0, 1, n)[household]
    spent = 5 + shared + before + draw.normal(0, 0.5, len(household)) + lift * treated
    return pd.DataFrame({
        "user": np.arange(len(household)), "household": household, "before": before,
        "variant": np.where(treated, "b", "control"), "spent": spent, "views": 2.0,
    })  # fmt: skip


def test_clusters_widen_the_interval_to_that_of_their_sums():
    frame = households(seed=4)

    plain = of(analyzed(frame, "spent=mean", trusts_unit=True), "spent")
    wide = of(analyzed(frame, "spent=mean", cluster="household"), "spent")

    assert wide.effect == pytest.approx(plain.effect)
    assert wide.standard_error > 1.3 * plain.standard_error
    assert "clusters" in wide.method


def test_a_covariate_narrows_the_interval_of_clusters_too():
    frame = households(seed=4, lift=0.2)

    plain = of(analyzed(frame, "spent=mean", cluster="household"), "spent")
    narrow = analyzed(frame, "spent=mean", cluster="household", covariates=("before",))

    assert of(narrow, "spent").standard_error < 0.75 * plain.standard_error
    assert check(narrow, "balance_before_exposure").ruling is Ruling.PASS
    assert of(narrow, "spent").ci_low < 0.2 < of(narrow, "spent").ci_high


def test_a_ratio_over_clusters_leaves_covariates_out_and_says_so():
    frame = households(seed=4)
    asked = {"cluster": "household", "covariates": ("before",)}

    found = of(analyzed(frame, "r=ratio:spent/views", **asked), "r")
    plain = of(analyzed(frame, "r=ratio:spent/views", cluster="household"), "r")

    assert found.standard_error == plain.standard_error
    assert "left out" in " ".join(found.warnings)


def test_a_ratio_takes_covariates():
    frame = users(2_000, seed=11)
    frame["clicks"] = frame.views * frame.before / 20

    plain = of(analyzed(frame, "r=ratio:clicks/views"), "r")
    narrow = of(analyzed(frame, "r=ratio:clicks/views", covariates=("before",)), "r")

    assert narrow.standard_error < 0.5 * plain.standard_error


def test_a_cap_holds_for_all_variants_together():
    frame = users(400, seed=12)
    frame.loc[0, "spent"] = 1e6
    cap = np.quantile(frame.spent, 0.99)
    capped = frame.assign(spent=frame.spent.clip(upper=cap))

    found = of(analyzed(frame, "spent=mean", caps=("spent=0.99",)), "spent")

    assert found.effect == pytest.approx(of(analyzed(capped, "spent=mean"), "spent").effect)
    assert "winsorised at p99" in found.method


# Totals.


def test_totals_say_what_their_rows_say():
    frame = users(900, seed=13, lift=0.3)
    totals = frame.groupby("variant", as_index=False).agg(
        n=("user", "size"), yes=("bought", "sum"), spent=("spent", "mean"), sd=("spent", "std"),
    )  # fmt: skip

    rows = analyzed(frame, "bought=proportion", "spent=mean")
    sums = analyzed(totals, "bought=proportion:yes", "spent=mean", unit=None, units_in_row="n",
                    sd_columns=("spent=sd",))  # fmt: skip

    assert numbers(sums) == pytest.approx(numbers(rows), rel=1e-9)


@pytest.mark.parametrize("is_cumulative", [False, True])
def test_totals_by_look_say_what_their_rows_say(is_cumulative):
    frame = users(900, seed=13, lift=0.3)
    days = range(1, 6)
    parts = [
        frame[frame.day <= day if is_cumulative else frame.day == day]
        .groupby("variant", as_index=False)
        .agg(n=("user", "size"), spent=("spent", "mean"), sd=("spent", "std"))
        .assign(day=day)
        for day in days
    ]

    rows = analyzed(frame, "spent=mean", look="day")
    sums = analyzed(pd.concat(parts), "spent=mean", unit=None, units_in_row="n", look="day",
                    sd_columns=("spent=sd",), is_cumulative=is_cumulative)  # fmt: skip

    assert numbers(sums) == pytest.approx(numbers(rows), rel=1e-9)
    assert [look.ci_low for look in sums.looks] == pytest.approx(
        [look.ci_low for look in rows.looks]
    )


# Several treatments.


def test_dunnett_lies_between_no_correction_and_holm():
    frame = users(900, seed=2, lift=0.35, arms=("b", "c", "d"))

    by = {
        name: analyzed(frame, "spent=mean", correction=name)
        for name in (Correction.NONE, Correction.DUNNETT, Correction.HOLM)
    }
    smallest = {
        name: min(one.p_adjusted for one in found.comparisons) for name, found in by.items()
    }

    assert [one.variant for one in by[Correction.HOLM].comparisons] == ["b", "c", "d"]
    assert smallest[Correction.NONE] < smallest[Correction.DUNNETT] <= smallest[Correction.HOLM]


def test_dunnett_of_two_metrics_asks_twice_as_much_of_each():
    frame = users(900, seed=2, lift=0.35, arms=("b", "c", "d"))
    frame["more"] = frame["spent"] * 2

    one = analyzed(frame, "spent=mean", correction=Correction.DUNNETT)
    two = analyzed(frame, "spent=mean", "more=mean", correction=Correction.DUNNETT)

    wanted = [min(1.0, 2 * of_one.p_adjusted) for of_one in one.comparisons]
    assert [of_two.p_adjusted for of_two in two.comparisons] == pytest.approx(wanted * 2)


# Words that fit nothing.


@pytest.mark.parametrize(
    ("asked", "field", "word"),
    [
        ({"unit": None}, "--unit", "independent"),
        ({"unit": "variant"}, "--unit", "no unit"),
        ({"covariates": ("spent",)}, "--covariate", "asked for"),
        ({"alpha": 0.7}, "--alpha", "no level"),
        ({"correction": Correction.MAX_T}, "--correction", "compare"),
        ({"open_ended": True}, "--look", "when"),
        ({"split": {"control": 1, "c": 1}}, "--split", "b, c"),
    ],
)
def test_what_does_not_fit_is_a_fault(asked, field, word):
    with pytest.raises(FaultsError) as caught:
        analyzed(users(80), "spent=mean", **asked)

    (fault,) = [one for one in caught.value.faults if one.field == field]
    assert word in fault.message


def test_where_nothing_varies_nothing_is_ruled():
    found = analyzed(users(80).assign(spent=3.0), "spent=mean", "safe=mean:spent",
                     margins=("safe=1",))  # fmt: skip

    assert {one.ruling for one in found.comparisons} == {Ruling.UNKNOWN}
    assert found.verdict.ruling is Ruling.UNKNOWN


# A table that is not fit to be read never passes.


BROKEN = {
    "srm": lambda frame: frame[(frame.variant == "b") | (frame.user % 3 > 0)],
    "units_in_two_arms": lambda frame: pd.concat([frame, frame.head(40).assign(variant="b"),
                                                  frame.head(40).assign(variant="control")]),
    "missing_values": lambda frame: frame.assign(
        spent=frame.spent.where((frame.variant == "b") | (frame.user % 12 > 0))),
    "nameless_rows": lambda frame: frame.assign(
        variant=frame.variant.where(frame.user % 12 > 0)),
    "balance_before_exposure": lambda frame: frame.assign(
        before=frame.before + 2.0 * (frame.variant == "b")),
    "randomisation_unit": lambda frame: frame.assign(
        shop=frame.variant + (frame.user % 60).astype(str)),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 1_000), lift=st.floats(-5, 5), margin=st.floats(0.1, 100))
def test_a_refused_table_never_passes_whatever_the_numbers(name, seed, lift, margin):
    frame = BROKEN[name](users(900, seed=seed, lift=lift))

    found = analyzed(frame, "spent=mean", "safe=mean:spent", margins=(f"safe={margin}",),
                     covariates=("before",) if "balance" in name else ())  # fmt: skip

    assert Ruling.FAIL in {row.ruling for row in found.health if row.check == name}
    assert {one.ruling for one in found.comparisons} == {Ruling.UNKNOWN}
    assert found.verdict.ruling is Ruling.UNKNOWN


def test_a_sound_table_sounds_no_alarm():
    found = [
        analyzed(users(600, seed=seed), "spent=mean", "bought=proportion", covariates=("before",))
        for seed in range(12)
    ]

    assert {row.ruling for one in found for row in one.health} == {Ruling.PASS}


def test_a_heavy_tail_is_named_and_one_unit_alone_wins_nothing():
    frame = users(600, seed=3)
    one = frame[frame.variant == "b"].index[0]
    frame.loc[one, "spent"] = 1e5
    alone = analyzed(frame.assign(bought=True), "spent=mean")

    assert check(alone, "heavy_tails").ruling is Ruling.UNKNOWN
    assert alone.verdict.ruling is Ruling.UNKNOWN


def test_few_clusters_and_few_units_are_named():
    frame = households(40, seed=1)

    few = analyzed(frame, "spent=mean", cluster="household")
    many = analyzed(households(100), "spent=mean", cluster="household")
    tiny = analyzed(users(30), "spent=mean")

    assert check(few, "clusters").ruling is Ruling.UNKNOWN
    assert check(many, "clusters").ruling is Ruling.PASS
    assert check(tiny, "min_units").ruling is Ruling.UNKNOWN
    assert tiny.verdict.ruling is Ruling.UNKNOWN


def test_denominators_that_moved_are_named():
    totals = pd.DataFrame({
        "variant": ["control", "b"], "users": [5000, 5000], "views": [20_000, 23_000],
        "clicks": [2000, 2500],
    })  # fmt: skip
    asked = {"unit": None, "units_in_row": "users"}

    moved = analyzed(totals, "ctr=proportion:clicks/views", **asked)
    same = analyzed(totals.assign(views=20_000), "ctr=proportion:clicks/views", **asked)

    assert check(moved, "denominators").ruling is Ruling.UNKNOWN
    assert check(same, "denominators").ruling is Ruling.PASS


def test_the_split_is_tested_where_households_were_assigned():
    frame = households(300, seed=6)

    found = analyzed(frame, "spent=mean", cluster="household")

    assert check(found, "srm").detail == {"control": 150.0, "b": 150.0}
    assert "clusters" in check(found, "srm").sentence


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_requests_read_by_user_find_nothing_at_their_level():
    runs = 3_000
    found = [
        of(analyzed(requests(600, seed=10_000 + seed), "spent=mean"), "spent").p < 0.05
        for seed in range(runs)
    ]
    naive = [
        stats.ttest_ind(*(frame.spent[frame.variant == name] for name in ("control", "b"))).pvalue
        < 0.05
        for frame in (requests(600, seed=seed) for seed in range(300))
    ]

    print(
        f"by user {np.mean(found):.4f} ± {np.std(found) / runs**0.5:.4f}, by row {np.mean(naive)}"
    )
    assert np.mean(found) == pytest.approx(0.05, abs=3 * (0.05 * 0.95 / runs) ** 0.5)
    assert np.mean(naive) > 0.2


def test_an_answer_stays_as_it_is_where_the_table_is_opened_anew():
    frame = users(400, seed=1)
    asked = question(*ALL)

    one, other = (analyze(asked, Standard(), opened(frame)) for _ in range(2))

    assert replace(one) == other

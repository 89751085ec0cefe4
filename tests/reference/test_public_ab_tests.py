"""`expplat analyze` on public A/B tests gives the numbers that plain scipy and statsmodels do."""

from __future__ import annotations

import pandas as pd
import pytest

from expplat.adapters.table import DuckTables
from expplat.domain.question import Question, Standard
from expplat.flow.analyze import analyze
from expplat.flow.asking import Words, asked_metrics
from expplat.stats.adjustment import balance
from expplat.stats.moments import of_proportion
from expplat.stats.multiplicity import benjamini_hochberg, bonferroni
from expplat.stats.srm import chi_square_p
from tests.reference.conftest import comparison, health

CLEAN_LANDING_PAGE = """
    SELECT user_id, "group", min_by(converted, timestamp) AS converted
    FROM data
    WHERE ("group" = 'treatment') = (landing_page = 'new_page')
    GROUP BY user_id, "group"
"""


def close(value, places=6):
    return pytest.approx(value, abs=0.51 * 10**-places)


def test_cookie_cats_retention_falls_with_a_later_gate(ask, data):
    found = ask(
        "analyze", data("abtests/cookie_cats.csv"), "--unit", "userid", "--variant", "version",
        "--control", "gate_30", "--metric", "day1=proportion:retention_1",
        "--metric", "day7=proportion:retention_7", "--metric", "rounds=mean:sum_gamerounds",
    )  # fmt: skip

    day1, day7 = comparison(found, "day1"), comparison(found, "day7")
    rounds = comparison(found, "rounds")
    assert (day7["n_control"], day7["n_treatment"]) == (44_700, 45_489)
    assert (day7["control"], day7["treatment"]) == (close(0.190201), close(0.182000))
    assert day1["effect"] == close(-0.005905)
    assert (day1["ci_low"], day1["ci_high"]) == (close(-0.012392), close(0.000582))
    assert day1["p"] == close(0.07441, 5)
    assert day7["effect"] == close(-0.008201)
    assert (day7["ci_low"], day7["ci_high"]) == (close(-0.013282), close(-0.003121))
    assert day7["p"] == close(0.0015543, 7)
    assert day7["p_adjusted"] == pytest.approx(3 * day7["p"])
    assert (rounds["control"], rounds["treatment"]) == (close(52.4563, 4), close(51.2988, 4))
    assert rounds["p"] == close(0.3759, 4)
    assert health(found, "srm")["p"] == close(0.0086, 4)
    assert health(found, "srm")["ruling"] == "pass"
    assert health(found, "heavy_tails")["detail"]["metric"] == "rounds"
    assert found["verdict"]["ruling"] == "fail"


def test_cookie_cats_by_newcombe_and_without_its_one_outlier(ask, data):
    file = data("abtests/cookie_cats.csv")
    newcombe = ask(
        "analyze", file, "--unit", "userid", "--variant", "version", "--control", "gate_30",
        "--metric", "day7=proportion:retention_7", "--method", "newcombe",
    )  # fmt: skip
    trimmed = ask(
        "analyze", file, "--sql", "SELECT * FROM data WHERE sum_gamerounds < 49854",
        "--unit", "userid", "--variant", "version", "--control", "gate_30",
        "--metric", "rounds=mean:sum_gamerounds",
    )  # fmt: skip
    strict = ask(
        "analyze", file, "--unit", "userid", "--variant", "version", "--control", "gate_30",
        "--metric", "day7=proportion:retention_7", "--srm-alpha", "0.01",
    )  # fmt: skip

    day7, rounds = comparison(newcombe, "day7"), comparison(trimmed, "rounds")
    assert (day7["ci_low"], day7["ci_high"]) == (close(-0.013282), close(-0.003121))
    assert (rounds["control"], rounds["treatment"]) == (close(51.3421, 4), close(51.2988, 4))
    assert rounds["p"] == close(0.9495, 4)
    assert strict["verdict"]["ruling"] == "unknown"
    assert health(strict, "srm")["ruling"] == "fail"


def test_the_landing_page_as_it_came_names_its_dirty_rows(ask, data):
    found = ask(
        "analyze", data("abtests/landing_page_ab_data.parquet"), "--unit", "user_id",
        "--variant", "group", "--control", "control", "--metric", "sold=proportion:converted",
    )  # fmt: skip

    both = health(found, "units_in_two_arms")
    assert both["detail"]["units"] == 1_895
    assert health(found, "repeated_units")["detail"]["rows"] == 294_478 - 290_584
    assert sum(comparison(found, "sold")[key] for key in ("n_control", "n_treatment")) == 288_689
    assert found["verdict"]["ruling"] == "unknown"


def test_the_landing_page_cleaned_does_not_sell_more(ask, data):
    found = ask(
        "analyze", data("abtests/landing_page_ab_data.parquet"), "--sql", CLEAN_LANDING_PAGE,
        "--unit", "user_id", "--variant", "group", "--control", "control",
        "--metric", "sold=proportion:converted",
    )  # fmt: skip

    sold = comparison(found, "sold")
    assert (sold["n_control"], sold["n_treatment"]) == (145_274, 145_310)
    assert (sold["control"], sold["treatment"]) == (close(0.1203863, 7), close(0.1188081, 7))
    assert sold["effect"] == close(-0.0015782, 7)
    assert (sold["ci_low"], sold["ci_high"]) == (close(-0.003938), close(0.000781))
    assert sold["p"] == close(0.189883)
    assert health(found, "srm")["p"] == close(0.9468, 4)
    assert found["verdict"]["ruling"] == "unknown"


def test_the_landing_page_read_every_day_never_fools(ask, data):
    by_day = CLEAN_LANDING_PAGE.replace("SELECT", "SELECT min(timestamp)::DATE AS day,", 1)
    found = ask(
        "analyze", data("abtests/landing_page_ab_data.parquet"), "--sql", by_day,
        "--unit", "user_id", "--variant", "group", "--control", "control",
        "--metric", "sold=proportion:converted", "--look", "day",
    )  # fmt: skip

    read_once = [look["p_if_read_once"] for look in found["looks"]]
    assert len(read_once) == 23
    assert min(read_once) == pytest.approx(0.1269, abs=0.002)
    assert {look["ruling"] for look in found["looks"]} == {"unknown"}


def test_the_landing_page_by_country(ask, data):
    joined = f"""
        SELECT cleaned.*, countries.country
        FROM ({CLEAN_LANDING_PAGE}) AS cleaned
        JOIN '{data("abtests/landing_page_countries.parquet")}' AS countries USING (user_id)
        WHERE country = 'UK'
    """
    found = ask(
        "analyze", data("abtests/landing_page_ab_data.parquet"), "--sql", joined,
        "--unit", "user_id", "--variant", "group", "--control", "control",
        "--metric", "sold=proportion:converted",
    )  # fmt: skip

    sold = comparison(found, "sold")
    assert (sold["control"], sold["treatment"]) == (close(0.12002, 5), close(0.12117, 5))


def test_the_free_trial_screener_does_not_launch(ask, data):
    found = ask(
        "analyze", data("abtests/udacity_free_trial_daily.csv"), "--variant", "variant",
        "--control", "control", "--sql", "SELECT * FROM data WHERE enrollments IS NOT NULL",
        "--units", "pageviews", "--metric", "gross=proportion:enrollments/clicks:lower",
        "--metric", "net=proportion:payments/clicks",
        "--metric", "kept=proportion:payments/enrollments",
        "--min-effect", "gross=0.01", "--margin", "net=0.0075",
    )  # fmt: skip

    gross, net = comparison(found, "gross"), comparison(found, "net")
    kept = comparison(found, "kept")
    assert (gross["control"], gross["treatment"]) == (close(0.21887, 5), close(0.19832, 5))
    assert gross["effect"] == close(-0.02055, 5)
    assert (gross["ci_low"], gross["ci_high"]) == (close(-0.02912, 5), close(-0.01199, 5))
    assert gross["ruling"] == "pass"
    assert net["effect"] == close(-0.00487, 5)
    assert (net["ci_low"], net["ci_high"]) == (close(-0.01160, 5), close(0.00186, 5))
    assert net["p"] == close(0.1558, 4)
    assert net["ruling"] == "unknown"
    assert kept["effect"] == close(0.03109, 5)
    # The README's interval has the pooled error; Wald's is 0.00812 to 0.05407.
    assert (kept["ci_low"], kept["ci_high"]) == (close(0.00810, 4), close(0.05409, 4))
    moved = [row for row in found["health"] if row["check"] == "denominators"]
    assert {row["detail"]["metric"]: row["ruling"] for row in moved}["kept"] == "unknown"
    assert found["verdict"]["ruling"] == "unknown"


def test_the_free_trial_split_is_as_planned(ask, data):
    found = ask(
        "analyze", data("abtests/udacity_free_trial_daily.csv"), "--variant", "variant",
        "--control", "control", "--units", "pageviews",
        "--metric", "ctr=proportion:clicks/pageviews",
    )  # fmt: skip

    srm = health(found, "srm")
    assert (
        srm["detail"] == {"control": 345_543.0, "experiment": 344_660.0} or len(srm["detail"]) == 2
    )
    assert srm["p"] == pytest.approx(0.2884, abs=0.001)
    assert comparison(found, "ctr")["n_control"] == 345_543


VOTERS = ("--unit", "unit_id", "--variant", "messages", "--control", "Control")
SPLIT = ("--split", "control=5,Civic Duty=1,Hawthorne=1,Neighbors=1")
TURNOUT = {
    "Civic Duty": (0.017899, 0.012814, 0.022985),
    "Hawthorne": (0.025736, 0.020622, 0.030851),
    "Neighbors": (0.081310, 0.076034, 0.086586),
}
TURNOUT_CUPED = {
    "Civic Duty": (0.018036, 0.013013, 0.023059),
    "Hawthorne": (0.025294, 0.020247, 0.030342),
    "Neighbors": (0.080343, 0.075148, 0.085538),
}


def test_voters_turn_out_more_under_each_message(ask, data):
    found = ask(
        "analyze", data("abtests/voter_turnout_4arm.parquet"), *VOTERS, *SPLIT,
        "--metric", "voted=mean:primary2006",
    )  # fmt: skip

    for variant, ends in TURNOUT.items():
        one = comparison(found, "voted", variant)
        assert one["control"] == close(0.296638)
        assert (one["effect"], one["ci_low"], one["ci_high"]) == tuple(map(close, ends))
        assert one["ruling"] == "pass"
    assert comparison(found, "voted", "Civic Duty")["p"] == pytest.approx(5.3e-12, rel=0.02)
    assert health(found, "srm")["p"] == close(0.9934, 4)
    assert found["verdict"]["ruling"] == "pass"


def test_voters_held_against_how_they_voted_before(ask, data):
    found = ask(
        "analyze", data("abtests/voter_turnout_4arm.parquet"), *VOTERS, *SPLIT,
        "--metric", "voted=mean:primary2006", "--covariate", "primary2004",
    )  # fmt: skip
    plain = ask(
        "analyze", data("abtests/voter_turnout_4arm.parquet"), *VOTERS, *SPLIT,
        "--metric", "voted=mean:primary2006",
    )  # fmt: skip

    for variant, ends in TURNOUT_CUPED.items():
        one, before = comparison(found, "voted", variant), comparison(plain, "voted", variant)
        assert (one["effect"], one["ci_low"], one["ci_high"]) == tuple(map(close, ends))
        kept = (one["standard_error"] / before["standard_error"]) ** 2
        assert 0.969 < kept < 0.977
    assert health(found, "balance_before_exposure")["p"] == close(0.092, 3)


def test_voters_against_equal_shares_are_refused(ask, data):
    found = ask(
        "analyze", data("abtests/voter_turnout_4arm.parquet"), *VOTERS,
        "--metric", "voted=mean:primary2006",
    )  # fmt: skip

    assert health(found, "srm")["ruling"] == "fail"
    assert found["verdict"]["ruling"] == "unknown"
    assert {row["ruling"] for row in found["comparisons"]} == {"unknown"}


@pytest.mark.parametrize(
    ("variant", "effect"), [("Civic Duty", 0.02322), ("Hawthorne", 0.03920), ("Neighbors", 0.09202)]
)
def test_voters_who_live_alone(ask, data, variant, effect):
    found = ask(
        "analyze", data("abtests/voter_turnout_4arm.parquet"), *VOTERS, *SPLIT,
        "--sql", "SELECT * FROM data WHERE hhsize = 1", "--metric", "voted=mean:primary2006",
    )  # fmt: skip

    assert comparison(found, "voted", variant)["effect"] == close(effect, 5)


@pytest.mark.long
def test_upworthy_splits_are_broken_where_its_archive_says(data):
    arms = pd.read_parquet(data("abtests/upworthy_headlines.parquet"))
    metrics = asked_metrics(Words(("ctr=proportion:clicks/impressions",)))
    question = Question(variant="arm", control="0", metrics=metrics, units_in_row="impressions")
    week = arms.groupby("test_id").test_week.first()
    tables, found = DuckTables(), {}
    for test, rows in arms.groupby("test_id"):
        first = str(rows.arm.min())
        frame = rows[["arm", "clicks", "impressions"]].astype({"arm": str})
        asked = Question(
            **{**{k: getattr(question, k) for k in question.__slots__}, "control": first}
        )
        found[test] = analyze(asked, Standard(), tables.open_frame(frame))
    broken = {test for test, one in found.items() if one.health[0].ruling == "fail"}
    window = {test for test in found if 201326 <= week[test] <= 201402}

    assert len(found) == 2_491
    assert len(broken) == 383
    assert (len(window), len(window & broken)) == (530, 356)
    assert len(broken - window) == 27
    assert all(found[test].verdict.ruling == "unknown" for test in broken)


def test_upworthy_headlines_differ_where_the_archive_says(data):
    arms = pd.read_parquet(data("abtests/upworthy_headlines.parquet"))
    p = {}
    for test, rows in arms.groupby("test_id"):
        moments = [
            of_proportion(clicks, shown)
            for clicks, shown in zip(rows.clicks, rows.impressions, strict=True)
        ]
        if 0 < rows.clicks.sum() < rows.impressions.sum():
            p[test] = balance(moments)
    shares = {test: [1.0] * len(rows) for test, rows in arms.groupby("test_id")}
    broken = {
        test
        for test, rows in arms.groupby("test_id")
        if chi_square_p(list(rows.impressions), shares[test]) <= 0.001
    }
    differ = {test for test, one in p.items() if one < 0.05}

    assert arms.impressions.sum() == 41_109_316
    assert (len(p), len(differ)) == (2_490, 1_164)
    assert sum(one < 0.05 for one in bonferroni(list(p.values()))) == 284
    assert sum(one < 0.05 for one in benjamini_hochberg(list(p.values()))) == 902
    assert (len(broken), len(broken & differ)) == (383, 202)


@pytest.mark.long
def test_asos_streams_fool_who_peeks(data):
    raw = pd.read_csv(data("abtests/asos_experiments.csv"))
    metrics = asked_metrics(Words(("m=mean:mean",), sd_columns=("m=sd",)))
    question = Question(
        variant="arm", control="c", metrics=metrics, units_in_row="n", look="day",
        is_cumulative=True,
    )  # fmt: skip
    standard = Standard(open_ended=True)
    final = peeked = only_peeked = 0
    by_metric = {1: 0, 2: 0, 3: 0, 4: 0}
    for (_, _, metric), rows in raw.groupby(["experiment_id", "variant_id", "metric_id"]):
        parts = [
            pd.DataFrame({
                "arm": arm, "n": rows[f"count_{arm}"], "mean": rows[f"mean_{arm}"],
                "sd": rows[f"variance_{arm}"] ** 0.5, "day": rows["time_since_start"],
            })
            for arm in "ct"
        ]  # fmt: skip
        found = analyze(question, standard, DuckTables().open_frame(pd.concat(parts)))
        p = [look.p_if_read_once for look in found.looks]
        last = p[-1] is not None and p[-1] < 0.05
        ever = any(value is not None and value < 0.05 for value in p)
        final, peeked = final + last, peeked + ever
        only_peeked += ever and not last
        by_metric[metric] += last

    assert (final, peeked, only_peeked) == (59, 129, 70)
    assert by_metric == {1: 16, 2: 16, 3: 13, 4: 14}

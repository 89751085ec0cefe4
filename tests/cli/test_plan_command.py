"""`expplat plan`, as a person types it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from expplat.cli._entry import platform
from expplat.domain.poc import Stage
from tests.builders import a_report, a_transition, an_effect

SLUG = "late_chunking"
FILE = f"experiments/{SLUG}.yaml"
SHARE = ("--baseline", ".1204", "--min-effect", ".01", "--plan", "fixed")


def test_numbers_are_answered_with_a_size_and_a_sentence(expplat):
    done = expplat("plan", *SHARE)

    assert done.exit_code == 0
    assert "34,426" in done.stdout
    assert "17,213 in each of 2 variants" in done.stdout
    assert "--daily-units" in done.stdout


def test_days_dollars_and_weeks_are_told_where_the_traffic_is_known(expplat):
    done = expplat("plan", *SHARE, "--daily-units", 3000, "--cost-per-unit-usd", 0.01)

    assert "11.5 days" in done.stdout
    assert "344.26 USD" in done.stdout
    assert "168,000" in done.stdout


def test_a_mean_and_its_guardrails(expplat):
    found = expplat.json(
        "plan", "--kind", "mean", "--baseline", 3.1, "--sd", 5.2, "--min-effect", 0.2,
        "--guardrails", 3, "--guardrail", "latency_ms=20:400",
    )  # fmt: skip

    assert [gate["metric"] for gate in found["gates"]] == ["success", "latency_ms"]
    assert found["gates"][0]["power"] == pytest.approx(0.95, abs=1e-3)
    assert found["joint_power_at_least"] >= 0.8 - 1e-3


def test_no_workspace_is_needed_for_numbers(expplat, tmp_path, monkeypatch):
    bare = tmp_path / "bare"
    bare.mkdir()
    monkeypatch.chdir(bare)

    assert expplat("plan", *SHARE).exit_code == 0


def test_without_an_effect_the_weeks_are_told(expplat):
    found = expplat.json("plan", "--baseline", 0.12, "--daily-units", 500)

    assert found["units"] is None
    assert [row["weeks"] for row in found["weeks"]] == [1, 2, 4, 8]


def test_a_plan_that_is_not_feasible_is_no_failure_but_says_so(expplat):
    done = expplat("plan", *SHARE, "--daily-units", 5)
    found = expplat.json("plan", *SHARE, "--daily-units", 5)

    assert done.exit_code == 0
    assert "Not feasible" in done.stdout
    assert found["is_feasible"] is False


def test_all_bad_numbers_are_told_at_once_and_by_their_options(expplat):
    done = expplat(
        "plan", "--baseline", 1.4, "--alpha", 0, "--power", 2, "--treatments", 0, "--plan", "x",
        "--guardrail", "nonsense", "--guardrail", "=1:2", "--daily-units", -1, "--kind", "ratio",
        "--min-effect", 0,
    )  # fmt: skip

    assert done.exit_code == 2
    assert done.stdout == ""
    for word in ("--baseline", "--alpha", "--power", "--treatments", "--plan", "nonsense", "=1:2",
                 "--daily-units", "'ratio'", "--min-effect"):  # fmt: skip
        assert word in done.stderr, word


def test_nothing_asked_is_told_what_to_ask(expplat):
    done = expplat("plan")

    assert done.exit_code == 2
    assert "--baseline" in done.stderr
    assert "--min-effect" in done.stderr


def test_an_experiment_file_is_planned_as_it_stands(expplat):
    done = expplat("plan", FILE, "--daily-units", 500)

    assert done.exit_code == 0, done.output
    assert "found_page" in done.stdout
    assert "days" in done.stdout


def test_a_poc_is_planned_as_it_was_frozen(expplat):
    expplat("propose", FILE)
    frozen = expplat.json("plan", FILE)
    expplat.edit("max_units: ", "max_units: 1")

    assert expplat.json("plan", SLUG) == frozen
    assert expplat.json("plan", FILE) != frozen


def keep_a_replay(**effect):
    """Write a finished replay of the proposed POC into the workspace's database."""
    report = a_report(effects=(an_effect("recall_at_3", **effect),))
    uow = platform().uow()
    with uow:
        poc = uow.pocs.get(SLUG)
        step = replace(
            a_transition(Stage.REPLAYED, evidence={"replay_id": report.plan.replay_id}),
            slug=SLUG,
            proposal_sha256=poc.newest.proposal_sha256,
        )
        uow.replays.add(report)
        uow.pocs.add_newest(poc.advance(step))
        uow.commit()


def test_a_finished_replay_says_how_many_requests_the_next_one_needs(expplat):
    expplat("propose", FILE)
    keep_a_replay(low=-0.05, high=0.15)

    done = expplat("plan", SLUG, "--replay")
    found = expplat.json("plan", SLUG, "--replay", "--power", 0.9)

    assert done.exit_code == 0
    assert "for recall_at_3" in done.stdout
    assert found["requests_needed"] > 500


def test_a_replay_that_holds_too_little_or_none_is_refused(expplat):
    expplat("propose", FILE)
    before = expplat("plan", SLUG, "--replay")
    keep_a_replay(low=None, high=None)
    after = expplat("plan", SLUG, "--replay")

    assert before.exit_code == after.exit_code == 2
    assert f"expplat replay {SLUG}" in before.stderr
    assert "holds too little" in after.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((FILE, "--baseline", 0.1, "--alpha", 0.1), ("--baseline", "--alpha", "already")),
        ((FILE, "--traffic-percent", 50), ("--traffic-percent",)),
        ((FILE, "--daily-units", 0), ("--daily-units",)),
        ((SLUG, "--replay", "--daily-units", 5, "--power", 7), ("--daily-units", "--power")),
        (("--replay",), ("takes a POC",)),
        ((FILE, "--replay"), ("takes a POC",)),
        (("nobody",), ("nobody", "expplat list")),
        (("experiments/nothing.yaml",), ("nothing.yaml",)),
    ],
)
def test_what_does_not_go_together_is_refused(expplat, words, said):
    done = expplat("plan", *words)

    assert done.exit_code == 2, done.output
    for word in said:
        assert word in done.stderr


def test_a_file_with_faults_tells_them(expplat):
    expplat.edit("max_units:", "max_unitz:")

    done = expplat("plan", FILE)

    assert done.exit_code == 2
    assert "max_unitz" in done.stderr


@pytest.fixture
def units(tmp_path):
    """Four rows of each of a hundred users: totals of 4 and 12, a third of them converted."""
    file = tmp_path / "units.csv"
    rows = [
        f"u{user},{1 if user % 2 else 3},{int(user % 3 == 0)},2"
        for user in range(100)
        for _ in range(4)
    ]
    file.write_text("\n".join(["user,calls,sold,views", *rows]))
    return file


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("sold=proportion", ("--baseline", 0.34)),
        ("total=count:calls", ("--kind", "mean", "--baseline", 8, "--sd", "4.0201512610368485")),
        ("each=mean:calls", ("--kind", "mean", "--baseline", 2, "--sd", "1.0050378152592121")),
        ("rate=ratio:calls/views", ("--kind", "mean", "--sd", "0.5025189076296061")),
    ],
)
def test_a_table_of_todays_units_says_what_the_baseline_is(expplat, units, metric, words):
    by_file = expplat.json(
        "plan", "--file", units, "--unit", "user", "--metric", metric, "--min-effect", 0.02
    )
    by_numbers = expplat.json("plan", *words, "--min-effect", 0.02)

    (one,), (other,) = by_file["gates"], by_numbers["gates"]
    assert one["units_needed"] == other["units_needed"]
    assert one["metric"] == metric.partition("=")[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "sold=proportion"), ("--unit",)),
        (("--unit", "user", "--baseline", 0.1), ("--metric", "--baseline")),
        (("--unit", "usr", "--metric", "sold=proportion"), ("usr", "Did you mean user?")),
        (("--unit", "user", "--metric", "slow=p95:calls"), ("mean, proportion, count or ratio",)),
        ((SLUG, "--unit", "user", "--metric", "sold=proportion"), ("--file", "already")),
    ],
)
def test_a_table_that_cannot_be_planned_by_is_refused(expplat, units, words, said):
    done = expplat("plan", "--file", units, *words)

    assert done.exit_code == 2, done.output
    for word in said:
        assert word in done.stderr

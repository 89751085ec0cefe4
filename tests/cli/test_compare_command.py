"""`expplat compare` as a stranger types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expplat.cli._main import app
from tests.flow.tables import pairs

ASKED = ("--request", "request", "--variant", "variant", "--control", "control")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    pairs(200, seed=1, lift=0.3).to_csv("t.csv", index=False)
    return tmp_path


def typed(*words: object, width: int = 80):
    return CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": str(width)})


def test_times_and_costs_are_shown_as_shares_of_control(folder):
    done = typed("compare", "t.csv", *ASKED, "--metric", "ms=latency", "--metric", "usd=cost")

    assert done.exit_code == 0
    assert "ms changed by −2" in done.output
    assert " % [−" in done.output
    assert " pp" not in done.output


def test_segments_stand_under_the_name_of_their_column(folder):
    done = typed("compare", "t.csv", *ASKED, "--metric", "score=mean", "--segment", "kind")

    lines = done.output.splitlines()
    (title,) = [line for line in lines if line.startswith("ruling") and "kind" in line]
    assert any("short" in line for line in lines[lines.index(title) :])


def test_json_has_segments_and_every_view(folder):
    frame = pairs(200, seed=1, lift=0.3)
    frame.loc[:3, "error"] = "timeout"
    frame.to_csv("t.csv", index=False)

    done = typed("compare", "t.csv", *ASKED, "--metric", "right=proportion", "--segment", "kind",
                 "--error", "error", "--json")  # fmt: skip
    found = json.loads(done.stdout)

    assert [one["metric"] for one in found["comparisons"]] == [
        "right", "right_where_both_answered", "errors"
    ]  # fmt: skip
    assert {one["segment"] for one in found["segments"]} == {"kind=long", "kind=short"}


@pytest.mark.parametrize(
    "words",
    [
        ("--metric", "score=mean", "--correction", "dunnett"),
        ("--metric", "score=mean", "--alpha", "2"),
        ("--metric", "scores=mean"),
        ("--metric", "kind=mean"),
        ("--metric", "score=mean", "--segment", "kinds", "--error", "errors"),
        ("--metric", "score=ratio"),
    ],
)
def test_a_mistake_is_a_sentence_and_status_2(folder, words):
    done = typed("compare", "t.csv", *ASKED, *words)

    assert done.exit_code == 2
    assert done.output.startswith("error: ")
    assert "Traceback" not in done.output


def test_requests_that_never_meet_are_no_comparison(folder):
    frame = pairs(60)
    frame.assign(request=range(120)).to_csv("apart.csv", index=False)

    done = typed("compare", "apart.csv", *ASKED, "--metric", "score=mean")

    assert done.exit_code == 1
    assert "No verdict: missing_requests" in done.output

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from expplat.cli._main import app
from expplat.flow import ingest
from expplat.flow.event_judging import Incoming
from tests.serving import Walk, a_platform

EARLY = {"experiment": "hybrid_rrf", "variation": "treatment", "unit": "u1"}


@pytest.fixture
def platform(tmp_path, monkeypatch):
    platform = a_platform(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield platform
    platform.sql_engine.dispose()


@pytest.fixture
def refused(platform):
    """Two events of a test that has not begun, one of them too long for a line."""
    events = [EARLY, EARLY | {"unit": "u2", "note": "x" * 500}]
    ingest.take(
        [Incoming(kind="exposure", event=event) for event in events],
        source="k1",
        uow=platform.uow(),
        now=platform.now,
    )


def run(*words):
    return CliRunner().invoke(app, ["events", *words])


def test_an_empty_quarantine_says_so(platform):
    assert "No event waits" in run("list").stdout
    assert "0 events tried" in run("replay-failed").stdout


def test_what_waits_is_shown_with_its_reason(refused):
    shown = run("list")

    assert shown.exit_code == 0
    assert shown.stdout.startswith("2 × unknown_experiment.")
    assert "x" * 100 not in shown.stdout


def test_what_waits_is_told_to_scripts(refused):
    told = json.loads(run("list", "--json", "--limit", "1").stdout)

    assert told["codes"] == {"unknown_experiment": 2}
    (event,) = told["events"]
    assert json.loads(event["body"])["unit"] in ("u1", "u2")
    assert event["kind"] == "exposure"


def test_a_replay_takes_what_passes_now(platform, refused):
    Walk(platform).promote("hybrid_rrf", 50.0)

    dry = run("replay-failed", "--dry-run")
    done = json.loads(run("replay-failed", "--json").stdout)

    assert "2 would be taken" in dry.stdout
    assert done == {"codes": {}, "known": 0, "left": 0, "taken": 2, "tried": 2}
    assert "No event waits" in run("list").stdout


def test_a_replay_says_what_goes_on_waiting(refused):
    done = run("replay-failed")

    assert done.exit_code == 0
    assert "Go on waiting: 2 × unknown_experiment." in done.stdout


def test_what_never_will_be_read_is_discarded(refused):
    assert (
        "2 × unknown_experiment would be discarded."
        in run("discard", "unknown_experiment", "--dry-run").stdout
    )
    assert json.loads(run("discard", "unknown_experiment", "--json").stdout)["discarded"] == 2
    assert "No event waits" in run("list").stdout


@pytest.mark.parametrize("limit", ["-1", "x", "10001"])
def test_a_limit_that_is_none_is_refused(platform, limit):
    assert run("list", "--limit", limit).exit_code == 2

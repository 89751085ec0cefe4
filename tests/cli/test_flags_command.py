from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expplat.cli._main import app
from tests.growthbook_fake import KEY, FakeGrowthBook, a_growthbook
from tests.serving import Walk, a_platform

SLUG = "hybrid_rrf"


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "workspace"
    monkeypatch.setenv("EXPPLAT_WORKSPACE", str(folder))
    return folder


@pytest.fixture
def walk(workspace: Path) -> Iterator[Walk]:
    platform = a_platform(workspace)
    yield Walk(platform)
    platform.sql_engine.dispose()


@pytest.fixture
def growthbook(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGrowthBook]:
    with a_growthbook() as fake:
        monkeypatch.setenv("EXPPLAT_GROWTHBOOK_URL", f"{fake.address}/api/")
        monkeypatch.setenv("EXPPLAT_GROWTHBOOK_KEY", KEY)
        yield fake


def expplat(*words: str):
    return CliRunner().invoke(app, list(words))


def test_what_every_flag_serves_is_shown(walk):
    walk.promote(SLUG, 5.0)
    walk.promote("late_chunking", 50.0)
    walk.graduate("late_chunking")

    said = expplat("flags", "show")

    assert said.exit_code == 0
    first, second = (line.split() for line in said.stdout.splitlines()[1:])
    assert first[:6] == [SLUG, "a", "test", "5", "%", f"{SLUG}.p1"]
    assert second[:2] == ["late_chunking", "treatment"]


def test_what_every_flag_serves_is_there_for_scripts(walk):
    walk.promote(SLUG, 5.0)

    (shown,) = json.loads(expplat("flags", "show", "--json").stdout)

    assert shown["flag"]["traffic_percent"] == 5
    assert shown["feature"]["rules"][0]["coverage"] == 0.05


def test_a_flag_that_the_brake_holds_is_shown_as_closed(walk):
    walk.promote(SLUG, 5.0)
    walk.platform.flags.close(SLUG, walk.platform.now())

    said = expplat("flags", "show")

    assert "control" in said.stdout
    assert "held closed" in said.stdout


@pytest.mark.parametrize("words", [["show"], ["push"]])
def test_without_a_flag_there_is_nothing_to_say(walk, growthbook, words):
    walk.platform.sql_engine.connect().close()

    said = expplat("flags", *words)

    assert said.exit_code == 0
    assert "No flag yet" in said.stdout
    assert growthbook.calls == []


def test_flags_are_pushed_with_a_line_each_and_the_second_time_they_are_there_already(
    walk, growthbook
):
    walk.promote(SLUG, 5.0)
    walk.promote("late_chunking", 20.0)

    first, second = expplat("flags", "push"), expplat("flags", "push")

    assert first.exit_code == second.exit_code == 0
    assert len(first.stdout.splitlines()) == len(second.stdout.splitlines()) == 2
    assert second.stdout.count("already so") == 2
    assert growthbook.payload()[SLUG]["rules"][0]["coverage"] == 0.05


def test_only_named_flags_are_pushed(walk, growthbook):
    walk.promote(SLUG, 5.0)
    walk.promote("late_chunking", 20.0)

    expplat("flags", "push", "late_chunking")

    assert growthbook.features.keys() == {"late_chunking"}


def test_a_dry_run_tells_and_writes_nothing(walk, growthbook):
    walk.promote(SLUG, 5.0)

    (told,) = json.loads(expplat("flags", "push", "--dry-run", "--json").stdout)

    assert told["writes"]
    assert growthbook.writes == []


def test_a_name_that_no_flag_has_is_a_wrong_input(walk, growthbook):
    walk.promote(SLUG, 5.0)

    said = expplat("flags", "push", "nothing")

    assert said.exit_code == 2
    assert growthbook.calls == []


def test_a_flag_that_is_not_ours_there_fails_the_command_and_not_its_neighbour(walk, growthbook):
    walk.promote(SLUG, 5.0)
    walk.promote("late_chunking", 20.0)
    expplat("flags", "push")
    growthbook.features[SLUG]["tags"] = []
    walk.promote("late_chunking", 50.0)

    said = expplat("flags", "push")

    assert said.exit_code == 2
    assert "not ours" in said.stderr
    assert growthbook.payload()["late_chunking"]["rules"][0]["coverage"] == 0.5


def test_a_server_that_is_away_is_a_dependency(walk, growthbook, monkeypatch):
    walk.promote(SLUG, 5.0)
    monkeypatch.setenv("EXPPLAT_GROWTHBOOK_URL", "http://127.0.0.1:9")

    said = expplat("flags", "push")

    assert said.exit_code == 3
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("name", ["EXPPLAT_GROWTHBOOK_URL", "EXPPLAT_GROWTHBOOK_KEY"])
def test_a_setting_that_is_missing_is_named(walk, growthbook, monkeypatch, name):
    walk.promote(SLUG, 5.0)
    monkeypatch.delenv(name)

    said = expplat("flags", "push")

    assert said.exit_code == 78
    assert name in said.stderr
    assert KEY not in said.stderr


def test_the_environment_is_a_setting(walk, growthbook, monkeypatch):
    walk.promote(SLUG, 5.0)
    monkeypatch.setenv("EXPPLAT_GROWTHBOOK_ENVIRONMENT", "staging")

    expplat("flags", "push")

    assert growthbook.payload("production") == {}
    assert growthbook.payload("staging")[SLUG]["rules"]

"""Real public data with known answers; it lies beside the checkout and never in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from expplat.cli._main import app

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture
def data() -> Callable[[str], Path]:
    """Return the path of a file of the shared data, or skip."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the public data are not beside this checkout: {name}")
        return path

    return find


@pytest.fixture
def ask(tmp_path, monkeypatch) -> Callable[..., dict[str, Any]]:
    """Type a command in an empty folder and return its JSON."""
    monkeypatch.chdir(tmp_path)

    def typed(*words: object) -> dict[str, Any]:
        done = CliRunner().invoke(app, [*map(str, words), "--json"])
        assert done.exit_code in (0, 1), done.output
        found = json.loads(done.stdout)
        assert (done.exit_code == 0) == (found["verdict"]["ruling"] == "pass")
        return found

    return typed


def comparison(found: dict[str, Any], metric: str, variant: str | None = None) -> dict[str, Any]:
    """Return the one comparison of a metric (and variant)."""
    (one,) = [
        row
        for row in found["comparisons"]
        if row["metric"] == metric and variant in (None, row["variant"])
    ]
    return one


def health(found: dict[str, Any], check: str) -> dict[str, Any]:
    """Return the one finding of a check."""
    (one,) = [row for row in found["health"] if row["check"] == check]
    return one

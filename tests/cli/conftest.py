"""A small workspace of its own for each test, and a way to type commands in it."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from expplat.adapters.scaffold import new_poc, new_workspace
from expplat.cli._main import app

SLUG = "late_chunking"


@dataclass
class Typist:
    """Types `expplat …` in a workspace."""

    folder: Path

    def __call__(self, *words: object):
        return CliRunner().invoke(app, [str(word) for word in words])

    def json(self, *words: object):
        return json.loads(self(*words, "--json").stdout)

    @property
    def file(self) -> Path:
        return self.folder / "experiments" / f"{SLUG}.yaml"

    @property
    def code(self) -> Path:
        return self.folder / "pocs" / SLUG / "variants.py"

    @property
    def log(self) -> Path:
        return self.folder / "experiments" / "logs" / "requests.jsonl"

    def edit(self, old: str, new: str) -> None:
        text = self.file.read_text()
        assert old in text, old
        self.file.write_text(text.replace(old, new))

    def stages(self) -> list[str]:
        return [poc["stage"] for poc in self.json("list")]


@pytest.fixture(scope="session")
def _fresh_workspace(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fresh") / "workspace"
    folder.mkdir()
    new_workspace(folder)
    new_poc(folder, SLUG)
    return folder


@pytest.fixture
def expplat(_fresh_workspace, tmp_path, monkeypatch) -> Typist:
    folder = tmp_path / "workspace"
    shutil.copytree(_fresh_workspace, folder)
    monkeypatch.chdir(folder)
    for name in ("EXPPLAT_WORKSPACE", "EXPPLAT_DATABASE_URL", "EXPPLAT_STATE_DIR",
                 "MLFLOW_TRACKING_URI"):  # fmt: skip
        monkeypatch.delenv(name, raising=False)
    return Typist(folder)

"""The race of harnesses over a function of 10 ms, with too few calls to say who is right."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "benchmarks"
HARNESSES_PYTHON = ROOT / ".venv-harnesses" / "bin" / "python"


def race(benchmarks: Path, only: str) -> subprocess.CompletedProcess[str]:
    few = ("--rounds", "1", "--calls", "20", "--only", only)
    return subprocess.run(
        [sys.executable, benchmarks / "harnesses.py", *few],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )


@pytest.mark.parametrize("name", ["inspect_ai, default", "promptfoo -j 1", "mlflow evaluate"])
def test_a_harness_that_is_not_installed_is_left_out_with_a_sentence(tmp_path: Path, name: str):
    shutil.copytree(BENCHMARKS, tmp_path / "benchmarks")

    done = race(tmp_path / "benchmarks", name)

    assert done.returncode == 0, done.stderr
    assert f"{name} is left out: not installed: make harnesses.\n" in done.stdout


def test_the_bare_loop_says_what_the_function_takes():
    done = race(BENCHMARKS, "bare loop")

    (row,) = [line for line in done.stdout.splitlines() if line.startswith("bare loop")]
    ratio, p50_ms, *_ = row.removeprefix("bare loop").split()
    assert 10.0 <= float(p50_ms) < 20.0
    assert float(ratio) == pytest.approx(float(p50_ms) / 10, abs=0.01)


@pytest.mark.parametrize("lock", ["requirements.lock", "package-lock.json"])
def test_no_lock_of_the_harnesses_says_where_packages_come_from(lock: str):
    text = (BENCHMARKS / "harnesses" / lock).read_text()

    assert "resolved" not in text
    assert "index-url" not in text


def test_every_package_of_node_is_locked_by_its_hash():
    locked = json.loads((BENCHMARKS / "harnesses" / "package-lock.json").read_text())["packages"]
    wanted = json.loads((BENCHMARKS / "harnesses" / "package.json").read_text())["dependencies"]

    assert locked.pop("")["dependencies"] == wanted
    assert [name for name, one in locked.items() if not one.get("integrity")] == []


@pytest.mark.long
@pytest.mark.skipif(
    not HARNESSES_PYTHON.exists(), reason="the harnesses are not installed: make harnesses"
)
@pytest.mark.parametrize("name", ["inspect_ai, one at once", "mlflow evaluate, 2 spans"])
def test_a_harness_reports_no_less_than_the_function_takes(name: str):
    done = race(BENCHMARKS, name)

    (row,) = [line for line in done.stdout.splitlines() if line.startswith(name)]
    assert float(row.removeprefix(name).split()[1]) >= 10.0

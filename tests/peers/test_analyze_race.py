"""The race of `expplat analyze` and its peers, on a table that is too small to say who is fast."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from pyarrow import parquet

from tests.peers.asking import long_and_with_peers

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=False, timeout=280
    )


def test_without_the_peers_it_says_how_to_get_them(tmp_path: Path) -> None:
    shutil.copytree(BENCHMARKS, tmp_path / "benchmarks")

    done = run(tmp_path / "benchmarks" / "analyze.py", "--sizes", "100", "--rounds", "1")

    assert done.returncode == 1
    assert done.stderr == "The peers' environment is missing: make peers\n"


def test_a_table_of_users_is_the_same_each_time_and_holds_each_user_once(tmp_path: Path) -> None:
    files = (tmp_path / "one.parquet", tmp_path / "other.parquet")

    for file in files:
        run(BENCHMARKS / "analyze_data.py", file, "2000")

    one, other = (parquet.read_table(file) for file in files)
    assert one.equals(other)
    assert one.column("user_id").to_pylist() == list(range(2_000))
    assert set(one.column("variant").to_pylist()) == {"control", "treatment"}


class TestWithPeers:
    pytestmark = long_and_with_peers

    def test_all_contenders_find_the_same_effects(self, tmp_path: Path) -> None:
        small = ("--sizes", "20000", "--rounds", "1", "--looks", "10", "--data", tmp_path)

        done = run(BENCHMARKS / "analyze.py", *small)

        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count(" from ours\n") == 5
        assert "THEY DIFFER" not in done.stdout
        assert "boundaries of 10 looks" in done.stdout

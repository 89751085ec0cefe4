"""Measures the memory of a command and of all its descendants while it runs (Linux)."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """What a command took."""

    seconds: float
    driver_mb: float
    """Largest resident memory of the command's own process, by the kernel's count."""

    tree_mb: float
    """Largest sum over its processes, each page shared by n of them counted as a n-th in each."""

    exit_code: int
    printed: str


def watched(
    command: Sequence[str], *, cwd: Path, env: Mapping[str, str], every_s: float = 0.25
) -> Peak:
    """Run a command, and look at its processes every so often."""
    driver_kb = tree_kb = 0
    begin = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen(command, cwd=cwd, env=env, stdout=out, stderr=out)
        while process.poll() is None:
            driver_kb = max(driver_kb, _kilobytes(process.pid, "status", "VmHWM:"))
            tree = _tree(process.pid)
            tree_kb = max(tree_kb, sum(_kilobytes(pid, "smaps_rollup", "Pss:") for pid in tree))
            time.sleep(every_s)
        seconds = time.perf_counter() - begin
        out.seek(0)
        printed = out.read()
    return Peak(
        seconds=seconds,
        driver_mb=driver_kb * 1024 / 1e6,
        tree_mb=tree_kb * 1024 / 1e6,
        exit_code=process.returncode,
        printed=printed,
    )


def _tree(root: int) -> list[int]:
    """Return the process and its descendants."""
    children: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            parent = _parent(int(entry.name))
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        pid = left.pop()
        found.append(pid)
        left += children.get(pid, [])
    return found


def _parent(pid: int) -> int:
    try:
        # The name of a program may hold spaces and brackets: what counts follows the last bracket.
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def _kilobytes(pid: int, file: str, field: str) -> int:
    """Return a field of a process; 0 where it has ended."""
    try:
        lines = (PROC / str(pid) / file).read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)

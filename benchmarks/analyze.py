"""How long does `expplat analyze` take beside its peers, and how much memory?

Each contender reads the same Parquet of users (five metrics, one covariate) in a process of its
own, cold: its wall time holds start, imports, reading and statistics. Rounds are interleaved, each
in another order. Printed: the median wall time, ours over the peer's, the median CPU time of all
threads, the largest memory, and how far the effects are from ours. Needs `make peers`.

Ours looks for units with several rows and for units in two variants on the way; none of the peers
does.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from analyze_peers import COVARIATE, METRICS, PEERS

HERE = Path(__file__).parent
PEERS_PYTHON = HERE.parent / ".venv-peers" / "bin" / "python"
OURS = "expplat analyze"
AGREEMENT = 1e-9
LOOSE = "statsmodels OLS"
"""Its slope is another one: the effects agree up to a part of their standard errors."""

LOOSELY = 0.01

BOUNDARIES = {
    "expplat": """
from expplat.stats.boundaries import boundaries
from expplat.stats.spending import spend_power
times = [look / looks for look in range(1, looks + 1)]
found = lambda: boundaries(times, 0.05, spend_power(2.0))
""",
    "spotify-confidence": """
import numpy
from spotify_confidence.analysis.frequentist.sequential_bound_solver import bounds
times = numpy.arange(1, looks + 1) / looks
found = lambda: bounds(times, alpha=0.05, rho=2.0, ztrun=8.0, sides=2).bounds
""",
}
TIMED = """
import json, time
start = time.perf_counter()
values = [float(value) for value in found()]
print(json.dumps({"seconds": time.perf_counter() - start, "boundaries": values}))
"""


@dataclass(frozen=True, slots=True)
class Run:
    """One cold process."""

    wall_s: float
    cpu_s: float
    """Of all threads, user and system: what a busy machine bends less."""

    rss_mb: float
    answer: str


def cold(command: Sequence[str | Path]) -> Run:
    """Run a command in a process of its own; its memory is the kernel's count."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        process = subprocess.Popen([str(part) for part in command], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        answer = out.read().decode()
    # `expplat analyze` exits with 1 where a gate does not pass, which is an answer.
    if process.returncode not in (0, 1) or not answer.strip():
        raise SystemExit(f"{command[0]} ended with {process.returncode}")
    scale = 1 if sys.platform == "darwin" else 1024
    cpu = usage.ru_utime + usage.ru_stime
    return Run(wall, cpu, usage.ru_maxrss * scale / 1e6, answer)


def commands(file: Path) -> dict[str, list[str | Path]]:
    """Return what each contender is asked, ours first."""
    asked = [word for metric in METRICS for word in ("--metric", f"{metric}=mean")]
    ours: list[str | Path] = [
        *(sys.executable, "-m", "expplat", "analyze", file, "--unit", "user_id"),
        *("--variant", "variant", "--control", "control", *asked),
        *("--covariate", COVARIATE, "--json"),
    ]
    theirs = ("-W", "ignore", HERE / "analyze_peers.py")
    peers: dict[str, list[str | Path]] = {
        name: [sys.executable if name == LOOSE else PEERS_PYTHON, *theirs, name, file]
        for name in PEERS
    }
    return {OURS: ours, **peers}


def effects(name: str, run: Run) -> dict[str, float]:
    """Return the effects that a process printed."""
    found = json.loads(run.answer)
    if name != OURS:
        return {metric: float(effect) for metric, effect in found.items()}
    return {one["metric"]: float(one["effect"]) for one in found["comparisons"]}


def standard_errors(run: Run) -> dict[str, float]:
    found = json.loads(run.answer)["comparisons"]
    return {one["metric"]: float(one["standard_error"]) for one in found}


def agreement(
    name: str, theirs: Mapping[str, float], ours: Mapping[str, float], errors: Mapping[str, float]
) -> tuple[bool, str]:
    """Say whether a contender's effects are ours, and how far they are."""
    if name == LOOSE:
        apart = max(abs(theirs[metric] - ours[metric]) / errors[metric] for metric in METRICS)
        return apart <= LOOSELY, f"{apart:.0e} standard errors from ours"
    apart = max(abs(theirs[metric] / ours[metric] - 1) for metric in METRICS)
    return apart <= AGREEMENT, f"{apart:.0e} relative from ours"


def race(file: Path, rounds: int) -> dict[str, list[Run]]:
    """Let all contenders run in turn, several times over."""
    asked = commands(file)
    runs: dict[str, list[Run]] = {name: [] for name in asked}
    names = list(asked)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            runs[name].append(cold(asked[name]))
    return runs


def report(users: int, runs: Mapping[str, Sequence[Run]]) -> bool:
    """Print a table; say whether all effects agree."""
    ours = effects(OURS, runs[OURS][0])
    errors = standard_errors(runs[OURS][0])
    ours_s = statistics.median(run.wall_s for run in runs[OURS])
    everyone = True
    lines = [f"{users:_} users, {len(runs[OURS])} rounds".replace("_", " ")]
    lines.append(f"{'':26}{'wall s':>8}{'ours/peer':>11}{'CPU s':>8}{'RSS MB':>8}  effects")
    for name, done in runs.items():
        wall = statistics.median(run.wall_s for run in done)
        cpu = statistics.median(run.cpu_s for run in done)
        memory = max(run.rss_mb for run in done)
        agrees, words = agreement(name, effects(name, done[0]), ours, errors)
        everyone = everyone and agrees
        shown = "" if name == OURS else f"{words}{'' if agrees else '  THEY DIFFER'}"
        numbers = f"{wall:8.2f}{ours_s / wall:11.2f}{cpu:8.2f}{memory:8.0f}"
        lines.append(f"{name:26}{numbers}  {shown}".rstrip())
    sys.stdout.write("\n".join(lines) + "\n\n")
    return everyone


def race_boundaries(looks: int, rounds: int) -> None:
    """Print how long the boundaries of a plan take, and how far they are from each other."""
    pythons: dict[str, str | Path] = {"expplat": sys.executable, "spotify-confidence": PEERS_PYTHON}
    runs: dict[str, list[Run]] = {name: [] for name in BOUNDARIES}
    for _ in range(rounds):
        for name, code in BOUNDARIES.items():
            whole = f"looks = {looks}{code}{TIMED}"
            runs[name].append(cold([pythons[name], "-W", "ignore", "-c", whole]))
    answers = {name: [json.loads(run.answer) for run in done] for name, done in runs.items()}
    sys.stdout.write(
        f"boundaries of {looks} looks\n{'':26}{'wall s':>8}{'alone s':>9}{'RSS MB':>8}\n"
    )
    for name, done in runs.items():
        wall = statistics.median(run.wall_s for run in done)
        alone = statistics.median(answer["seconds"] for answer in answers[name])
        memory = max(run.rss_mb for run in done)
        sys.stdout.write(f"{name:26}{wall:8.2f}{alone:9.3f}{memory:8.0f}\n")
    one, other = (answers[name][0]["boundaries"] for name in BOUNDARIES)
    apart = max(abs(a - b) for a, b in zip(one, other, strict=True))
    sys.stdout.write(f"largest difference of a boundary: {apart:.0e}\n")


def table_of(folder: Path, users: int) -> Path:
    """Return the table of so many users, made now if it is not there."""
    file = folder / f"users-{users}.parquet"
    if not file.exists():
        # In a process of its own: what this one holds would count as its children's memory.
        subprocess.run([sys.executable, HERE / "analyze_data.py", file, str(users)], check=True)
    return file


def main() -> None:
    """Race at every size, then the boundaries; exit with 1 where effects differ."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sizes", default="1000000,10000000", help="users, several with commas")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--looks", type=int, default=100, help="of the plan whose boundaries race")
    parser.add_argument("--data", type=Path, help="where tables are kept; otherwise made anew")
    asked = parser.parse_args()
    if not PEERS_PYTHON.exists():
        raise SystemExit("The peers' environment is missing: make peers")
    agree = True
    with tempfile.TemporaryDirectory() as name:
        folder = asked.data or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        for users in (int(size) for size in asked.sizes.split(",")):
            agree &= report(users, race(table_of(folder, users), asked.rounds))
    race_boundaries(asked.looks, asked.rounds)
    if not agree:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""What do evaluation harnesses report for a function that takes 10 ms?

The same function, `time.sleep(0.010)`, is called 200 times in a bare loop, by `expplat replay` on
both engines, and by other harnesses, each in a process of its own; several rounds, in turn.
Printed: the median that each reports for a call over 10 ms, that median, the 95th percentile, and
the seconds of the whole process; medians over the rounds. Needs `make harnesses`; what is not
installed is left out. One harness also reports a function that says of which two stages it is made;
so does ours.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench_workspace import Work, Workspace, environment, machine

HERE = Path(__file__).parent
PLACE = HERE.parent / ".venv-harnesses"
PYTHON = PLACE / "bin" / "python"
PROMPTFOO = PLACE / "node_modules" / ".bin" / "promptfoo"
SLEEP_MS = 10.0
LONGEST_S = 240.0
"""A harness that takes longer for one round is left out from there on."""

WITHIN_MS = (10.0, 10.6)
"""What our engines must report, as the median."""

QUIET = {
    "DO_NOT_TRACK": "true",
    "PROMPTFOO_DISABLE_TELEMETRY": "1",
    "PROMPTFOO_DISABLE_UPDATE": "1",
}


class LeftOutError(Exception):
    """A harness has no figures, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a harness said of one run."""

    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a harness: it may report the same calls in more than one place."""

    wall_s: float
    reported: Mapping[str, Figures]


Contender = Callable[[Path], Run]
"""Runs a harness in a folder of its own."""


def figures(times_ms: Sequence[float]) -> Figures:
    """Return the median and the 95th percentile of what was reported."""
    p95 = statistics.quantiles(times_ms, n=20, method="inclusive")[-1]
    return Figures(p50_ms=statistics.median(times_ms), p95_ms=p95)


def workspace(folder: Path, calls: int, work_name: str = "sleep") -> Workspace:
    work = Work(name=work_name, amount=SLEEP_MS / 1000)
    return Workspace(folder / "workspace", work, calls, {"workers": 1})


def bare_loop(folder: Path, *, calls: int) -> Run:
    """The function in a loop."""
    begin = time.perf_counter()
    span = workspace(folder, 1).bare(calls)
    wall = time.perf_counter() - begin
    return Run(wall_s=wall, reported={"its own clock": figures(span.latencies_ms)})


def ours(folder: Path, *, calls: int, engine: str, work: str = "sleep") -> Run:
    """`expplat replay`: all calls under both variants, and the A/A noise floor."""
    place = workspace(folder, calls, work)
    place.propose()
    done = place.replay(engine)
    arm = done.report.arms["control"]
    said = Figures(p50_ms=arm.latency_p50_ms, p95_ms=arm.latency_p95_ms)
    return Run(wall_s=done.seconds, reported={"latency of control": said})


def asked(command: Sequence[str | Path], folder: Path, **settings: str) -> tuple[float, str]:
    """Run a harness; return its seconds and what it printed."""
    begin = time.perf_counter()
    try:
        done = subprocess.run(
            [str(part) for part in command],
            cwd=folder,
            env={**environment(), **QUIET, **settings},
            capture_output=True,
            text=True,
            check=False,
            timeout=LONGEST_S,
        )
    except subprocess.TimeoutExpired as error:
        raise LeftOutError(f"not finished after {LONGEST_S:.0f} s") from error
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()[-1]
        raise LeftOutError(f"ended with {done.returncode}: {last[:200]}")
    return time.perf_counter() - begin, done.stdout


def asked_in_python(folder: Path, script: str, *words: str | Path) -> Run:
    """Run a harness that is a Python package."""
    if not PYTHON.exists():
        raise LeftOutError("not installed: make harnesses")
    wall, printed = asked([PYTHON, HERE / "harnesses" / script, *words], folder)
    times: dict[str, list[float]] = json.loads(printed.strip().splitlines()[-1])
    return Run(wall_s=wall, reported={place: figures(found) for place, found in times.items()})


def inspect_ai(folder: Path, *, calls: int, limits: Sequence[str] = ()) -> Run:
    """One sample a call."""
    return asked_in_python(folder, "ask_inspect.py", str(calls), *limits)


def mlflow_evaluate(folder: Path, *, calls: int, words: Sequence[str] = ()) -> Run:
    """One row a call, on a fresh SQLite store."""
    return asked_in_python(folder, "ask_mlflow.py", str(calls), folder, *words)


def promptfoo(folder: Path, *, calls: int, at_once: int) -> Run:
    """One test a call, by a provider in Python."""
    if not PROMPTFOO.exists():
        raise LeftOutError("not installed: make harnesses")
    config = {
        "prompts": ["{{question}}"],
        "providers": [f"file://{HERE / 'harnesses' / 'promptfoo_provider.py'}"],
        "tests": [{"vars": {"question": f"what is {n}?"}} for n in range(calls)],
    }
    (folder / "promptfooconfig.json").write_text(json.dumps(config))
    command: list[str | Path] = [
        PROMPTFOO,
        "eval",
        "-c",
        "promptfooconfig.json",
        "-j",
        str(at_once),
        "--no-cache",
    ]
    wall, _ = asked(
        [*command, "--no-progress-bar", "--no-table", "-o", "answers.json"],
        folder,
        PROMPTFOO_CONFIG_DIR=str(folder / "state"),
        PROMPTFOO_PYTHON=sys.executable,
    )
    results = json.loads((folder / "answers.json").read_text())["results"]["results"]
    times = [float(result["latencyMs"]) for result in results]
    return Run(wall_s=wall, reported={"latencyMs": figures(times)})


def contenders(calls: int) -> dict[str, Contender]:
    """Return who runs, by name."""
    return {
        "bare loop": lambda folder: bare_loop(folder, calls=calls),
        "expplat, engine local": lambda folder: ours(folder, calls=calls, engine="local"),
        "expplat, engine ray": lambda folder: ours(folder, calls=calls, engine="ray"),
        "inspect_ai, one at once": lambda folder: inspect_ai(folder, calls=calls, limits=["1"]),
        "inspect_ai, default": lambda folder: inspect_ai(folder, calls=calls),
        "promptfoo -j 1": lambda folder: promptfoo(folder, calls=calls, at_once=1),
        "promptfoo -j 4": lambda folder: promptfoo(folder, calls=calls, at_once=4),
        "mlflow evaluate": lambda folder: mlflow_evaluate(folder, calls=calls),
        "expplat local, 2 stages": lambda folder: ours(
            folder, calls=calls, engine="local", work="staged"
        ),
        "mlflow evaluate, 2 spans": lambda folder: mlflow_evaluate(
            folder, calls=calls, words=["traced"]
        ),
    }


def race(crew: Mapping[str, Contender], rounds: int) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """Let all run in turn, each round beginning with another; return runs, and who is left out."""
    runs: dict[str, list[Run]] = {name: [] for name in crew}
    left_out: dict[str, str] = {}
    names = list(crew)
    for number in range(rounds):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            if name in left_out:
                continue
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                try:
                    runs[name].append(crew[name](Path(folder)))
                except LeftOutError as error:
                    left_out[name] = str(error)
    return runs, left_out


def lines(runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """Return a table of medians over the rounds."""
    table = [f"{'':25}{'p50 / 10 ms':>12}{'p50 ms':>9}{'p95 ms':>9}{'wall s':>8}  read from"]
    for name, done in runs.items():
        for number, place in enumerate(done[0].reported if done else ()):
            p50 = statistics.median(run.reported[place].p50_ms for run in done)
            p95 = statistics.median(run.reported[place].p95_ms for run in done)
            wall = statistics.median(run.wall_s for run in done)
            shown = name if number == 0 else ""
            numbers = f"{p50 / SLEEP_MS:12.2f}{p50:9.2f}{p95:9.2f}{wall:8.1f}"
            table.append(f"{shown:25}{numbers}  {place}")
    return table


def main() -> None:
    """Race; exit with 1 where one of our engines reports another latency than the function's."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--only", default="", help="a part of the names of those who run")
    given = parser.parse_args()
    crew = {name: one for name, one in contenders(given.calls).items() if given.only in name}
    runs, left_out = race(crew, given.rounds)
    sys.stdout.write(f"{given.calls} calls of 10 ms, {given.rounds} rounds; {machine()}\n")
    sys.stdout.write("\n".join(lines(runs)) + "\n")
    for name, reason in left_out.items():
        rounds = len(runs[name])
        after = f" after {rounds} of {given.rounds} rounds" if rounds else ""
        sys.stdout.write(f"{name} is left out{after}: {reason}.\n")
    low, high = WITHIN_MS
    ours_ms = {
        name: statistics.median(run.reported["latency of control"].p50_ms for run in done)
        for name, done in runs.items()
        if name.startswith("expplat") and done
    }
    wrong = [name for name, p50 in ours_ms.items() if not low <= p50 <= high]
    if wrong:
        raise SystemExit(f"not within {low} to {high} ms: {', '.join(wrong)}")


if __name__ == "__main__":
    main()

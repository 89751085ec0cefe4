"""A workspace that a benchmark replays: a log, variants that note when they ran, a proposal."""

from __future__ import annotations

import json
import os
import platform
import struct
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from expplat.domain.replay import ReplayReport
from expplat.settings import Settings
from expplat.wiring import Platform

SLUG = "bench"
WARMUP = 5
TIMES = struct.Struct("dd")

VARIANTS = '''
"""Variants that do nothing, sleep, or compute."""

import hashlib
import os
import platform
import struct
import time

from expplat import Output

ANSWER = Output(retrieved=("a",))
TIMES = struct.Struct("dd")
BLOCK = b"x" * 65536


def no_op(request, call, arm):
    return ANSWER


def staged(request, call, amount, arm):
    for stage in ("retrieve", "generate"):
        with call.stage(stage):
            time.sleep(amount / 2)
    return ANSWER


def sleep(amount):
    time.sleep(amount)


def compute(amount):
    for _ in range(amount):
        hashlib.blake2b(BLOCK).digest()


class Noted:
    """Does its work, and appends to a file of its process when each call began and ended."""

    def __init__(self, work, amount, times, arm):
        self.work = {"sleep": sleep, "compute": compute}[work]
        self.amount, self.times = amount, times
        self.file = None

    def setup(self):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self.file = os.open(os.path.join(self.times, str(os.getpid())), flags)

    def __call__(self, request, call):
        start = time.monotonic()
        self.work(self.amount)
        os.write(self.file, TIMES.pack(start, time.monotonic()))
        return ANSWER
'''

BARE = """
import sys, time
from pocs.bench.variants import Noted
work, amount, times, calls = sys.argv[1], float(sys.argv[2]), sys.argv[3], int(sys.argv[4])
variant = Noted(work, amount if work == "sleep" else int(amount), times, "bare")
variant.setup()
for _ in range(calls):
    variant(None, None)
"""
"""The same calls in a loop and nothing else."""


class Span(NamedTuple):
    """A run's calls: from the beginning of the first to the end of the last."""

    calls: int
    begin: float
    """On the clock that all processes of a machine share (`time.monotonic`), in seconds."""

    end: float
    latencies_ms: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """From the first call to the last, in seconds."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """One `expplat replay`, as a command."""

    seconds: float
    """The whole command."""

    began: float
    """Its start, on `time.monotonic`."""

    said: Mapping[str, Any]
    """What it printed with `--json`."""

    report: ReplayReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a variant does in a call."""

    name: str
    """`no_op`, `staged` (a sleep in two stages), `sleep` or `compute`; the last two note times."""

    amount: float = 0
    """Seconds to sleep, or blocks to hash."""


def machine() -> str:
    """Say where, and beside how much else, something was measured."""
    load, *_ = os.getloadavg()
    return f"{platform.machine()}, {os.cpu_count()} cores, load {load:.1f} at the end"


def environment() -> dict[str, str]:
    """Return this process's environment, less what would lead elsewhere or slow imports down.

    Python keeps compiled modules unless it is told not to, and the second start is that of users.
    """
    hindering = ("EXPPLAT_", "MLFLOW_", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(hindering)}
    return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}


class Workspace:
    """A folder with a log, a variant and its proposal."""

    def __init__(self, folder: Path, work: Work, requests: int, measurement: Mapping[str, Any]):
        self.folder = folder
        self._work = work
        self._runs = 0
        for made in ("pocs/bench", "experiments", "times"):
            (folder / made).mkdir(parents=True)
        (folder / "pocs" / "bench" / "variants.py").write_text(VARIANTS)
        with (folder / "log.jsonl").open("w") as log:
            for n in range(requests):
                row = {"request_id": f"q{n}", "input": {"question": f"what is {n}?"}}
                log.write(json.dumps({**row, "expected": {"relevant_ids": ["a"]}}) + "\n")
        proposal = _proposal(
            {arm: self._variant(arm) for arm in ("control", "treatment")},
            {"warmup": WARMUP, **measurement},
        )
        # JSON is YAML.
        (folder / "experiments" / f"{SLUG}.yaml").write_text(json.dumps(proposal, indent=1))

    def _variant(self, arm: str) -> dict[str, Any]:
        if self._work.name == "no_op":
            return {"use": "pocs.bench.variants:no_op", "params": {"arm": arm}}
        if self._work.name == "staged":
            params = {"amount": self._work.amount, "arm": arm}
            return {"use": "pocs.bench.variants:staged", "params": params}
        amount = self._work.amount if self._work.name == "sleep" else int(self._work.amount)
        times = str(self.folder / "times")
        params = {"work": self._work.name, "amount": amount, "times": times, "arm": arm}
        return {"use": "pocs.bench.variants:Noted", "params": params}

    def command(self, *words: str) -> list[str]:
        """Return an expplat command."""
        return [sys.executable, "-m", "expplat", *words]

    def propose(self) -> None:
        """Register the proposal."""
        done = self._run("propose", f"experiments/{SLUG}.yaml", "--json")
        if done.returncode:
            raise SystemExit(f"propose: {done.stdout}{done.stderr}")

    def replay(self, engine: str) -> Replayed:
        """Replay, from the second time on with `--again`."""
        self._forget()
        again = ["--again"] if self._runs else []
        self._runs += 1
        began = time.monotonic()
        done = self._run("replay", SLUG, "--engine", engine, *again, "--json")
        seconds = time.monotonic() - began
        # 1: measured, and not every gate passed.
        if done.returncode not in (0, 1) or not done.stdout.strip():
            raise SystemExit(f"replay ended with {done.returncode}: {done.stdout}{done.stderr}")
        said = json.loads(done.stdout)
        report = self.report(said["replay_id"])
        return Replayed(seconds=seconds, began=began, said=said, report=report)

    def report(self, replay_id: str) -> ReplayReport:
        """Return a finished replay, as it is kept."""
        here = Platform(settings=Settings.from_env({}, self.folder))
        with here.uow(readonly=True) as uow:
            report = uow.replays.find(replay_id)
        if report is None:
            raise SystemExit(f"no replay {replay_id}")
        return report

    def bare(self, calls: int, *, processes: int = 1) -> Span:
        """Make the same calls in bare loops, each in a process of its own, so many in each."""
        self._forget()
        work = self._work
        words = [work.name, str(work.amount), str(self.folder / "times"), str(calls)]
        loop = [sys.executable, "-c", BARE, *words]
        running = [subprocess.Popen(loop, cwd=self.folder) for _ in range(processes)]
        codes = [process.wait() for process in running]
        if any(codes):
            raise SystemExit("a bare loop failed")
        return self.span(warmup=0)

    def span(self, *, warmup: int = 2 * WARMUP) -> Span:
        """Return when the calls of the last run were made; each process begins with warm-up."""
        measured: list[tuple[float, float]] = []
        for file in (self.folder / "times").iterdir():
            calls = sorted(TIMES.iter_unpack(file.read_bytes()))
            measured += calls[warmup:]
        return Span(
            len(measured),
            min(begin for begin, _ in measured),
            max(end for _, end in measured),
            tuple((end - begin) * 1000 for begin, end in measured),
        )

    def _forget(self) -> None:
        for file in (self.folder / "times").iterdir():
            file.unlink()

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )


def _proposal(variants: Mapping[str, Any], measurement: Mapping[str, Any]) -> dict[str, Any]:
    """Return a proposal whose gates nobody reads: it is the measuring that is measured."""
    margin = {"kind": "non_inferiority", "margin": 20.0}
    return {
        "slug": SLUG,
        "owner": "benchmarks",
        "problem": {
            "system": "a function",
            "pain": "Harnesses take 10 ms for 40 ms.",
            "primary_metric": "recall_at_1",
            "why_now": "Figures are only worth what measured them.",
        },
        "paper": {
            "title": "None",
            "reference": "https://example.org/none",
            "code_available": False,
            "claim": {"metric": "recall", "effect": 0.05, "dataset": "none"},
        },
        "variants": variants,
        "request_log": {"path": "log.jsonl"},
        "metrics": ["recall_at_1", "latency_ms", "latency_p95_ms", "cost_usd_per_1k"],
        "offline_gates": [
            {"kind": "superiority", "metric": "recall_at_1", "min_effect": 0.02},
            {**margin, "metric": "latency_p95_ms"},
            {**margin, "metric": "cost_usd_per_1k"},
        ],
        "online": {
            "metrics": [
                _outcome("found", "proportion", "accuracy", direction="higher", expected=0.3),
                _outcome("answer_ms", "mean", "latency"),
                _outcome("answer_usd", "mean", "cost"),
            ],
            "gates": [
                {"kind": "superiority", "metric": "found", "min_effect": 0.025},
                {**margin, "metric": "answer_ms"},
                {**margin, "metric": "answer_usd"},
            ],
            "max_units": 20000,
        },
        "operations": {
            "new_components": [],
            "new_dependencies": [],
            "serving_pattern": "none",
            "on_call": "nobody",
            "runbook": "none",
            "failure_mode": "none",
        },
        "measurement": measurement,
    }


def _outcome(name: str, kind: str, concern: str, **more: Any) -> dict[str, Any]:
    units = {"accuracy": "fraction", "latency": "ms", "cost": "usd"}
    named = {"name": name, "kind": kind, "direction": "lower", "unit": units[concern]}
    return {**named, "concern": concern, **more}

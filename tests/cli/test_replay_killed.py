"""A replay that is killed goes on where it was: the same verdict, and nothing paid for twice."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.adapters.replay.running import below, none_alive

SLUG = "late_chunking"
REQUESTS = 60
WORKERS = 2

VARIANTS = """
import os, time
from pathlib import Path
from expplat import Output

PAID = Path(__file__).with_name("paid.txt")


class Control:
    right = 2

    def __init__(self, **params):
        pass

    def __call__(self, request, call):
        with open(PAID, "a") as paid:
            paid.write(f"{type(self).__name__} {request.request_id}\\n")
        time.sleep(0.04)
        number = int(request.request_id[1:])
        return Output(retrieved=("right",) if number % 10 >= self.right else ("wrong",))


class Treatment(Control):
    right = 1
"""


def command(folder: Path, engine: str, state: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "expplat", "replay", SLUG, "--engine", engine, "--json"],
        cwd=folder,
        env={**os.environ, "EXPPLAT_STATE_DIR": str(folder / state)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finished(folder: Path, engine: str, state: str) -> dict:
    done = command(folder, engine, state)
    out, err = done.communicate(timeout=240)
    assert done.returncode in {0, 1}, err
    return json.loads(out)


@pytest.fixture
def workspace(expplat):
    expplat.code.write_text(VARIANTS)
    rows = (
        {"request_id": f"q{n}", "input": {}, "expected": {"relevant_ids": ["right"]}}
        for n in range(REQUESTS)
    )
    expplat.log.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    text = expplat.file.read_text()
    text = text.replace("shard_requests: 50", "shard_requests: 10")
    # far from any noise of a busy machine: what is timed may differ, its ruling must not
    text = text.replace("latency_p95_ms, margin: 20}", "latency_p95_ms, margin: 5000}")
    assert "margin: 5000" in text
    # every call that is paid for is one that the verdict needs, so that one too many is seen
    text = re.sub(r"warmup: \d+", "warmup: 0", text)
    text = re.sub(r"aa_requests: \d+", "aa_requests: 0", text)
    expplat.file.write_text(text)
    for state in ("unbroken", "broken"):
        done = subprocess.run(
            [sys.executable, "-m", "expplat", "propose", f"experiments/{SLUG}.yaml"],
            cwd=expplat.folder,
            env={**os.environ, "EXPPLAT_STATE_DIR": str(expplat.folder / state)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    return expplat.folder


def paid(folder: Path) -> Counter:
    file = folder / "pocs" / SLUG / "paid.txt"
    return Counter(file.read_text().splitlines()) if file.exists() else Counter()


def killed(folder: Path, engine: str, times: int) -> int:
    """Kill the command at so many random moments; return how often it was running.

    What it has started is not killed: it must go by itself.
    """
    draw, hit = random.Random(11), 0
    for _ in range(times):
        before = sum(paid(folder).values())
        running = command(folder, engine, "broken")
        until = time.monotonic() + 90
        wanted = before + draw.randint(1, max(2, 80 // times))
        family: list[int] = []
        while running.poll() is None and time.monotonic() < until:
            done = sum(paid(folder).values())
            if done > before and not family:
                family = below(running.pid)  # slow: it looks at every thread of Ray
            if done >= wanted:
                break
            time.sleep(0.01)
        if running.poll() is None:
            hit += 1
            os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
        assert none_alive(family, 5 if engine == "local" else 90) == []
    return hit


@pytest.mark.parametrize(
    ("engine", "times"),
    [
        ("local", 5),
        pytest.param("local", 20, marks=pytest.mark.long),
        pytest.param("ray", 5, marks=[pytest.mark.ray, pytest.mark.long]),
    ],
)
def test_kills_change_no_verdict_and_pay_nothing_twice_but_what_was_in_flight(
    workspace, engine, times
):
    whole = finished(workspace, engine, "unbroken")
    (workspace / "pocs" / SLUG / "paid.txt").unlink()

    hit = killed(workspace, engine, times)
    resumed = finished(workspace, engine, "broken")

    calls = paid(workspace)
    in_flight = 2 * WORKERS * hit  # a request is two calls: both variants
    needed = 2 * REQUESTS
    assert hit >= times - 2
    assert resumed["verdict_sha256"] == whole["verdict_sha256"]
    assert resumed["replay_id"] == whole["replay_id"]
    assert len(calls) == needed
    assert sum(calls.values()) <= needed + in_flight


@pytest.mark.long
@pytest.mark.ray
def test_ray_and_local_come_to_the_same_verdict(workspace):
    local = finished(workspace, "local", "unbroken")
    on_ray = finished(workspace, "ray", "broken")

    assert on_ray["verdict_sha256"] == local["verdict_sha256"]
    assert [verdict["ruling"] for verdict in on_ray["verdicts"]] == [
        verdict["ruling"] for verdict in local["verdicts"]
    ]
    assert on_ray["effects"][0] == local["effects"][0]


def test_ctrl_c_says_how_to_go_on_and_the_same_command_does(workspace):
    running = command(workspace, "local", "broken")
    until = time.monotonic() + 60
    while sum(paid(workspace).values()) < 20 and time.monotonic() < until:
        time.sleep(0.01)
    family = below(running.pid)
    os.killpg(running.pid, signal.SIGINT)
    out, err = running.communicate(timeout=30)

    assert none_alive(family, 0) == []
    assert running.returncode == 130, err
    assert "goes on from here" in err
    assert "Traceback" not in out + err
    assert finished(workspace, "local", "broken")["stage"] == "replayed"

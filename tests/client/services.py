"""A process that forks a service for each line it is given, so that a fresh one costs no imports.

A line is JSON with `do`, a name of a function below, and what it needs; what the service says goes
to the file `out`, a line each. The answer to each line is the id of the process.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from expplat.client import Client, Pace
from expplat.client._flags import Flags as _Flags  # noqa: F401  (loads the SDK before the forks)

UNITS = [f"user-{i}" for i in range(20)]
QUICK = Pace(first_retry_s=0.02, longest_retry_s=0.2, read_s=0.2, poll_s=0.2, exit_s=0.5)


def main() -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    for line in sys.stdin:
        task = json.loads(line)
        process_id = os.fork()
        if process_id == 0:
            serve(task)
            return
        print(process_id, flush=True)


def serve(task: dict[str, Any]) -> None:
    out = os.open(task["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def say(value: object) -> None:
        os.write(out, json.dumps(value).encode() + b"\n")

    started = time.perf_counter()
    client = Client(task["url"], **task["options"], pace=QUICK)
    say({"init_s": time.perf_counter() - started})
    globals()[task["do"]](client, task, say)


def assignments(client: Client) -> tuple[dict[str, list[str]], list[float]]:
    """What a client says of everybody, and how many seconds each call took."""
    said: dict[str, list[str]] = {}
    seconds = []
    for unit in UNITS:
        for flag in ("hybrid_rrf", "reranker"):
            started = time.perf_counter()
            assignment = client.assign(flag, unit=unit)
            seconds.append(time.perf_counter() - started)
            said.setdefault(flag, []).append(f"{assignment.variant} {assignment.source}")
    return said, seconds


def before_and_after(client: Client) -> tuple[Any, list[float]]:
    """What a new client says at once, and when it has met the fault of the server."""
    first, seconds = assignments(client)
    until = time.monotonic() + 1
    while client.stats().last_error is None and time.monotonic() < until:
        time.sleep(0.01)
    then, more_seconds = assignments(client)
    return then if first == then else [first, then], seconds + more_seconds


def evaluate(client: Client, task: dict[str, Any], say: Any) -> None:
    said, seconds = before_and_after(client)
    say({"said": said, "seconds": seconds})


def stay(client: Client, task: dict[str, Any], say: Any) -> None:
    """Live until killed, and say when there are flags on disk."""
    while not list(Path(task["options"]["cache_dir"]).glob("flags-*.json")):
        time.sleep(0.01)
    say("ready")
    time.sleep(60)


def tell(client: Client, task: dict[str, Any], say: Any) -> None:
    """Keep events, say each that the call returned for, and end as told."""
    for number in range(task["events"]):
        name = f"{task['name']}-{number}"
        if client.outcome("task_success", 1.0, unit=f"user-{number}", id=name):
            say(name)
        if pause_s := task.get("pause_s"):
            time.sleep(pause_s)
    say("done")
    if task["end"] == "sys.exit":
        sys.exit(3)
    if task["end"] != "exit":
        time.sleep(60)


def drain(client: Client, task: dict[str, Any], say: Any) -> None:
    """Send what other processes left."""
    until = time.monotonic() + 15
    time.sleep(0.7)
    while time.monotonic() < until and not client.flush(1):
        pass
    say(client.stats().unsent_bytes)


if __name__ == "__main__":
    main()

"""What runs in a worker process: commands come in as lines of JSON, answers go out so.

In: first what `worker_child.Hosting` says, then `{"shard": 3, "sweep": [1, false], …}` as often as
wanted, at the end `{"close": true}`. Out: `{"ready": true}`, for each shard `{"stopped": ""}`, at
the end `{"closed": true}`; or, once, `{"error": [code, message, hint]}`.

User code prints to the process's standard output and may read its standard input: neither is used
for this.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

from expplat.adapters.replay.budget import Budget
from expplat.adapters.replay.call_cache import CallCache
from expplat.adapters.replay.calls import ClockFactory, machine_clock
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.process_keeper import COMMANDS, tell
from expplat.adapters.replay.worker import Worker
from expplat.domain.plain import from_plain
from expplat.domain.replay import Limits, ReplayPlan
from expplat.domain.request import ErrorKind
from expplat.errors import ExpplatError


def serve(answers: int) -> None:
    """Set a worker up and run the shards that it is told to; end this process."""
    os.set_inheritable(answers, False)
    commands = _commands()
    try:
        _run(json.loads(next(commands)), commands, answers)
    except ExpplatError as error:
        tell(answers, {"error": [error.code, error.message, error.hint]})
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    # Threads that user code has left behind would be waited for.
    os._exit(0)


def _run(hosting: Mapping[str, Any], commands: Iterator[str], answers: int) -> None:
    plan = from_plain(ReplayPlan, hosting["plan"])
    faulthandler.enable()
    with ExitStack() as stack:
        budget = _budget(plan, hosting)
        cache = CallCache(Path(hosting["cache"])) if hosting["cache"] else None
        for opened in (budget, cache):
            if opened is not None:
                stack.enter_context(opened)
        worker = Worker(
            plan,
            clock_factory=_clock(hosting),
            workspace=Path(hosting["workspace"]),
            budget=budget,
            cache=cache,
        )
        _limit_memory(plan.measurement.memory_mb)
        stack.enter_context(worker)
        tell(answers, {"ready": True})
        for line in commands:
            command = json.loads(line)
            if "close" in command:
                break
            tell(answers, {"stopped": _shard_run(worker, command)})
    tell(answers, {"closed": True})


def _shard_run(worker: Worker, command: Mapping[str, Any]) -> str:
    poisoned = {
        (position, repeat, arm): ErrorKind(kind)
        for position, repeat, arm, kind in command["poisoned"]
    }
    return worker.run_shard(
        command["shard"], Sweep(*command["sweep"]), poisoned, is_alone=command["alone"]
    )


def _commands() -> Iterator[str]:
    """Return the lines that come in; user code finds an empty standard input."""
    private = os.dup(COMMANDS)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, COMMANDS)
    os.close(nothing)
    return iter(os.fdopen(private, encoding="utf-8"))


def _budget(plan: ReplayPlan, hosting: Mapping[str, Any]) -> Budget | None:
    limits = from_plain(Limits, hosting["limits"])
    if limits.budget_usd is None and limits.budget_minutes is None:
        return None
    return Budget(
        Path(plan.folder),
        hosting["slot"],
        limits,
        spent_usd=hosting["spent_usd"],
        started=time.monotonic() - hosting["passed_s"],
    )


def _clock(hosting: Mapping[str, Any]) -> ClockFactory:
    """Return what makes the clocks: the machine's, or what a `module:attribute` names."""
    module, _, attribute = hosting["clock"].partition(":")
    if not module:
        return machine_clock
    sys.path.append(hosting["clock_path"])
    return cast("ClockFactory", getattr(importlib.import_module(module), attribute))


def _limit_memory(memory_mb: int | None) -> None:
    """Let this process take so much memory beyond what the interpreter and expplat take.

    Counted is what is written to and belongs to nobody else: a file that is mapped to be read,
    such as an index, is not, nor are libraries.
    """
    if memory_mb is None:
        return
    taken = 0
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text()
        taken = 1024 * int(status.partition("VmData:")[2].split()[0])
    limit = taken + memory_mb * (1 << 20)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

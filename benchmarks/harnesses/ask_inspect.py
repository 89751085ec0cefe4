"""Calls a function that sleeps 10 ms through inspect_ai; prints what it reports, as JSON.

`python ask_inspect.py CALLS [MAX_SAMPLES]`, in the environment that `make harnesses` builds. The
function blocks, so that it runs in a thread, as inspect_ai's own documentation asks for.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from typing import Any

from inspect_ai import Task
from inspect_ai import eval as evaluate
from inspect_ai.dataset import Sample
from inspect_ai.log import EvalSample
from inspect_ai.solver import solver

SLEEP_S = 0.010


@solver
def sleeper() -> Any:
    async def solve(state: Any, generate: Any) -> Any:
        await asyncio.to_thread(time.sleep, SLEEP_S)
        return state

    return solve


def solver_ms(sample: EvalSample) -> float:
    """Return how long the solver took, by the sample's transcript."""
    begun = {
        event.id: event.timestamp
        for event in sample.events
        if event.event == "span_begin" and event.type == "solver"
    }
    (ended,) = [e for e in sample.events if e.event == "span_end" and e.id in begun]
    return (ended.timestamp - begun[ended.id]).total_seconds() * 1000


def main() -> None:
    calls, options = int(sys.argv[1]), {}
    if len(sys.argv) > 2:
        options["max_samples"] = int(sys.argv[2])
    samples = [Sample(id=f"q{n}", input=f"what is {n}?") for n in range(calls)]
    with tempfile.TemporaryDirectory() as logs:
        (log,) = evaluate(
            Task(dataset=samples, solver=sleeper()),
            model="none",
            display="none",
            log_dir=logs,
            **options,
        )
        # Read from the log, which goes with its folder.
        found = log.samples or []
        reported = {
            "time of the sample": [1000 * (sample.total_time or 0) for sample in found],
            "solver in its transcript": [solver_ms(sample) for sample in found],
        }
    json.dump(reported, sys.stdout)


if __name__ == "__main__":
    main()

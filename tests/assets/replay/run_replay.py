"""Runs a replay in a process of its own: `run_replay.py <engine> <plan.json> <state> <address>`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from expplat.adapters.replay.local_engine import LocalEngine
from expplat.adapters.replay.ray_engine import RayEngine
from expplat.adapters.replay.sweeps import ClockSource
from expplat.domain.plain import from_plain
from expplat.domain.replay import Limits, ReplayPlan

if __name__ == "__main__":
    name, file, state, address = sys.argv[1:]
    plan = from_plain(ReplayPlan, json.loads(Path(file).read_text()))
    clock = ClockSource(use="clocks:step_clock", folder=str(Path(__file__).parent))
    engine = (
        LocalEngine(clock=clock)
        if name == "local"
        else RayEngine(address, Path(state), clock=clock)
    )
    stopped = engine.run(plan, lambda done, total: None, Limits())
    print(stopped or "done", engine.name)

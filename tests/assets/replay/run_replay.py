"""Runs a replay in a process of its own: `run_replay.py <engine> <plan.json> <state>`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from expplat.adapters.local_replay import LocalEngine
from expplat.adapters.ray_replay import RayEngine
from expplat.domain.plain import from_plain
from expplat.domain.replay import ReplayPlan

if __name__ == "__main__":
    plan = from_plain(ReplayPlan, json.loads(Path(sys.argv[2]).read_text()))
    engine = LocalEngine() if sys.argv[1] == "local" else RayEngine("", Path(sys.argv[3]))
    engine.run(plan, lambda done, total: None)
    print("done")

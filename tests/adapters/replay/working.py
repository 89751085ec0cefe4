"""Runs a worker in the test's own process, and reads what it has journalled."""

from __future__ import annotations

import gc
import json

from expplat.adapters.replay.journal import ReplayJournal
from expplat.adapters.replay.journal_files import claim, shard_path, shard_size
from expplat.adapters.replay.order import Sweep
from expplat.adapters.replay.worker import Worker

POCS = "pocs.kinds.variants"


def worked(plan, *, sweep=None, poisoned=None, **keywords):
    """Run a sweep of all shards; return the rows that the journal holds then."""
    claim(plan)
    # What the test run itself has made is none of the worker's, which looks through all memory.
    gc.freeze()
    with Worker(plan, **keywords) as worker:
        for shard in range(plan.shards):
            if worker.run_shard(shard, sweep or Sweep(plan.rounds), poisoned):
                break
    return list(ReplayJournal().rows(plan))


def rewritten(plan, change):
    """Change each request of a plan's frozen log, as plain values."""
    for shard in range(plan.shards):
        path = shard_path(plan, shard)
        plain = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(plain) == shard_size(plan, shard)
        path.write_text("".join(json.dumps(change(request)) + "\n" for request in plain))
    return plan

"""How far is a latency that a replay reports from the same call in a bare loop?

A variant that sleeps 5 ms is called in a bare loop and through `expplat replay`'s local engine, in
turn, several times over. Printed: the median latency of each, and the ratio of the medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

from expplat.adapters.local_replay import LocalEngine
from expplat.adapters.replay_journal import ReplayJournal
from expplat.adapters.request_log import RequestLogFiles
from expplat.domain.price import PriceTable
from expplat.domain.proposal import Measurement, RequestLogSource, Variant
from expplat.domain.replay import CONTROL, ReplayPlan
from expplat.metrics.catalogue import resolve

REQUESTS = 200
ROUNDS = 5
SLEEP_S = 0.005

VARIANT = f"""
import time
from expplat import Output


def sleeper(request, call):
    time.sleep({SLEEP_S})
    return Output(retrieved=("a",))
"""


def workspace(folder: Path) -> None:
    """Write a variant that sleeps, and a request log."""
    (folder / "pocs" / "sleep").mkdir(parents=True)
    (folder / "pocs" / "sleep" / "variants.py").write_text(VARIANT)
    rows = (
        {"request_id": f"q{n}", "input": {}, "expected": {"relevant_ids": ["a"]}}
        for n in range(REQUESTS)
    )
    (folder / "log.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def replayed_ms(folder: Path, number: int) -> float:
    """Return the median latency of control in one replay, in ms."""
    measurement = Measurement(aa_requests=0, warmup=5)
    state = folder / f"replay-{number}"
    log = RequestLogFiles().freeze(
        RequestLogSource(path="log.jsonl"), workspace=folder, folder=state, shard_requests=50
    )
    sleeper = Variant(use="pocs.sleep.variants:sleeper")
    plan = ReplayPlan(
        replay_id=f"{number:016d}",
        slug="sleep",
        workspace=str(folder),
        folder=str(state),
        shards=log.shards,
        requests=log.requests,
        control=sleeper,
        treatment=sleeper,
        metrics=resolve(("recall_at_1",)),
        measurement=measurement,
        prices=PriceTable(as_of="2026-01-01", cpu_hour_usd=Decimal("0.05")),
        proposal_sha256="0" * 64,
        log_sha256=log.sha256,
        control_sha256="0" * 64,
        treatment_sha256="0" * 64,
    )
    LocalEngine().run(plan, lambda done, total: None)
    rows = ReplayJournal().rows(plan)
    return statistics.median(row.calls[CONTROL].latency_ms for row in rows)


def bare_ms() -> float:
    """Return the median latency of the same sleep in a bare loop, in ms."""
    times = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        time.sleep(SLEEP_S)
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main() -> None:
    """Take turns, and print medians and their ratio."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workspace(folder)
        rounds = [(bare_ms(), replayed_ms(folder, number)) for number in range(ROUNDS)]
    bare = statistics.median(bare for bare, _ in rounds)
    replayed = statistics.median(replayed for _, replayed in rounds)
    ratios = sorted(replayed / bare for bare, replayed in rounds)
    sys.stdout.write(
        f"bare loop {bare:.3f} ms, replay {replayed:.3f} ms, "
        f"ratio {statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f}), "
        f"{ROUNDS} rounds of {REQUESTS} calls\n"
    )


if __name__ == "__main__":
    main()

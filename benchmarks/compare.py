"""How long does it take to compare two variants on 100,000 pairs and ten metrics?

Ours are the paired statistics that a replay is judged by, on columns as a replay holds them, once
with independent requests and once with five requests a user. The peer is what `mlflow.genai` brings
since 3.18 for two evaluations: Wilcoxon or McNemar, and a BCa bootstrap of the mean difference;
where it is not installed, scipy's and statsmodels' own of the same name on the same columns. It
knows neither clusters nor quantiles, so it is asked for a mean and a proportion only, or with
`--all` for each metric that it has an answer to. Rounds are interleaved. Printed: median seconds,
ours over the peer's for the same columns, and the peak of what was allocated above the data.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import bootstrap, wilcoxon
from statsmodels.stats.contingency_tables import mcnemar

from expplat.stats import paired

PER_USER = 5
ASKED_OF_PEER = ("answer_correct", "ndcg_at_10")
BATCH = 50
"""Resamples that scipy holds at a time: 40 MB of 100,000 pairs."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """One metric: its columns, how we compare it, and whether the peer can."""

    name: str
    control: Floats
    treatment: Floats
    ours: Callable[..., Any]
    peer_can: bool


def metrics(pairs: int, seed: int = 0) -> tuple[Asked, ...]:
    """Return ten metrics of as many requests, easy or hard for both variants."""
    generator = np.random.default_rng(seed)
    users = generator.normal(0, 0.4, pairs // PER_USER + 1)
    ease = users[np.arange(pairs) // PER_USER] + generator.normal(0, 1, pairs)

    def shares(gain: float) -> tuple[Floats, Floats]:
        noise = generator.normal(0, 0.6, (2, pairs))
        one, other = 1 / (1 + np.exp(-(ease + noise + [[0.0], [gain]])))
        return one, other

    def hits(gain: float) -> tuple[Floats, Floats]:
        one, other = shares(gain)
        return (one > 0.4).astype(np.float64), (other > 0.4).astype(np.float64)

    latency = np.exp(5 - 0.3 * ease + generator.normal(0, 0.4, (2, pairs)))
    cost = np.exp(-7 - 0.2 * ease + generator.normal(0, 0.5, (2, pairs)))
    times = (latency[0], 1.03 * latency[1])

    def quantile(q: float) -> Callable[..., Any]:
        return lambda one, other, users: paired.quantile_difference(one, other, q, users)

    return (
        Asked("answer_correct", *hits(0.1), paired.proportion_difference, True),
        Asked("recall_at_1", *hits(0.0), paired.proportion_difference, True),
        Asked("ndcg_at_10", *shares(0.05), paired.mean_difference, True),
        Asked("recall_at_10", *shares(0.0), paired.mean_difference, True),
        Asked("answer_f1", *shares(0.1), paired.mean_difference, True),
        Asked("latency_ms", *times, paired.mean_difference, True),
        Asked("latency_ms, ratio", *times, paired.geometric_mean_ratio, False),
        Asked("latency_p95_ms", *times, quantile(0.95), False),
        Asked("latency_p99_ms", *times, quantile(0.99), False),
        Asked("cost_usd", cost[0], 0.9 * cost[1], paired.ratio_of_sums, False),
    )


def timed(work: Callable[..., Any], *args: Any) -> float:
    start = time.perf_counter()
    work(*args)
    return time.perf_counter() - start


def by_peer(control: Floats, treatment: Floats) -> None:
    """Compare two columns as the peer does."""
    differences = treatment - control
    if set(np.unique(control)) <= {0.0, 1.0}:
        table = np.histogram2d(control, treatment, bins=2)[0]
        mcnemar(table, exact=False, correction=True)
    else:
        wilcoxon(differences)
    bootstrap((differences,), np.mean, n_resamples=9_999, method="BCa", batch=BATCH, rng=0)


def peak_mb(asked: Asked, users: NDArray[np.intp] | None) -> float:
    """Return the peak of what is allocated while a metric is compared, in MB."""
    tracemalloc.start()
    asked.ours(asked.control, asked.treatment, users)
    found = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return found


def report(pairs: int, rounds: int, asked_of_peer: tuple[str, ...]) -> None:
    """Race, and print."""
    asked = metrics(pairs)
    users = np.arange(pairs) // PER_USER
    ours: dict[str, list[tuple[float, float]]] = {one.name: [] for one in asked}
    peers: dict[str, list[float]] = {name: [] for name in asked_of_peer}
    for _ in range(rounds):
        for one in asked:
            columns = (one.control, one.treatment)
            ours[one.name].append(
                (timed(one.ours, *columns, None), timed(one.ours, *columns, users))
            )
            if one.name in peers:
                peers[one.name].append(timed(by_peer, *columns))
    lines = [f"{pairs:,} pairs, median of {rounds} rounds, seconds"]
    lines.append(f"{'':20}{'alone':>9}{'in users':>10}{'peer':>9}{'ours/peer':>11}{'peak MB':>9}")
    for one in asked:
        alone, grouped = (statistics.median(times) for times in zip(*ours[one.name], strict=True))
        peak = max(peak_mb(one, None), peak_mb(one, users))
        peer = f"{'-':>9}{'-':>11}"
        if one.name in peers:
            seconds = statistics.median(peers[one.name])
            peer = f"{seconds:9.2f}{alone / seconds:11.5f}"
        lines.append(f"{one.name:20}{alone:9.4f}{grouped:10.4f}{peer}{peak:9.1f}")
    totals = [
        statistics.median(sum(ours[name][turn][kind] for name in ours) for turn in range(rounds))
        for kind in (0, 1)
    ]
    lines.append(f"{'all ten':20}{totals[0]:9.4f}{totals[1]:10.4f}")
    sys.stdout.write("\n".join(lines) + "\n")


def main() -> None:
    """Read the options, and race."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--all", action="store_true", help="ask the peer for all that it can")
    parser.add_argument("--no-peer", action="store_true", help="ask the peer for nothing")
    asked = parser.parse_args()
    of_peer = tuple(one.name for one in metrics(10) if one.peer_can) if asked.all else ASKED_OF_PEER
    report(asked.pairs, asked.rounds, () if asked.no_peer else of_peer)


if __name__ == "__main__":
    main()

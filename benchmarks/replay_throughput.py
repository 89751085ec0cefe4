"""How long does a replay of 10,000 requests take, and what does a second worker bring?

First: `expplat replay` of a variant that does nothing, on a fresh workspace, on both engines: the
seconds of the whole command, with the copy to MLflow. Then: a variant that computes for 5 ms, and
one that sleeps for 5 ms, with one worker and with two, in turn: the time from the first call to the
last with one worker over that with two, and the same for bare loops, which is what this machine can
give.
"""

from __future__ import annotations

import argparse
import hashlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_workspace import Span, Work, Workspace, machine

ENGINES = ("local", "ray")
LONGEST_S = 15.0
SMALLEST = 1.8
"""Gain by a second worker."""

SLEEP_S = 0.005


@contextmanager
def workspace(work: Work, requests: int, workers: int) -> Iterator[Workspace]:
    """Make a workspace with a registered proposal."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        place = Workspace(Path(name) / "workspace", work, requests, {"workers": workers})
        place.propose()
        yield place


def whole_s(engine: str, requests: int) -> float:
    """Return the seconds of one replay of a variant that does nothing, on a fresh workspace."""
    with workspace(Work(name="no_op"), requests, workers=2) as place:
        done = place.replay(engine)
        if done.said["mlflow"] is None:
            raise SystemExit("MLflow did not receive the replay.")
        return done.seconds


def blocks_of(milliseconds: float) -> int:
    """Return how many blocks a variant must hash to compute so long on this machine."""
    block, times = b"x" * 65536, []
    for _ in range(200):
        begin = time.perf_counter()
        hashlib.blake2b(block).digest()
        times.append(time.perf_counter() - begin)
    return max(1, round(milliseconds / 1000 / statistics.median(times)))


def gain(one: Span, two: Span) -> float:
    """Return calls a second with two, over calls a second with one."""
    return (two.calls / two.seconds) / (one.calls / one.seconds)


def replayed(engine: str, work: Work, requests: int) -> Callable[[int], Span]:
    """Return what replays with so many workers."""

    def run(workers: int) -> Span:
        with workspace(work, requests, workers) as place:
            place.replay(engine)
            return place.span()

    return run


def looped(work: Work, requests: int) -> Callable[[int], Span]:
    """Return what loops in so many processes, through as many calls together."""

    def run(processes: int) -> Span:
        with workspace(work, 1, 1) as place:
            return place.bare(2 * requests // processes, processes=processes)

    return run


def gains(run: Callable[[int], Span], rounds: int) -> list[float]:
    """Return the gain of each round, in order."""
    found = []
    for number in range(rounds):
        first, second = (1, 2) if number % 2 == 0 else (2, 1)
        spans = {workers: run(workers) for workers in (first, second)}
        found.append(gain(spans[1], spans[2]))
    return sorted(found)


def main() -> None:
    """Print both; exit with 1 where one of our figures is not what it must be."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=10_000, help="of the variant of no work")
    parser.add_argument("--scaled", type=int, default=1_000, help="requests of those that work")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    wrong = False
    for engine in ENGINES:
        seconds = sorted(whole_s(engine, given.requests) for _ in range(given.rounds))
        middle = statistics.median(seconds)
        wrong |= middle > LONGEST_S
        share = f"{middle / LONGEST_S:.2f} x the {LONGEST_S:.0f} s allowed"
        spread = f"{middle:.1f} s ({seconds[0]:.1f} to {seconds[-1]:.1f})"
        sys.stdout.write(f"{share}: {given.requests} requests x 2 on {engine} in {spread}\n")
        sys.stdout.flush()
    works = {
        "computes": Work(name="compute", amount=blocks_of(1000 * SLEEP_S)),
        "sleeps": Work(name="sleep", amount=SLEEP_S),
    }
    for verb, work in works.items():
        runs = {"bare loops": looped(work, given.scaled)}
        runs |= {f"engine {name}": replayed(name, work, given.scaled) for name in ENGINES}
        for name, run in runs.items():
            found = gains(run, given.rounds)
            middle = statistics.median(found)
            wrong |= middle < SMALLEST and name != "bare loops"
            sys.stdout.write(
                f"{middle:.2f} x with two workers on {name}, variant {verb} for 5 ms "
                f"({found[0]:.2f} to {found[-1]:.2f})\n"
            )
            sys.stdout.flush()
    sys.stdout.write(f"{given.rounds} rounds; {machine()}\n")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

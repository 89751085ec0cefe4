"""How much longer do the calls of a replay take than the same calls in a bare loop?

A variant that takes 5 ms notes when each of its calls begins and ends. It is called in a bare loop,
and by `expplat replay` on the engine `local` with one worker, in turn, several times over. Printed:
the time from the first call to the last, per call, over the bare loop's; what the replay reports as
the latency of a call, over what the bare loop's clock says; and, apart, the seconds before the
first call and after the last.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from bench_workspace import Work, Workspace, machine

SLEEP_S = 0.005
LARGEST = 1.05
"""The whole replay's calls over the bare loop's."""


class Round(NamedTuple):
    """One turn of each."""

    overhead: float
    """Wall time of a call within the replay's run of calls, over the bare loop's."""

    latency: float
    """Reported median latency over that of the bare loop."""

    bare_ms: float
    """Wall time of a call of the bare loop."""

    calls_s: float
    before_s: float
    after_s: float


def measured(place: Workspace, requests: int) -> Round:
    """Run the bare loop, then the replay."""
    bare = place.bare(2 * requests)
    done = place.replay("local")
    span = place.span()
    bare_ms = 1000 * bare.seconds / bare.calls
    return Round(
        overhead=1000 * span.seconds / span.calls / bare_ms,
        latency=done.report.arms["control"].latency_p50_ms / statistics.median(bare.latencies_ms),
        bare_ms=bare_ms,
        calls_s=span.seconds,
        before_s=span.begin - done.began,
        after_s=done.began + done.seconds - span.end,
    )


def main() -> None:
    """Take turns, and print medians; exit with 1 where the overhead is larger than allowed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        work = Work(name="sleep", amount=SLEEP_S)
        place = Workspace(Path(name) / "workspace", work, given.requests, {"workers": 1})
        place.propose()
        rounds = [measured(place, given.requests) for _ in range(given.rounds)]
    overheads = sorted(one.overhead for one in rounds)
    middle = {
        field: statistics.median(getattr(one, field) for one in rounds) for field in Round._fields
    }
    sys.stdout.write(
        f"wall time of the calls over a bare loop: {middle['overhead']:.3f} "
        f"({overheads[0]:.3f} to {overheads[-1]:.3f}; at most {LARGEST})\n"
        f"reported median latency over a bare loop's: {middle['latency']:.3f}\n"
        f"bare loop {middle['bare_ms']:.3f} ms a call; the replay's calls took "
        f"{middle['calls_s']:.2f} s, before them {middle['before_s']:.2f} s, after them "
        f"{middle['after_s']:.2f} s; {given.rounds} rounds of {given.requests} requests; "
        f"{machine()}\n"
    )
    if middle["overhead"] > LARGEST:
        raise SystemExit(1)


if __name__ == "__main__":
    main()

"""Does a replay of a million requests need more memory than one of ten thousand?

`expplat replay` of a variant that does nothing, at both sizes. Printed: the largest memory of the
command with all its workers (pages that processes share are counted once), and of the command's own
process, at the larger size over the smaller; and the seconds of each. Linux only. The larger size
takes its time: `--large 100000` gives a first impression.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench_workspace import SLUG, Work, Workspace, environment, machine
from process_tree import Peak, watched

LARGEST = 1.2
"""Memory at the larger size over memory at the smaller."""


def peak(engine: str, requests: int) -> Peak:
    """Return what the replay of so many requests took, on a fresh workspace."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        measurement = {"workers": 2, "shard_requests": 1000}
        place = Workspace(Path(name) / "workspace", Work(name="no_op"), requests, measurement)
        place.propose()
        command = place.command("replay", SLUG, "--engine", engine, "--json")
        found = watched(command, cwd=place.folder, env=environment())
    if found.exit_code not in (0, 1):
        raise SystemExit(f"replay ended with {found.exit_code}: {found.printed[-2000:]}")
    said, _ = json.JSONDecoder().raw_decode(found.printed, found.printed.index("{"))
    if said["requests"] != requests:
        raise SystemExit(f"{said['requests']} requests were replayed instead of {requests}")
    return found


def main() -> None:
    """Print both sizes for each engine; exit with 1 where memory has grown too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--small", type=int, default=10_000, help="requests")
    parser.add_argument("--large", type=int, default=1_000_000, help="requests")
    parser.add_argument("--engine", choices=("local", "ray"), action="append")
    given = parser.parse_args()
    wrong = False
    for engine in given.engine or ["local"]:
        small = peak(engine, given.small)
        sys.stdout.write(f"{engine}, {given.small} requests: {_words(small)}\n")
        sys.stdout.flush()
        large = peak(engine, given.large)
        sys.stdout.write(f"{engine}, {given.large} requests: {_words(large)}\n")
        tree, driver = large.tree_mb / small.tree_mb, large.driver_mb / small.driver_mb
        sys.stdout.write(
            f"{tree:.2f} x the memory in all, {driver:.2f} x in the command's own process "
            f"(at most {LARGEST})\n"
        )
        sys.stdout.flush()
        wrong |= max(tree, driver) > LARGEST
    sys.stdout.write(f"{machine()}\n")
    if wrong:
        raise SystemExit(1)


def _words(found: Peak) -> str:
    return (
        f"{found.tree_mb:.0f} MB in all, {found.driver_mb:.0f} MB in the command's own process, "
        f"{found.seconds:.0f} s"
    )


if __name__ == "__main__":
    main()
